"""What two parties hear of each other and of the call's progress, and what ends their call: real phones, real audio."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from server import Server, kept_ports
from testbed import audio, scenarios
from testbed.phone import Phone, PhoneCall
from testbed.process import TestbedError, wait_until
from testbed.sipp import Sipp

TABLES = """
[trunks.tcp]
proxy = "sip:127.0.0.1:{tcp}"
transport = "tcp"
[orgs.acme]
country = "US"
caller_id = "+12025550100"
trunk = "tcp"
[orgs.acme.users.alice]
password = "s3cret"
[orgs.helga]
country = "DE"
caller_id = "+493012345678"
[orgs.helga.users.alice]
password = "s3cret"
"""
EXTENSION = """
[orgs.{org}.extensions.{number}]
contact = "sip:{number}@127.0.0.1:{port}"
"""
FIRST_HZ, SECOND_HZ = 700.0, 1000.0
PROPAGATION_SECONDS = 0.5
"""What the time from one side's BYE to the other's may be."""
RELEASE_SECONDS = 5.0
"""How soon leg 1 is released when leg 2 has failed."""


@dataclass(frozen=True)
class Bed:
    """The server, two phones, and the ports that a test's own peers take as extensions 103 and 104."""

    server: Server
    first: Phone
    second: Phone
    third_port: int
    fourth_port: int
    tcp_port: int

    def dial(self, dial1: str, dial2: str, **parameters: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.server.dial(dial1, dial2, **parameters).json()
        assert answer["status"] == "ok", answer
        return answer


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with (
        kept_ports(3) as (third, fourth, tcp),
        Phone("101", tone_hz=FIRST_HZ) as first,
        Phone("102", tone_hz=SECOND_HZ) as second,
    ):
        tables = TABLES.format(tcp=tcp)
        for org in ("acme", "helga"):
            for number, port in ((101, first.port), (102, second.port), (103, third), (104, fourth)):
                tables += EXTENSION.format(org=org, number=number, port=port)
        with Server(tmp_path_factory.mktemp("server"), tables) as server:
            yield Bed(server, first, second, third, fourth, tcp)


@pytest.fixture(autouse=True)
def _hung_up(bed: Bed) -> Iterator[None]:
    """Start and leave with phones that answer and have no call."""
    yield
    for phone in (bed.first, bed.second):
        if phone.active_calls():
            # By now the other's BYE may have ended it.
            with contextlib.suppress(TestbedError):
                phone.hang_up()
        for call in phone.calls():
            phone.wait_for("ended", call=call.number)
        phone.behave("answer")


def call_of(phone: Phone, uid: str) -> PhoneCall:
    """Return the phone's call of this Call-ID, once its INVITE has come."""
    return wait_until(
        lambda: next((call for call in phone.calls() if call.call_id == uid), None),
        5.0,
        lambda: f"no call {uid} at {phone.extension}: {phone.calls()}",
    )


def joined(bed: Bed) -> tuple[dict[str, Any], int, int]:
    """Place a call from 101 to 102; return the reply and each phone's number of the call, once both hear the other."""
    answer = bed.dial("101", "102")
    first, second = call_of(bed.first, answer["dial1"]), call_of(bed.second, answer["dial2"])
    hear_each_other(bed, first.number, second.number)
    return answer, first.number, second.number


def hear_each_other(bed: Bed, first: int, second: int) -> None:
    """Wait until each phone hears the other's tone and nothing else."""
    wait_hears_only(bed.first, SECOND_HZ, first)
    wait_hears_only(bed.second, FIRST_HZ, second)


def wait_hears_only(phone: Phone, hz: float, call: int | None = None) -> None:
    """Wait until one tone and no other fills a stretch of what a phone hears, its beginning no longer in it."""

    def tones_heard() -> list[float]:
        recording = phone.recording(call)
        return [round(tone.hz, -1) for tone in audio.tones(recording.last(0.3))] if recording.seconds > 0.3 else []

    wait_until(lambda: tones_heard() == [hz], 5.0, lambda: f"{phone.extension} hears {tones_heard()}, not {hz} alone")


def tones_between(recording: audio.Recording, start: float, end: float) -> list[float]:
    return sorted(tone.hz for tone in audio.tone_at(recording, start, end))


def wait_cadence(phone: Phone, call: int, bursts: int, *hz: float) -> list[audio.Segment]:
    """Wait until so many bursts of a tone have come to their end; return all that were heard."""

    def heard() -> list[audio.Segment] | None:
        recording = phone.recording(call)
        found = audio.cadence(recording, *hz)
        ended = [segment for segment in found if segment.end < recording.seconds - 0.1]
        return ended if len(ended) >= bursts else None

    def story() -> str:
        return f"{phone.extension} heard {audio.cadence(phone.recording(call), *hz)}"

    return wait_until(heard, 15.0, story, interval=0.2)


def wait_ended(phone: Phone, call: int) -> float:
    """Wait for a call's end and return when it came."""
    return float(phone.wait_for("ended", 10.0, call=call)["time"])


def test_each_side_hears_the_other_and_not_itself(bed):
    answer, first, second = joined(bed)
    bed.first.hang_up(first)
    wait_ended(bed.second, second)
    record = bed.server.wait_record(answer["dial1"])
    assert (record["disposition"], record["ended_by"]) == ("answered", "dial1")
    assert record["joined_at"] is not None
    assert [leg["uid"] for leg in record["legs"]] == [answer["dial1"], answer["dial2"]]


def test_the_ringback_of_the_organisations_country_is_heard_until_the_second_phone_answers(bed):
    bed.second.behave("ring")
    american, german = bed.dial("101", "102"), bed.dial("101", "102", org="helga")
    us, de = (call_of(bed.first, answer["dial1"]).number for answer in (american, german))
    bursts = wait_cadence(bed.first, us, 1, 440, 480)
    assert bursts[0].length == pytest.approx(2.0, abs=0.15)
    one, two = wait_cadence(bed.first, de, 2, 425)
    assert (one.length, two.length) == (pytest.approx(1.0, abs=0.15), pytest.approx(1.0, abs=0.15))
    assert two.start - one.start == pytest.approx(5.0, abs=0.3)
    # The second burst is on its way, and ends when the second phone answers.
    again = wait_until(
        lambda: next(iter(audio.cadence(bed.first.recording(us), 440, 480)[1:]), None), 10, "no burst", interval=0.2
    )
    recording = bed.first.recording(us)
    assert again.start - bursts[0].start == pytest.approx(6.0, abs=0.3)
    first = bursts[0]
    assert tones_between(recording, first.start + 0.2, first.end - 0.2) == pytest.approx([440, 480], abs=2)
    assert tones_between(bed.first.recording(de), one.start + 0.2, one.end - 0.2) == pytest.approx([425], abs=2)
    bed.second.answer()
    hear_each_other(bed, us, call_of(bed.second, american["dial2"]).number)
    hear_each_other(bed, de, call_of(bed.second, german["dial2"]).number)
    # The burst that was on its way did not go on beside the second phone's tone (what spans the change is not counted).
    together = audio.cadence(bed.first.recording(us), 440, 480, SECOND_HZ)
    assert [segment for segment in together if segment.length > 0.1] == []


def test_early_media_takes_the_place_of_ringback_and_flows_one_way_only(bed):
    bed.second.behave("early_media", answer_after=600)
    answer = bed.dial("101", "102")
    first, second = call_of(bed.first, answer["dial1"]).number, call_of(bed.second, answer["dial2"]).number
    wait_hears_only(bed.first, SECOND_HZ, first)
    assert bed.first.calls()[-1].state == "answered"
    assert bed.second.calls()[-1].state == "ringing"
    # By now the first phone's tone would have come through as well.
    bed.second.wait_heard(None, call=second)
    record = bed.server.records(uid=answer["dial1"])[0]
    assert (record["joined_at"], record["ended_at"]) == (None, None)
    bed.second.answer()
    hear_each_other(bed, first, second)


def test_a_failed_second_leg_is_told_by_a_tone_and_the_first_is_released_within_five_seconds(bed):
    bed.second.behave("reject", reject_code=486)
    with Sipp(scenarios.final(503), port=bed.third_port):
        busy, down, nobody = (bed.dial("101", dial2) for dial2 in ("102", "103", "199"))
        calls = [call_of(bed.first, answer["dial1"]) for answer in (busy, down, nobody)]
        ends = [wait_ended(bed.first, call.number) for call in calls]
    for answer, call, end in zip((busy, down, nobody), calls, ends, strict=True):
        answered = next(event["time"] for event in call.events if event["event"] == "answered")
        assert end - answered <= RELEASE_SECONDS
        record = bed.server.wait_record(answer["dial1"])
        expected = {busy["dial1"]: "busy", down["dial1"]: "unreachable", nobody["dial1"]: "not_connected"}
        assert (record["disposition"], record["ended_by"]) == (expected[answer["dial1"]], "dial2")
    for call, seconds in zip(calls, (0.5, 0.25, 0.25), strict=True):
        bursts = audio.cadence(bed.first.recording(call.number), 480, 620)
        assert len(bursts) >= 3
        lengths = [burst.length for burst in bursts[1:-1]]
        periods = [after.start - before.start for before, after in itertools.pairwise(bursts[1:])]
        assert sorted(lengths)[len(lengths) // 2] == pytest.approx(seconds, abs=0.06)
        assert sorted(periods)[len(periods) // 2] == pytest.approx(2 * seconds, abs=0.06)


@pytest.mark.parametrize("method", ["rfc4733", "info"])
def test_digits_cross_in_both_directions_as_events(bed, method):
    _, first, second = joined(bed)
    bed.first.send_digits("19*", method=method, call=first)
    bed.second.wait_digits("19*", call=second)
    bed.second.send_digits("0#", method=method, call=second)
    bed.first.wait_digits("0#", call=first)
    for phone, call in ((bed.first, first), (bed.second, second)):
        assert {event["method"] for event in phone.events("digit", call=call)} == {"rfc4733"}
    hear_each_other(bed, first, second)


@pytest.mark.parametrize("holder", ["first", "second"])
def test_hold_and_resume_keep_the_call_up_and_audio_comes_back(bed, holder):
    answer, first, second = joined(bed)
    phone, call, other, other_call = bed.first, first, bed.second, second
    if holder == "second":
        phone, call, other, other_call = other, other_call, phone, call
    phone.hold(call)
    phone.wait_for("media", call=call, status="local_hold")
    other.wait_heard(None, call=other_call)
    phone.unhold(call)
    hear_each_other(bed, first, second)
    assert not bed.first.events("ended", call=first)
    assert not bed.second.events("ended", call=second)
    assert bed.server.records(uid=answer["dial1"])[0]["ended_at"] is None


@pytest.mark.parametrize("hangs_up", [0, 1])
def test_the_bye_of_either_side_ends_the_other_within_half_a_second(bed, hangs_up):
    leaves, stays = scenarios.answer(bye_after=300), scenarios.answer()
    peers = [
        Sipp(leaves if side == hangs_up else stays, port=port)
        for side, port in enumerate((bed.third_port, bed.fourth_port))
    ]
    with peers[0], peers[1]:
        answer = bed.dial("103", "104")
        received = peers[1 - hangs_up].wait_for("BYE")
        sent = peers[hangs_up].sent("BYE")[0]
        record = bed.server.wait_record(answer["dial1"])
        peers[1 - hangs_up].wait_for(200, count=2, direction="sent")
        peers[hangs_up].wait_for(200)
    assert (received.time - sent.time).total_seconds() <= PROPAGATION_SECONDS
    assert (record["disposition"], record["ended_by"]) == ("answered", f"dial{hangs_up + 1}")
    assert [leg["ended_by"] for leg in record["legs"]] == (
        ["remote", "local"] if hangs_up == 0 else ["local", "remote"]
    )


def test_session_timers_are_offered_on_both_legs(bed):
    with Sipp("bye_by_callee", port=bed.third_port) as first, Sipp("answer", port=bed.fourth_port) as second:
        bed.dial("103", "104")
        for invite in (first.wait_for("INVITE"), second.wait_for("INVITE")):
            assert "timer" in [word.strip() for word in (invite.header("Supported") or "").split(",")]
            assert int((invite.header("Session-Expires") or "0").partition(";")[0]) >= 90
            assert int(invite.header("Min-SE") or "0") >= 90
        second.wait_for("BYE")


def test_the_second_leg_is_cancelled_when_the_first_hangs_up_while_it_rings(bed):
    with Sipp("no_answer", port=bed.fourth_port) as second:
        answer = bed.dial("101", "104")
        second.wait_for(180, direction="sent")
        bed.server.wait_log("leg ringing", uid=answer["dial2"])
        bed.first.hang_up()
        second.wait_for("ACK")
        told = [trace.method or trace.code for trace in second.messages()]
        assert told == ["INVITE", 180, "CANCEL", 200, 487, "ACK"]
        record = bed.server.wait_record(answer["dial1"])
    assert (record["disposition"], record["ended_by"]) == ("cancelled", "dial1")
    assert [(leg["disposition"], leg["sip_code"]) for leg in record["legs"]] == [("answered", 200), ("cancelled", 487)]


def test_phones_without_a_common_codec_hear_each_other(bed):
    with (
        Phone("103", port=bed.third_port, tone_hz=600, codec="PCMA") as a_law,
        Phone("104", port=bed.fourth_port, tone_hz=1100, codec="PCMU") as mu_law,
    ):
        bed.dial("103", "104")
        wait_hears_only(a_law, 1100)
        wait_hears_only(mu_law, 600)
        a_law.hang_up()
        mu_law.wait_for("ended")


def test_a_call_through_a_tcp_trunk_is_heard_on_both_sides(bed):
    with Phone("104", port=bed.tcp_port, transport="tcp", tone_hz=1100) as far_end:
        answer = bed.dial("101", "+12025550123")
        call = call_of(bed.first, answer["dial1"]).number
        wait_hears_only(bed.first, 1100, call)
        wait_hears_only(far_end, FIRST_HZ)
        invite = far_end.calls()[0].invite
        assert invite.startswith("INVITE sip:+12025550123@")
        assert "\r\nVia: SIP/2.0/TCP " in invite
        assert far_end.calls()[0].call_id == answer["dial2"]
        far_end.hang_up()
        wait_ended(bed.first, call)
        assert bed.server.wait_record(answer["dial1"])["ended_by"] == "dial2"


@pytest.mark.parametrize("leg", [1, 2])
def test_a_tcp_trunk_is_released_by_the_others_bye(bed, leg):
    with Sipp("answer", port=bed.tcp_port, transport="tcp") as far_end:
        numbers = ["+12025550123", "101"] if leg == 1 else ["101", "+12025550123"]
        answer = bed.dial(*numbers)
        call = call_of(bed.first, answer["dial1" if leg == 2 else "dial2"])
        bed.first.wait_for("answered", call=call.number)
        far_end.wait_for("ACK")
        bed.server.wait_log("leg answered", uid=answer["dial2"])
        bed.first.hang_up(call.number)
        bye = far_end.wait_for("BYE")
        assert bye.header("Via").startswith("SIP/2.0/TCP")
        record = bed.server.wait_record(answer["dial1"])
    assert record["disposition"] == "answered"


def test_a_call_that_lasts_too_long_is_ended(tmp_path, bed):
    with (
        Sipp("answer", port=bed.third_port) as first,
        Sipp("answer", port=bed.fourth_port) as second,
    ):
        tables = "".join(EXTENSION.format(org="acme", number=peer.port, port=peer.port) for peer in (first, second))
        users = '[orgs.acme.users.alice]\npassword = "s3cret"\n'
        with Server(tmp_path, users + tables, sip="max_call_seconds = 1", sip_ports=2) as server:
            answer = server.dial(str(first.port), str(second.port)).json()
            assert answer["status"] == "ok"
            for peer in (first, second):
                peer.wait_for("BYE")
            record = server.wait_record(answer["dial1"])
        lasted = (second.received("BYE")[0].time - second.received("ACK")[0].time).total_seconds()
    assert lasted >= 0.9
    assert (record["disposition"], record["ended_by"]) == ("answered", "limit")
