"""What others may try, over HTTP, SIP and RTP: refused by name, and no packet leaves."""

from __future__ import annotations

import http.client
import itertools
import json
import re
import secrets
import socket
import struct
import threading
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

import pytest
from server import Answer, Server
from testbed.audio import mu_law, sine
from testbed.capture import UdpSink
from testbed.phone import Phone
from testbed.process import free_port, wait_until
from testbed.sipp import Sipp

PATIENCE = 15.0
STRANGER = "127.0.0.9"
"""An address of this machine that no setting names."""
SECRETS = {
    "password": "s3cret",
    "other password": "pa55-of-alice",
    "trunk password": "trunk-pa55",
    "ident": "ident-0123456789",
    "key": "key-0123456789-abcdefghij",
}
TABLES = """
[trunks.silent]
proxy = "sip:127.0.0.1:{trunk}"
username = "trunkuser"
password = "{secrets[trunk password]}"
[trunks.answering]
proxy = "sip:127.0.0.1:{answering}"

[orgs.acme]
country = "US"
caller_id = "+12025550100"
caller_ids = ["+12025550199"]
trunk = "silent"
ident = "{secrets[ident]}"
[orgs.acme.users.alice]
password = "{secrets[password]}"
[orgs.acme.api_keys.crm]
key = "{secrets[key]}"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:{contact}"
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:{phone}"
[orgs.acme.extensions.201]
contact = "sip:201@127.0.0.1:{peer}"
[orgs.acme.extensions.301]
contact = "sip:301@127.0.0.1:{raw}"

[orgs.other]
country = "US"
caller_id = "+12025550100"
caller_ids = ["+12025550199"]
trunk = "answering"
[orgs.other.users.alice]
password = "{secrets[other password]}"
[orgs.other.extensions."*9#"]
"""


@dataclass
class Peers:
    """Whom the server knows. At `contact` (101) and `trunk` nothing may ever arrive."""

    contact: UdpSink
    trunk: UdpSink
    phone: Phone  # 102
    peer: Sipp  # 201, answers
    answering: Sipp  # a trunk that says 404
    raw_port: int  # 301, for a RawPhone

    def silent(self) -> bool:
        return (self.contact.settle(), self.trunk.settle()) == (0, 0)


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    with ExitStack() as stack:
        peers = Peers(
            contact=stack.enter_context(UdpSink()),
            trunk=stack.enter_context(UdpSink()),
            phone=stack.enter_context(Phone("102")),
            peer=stack.enter_context(Sipp("answer")),
            answering=stack.enter_context(Sipp("not_found")),
            raw_port=free_port(),
        )
        yield peers
        # Also later than the answers that the tests saw.
        assert peers.silent()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, peers: Peers) -> Iterator[Server]:
    tables = TABLES.format(
        trunk=peers.trunk.port,
        answering=peers.answering.port,
        contact=peers.contact.port,
        phone=peers.phone.port,
        peer=peers.peer.port,
        raw=peers.raw_port,
        secrets=SECRETS,
    )
    # One worker, so that every test meets the same one.
    with Server(tmp_path_factory.mktemp("server"), tables, sip="warm_workers = 1", sip_ports=1) as running:
        yield running


@pytest.fixture
def nothing_dialled(server: Server, peers: Peers) -> Iterator[None]:
    """Whatever the test sends, no call is accepted and no packet leaves."""
    records = server.rows("SELECT count(*) FROM calls")
    yield
    assert peers.silent()
    assert server.rows("SELECT count(*) FROM calls") == records


# -- HTTP: what is outside the contract

