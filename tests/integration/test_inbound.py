"""Calls that a trunk relays to us: to an extension, a group on many workers, who called last; and those refused."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from raw_peer import RawPeer, offer
from server import Server, kept_ports
from testbed.kamailio import Kamailio
from testbed.phone import Phone, PhoneCall
from testbed.process import TestbedError, free_port, wait_until
from testbed.sipp import Sipp

CUSTOMER = "+13125550142"
TO_EXTENSION, TO_GROUP, TO_LAST_AGENT, NOWHERE = "+12025550100", "+12025550101", "+12025550102", "+12025550199"
TO_QUEUE = "+12025550103"
TO_OTHER_WORKER, TO_QUEUE_FROM_THERE = "+12035550100", "+12035550103"
"""The trunk relays these to another worker than the other numbers."""
TONES = {"101": 500.0, "102": 700.0, CUSTOMER: 900.0}
RINGING = [str(number) for number in range(301, 306)]
COMPLETED_ELSEWHERE = 'SIP;cause=200;text="Call completed elsewhere"'
TABLES = """
[trunks.main]
proxy = "sip:127.0.0.1:{trunk}"
[orgs.acme]
country = "US"
trunk = "main"
caller_id = "+12025550100"
users.alice.password = "s3cret"
ring_groups.600.members = [{members}]
queues.700 = {{ agents = ["101"], max_waiting = 1 }}
[orgs.acme.inbound]
"{extension}" = "101"
"{group}" = "600"
"{other_worker}" = "101"
"{queue}" = "700"
"{queue_from_there}" = "700"
[orgs.beta]
country = "US"
trunk = "main"
caller_id = "+12025550102"
users.alice.password = "s3cret"
[orgs.beta.inbound]
"{last_agent}" = "101"
last_agent = true
"""


@dataclass(frozen=True)
class Bed:
    """The server, the trunk in front of it, two phones of the organisations, the customer's, and where others ring."""

    server: Server
    trunk: Kamailio
    agent: Phone
    colleague: Phone
    customer: Phone
    ringing_port: int

    def call_in(self, number: str) -> PhoneCall:
        """Let the customer call a number through the trunk."""
        return self.customer.call(f"sip:{number}@{self.trunk.address}")

    def hear_each_other(self, phone: Phone, call: PhoneCall) -> None:
        phone.wait_heard(TONES[CUSTOMER])
        self.customer.wait_heard(TONES[phone.extension], call=call.number)

    def ended(self, call: PhoneCall) -> int:
        """Wait for the end of the customer's call; return the status that it ended with."""
        code: int = self.customer.wait_for("ended", 10.0, call=call.number)["code"]
        return code

    def newest_record(self, organisation: str = "acme") -> dict[str, Any]:
        """Return the newest record once it is complete."""

        def finished() -> dict[str, Any] | None:
            found = self.server.records(organisation=organisation)
            return found[0] if found and found[0]["ended_at"] else None

        return wait_until(finished, 10.0, "no finished record")


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with ExitStack() as stack:
        (ringing_port,) = stack.enter_context(kept_ports(1))
        phones = {number: stack.enter_context(Phone(number, tone_hz=hz)) for number, hz in TONES.items()}
        trunk_port = free_port("tcp")
        contacts = {number: phones[number].port for number in ("101", "102")} | dict.fromkeys(RINGING, ringing_port)
        tables = TABLES.format(
            trunk=trunk_port,
            members=", ".join(f'"{number}"' for number in [*RINGING, "101"]),
            extension=TO_EXTENSION,
            group=TO_GROUP,
            other_worker=TO_OTHER_WORKER,
            queue=TO_QUEUE,
            queue_from_there=TO_QUEUE_FROM_THERE,
            last_agent=TO_LAST_AGENT,
        )
        for number, port in contacts.items():
            for org in ("acme", "beta"):
                tables += f'[orgs.{org}.extensions.{number}]\ncontact = "sip:{number}@127.0.0.1:{port}"\n'
        server = Server(tmp_path_factory.mktemp("server"), tables)
        ports = {"+1202": server.sip_port, "+1203": server.sip_port + 1, "+1312": phones[CUSTOMER].port}
        hops = {prefix: f"127.0.0.1:{port}" for prefix, port in ports.items()}
        trunk = stack.enter_context(Kamailio({}, port=trunk_port, next_hops=hops, challenge=None))
        stack.enter_context(server)
        yield Bed(server, trunk, phones["101"], phones["102"], phones[CUSTOMER], ringing_port)


