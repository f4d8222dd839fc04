"""What a call was accepted with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sipcore.domain.attempt import Attempt
from sipcore.domain.role import Role


@dataclass(frozen=True, slots=True)
class CallTerms:
    """What the call was accepted with.

    Attributes:
        id: of its record, 32 hex digits.
        organisation, user: who asked.
        dial1, dial2, set_cid: as given.
        accepted_at: when.
        country: whose tones party 1 hears (ISO 3166-1 alpha-2).
        max_seconds: how long it may last once party 1 has answered.
        prompts: audio files of the organisation's spoken prompts, by the name of `sipcore.domain.prompts.Prompt`.
        batch_id, direction, reference, attempt, node: as in its record.
        queue: number of the queue that party 1 is put into when it answers, or None.
        digits: what is sent to each party once it has answered (`sipcore.domain.dtmf`).
    """

    id: str
    organisation: str
    user: str
    dial1: str
    dial2: str
    set_cid: str | None
    accepted_at: datetime
    country: str
    max_seconds: float
    prompts: Mapping[str, str] = field(default_factory=dict)
    batch_id: str | None = None
    direction: str = "outbound"
    reference: str | None = None
    attempt: Attempt | None = None
    node: str | None = None
    queue: str | None = None
    digits: Mapping[Role, str] = field(default_factory=dict)
