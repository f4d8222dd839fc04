"""Calls that come in at a worker, those that must not, and how a worker takes its leave of the ones that it placed."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from driven_worker import PATIENCE, DrivenWorker
from raw_peer import RawPeer, header, offer
from testbed.phone import Phone
from testbed.sipp import Sipp

from sipcore.domain.commands import AnswerLeg, EchoLeg, HangUpLeg, PlayTone
from sipcore.domain.directory import SipHost, Trunk
from sipcore.domain.events import DigitPressed, LegAnswered, LegEnded, LegRang
from sipcore.domain.tones import ToneKind, tone
from sipcore.sip import wire

ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
OTHER = "127.0.0.2"
"""Another address of this machine."""

MAY_COME = 2


@pytest.fixture(scope="module")
def phone() -> Iterator[Phone]:
    with Phone("101", tone_hz=700) as phone:
        yield phone


@pytest.fixture
def worker() -> Iterator[DrivenWorker]:
    """A worker of the test's own, as each remembers for a while how many calls came in."""
    with DrivenWorker() as worker:
        worker.allow_incoming(MAY_COME)
        yield worker
        assert worker.process.poll() is None


@pytest.fixture
def peer() -> Iterator[RawPeer]:
    with RawPeer() as peer:
        yield peer


def call_in(worker: DrivenWorker, phone: Phone, user: str = "700") -> tuple[wire.LegOffered, int]:
    """Let the phone call; return the leg and the phone's own number of the call."""
    call = phone.call(f"sip:{user}@127.0.0.1:{worker.port}")
    offered = worker.wait(wire.LegOffered, leg=call.call_id)
    worker.allow_incoming(MAY_COME)
    return offered, call.number


# -- a call that comes in


def test_a_call_that_comes_in_is_offered_rings_is_answered_and_ends(worker: DrivenWorker, phone: Phone) -> None:
    offered, call = call_in(worker, phone, "+1202*%23")
    assert (offered.number, offered.caller) == ("+1202*#", "101")
    assert (offered.source, offered.port) == ("127.0.0.1", phone.port)
    worker.send(AnswerLeg(offered.leg, 180))
    assert phone.wait_for("ringing", PATIENCE, call=call)["code"] == 180
    worker.send(AnswerLeg(offered.leg))
    worker.wait(LegAnswered, leg=offered.leg)
    worker.send(EchoLeg(offered.leg), AnswerLeg(offered.leg, 486))
    phone.wait_heard(700, PATIENCE, call)
    phone.hold(call)
    phone.wait_for("media", PATIENCE, call=call, status="local_hold")
    phone.send_digits("1#", call=call)
    worker.wait(DigitPressed, leg=offered.leg, nth=2)
    phone.hang_up(call)
    ended = worker.end_of(offered.leg)
    assert (ended.sip_code, ended.ended_by) == (200, "remote")
    assert worker.of_leg(offered.leg) == ["LegOffered", "LegAnswered", *["DigitPressed"] * 2, "LegEnded"]
    noted = [each.text.partition("\r\n")[0] for each in worker.told(wire.DialogNoted, leg=offered.leg)]
    assert [line.split(" ")[0 if line.startswith("INVITE") else 1] for line in noted] == ["INVITE", "180", "200"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (lambda leg: AnswerLeg(leg, 404), 404),
        (lambda leg: AnswerLeg(leg, 503), 503),
        (lambda leg: AnswerLeg(leg, 603), 603),
        (HangUpLeg, 480),
    ],
    ids=["404", "503", "603", "hang-up"],
)
def test_a_call_that_comes_in_is_refused_as_told(
    worker: DrivenWorker, phone: Phone, command: type[HangUpLeg], code: int
) -> None:
    offered, call = call_in(worker, phone)
    worker.send(command(offered.leg))
    assert phone.wait_for("ended", PATIENCE, call=call)["code"] == code
    ended = worker.end_of(offered.leg)
    assert (ended.sip_code, ended.ended_by) == (code, "local")
    assert worker.of_leg(offered.leg) == ["LegOffered", "LegEnded"]


def test_a_caller_that_gives_up_ends_the_leg(worker: DrivenWorker, phone: Phone) -> None:
    offered, call = call_in(worker, phone)
    worker.send(AnswerLeg(offered.leg, 180))
    phone.wait_for("ringing", PATIENCE, call=call)
    phone.hang_up(call)
    ended = worker.end_of(offered.leg)
    assert (ended.sip_code, ended.ended_by) == (487, "remote")
    assert phone.wait_for("ended", PATIENCE, call=call)["code"] == 487