@pytest.fixture(autouse=True)
def _hung_up(bed: Bed) -> Iterator[None]:
    yield
    for phone in (bed.customer, bed.agent, bed.colleague):
        # By now the other's BYE may have ended it.
        with contextlib.suppress(TestbedError):
            phone.hang_up()
        for call in phone.calls():
            phone.wait_for("ended", call=call.number)
        phone.behave("answer")


def called(phone: Phone, calls_before: int) -> PhoneCall:
    """Return the call that has come in since."""
    return wait_until(
        lambda: next(iter(phone.calls()[calls_before:]), None), 5.0, lambda: f"{phone.extension} was not called"
    )


def without_route(server: Server) -> float:
    """Return how many calls the metrics have as refused since no route leads from their number."""
    shown = server.get("/metrics").body
    (count,) = re.findall(r'^click2call_calls_refused_total\{reason="no_route"\} (\S+)$', shown, re.MULTILINE)
    return float(count)


def worker_of(invite: str) -> str:
    """The SIP port that an INVITE came from, which is a worker's."""
    found = re.search(r"^Via:[^\r\n]*?127\.0\.0\.1:(\d+)", invite, re.MULTILINE)
    assert found is not None, invite
    return found[1]


def test_a_caller_reaches_an_extension_which_shows_the_callers_number(bed: Bed) -> None:
    before = len(bed.agent.calls())
    call = bed.call_in(TO_EXTENSION)
    bed.hear_each_other(bed.agent, call)
    assert f"From: <sip:{CUSTOMER}@127.0.0.1>" in called(bed.agent, before).invite
    bed.agent.hang_up()
    assert bed.ended(call) == 200
    record = bed.newest_record()
    assert (record["direction"], record["user"], record["ended_by"]) == ("inbound", "main", "dial2")
    assert (record["dial1"], record["dial2"], record["disposition"]) == (CUSTOMER, TO_EXTENSION, "answered")


def test_a_caller_reaches_a_group_of_more_than_one_worker_carries(bed: Bed) -> None:
    bed.agent.behave("ring")
    before = len(bed.agent.calls())
    with Sipp("no_answer", port=bed.ringing_port) as ringing:
        call = bed.call_in(TO_GROUP)
        winner = called(bed.agent, before)
        ringing.wait_for("INVITE", len(RINGING))
        assert bed.customer.events("ringing", call=call.number)
        assert not bed.customer.events("answered", call=call.number)
        assert worker_of(winner.invite) != str(bed.server.sip_port), "the caller's worker is another one"
        bed.agent.answer(winner.number)
        bed.hear_each_other(bed.agent, call)
        ringing.wait_for("CANCEL", len(RINGING))
        assert {cancel.header("Reason") for cancel in ringing.received("CANCEL")} == {COMPLETED_ELSEWHERE}
        bed.customer.hang_up(call.number)
        bed.agent.wait_for("ended", call=winner.number)
    record = bed.newest_record()
    assert (record["disposition"], record["ended_by"]) == ("answered", "dial1")
    assert [leg["disposition"] for leg in record["legs"]] == ["answered", *["cancelled"] * len(RINGING), "answered"]


