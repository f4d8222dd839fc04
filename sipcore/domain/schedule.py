"""A future call as it is kept: what was asked for, and how each of its numbers stands.

All times are aware datetimes in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sipcore.domain.causes import Disposition
from sipcore.domain.retry import RetryPolicy


class ScheduleState(StrEnum):
    """How a future call stands."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"


class NumberStatus(StrEnum):
    """How one number of a future call stands."""

    WAITING = "waiting"
    DIALLING = "dialling"
    ANSWERED = "answered"
    FAILED = "failed"
    REFUSED = "refused"
    MISSED = "missed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ScheduleTerms:
    """What a future call is to do; it may be changed as long as it is pending.

    Attributes:
        numbers: destinations in dial1 as given, 1 or more, each once.
        dial2, set_cid: as given.
        ring_seconds: how long dial1 may ring, 1 to 300.
        date: of the first attempt.
        retry: what follows an attempt, of each number by itself.
    """

    numbers: tuple[str, ...]
    dial2: str
    set_cid: str | None
    ring_seconds: int
    date: datetime
    retry: RetryPolicy


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A future call that is accepted.

    Attributes:
        id: 32 hex digits.
        organisation: name of the organisation.
        user: name of the user or API key that asked; empty when its ident alone did.
        accepted_at: when.
        terms: what it is to do.
    """

    id: str
    organisation: str
    user: str
    accepted_at: datetime
    terms: ScheduleTerms


@dataclass(frozen=True, slots=True)
class Schedule:
    """A future call as a whole.

    Attributes:
        id, organisation, user, accepted_at: as in `NewSchedule`.
        dial1: its first number.
        numbers: how many it has.
        dial2, set_cid, ring_seconds, date, retry: as in `ScheduleTerms`.
        next_at: when a number is dialled next, or None: nothing waits. In the past while limits hold it back.
        begun_at: when the first attempt was made, or None.
        cancelled_by: `request`, or None.
        ended_at: when nothing was left to be dialled and no attempt under way, or None.
    """

    id: str
    organisation: str
    user: str
    accepted_at: datetime
    dial1: str
    numbers: int
    dial2: str
    set_cid: str | None
    ring_seconds: int
    date: datetime
    retry: RetryPolicy
    next_at: datetime | None = None
    begun_at: datetime | None = None
    cancelled_by: str | None = None
    ended_at: datetime | None = None

    @property
    def state(self) -> ScheduleState:
        """How it stands."""
        if self.cancelled_by is not None:
            return ScheduleState.CANCELLED
        if self.ended_at is not None:
            return ScheduleState.FINISHED
        return ScheduleState.PENDING if self.begun_at is None else ScheduleState.RUNNING


@dataclass(frozen=True, slots=True)
class MadeAttempt:
    """One attempt of a number.

    Attributes:
        number: 1 for the first.
        record_id: of its call.
        begun_at: when it began.
        outcome: `answered` when dial1 was, else why not; None while it is under way.
    """

    number: int
    record_id: str
    begun_at: datetime
    outcome: Disposition | None


@dataclass(frozen=True, slots=True)
class ScheduledNumber:
    """One number of a future call.

    Attributes:
        number: as given.
        status: how it stands.
        due_at: when it is dialled next, None unless it waits.
        reason: why it was refused, or None.
        attempts: those made so far, in order.
    """

    number: str
    status: NumberStatus
    due_at: datetime | None
    reason: str | None
    attempts: tuple[MadeAttempt, ...] = ()


@dataclass(frozen=True, slots=True)
class ScheduleReport:
    """A future call with its numbers, in their order."""

    schedule: Schedule
    results: tuple[ScheduledNumber, ...]


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """One page of future calls, newest first.

    Attributes:
        items: at most the limit that was asked for.
        next: cursor of the next page, opaque, or None at the end.
    """

    items: tuple[Schedule, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class DueNumber:
    """A number that a node has claimed to dial it now.

    Attributes:
        id: of the entry.
        organisation, user: who asked.
        attempts: how many were made before.
        dial1: the number.
        dial2, set_cid, ring_seconds: as in `ScheduleTerms`.
        due_at: when it was to be dialled.
    """

    id: str
    organisation: str
    user: str
    attempts: int
    dial1: str
    dial2: str
    set_cid: str | None
    ring_seconds: int
    due_at: datetime
