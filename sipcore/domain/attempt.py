"""An attempt: one try of something that is dialled at its time, a future call's number or a campaign's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AttemptSource(StrEnum):
    """What an attempt is one try of."""

    SCHEDULE = "schedule"
    CAMPAIGN = "campaign"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try, numbered before it is dialled. No two have the same source, id and number.

    Attributes:
        source: what kind of thing is tried.
        source_id: of the entry that is tried, at most 48 characters.
        number: 1 for its first try.
        node: the running server that makes it.
    """

    source: AttemptSource
    source_id: str
    number: int
    node: str
