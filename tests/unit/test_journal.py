"""Releasing the far ends of a dead worker's legs: what is written, and how a peer that answers is treated."""

import asyncio
import contextlib
import socket

import pytest
import sipmessage

from sipcore.sip.journal import Dialog, bye_of, cancel_of, in_dialog, refusal_of, release
from sipcore.sip.wire import DialogNoted

LEG = "0123456789abcdef0123456789abcdef"


def lines(*text, body=""):
    return "\r\n".join([*text, f"Content-Length: {len(body)}", "", body])


def invite(port=5070, leg=LEG, source=15060, transport="UDP"):
    """An INVITE as a worker sends it, through a proxy that the settings name, with its second attempt's CSeq."""
    return lines(
        f"INVITE sip:+12025550123@127.0.0.1:{port} SIP/2.0",
        f"Via: SIP/2.0/{transport} 127.0.0.1:{source};rport;branch=z9hG4bKPj5d1c7a",
        "Max-Forwards: 70",
        'From: "Acme" <sip:+12025550100@trunk.example>;tag=8c1f',
        "To: <sip:+12025550123@trunk.example>",
        "Contact: <sip:click2call@127.0.0.1:15060;ob>",
        f"Call-ID: {leg}",
        "CSeq: 25802 INVITE",
        f"Route: <sip:127.0.0.1:{port};lr>",
        "P-Asserted-Identity: <sip:+12025550100@trunk.example>",
        "Session-Expires: 1800",
        'Proxy-Authorization: Digest username="u", realm="r", nonce="n", uri="sip:x", response="f00d"',
        "Content-Type: application/sdp",
        body="v=0\r\n",
    )


def answer(
    port=5070,
    code="200 OK",
    leg=LEG,
    *,
    routes=(),
    contact="sip:+12025550123@127.0.0.1",
    tag=";tag=b4",
    method="INVITE",
):
    return lines(
        f"SIP/2.0 {code}",
        "Via: SIP/2.0/UDP 127.0.0.1:15060;rport=15060;received=127.0.0.1;branch=z9hG4bKPj5d1c7a",
        *(f"Record-Route: {route}" for route in routes),
        'From: "Acme" <sip:+12025550100@trunk.example>;tag=8c1f',
        f"To: <sip:+12025550123@trunk.example>{tag}",
        f"Call-ID: {leg}",
        f"CSeq: 25802 {method}",
        f"Contact: <{contact}:{port}>",
    )


# -- what is written


def test_a_cancel_repeats_what_its_invite_said():
    cancel = cancel_of(invite())
    assert (cancel.method, str(cancel.uri)) == ("CANCEL", "sip:+12025550123@127.0.0.1:5070")
    assert [str(via) for via in cancel.via] == ["SIP/2.0/UDP 127.0.0.1:15060;rport;branch=z9hG4bKPj5d1c7a"]
    assert (str(cancel.cseq), cancel.call_id) == ("25802 CANCEL", LEG)
    assert cancel.from_address.parameters["tag"] == "8c1f"
    assert "tag" not in cancel.to_address.parameters
    assert [str(route) for route in cancel.route] == ["<sip:127.0.0.1:5070;lr>"]


def test_a_cancel_carries_no_body_and_no_credentials():
    text = bytes(cancel_of(invite())).decode()
    assert "application/sdp" not in text
    assert "Authorization" not in text


def test_a_bye_goes_to_the_contact_with_both_tags_and_a_higher_number():
    bye = in_dialog("BYE", invite(), answer(5099))
    assert (bye.method, str(bye.uri)) == ("BYE", "sip:+12025550123@127.0.0.1:5099")
    assert (bye.from_address.parameters["tag"], bye.to_address.parameters["tag"]) == ("8c1f", "b4")
    assert bye.call_id == LEG
    assert bye.cseq.method == "BYE"
    assert bye.cseq.sequence > 25802 + 50


def test_a_bye_is_a_transaction_of_its_own_from_the_same_port():
    first, second = (in_dialog("BYE", invite(), answer()).via[0] for _ in range(2))
    assert (first.host, first.port, first.transport) == ("127.0.0.1", 15060, "UDP")
    branches = {first.parameters["branch"], second.parameters["branch"], "z9hG4bKPj5d1c7a"}
    assert len(branches) == 3
    assert all(branch.startswith("z9hG4bK") for branch in branches)


def test_a_bye_takes_the_recorded_route_backwards():
    routes = ["<sip:127.0.0.1:7001;lr;ftag=8c1f>", "<sip:127.0.0.1:7002;lr>, <sip:127.0.0.1:7003;lr>"]
    bye = in_dialog("BYE", invite(), answer(routes=routes))
    expected = ["<sip:127.0.0.1:7003;lr>", "<sip:127.0.0.1:7002;lr>", "<sip:127.0.0.1:7001;lr;ftag=8c1f>"]
    assert [str(route) for route in bye.route] == expected


