"""What an organisation is told of its calls, queues and trunks: one schema for webhooks, WebSockets and event streams.

Most of it is read off the records: what a record has now and did not have before has happened in between.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from sipcore.domain.batch_record import BatchRecord
from sipcore.domain.commands import JoinQueue, LeaveQueue, QueueCommand
from sipcore.domain.errors import ParameterError
from sipcore.domain.events import AgentsOffered, DigitPressed, WaitRefused
from sipcore.domain.record import CallRecord, LegRecord
from sipcore.domain.recording import Recording
from sipcore.domain.registration import RegistrationState, TrunkState
from sipcore.domain.role import Role
from sipcore.domain.waiting_queue import QueueNotice

SCHEMA_VERSION = 1
"""Rises when a member is taken out or changes its meaning; new members and new types do not count."""
_ID_DIGITS = 16
_SEQUENCE_BITS = 20
_WRITER = json.JSONEncoder(separators=(",", ":"))

QueueStep = QueueCommand | QueueNotice
"""What a call wants of a queue, or is told by it."""


class EventType(StrEnum):
    """What has happened."""

    ACCEPTED = "accepted"
    LEG_1_RINGING = "leg-1-ringing"
    LEG_1_ANSWERED = "leg-1-answered"
    LEG_2_RINGING = "leg-2-ringing"
    LEG_2_ANSWERED = "leg-2-answered"
    LEG_3_RINGING = "leg-3-ringing"
    LEG_3_ANSWERED = "leg-3-answered"
    JOINED = "joined"
    DIGIT = "digit"
    RECORDING_READY = "recording-ready"
    ENDED = "ended"
    QUEUE_JOINED = "queue-joined"
    QUEUE_OFFERED = "queue-offered"
    QUEUE_ANSWERED = "queue-answered"
    QUEUE_LEFT = "queue-left"
    QUEUE_REFUSED = "queue-refused"
    AGENT_PAUSED = "agent-paused"
    AGENT_RESUMED = "agent-resumed"
    BATCH_ACCEPTED = "batch-accepted"
    BATCH_ENDED = "batch-ended"
    SCHEDULE_ACCEPTED = "schedule-accepted"
    SCHEDULE_ATTEMPT = "schedule-attempt"
    SCHEDULE_MISSED = "schedule-missed"
    SCHEDULE_ENDED = "schedule-ended"
    CAMPAIGN_CREATED = "campaign-created"
    CAMPAIGN_STARTED = "campaign-started"
    CAMPAIGN_PAUSED = "campaign-paused"
    CAMPAIGN_STOPPED = "campaign-stopped"
    CAMPAIGN_ATTEMPT = "campaign-attempt"
    CAMPAIGN_ENDED = "campaign-ended"
    TRUNK_REGISTERED = "trunk-registered"
    TRUNK_FAILED = "trunk-failed"
    TRUNK_UNREGISTERED = "trunk-unregistered"


@dataclass(frozen=True, slots=True)
class PublicEvent:
    """One event, before it is stored and so has an id.

    Attributes:
        type: what has happened.
        time: when (aware).
        organisation: whose event it is.
        call: id of the call's record, or None when it is about no call.
        uids: UniqueIDs that the call's parties were given at acceptance, by `dial1` and `dial2`, and that of a `third`.
        data: what this type of event tells, ready for JSON.
    """

    type: EventType
    time: datetime
    organisation: str
    call: str | None = None
    uids: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, object] = field(default_factory=dict)

    def body(self) -> str:
        """Write it as the JSON object that is stored; `StoredEvent.json` puts the id in front."""
        members = {
            "version": SCHEMA_VERSION,
            "type": self.type,
            "time": written_time(self.time),
            "organisation": self.organisation,
            "call": self.call,
            "uids": self.uids,
            "data": self.data,
        }
        return _WRITER.encode(members)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event with its id; ids rise in the order in which events were stored.

    Attributes:
        id: milliseconds since 1970 of its storing, and 20 bits that tell apart what was stored in one of them.
        organisation, type: as in the event.
        body: the event as it was written.
    """

    id: int
    organisation: str
    type: str
    body: str

    @property
    def public_id(self) -> str:
        """The id as others see it: 16 hex digits, which sort as the events do."""
        return written_id(self.id)

    @property
    def stored_at(self) -> float:
        """When it was stored, in seconds since 1970."""
        return (self.id >> _SEQUENCE_BITS) / 1000

    def json(self) -> bytes:
        """The whole event, as every receiver gets it."""
        return f'{{"id":"{self.public_id}",{self.body[1:]}'.encode("ascii")