GOOD = {"user": "alice", "pass": "s3cret", "org": "acme", "dial1": "101", "dial2": "+12025550123", "RFormat": "json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}

HOSTILE = {
    "CR": "101\r",
    "LF": "101\n",
    "NUL": "101\0",
    "a header": "101\r\nX-Evil: 1",
    "a header, escaped once more": "101%0d%0aX-Evil: 1",
    "headers in a URI": "101?X-Evil=1",
    "an at sign": "101@127.0.0.1",
    "an address": "sip:101@127.0.0.1:9",
    "a parameter": "101;transport=tcp",
    "double quotes": '"101"',
    "single quotes": "'101'",
    "angle brackets": "<sip:101>",
    "Arabic digits": "\u0661\u0660\u0661",
    "full-width digits": "\uff11\uff10\uff11",
    "a superscript": "10\u00b9",
    "10 kB": "1" * 10_000,
}


def refused(answer: Answer, name: str, statuses: Sequence[int] = (400,)) -> None:
    """The answer is an error that names the parameter."""
    assert answer.status in statuses, answer
    assert len(answer.body) < 400
    said = json.loads(answer.body) if answer.body.startswith("{") else {"parameter": answer.body.split(": ")[1]}
    assert said["parameter"] == name, answer


def get(server: Server, parameters: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    return server.get("/API/dialup.php?" + urllib.parse.urlencode(parameters), headers)


def post(server: Server, body: bytes | str, headers: dict[str, str]) -> Answer:
    return server.get("/API/dialup.php", headers, body if isinstance(body, bytes) else body.encode())


@pytest.mark.usefixtures("nothing_dialled")
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_in_a_destination_or_caller_identity_is_refused_by_name(server: Server, value: str) -> None:
    for name in ("dial1", "dial2", "SetCID"):
        parameters = GOOD | {name: value}
        refused(get(server, parameters), name)
        refused(post(server, urllib.parse.urlencode(parameters), FORM), name)
        refused(post(server, json.dumps(parameters), JSON), name)


@pytest.mark.usefixtures("nothing_dialled")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user", "alice\r\n"),
        ("pass", "s3cret\0"),
        ("org", "a" * 10_000),
        ("Timeout", "0"),
        ("Timeout", "301"),
        ("Timeout", "2\u0660"),
        ("Timeout", "9" * 10_000),
        ("Response", "yes\r\n"),
        ("showUID", "yes"),
        ("RFormat", "json\r\nX-Evil: 1"),
        ("dial1", "101,10@2"),
    ],
)
def test_a_value_outside_the_contract_is_refused_by_name(server: Server, name: str, value: str) -> None:
    refused(get(server, GOOD | {name: value}), name)
    refused(post(server, json.dumps(GOOD | {name: value}), JSON), name)


@pytest.mark.usefixtures("nothing_dialled")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Date", "209912312359\r\n"),
        ("Date", "2099-12-31T23:59:00Z' OR 1=1"),
        ("Date", "9" * 10_000),
        ("Maxretry", "-1"),
        ("Maxretry", "9" * 10_000),
        ("Retrytime", "2\u0660"),
        ("ident", "a\0"),
        ("dial1", "101@2"),
    ],
)
def test_a_value_outside_the_contract_of_future_calls_is_refused_by_name(server: Server, name: str, value: str) -> None:
    good = GOOD | {"Date": "209912312359", "Maxretry": "1", "Retrytime": "60", "ident": SECRETS["ident"]}
    refused(get(server, good | {name: value}), name)
    refused(post(server, json.dumps(good | {name: value}), JSON), name)


@pytest.mark.usefixtures("nothing_dialled")
@pytest.mark.parametrize("value", [None, True, 1.5, -101, [], ["101"], {"number": "101"}])
def test_a_value_of_a_wrong_type_is_refused_by_name(server: Server, value: object) -> None:
    # An array is how JSON names several numbers.
    for name in ("dial2", "SetCID", "Timeout", *(("dial1",) if value != ["101"] else ())):
        refused(post(server, json.dumps(GOOD | {name: value}), JSON), name)


@pytest.mark.usefixtures("nothing_dialled")
@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "text/json", "application/json; charset=utf-16", ""])
def test_a_wrong_content_type_is_refused(server: Server, kind: str) -> None:
    refused(post(server, json.dumps(GOOD), {"Content-Type": kind}), "Content-Type", (400, 415))


@pytest.mark.usefixtures("nothing_dialled")
@pytest.mark.parametrize(
    "body",
    [b"{", b'{"dial1": "101",}', b"[1]", b'"dial1"', b"\xff\xfe{}", b"{'dial1': 1}", b'{"a":' + b"[" * 60_000],
    ids=["cut off", "comma", "array", "string", "no UTF-8", "quotes", "too deep"],
)
def test_broken_json_is_refused(server: Server, body: bytes) -> None:
    refused(post(server, body, JSON), "body")


@pytest.mark.usefixtures("nothing_dialled")
@pytest.mark.parametrize("size", [65_537, 1_000_000])
def test_a_body_over_64_kb_is_refused(server: Server, size: int) -> None:
    form = urllib.parse.urlencode(GOOD) + "&more="
    refused(post(server, form.ljust(size, "x"), FORM), "body", (413,))
    refused(post(server, json.dumps(GOOD | {"more": "x" * size}), JSON), "body", (413,))