def test_the_ack_of_a_200_has_the_number_of_its_invite():
    ack = in_dialog("ACK", invite(), answer())
    assert (str(ack.cseq), str(ack.uri)) == ("25802 ACK", "sip:+12025550123@127.0.0.1:5070")


def test_a_dialog_keeps_its_last_invite_and_its_answer_only():
    dialog = Dialog(LEG, ("127.0.0.1", 1), ("127.0.0.1", 2), "udp")
    for text in (invite(1), answer(code="180 Ringing"), invite(2), answer(3), answer(code="486 Busy Here")):
        dialog.note(DialogNoted(LEG, text))
    assert (dialog.invite, dialog.answer) == (invite(2), answer(3))


def came_in(port=5070, leg=LEG, *, up=True, transport="UDP"):
    """The dialog of an INVITE that a far end sent, as its worker noted it."""
    routes = ["Record-Route: <sip:127.0.0.1:7001;lr>, <sip:127.0.0.1:7002;lr>"] if transport == "TCP" else []
    theirs = lines(
        "INVITE sip:+12025550100@127.0.0.1:15060 SIP/2.0",
        f"Via: SIP/2.0/{transport} 127.0.0.1:{port};rport={port};branch=z9hG4bKtheirs",
        *routes,
        "From: <sip:+12025550123@trunk.example>;tag=their-tag",
        "To: <sip:+12025550100@127.0.0.1>",
        f"Contact: <sip:caller@127.0.0.1:{port}>",
        f"Call-ID: {leg}",
        "CSeq: 7 INVITE",
    )
    ours = lines(
        "SIP/2.0 200 OK",
        f"Via: SIP/2.0/{transport} 127.0.0.1:{port};rport={port};branch=z9hG4bKtheirs",
        "From: <sip:+12025550123@trunk.example>;tag=their-tag",
        "To: <sip:+12025550100@127.0.0.1>;tag=our-tag",
        f"Call-ID: {leg}",
        "CSeq: 7 INVITE",
    )
    dialog = Dialog(leg, ("127.0.0.1", 15060), ("127.0.0.1", port), "udp", incoming=True)
    for text in (theirs, *([ours] if up else [])):
        dialog.note(DialogNoted(leg, text))
    return dialog


def test_a_bye_to_a_caller_has_from_and_to_changed_over():
    bye = bye_of(came_in(5099))
    assert (bye.method, str(bye.uri)) == ("BYE", "sip:caller@127.0.0.1:5099")
    assert (bye.from_address.parameters["tag"], bye.to_address.parameters["tag"]) == ("our-tag", "their-tag")
    assert (bye.via[0].host, bye.via[0].port) == ("127.0.0.1", 15060)
    assert bye.call_id == LEG
    # Above the random number below 2^15 that the worker counted from.
    assert bye.cseq.sequence > 2**15 + 50


def test_a_bye_to_a_caller_takes_the_recorded_route_as_it_stands_and_the_invites_transport():
    dialog = came_in(transport="TCP")
    assert dialog.transport == "tcp"
    bye = bye_of(dialog)
    assert [str(route) for route in bye.route] == ["<sip:127.0.0.1:7001;lr>", "<sip:127.0.0.1:7002;lr>"]
    assert bye.via[0].transport == "TCP"


def test_a_refusal_answers_the_callers_own_transaction():
    refusal = refusal_of(came_in(up=False).invite)
    assert refusal.code == 503
    assert refusal.via[0].parameters["branch"] == "z9hG4bKtheirs"
    assert (refusal.from_address.parameters["tag"], str(refusal.cseq)) == ("their-tag", "7 INVITE")
    assert refusal.to_address.parameters["tag"]


# -- what happens on the wire


class Peer(asyncio.DatagramProtocol):
    """A far end that answers each request as its script says, and keeps what came."""

    def __init__(self, script):
        self._script = script
        self.story = []
        self.requests = []
        self._news = asyncio.Event()

    def connection_made(self, transport):
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data, addr):
        request = sipmessage.Message.parse(data)
        self.requests.append((request, addr))
        self.story.append(request.method)
        self._news.set()
        for code, method in self._script(self, request):
            if method == "INVITE":
                text = answer(self.port, code, request.call_id)
            else:
                reply = sipmessage.Response(int(code[:3]), code[4:])
                reply.via, reply.call_id, reply.cseq = request.via, request.call_id, request.cseq
                reply.from_address, reply.to_address = request.from_address, request.to_address
                reply.content_length = 0
                text = str(bytes(reply), "utf-8")
            self._transport.sendto(text.encode(), addr)

    async def got(self, count):
        """Return when so many requests have come: the last of them may still wait to be read."""
        while len(self.story) < count:
            self._news.clear()
            await self._news.wait()