def first_id_at(seconds: float) -> int:
    """Return the least id of what is stored at a time (seconds since 1970)."""
    return int(seconds * 1000) << _SEQUENCE_BITS


def written_id(event_id: int) -> str:
    """Write an id as others see it."""
    return f"{event_id:0{_ID_DIGITS}x}"


def read_id(text: str, parameter: str) -> int:
    """Read an id that somebody gives back.

    Raises:
        ParameterError: it is none of ours.
    """
    if len(text) != _ID_DIGITS or not set(text) <= set("0123456789abcdef") or text[0] > "7":
        raise ParameterError(parameter, "must be the id of an event: 16 hex digits, in lower case")
    return int(text, 16)


def written_time(moment: datetime | None) -> str | None:
    """Write a time as RFC 3339 does, in UTC, to the millisecond."""
    if moment is None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


_RINGING: dict[str, EventType] = {
    Role.FIRST: EventType.LEG_1_RINGING,
    Role.SECOND: EventType.LEG_2_RINGING,
    Role.THIRD: EventType.LEG_3_RINGING,
}
_ANSWERED: dict[str, EventType] = {
    Role.FIRST: EventType.LEG_1_ANSWERED,
    Role.SECOND: EventType.LEG_2_ANSWERED,
    Role.THIRD: EventType.LEG_3_ANSWERED,
}


def accepted(record: CallRecord) -> PublicEvent:
    """Tell that a call was accepted: the first event of every call."""
    return _of_call(EventType.ACCEPTED, record.accepted_at, record, _request(record))


def steps(before: CallRecord | None, after: CallRecord) -> Iterator[PublicEvent]:
    """Tell what a call in progress has done: what its record has now and did not have before.

    Args:
        before: its record when it was last looked at, or None.
        after: its record now.
    """
    known = {} if before is None else {leg.uid: leg for leg in before.legs}
    for leg in after.legs:
        old = known.get(leg.uid)
        if leg.ringing_at is not None and (old is None or old.ringing_at is None):
            yield _of_call(_RINGING[leg.party], leg.ringing_at, after, _which(leg))
        if leg.answered_at is not None and (old is None or old.answered_at is None):
            yield _of_call(_ANSWERED[leg.party], leg.answered_at, after, _which(leg))
    if after.joined_at is not None and (before is None or before.joined_at is None):
        yield _of_call(EventType.JOINED, after.joined_at, after, {})


def ended(record: CallRecord, time: datetime) -> PublicEvent:
    """Tell what became of a call: its last event.

    Args:
        record: complete.
        time: when it ended.
    """
    talked = None if record.joined_at is None else round((time - record.joined_at).total_seconds(), 3)
    data = _request(record) | {
        "disposition": record.disposition,
        "ended_by": record.ended_by,
        "accepted_at": written_time(record.accepted_at),
        "joined_at": written_time(record.joined_at),
        "joined_seconds": talked,
        "legs": [_became(leg) for leg in record.legs],
    }
    return _of_call(EventType.ENDED, time, record, data)


def digit(record: CallRecord, event: DigitPressed, time: datetime, *, shown: bool) -> PublicEvent:
    """Tell that a key was pressed.

    Args:
        record: of the call.
        event: the key.
        time: when.
        shown: whether the key itself is told; it may be a part of a PIN.
    """
    data: dict[str, object] = next((_which(leg) for leg in record.legs if leg.uid == event.leg), {"uid": event.leg})
    pressed = event.digit if shown else None
    return _of_call(EventType.DIGIT, time, record, data | {"digit": pressed, "duration_ms": event.duration_ms})


