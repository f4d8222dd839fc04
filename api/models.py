"""What goes into the JSON API and what comes out.

Requests are read by these models, answers are checked against them, and the API's description is made of them.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from sipcore.domain.batch import NumberState
from sipcore.domain.call_options import (
    HEADER_NAME,
    MAX_DIGITS,
    MAX_HEADER_CHARACTERS,
    MAX_HEADERS,
    MAX_REFERENCE_CHARACTERS,
)
from sipcore.domain.causes import Disposition
from sipcore.service.calls import DEFAULT_RING_SECONDS


class Model(BaseModel):
    """One JSON object; it has no other members than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Body(Model):
    """A request's body: types are taken as they are, so that `"20"` is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Query(Model):
    """A request's query; names that are not known are errors, as a filter that is misspelt would select everything."""

    plus_lost: ClassVar[frozenset[str]] = frozenset()
    """Names whose values may begin with a `+`: not escaped, it arrives as a space."""


Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""As RFC 3339 writes it, in UTC, with milliseconds."""
Token = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,256}$")]
Destination = Annotated[str, Field(min_length=1, max_length=64, examples=["101", "+12025550123"])]
DIGITS_AND_PAUSES = rf"^[0-9*#A-Dw,]{{1,{MAX_DIGITS}}}$"
CallerIdentity = Annotated[str, Field(min_length=1, max_length=32)]
RingSeconds = Annotated[int, Field(ge=1, le=300)]
Cursor = Annotated[Token | None, Field(description="`next` of the page before")]


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    error_id: str = Field(description="stable; the list is in the documentation")
    parameter: str | None = Field(default=None, description="which part of the request it is about")


class PageQuery(Query):
    """Which page."""

    cursor: Cursor = None


class Stream(Model):
    """One direction of a leg's audio."""

    packets: int
    lost: int | None
    jitter_ms: float | None
    mos: float | None = Field(description="mean opinion score, estimated by the E-model (ITU-T G.107)")


class Quality(Model):
    """How a leg's audio was."""

    codec: str
    round_trip_ms: float | None
    received: Stream
    sent: Stream


class Leg(Model):
    """What became of one leg."""

    uid: str = Field(description="UniqueID, the leg's Call-ID on the wire")
    number: str
    disposition: Disposition | None
    sip_code: int | None
    cause: int | None = Field(description="hangup cause (Q.850)")
    ended_by: Literal["remote", "local", "network"] | None
    party: str
    answered_by: str | None
    extension: str | None
    placed_at: Time | None
    ringing_at: Time | None
    answered_at: Time | None
    ended_at: Time | None
    quality: Quality | None


class Record(Model):
    """One call."""

    id: str
    user: str
    accepted_at: Time
    joined_at: Time | None
    ended_at: Time | None
    dial1: str
    dial2: str
    set_cid: str | None
    disposition: Disposition | None = Field(description="null while the call goes on")
    ended_by: str | None
    recording_id: str | None
    recording_state: str | None
    batch_id: str | None
    reference: str | None = Field(description="what the request called it")
    direction: Literal["outbound", "inbound"]
    legs: list[Leg]


class SipMessage(Model):
    """One SIP message; one that was sent again is another one."""

    at: Time
    direction: Literal["sent", "received"]
    method: str = Field(description="of a request, or of the request that a response answers")
    code: int | None = Field(description="status of a response")
    cseq: int


class LegMessages(Model):
    """The SIP messages of one leg."""

    uid: str
    number: str
    party: str
    messages: list[SipMessage]


class Ladder(Model):
    """The SIP messages of a call's legs."""

    record_id: str
    legs: list[LegMessages]


class RecordPage(Model):
    """Records, newest first."""

    items: list[Record]
    next: str | None = Field(description="`cursor` of the next page")


class LegWishes(Body):
    """What is wanted of a leg."""

    headers: dict[str, Annotated[str, Field(min_length=1, max_length=MAX_HEADER_CHARACTERS)]] = Field(
        default={},
        max_length=MAX_HEADERS,
        description="header fields of its INVITE, and of that of everybody who is rung in its place",
        json_schema_extra={"propertyNames": {"pattern": f"^{HEADER_NAME}$"}},
        examples=[{"X-Order": "4711"}],
    )
    digits: Annotated[str, Field(pattern=DIGITS_AND_PAUSES)] | None = Field(
        default=None, description="sent when it has answered; w pauses for 0.5 s, a comma for 1 s"
    )


