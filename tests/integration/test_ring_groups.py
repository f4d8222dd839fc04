"""Ring groups on the wire: who is rung, who is heard, what the losers are told, in one worker and in many."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from server import Server, kept_ports
from testbed.phone import Phone, PhoneCall
from testbed.process import wait_until
from testbed.sipp import Sipp

AGENT_HZ, WINNER_HZ = 500.0, 900.0
COMPLETED_ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
RINGING = [str(number) for number in range(301, 320)]
"""Nineteen phones that ring until they are cancelled."""
BUSY = ["201", "202"]
LATE = ["401", "402"]
WINNER = "102"
TABLES = f"""
[orgs.acme]
country = "US"
caller_id = "+12025550100"
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.ring_groups]
600.members = ["301", "302", "{WINNER}"]
601.members = {[*RINGING, WINNER]}
602.members = ["301", "302"]
603.members = {BUSY}
604.members = {[*LATE, WINNER]}
610 = {{ members = ["201", "202", "{WINNER}"], strategy = "linear" }}
611 = {{ members = ["301", "{WINNER}"], strategy = "linear", ring_seconds = 1 }}
620.members = ["302", "610"]
""".replace("'", '"')


@dataclass(frozen=True)
class Bed:
    """The server, an agent's phone, a phone that can win, phones that ring and phones that are busy.

    Those of `LATE` are for a test to bring, at `late_port`.
    """

    server: Server
    agent: Phone
    winner: Phone
    ringing: Sipp
    busy: Sipp
    late_port: int

    def dial(self, dial1: str, dial2: str, **parameters: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.server.dial(dial1, dial2, **parameters).json()
        return answer

    def hear_each_other(self) -> None:
        self.agent.wait_heard_alone(WINNER_HZ)
        self.winner.wait_heard_alone(AGENT_HZ)

    def hang_up(self, answer: dict[str, Any]) -> dict[str, Any]:
        """Let the agent hang up; return the record."""
        self.agent.hang_up()
        self.winner.wait_for("ended", call=self.winner.calls()[-1].number)
        return self.server.wait_record(answer["dial1"])


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Phone, Phone, list[int]]]:
    with ExitStack() as stack:
        peer_ports = stack.enter_context(kept_ports(3))
        agent = stack.enter_context(Phone("101", tone_hz=AGENT_HZ))
        winner = stack.enter_context(Phone(WINNER, tone_hz=WINNER_HZ))
        ports = {"101": agent.port, WINNER: winner.port}
        for members, port in zip((RINGING, BUSY, LATE), peer_ports, strict=True):
            ports |= dict.fromkeys(members, port)
        tables = TABLES + "".join(
            f'[orgs.acme.extensions.{number}]\ncontact = "sip:{number}@127.0.0.1:{port}"\n'
            for number, port in ports.items()
        )
        server = stack.enter_context(Server(tmp_path_factory.mktemp("server"), tables))
        yield server, agent, winner, peer_ports


@pytest.fixture
def bed(people: tuple[Server, Phone, Phone, list[int]]) -> Iterator[Bed]:
    server, agent, winner, (ringing_port, busy_port, late_port) = people
    winner.behave("ring")
    with Sipp("no_answer", port=ringing_port) as ringing, Sipp("busy", port=busy_port) as busy:
        yield Bed(server, agent, winner, ringing, busy, late_port)


def wait_invited(phone: Phone, calls_before: int) -> PhoneCall:
    """Return the call that has come in since."""
    return wait_until(
        lambda: next(iter(phone.calls()[calls_before:]), None), 5.0, lambda: f"{phone.extension} was not called"
    )


def worker_of(invite: str) -> str:
    """The SIP port that an INVITE came from, which is a worker's."""
    found = re.search(r"^Via:[^\r\n]*?127\.0\.0\.1:(\d+)", invite, re.MULTILINE)
    assert found is not None, invite
    return found[1]


def test_the_first_who_answers_of_three_is_heard_and_the_others_are_told_why_they_stop(bed: Bed) -> None:
    before = len(bed.winner.calls())
    answer = bed.dial("101", "600")
    wait_invited(bed.winner, before)
    bed.ringing.wait_for("INVITE", 2)
    bed.winner.answer()
    bed.hear_each_other()
    bed.ringing.wait_for("CANCEL", 2)
    assert {cancel.header("Reason") for cancel in bed.ringing.received("CANCEL")} == {COMPLETED_ELSEWHERE}
    record = bed.hang_up(answer)
    assert [(leg["number"], leg["party"], leg["disposition"]) for leg in record["legs"]] == [
        ("101", "dial1", "answered"),
        ("301", "dial2", "cancelled"),
        ("302", "dial2", "cancelled"),
        (WINNER, "dial2", "answered"),
    ]
    assert record["legs"][1]["uid"] == answer["dial2"]


