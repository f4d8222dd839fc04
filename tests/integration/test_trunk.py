"""A trunk or a PBX: registration lost and regained, digest, transports, and credentials that go nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from server import Server
from testbed import scenarios
from testbed.capture import UdpSink
from testbed.kamailio import Kamailio
from testbed.phone import Phone, PhoneCall
from testbed.process import free_port, wait_until
from testbed.scenarios import Scenario
from testbed.sipp import Sipp, SipTrace

CUSTOMER = "+13125550142"
TONES = {"101": 500.0, "102": 700.0, "900": 900.0}
USERS = {"trunkuser": "trunkpass", "named": "trunkpass", "wronguser": "right", "102": "pw102"}
DEFAULT_PORT_HOST = f"127.77.{os.getpid() % 250}.1"
"""An address of this run's own, where port 5060 is free."""
REFRESHED_EVERY_SECONDS = 5
"""The shortest that the settings allow; a refresh is sent after three quarters of it."""


def trunk_table(name: str, proxy: str, *, registers: bool = False, **keys: str | int) -> str:
    lines = {"proxy": proxy, "username": "trunkuser", "password": "trunkpass", **keys}
    if registers:
        lines["registrar"] = proxy
    return f"[trunks.{name}]\n" + "".join(
        f'{key} = "{value}"\n' if isinstance(value, str) else f"{key} = {value}\n" for key, value in lines.items()
    )


def organisation_table(name: str, **contacts: str) -> str:
    """Write an organisation with the trunk of the same name; an extension without a contact is reached through it."""
    extensions = "".join(
        f"[orgs.{name}.extensions.{number.removeprefix('_')}]\n" + (f'contact = "{contact}"\n' if contact else "")
        for number, contact in contacts.items()
    )
    return (
        f'[orgs.{name}]\ncountry = "US"\ncaller_id = "+12025550100"\ntrunk = "{name}"\n'
        f'[orgs.{name}.users.alice]\npassword = "s3cret"\n{extensions}'
    )


@dataclass(frozen=True)
class Bed:
    """The server, a trunk for each organisation of the trunk's name, and phones.

    acme's trunk asks INVITE with 407, asks401's with 401, tcp's is reached over TCP. The other trunks lead to whatever
    a test has listening at `scripted_port`.
    """

    server: Server
    trunks: dict[str, Kamailio]
    scripted_port: int
    agent: Phone
    colleague: Phone
    customer: Phone

    def scripted(self, scenario: Scenario | str) -> Sipp:
        return Sipp(scenario, port=self.scripted_port)

    def talk(self, org: str, one: tuple[str, Phone], other: tuple[str, Phone]) -> tuple[str, str]:
        """Click, let both phones hear each other, and hang up; return the UniqueIDs."""
        (dial1, first), (dial2, second) = one, other
        answer = self.server.dial(dial1, dial2, org=org).json()
        assert answer["status"] == "ok", answer
        call1, call2 = call_of(first, answer["dial1"]), call_of(second, answer["dial2"])
        first.wait_heard(TONES[second.extension], 10.0, call1.number)
        second.wait_heard(TONES[first.extension], 10.0, call2.number)
        second.hang_up(call2.number)
        first.wait_for("ended", 10.0, call=call1.number)
        second.wait_for("ended", 10.0, call=call2.number)
        return call1.call_id, call2.call_id

    def talk_to_the_customer(self, org: str) -> str:
        """Return the UniqueID of the leg that went through the trunk."""
        return self.talk(org, ("101", self.agent), (CUSTOMER, self.customer))[1]


def call_of(phone: Phone, uid: str) -> PhoneCall:
    return wait_until(
        lambda: next((call for call in phone.calls() if call.call_id == uid), None),
        10.0,
        lambda: f"phone {phone.extension} has no call {uid}",
    )


