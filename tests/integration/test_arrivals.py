"""Calls that come in from a trunk: routed by their number, answered when somebody answers, refused with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from raw_peer import RawPeer, header, offer
from server import SIP_PORTS, Server
from testbed.kamailio import Kamailio
from testbed.phone import Phone
from testbed.process import is_bound, wait_until

TONES = {"101": 500.0, "102": 700.0, "900": 900.0}
NUMBERS = {"+12025550100": "101", "+12025550101": "600", "+12025550102": "*43", "+12025550103": "103"}
BETA_NUMBERS = {"+12025550199": "102", "+12025550198": "+12125550123"}


@dataclass(frozen=True)
class Bed:
    """The server, two phones of its organisation, and a phone that is the trunk without registration."""

    server: Server
    registrar: Kamailio
    agent: Phone
    colleague: Phone
    customer: Phone

    def call_in(self, number: str, port: int = 0) -> int:
        """Let the customer call a number of the organisation; return the customer's number of the call."""
        return self.customer.call(f"sip:{number}@127.0.0.1:{port or self.server.sip_port}").number


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with ExitStack() as stack:
        phones = {number: stack.enter_context(Phone(number, tone_hz=hz)) for number, hz in TONES.items()}
        registrar = stack.enter_context(Kamailio({"trunkuser": "trunkpass"}, challenge=None))
        routes = "".join(f'"{number}" = "{target}"\n' for number, target in NUMBERS.items())
        beta_routes = "".join(f'"{number}" = "{target}"\n' for number, target in BETA_NUMBERS.items())
        tables = f"""
[trunks.plain]
proxy = "sip:127.0.0.1:{phones["900"].port}"
[trunks.registered]
proxy = "{registrar.uri}"
registrar = "{registrar.uri}"
username = "trunkuser"
password = "trunkpass"
[orgs.acme]
country = "US"
trunk = "plain"
users.alice.password = "s3cret"
extensions.101.contact = "{phones["101"].uri}"
extensions.102.contact = "{phones["102"].uri}"
extensions.103 = {{}}
ring_groups.600.members = ["101", "102"]
apps.echo = {{ number = "*43", kind = "echo" }}
[orgs.acme.inbound]
{routes}
[orgs.beta]
trunk = "registered"
users.alice.password = "s3cret"
extensions.102.contact = "{phones["102"].uri}"
[orgs.beta.inbound]
{beta_routes}
"""
        server = stack.enter_context(Server(tmp_path_factory.mktemp("server"), tables))
        server.wait_trunk("registered", "registered")
        yield Bed(server, registrar, phones["101"], phones["102"], phones["900"])


def rung(phone: Phone, before: int) -> int:
    """Wait for the phone's next call after those that it had before; return its number."""
    number: int = phone.wait_for("incoming", 5.0, nth=before + 1)["call"]
    return number


def last_record(bed: Bed, organisation: str = "acme") -> dict[str, object]:
    """Return the newest record once it is complete."""

    def finished() -> dict[str, object] | None:
        found = bed.server.records(organisation=organisation)
        return found[0] if found and found[0]["ended_at"] else None

    return wait_until(finished, 10.0, "no finished record")


def test_a_caller_reaches_the_extension_behind_the_number_and_both_hear_each_other(bed: Bed) -> None:
    call = bed.call_in("+12025550100")
    bed.customer.wait_heard(TONES["101"], 10.0, call)
    bed.agent.wait_heard(TONES["900"], 10.0)
    bed.customer.hang_up(call)
    bed.agent.wait_for("ended", 5.0)
    record = last_record(bed)
    assert (record["direction"], record["dial2"], record["disposition"]) == ("inbound", "+12025550100", "answered")
    assert record["ended_by"] == "dial1"
    assert [leg["number"] for leg in record["legs"]] == ["900", "101"]


def test_the_caller_is_not_answered_before_somebody_answers(bed: Bed) -> None:
    bed.agent.behave("ring")
    before = len(bed.agent.calls())
    call = bed.call_in("+12025550100")
    bed.customer.wait_for("ringing", 5.0, call=call)
    ringing = rung(bed.agent, before)
    assert not bed.customer.events("answered", call=call)
    bed.agent.answer(ringing)
    bed.customer.wait_for("answered", 5.0, call=call)
    bed.agent.hang_up(ringing)
    bed.customer.wait_for("ended", 5.0, call=call)
    bed.agent.behave("answer")


def test_a_caller_who_gives_up_stops_the_ringing(bed: Bed) -> None:
    bed.agent.behave("ring")
    before = len(bed.agent.calls())
    call = bed.call_in("+12025550100")
    ringing = rung(bed.agent, before)
    bed.customer.hang_up(call)
    bed.agent.wait_for("ended", 5.0, call=ringing)
    assert last_record(bed)["disposition"] == "cancelled"
    bed.agent.behave("answer")


