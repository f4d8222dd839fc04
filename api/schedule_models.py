"""What goes into the JSON API and what comes out of future calls; see `api.models`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from api.models import Body, CallerIdentity, Destination, Model, RingSeconds, Time
from sipcore.domain.causes import Disposition
from sipcore.domain.retry import LONGEST_SECONDS, MAX_RETRIES, SHORTEST_SECONDS
from sipcore.domain.schedule import NumberStatus, ScheduleState
from sipcore.service.calls import DEFAULT_RING_SECONDS

Date = Annotated[
    str,
    Field(
        min_length=1,
        max_length=40,
        description="YYYYMMDDhhmm in the organisation's time zone, or RFC 3339",
        examples=["209912240900", "2099-12-24T09:00:00-05:00"],
    ),
]


def _several(dial1: object) -> object:
    return [dial1] if isinstance(dial1, str) else dial1


Numbers = Annotated[
    list[Destination],
    Field(min_length=1, max_length=1000),
    BeforeValidator(_several, json_schema_input_type=Destination | list[Destination]),
]
"""One number may stand for itself."""
Retries = Annotated[int, Field(ge=0, le=MAX_RETRIES)]
RetrySeconds = Annotated[int, Field(ge=SHORTEST_SECONDS, le=LONGEST_SECONDS)]


class NewSchedule(Body):
    """A future call to be made."""

    dial1: Numbers
    dial2: Destination
    date: Date
    retries: Retries = Field(default=0, description="attempts after the first, for all causes together")
    retry_seconds: RetrySeconds = Field(default=60, description="from the end of an attempt to the next")
    set_cid: CallerIdentity | None = None
    ring_seconds: RingSeconds = DEFAULT_RING_SECONDS


class ScheduleChanges(Body):
    """What of a pending future call is to be another; what is left out, or null, stays."""

    dial1: Numbers | None = None
    dial2: Destination | None = None
    date: Date | None = None
    retries: Retries | None = None
    retry_seconds: RetrySeconds | None = None
    set_cid: Annotated[str, Field(max_length=32)] | None = Field(default=None, description="empty: none any more")
    ring_seconds: RingSeconds | None = None


class Schedule(Model):
    """A future call."""

    id: str
    user: str | None = Field(description="null when the organisation's ident alone asked")
    state: ScheduleState
    cancelled_by: str | None
    dial1: str = Field(description="its first number")
    numbers: int
    dial2: str
    set_cid: str | None
    ring_seconds: int
    date: Time
    retries: int
    retry_seconds: int
    next_at: Time | None = Field(description="when a number is dialled next; in the past while limits hold it back")
    accepted_at: Time
    begun_at: Time | None
    ended_at: Time | None


class SchedulePage(Model):
    """Future calls, newest first."""

    items: list[Schedule]
    next: str | None = Field(description="`cursor` of the next page")


class MadeAttempt(Model):
    """One attempt of a number."""

    number: int
    record_id: str
    begun_at: Time
    outcome: Disposition | None = Field(description="answered when dial1 was; null while it is under way")


class ScheduledNumber(Model):
    """One number of a future call."""

    number: str
    status: NumberStatus
    next_at: Time | None
    reason: str | None = Field(description="why it was refused")
    attempts: list[MadeAttempt]


class ScheduleReport(Schedule):
    """A future call with its numbers."""

    results: list[ScheduledNumber]
