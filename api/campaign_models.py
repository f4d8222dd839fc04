"""What goes into the JSON API and what comes out of campaigns and do-not-call lists; see `api.models`."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from api.models import Body, CallerIdentity, Cursor, Destination, Model, Query, RingSeconds, Time
from api.schedule_models import MadeAttempt
from sipcore.domain.calling_hours import DEFAULT_COUNTRY
from sipcore.domain.campaign import (
    DEFAULT_CALLS_PER_SECOND,
    DEFAULT_CONCURRENCY,
    DEFAULT_MAX_ATTEMPTS,
    MAX_CALLS_PER_SECOND,
    MAX_CONCURRENCY,
    MAX_NAME_CHARACTERS,
    CampaignNumberState,
    CampaignState,
)
from sipcore.domain.causes import Disposition
from sipcore.domain.retry import LONGEST_SECONDS, MAX_RETRIES, SHORTEST_SECONDS
from sipcore.service.calls import DEFAULT_RING_SECONDS

MAX_PAGE = 1000


def _for_all(hours: object) -> object:
    return {DEFAULT_COUNTRY: hours} if isinstance(hours, str) else hours


HoursText = Annotated[str, Field(min_length=1, max_length=500, examples=["mon-fri 09:00-20:00, sat 10:00-14:00"])]
Hours = Annotated[
    dict[Annotated[str, Field(max_length=16)], HoursText],
    Field(min_length=1, max_length=300),
    BeforeValidator(_for_all, json_schema_input_type=HoursText | dict[str, HoursText]),
]
"""One text stands for all countries."""


class Retry(Body):
    """How often, and when, one outcome is tried again."""

    retries: Annotated[int, Field(ge=0, le=MAX_RETRIES)]
    after: Annotated[int, Field(ge=SHORTEST_SECONDS, le=LONGEST_SECONDS, description="seconds")]


class Retries(Body):
    """What is tried again, by outcome; what is left out is not, but for `interrupted`: once, after 60 s."""

    busy: Retry | None = None
    no_answer: Retry | None = None
    not_connected: Retry | None = None
    unreachable: Retry | None = None
    interrupted: Retry | None = Field(default=None, description="the server's own end cut the attempt off")


class NewCampaign(Body):
    """A campaign to be made; numbers are added, and it is started, after that."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARACTERS)]
    dial2: Destination = Field(description="a message, IVR, queue or app: what those who answer reach")
    set_cid: CallerIdentity | None = None
    ring_seconds: RingSeconds = DEFAULT_RING_SECONDS
    hours: Hours | None = Field(
        default=None,
        description="calling hours by the clocks of the number's time zones: for all, or by country with `default`; "
        "without it the organisation's",
    )
    concurrency: Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)] = DEFAULT_CONCURRENCY
    calls_per_second: Annotated[float, Field(gt=0, le=MAX_CALLS_PER_SECOND)] = DEFAULT_CALLS_PER_SECOND
    retries: Retries = Retries()
    max_attempts: Annotated[int, Field(ge=1, le=MAX_RETRIES + 1)] = Field(
        default=DEFAULT_MAX_ATTEMPTS, description="of one number, for whatever reasons"
    )


class CampaignRetry(Model):
    """How often, and when, one outcome is tried again."""

    retries: int
    after: int = Field(description="seconds")


class Campaign(Model):
    """A campaign."""

    id: str
    user: str
    name: str
    state: CampaignState
    dial2: str
    set_cid: str | None
    ring_seconds: int
    hours: dict[str, str] | None = Field(description="null: the organisation's")
    concurrency: int
    calls_per_second: float
    retries: dict[Disposition, CampaignRetry]
    max_attempts: int
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
    numbers: int
    refused: int = Field(description="lines of its lists that were not accepted")
    counts: dict[CampaignNumberState, int] = Field(description="how many numbers stand how")


class CampaignPage(Model):
    """Campaigns, newest first."""

    items: list[Campaign]
    next: str | None


class CampaignNumber(Model):
    """One number of a campaign."""

    position: int
    number: str
    reference: str | None
    state: CampaignNumberState
    outcome: Disposition | None = Field(description="of the last attempt")
    next_at: Time | None = Field(description="when it is dialled next at the earliest")
    reason: str | None = Field(description="why it was not dialled")
    attempts: list[MadeAttempt]


class CampaignNumberPage(Model):
    """Numbers of a campaign, in their order."""

    items: list[CampaignNumber]
    next: str | None


class RefusedLine(Model):
    """A line of a list that was not accepted."""

    line: int
    text: str
    reason: str


class RefusedLinePage(Model):
    """Refused lines, in their order."""

    items: list[RefusedLine]
    next: str | None


class UploadReport(Model):
    """What became of the lines of a list."""

    accepted: int
    refused: int
    refusals: list[RefusedLine] = Field(description="the first 100 of those that were refused")


def _place(cursor: Any) -> Any:
    return int(cursor) if isinstance(cursor, str) and cursor.isascii() and cursor.isdecimal() else cursor


Place = Annotated[
    int,
    Field(ge=0, le=2**31 - 1, description="`next` of the page before"),
    BeforeValidator(_place, json_schema_input_type=str),
]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE, description="most items on the page")]


class PlaceQuery(Query):
    """Which page of something long."""

    cursor: Place = 0
    limit: Limit = 100


class CampaignNumberQuery(PlaceQuery):
    """Which numbers of a campaign."""

    state: CampaignNumberState | None = None


class DoNotCallQuery(Query):
    """Which page of a do-not-call list."""

    cursor: Cursor = None
    limit: Limit = 100
    plus_lost: ClassVar[frozenset[str]] = frozenset({"cursor"})


class NewDoNotCall(Body):
    """Numbers for the do-not-call list."""

    numbers: list[Annotated[str, Field(min_length=1, max_length=32, examples=["+12025550123"])]] = Field(
        min_length=1, max_length=1000
    )


class AddedDoNotCall(Model):
    """Numbers that are on the do-not-call list now, as E.164 writes them."""

    numbers: list[str]


class DoNotCallNumber(Model):
    """A number that campaigns never dial."""

    number: str
    added_at: Time
    added_by: str


class DoNotCallPage(Model):
    """Numbers that campaigns never dial, in their order."""

    items: list[DoNotCallNumber]
    next: str | None
