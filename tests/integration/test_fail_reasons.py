"""Every fail reason of the contract, from a real SIP answer, on the wire, in the reply and in the record."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server import Answer, Server, kept_ports
from testbed import scenarios
from testbed.capture import UdpSink
from testbed.kamailio import Kamailio
from testbed.process import free_port
from testbed.scenarios import Scenario
from testbed.sipp import Sipp

USER = '[orgs.{org}.users.alice]\npassword = "s3cret"\n'
ACME = """
[orgs.acme]
country = "US"
caller_id = "+12025550100"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:{peer}"
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:{second}"
[orgs.acme.extensions.103]
contact = "sip:103@127.0.0.1:{silent}"
[orgs.acme.extensions.104]
contact = "sip:104@no-such-host.invalid"
"""
TRUNK = """
[trunks.{org}]
proxy = "sip:127.0.0.1:{port}"
transport = "{transport}"
username = "trunkuser"
password = "trunkpass"
[orgs.{org}]
country = "US"
trunk = "{org}"
caller_id = "+12025550100"
[orgs.{org}.extensions.102]
contact = "sip:102@127.0.0.1:{second}"
"""
NUMBER = "+12025550123"
OTHER_NUMBER = "+13035550177"
PROXY_USERS = {"trunkuser": "trunkpass"}

# The contract's table: code, reason and disposition without and with a 18x before it, Q.850 cause (RFC 3398 section
# 8.2.6.1; 19, "no answer from user", where the phone rang).
NOT_CONNECTED, BUSY = ("Not connected", "not_connected"), ("Busy", "busy")
UNREACHABLE, NO_ANSWER = ("Unreachable", "unreachable"), ("No answer", "no_answer")
EITHER_WAY = {
    BUSY: {486: 17, 600: 17, 603: 21, 607: 21},
    NOT_CONNECTED: {404: 1, 410: 22, 484: 28, 485: 1, 604: 1},
    UNREACHABLE: {
        400: 41, 401: 21, 402: 21, 403: 21, 405: 63, 406: 79, 407: 21, 415: 79, 420: 127, 481: 41, 482: 25, 483: 25,
        488: 88, 493: 127, 500: 41, 501: 79, 502: 38, 503: 41, 504: 102, 505: 127, 513: 127, 580: 127, 606: 88,
    },
}  # fmt: skip
TABLE = [
    *(
        (code, provisional, *told, cause)
        for told, causes in EITHER_WAY.items()
        for code, cause in causes.items()
        for provisional in (None, 180)
    ),
    (408, None, *UNREACHABLE, 102),
    (480, None, *NOT_CONNECTED, 18),
    # A redirect that names no target.
    *((code, None, *NOT_CONNECTED, 23) for code in (300, 302, 305, 380)),
    *((code, provisional, *NO_ANSWER, 19) for code in (408, 480) for provisional in (180, 181, 183)),
]


@dataclass(frozen=True)
class Bed:
    """The server, its peers that stay, and the ports that a test's own peers take."""

    server: Server
    second: Sipp
    peer_port: int
    trunk_port: int
    kamailio_port: int


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with kept_ports(4) as ports, Sipp(scenarios.answer(bye_after=50)) as second, Sipp("never_responds") as silent:
        yield from _bed(tmp_path_factory.mktemp("server"), ports, second, silent)


def _bed(folder: Path, ports: list[int], second: Sipp, silent: Sipp) -> Iterator[Bed]:
    peer_port, trunk_port, kamailio_port, closed_port = ports
    trunks = {
        "trunked": (trunk_port, "udp"),
        "proxied": (kamailio_port, "udp"),
        "refused": (closed_port, "tcp"),
        "closed": (closed_port, "udp"),
    }
    tables = ACME.format(peer=peer_port, second=second.port, silent=silent.port) + USER.format(org="acme")
    for org, (port, transport) in trunks.items():
        tables += TRUNK.format(org=org, port=port, transport=transport, second=second.port) + USER.format(org=org)
    with Server(folder, tables) as server:
        yield Bed(server, second, peer_port, trunk_port, kamailio_port)


@pytest.fixture
def peer(bed: Bed) -> Iterator[Callable[[Scenario], Sipp]]:
    """Let a scripted peer answer as extension 101."""
    with ExitStack() as stack:
        yield lambda scenario: stack.enter_context(Sipp(scenario, port=bed.peer_port))


