"""What a worker notes of the SIP messages of its legs: all that was on the wire, and nothing that was in it."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from driven_worker import DrivenWorker
from raw_peer import RawPeer, header, offer

from sipcore.domain.commands import AnswerLeg, HangUpLeg
from sipcore.domain.events import LegAnswered, LegEnded, LegRang, MessagesSeen
from sipcore.domain.ladder import MOST_RUNGS, Rung
from sipcore.sip import wire


@pytest.fixture(scope="module")
def worker() -> Iterator[DrivenWorker]:
    with DrivenWorker() as worker:
        worker.allow_incoming(2)
        yield worker


@pytest.fixture
def peer() -> Iterator[RawPeer]:
    with RawPeer() as peer:
        yield peer


def test_what_is_sent_again_is_noted_again_and_so_is_what_the_library_acknowledges_itself(
    worker: DrivenWorker, peer: RawPeer
) -> None:
    leg = worker.place("300", peer.port)
    peer.receive("INVITE ", leg)
    invite = peer.receive("INVITE ", leg)
    peer.respond(invite, 100, worker.port)
    peer.respond(invite, 486, worker.port)
    peer.receive("ACK ", leg)
    assert worker.ladder(leg) == ["> INVITE 0", "> INVITE 0", "< 100 INVITE 0", "< 486 INVITE 0", "> ACK 0"]


def test_the_answers_to_our_own_bye_and_cancel_are_noted_before_the_end_is_told(
    worker: DrivenWorker, peer: RawPeer
) -> None:
    leg = worker.place("300", peer.port)
    invite = peer.receive("INVITE ", leg)
    peer.respond(invite, 180, worker.port)
    worker.send(HangUpLeg(leg))
    peer.respond(peer.receive("CANCEL ", leg), 200, worker.port)
    peer.respond(invite, 487, worker.port)
    assert worker.ladder(leg) == [
        "> INVITE 0", "< 180 INVITE 0", "> CANCEL 0", "< 200 CANCEL 0", "< 487 INVITE 0", "> ACK 0"
    ]  # fmt: skip
    leg = worker.place("300", peer.port)
    peer.respond(peer.receive("INVITE ", leg), 200, worker.port, sdp=offer(9))
    worker.wait(LegAnswered, leg=leg)
    worker.send(HangUpLeg(leg))
    peer.respond(peer.receive("BYE ", leg), 200, worker.port)
    assert worker.ladder(leg) == ["> INVITE 0", "< 200 INVITE 0", "> ACK 0", "> BYE 1", "< 200 BYE 1"]


def test_of_a_call_that_comes_in_the_invite_itself_is_the_first(worker: DrivenWorker, peer: RawPeer) -> None:
    leg = peer.request("INVITE", worker.port, sdp=offer(9))
    worker.wait(wire.LegOffered, leg=leg)
    worker.send(AnswerLeg(leg, 486))
    answer = peer.receive("SIP/2.0 486", leg)
    peer.acknowledge(answer, worker.port)
    assert worker.ladder(leg)[:3] == ["< INVITE 0", "> 100 INVITE 0", "> 486 INVITE 0"]
    assert header(answer, "CSeq") == "1 INVITE"


def test_what_is_known_is_told_while_the_leg_goes_on(worker: DrivenWorker, peer: RawPeer) -> None:
    leg = worker.place("300", peer.port)
    peer.respond(peer.receive("INVITE ", leg), 200, worker.port, sdp=offer(9))
    told: list[Rung] = []
    for nth in itertools.count(1):
        told += worker.wait(MessagesSeen, leg=leg, nth=nth).rungs
        if told[-1].code == 200 or told[-1].method == "ACK":
            break
    assert [(rung.sent, rung.method, rung.code) for rung in told][:2] == [
        (True, "INVITE", None), (False, "INVITE", 200)
    ]  # fmt: skip
    assert worker.told(LegEnded, leg=leg) == []
    worker.send(HangUpLeg(leg))
    peer.respond(peer.receive("BYE ", leg), 200, worker.port)
    worker.end_of(leg)


def test_a_far_end_that_sends_on_and_on_fills_no_ladder(worker: DrivenWorker, peer: RawPeer) -> None:
    leg = worker.place("300", peer.port)
    invite = peer.receive("INVITE ", leg)
    for number in range(1, MOST_RUNGS + 50):
        peer.respond(invite, 180, worker.port)
        # One after the other: a socket's buffer has no room for all of them.
        worker.wait(LegRang, leg=leg, nth=number)
    peer.respond(invite, 486, worker.port)
    assert len(worker.ladder(leg)) == MOST_RUNGS