def invites(peer: Sipp, uid: str) -> list[SipTrace]:
    """Return the INVITEs of a leg whose end the server has told."""
    return [trace for trace in peer.received("INVITE") if trace.header("Call-ID") == uid]


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with ExitStack() as stack:
        customer = stack.enter_context(Phone("900", tone_hz=TONES["900"]))
        agent = stack.enter_context(Phone("101", tone_hz=TONES["101"]))
        challenges = {"acme": 407, "asks401": 401, "tcp": 407}
        hops = {"+1": f"{customer.host}:{customer.port}"}
        trunks = {
            name: stack.enter_context(Kamailio(USERS, realm=f"{name}-realm", next_hops=hops, challenge=challenge))
            for name, challenge in challenges.items()
        }
        pbx = trunks["acme"]
        colleague = stack.enter_context(Phone("102", tone_hz=TONES["102"], registrar=pbx.uri, password="pw102"))
        scripted_port = free_port()
        scripted = f"sip:127.0.0.1:{scripted_port}"
        often: dict[str, int] = {"register_seconds": REFRESHED_EVERY_SECONDS}
        tables = [
            trunk_table("acme", pbx.uri, registers=True),
            organisation_table("acme", _101=agent.uri, _102="", _199=f"sip:199@127.0.0.1:{scripted_port}"),
            trunk_table("asks401", trunks["asks401"].uri, registers=True, **often),
            organisation_table("asks401", _101=agent.uri),
            trunk_table("tcp", trunks["tcp"].uri, registers=True, transport="tcp", **often),
            organisation_table("tcp", _101=agent.uri),
            trunk_table("named", f"sip:localhost:{pbx.port}", registers=True, username="named"),
            organisation_table("named", _101=agent.uri),
            trunk_table("wrong", pbx.uri, registers=True, username="wronguser", password="not right"),
            organisation_table("wrong", _101=agent.uri),
        ]
        for name, proxy, keys in (
            ("plus_e164", scripted, {"number_format": "plus_e164"}),
            ("e164", scripted, {"number_format": "e164"}),
            ("national", scripted, {"number_format": "national"}),
            ("host_name", f"sip:localhost:{scripted_port}", {}),
            ("default_port", f"sip:{DEFAULT_PORT_HOST}", {}),
            ("one_realm", scripted, {"realm": "right"}),
        ):
            tables += [trunk_table(name, proxy, **keys), organisation_table(name, _101=agent.uri)]
        folder: Path = tmp_path_factory.mktemp("server")
        server = stack.enter_context(Server(folder, "".join(tables)))
        yield Bed(server, trunks, scripted_port, agent, colleague, customer)


# -- registration


@pytest.mark.parametrize("trunk", ["acme", "asks401", "tcp"])
def test_a_trunk_registers_with_digest_and_says_so(bed: Bed, trunk: str) -> None:
    assert bed.server.wait_trunk(trunk, "registered") == {"state": "registered", "sip_code": 200, "text": "OK"}
    (contact,) = bed.trunks[trunk].contacts("trunkuser")
    assert contact.startswith("sip:trunkuser@127.0.0.1:")
    assert ("transport=tcp" in contact.lower()) == (trunk == "tcp")


def test_a_trunk_without_a_registrar_says_so(bed: Bed) -> None:
    assert bed.server.trunk("e164")["state"] == "none"


def test_a_wrong_password_is_told_and_calls_are_unreachable(bed: Bed) -> None:
    assert bed.server.wait_trunk("wrong", "failed")["sip_code"] == 401
    assert bed.server.wait_log("trunk failed", trunk="wrong")["level"] == "warning"
    answer = bed.server.dial(CUSTOMER, "101", org="wrong").json()
    assert (answer["status"], answer["reason"]) == ("Fail", "Unreachable")


# -- calls through it