class TestTheLastAgent:
    def test_is_rung_first_and_the_route_follows(self, bed: Bed) -> None:
        answer = bed.server.dial("102", CUSTOMER, org="beta").json()
        bed.customer.wait_heard(TONES["102"])
        bed.colleague.hang_up()
        bed.server.wait_record(answer["dial1"], organisation="beta")

        call = bed.call_in(TO_LAST_AGENT)
        bed.hear_each_other(bed.colleague, call)
        bed.customer.hang_up(call.number)
        record = bed.newest_record("beta")
        assert [leg["number"] for leg in record["legs"]] == [CUSTOMER, "102"]

        bed.colleague.behave("reject", reject_code=486)
        call = bed.call_in(TO_LAST_AGENT)
        bed.hear_each_other(bed.agent, call)
        bed.customer.hang_up(call.number)
        record = bed.newest_record("beta")
        assert [(leg["number"], leg["disposition"]) for leg in record["legs"]] == [
            (CUSTOMER, "answered"),
            ("102", "busy"),
            ("101", "answered"),
        ]


class TestRefusals:
    def test_a_number_without_a_route_is_not_found(self, bed: Bed) -> None:
        before, counted = len(bed.server.records()), without_route(bed.server)
        assert bed.ended(bed.call_in(NOWHERE)) == 404
        assert len(bed.server.records()) == before
        assert without_route(bed.server) == counted + 1

    def test_a_busy_extension_is_busy(self, bed: Bed) -> None:
        bed.agent.behave("reject", reject_code=486)
        assert bed.ended(bed.call_in(TO_EXTENSION)) == 486
        assert bed.newest_record()["disposition"] == "busy"

    def test_a_full_queue_is_busy_and_answers_nobody_whom_it_does_not_take(self, bed: Bed) -> None:
        bed.agent.behave("ring")
        before = len(bed.agent.calls())
        for _ in range(2):
            bed.customer.wait_for("answered", call=bed.call_in(TO_QUEUE).number)
            called(bed.agent, before)
        refused = bed.call_in(TO_QUEUE_FROM_THERE)
        assert bed.ended(refused) == 486
        assert not bed.customer.events("answered", call=refused.number)

    @pytest.mark.parametrize("number", [TO_EXTENSION, TO_OTHER_WORKER], ids=["to its worker", "to another worker"])
    def test_a_call_of_ours_that_the_trunk_sends_back_to_us_fails_and_harms_nobody(self, bed: Bed, number: str) -> None:
        before = len(bed.agent.calls())
        answer = bed.server.dial("102", number, SetCID=TO_EXTENSION).json()
        assert answer["status"] == "ok"
        record = bed.server.wait_record(answer["dial1"])
        assert (record["disposition"], record["ended_by"]) == ("unreachable", "dial2")
        assert [leg["sip_code"] for leg in record["legs"]] == [200, 482]
        assert len(bed.agent.calls()) == before

    def test_a_call_that_reaches_a_second_worker_with_its_call_id_goes_on_at_the_first(self, bed: Bed) -> None:
        call = bed.call_in(TO_EXTENSION)
        bed.hear_each_other(bed.agent, call)
        with RawPeer() as peer:
            peer.request(
                "INVITE", bed.server.sip_port + 1, call_id=call.call_id, user=TO_EXTENSION, sdp=offer(peer.port + 1)
            )
            assert peer.final(call.call_id) == 482
        bed.customer.send_digits("7", call=call.number)
        bed.agent.wait_digits("7", call=bed.agent.calls()[-1].number)
        bed.agent.hang_up()
        assert bed.ended(call) == 200
        assert bed.newest_record()["disposition"] == "answered"

    def test_without_a_free_leg_it_is_unavailable(self, bed: Bed, tmp_path: Path) -> None:
        tables = bed.server.config.read_text()
        own = tables[tables.index("[trunks.main]") :]
        with Server(tmp_path, own, sip="warm_workers = 1", sip_ports=1) as small:
            there = f"sip:{TO_EXTENSION}@127.0.0.1:{small.sip_port}"
            calls = []
            for _ in range(2):
                calls.append(bed.customer.call(there))
                bed.customer.wait_for("answered", call=calls[-1].number)
            assert bed.ended(bed.customer.call(there)) == 503
            for call in calls:
                bed.customer.hang_up(call.number)
                bed.ended(call)
            small.wait_log("call ended", 2)
            assert len(small.records()) == 2
            again = bed.customer.call(there)
            bed.customer.wait_for("answered", call=again.number)
            bed.customer.hang_up(again.number)
            bed.ended(again)