@pytest.fixture
def trunk(bed: Bed) -> Iterator[Callable[[Scenario], Sipp]]:
    """Let a scripted peer answer as the trunk of the organisation `trunked`, which has credentials."""
    with ExitStack() as stack:
        yield lambda scenario: stack.enter_context(Sipp(scenario, port=bed.trunk_port))


def fail_of(bed: Bed, answer: Answer, reason: str, organisation: str = "acme", timeout: float = 10.0) -> dict[str, Any]:
    """Check a reply that says Fail and return leg 1 as the finished record tells it; leg 2 was never dialled."""
    told = answer.json()
    assert (answer.status, told["status"], told["reason"]) == (200, "Fail", reason)
    record = bed.server.wait_record(told["dial1"], timeout, organisation=organisation)
    first, second = record["legs"]
    assert record["disposition"] == first["disposition"]
    assert record["ended_by"] == "dial1"
    assert (first["uid"], second["uid"]) == (told["dial1"], told["dial2"])
    assert first["answered_at"] is None
    assert (second["placed_at"], second["sip_code"], second["disposition"]) == (None, None, None)
    assert told["dial2"] not in bed.second.calls()
    leg: dict[str, Any] = first
    return leg


def words_of(leg: dict[str, Any]) -> tuple[object, ...]:
    return leg["disposition"], leg["sip_code"], leg["cause"]


@pytest.fixture(scope="module")
def unanswered(bed: Bed) -> Iterator[dict[str, Future[Answer]]]:
    """Dial peers from which no answer comes: their INVITEs give up after 32 s (RFC 3261 timer B), so all at once."""

    def dial(dial1: str, seconds: int, organisation: str = "acme") -> Answer:
        return bed.server.dial(dial1, "102", Timeout=seconds, org=organisation)

    with ThreadPoolExecutor(3) as pool:
        yield {
            "silent phone": pool.submit(dial, "103", 60),
            "closed port": pool.submit(dial, NUMBER, 60, "closed"),
            "short timeout": pool.submit(dial, "103", 1),
        }


@pytest.mark.usefixtures("unanswered")  # they wait meanwhile
@pytest.mark.parametrize(("code", "provisional", "reason", "disposition", "cause"), TABLE)
def test_a_final_answer_is_told_as_the_contract_says(bed, peer, code, provisional, reason, disposition, cause):
    ring = {} if provisional is None else {"ring": 1, "provisional": provisional}
    phone = peer(scenarios.final(code, **ring))
    leg = fail_of(bed, bed.server.dial("101", "102"), reason)
    assert words_of(leg) == (disposition, code, cause)
    assert (leg["ringing_at"] is not None) is (provisional is not None)
    phone.wait_for("ACK")
    assert [trace.code for trace in phone.sent()] == [*([provisional] if provisional else []), code]
    assert [trace.method for trace in phone.received()] == ["INVITE", "ACK"]
    assert {trace.header("Call-ID") for trace in phone.messages()} == {leg["uid"]}


@pytest.mark.parametrize("digits", ["199", "ext:199", "5"])
def test_a_number_that_is_nobodys_is_not_connected_and_nothing_is_sent(bed, digits):
    leg = fail_of(bed, bed.server.dial(digits, "102"), "Not connected")
    assert (words_of(leg), leg["placed_at"]) == (("not_connected", None, 1), None)


def test_a_phone_that_is_not_registered_at_the_trunk_is_not_connected(bed):
    with Kamailio(PROXY_USERS, port=bed.kamailio_port):
        leg = fail_of(bed, bed.server.dial(NUMBER, "102", org="proxied"), "Not connected", "proxied")
    assert words_of(leg) == ("not_connected", 404, 1)


def test_our_own_timeout_cancels_and_is_told_within_two_seconds(bed, peer):
    phone = peer(scenarios.no_answer())
    began = time.monotonic()
    answer = bed.server.dial("101", "102", Timeout=1)
    assert 1.0 <= time.monotonic() - began <= 3.0
    leg = fail_of(bed, answer, "No answer")
    assert words_of(leg) == ("no_answer", 487, 19)
    assert leg["ended_by"] == "local"
    phone.wait_for("ACK")
    told = [trace.method or trace.code for trace in phone.messages()]
    assert told == ["INVITE", 180, "CANCEL", 200, 487, "ACK"]
    assert {trace.header("Call-ID") for trace in phone.messages()} == {leg["uid"]}