@pytest.mark.usefixtures("nothing_dialled")
def test_a_body_over_64_kb_whose_length_is_not_told_is_refused(server: Server) -> None:
    head = b"POST /API/dialup.php HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    chunks = b"".join(b"4000\r\n%s\r\n" % (b"x" * 0x4000) for _ in range(5))
    form = urllib.parse.urlencode(GOOD).encode() + b"&more="
    body = b"%x\r\n%s\r\n" % (len(form), form) + chunks + b"0\r\n\r\n"
    answer = raw_http(server, head + b"Transfer-Encoding: chunked\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"body" in answer


@pytest.mark.usefixtures("nothing_dialled")
@pytest.mark.parametrize("name", ["user", "pass", "org", "dial2", "SetCID", "Timeout"])
def test_a_name_given_twice_with_different_values_is_refused(server: Server, name: str) -> None:
    first, second = ("20", "21") if name == "Timeout" else ("+12025550100", "+12025550199")
    query = urllib.parse.urlencode({**GOOD, name: first})
    refused(server.get(f"/API/dialup.php?{query}&{name.upper()}={urllib.parse.quote(second)}"), name)
    refused(server.get(f"/API/dialup.php?{query}", FORM, urllib.parse.urlencode({name.lower(): second}).encode()), name)
    body = json.dumps(GOOD | {name: first})[:-1] + f', "{name}": "{second}"}}'
    refused(post(server, body, JSON), name)


@pytest.mark.usefixtures("nothing_dialled")
@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_never_dial(server: Server, method: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    try:
        connection.request(method, "/API/dialup.php?" + urllib.parse.urlencode(GOOD))
        answer = connection.getresponse()
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")
    finally:
        connection.close()


@pytest.mark.usefixtures("nothing_dialled")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Sec-Purpose", "prefetch"),
        ("X-Moz", "prefetch"),
    ],
)
def test_a_prefetch_never_dials(server: Server, name: str, value: str) -> None:
    refused(get(server, GOOD, {name: value}), name, (403,))
    refused(server.get("/API/dialup.php", {**FORM, name: value}, urllib.parse.urlencode(GOOD).encode()), name, (403,))