@pytest.mark.parametrize(("org", "transport"), [("acme", "udp"), ("asks401", "udp"), ("tcp", "tcp")])
def test_a_challenged_invite_is_answered_and_both_hear_each_other(bed: Bed, org: str, transport: str) -> None:
    uid = bed.talk_to_the_customer(org)
    lines = [line for line in bed.trunks[org].log.read_text().splitlines() if uid in line]
    asked, accepted = [line for line in lines if "request INVITE" in line]
    assert f"({transport}:127.0.0.1:" in asked
    assert f"({transport}:127.0.0.1:" in accepted


def test_leg_1_may_go_through_the_trunk_too(bed: Bed) -> None:
    bed.talk("acme", (CUSTOMER, bed.customer), ("101", bed.agent))


def test_an_extension_without_a_contact_is_reached_through_the_trunk(bed: Bed) -> None:
    bed.talk("acme", ("102", bed.colleague), ("101", bed.agent))
    assert bed.colleague.calls()[-1].invite.startswith("INVITE sip:102@")


def test_a_trunk_known_by_name_registers_and_carries_calls(bed: Bed) -> None:
    bed.server.wait_trunk("named", "registered")
    bed.talk_to_the_customer("named")


def test_a_host_name_stays_in_the_request_uri_and_leaves_no_route(bed: Bed) -> None:
    with bed.scripted("busy") as peer:
        answer = bed.server.dial(CUSTOMER, "101", org="host_name").json()
        assert answer["reason"] == "Busy"
        (invite,) = invites(peer, answer["dial1"])
    assert invite.start_line == f"INVITE sip:{CUSTOMER}@localhost:{bed.scripted_port} SIP/2.0"
    assert invite.headers("Route") == []


@pytest.mark.parametrize(
    ("number_format", "number", "caller"),
    [
        ("plus_e164", "+13125550142", "+12025550100"),
        ("e164", "13125550142", "12025550100"),
        ("national", "3125550142", "2025550100"),
    ],
)
def test_numbers_are_written_in_the_trunks_format(bed: Bed, number_format: str, number: str, caller: str) -> None:
    with bed.scripted("busy") as peer:
        answer = bed.server.dial(CUSTOMER, "101", org=number_format, SetCID="+12025550100").json()
        (invite,) = invites(peer, answer["dial1"])
    assert invite.start_line == f"INVITE sip:{number}@127.0.0.1:{bed.scripted_port} SIP/2.0"
    assert (invite.header("From") or "").startswith(f"<sip:{caller}@127.0.0.1>;tag=")
    assert invite.header("P-Asserted-Identity") == f"<sip:{caller}@127.0.0.1>"


# -- credentials


def test_a_contact_that_asks_for_credentials_gets_none_even_with_a_trunks_realm(bed: Bed) -> None:
    with bed.scripted(scenarios.challenge_loop(401, realm="acme-realm")) as peer:
        answer = bed.server.dial("199", "101").json()
        assert (answer["status"], answer["reason"]) == ("Fail", "Unreachable")
        (invite,) = invites(peer, answer["dial1"])
        assert not invite.headers("Authorization") + invite.headers("Proxy-Authorization")


@pytest.mark.parametrize("code", [401, 407])
def test_a_trunk_that_asks_with_another_realm_gets_no_credentials(bed: Bed, code: int) -> None:
    with bed.scripted(scenarios.challenge_loop(code, realm="other")) as peer:
        answer = bed.server.dial(CUSTOMER, "101", org="one_realm").json()
        assert (answer["status"], answer["reason"]) == ("Fail", "Unreachable")
        (invite,) = invites(peer, answer["dial1"])
        assert not invite.headers("Authorization") + invite.headers("Proxy-Authorization")


