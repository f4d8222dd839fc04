"""What crosses on the wire: no leg is left, the call's record is finished, and every leg slot is free again."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from server import Server, kept_ports
from testbed import scenarios
from testbed.phone import Phone
from testbed.process import TestbedError, wait_until
from testbed.scenarios import Scenario
from testbed.sipp import Sipp

TABLES = """
[orgs.acme]
country = "US"
caller_id = "+12025550100"
[orgs.acme.users.alice]
password = "s3cret"
"""
EXTENSION = """
[orgs.acme.extensions.{number}]
contact = "sip:{number}@127.0.0.1:{port}"
"""
CALLS_AT_ONCE = 2
"""One worker with four legs (the most that the library carries) is all that the server may start."""

Peer = Callable[[Scenario], Sipp]


@dataclass(frozen=True)
class Bed:
    """The server, the phones of the calls that follow a race, and the ports of the race's own peers."""

    server: Server
    first: Phone
    second: Phone
    ports: list[int]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with kept_ports(2) as ports, Phone("103") as first, Phone("104") as second:
        contacts = {101: ports[0], 102: ports[1], 103: first.port, 104: second.port}
        tables = TABLES + "".join(EXTENSION.format(number=number, port=port) for number, port in contacts.items())
        with Server(tmp_path_factory.mktemp("server"), tables, sip_ports=1) as server:
            yield Bed(server, first, second, ports)


@pytest.fixture
def peer(bed: Bed) -> Iterator[Peer]:
    """Let scripted peers answer as extensions 101 and then 102; afterwards nothing of their calls may be left."""
    ports = iter(bed.ports)
    with ExitStack() as stack:
        yield lambda scenario: stack.enter_context(Sipp(scenario, port=next(ports)))
        assert [record for record in bed.server.records() if record["ended_at"] is None] == []
        calls_follow(bed)


def calls_follow(bed: Bed) -> None:
    """Fill every leg slot of the server with calls that are joined, and end them."""
    answers = [bed.server.dial("103", "104").json() for _ in range(CALLS_AT_ONCE)]
    assert [answer["status"] for answer in answers] == ["ok"] * CALLS_AT_ONCE, answers
    for phone in (bed.first, bed.second):
        wait_states(phone, ["answered"] * CALLS_AT_ONCE)
    bed.first.hang_up()
    records = [bed.server.wait_record(answer["dial1"]) for answer in answers]
    assert [record["disposition"] for record in records] == ["answered"] * CALLS_AT_ONCE
    for phone in (bed.first, bed.second):
        wait_states(phone, [])


def wait_states(phone: Phone, expected: list[str]) -> None:
    """Wait until a phone's calls are in these states; those that have ended do not count."""

    def states() -> list[str]:
        return [call.state for call in phone.active_calls()]

    wait_until(lambda: states() == expected, 10.0, lambda: f"{phone.extension}: {states()}, not {expected}")


def with_pause(scenario: Scenario, milliseconds: int, *, before: str = "") -> Scenario:
    """Let a peer say nothing for a while: before it sends a certain message to the INVITE, or before all."""
    head, found, tail = scenario.xml.rpartition(f"SIP/2.0 {before}") if before else scenario.xml.partition("<send")
    at = head.rindex("<send") if before else len(head)
    assert found
    xml = head[:at] + f'<pause milliseconds="{milliseconds}"/>\n' + head[at:] + found + tail
    return replace(scenario, xml=xml)


def story(peer: Sipp, uid: str) -> list[str | int | None]:
    """What a peer sent and received in a call, one word for each message, repeated INVITEs left out."""
    words = [trace.method or trace.code for trace in peer.calls()[uid]]
    return [word for at, word in enumerate(words) if word != "INVITE" or at == 0]


def wait_story(peer: Sipp, uid: str, expected: list[str | int]) -> None:
    """Wait until a peer has sent and received just this."""
    wait_until(lambda: story(peer, uid) == expected, 5.0, lambda: f"{story(peer, uid)} is not {expected}")


