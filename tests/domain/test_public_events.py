"""Public events: read off the records, in one schema."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sipcore.domain import public_events
from sipcore.domain.causes import Disposition
from sipcore.domain.commands import JoinQueue, LeaveQueue
from sipcore.domain.errors import ParameterError
from sipcore.domain.events import AgentsOffered, DigitPressed, QueuePosition, WaitRefused
from sipcore.domain.public_events import EventType, StoredEvent, first_id_at, read_id, steps
from sipcore.domain.record import CallRecord, LegRecord
from sipcore.domain.recording import Recording, RecordingFormat
from sipcore.domain.registration import RegistrationState, TrunkState

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
AGENT = LegRecord("uid-1", "101")
CUSTOMER = LegRecord("uid-2", "+12025550123", party="dial2")
CALL = CallRecord("c1", "acme", "alice", "101", "+12025550123", None, NOON, (AGENT, CUSTOMER))


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def types(before, after):
    return [event.type for event in steps(before, after)]


def body(event):
    return json.loads(event.body())


def test_every_type_that_was_promised_is_there():
    promised = "accepted leg-1-ringing leg-1-answered leg-2-ringing leg-2-answered joined digit recording-ready ended"
    assert set(promised.split()) <= set(EventType)


def test_a_record_that_says_nothing_new_tells_nothing():
    rings = replace(CALL, legs=(replace(AGENT, ringing_at=at(1)), CUSTOMER))
    assert types(CALL, CALL) == []
    assert types(rings, replace(rings, legs=(replace(rings.legs[0], disposition=Disposition.BUSY), CUSTOMER))) == []


def test_each_step_is_told_once_and_with_its_leg_and_time():
    ringing = replace(CALL, legs=(replace(AGENT, ringing_at=at(1)), CUSTOMER))
    answered = replace(CALL, legs=(replace(ringing.legs[0], answered_at=at(2)), CUSTOMER))
    second = replace(
        answered, legs=(answered.legs[0], replace(CUSTOMER, ringing_at=at(3), answered_at=at(4))), joined_at=at(4)
    )
    (event,) = steps(CALL, ringing)
    assert (event.type, event.time, event.call, event.organisation) == ("leg-1-ringing", at(1), "c1", "acme")
    assert event.uids == {"dial1": "uid-1", "dial2": "uid-2"}
    assert event.data == {"uid": "uid-1", "party": "dial1", "number": "101"}
    assert types(ringing, answered) == ["leg-1-answered"]
    assert types(answered, second) == ["leg-2-ringing", "leg-2-answered", "joined"]


def test_a_call_that_is_seen_late_tells_everything_so_far():
    late = replace(CALL, legs=(replace(AGENT, ringing_at=at(1), answered_at=at(2)), CUSTOMER))
    assert types(None, late) == ["leg-1-ringing", "leg-1-answered"]


def test_each_phone_of_a_group_is_told_with_its_own_uid_and_the_call_keeps_the_first_ones():
    phones = tuple(LegRecord(f"uid-{n}", f"10{n}", party="dial2", ringing_at=at(n)) for n in (2, 3))
    group = replace(CALL, legs=(AGENT, *phones))
    events = list(steps(CALL, group))
    assert [event.data["uid"] for event in events] == ["uid-2", "uid-3"]
    assert {event.uids["dial2"] for event in events} == {"uid-2"}


def test_the_end_tells_what_became_of_call_and_legs():
    leg = replace(AGENT, disposition=Disposition.ANSWERED, sip_code=200, cause=16, ended_by="remote")
    over = replace(
        CALL,
        legs=(leg, CUSTOMER),
        joined_at=at(5),
        ended_at=at(12.5),
        disposition=Disposition.ANSWERED,
        ended_by="dial1",
    )
    told = body(public_events.ended(over, at(12.5)))
    assert (told["type"], told["time"]) == ("ended", "2026-03-01T12:00:12.500Z")
    data = told["data"]
    assert (data["disposition"], data["ended_by"], data["joined_seconds"]) == ("answered", "dial1", 7.5)
    assert data["legs"][0] == {
        "uid": "uid-1", "party": "dial1", "number": "101", "disposition": "answered", "sip_code": 200, "cause": 16,
        "ended_by": "remote", "answered_by": None,
    }  # fmt: skip


def test_a_call_that_was_never_joined_has_no_length():
    assert public_events.ended(CALL, at(3)).data["joined_seconds"] is None


def test_a_key_is_told_only_where_it_may_be():
    pressed = DigitPressed("uid-2", "7", 120)
    hidden, shown = (public_events.digit(CALL, pressed, at(1), shown=shown) for shown in (False, True))
    assert "7" not in hidden.body().replace("+12025550123", "")
    assert hidden.data["digit"] is None
    assert shown.data["digit"] == "7"
    assert shown.data["party"] == "dial2"


def test_a_recording_is_told_with_its_id_and_length():
    recording = Recording("r1", "c1", "acme", "101", RecordingFormat.WAV, at(2), 7.25, 1000)
    event = public_events.recording_ready(CALL, recording, at(9))
    assert (event.type, event.time, event.call) == ("recording-ready", at(9), "c1")
    assert (event.data["recording_id"], event.data["seconds"], event.data["flaw"]) == ("r1", 7.25, None)


def test_a_trunk_is_told_when_it_stands_otherwise_and_not_while_it_registers():
    failed = public_events.trunk_event(TrunkState("main", RegistrationState.FAILED, 403, "Forbidden"), "acme", NOON)
    assert (failed.type, failed.call, failed.data["sip_code"]) == ("trunk-failed", None, 403)
    assert public_events.trunk_event(TrunkState("main", RegistrationState.REGISTERING), "acme", NOON) is None


def test_the_schema_is_whole_whatever_a_name_is_made_of():
    odd = replace(CALL, user='zoë "\u2028\ud800', accepted_at=NOON.astimezone(timezone(timedelta(hours=-5))))
    stored = StoredEvent(first_id_at(NOON.timestamp()) + 5, "acme", "accepted", public_events.accepted(odd).body())
    event = json.loads(stored.json())
    assert list(event) == ["id", "version", "type", "time", "organisation", "call", "uids", "data"]
    assert (event["time"], event["version"], event["data"]["user"]) == ("2026-03-01T12:00:00.000Z", 1, odd.user)
    assert read_id(event["id"], "after") == stored.id
    assert stored.stored_at == NOON.timestamp()


def test_ids_sort_as_texts_as_they_do_as_numbers():
    ids = [1, 255, first_id_at(1), first_id_at(1e9), first_id_at(5e9), 2**63 - 1]
    assert sorted(map(public_events.written_id, ids)) == list(map(public_events.written_id, ids))


@pytest.mark.parametrize(
    "text", ["", "0", "g" * 16, "A" * 16, "f" * 16, "0" * 17, " " * 16, "+123456789abcdef", "٣" * 16]
)
def test_what_is_no_id_is_refused(text):
    with pytest.raises(ParameterError, match="after"):
        read_id(text, "after")


def test_a_queue_tells_who_waits_who_is_offered_and_how_the_wait_ended():
    steps_of_a_wait = (
        JoinQueue("uid-2", "700"),
        AgentsOffered("uid-2", ("101", "102")),
        LeaveQueue("uid-2", "700", "101"),
        LeaveQueue("uid-2", "700"),
        WaitRefused("uid-2"),
        QueuePosition("uid-2", 3),
    )
    told = [public_events.queue_event(CALL, step, at(1)) for step in steps_of_a_wait]
    assert [event and (event.type, event.data) for event in told] == [
        ("queue-joined", {"uid": "uid-2", "queue": "700"}),
        ("queue-offered", {"uid": "uid-2", "agents": ["101", "102"]}),
        ("queue-answered", {"uid": "uid-2", "queue": "700", "agent": "101"}),
        ("queue-left", {"uid": "uid-2", "queue": "700", "agent": None}),
        ("queue-refused", {"uid": "uid-2"}),
        None,
    ]


def test_an_agent_that_pauses_is_told():
    event = public_events.agent_event("acme", "700", "101", NOON, paused=True)
    assert (event.type, event.call, event.data) == ("agent-paused", None, {"queue": "700", "agent": "101"})
    assert public_events.agent_event("acme", "700", "101", NOON, paused=False).type == "agent-resumed"