@pytest.mark.parametrize("code", [300, 301, 302, 305, 380])
def test_a_phone_that_redirects_is_not_followed(bed, peer, code):
    with UdpSink() as elsewhere:
        phone = peer(scenarios.redirect(f"sip:+12025550155@{elsewhere.address}", code))
        leg = fail_of(bed, bed.server.dial("101", "102"), "Not connected")
        assert elsewhere.settle() == 0
    assert words_of(leg) == ("not_connected", code, 22 if code == 301 else 23)
    assert len(phone.received("INVITE")) == 1


def test_a_phone_that_redirects_to_itself_is_not_followed_either(bed, peer):
    phone = peer(scenarios.redirect(f"sip:+12025550155@127.0.0.1:{bed.peer_port}"))
    fail_of(bed, bed.server.dial("101", "102"), "Not connected")
    phone.wait_for("ACK")
    assert [trace.method for trace in phone.received()] == ["INVITE", "ACK"]


def test_a_redirect_to_the_same_trunk_is_followed_with_credentials(bed):
    redirected_to = f"sip:{OTHER_NUMBER}@127.0.0.1:{bed.kamailio_port}"
    with (
        Sipp(scenarios.redirect(redirected_to)) as first,
        Sipp("answer") as far_end,
        Kamailio(
            PROXY_USERS, port=bed.kamailio_port, next_hops={"+1202": first.address, "+1303": far_end.address}
        ) as proxy,
    ):
        answer = bed.server.dial(NUMBER, "102", org="proxied").json()
        assert answer["status"] == "ok"
        invite = far_end.wait_for("INVITE")
        assert invite.message.uri.user == OTHER_NUMBER
        assert invite.header("Call-ID") == answer["dial1"]
        assert first.received("INVITE")[0].message.uri.user == NUMBER
        record = bed.server.wait_record(answer["dial1"], organisation="proxied")
        assert proxy.pid is not None
    assert record["disposition"] == "answered"


def test_a_second_redirect_of_the_same_trunk_is_not_followed(bed):
    proxy = f"127.0.0.1:{bed.kamailio_port}"
    with (
        Sipp(scenarios.redirect(f"sip:{OTHER_NUMBER}@{proxy}")) as first,
        Sipp(scenarios.redirect(f"sip:+14045550177@{proxy}")) as second,
        Sipp("answer") as third,
        Kamailio(
            PROXY_USERS,
            port=bed.kamailio_port,
            next_hops={"+1202": first.address, "+1303": second.address, "+1404": third.address},
        ),
    ):
        leg = fail_of(bed, bed.server.dial(NUMBER, "102", org="proxied"), "Not connected", "proxied")
        second.wait_for("ACK")
        assert [len(hop.received("INVITE")) for hop in (first, second, third)] == [1, 1, 0]
    assert words_of(leg) == ("not_connected", 302, 23)


@pytest.mark.parametrize(
    "contact",
    [
        "sip:+13035550177@127.0.0.1:{port}",
        "sip:+13035550177@127.0.0.2:{port}",
        "sip:+13035550177@127.0.0.1:{trunk};maddr=127.0.0.2",
        "sip:+13035550177@127.0.0.1:{trunk}?Route=%3Csip%3A127.0.0.1%3A{port}%3Blr%3E",
        "sips:+13035550177@127.0.0.1:{port}",
        "sip:+13035550177@127.0.0.1:{trunk}>;q=0.5, <sip:+13035550177@127.0.0.1:{port}>;q=0.9, <tel:+13035550177",
        "tel:+13035550177",
    ],
)
def test_a_redirect_of_the_trunk_to_elsewhere_is_not_followed_and_nothing_reaches_that_host(bed, trunk, contact):
    port = free_port()
    with (
        UdpSink(port=port) as here,
        UdpSink(port=port, host="127.0.0.2") as there,
        UdpSink(port=bed.trunk_port, host="127.0.0.2") as trunk_port_there,
    ):
        proxy = trunk(scenarios.redirect(contact.format(port=port, trunk=bed.trunk_port)))
        leg = fail_of(bed, bed.server.dial(NUMBER, "102", org="trunked"), "Not connected", "trunked")
        assert [sink.settle() for sink in (here, there, trunk_port_there)] == [0, 0, 0]
    assert words_of(leg) == ("not_connected", 302, 23)
    assert len(proxy.received("INVITE")) == 1