def test_a_group_an_app_and_what_cannot_be_reached(bed: Bed) -> None:
    bed.colleague.behave("reject")
    group = bed.call_in("+12025550101")
    bed.customer.wait_heard(TONES["101"], 10.0, group)
    bed.customer.hang_up(group)
    bed.colleague.behave("answer")
    echo = bed.call_in("2025550102")
    bed.customer.wait_heard(TONES["900"], 10.0, echo)
    bed.customer.hang_up(echo)
    # 103 is reached through the trunk, which is the customer's phone itself: it refuses.
    bed.customer.behave("reject", reject_code=486)
    busy = bed.call_in("+12025550103")
    assert bed.customer.wait_for("ended", 10.0, call=busy)["code"] == 486
    bed.customer.behave("answer")


def test_a_number_without_a_route_gets_404_and_leaves_nothing(bed: Bed) -> None:
    before = len(bed.server.records())
    call = bed.call_in("+12025550177")
    assert bed.customer.wait_for("ended", 5.0, call=call)["code"] == 404
    assert len(bed.server.records()) == before


def test_over_the_registration_the_number_stands_in_the_to_header(bed: Bed) -> None:
    wait_until(lambda: bed.registrar.contacts("trunkuser"), 5.0, "no binding")
    before = len(bed.colleague.calls())
    with RawPeer() as peer:
        to = f"<sip:+12025550199@{bed.registrar.address}>"
        call = peer.request("INVITE", bed.registrar.port, user="trunkuser", to=to, sdp=offer(peer.port + 1))
        answer = peer.receive("SIP/2.0 200", call)
        worker = int(header(answer, "Contact").rpartition(":")[2].rstrip(">").partition(";")[0])
        peer.acknowledge(answer, worker)
        bed.colleague.hang_up(rung(bed.colleague, before))
        bye = peer.receive("BYE", call)
        peer.respond(bye, 200, int(header(bye, "Via").partition(";")[0].rpartition(":")[2]))
    assert last_record(bed, "beta")["dial2"] == "+12025550199"


def test_a_leg_that_leaves_through_the_registered_trunk_leaves_its_binding_alone(bed: Bed) -> None:
    (binding,) = bed.registrar.contacts("trunkuser")
    with RawPeer() as peer:
        to = f"<sip:+12025550198@{bed.registrar.address}>"
        call = peer.request("INVITE", bed.registrar.port, user="trunkuser", to=to, sdp=offer(peer.port + 1))
        # The trunk knows no such number; that it was asked tells that leg 2 was placed.
        assert peer.final(call) == 404
    assert last_record(bed, "beta")["legs"][1]["number"] == "+12125550123"
    assert bed.registrar.contacts("trunkuser") == [binding]
    assert bed.server.trunk("registered")["state"] == "registered"


def test_an_invite_with_the_call_id_of_a_living_leg_is_refused_and_harms_nothing(bed: Bed) -> None:
    uid = bed.server.dial("101", "102", Response="yes", showUID="yes", RFormat="json").json()["dial1"]
    bed.agent.wait_heard(TONES["102"], 10.0)
    ports = range(bed.server.sip_port, bed.server.sip_port + SIP_PORTS)
    workers = [port for port in ports if is_bound("udp", port)]
    assert len(workers) > 1
    with RawPeer() as peer:
        for port in workers:
            peer.request("INVITE", port, call_id=uid, user="+12025550100", sdp=offer(peer.port + 1))
            peer.acknowledge(peer.receive("SIP/2.0 482", uid), port)
    bed.agent.wait_heard(TONES["102"], 10.0)
    bed.agent.hang_up()
    assert bed.server.wait_record(uid)["disposition"] == "answered"


def test_this_machine_may_not_call_unless_the_settings_say_so(tmp_path: Path) -> None:
    # The workers let it in, for the links between them.
    tables = """
[trunks.plain]
proxy = "sip:127.0.0.3:5060"
[orgs.acme]
trunk = "plain"
apps.echo = { number = "*43", kind = "echo" }
inbound."+12025550100" = "*43"
"""
    with Server(tmp_path, tables) as server, RawPeer("127.0.0.3") as trunk, RawPeer() as stranger:
        call = stranger.request("INVITE", server.sip_port, user="+12025550100", sdp=offer(stranger.port + 1))
        assert stranger.final(call) == 403
        call = trunk.request("INVITE", server.sip_port, user="+12025550100", sdp=offer(trunk.port + 1))
        assert trunk.final(call) == 200
