"""What an organisation is told of its future calls."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from sipcore.domain.attempt_outcome import SettledAttempt
from sipcore.domain.public_events import EventType, PublicEvent, written_time
from sipcore.domain.schedule import NewSchedule, NumberStatus


@dataclass(frozen=True, slots=True)
class NumberRef:
    """Which number of which future call.

    Attributes:
        schedule_id, organisation: of the future call.
        number: as given.
    """

    schedule_id: str
    organisation: str
    number: str

    @property
    def data(self) -> dict[str, object]:
        """As events tell it."""
        return {"schedule_id": self.schedule_id, "number": self.number}


def accepted(schedule: NewSchedule) -> PublicEvent:
    """Tell that a future call was accepted."""
    terms = schedule.terms
    data = {
        "schedule_id": schedule.id,
        "user": schedule.user,
        "numbers": len(terms.numbers),
        "dial2": terms.dial2,
        "set_cid": terms.set_cid,
        "date": written_time(terms.date),
        "retries": terms.retry.retries,
        "retry_seconds": terms.retry.seconds,
    }
    return PublicEvent(EventType.SCHEDULE_ACCEPTED, schedule.accepted_at, schedule.organisation, data=data)


def attempted(of: NumberRef, attempt: SettledAttempt, status: NumberStatus, due_at: datetime | None) -> PublicEvent:
    """Tell what an attempt came to.

    Args:
        of: which number.
        attempt: it is over.
        status: how the number stands now.
        due_at: when it is tried again, or None.
    """
    data = of.data | {
        "attempt": attempt.number,
        "outcome": attempt.outcome,
        "status": status,
        "next_at": written_time(due_at),
    }
    return PublicEvent(EventType.SCHEDULE_ATTEMPT, attempt.settled_at, of.organisation, attempt.call, data=data)


def missed(of: NumberRef, due_at: datetime, time: datetime) -> PublicEvent:
    """Tell that a number was due while no server ran, and is not dialled any more."""
    return PublicEvent(
        EventType.SCHEDULE_MISSED, time, of.organisation, data=of.data | {"due_at": written_time(due_at)}
    )


def ended(
    schedule_id: str, organisation: str, time: datetime, cancelled_by: str | None, statuses: Counter[str]
) -> PublicEvent:
    """Tell that nothing of a future call is left to be dialled, and no attempt under way.

    Args:
        schedule_id: of the future call.
        organisation: whose it is.
        time: when.
        cancelled_by: who cancelled it, or None.
        statuses: how many of its numbers have each status.
    """
    counts = {status: statuses[status] for status in NumberStatus if statuses[status]}
    data = {"schedule_id": schedule_id, "cancelled_by": cancelled_by, "counts": counts}
    return PublicEvent(EventType.SCHEDULE_ENDED, time, organisation, data=data)