def failed(bed: Bed, answer: dict[str, Any], reason: str = "No answer") -> dict[str, Any]:
    """Check the reply and return the finished record."""
    assert (answer["status"], answer["reason"]) == ("Fail", reason)
    return bed.server.wait_record(answer["dial1"])


LEGS = pytest.mark.parametrize(("dial1", "dial2"), [("101", "103"), ("103", "101")])
"""The scripted peer as leg 1 and as leg 2 of a call, a phone as the other."""


CROSSED = ["INVITE", 180, "CANCEL", 200, 200, "ACK", "BYE", 200]
CROSSING_BYES = [["BYE", "BYE", 200], ["BYE", "BYE", 481]]


def uid_of(answer: dict[str, Any], dial1: str) -> str:
    """Return the UniqueID of the leg to the scripted peer."""
    uid: str = answer["dial1" if dial1 == "101" else "dial2"]
    return uid


@LEGS
def test_of_two_forks_that_answer_the_second_is_released_and_the_call_stays(bed, peer, dial1, dial2):
    fork = peer(scenarios.fork(ring=50))
    answer = bed.server.dial(dial1, dial2).json()
    assert answer["status"] == "ok"
    assert fork.wait_for("BYE", timeout=10).header("To").endswith("a")
    assert {trace.header("To")[-1] for trace in fork.received("ACK")} == {"a", "b"}
    fork.wait_for(200, count=3, direction="sent")
    assert [call.state for call in bed.first.active_calls()] == ["answered"]
    assert bed.server.records(uid=answer["dial1"])[0]["ended_at"] is None
    bed.first.hang_up()
    assert fork.wait_for("BYE", count=2).header("To").endswith("b")
    assert bed.server.wait_record(answer["dial1"])["disposition"] == "answered"
    assert {trace.header("Call-ID") for trace in fork.messages()} == {uid_of(answer, dial1)}


@pytest.mark.parametrize("late_by", [None, 300])
def test_an_answer_that_crosses_our_cancel_is_ended_by_ack_and_bye(bed, peer, late_by):
    scenario = scenarios.late_answer()
    phone = peer(with_pause(scenario, late_by, before="200 OK\n[$via]") if late_by else scenario)
    answer = bed.server.dial("101", "103", Timeout=1).json()
    record = failed(bed, answer)
    wait_story(phone, answer["dial1"], CROSSED)
    assert (record["disposition"], record["legs"][0]["disposition"]) == ("no_answer", "no_answer")
    assert (record["legs"][0]["answered_at"], record["legs"][1]["placed_at"]) == (None, None)


def test_an_answer_after_our_timeout_without_any_ringing_is_ended_by_ack_and_bye(bed, peer):
    phone = peer(with_pause(scenarios.answer(), 1300))
    answer = bed.server.dial("101", "103", Timeout=1).json()
    record = failed(bed, answer)
    wait_story(phone, answer["dial1"], ["INVITE", 200, "ACK", "BYE", 200])
    assert record["disposition"] == "no_answer"


def test_a_phone_that_begins_to_ring_after_our_timeout_is_cancelled(bed, peer):
    phone = peer(with_pause(scenarios.no_answer(), 1300))
    answer = bed.server.dial("101", "103", Timeout=1).json()
    record = failed(bed, answer)
    wait_story(phone, answer["dial1"], ["INVITE", 180, "CANCEL", 200, 487, "ACK"])
    assert record["disposition"] == "no_answer"


def test_a_second_phone_that_answers_as_the_first_hangs_up_is_released(bed, peer):
    phone = peer(scenarios.late_answer())
    answer = bed.server.dial("103", "101").json()
    phone.wait_for(180, direction="sent")
    bed.server.wait_log("leg ringing", uid=answer["dial2"])
    bed.first.hang_up()
    wait_story(phone, answer["dial2"], CROSSED)
    record = bed.server.wait_record(answer["dial1"])
    assert (record["disposition"], record["ended_by"]) == ("cancelled", "dial1")