@pytest.mark.usefixtures("nothing_dialled")
@pytest.mark.parametrize("byte", [b"\r", b"\n", b"\r\n", b"\0", b"\xff", b" "])
def test_raw_bytes_in_the_request_line_never_dial(server: Server, byte: bytes) -> None:
    query = urllib.parse.urlencode({**GOOD, "dial1": "101XX-Evil: 1"}).encode().replace(b"101X", b"101" + byte)
    answer = raw_http(server, b"GET /API/dialup.php?" + query + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert not answer or answer.startswith(b"HTTP/1.1 4")


def raw_http(server: Server, request: bytes) -> bytes:
    """Send these bytes; return the answer, empty when the connection was closed instead."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        try:
            return connection.recv(65536)
        except ConnectionResetError:
            return b""


# -- what a request can bring into SIP

EXPECTED_HEADERS = {
    "via", "max-forwards", "from", "to", "contact", "call-id", "cseq", "allow", "supported", "session-expires",
    "min-se", "user-agent", "p-asserted-identity", "content-type", "content-length",
}  # fmt: skip


@pytest.mark.parametrize(
    ("dial1", "set_cid", "target", "shown"),
    [
        ("*9#", None, "*9%23", "+12025550123"),
        ("ext:*9#", "*9#", "*9%23", "*9%23"),
        ("+12025550155", "+12025550199", "+12025550155", "+12025550199"),
        ("tel:2025550155", "2025550199", "+12025550155", "+12025550199"),
    ],
)
def test_an_invite_is_made_of_checked_digits_and_templates(
    server: Server, peers: Peers, dial1: str, set_cid: str | None, target: str, shown: str
) -> None:
    login = {"org": "other", "pass": SECRETS["other password"]}
    answer = server.dial(dial1, "+12025550123", SetCID=set_cid, **login)
    assert answer.json()["reason"] == "Not connected"
    invite = peers.answering.calls()[answer.json()["dial1"]][0]
    assert invite.start_line == f"INVITE sip:{target}@{peers.answering.address} SIP/2.0"
    names = {line.partition(":")[0].lower() for line in invite.text.partition("\r\n\r\n")[0].split("\r\n")[1:]}
    assert names <= EXPECTED_HEADERS
    assert (invite.header("From") or "").startswith(f"<sip:{shown}@127.0.0.1>;tag=")
    assert invite.header("P-Asserted-Identity") == f"<sip:{shown}@127.0.0.1>"


# -- SIP from a peer that sends what the test writes


class RawPhone:
    """A UDP socket that speaks as much SIP as a test needs; a context manager."""

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self._socket.settimeout(PATIENCE)
        self._address = "{}:{}".format(*self._socket.getsockname())
        self.tag = secrets.token_hex(4)
        self._last_cseq = 0
        self.media = UdpSink()
        self.invite = ""

    def __enter__(self) -> Self:
        self.media.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.media.stop()
        self._socket.close()

    def send(self, data: bytes | str, port: int) -> None:
        self._socket.sendto(data if isinstance(data, bytes) else data.encode(), ("127.0.0.1", port))

    def receive(self, beginning: str) -> str:
        """Return the next message that begins so; others, repeated ones for example, are passed over."""
        while True:
            text = self._socket.recv(65535).decode()
            if text.startswith(beginning):
                return text

    def hears_nothing(self) -> bool:
        """Whether no packet waits to be read."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(65535)
        except BlockingIOError:
            return True
        return False

    def answer_call(self) -> int:
        """Answer the call that comes in; return the worker's SIP port."""
        self.invite = self.receive("INVITE ")
        kept = "".join(f"{name}: {header(self.invite, name)}\r\n" for name in ("Via", "From", "Call-ID", "CSeq"))
        to = f"To: {header(self.invite, 'To')};tag={self.tag}\r\nContact: <sip:301@{self._address}>\r\n"
        self.send(f"SIP/2.0 200 OK\r\n{kept}{to}{self._sdp()}", worker := port_in(header(self.invite, "Via")))
        self.receive("ACK ")
        return worker

    def ask(self, method: str, port: int, more: str = "", *, inside: bool = False, offer: bool = False) -> int:
        """Send a request, inside the call that was answered or outside of any; return its final status."""
        self._last_cseq += 1
        uri, ends = (
            f"sip:101@127.0.0.1:{port}",
            f"From: <sip:raw@{self._address}>;tag={self.tag}\r\nTo: <sip:101@x.invalid>",
        )
        call_id = secrets.token_hex(8)
        if inside:
            uri, call_id = header(self.invite, "Contact").strip("<>"), header(self.invite, "Call-ID")
            ends = f"From: {header(self.invite, 'To')};tag={self.tag}\r\nTo: {header(self.invite, 'From')}"
        via = f"Via: SIP/2.0/UDP {self._address};branch=z9hG4bK{secrets.token_hex(8)}"
        head = f"{via}\r\n{{}}\r\nCall-ID: {call_id}\r\nCSeq: {self._last_cseq} {{}}\r\nMax-Forwards: 70\r\n"
        contact = f"Contact: <sip:raw@{self._address}>\r\n{more}"
        body = self._sdp() if offer else NO_BODY
        self.send(f"{method} {uri} SIP/2.0\r\n{head.format(ends, method)}{contact}{body}", port)
        while True:
            answer = self.receive("SIP/2.0 ")
            code = int(answer.split()[1])
            if code >= 200 and header(answer, "CSeq") == f"{self._last_cseq} {method}":
                break
        if method == "INVITE":
            ends = f"From: {header(answer, 'From')}\r\nTo: {header(answer, 'To')}"
            self.send(f"ACK {uri} SIP/2.0\r\n{head.format(ends, 'ACK')}{NO_BODY}", port)
        return code

    def _sdp(self) -> str:
        body = (
            "v=0\r\no=raw 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {self.media.port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
        return f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"


NO_BODY = "Content-Length: 0\r\n\r\n"


def header(message: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.*)\r$", message, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def port_in(text: str) -> int:
    found = re.search(r"127\.0\.0\.1:(\d+)", text)
    assert found is not None
    return int(found[1])


@dataclass
class JoinedCall:
    """Phone 102 and the raw phone, joined by the server."""

    uid: str
    worker: int
    raw: RawPhone
    number: int
    """Of the call at phone 102."""


@pytest.fixture
def joined(server: Server, peers: Peers) -> Iterator[JoinedCall]:
    """A call that must still be up after the test, and then ends in order."""
    workers = server.worker_pids()
    with RawPhone(port=peers.raw_port) as raw:
        uid = server.dial("102", "301").json()["dial1"]
        worker = raw.answer_call()
        wait_until(lambda: server.records(uid=uid)[0]["joined_at"], PATIENCE, "not joined")
        number = peers.phone.wait_for("incoming", PATIENCE, call_id=uid)["call"]
        yield JoinedCall(uid, worker, raw, number)
        assert server.worker_pids() == workers
        assert server.records(uid=uid)[0]["ended_at"] is None
        assert raw.ask("BYE", worker, inside=True) == 200
        peers.phone.wait_for("ended", PATIENCE, call=number)
        record = server.wait_record(uid, PATIENCE)
        assert (record["disposition"], record["ended_by"]) == ("answered", "dial2")


def test_strangers_get_no_answer_and_the_peers_do(joined: JoinedCall) -> None:
    with RawPhone(host=STRANGER) as stranger:
        call_id = header(joined.raw.invite, "Call-ID")
        for method, number in (("OPTIONS", 1), ("INVITE", 2), ("BYE", 3)):
            stranger.send(
                f"{method} sip:101@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {STRANGER};rport;branch=z9hG4bK{number}\r\n"
                f"From: {header(joined.raw.invite, 'To')};tag=1\r\nTo: {header(joined.raw.invite, 'From')}\r\n"
                f"Call-ID: {call_id}\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n{NO_BODY}",
                joined.worker,
            )
        # Asked later and answered: the worker has seen all that it will ever see of the stranger.
        assert joined.raw.ask("OPTIONS", joined.worker) == 200
        assert stranger.hears_nothing()


def test_a_refer_is_refused_and_makes_no_call(joined: JoinedCall, peers: Peers) -> None:
    target = f"Refer-To: <sip:900@{peers.contact.address}>\r\n"
    assert joined.raw.ask("REFER", joined.worker, target, inside=True) >= 400
    assert joined.raw.ask("REFER", joined.worker, f"{target}Refer-Sub: false\r\n", inside=True) >= 400
    # What would be dialled for it would have left before a later request is answered.
    assert joined.raw.ask("OPTIONS", joined.worker) == 200
    assert peers.silent()


@pytest.mark.parametrize("early_only", ["", ";early-only"])
def test_an_invite_with_replaces_is_refused(joined: JoinedCall, early_only: str) -> None:
    ours = header(joined.raw.invite, "From").partition("tag=")[2]
    replaces = (
        f"Replaces: {header(joined.raw.invite, 'Call-ID')};to-tag={ours};from-tag={joined.raw.tag}{early_only}\r\n"
    )
    with RawPhone() as other:
        assert other.ask("INVITE", joined.worker, f"{replaces}Require: replaces\r\n", offer=True) >= 400


@pytest.mark.parametrize("offer", [True, False])
def test_a_call_that_comes_in_gets_404(joined: JoinedCall, offer: bool) -> None:
    with RawPhone() as caller:
        assert [caller.ask("INVITE", joined.worker, offer=offer) for _ in range(3)] == [404] * 3


VIA = "Via: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx"
ENDS = "From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:b@127.0.0.1>\r\nCall-ID: torture\r\nMax-Forwards: 70"


def lines(*those: str) -> bytes:
    return "\r\n".join([*those, "", ""]).encode()


# After RFC 4475, with its section numbers.
TORTURE = (
    b"\x00\xff\r\n\r\n" * 50,
    b"\r\n\r\n",
    lines("INVITE sip:101@127.0.0.1 SIP/2.0"),
    # 3.1.2.1 to 3.1.2.4: separators too many, a body too short, one of negative length, numbers too large
    lines("INVITE sip:b@x SIP/2.0", VIA + ";;,;,,", ENDS + ";;;", "CSeq: 1 INVITE"),
    lines("INVITE sip:b@x SIP/2.0", VIA, ENDS, "CSeq: 2 INVITE", "Content-Length: 9999") + b"v=0\r\n",
    lines("INVITE sip:b@x SIP/2.0", VIA, ENDS, "CSeq: 3 INVITE", "Content-Length: -999") + b"v=0\r\n",
    lines("REGISTER sip:x SIP/2.0", VIA, ENDS, "CSeq: 36893488147419103232 REGISTER", f"Expires: 1{'0' * 99}"),
    # 3.1.2.5 to 3.1.2.7: the same in a response, quotes without an end, angle brackets around the Request-URI
    lines("SIP/2.0 200 OK", VIA, ENDS, "CSeq: 9292394834772304023312 OPTIONS", f"Retry-After: {'9' * 99}"),
    lines("INVITE sip:b@x SIP/2.0", VIA, 'From: "a <sip:a@x>;tag=1', 'To: "b <sip:b@x>', "CSeq: 4 INVITE"),
    lines("OPTIONS <sip:b@x> SIP/2.0", VIA, ENDS, "CSeq: 5 OPTIONS"),
    # 3.1.2.16, 3.1.2.17, 3.1.2.19: a version that nobody knows, methods that differ, a status code too large
    lines("OPTIONS sip:b@x SIP/7.0", VIA, ENDS, "CSeq: 6 OPTIONS"),
    lines("OPTIONS sip:b@x SIP/2.0", VIA, ENDS, "CSeq: 7 INVITE"),
    lines("SIP/2.0 4294967301 better not break", VIA, ENDS, "CSeq: 8 INVITE"),
    # 3.3.1, 3.3.8: a header that must be there is not, headers that may be there once are there twice
    lines("INVITE sip:b@x SIP/2.0", VIA, "CSeq: 9 INVITE"),
    lines("INVITE sip:b@x SIP/2.0", VIA, ENDS, ENDS, "CSeq: 1 INVITE", "CSeq: 2 BYE"),
    lines(f"OPTIONS sip:{'b' * 3000}@x SIP/2.0", VIA, ENDS, "CSeq: 10 OPTIONS"),
    lines("OPTIONS sip:b@x SIP/2.0", *[VIA] * 60, ENDS, "CSeq: 11 OPTIONS"),
)


def test_malformed_sip_from_a_peer_leaves_calls_up(joined: JoinedCall) -> None:
    with RawPhone() as peer:
        for message in TORTURE:
            peer.send(message, joined.worker)
            assert joined.raw.ask("OPTIONS", joined.worker) == 200


# -- RTP


@contextmanager
def tone(sender: UdpSink, hz: float, target: int, ssrc: int) -> Iterator[None]:
    """Send a tone as a phone would, a packet every 20 ms, while the block runs."""
    samples = mu_law(sine(hz, 1.0))
    stopped = threading.Event()

    def send() -> None:
        for number in itertools.count():
            begin = number * 160 % len(samples)
            head = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * 160, ssrc)
            sender.send(head + samples[begin : begin + 160], ("127.0.0.1", target))
            if stopped.wait(0.02):
                return

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def test_audio_from_elsewhere_is_never_heard_not_even_when_the_right_sender_falls_silent(
    joined: JoinedCall, peers: Peers
) -> None:
    port = int(re.findall(r"^m=audio (\d+)", joined.raw.invite, re.MULTILINE)[0])

    def length() -> float:
        return peers.phone.recording(joined.number).seconds

    with tone(joined.raw.media, 800, port, ssrc=1):
        peers.phone.wait_heard(800, PATIENCE, joined.number)
    peers.phone.wait_heard(None, PATIENCE, joined.number)
    with UdpSink(host=STRANGER) as stranger, tone(stranger, 1200, port, ssrc=2):
        until = length() + 1.5
        wait_until(lambda: length() >= until, PATIENCE, "the phone hears nothing at all")
        assert not peers.phone.hears(1200, joined.number, last=1.4)
        with tone(joined.raw.media, 800, port, ssrc=1):
            peers.phone.wait_heard(800, PATIENCE, joined.number)
            assert not peers.phone.hears(1200, joined.number, last=0.3)


# -- the log


def test_no_secret_is_ever_in_the_log(server: Server) -> None:
    wrong = {"a wrong password": "wr0ng-pa55", "a wrong key": "wr0ng-key", "a wrong ident": "wr0ng-ident"}
    get(server, GOOD | {"pass": wrong["a wrong password"]})
    post(server, json.dumps(GOOD | {"pass": wrong["a wrong password"], "dial1": "x"}), JSON)
    future = {"Date": "209912312359", "Maxretry": "1", "Retrytime": "60"}
    for ident in (wrong["a wrong ident"], SECRETS["ident"]):
        post(server, urllib.parse.urlencode(GOOD | future | {"ident": ident}), FORM)
    get(server, {"dial1": "101", "dial2": "101"}, {"Authorization": f"Bearer {wrong['a wrong key']}"})
    server.get("/API/nowhere?" + urllib.parse.urlencode({"pass": SECRETS["password"]}))
    server.get("/API/dialup.php", {"Authorization": f"Bearer {SECRETS['key']}"})
    answer = server.dial("201", "101x", **{"pass": SECRETS["password"]})
    assert answer.status == 400
    server.reload()
    server.wait_log("settings reloaded")
    said = server.log.read_text()
    assert "call accepted" in said
    assert [what for what, secret in (SECRETS | wrong).items() if secret in said] == []