def test_an_answered_call_that_came_in_is_hung_up_by_bye(worker: DrivenWorker, phone: Phone) -> None:
    offered, call = call_in(worker, phone)
    worker.send(AnswerLeg(offered.leg))
    worker.wait(LegAnswered, leg=offered.leg)
    worker.send(HangUpLeg(offered.leg))
    ended = worker.end_of(offered.leg)
    assert (ended.sip_code, ended.ended_by) == (200, "local")
    phone.wait_for("ended", PATIENCE, call=call)


def test_an_invite_without_an_offer_is_answered_too(worker: DrivenWorker, peer: RawPeer) -> None:
    leg = peer.request("INVITE", worker.port)
    worker.wait(wire.LegOffered, leg=leg)
    worker.send(AnswerLeg(leg, 486))
    assert peer.final(leg) == 486


@pytest.mark.parametrize(
    ("more", "sender", "caller"),
    [
        ('P-Asserted-Identity: "Eve <sip:999@x>" <sip:+12025550100@x>\r\n', "<sip:anonymous@x>", "+12025550100"),
        ("P-Asserted-Identity: tel:+12025550100\r\n", "<sip:anonymous@x>", "+12025550100"),
        ("", '"101" <sip:%31%30%32@x>', "102"),
        ("", "<sip:a%0d%0aX-Evil%3a1@x>", ""),
        ("", "<sip:x>", ""),
        ("", f"<sip:{'1' * 65}@x>", ""),
    ],
)
def test_of_a_caller_only_a_number_or_a_name_is_told(
    worker: DrivenWorker, peer: RawPeer, more: str, sender: str, caller: str
) -> None:
    leg = peer.request("INVITE", worker.port, more=more, sender=sender)
    assert worker.wait(wire.LegOffered, leg=leg).caller == caller


@pytest.mark.parametrize(
    ("user", "number"),
    [("700;npdi;rn=1", "700"), ("%2a9%23", "*9#"), ("7%0d%0a0", ""), ("7 0".replace(" ", "%20"), ""), ("%e4", "")],
)
def test_of_the_number_that_is_called_nothing_else_is_told_either(
    worker: DrivenWorker, peer: RawPeer, user: str, number: str
) -> None:
    leg = peer.request("INVITE", worker.port, user=user)
    assert worker.wait(wire.LegOffered, leg=leg).number == number


# -- what does not come in


def test_without_a_word_of_the_parent_the_answer_is_404(phone: Phone) -> None:
    with DrivenWorker() as fresh:
        call = phone.call(f"sip:700@127.0.0.1:{fresh.port}").number
        assert phone.wait_for("ended", PATIENCE, call=call)["code"] == 404
        assert fresh.told(wire.LegOffered) == []


@pytest.mark.parametrize(("legs", "code"), [(-1, 404), (0, 503)])
def test_what_the_parent_does_not_allow_is_refused(worker: DrivenWorker, peer: RawPeer, legs: int, code: int) -> None:
    worker.allow_incoming(legs)
    branch = secrets.token_hex(6)
    for _ in range(2):  # sent again: refused again
        leg = peer.request("INVITE", worker.port, branch=branch, call_id=branch)
        assert peer.final(leg) == code
    assert worker.told(wire.LegOffered, leg=leg) == []


def test_calls_beyond_the_allowed_get_503_and_leave_the_other_slots_to_legs_of_ours(
    worker: DrivenWorker, phone: Phone, peer: RawPeer
) -> None:
    offered = [call_in(worker, phone)[0] for _ in range(2)]
    for _ in range(20):
        leg = peer.request("INVITE", worker.port)
        assert peer.final(leg) == 503
    with Phone("102") as other:
        ours = [worker.place_answered("102", other.port) for _ in range(2)]
        assert peer.final(peer.request("INVITE", worker.port)) == 503
        for leg in ours:
            worker.send(HangUpLeg(leg))
            worker.end_of(leg)
    worker.send(AnswerLeg(offered[0].leg, 486))
    worker.end_of(offered[0].leg)
    call_in(worker, phone)


def test_a_call_that_is_not_decided_on_takes_no_slot_of_the_leg_that_may_come_beside_it(
    worker: DrivenWorker, peer: RawPeer
) -> None:
    first, second = (peer.request("INVITE", worker.port) for _ in range(2))
    worker.wait(wire.LegOffered, leg=first)
    assert peer.final(second) == 503
    worker.allow_incoming(MAY_COME)
    third = peer.request("INVITE", worker.port)
    worker.wait(wire.LegOffered, leg=third)


def test_a_leg_of_ours_with_the_number_of_one_that_came_in_is_not_taken_for_it(
    worker: DrivenWorker, phone: Phone
) -> None:
    for offered in [call_in(worker, phone)[0] for _ in range(2)]:
        worker.send(AnswerLeg(offered.leg, 486))
        worker.end_of(offered.leg)
    with Phone("102") as other:
        # The library gives its four numbers in turn: the second two are those of the calls that came in.
        for keep in (False, False, True, True):
            leg = worker.place_answered("102", other.port)
            if not keep:
                worker.send(HangUpLeg(leg))
                worker.end_of(leg)
        for _ in range(2):
            call_in(worker, phone)