@pytest.mark.parametrize(
    "hidden",
    [
        # A line that begins with a space goes on with the header before it (RFC 3261 section 7.3.1).
        "Contact:\r\n <sip:+13035550177@{elsewhere}>",
        # A lone CR or LF is no end of a line, but parsers take it for one.
        "Subject: a\rContact: <sip:+13035550177@{elsewhere}>",
        "Subject: a\nContact: <sip:+13035550177@{elsewhere}>",
        "Subject: a\nm:<sip:+13035550177@{elsewhere}>",
    ],
)
def test_a_target_elsewhere_that_hides_before_one_of_the_same_trunk_is_not_followed(bed, hidden):
    kept = ("Via:", "From:", "To:", "Call-ID:", "CSeq:")
    with UdpSink(port=bed.trunk_port) as proxy, UdpSink() as elsewhere, ThreadPoolExecutor(1) as pool:
        dialled = pool.submit(bed.server.dial, NUMBER, "102", org="trunked", Timeout=2)
        proxy.wait_count(1)
        invite = proxy.packets()[0]
        lines = [line for line in invite.data.decode().split("\r\n") if line.startswith(kept)]
        hidden = hidden.format(elsewhere=elsewhere.address)
        plain = f"Contact: <sip:{OTHER_NUMBER}@127.0.0.1:{bed.trunk_port}>"
        answer = ["SIP/2.0 302 Moved", *lines, hidden, plain, "Content-Length: 0", "", ""]
        proxy.send("\r\n".join(answer).encode(), invite.source)
        answered = dialled.result(60)
        assert elsewhere.settle() == 0
    assert words_of(fail_of(bed, answered, "Not connected", "trunked")) == ("not_connected", 302, 23)


@pytest.mark.parametrize(("code", "header"), [(401, "Authorization"), (407, "Proxy-Authorization")])
def test_a_trunk_that_never_takes_our_credentials_is_asked_a_few_times_only(bed, trunk, code, header):
    proxy = trunk(scenarios.challenge_loop(code))
    leg = fail_of(bed, bed.server.dial(NUMBER, "102", org="trunked"), "Unreachable", "trunked")
    assert words_of(leg) == ("unreachable", code, 21)
    invites = proxy.received("INVITE")
    proxy.wait_for("ACK", count=len(invites))
    assert 2 <= len(invites) <= 5
    assert [trace.header(header) is not None for trace in invites] == [False] + [True] * (len(invites) - 1)
    assert "trunkpass" not in "".join(trace.text for trace in proxy.received())


@pytest.mark.parametrize("code", [401, 407])
def test_a_phone_that_asks_for_credentials_gets_none(bed, peer, code):
    phone = peer(scenarios.challenge_loop(code))
    leg = fail_of(bed, bed.server.dial("101", "102"), "Unreachable")
    assert words_of(leg) == ("unreachable", code, 21)
    phone.wait_for("ACK")
    assert [trace.method for trace in phone.received()] == ["INVITE", "ACK"]


def test_a_trunk_that_refuses_our_credentials_is_unreachable(bed, trunk):
    proxy = trunk(scenarios.final(403))
    leg = fail_of(bed, bed.server.dial(NUMBER, "102", org="trunked"), "Unreachable", "trunked")
    assert words_of(leg) == ("unreachable", 403, 21)
    assert proxy.received("INVITE")[0].header("Call-ID") == leg["uid"]


def test_a_refused_tcp_connection_is_unreachable_at_once(bed):
    leg = fail_of(bed, bed.server.dial(NUMBER, "102", org="refused"), "Unreachable", "refused")
    assert words_of(leg) == ("unreachable", 503, 41)
    assert leg["ended_by"] == "network"