def agreeable(_peer, request):
    return [] if request.method == "ACK" else [("200 OK", request.method)]


@contextlib.asynccontextmanager
async def peer(script=agreeable):
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Peer(script), local_addr=("127.0.0.1", 0)
    )
    try:
        yield protocol
    finally:
        transport.close()


@pytest.fixture
def source():
    """A port that was a worker's until now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()


@pytest.fixture
def quick(monkeypatch):
    """Resends at once, and gives up soon."""
    monkeypatch.setattr("sipcore.sip.journal._RESEND_SECONDS", 0.02)
    monkeypatch.setattr("sipcore.sip.journal._LISTEN_SECONDS", 0.1)


def dialog_with(peer, source, *, up, leg=LEG):
    text = answer(peer.port, leg=leg) if up else ""
    return Dialog(leg, source, ("127.0.0.1", peer.port), "udp", invite(peer.port, leg, source[1]), text)


async def test_a_leg_that_was_up_gets_one_bye_from_the_workers_own_port(source):
    async with peer() as far, asyncio.timeout(1):
        await release([dialog_with(far, source, up=True)])
    assert far.story == ["BYE"]
    request, sender = far.requests[0]
    assert sender == source
    assert request.call_id == LEG


async def test_all_legs_of_a_worker_are_released_together(source):
    async with peer() as one, peer() as two, asyncio.timeout(1):
        dialogs = [dialog_with(far, source, up=True, leg=leg) for far, leg in ((one, "a"), (two, "b"), (two, "c"))]
        await release(dialogs)
    assert [request.call_id for request, _ in one.requests] == ["a"]
    assert sorted({request.call_id for request, _ in two.requests}) == ["b", "c"]


async def test_a_caller_that_was_answered_gets_a_bye(source):
    async with peer() as far, asyncio.timeout(1):
        dialog = came_in(far.port)
        dialog.source = source
        await release([dialog])
    assert far.story == ["BYE"]


@pytest.mark.usefixtures("quick")
async def test_a_caller_that_waits_is_refused_until_it_acknowledges(source):
    class Caller(asyncio.DatagramProtocol):
        def __init__(self):
            self.answers = []

        def connection_made(self, transport):
            self._transport = transport
            self.port = transport.get_extra_info("sockname")[1]

        def datagram_received(self, data, addr):
            self.answers.append(data.decode())
            if len(self.answers) == 2:
                ack = sipmessage.Request("ACK", sipmessage.URI.parse("sip:+12025550100@127.0.0.1:15060"))
                refusal = sipmessage.Message.parse(data)
                ack.via, ack.call_id, ack.cseq = refusal.via, refusal.call_id, sipmessage.CSeq(7, "ACK")
                ack.from_address, ack.to_address = refusal.from_address, refusal.to_address
                ack.content_length = 0
                self._transport.sendto(bytes(ack), addr)

    transport, caller = await asyncio.get_running_loop().create_datagram_endpoint(Caller, ("127.0.0.1", 0))
    dialog = came_in(caller.port, up=False)
    dialog.source = source
    try:
        async with asyncio.timeout(1):
            await release([dialog])
    finally:
        transport.close()
    assert [text.split()[1] for text in caller.answers] == ["503", "503"]


@pytest.mark.usefixtures("quick")
async def test_a_bye_that_nobody_answers_is_sent_again_and_then_given_up(source):
    async with peer(lambda *_: []) as far, asyncio.timeout(1):
        await release([dialog_with(far, source, up=True)])
    assert set(far.story) == {"BYE"}
    assert 3 <= len(far.story) <= 8
    assert len({bytes(request) for request, _ in far.requests}) == 1


async def test_a_bye_that_is_refused_is_answered_too(source):
    async with peer(lambda _, request: [("481 No Such Dialog", request.method)]) as far, asyncio.timeout(1):
        await release([dialog_with(far, source, up=True)])
    assert far.story == ["BYE"]


async def test_a_leg_that_rang_is_cancelled_and_its_487_acknowledged(source):
    def script(_peer, request):
        terminated = [("200 OK", "CANCEL"), ("487 Request Terminated", "INVITE")]
        return terminated if request.method == "CANCEL" else []

    async with peer(script) as far, asyncio.timeout(1):
        await release([dialog_with(far, source, up=False)])
        await far.got(2)
    assert far.story == ["CANCEL", "ACK"]
    ack = far.requests[1][0]
    # The ACK of a refusal belongs to the INVITE's own transaction (RFC 3261 section 17.1.1.3).
    assert ack.via[0].parameters["branch"] == "z9hG4bKPj5d1c7a"
    assert (str(ack.cseq), str(ack.uri)) == ("25802 ACK", f"sip:+12025550123@127.0.0.1:{far.port}")
    assert ack.to_address.parameters["tag"] == "b4"
    assert [str(route) for route in ack.route] == [f"<sip:127.0.0.1:{far.port};lr>"]


async def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_ended(source):
    def script(_peer, request):
        if request.method == "CANCEL":
            return [("200 OK", "CANCEL"), ("200 OK", "INVITE")]
        return agreeable(_peer, request)

    async with peer(script) as far, asyncio.timeout(1):
        await release([dialog_with(far, source, up=False)])
        await far.got(3)
    assert far.story[0] == "CANCEL"
    assert set(far.story[1:]) == {"ACK", "BYE"}
    bye = next(request for request, _ in far.requests if request.method == "BYE")
    assert bye.to_address.parameters["tag"] == "b4"


@pytest.mark.usefixtures("quick")
async def test_ringing_goes_on_does_not_count_as_an_end(source):
    def script(_peer, request):
        return [("200 OK", "CANCEL"), ("180 Ringing", "INVITE")] if request.method == "CANCEL" else []

    async with peer(script) as far, asyncio.timeout(1):
        await release([dialog_with(far, source, up=False)])
    assert len(far.story) >= 3
    assert set(far.story) == {"CANCEL"}


@pytest.mark.usefixtures("quick")
async def test_noise_on_the_port_does_not_stop_the_release(source):
    def script(peer, request):
        for noise in (
            b"",
            b"\r\n\r\n",
            b"SIP/2.0 200 OK",
            b"SIP/2.0 x\r\n\r\n",
            b"SIP/2.0 200 OK\r\nVia\r\n\r\n",
            b"\xff",
        ):
            peer._transport.sendto(noise, source)
        peer._transport.sendto(b"SIP/2.0 200 OK\r\n\r\n", source)
        peer._transport.sendto(answer(leg="somebody else's").encode(), source)
        return agreeable(peer, request)

    async with peer(script) as far, asyncio.timeout(1):
        await release([dialog_with(far, source, up=True)])
    assert far.story == ["BYE"]


@pytest.mark.usefixtures("quick")
async def test_a_dialog_that_cannot_be_read_does_not_keep_the_others(source):
    async with peer() as far, asyncio.timeout(1):
        damaged = Dialog(
            "x", source, ("127.0.0.1", far.port), "udp", invite(far.port, "x"), "SIP/2.0 200 OK\r\nTo\r\n\r\n"
        )
        await release([damaged, dialog_with(far, source, up=True)])
    assert far.story == ["BYE"]


async def test_a_leg_whose_invite_was_never_sent_needs_nothing(source):
    await release([Dialog(LEG, source, ("127.0.0.1", 9), "udp")])


async def test_a_port_that_is_taken_again_costs_nothing_but_a_log_line(source):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(source)
        async with peer() as far:
            await release([dialog_with(far, source, up=True)])
    assert far.story == []


@contextlib.asynccontextmanager
async def tcp_peer():
    """A far end over TCP that keeps what each connection brings."""
    came = []
    closed = asyncio.Event()

    async def serve(reader, writer):
        came.append((await reader.read()).decode())
        writer.close()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], came, closed


def tcp_dialog(port, leg=LEG, *, up=True):
    text = answer(port, leg=leg) if up else ""
    return Dialog(leg, ("127.0.0.1", 15060), ("127.0.0.1", port), "tcp", invite(port, leg, transport="TCP"), text)


@pytest.mark.parametrize(("up", "method"), [(True, "BYE"), (False, "CANCEL")])
async def test_over_tcp_a_new_connection_carries_the_request(up, method):
    async with tcp_peer() as (port, came, closed), asyncio.timeout(1):
        await release([tcp_dialog(port, up=up)])
        await closed.wait()
    (text,) = came
    assert text.startswith(f"{method} sip:+12025550123@127.0.0.1:{port} SIP/2.0\r\n")
    assert text.endswith("\r\n\r\n")


async def test_over_tcp_a_peer_that_is_gone_does_not_keep_the_others():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        dead = gone.getsockname()[1]
    async with tcp_peer() as (port, came, closed), asyncio.timeout(1):
        await release([tcp_dialog(dead, "a"), tcp_dialog(port, "b")])
        await closed.wait()
    assert len(came) == 1