class NewCall(Body):
    """A call to be placed."""

    dial1: Destination
    dial2: Destination
    set_cid: CallerIdentity | None = Field(
        default=None, description="caller identity of both legs: a verified number, or an extension"
    )
    ring_seconds: RingSeconds = DEFAULT_RING_SECONDS
    wait: bool = Field(default=False, description="answer when dial1 has answered or failed, not at once")
    leg1: LegWishes = LegWishes()
    leg2: LegWishes = LegWishes()
    max_seconds: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="how long it may last after the answer of dial1; sip.max_call_seconds at most"
    )
    room_for_third: bool = Field(default=False, description="keep room, so that a third number can always be joined")
    reference: Annotated[str, Field(min_length=1, max_length=MAX_REFERENCE_CHARACTERS)] | None = Field(
        default=None, description="your own name for it; printable characters"
    )


class DigitsToSend(Body):
    """Digits for one leg of a call."""

    leg: Literal[1, 2, 3]
    digits: Annotated[str, Field(pattern=DIGITS_AND_PAUSES)] = Field(
        description="w pauses for 0.5 s, a comma for 1 s", examples=["1w23#"]
    )


class FurtherDestination(LegWishes):
    """Whom a call in progress is to ring."""

    destination: Destination


class FirstStage(Model):
    """How the ringing of destination 1 ended."""

    status: Literal["pending", "ok", "Fail"]
    reason: Literal["No answer", "Busy", "Not connected", "Unreachable"] | None


class PlacedCall(Record):
    """A call that was placed just now."""

    first_stage: FirstStage


class CallPage(Model):
    """Calls in progress, all of them."""

    items: list[Record]
    next: None = None


class NewBatch(Body):
    """Many numbers to be dialled; each that answers gets its own dial2."""

    dial1: list[Destination] = Field(min_length=1, max_length=1000)
    dial2: Destination
    set_cid: CallerIdentity | None = None
    ring_seconds: RingSeconds = DEFAULT_RING_SECONDS


class Batch(Model):
    """A request for many numbers."""

    id: str
    user: str
    state: str
    cancelled_by: str | None
    numbers: int
    dial2: str
    set_cid: str | None
    accepted_at: Time
    ended_at: Time | None


class BatchPage(Model):
    """Batches, newest first."""

    items: list[Batch]
    next: str | None


class BatchResult(Model):
    """How one number of a batch stands."""

    number: str
    status: NumberState
    reason: str | None
    uid1: str | None
    uid2: str | None
    record_id: str | None


class BatchReport(Batch):
    """A batch with all its numbers."""

    counts: dict[str, int]
    results: list[BatchResult]


class Agent(Model):
    """An agent of a queue."""

    number: str
    state: str
    since: Time | None


class Queue(Model):
    """A queue now."""

    number: str
    strategy: str
    waiting: int
    waiting_since: Time | None
    agents: list[Agent]


class QueuePage(Model):
    """All queues, by number."""

    items: list[Queue]


class ExtensionState(Model):
    """An extension now."""

    number: str
    caller_id: str | None
    state: Literal["free", "busy"] = Field(description="busy: a call of this server rings it, or goes on there")
    since: Time | None


class ExtensionPage(Model):
    """All extensions of the settings, by number."""

    items: list[ExtensionState]


class TrunkStatus(Model):
    """The organisation's trunk, and where its registration stands."""

    name: str
    state: str
    sip_code: int | None
    text: str


class TrunkPage(Model):
    """The organisation's trunk, if it has one."""

    items: list[TrunkStatus]


class LimitStatus(Model):
    """The organisation's limits, null where there is none, and what it uses of them."""

    max_calls: int | None
    calls_in_progress: int
    calls_per_second: float | None


class NewKey(Body):
    """A Bearer key to be made."""

    name: str = Field(min_length=1, max_length=64)
    scopes: list[Literal["call", "read", "admin"]] = Field(min_length=1, max_length=3)


class Key(Model):
    """A Bearer key, without the key."""

    id: str
    name: str
    scopes: list[Literal["call", "read", "admin"]]
    created_at: Time
    revoked_at: Time | None


class MadeKey(Key):
    """A Bearer key, told this once."""

    key: str


class KeyPage(Model):
    """All keys that were made, newest first."""

    items: list[Key]