def test_a_host_without_an_address_is_unreachable(bed):
    leg = fail_of(bed, bed.server.dial("104", "102", Timeout=60), "Unreachable", timeout=30)
    assert leg["disposition"] == "unreachable"
    assert leg["ended_by"] == "network"


PAGE = '<html lang="en"><head><meta charset="utf-8"><title>Click2Call</title></head><body>BODY</body></html>'
FORMATS = {
    "text": ("text/plain; charset=utf-8", "{words}\ndial1={dial1}\ndial2={dial2}"),
    "json": ("application/json; charset=utf-8", '{{"status":"{status}",{reason}"dial1":"{dial1}","dial2":"{dial2}"}}'),
    "xml": (
        "application/xml; charset=utf-8",
        "<response><status>{status}</status>{reason}<dial1>{dial1}</dial1><dial2>{dial2}</dial2></response>",
    ),
    "html": (
        "text/html; charset=utf-8",
        "<!DOCTYPE html>" + PAGE.replace("BODY", "<p>{words}</p><p>dial1={dial1}</p><p>dial2={dial2}</p>"),
    ),
}
REASONS = {"json": '"reason":"Busy",', "xml": "<reason>Busy</reason>"}


@pytest.mark.parametrize("wanted", FORMATS)
@pytest.mark.parametrize("busy", [False, True])
def test_a_reply_names_the_call_ids_that_are_on_the_wire_in_every_format(bed, peer, wanted, busy):
    phone = peer(scenarios.final(486) if busy else scenarios.answer())
    known = len(bed.second.received("INVITE"))
    answer = bed.server.dial("101", "102", RFormat=wanted)
    dial1 = phone.wait_for("INVITE").header("Call-ID")
    record = bed.server.wait_record(dial1)
    dial2 = record["legs"][1]["uid"] if busy else bed.second.wait_for("INVITE", count=known + 1).header("Call-ID")
    content_type, body = FORMATS[wanted]
    told = {"status": "Fail", "words": "Fail: Busy"} if busy else {"status": "ok", "words": "ok"}
    reason = REASONS.get(wanted, "") if busy else ""
    assert answer.body == body.format(**told, reason=reason, dial1=dial1, dial2=dial2)
    assert (answer.status, answer.headers["Content-Type"]) == (200, content_type)
    assert answer.headers["Cache-Control"] == "no-store"
    assert [leg["uid"] for leg in record["legs"]] == [dial1, dial2]


def test_without_response_the_reply_is_empty_and_the_reason_is_in_the_record(bed, peer):
    phone = peer(scenarios.final(486, ring=300))
    answer = bed.server.dial("101", "102", Response=None, showUID=None)
    assert (answer.status, answer.body) == (200, "")
    assert not phone.sent(486)
    record = bed.server.wait_record(phone.wait_for("INVITE").header("Call-ID"))
    assert (record["disposition"], record["legs"][0]["sip_code"]) == ("busy", 486)


def test_a_second_destination_that_fails_gives_ok_and_its_reason_is_in_the_record(bed, peer):
    phone = peer(scenarios.answer(bye_after=200))
    answer = bed.server.dial("101", "199").json()
    assert answer["status"] == "ok"
    record = bed.server.wait_record(answer["dial1"])
    assert phone.received("INVITE")[0].header("Call-ID") == answer["dial1"]
    assert (record["disposition"], record["ended_by"]) == ("not_connected", "dial2")
    assert [words_of(leg) for leg in record["legs"]] == [("answered", 200, 16), ("not_connected", None, 1)]


def test_our_own_timeout_counts_also_when_nothing_ever_came_back(bed, unanswered):
    leg = fail_of(bed, unanswered["short timeout"].result(60), "No answer", timeout=50)
    assert (leg["disposition"], leg["cause"], leg["ended_by"]) == ("no_answer", 19, "local")


@pytest.mark.parametrize(("whom", "organisation"), [("silent phone", "acme"), ("closed port", "closed")])
def test_a_peer_that_never_responds_is_unreachable_after_32_seconds(bed, unanswered, whom, organisation):
    leg = fail_of(bed, unanswered[whom].result(60), "Unreachable", organisation)
    assert words_of(leg) == ("unreachable", 408, 102)
    assert (leg["ringing_at"], leg["ended_by"]) == (None, "network")
