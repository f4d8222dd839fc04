"""The edge in front of two nodes, run on what `click2call edge` wrote: who gets in, calls both ways, a node that dies.

Everybody has a loopback address of its own, as the edge knows nodes and trunks by theirs.
"""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, Self

import pytest
from raw_peer import RawPeer, header, offer
from server import Server
from testbed.edge import Edge
from testbed.kamailio import Kamailio
from testbed.phone import Phone, PhoneCall
from testbed.postgresql import PostgresqlServer
from testbed.process import TestbedError, find_program, free_port, wait_until

EDGE, TRUNK, DESK, OUTSIDE, ELSEWHERE, FULL = (f"127.0.0.{last}" for last in (20, 23, 24, 25, 26, 27))
NODES = ("127.0.0.21", "127.0.0.22")
BEHIND_NAT = "10.9.9.9"
CUSTOMER = "+13125550142"
TO_EXTENSION = "+12025550100"
TONES = {"acme-101": 500.0, "acme-102": 700.0, CUSTOMER: 900.0}
SECRET = "not-guessed"
TABLES = """
[edge]
address = "sip:{edge}"
nodes = ["{nodes}"]
ping_seconds = 1
[trunks.main]
proxy = "sip:{trunk}"
registrar = "sip:{trunk}"
username = "trunkuser"
password = "trunkpass"
realm = "testbed"
[orgs.acme]
country = "US"
trunk = "main"
caller_id = "+12025550100"
users.alice.password = "s3cret"
extensions.101.secret = "{secret}"
extensions.102.secret = "{secret}"
extensions.103.secret = "{secret}"
extensions.104.secret = "{secret}"
[orgs.acme.inbound]
"{number}" = "101"
"""


@dataclass(frozen=True)
class Site:
    """The edge, the nodes behind it, the trunk, two phones of the organisation, and the customer's."""

    edge: Edge
    nodes: tuple[Server, ...]
    trunk: Kamailio
    agent: Phone
    colleague: Phone
    customer: Phone
    full: RawPeer

    @property
    def phones(self) -> tuple[Phone, Phone, Phone]:
        return self.agent, self.colleague, self.customer

    def call_in(self, user: str = TO_EXTENSION) -> PhoneCall:
        """Let the customer call a number, or another user of the trunk's, through trunk and edge."""
        return self.customer.call(f"sip:{user}@{self.trunk.address}")

    def hear_each_other(self, one: Phone, other: Phone) -> None:
        one.wait_heard(TONES[other.extension])
        other.wait_heard(TONES[one.extension])


def called(phone: Phone, before: int) -> PhoneCall:
    """Return the call that comes in after as many as there were before."""
    return wait_until(lambda: phone.calls()[before:], 10.0, lambda: f"{phone.extension} is not called")[0]


def phone_of(edge: Edge, user: str, host: str = DESK, transport: Literal["udp", "tcp"] = "udp") -> Phone:
    """Make a phone that registers at the edge."""
    registrar, tone = f"{edge.uri};transport={transport}", TONES.get(user, 0.0)
    return Phone(
        user, host=host, transport=transport, tone_hz=tone, registrar=registrar, proxy=registrar, password=SECRET
    )