@pytest.mark.parametrize("milliseconds", [97, 99, 100, 101, 103])
def test_a_first_phone_may_leave_at_the_very_moment_when_the_second_answers(bed, peer, milliseconds):
    first = peer(scenarios.answer(bye_after=100))
    second = peer(scenarios.answer(ring=milliseconds))
    answer = bed.server.dial("101", "102").json()
    record = bed.server.wait_record(answer["dial1"])
    first.wait_for(200)
    assert record["ended_by"] == "dial1"
    assert record["disposition"] in ("answered", "cancelled")
    # SIPp does not answer a CANCEL that comes after its 200.
    told = [word for word in story(second, answer["dial2"]) if word != "CANCEL"]
    answered, cancelled = ["INVITE", 180, 200, "ACK", "BYE", 200], ["INVITE", 180, 200, 487, "ACK"]
    assert told in (answered, cancelled)
    assert record["disposition"] == "cancelled" or told == answered


@LEGS
def test_a_bye_that_crosses_ours_is_answered(bed, peer, dial1, dial2):
    phone = peer(scenarios.bye_race())
    answer = bed.server.dial(dial1, dial2).json()
    assert answer["status"] == "ok"
    phone.wait_for("ACK")
    bed.server.wait_log("leg answered", uid=answer["dial2"])
    bed.first.hang_up()
    record = bed.server.wait_record(answer["dial1"])
    uid = uid_of(answer, dial1)
    wait_until(lambda: story(phone, uid)[3:6] in CROSSING_BYES, 5.0, lambda: str(story(phone, uid)))
    assert (record["disposition"], record["ended_by"]) == ("answered", "dial1" if dial1 == "103" else "dial2")


def hang_up(phone: Phone) -> None:
    # The BYE of the other phone may have been faster: then there is nothing to hang up.
    with suppress(TestbedError):
        phone.hang_up()


@pytest.mark.usefixtures("peer")
def test_both_phones_may_hang_up_at_once(bed):
    phones = (bed.first, bed.second)
    for _ in range(3):
        answer = bed.server.dial("103", "104").json()
        for phone in phones:
            wait_states(phone, ["answered"])
        with ThreadPoolExecutor(2) as both:
            list(both.map(hang_up, phones))
        for phone in phones:
            wait_states(phone, [])
        assert bed.server.wait_record(answer["dial1"])["disposition"] == "answered"


@LEGS
def test_an_answer_that_is_repeated_is_acknowledged_again_and_the_call_stays(bed, peer, dial1, dial2):
    phone = peer(scenarios.lost_ack(repeats=1))
    answer = bed.server.dial(dial1, dial2).json()
    assert answer["status"] == "ok"
    phone.wait_for("ACK", count=2)
    assert {trace.header("CSeq") for trace in phone.received("ACK")} == {phone.received("ACK")[0].header("CSeq")}
    assert "BYE" not in story(phone, uid_of(answer, dial1))
    assert len(bed.server.log_lines("leg answered")) == len(
        {line["uid"] for line in bed.server.log_lines("leg answered")}
    )
    bed.first.hang_up()
    phone.wait_for("BYE")
    assert bed.server.wait_record(answer["dial1"])["disposition"] == "answered"


@pytest.mark.parametrize(
    ("scenario", "reason", "disposition"),
    [
        (scenarios.final(480), "Not connected", "not_connected"),
        (scenarios.final(480, ring=1), "No answer", "no_answer"),
    ],
)
def test_a_480_is_told_by_whether_the_phone_had_rung(bed, peer, scenario, reason, disposition):
    peer(scenario)
    assert failed(bed, bed.server.dial("101", "103").json(), reason)["disposition"] == disposition