def test_an_expected_link_gets_in_by_its_call_id_alone_and_is_answered_at_once(
    worker: DrivenWorker, peer: RawPeer
) -> None:
    worker.send(wire.AllowIncoming(-1, 0), wire.ExpectLink("link-1"))
    worker.wait(wire.LinkExpected, leg="link-1")
    assert peer.final(peer.request("INVITE", worker.port, sdp=offer(4000))) == 404
    peer.request("INVITE", worker.port, call_id="link-1", sdp=offer(4000))
    answer = peer.receive("SIP/2.0 200", "link-1")
    peer.acknowledge(answer, worker.port)
    worker.wait(LegAnswered, leg="link-1")
    worker.allow_incoming(1)
    worker.wait(wire.LegOffered, leg=peer.request("INVITE", worker.port))
    assert peer.final(peer.request("INVITE", worker.port)) == 503
    assert len(worker.told(wire.LegOffered)) == 1


def test_a_call_id_that_is_in_use_is_refused(worker: DrivenWorker, phone: Phone, peer: RawPeer) -> None:
    leg = worker.place_answered("101", phone.port)
    peer.request("INVITE", worker.port, call_id=leg)
    assert peer.final(leg) == 482
    peer.request("INVITE", worker.port, call_id="one")
    worker.wait(wire.LegOffered, leg="one")
    with RawPeer() as other:
        other.request("INVITE", worker.port, call_id="one")
        assert other.final("one") == 482
    assert len(worker.told(wire.LegOffered, leg="one")) == 1
    assert worker.told(wire.LegOffered, leg=leg) == []
    worker.send(PlayTone(leg, tone(ToneKind.BUSY, "FR")))
    phone.wait_heard(440, PATIENCE)


def test_a_call_id_that_is_not_plain_text_is_refused(worker: DrivenWorker, peer: RawPeer) -> None:
    peer.request("INVITE", worker.port, call_id="a b\u00e4")
    assert peer.final() == 400
    assert peer.final(peer.request("INVITE", worker.port, call_id="c" * 256)) == 400


def test_an_offer_of_many_streams_is_refused_before_it_takes_sockets(
    worker: DrivenWorker, phone: Phone, peer: RawPeer
) -> None:
    _, call = call_in(worker, phone)
    for _ in range(10):
        assert peer.final(peer.request("INVITE", worker.port, sdp=offer(4000, lines=16))) == 488
    assert peer.final(peer.request("INVITE", worker.port, sdp=offer(4000, lines=16).replace("\r\n", "\n"))) == 488
    assert phone.events("ended", call=call) == []


@pytest.mark.parametrize("sdp", ["", offer(4000), offer(4000, lines=2)], ids=["no offer", "offer", "two streams"])
def test_a_flood_of_calls_that_are_refused_by_the_parent_leaves_calls_up(
    worker: DrivenWorker, phone: Phone, peer: RawPeer, sdp: str
) -> None:
    up = worker.place_answered("101", phone.port)
    with refusing(worker):
        codes = set()
        for _ in range(150):
            leg = peer.request("INVITE", worker.port, sdp=sdp)
            code = 0
            while code < 200:
                answer = peer.receive("SIP/2.0 ", leg)
                code = int(answer.split()[1])
            peer.acknowledge(answer, worker.port)
            codes.add(code)
    assert codes == {404, 503}
    assert worker.told(LegEnded, leg=up) == []
    worker.send(EchoLeg(up))
    phone.wait_heard(700, PATIENCE)