@pytest.fixture(scope="module")
def database(postgresql: PostgresqlServer, postgresql_template: str) -> Iterator[dict[str, str]]:
    """The database that the nodes share, as they are told of it."""
    postgresql.sql(f"CREATE DATABASE edge TEMPLATE {postgresql_template}")
    yield {"CLICK2CALL__STORAGE__DATABASE": postgresql.url("edge")}
    postgresql.sql("DROP DATABASE edge WITH (FORCE)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, database: dict[str, str]) -> Iterator[Site]:
    with ExitStack() as stack:
        nodes = tuple(
            Server(tmp_path_factory.mktemp("node"), "", address=address, sip_ports=4, environ=database)
            for address in NODES
        )
        full = stack.enter_context(RawPeer(FULL, EDGE))
        edge_port, trunk_port = free_port("tcp", EDGE), free_port("tcp", TRUNK)
        tables = TABLES.format(
            edge=f"{EDGE}:{edge_port}",
            nodes='", "'.join([*(node.workers for node in nodes), f"{full.host}:{full.port}"]),
            trunk=f"{TRUNK}:{trunk_port}",
            secret=SECRET,
            number=TO_EXTENSION,
        )
        for node in nodes:
            node.write(tables)
        customer = stack.enter_context(
            Phone(CUSTOMER, host=OUTSIDE, tone_hz=TONES[CUSTOMER], username="customer", password="customerpass")
        )
        hops = {"+1202": f"{EDGE}:{edge_port}", "+1312": f"{customer.host}:{customer.port}"}
        users = {"trunkuser": "trunkpass", "customer": "customerpass"}
        trunk = stack.enter_context(Kamailio(users, host=TRUNK, port=trunk_port, next_hops=hops))
        edge = stack.enter_context(Edge(nodes[0].config, host=EDGE, port=edge_port))
        for node in nodes:
            stack.enter_context(node)
        agent, colleague = (stack.enter_context(phone_of(edge, user)) for user in ("acme-101", "acme-102"))
        for address in NODES:
            edge.wait_active(address)
        yield Site(edge, nodes, trunk, agent, colleague, customer, full)


@pytest.fixture(autouse=True)
def _hung_up(site: Site) -> Iterator[None]:
    yield
    for phone in site.phones:
        # By now the other's BYE may have ended it.
        with contextlib.suppress(TestbedError):
            phone.hang_up()
        for call in phone.calls():
            phone.wait_for("ended", call=call.number)
        phone.behave("answer")


def test_the_configuration_is_one_that_kamailio_takes(site: Site) -> None:
    command = [find_program("kamailio"), "-c", "-f", str(site.edge.log.with_name("kamailio.cfg"))]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


class TestCalls:
    def test_a_click_joins_two_phones_where_they_registered(self, site: Site) -> None:
        answer = site.nodes[0].dial("101", "102").json()
        assert answer["status"] == "ok"
        site.hear_each_other(site.agent, site.colleague)
        assert f"From: <sip:102@{EDGE}>" in site.agent.calls()[-1].invite
        site.colleague.hang_up()
        record = site.nodes[0].wait_record(answer["dial1"])
        assert (record["disposition"], record["ended_by"]) == ("answered", "dial2")

    def test_a_click_reaches_the_outside_through_the_trunk(self, site: Site) -> None:
        answer = site.nodes[1].dial("101", CUSTOMER).json()
        assert answer["status"] == "ok"
        site.hear_each_other(site.agent, site.customer)
        site.customer.hang_up()
        record = site.nodes[1].wait_record(answer["dial1"])
        assert (record["disposition"], record["ended_by"]) == ("answered", "dial2")

    def test_a_call_from_the_trunk_reaches_a_node_and_rings_the_extension(self, site: Site) -> None:
        site.call_in()
        site.hear_each_other(site.agent, site.customer)
        site.agent.hang_up()
        record = newest_record(site)
        assert (record["direction"], record["user"], record["dial1"]) == ("inbound", "main", CUSTOMER)

    def test_whoever_gives_up_stops_the_ringing_on_the_other_side(self, site: Site) -> None:
        site.agent.behave("ring")
        before = len(site.agent.calls())
        site.call_in()
        ringing = called(site.agent, before)
        site.customer.hang_up()
        site.agent.wait_for("ended", call=ringing.number)
        assert newest_record(site)["disposition"] == "cancelled"
        answer = site.nodes[0].dial("101", "102", Timeout=1).json()
        assert answer["reason"] == "No answer"
        site.agent.wait_for("ended", call=called(site.agent, before + 1).number)
        site.agent.behave("answer")
        site.customer.behave("ring")
        before = len(site.customer.calls())
        assert site.nodes[0].dial("101", CUSTOMER).json()["status"] == "ok"
        ringing = called(site.customer, before)
        site.agent.hang_up()
        site.customer.wait_for("ended", call=ringing.number)

    def test_the_edge_registers_at_the_trunk_and_its_calls_there_are_for_whom_to_names(self, site: Site) -> None:
        site.trunk.wait_registered("trunkuser", 15.0)
        assert site.trunk.contacts("trunkuser") == [f"sip:main@{site.edge.address}"]
        call = site.call_in("trunkuser")
        # To names the account, which is nobody's number.
        assert site.customer.wait_for("ended", call=call.number)["code"] == 404

    def test_a_phone_calls_what_a_number_means_in_its_organisation(self, site: Site) -> None:
        site.agent.call(f"sip:102@{site.edge.address}")
        site.hear_each_other(site.agent, site.colleague)
        assert f"From: <sip:101@{EDGE}>" in site.colleague.calls()[-1].invite
        site.colleague.hang_up()
        site.agent.call(f"sip:{CUSTOMER}@{site.edge.address}")
        site.hear_each_other(site.agent, site.customer)
        assert f"From: <sip:{TO_EXTENSION}@" in site.customer.calls()[-1].invite


def newest_record(site: Site) -> dict[str, Any]:
    """Return the newest record of the site once it is complete."""

    def finished() -> dict[str, Any] | None:
        newest = site.nodes[1].records()
        return newest[0] if newest and newest[0]["ended_at"] else None

    return wait_until(finished, 10.0, "no finished record")


class TestRegistration:
    def test_an_extension_that_is_not_registered_is_not_connected(self, site: Site) -> None:
        answer = site.nodes[0].dial("103", "102").json()
        assert (answer["status"], answer["reason"]) == ("Fail", "Not connected")

    def test_a_phone_that_registers_elsewhere_is_called_there_alone(self, site: Site) -> None:
        with phone_of(site.edge, "acme-103") as before, phone_of(site.edge, "acme-103", OUTSIDE, "tcp") as now:
            before.behave("ring")
            assert site.nodes[0].dial("103", "102").json()["status"] == "ok"
            now.wait_heard(TONES["acme-102"])
            assert not before.calls()

    def test_a_wrong_secret_is_refused_and_after_some_more_not_looked_at(self, site: Site) -> None:
        with RawPeer(ELSEWHERE, EDGE) as peer:
            codes = [register(peer, site.edge.port, "acme-103", "a-wrong-one") for _ in range(6)]
            assert codes == [401] * 5 + [403]
            assert register(peer, site.edge.port, "acme-103", SECRET) == 403
            assert register(peer, site.edge.port, "acme-102", "a-wrong-one") == 401
        assert not site.edge.registered("acme-103")

    def test_nobody_registers_as_somebody_else(self, site: Site) -> None:
        with RawPeer(OUTSIDE, EDGE) as peer:
            assert register(peer, site.edge.port, "acme-103", SECRET, address_of_record="acme-101") == 401

    def test_a_phone_behind_a_nat_is_called_where_its_packets_come_from(self, site: Site) -> None:
        with RawPeer(OUTSIDE, EDGE) as peer, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtp:
            rtp.bind((OUTSIDE, 0))
            rtp.settimeout(5.0)
            peer.host, peer.port = BEHIND_NAT, 5060
            assert register(peer, site.edge.port, "acme-103", SECRET) == 200
            pending = site.nodes[0].dial("103", "102", Response=None, showUID=None)
            assert pending.status == 200
            invite = peer.receive("INVITE")
            sdp = offer(rtp.getsockname()[1]).replace("127.0.0.1", BEHIND_NAT)
            peer.respond(invite, 200, site.edge.port, sdp)
            assert header(peer.receive("ACK"), "Call-ID") == header(invite, "Call-ID")
            assert rtp.recvfrom(2000)[1][0] in NODES
            site.colleague.wait_for("answered", call=site.colleague.calls()[-1].number)
            site.colleague.hang_up()
            peer.respond(peer.receive("BYE"), 200, site.edge.port)
            assert register(peer, site.edge.port, "acme-103", SECRET, expires=0) == 200

    def test_no_phone_asks_a_node_for_credentials(self, site: Site) -> None:
        with RawPeer(OUTSIDE, EDGE) as peer:
            assert register(peer, site.edge.port, "acme-103", SECRET) == 200
            assert site.nodes[0].dial("103", "102", Response=None, showUID=None).status == 200
            peer.respond(peer.receive("INVITE"), 407, site.edge.port)
            assert [leg["sip_code"] for leg in newest_record(site)["legs"]][:1] == [403]
            assert register(peer, site.edge.port, "acme-103", SECRET, expires=0) == 200

    def test_another_secret_counts_at_once_and_bindings_outlive_a_restart(self, site: Site) -> None:
        with RawPeer(OUTSIDE, EDGE) as peer:
            assert register(peer, site.edge.port, "acme-104", SECRET) == 200
            settings = site.nodes[0].config
            settings.write_text(settings.read_text().replace(f'104.secret = "{SECRET}"', '104.secret = "another-one"'))
            site.edge.generate()
            assert register(peer, site.edge.port, "acme-104", SECRET) == 401
            assert register(peer, site.edge.port, "acme-104", "another-one") == 200
        site.edge.restart()
        for user in ("acme-101", "acme-102", "acme-104"):
            assert len(site.edge.contacts(user)) == 1
        for address in NODES:
            site.edge.wait_active(address)


def register(
    peer: RawPeer, port: int, user: str, secret: str, *, address_of_record: str = "", expires: int = 300
) -> int:
    """Register with a digest (RFC 2617 section 3.2.2); return the final status."""
    own = f"<sip:{address_of_record or user}@{EDGE}>"
    challenged = peer.request("REGISTER", port, user="x", sender=own, to=own)
    challenge = header(peer.receive("SIP/2.0 401", challenged), "WWW-Authenticate")
    realm, nonce = (re.search(rf'{name}="([^"]*)"', challenge)[1] for name in ("realm", "nonce"))  # type: ignore[index]
    uri = f"sip:{EDGE}"
    ha1, ha2 = (md5(text) for text in (f"{user}:{realm}:{secret}", f"REGISTER:{uri}"))
    response = md5(f"{ha1}:{nonce}:00000001:mine:auth:{ha2}")
    answer = (
        f'username="{user}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}"'
        ', qop=auth, nc=00000001, cnonce="mine"'
    )
    more = f"Authorization: Digest {answer}\r\nExpires: {expires}\r\n"
    return peer.final(peer.request("REGISTER", port, user="x", sender=own, to=own, more=more, cseq=2))


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class TestStrangers:
    def test_an_invite_without_credentials_reaches_nobody(self, site: Site) -> None:
        records = site.nodes[0].records()
        with RawPeer(ELSEWHERE, EDGE) as peer:
            for user in (TO_EXTENSION, "acme-101", "102"):
                forged = "X-Click2Call-Origin: extension=acme-101\r\n"
                call_id = peer.request("INVITE", site.edge.port, user=user, more=forged, sdp=offer(peer.port))
                assert peer.final(call_id) == 407
        assert site.nodes[0].records() == records

    def test_a_request_of_no_dialog_reaches_no_trunk(self, site: Site) -> None:
        before = len(site.customer.calls())
        with RawPeer(ELSEWHERE, EDGE) as peer:
            forged = (
                f"INVITE sip:{CUSTOMER}@{site.trunk.address} SIP/2.0\r\n"
                f"Via: SIP/2.0/UDP {peer.host}:{peer.port};branch=z9hG4bKforged\r\n"
                f"Route: <sip:{site.edge.address};lr>\r\nFrom: <sip:101@{EDGE}>;tag=a\r\nTo: <sip:102@{EDGE}>;tag=b\r\n"
                f"Call-ID: forged\r\nCSeq: 1 INVITE\r\nContact: <sip:{peer.host}:{peer.port}>\r\nMax-Forwards: 70\r\n"
                "Content-Length: 0\r\n\r\n"
            )
            peer.send(forged, site.edge.port)
            assert peer.final("forged") == 403
        assert len(site.customer.calls()) == before


class FullWorker:
    """Answers pings, and every call with 503; a context manager.

    Args:
        peer: where it is.

    Attributes:
        refused: how many calls.
    """

    def __init__(self, peer: RawPeer) -> None:
        self._peer = peer
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self.refused = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._over.is_set():
            # A ping comes every second.
            request = self._peer.receive("")
            port = int(header(request, "Via").partition(";")[0].rpartition(":")[2])
            if request.startswith("OPTIONS"):
                self._peer.respond(request, 200, port)
            elif request.startswith("INVITE"):
                self.refused += 1
                self._peer.respond(request, 503, port)


class TestNodes:
    def test_a_call_that_rings_when_its_worker_dies_rings_from_another(self, site: Site) -> None:
        site.agent.behave("ring")
        before = len(site.agent.calls())
        call = site.call_in()
        rung = called(site.agent, before)
        (node,) = (node for node in site.nodes if f"UDP {node.workers.partition(':')[0]}:" in rung.invite)
        for pid in node.worker_pids():
            os.kill(pid, signal.SIGKILL)
        site.agent.answer(called(site.agent, before + 1).number)
        site.customer.wait_for("answered", 10.0, call=call.number)
        site.hear_each_other(site.agent, site.customer)

    def test_a_node_that_dies_takes_only_its_own_calls_with_it(self, site: Site) -> None:
        dying, surviving = site.nodes
        assert surviving.dial("101", "102").json()["status"] == "ok"
        site.hear_each_other(site.agent, site.colleague)
        going_on = site.agent.calls()[-1].number
        with phone_of(site.edge, "acme-103") as third:
            left = dying.dial("103", CUSTOMER).json()
            third.wait_heard(TONES[CUSTOMER])
            dying.kill()
            third.wait_for("ended", call=third.calls()[-1].number)
            site.customer.wait_for("ended", call=site.customer.calls()[-1].number)
            # The edge may not know yet: whoever calls now is passed on.
            for _ in range(2):
                call = site.call_in()
                site.customer.wait_for("answered", call=call.number)
            site.edge.wait_active(NODES[0], active=False)
            assert site.edge.active(NODES[1])
            site.colleague.send_digits("7")
            site.agent.wait_digits("7", call=going_on)
        assert surviving.wait_record(left["dial1"], 20.0)["disposition"] == "interrupted"

    def test_a_call_that_a_full_worker_refuses_goes_on_to_another(self, site: Site) -> None:
        with FullWorker(site.full) as full:
            site.edge.wait_active(FULL)
            # They take their turns.
            while not full.refused:
                call = site.call_in()
                site.customer.wait_for("answered", call=call.number)
                site.customer.hang_up(call.number)
                site.agent.wait_for("ended", call=site.agent.calls()[-1].number)
