"""The edge in front of two nodes: phones that register, calls both ways through it, and a node that dies."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from server import Server
from testbed.edge import Edge
from testbed.kamailio import Kamailio
from testbed.phone import Phone, PhoneCall
from testbed.process import TestbedError, free_port

EDGE, TRUNK, PHONES, ELSEWHERE = "127.0.0.20", "127.0.0.23", "127.0.0.24", "127.0.0.25"
NODES = ("127.0.0.21", "127.0.0.22")
STRANGER = "127.0.0.26"
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
[orgs.acme.inbound]
"{number}" = "101"
"""


@dataclass(frozen=True)
class Site:
    """The edge, the nodes behind it, the trunk, two phones of the organisation, and the customer's."""

    edge: Edge
    nodes: tuple[Server, Server]
    trunk: Kamailio
    agent: Phone
    colleague: Phone
    customer: Phone

    def call_in(self, number: str = TO_EXTENSION) -> PhoneCall:
        """Let the customer call a number through trunk and edge."""
        return self.customer.call(f"sip:{number}@{self.trunk.address}")


def phone(site_edge: Edge, user: str, host: str = PHONES, secret: str = SECRET) -> Phone:
    """Make a phone that registers at the edge."""
    return Phone(
        user,
        host=host,
        tone_hz=TONES.get(user, 0.0),
        registrar=site_edge.uri,
        password=secret,
        port=free_port("udp", host),
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        nodes = tuple(Server(tmp_path_factory.mktemp("node"), "", address=address, sip_ports=4) for address in NODES)
        edge_port, trunk_port = free_port("tcp", EDGE), free_port("tcp", TRUNK)
        tables = TABLES.format(
            edge=f"{EDGE}:{edge_port}",
            nodes='", "'.join(node.workers for node in nodes),
            trunk=f"{TRUNK}:{trunk_port}",
            secret=SECRET,
            number=TO_EXTENSION,
        )
        for node in nodes:
            node.write(tables)
        customer = stack.enter_context(
            Phone(CUSTOMER, host=ELSEWHERE, tone_hz=TONES[CUSTOMER], username="customer", password="customerpass")
        )
        hops = {"+1202": f"{EDGE}:{edge_port}", "+1312": f"{customer.host}:{customer.port}"}
        users = {"trunkuser": "trunkpass", "customer": "customerpass"}
        trunk = stack.enter_context(Kamailio(users, host=TRUNK, port=trunk_port, next_hops=hops))
        edge = stack.enter_context(Edge(nodes[0].config, host=EDGE, port=edge_port))
        for node in nodes:
            stack.enter_context(node)
        phones = [stack.enter_context(phone(edge, user)) for user in ("acme-101", "acme-102")]
        for address in NODES:
            edge.wait_active(address)
        yield Site(edge, nodes, trunk, *phones, customer)


@pytest.fixture(autouse=True)
def _hung_up(site: Site) -> Iterator[None]:
    yield
    for each in (site.customer, site.agent, site.colleague):
        # By now the other's BYE may have ended it.
        with contextlib.suppress(TestbedError):
            each.hang_up()
        for call in each.calls():
            each.wait_for("ended", call=call.number)


def test_a_click_joins_two_phones_where_they_registered(site: Site) -> None:
    answer = site.nodes[0].dial("101", "102").json()
    assert answer["status"] == "ok"
    site.agent.wait_heard(TONES["acme-102"])
    site.colleague.wait_heard(TONES["acme-101"])
    site.colleague.hang_up()
    record = site.nodes[0].wait_record(answer["dial1"])
    assert (record["disposition"], record["ended_by"]) == ("answered", "dial2")


def test_a_click_reaches_the_trunk(site: Site) -> None:
    answer = site.nodes[1].dial("101", CUSTOMER).json()
    assert answer["status"] == "ok"
    site.agent.wait_heard(TONES[CUSTOMER])
    site.customer.wait_heard(TONES["acme-101"])
    site.customer.hang_up()
    assert site.nodes[1].wait_record(answer["dial1"])["ended_by"] == "dial2"


def test_call_in(site: Site) -> None:
    call = site.call_in()
    site.agent.wait_heard(TONES[CUSTOMER])
    site.customer.wait_heard(TONES["acme-101"], call=call.number)


def test_phone_calls(site: Site) -> None:
    call = site.agent.call(f"sip:102@{site.edge.address}")
    site.colleague.wait_heard(TONES["acme-101"])
    site.agent.wait_heard(TONES["acme-102"], call=call.number)
