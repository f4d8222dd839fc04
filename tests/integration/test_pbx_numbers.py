"""Numbers that only the PBX behind the trunk knows, and phones that are asked to answer by themselves: on the wire."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from server import Server
from testbed.kamailio import Kamailio
from testbed.phone import Phone, PhoneCall
from testbed.process import TestbedError, free_port, wait_until

TONES = {"101": 500.0, "102": 600.0, "211": 800.0, "+13125550142": 900.0}
OURS = "+12025550100"
TABLES = """
[trunks.pbx]
proxy = "sip:127.0.0.1:{trunk}"
number_format = "national"
[orgs.acme]
country = "US"
trunk = "pbx"
caller_id = "+12025550100"
internal_numbers = ["2xx"]
users.alice.password = "s3cret"
extensions.101.contact = "sip:101@127.0.0.1:{agent}"
extensions.102 = {{ contact = "sip:102@127.0.0.1:{desk}", auto_answer = true }}
extensions.212.auto_answer = true
ring_groups.600.members = ["102", "211"]
[orgs.acme.inbound]
"+12025550100" = "211"
"""
AUTO_ANSWER = (
    "\r\nAlert-Info: <http://127.0.0.1>;info=alert-autoanswer;delay=0\r\n",
    "\r\nCall-Info: <sip:127.0.0.1>;answer-after=0\r\n",
    "\r\nAnswer-Mode: Auto\r\n",
)


@dataclass(frozen=True)
class Bed:
    """The server, an agent's phone, a desk phone that answers by itself, a phone of the PBX, and the customer's."""

    server: Server
    trunk: Kamailio
    agent: Phone
    desk: Phone
    at_the_pbx: Phone
    customer: Phone

    def talk(self, dial1: str, dial2: str) -> None:
        """Click, and wait until it was answered; the agent hangs up at the end of the test."""
        answer = self.server.dial(dial1, dial2).json()
        assert answer["status"] == "ok", answer


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with ExitStack() as stack:
        agent, desk, at_the_pbx, customer = (
            stack.enter_context(Phone(number, tone_hz=hz)) for number, hz in TONES.items()
        )
        trunk_port = free_port("tcp")
        tables = TABLES.format(trunk=trunk_port, agent=agent.port, desk=desk.port)
        server = Server(tmp_path_factory.mktemp("server"), tables)
        ports = {"2": at_the_pbx.port, "+1202": server.sip_port}
        hops = {prefix: f"127.0.0.1:{port}" for prefix, port in ports.items()}
        trunk = stack.enter_context(Kamailio({}, port=trunk_port, next_hops=hops, challenge=None))
        stack.enter_context(server)
        yield Bed(server, trunk, agent, desk, at_the_pbx, customer)


@pytest.fixture(autouse=True)
def _hung_up(bed: Bed) -> Iterator[None]:
    yield
    phones = (bed.agent, bed.desk, bed.at_the_pbx, bed.customer)
    for phone in phones:
        # By now the other side's BYE may have ended it.
        with contextlib.suppress(TestbedError):
            phone.hang_up()
    for phone in phones:
        for call in phone.calls():
            phone.wait_for("ended", call=call.number)


def latest(phone: Phone, calls_before: int) -> PhoneCall:
    """Return the call that has come in since."""
    return wait_until(
        lambda: next(iter(phone.calls()[calls_before:]), None), 5.0, lambda: f"{phone.extension} was not called"
    )


def asked_to_answer(invite: str) -> list[bool]:
    return [header in invite for header in AUTO_ANSWER]


class TestNumbersOfThePbx:
    def test_reach_it_unchanged_and_both_hear_each_other(self, bed: Bed) -> None:
        before = len(bed.at_the_pbx.calls())
        bed.talk("101", "211")
        bed.agent.wait_heard(TONES["211"])
        bed.at_the_pbx.wait_heard(TONES["101"])
        assert latest(bed.at_the_pbx, before).invite.startswith(f"INVITE sip:211@{bed.trunk.address} SIP/2.0\r\n")

    def test_may_be_dial1(self, bed: Bed) -> None:
        bed.talk("211", "101")
        bed.at_the_pbx.wait_heard(TONES["101"])

    def test_may_be_members_of_a_group(self, bed: Bed) -> None:
        before = len(bed.desk.calls())
        bed.desk.behave("ring")
        try:
            bed.talk("101", "600")
            bed.agent.wait_heard(TONES["211"])
            # Its own process may be slower to take the INVITE than the other one to answer.
            bed.desk.wait_for("ended", call=latest(bed.desk, before).number)
        finally:
            bed.desk.behave("answer")

    def test_may_be_where_a_call_that_comes_in_goes(self, bed: Bed) -> None:
        bed.customer.call(f"sip:{OURS}@{bed.trunk.address}")
        bed.customer.wait_heard(TONES["211"])
        bed.at_the_pbx.wait_heard(TONES["+13125550142"])

    def test_of_another_shape_are_nobodys_and_no_packet_is_sent(self, bed: Bed) -> None:
        before = bed.trunk.log.read_text().count("request INVITE")
        answer = bed.server.dial("311", "101").json()
        assert (answer["status"], answer["reason"]) == ("Fail", "Not connected")
        assert bed.trunk.log.read_text().count("request INVITE") == before


class TestAutoAnswer:
    def test_is_asked_for_on_leg_1(self, bed: Bed) -> None:
        before = len(bed.desk.calls()), len(bed.agent.calls())
        bed.talk("102", "101")
        bed.desk.wait_heard(TONES["101"])
        assert asked_to_answer(latest(bed.desk, before[0]).invite) == [True] * 3
        assert asked_to_answer(latest(bed.agent, before[1]).invite) == [False] * 3

    def test_is_not_asked_for_on_leg_2(self, bed: Bed) -> None:
        before = len(bed.desk.calls())
        bed.talk("101", "102")
        bed.desk.wait_heard(TONES["101"])
        assert asked_to_answer(latest(bed.desk, before).invite) == [False] * 3

    def test_is_asked_for_through_the_trunk_too(self, bed: Bed) -> None:
        before = len(bed.at_the_pbx.calls())
        bed.talk("212", "101")
        assert asked_to_answer(latest(bed.at_the_pbx, before).invite) == [True] * 3

    def test_is_asked_of_a_group_that_is_dial1(self, bed: Bed) -> None:
        bed.at_the_pbx.behave("ring")
        before = len(bed.desk.calls()), len(bed.at_the_pbx.calls())
        bed.talk("600", "101")
        assert asked_to_answer(latest(bed.desk, before[0]).invite) == [True] * 3
        assert asked_to_answer(latest(bed.at_the_pbx, before[1]).invite) == [False] * 3
        bed.at_the_pbx.behave("answer")