def recording_ready(record: CallRecord, recording: Recording, time: datetime) -> PublicEvent:
    """Tell that a call's recording can be fetched.

    Args:
        record: of the call.
        recording: what is known of it.
        time: when.
    """
    data = {
        "recording_id": recording.id,
        "owner": recording.owner,
        "format": recording.format,
        "started_at": written_time(recording.started_at),
        "seconds": recording.seconds,
        "octets": recording.octets,
        "flaw": recording.flaw,
    }
    return _of_call(EventType.RECORDING_READY, time, record, data)


def queue_event(record: CallRecord, step: QueueStep, time: datetime) -> PublicEvent | None:
    """Tell of a call that waits in a queue; None for what is no news.

    Args:
        record: of the call.
        step: what the call wants of the queue, or is told by it.
        time: when.
    """
    data: dict[str, object] = {"uid": step.ticket}
    if isinstance(step, JoinQueue):
        return _of_call(EventType.QUEUE_JOINED, time, record, data | {"queue": step.queue})
    if isinstance(step, LeaveQueue):
        kind = EventType.QUEUE_ANSWERED if step.agent else EventType.QUEUE_LEFT
        return _of_call(kind, time, record, data | {"queue": step.queue, "agent": step.agent or None})
    if isinstance(step, AgentsOffered):
        return _of_call(EventType.QUEUE_OFFERED, time, record, data | {"agents": list(step.agents)})
    if isinstance(step, WaitRefused):
        return _of_call(EventType.QUEUE_REFUSED, time, record, data)
    return None


def batch_events(before: BatchRecord | None, after: BatchRecord) -> Iterator[PublicEvent]:
    """Tell what a request for many numbers has come to: its record is new, or has an end that it did not have before.

    Args:
        before: its record as it was stored, or None.
        after: its record now.
    """
    data = {
        "batch_id": after.id,
        "user": after.user,
        "dial2": after.dial2,
        "set_cid": after.set_cid,
        "numbers": len(after.numbers),
    }
    if before is None:
        yield PublicEvent(EventType.BATCH_ACCEPTED, after.accepted_at, after.organisation, data=data)
    if after.ended_at is not None and (before is None or before.ended_at is None):
        told = data | {"cancelled_by": after.cancelled_by}
        yield PublicEvent(EventType.BATCH_ENDED, after.ended_at, after.organisation, data=told)


def agent_event(organisation: str, queue: str, agent: str, time: datetime, *, paused: bool) -> PublicEvent:
    """Tell that an agent of a queue pauses, or is back."""
    kind = EventType.AGENT_PAUSED if paused else EventType.AGENT_RESUMED
    return PublicEvent(kind, time, organisation, data={"queue": queue, "agent": agent})


_OF_TRUNK = {
    RegistrationState.REGISTERED: EventType.TRUNK_REGISTERED,
    RegistrationState.FAILED: EventType.TRUNK_FAILED,
    RegistrationState.UNREGISTERED: EventType.TRUNK_UNREGISTERED,
}


def trunk_event(state: TrunkState, organisation: str, time: datetime) -> PublicEvent | None:
    """Tell an organisation how its trunk's registration stands now; None for a state that only passes."""
    kind = _OF_TRUNK.get(state.state)
    if kind is None:
        return None
    data = {"trunk": state.trunk, "sip_code": state.sip_code, "text": state.text}
    return PublicEvent(kind, time, organisation, data=data)


def _of_call(kind: EventType, time: datetime, record: CallRecord, data: Mapping[str, object]) -> PublicEvent:
    # The first leg of a party carries the UniqueID that the party was given.
    uids = {leg.party: leg.uid for leg in reversed(record.legs)}
    return PublicEvent(kind, time, record.organisation, record.id, uids, data)


def _request(record: CallRecord) -> dict[str, object]:
    return {
        "user": record.user,
        "dial1": record.dial1,
        "dial2": record.dial2,
        "set_cid": record.set_cid,
        "direction": record.direction,
        "batch_id": record.batch_id,
        "reference": record.reference,
    }


def _which(leg: LegRecord) -> dict[str, object]:
    return {"uid": leg.uid, "party": leg.party, "number": leg.number}


def _became(leg: LegRecord) -> dict[str, object]:
    return _which(leg) | {
        "disposition": leg.disposition,
        "sip_code": leg.sip_code,
        "cause": leg.cause,
        "ended_by": leg.ended_by,
        "answered_by": leg.answered_by,
    }