def test_twenty_ring_at_once_and_one_on_another_worker_than_the_caller_is_heard_both_ways(bed: Bed) -> None:
    before = len(bed.winner.calls())
    answer = bed.dial("101", "601")
    winner = wait_invited(bed.winner, before)
    bed.ringing.wait_for("INVITE", len(RINGING))
    invites = [invite.text for invite in bed.ringing.received("INVITE")]
    agent = next(call for call in bed.agent.calls() if call.call_id == answer["dial1"])
    assert worker_of(winner.invite) != worker_of(agent.invite)
    assert len({worker_of(invite) for invite in [*invites, winner.invite]}) > 4
    bed.winner.answer()
    bed.hear_each_other()
    bed.ringing.wait_for("CANCEL", len(RINGING))
    assert {cancel.header("Reason") for cancel in bed.ringing.received("CANCEL")} == {COMPLETED_ELSEWHERE}
    bed.agent.send_digits("19")
    bed.winner.wait_digits("19", call=winner.number)
    record = bed.hang_up(answer)
    assert record["disposition"] == "answered"
    assert [leg["number"] for leg in record["legs"]] == ["101", *RINGING, WINNER]
    assert [leg["disposition"] for leg in record["legs"][1:]] == ["cancelled"] * len(RINGING) + ["answered"]


def test_a_phone_that_answers_while_it_is_cancelled_is_let_go(bed: Bed) -> None:
    before = len(bed.winner.calls())
    with Sipp("late_answer", port=bed.late_port) as late:
        answer = bed.dial("101", "604")
        wait_invited(bed.winner, before)
        late.wait_for("INVITE", 2)
        bed.winner.answer()
        late.wait_for("BYE", 2)
        bed.hear_each_other()
        record = bed.hang_up(answer)
    assert [leg["disposition"] for leg in record["legs"]] == ["answered", "cancelled", "cancelled", "answered"]


def test_one_by_one_those_who_are_busy_are_passed_over(bed: Bed) -> None:
    before = len(bed.winner.calls())
    answer = bed.dial("101", "610")
    wait_invited(bed.winner, before)
    assert [invite.start_line.split()[1].split("@")[0] for invite in bed.busy.received("INVITE")] == [
        "sip:201",
        "sip:202",
    ]
    bed.winner.answer()
    bed.hear_each_other()
    record = bed.hang_up(answer)
    assert [leg["disposition"] for leg in record["legs"]] == ["answered", "busy", "busy", "answered"]


def test_one_by_one_a_phone_that_rings_in_vain_is_cancelled_and_the_next_is_rung(bed: Bed) -> None:
    before = len(bed.winner.calls())
    answer = bed.dial("101", "611")
    bed.ringing.wait_for("CANCEL")
    wait_invited(bed.winner, before)
    bed.winner.answer()
    bed.hear_each_other()
    record = bed.hang_up(answer)
    assert [leg["disposition"] for leg in record["legs"]] == ["answered", "no_answer", "answered"]


def test_a_group_in_a_group_rings_beside_the_others(bed: Bed) -> None:
    before = len(bed.winner.calls())
    answer = bed.dial("101", "620")
    wait_invited(bed.winner, before)
    bed.ringing.wait_for("INVITE")
    bed.winner.answer()
    bed.hear_each_other()
    assert bed.ringing.wait_for("CANCEL").header("Reason") == COMPLETED_ELSEWHERE
    bed.hang_up(answer)


def test_as_dial1_it_is_ok_when_somebody_answers(bed: Bed) -> None:
    bed.winner.behave("answer", answer_after=0.2)
    before = len(bed.agent.calls())
    answer = bed.dial("600", "101")
    assert answer["status"] == "ok"
    assert wait_invited(bed.agent, before).call_id == answer["dial2"]
    bed.hear_each_other()
    bed.hang_up(answer)


def test_as_dial1_it_rings_no_longer_than_the_timeout_of_the_request(bed: Bed) -> None:
    answer = bed.dial("602", "101", Timeout=1)
    assert (answer["status"], answer["reason"]) == ("Fail", "No answer")
    bed.ringing.wait_for("CANCEL", 2)
    assert [cancel.header("Reason") for cancel in bed.ringing.received("CANCEL")] == [None, None]
    record = bed.server.wait_record(answer["dial1"])
    assert [leg["disposition"] for leg in record["legs"][:2]] == ["no_answer", "no_answer"]


def test_as_dial1_it_is_busy_when_everybody_is(bed: Bed) -> None:
    answer = bed.dial("603", "101")
    assert (answer["status"], answer["reason"]) == ("Fail", "Busy")
