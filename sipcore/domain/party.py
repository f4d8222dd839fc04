"""The party of a call: what one destination looks like from the call's side.

A call has two parties and never asks what kind they are. A party takes leg events, gives leg commands, and tells the
call its news in the call's own terms. A party may be made of others (a ring group of phones), which it treats the
same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from sipcore.domain.causes import Outcome
from sipcore.domain.commands import Command
from sipcore.domain.events import Event, LegEvent, WorkerLost
from sipcore.domain.record import LegRecord

Clock = Callable[[float], datetime]
"""From a machine's time (seconds, monotonic) to aware UTC."""


class NewsKind(StrEnum):
    """What a party tells its call."""

    RANG = "rang"
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
    """One destination of a call: a phone, or something that stands for more than one, or for none."""

    @property
    def uid(self) -> str:
        """UniqueID that it was given at acceptance: Call-ID of the first leg that it places."""
        ...

    @property
    def leg(self) -> str | None:
        """The leg that carries its audio once it has answered; None when it has none: an announcement, an app."""
        ...

    @property
    def up(self) -> bool:
        """True when its leg is answered and hears what is played to it."""
        ...

    @property
    def contest_legs(self) -> int:
        """How many legs it may have ringing for the call at the same time beside each other; 0: one at most."""
        ...

    @property
    def released(self) -> bool:
        """True when no leg of it is left, or none was ever placed."""
        ...

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, or None while it has not."""
        ...

    @property
    def recording_id(self) -> str | None:
        """Id of the recording that was made there, 32 hex digits, or None: a voicemail box makes one."""
        ...

    def owns(self, leg: str) -> bool:
        """Tell whether a leg is one of its own."""
        ...

    def start(self, now: float, listener: str | None = None) -> list[Command]:
        """Ring it.

        Args:
            now: the machine's time.
            listener: the leg that waits for it, and hears from it what a caller hears meanwhile; None: nobody does.
        """
        ...

    def accept(self, now: float) -> list[Command]:
        """Answer the caller, as the other side has answered; nothing is to be done for one that we rang ourselves."""
        ...

    def refuse(self, outcome: Outcome, now: float) -> list[Command]:
        """Turn a caller away whom nobody has answered yet: the other side was not reached, and why."""
        ...

    def join(self, other: str, now: float) -> list[Command]:
        """Join its audio with the other side's leg; once, after it has answered."""
        ...

    def press(self, digit: str, duration_ms: int, now: float) -> list[Command]:
        """Take a key that the other side pressed, once they are joined."""
        ...

    def let_go(self) -> list[Command]:
        """End what it has begun on the other side's leg and what would outlast it, as that leg goes on without it."""
        ...

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Release it, whatever its state; news of it no longer matters.

        Args:
            now: the machine's time.
            reason: value of the Reason header (RFC 3326) that its far ends are told, or empty.
        """
        ...

    def feed(self, event: Event, now: float) -> list[Command]:
        """Take an event of one of its legs, a notice that it may have asked for, or the loss of a worker."""
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

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell what became of its legs so far; one entry at least."""
        ...


class PartyBase:
    """A party that has no leg, is told nothing and waits for nothing, until a kind of party says otherwise.

    Args:
        uid: UniqueID that it was given at acceptance.
    """

    def __init__(self, uid: str) -> None:
        self._uid = uid
        self._news: list[News] = []
        self._outcome: Outcome | None = None

    @property
    def uid(self) -> str:
        """UniqueID that it was given at acceptance."""
        return self._uid

    @property
    def leg(self) -> str | None:
        """None: it has none."""
        return None

    @property
    def up(self) -> bool:
        """False: there is no leg that could hear anything."""
        return False

    @property
    def contest_legs(self) -> int:
        """0: one leg at a time, or none."""
        return 0

    @property
    def released(self) -> bool:
        """True: there is no leg."""
        return True

    @property
    def outcome(self) -> Outcome | None:
        """How it ended, or None."""
        return self._outcome

    @property
    def recording_id(self) -> str | None:
        """None: nothing was recorded."""
        return None

    def owns(self, leg: str) -> bool:  # noqa: ARG002 - here and below: the parties' common shape
        """Tell that no leg is its own."""
        return False

    def accept(self, now: float) -> list[Command]:  # noqa: ARG002
        """Do nothing: it was answered when it said so."""
        return []

    def refuse(self, outcome: Outcome, now: float) -> list[Command]:  # noqa: ARG002
        """Release it: whom we rang ourselves has been answered, or was never there."""
        return self.withdraw(now)

    def join(self, other: str, now: float) -> list[Command]:  # noqa: ARG002
        """Do nothing."""
        return []

    def press(self, digit: str, duration_ms: int, now: float) -> list[Command]:  # noqa: ARG002
        """Do nothing: nobody is there who could hear it."""
        return []

    def let_go(self) -> list[Command]:
        """Do nothing: what is played to that leg is stopped by whoever lets it go on."""
        return []

    def withdraw(self, now: float, reason: str = "") -> list[Command]:  # noqa: ARG002
        """Do nothing: there is no leg."""
        return []

    def feed(self, event: Event, now: float) -> list[Command]:  # noqa: ARG002
        """Do nothing: it is a notice that somebody else has asked for."""
        return []

    def next_deadline(self) -> float | None:
        """Never."""
        return None

    def on_deadline(self, now: float) -> list[Command]:  # noqa: ARG002
        """Do nothing."""
        return []

    def take_news(self) -> list[News]:
        """Give the news since last time."""
        news, self._news = self._news, []
        return news

    def _tell(self, kind: NewsKind, digit: str = "", duration_ms: int = 0) -> None:
        self._news.append(News(kind, digit, duration_ms))


def concerned(parties: Iterable[Party], event: Event) -> list[Party]:
    """Select the parties that an event is for: the owner of its leg, or all of them for a notice.

    A notice carries the id of what was asked for, and whoever has not asked passes it over.
    """
    if isinstance(event, WorkerLost):
        return [party for party in parties if any(party.owns(leg) for leg in event.legs)]
    if isinstance(event, LegEvent):
        return [party for party in parties if party.owns(event.leg)]
    return list(parties)


class Timed(Protocol):
    """What waits for a moment."""

    def next_deadline(self) -> float | None:
        """When it comes, or None."""
        ...


def earliest(parts: Iterable[Timed], own: float | None = None) -> float | None:
    """Return the earliest of the parts' deadlines and one's own, or None."""
    deadlines = [own, *(part.next_deadline() for part in parts)]
    return min((deadline for deadline in deadlines if deadline is not None), default=None)