@pytest.mark.parametrize(("code", "header"), [(401, "Authorization"), (407, "Proxy-Authorization")])
def test_a_trunk_that_asks_with_the_credentials_own_realm_gets_them(bed: Bed, code: int, header: str) -> None:
    with bed.scripted(scenarios.challenge_loop(code, realm="right")) as peer:
        answer = bed.server.dial(CUSTOMER, "101", org="one_realm").json()
        assert (answer["status"], answer["reason"]) == ("Fail", "Unreachable")
        first, second, *rest = invites(peer, answer["dial1"])
    assert not first.headers(header)
    assert 'username="trunkuser", realm="right"' in (second.header(header) or "")
    assert "trunkpass" not in second.text
    assert len(rest) <= 2, "a trunk that is never content is asked at most four times"


@pytest.mark.parametrize("host", ["127.0.0.2", "127.0.0.1"], ids=["another host", "another port"])
def test_a_redirect_away_from_the_trunk_is_not_followed(bed: Bed, host: str) -> None:
    with (
        UdpSink(host=host) as elsewhere,
        bed.scripted(scenarios.redirect(f"sip:{CUSTOMER}@{elsewhere.address}")) as peer,
    ):
        answer = bed.server.dial(CUSTOMER, "101", org="e164").json()
        assert (answer["status"], answer["reason"]) == ("Fail", "Not connected")
        assert len(invites(peer, answer["dial1"])) == 1
        assert elsewhere.settle() == 0


def test_a_redirect_from_the_default_port_to_another_is_not_followed(bed: Bed) -> None:
    with UdpSink(host=DEFAULT_PORT_HOST) as elsewhere:
        scenario = scenarios.redirect(f"sip:{CUSTOMER}@{elsewhere.address}")
        with Sipp(scenario, host=DEFAULT_PORT_HOST, port=5060) as peer:
            answer = bed.server.dial(CUSTOMER, "101", org="default_port").json()
            assert (answer["status"], answer["reason"]) == ("Fail", "Not connected")
            assert len(invites(peer, answer["dial1"])) == 1
            assert elsewhere.settle() == 0


# -- registration lost and regained


def test_a_registrar_that_forgot_us_is_registered_at_again_by_the_refresh(bed: Bed) -> None:
    bed.server.wait_trunk("asks401", "registered")
    bed.trunks["asks401"].restart()
    bed.trunks["asks401"].wait_registered("trunkuser", 3 * REFRESHED_EVERY_SECONDS)
    assert bed.server.trunk("asks401")["state"] == "registered"
    bed.talk_to_the_customer("asks401")


def test_a_registration_is_lost_with_the_registrar_tried_again_and_regained_with_it(bed: Bed) -> None:
    trunk = bed.trunks["tcp"]
    bed.server.wait_trunk("wrong", "failed")
    bed.server.wait_trunk("tcp", "registered")
    trunk.stop()
    try:
        bed.server.wait_trunk("tcp", "failed", 3 * REFRESHED_EVERY_SECONDS)
        # It is tried again in a second, a refused password not in all the time since the server's start.
        bed.server.wait_log("trunk failed", 2, trunk="tcp")
        assert [line["trunk"] for line in bed.server.log_lines("trunk failed")].count("wrong") == 1
        answer = bed.server.dial(CUSTOMER, "101", org="tcp").json()
        assert (answer["status"], answer["reason"]) == ("Fail", "Unreachable")
    finally:
        trunk.start()
    bed.server.wait_trunk("tcp", "registered", 20.0)
    assert trunk.registered("trunkuser")
    bed.talk_to_the_customer("tcp")


def test_an_orderly_end_takes_the_registrations_back(tmp_path: Path) -> None:
    users = {"over_udp": "trunkpass", "over_tcp": "trunkpass"}
    with Kamailio(users) as trunk:
        tables = "".join(
            trunk_table(user, trunk.uri, registers=True, username=user, transport=user.removeprefix("over_"))
            for user in users
        )
        with Server(tmp_path, tables) as server:
            for user in users:
                server.wait_trunk(user, "registered")
                assert trunk.registered(user)
            assert server.stop() == 0
            assert [user for user in users if trunk.registered(user)] == []
