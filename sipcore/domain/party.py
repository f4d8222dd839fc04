"""The party of a call: what one destination looks like from the call's side.

A call has two parties and never asks what kind they are. A party takes leg events, gives leg commands, and tells the
call its news in the call's own terms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from sipcore.domain.causes import Outcome
from sipcore.domain.commands import Command
from sipcore.domain.events import Event
from sipcore.domain.record import LegRecord

Clock = Callable[[float], datetime]
"""From a machine's time (seconds, monotonic) to aware UTC."""


class NewsKind(StrEnum):
    """What a party tells its call."""

    RANG = "rang"
    EARLY_MEDIA = "early media"
    ANSWERED = "answered"
    FAILED = "failed"
    LEFT = "left"
    DIGIT = "digit"


@dataclass(frozen=True, slots=True)
class News:
    """One piece of news.

    Attributes:
        kind: FAILED when the party will not be answered any more, LEFT when it was and is gone.
        digit, duration_ms: of a DIGIT.
    """

    kind: NewsKind
    digit: str = ""
    duration_ms: int = 0


class Party(Protocol):
    """One destination of a call: a phone, or something that stands for more than one."""

    @property
    def leg(self) -> str:
        """UniqueID of the leg that carries the party's audio."""
        ...

    @property
    def released(self) -> bool:
        """True when no leg of it is left, or none was ever placed."""
        ...

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, or None while it has not."""
        ...

    def start(self, now: float) -> list[Command]:
        """Ring it."""
        ...

    def withdraw(self, now: float) -> list[Command]:
        """Release it, whatever its state; news of it no longer matters."""
        ...

    def feed(self, event: Event, now: float) -> list[Command]:
        """Take an event of one of its legs, or the loss of a worker."""
        ...

    def next_deadline(self) -> float | None:
        """When `on_deadline` wants to be called, or None."""
        ...

    def on_deadline(self, now: float) -> list[Command]:
        """Act on a deadline that has passed."""
        ...

    def take_news(self) -> list[News]:
        """Give the news since the last call of this method, oldest first."""
        ...

    def record(self, at: Clock) -> LegRecord:
        """Tell what became of its leg so far."""
        ...