@contextmanager
def refusing(worker: DrivenWorker) -> Iterator[None]:
    """Refuse whatever is offered, as a parent does that has no route for it."""
    stopped = threading.Event()

    def refuse() -> None:
        nth = len(worker.told(wire.LegOffered))
        while not stopped.is_set():
            nth += 1
            offered = worker.wait(wire.LegOffered, nth=nth)
            worker.send(AnswerLeg(offered.leg, 404), wire.AllowIncoming(MAY_COME, nth))

    thread = threading.Thread(target=refuse, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        # One more call lets the thread notice.
        with RawPeer() as last:
            while thread.is_alive():
                leg = last.request("INVITE", worker.port)
                last.final(leg)
                thread.join(0.1)


def test_a_stranger_cannot_choose_a_trunks_account_for_a_call(worker: DrivenWorker) -> None:
    trunk = Trunk("t", SipHost("trunk.example", 5060), None, "us", "s3cret", "trunk.example")
    worker.send(wire.AllowPeers((OTHER,)), wire.UseTrunk(trunk, OTHER))
    to = "<sip:us@trunk.example>"
    with RawPeer() as stranger, RawPeer(OTHER) as own:
        assert stranger.final(stranger.request("INVITE", worker.port, to=to)) == 403
        worker.wait(wire.LegOffered, leg=own.request("INVITE", worker.port, to=to))


def test_an_invite_with_replaces_is_refused(worker: DrivenWorker, phone: Phone, peer: RawPeer) -> None:
    leg = worker.place_answered("101", phone.port)
    invite = next(each.text for each in worker.told(wire.DialogNoted, leg=leg) if each.text.startswith("INVITE"))
    answer = next(each.text for each in worker.told(wire.DialogNoted, leg=leg) if each.text.startswith("SIP/2.0 2"))
    ours, theirs = header(invite, "From").partition("tag=")[2], header(answer, "To").partition("tag=")[2]
    replaces = f"Replaces: {leg};to-tag={ours};from-tag={theirs}\r\nRequire: replaces\r\n"
    assert peer.final(peer.request("INVITE", worker.port, more=replaces, sdp=offer(4000))) >= 400
    assert worker.told(LegEnded, leg=leg) == []


# -- taking leave


def test_a_cancel_carries_the_reason(worker: DrivenWorker) -> None:
    with Sipp("no_answer") as ringing:
        leg = worker.place("204", ringing.port)
        worker.wait(LegRang, leg=leg)
        worker.send(HangUpLeg(leg, ELSEWHERE))
        assert ringing.wait_for("CANCEL", timeout=PATIENCE).header("Reason") == ELSEWHERE
        assert (worker.end_of(leg).sip_code, worker.end_of(leg).ended_by) == (487, "local")


def test_a_bye_carries_the_reason(worker: DrivenWorker) -> None:
    with Sipp("answer") as answering:
        leg = worker.place_answered("201", answering.port)
        worker.send(HangUpLeg(leg, "Q.850;cause=16"))
        assert answering.wait_for("BYE", timeout=PATIENCE).header("Reason") == "Q.850;cause=16"
        assert worker.end_of(leg).ended_by == "local"


def test_a_cancel_that_has_to_wait_for_a_first_answer_carries_the_reason(worker: DrivenWorker, peer: RawPeer) -> None:
    leg = worker.place("301", peer.port)
    invite = peer.receive("INVITE ", leg)
    worker.send(HangUpLeg(leg, ELSEWHERE), HangUpLeg(leg, ELSEWHERE))
    peer.respond(invite, 100, worker.port)
    cancel = peer.receive("CANCEL ", leg)
    assert header(cancel, "Reason") == ELSEWHERE
    peer.respond(cancel, 200, worker.port)
    peer.respond(invite, 487, worker.port)
    assert (worker.end_of(leg).sip_code, worker.end_of(leg).ended_by) == (487, "local")
    assert worker.of_leg(leg) == ["LegPlaced", "LegEnded"]


def test_an_answer_that_comes_first_after_the_hang_up_is_ended_by_bye_with_the_reason(
    worker: DrivenWorker, peer: RawPeer
) -> None:
    leg = worker.place("301", peer.port)
    invite = peer.receive("INVITE ", leg)
    worker.send(HangUpLeg(leg, ELSEWHERE))
    peer.respond(invite, 200, worker.port, sdp=offer(4000))
    peer.receive("ACK ", leg)
    bye = peer.receive("BYE ", leg)
    assert header(bye, "Reason") == ELSEWHERE
    peer.respond(bye, 200, worker.port)
    assert worker.end_of(leg).ended_by == "local"
    assert worker.of_leg(leg) == ["LegPlaced", "LegEnded"]


def test_a_refusal_that_comes_first_after_the_hang_up_ends_the_leg(worker: DrivenWorker, peer: RawPeer) -> None:
    leg = worker.place("301", peer.port)
    invite = peer.receive("INVITE ", leg)
    worker.send(HangUpLeg(leg, ELSEWHERE))
    peer.respond(invite, 486, worker.port)
    assert (worker.end_of(leg).sip_code, worker.end_of(leg).ended_by) == (486, "local")
    assert worker.of_leg(leg) == ["LegPlaced", "LegEnded"]


def test_a_worker_that_ends_sends_callers_elsewhere() -> None:
    with DrivenWorker() as worker, RawPeer() as peer:
        worker.allow_incoming(MAY_COME)
        waiting = peer.request("INVITE", worker.port, sdp=offer(peer.port + 1))
        worker.wait(wire.LegOffered, leg=waiting)
        worker.send(wire.Retire())
        assert peer.final(waiting) == 503
        # It stays for the acknowledgement, which does not come.
        assert peer.final(peer.request("INVITE", worker.port, sdp=offer(peer.port + 1))) == 503
