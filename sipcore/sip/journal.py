"""The dialog journal: enough of each leg's messages, kept in the parent, to release the far end of a dead worker's leg.

Only the raw texts are kept while all is well; they are parsed when a worker has died (RFC 3261 sections 9.1, 12.2.1.1).
"""

from __future__ import annotations

import asyncio
import dataclasses
import re
import secrets
import socket
from dataclasses import dataclass
from typing import cast

import sipmessage
import structlog

from sipcore.sip.wire import DialogNoted

_log = structlog.get_logger(__name__)

_CSEQ_STEP = 100
"""Our BYE must count higher than any request that the dead worker sent in the dialog (re-INVITE, INFO, UPDATE)."""
_CALLEE_CSEQ = 100_000
"""The same in a dialog that the far end began: there we count from a random number below 2^15."""
_UNAVAILABLE = 503
_LISTEN_SECONDS = 2.0
_RESEND_SECONDS = 0.5
_OK = range(200, 300)
_TOP_VIA = re.compile(r"^(?:via|v)[ \t]*:[ \t]*SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*(\w+)", re.IGNORECASE | re.MULTILINE)
_FINAL = 200


@dataclass(slots=True)
class Dialog:
    """What was seen of one leg.

    Attributes:
        leg: UniqueID.
        source: our address and port in it.
        peer: address and port that its INVITE went to, or came from.
        transport: `udp` or `tcp`.
        invite: its last INVITE.
        answer: its 2xx, or empty.
        incoming: True when the far end placed it.
    """

    leg: str
    source: tuple[str, int]
    peer: tuple[str, int]
    transport: str
    invite: str = ""
    answer: str = ""
    incoming: bool = False

    def note(self, noted: DialogNoted) -> None:
        """Keep a message that matters."""
        if noted.text.startswith("INVITE "):
            self.invite = noted.text
            if self.incoming:
                via = _TOP_VIA.search(noted.text)
                self.transport = via[1].lower() if via is not None else "udp"
        elif noted.text.startswith("SIP/2.0 2"):
            self.answer = noted.text


def _parse_request(text: str) -> sipmessage.Request:
    message = sipmessage.Message.parse(text.encode())
    if not isinstance(message, sipmessage.Request):
        raise TypeError("a response where the INVITE should be")
    return message


def cancel_of(invite_text: str) -> sipmessage.Request:
    """Write the CANCEL of an INVITE: same Request-URI, top Via, From, To, Call-ID and CSeq number (section 9.1)."""
    invite = _parse_request(invite_text)
    request = sipmessage.Request("CANCEL", invite.uri)
    request.via = invite.via[:1]
    request.from_address = invite.from_address
    request.to_address = invite.to_address
    request.call_id = invite.call_id
    request.cseq = sipmessage.CSeq(invite.cseq.sequence, "CANCEL")
    request.route = invite.route
    request.max_forwards = 70
    return request


def in_dialog(method: str, invite_text: str, answer_text: str) -> sipmessage.Request:
    """Write a request of the dialog that an answer made (section 12.2.1.1): BYE, or ACK with the INVITE's number."""
    invite = _parse_request(invite_text)
    answer = sipmessage.Message.parse(answer_text.encode())
    contact = answer.contact[0].uri if answer.contact else invite.uri
    request = sipmessage.Request(method, contact)
    via = invite.via[0]
    request.via = [
        sipmessage.Via(
            transport=via.transport,
            host=via.host,
            port=via.port,
            parameters=sipmessage.Parameters(branch="z9hG4bK" + secrets.token_hex(12), rport=None),
        )
    ]
    request.from_address = answer.from_address
    request.to_address = answer.to_address
    request.call_id = invite.call_id
    number = invite.cseq.sequence + (0 if method == "ACK" else _CSEQ_STEP)
    request.cseq = sipmessage.CSeq(number, method)
    request.route = list(reversed(answer.record_route))
    request.max_forwards = 70
    return request


def bye_of_callee(dialog: Dialog) -> sipmessage.Request:
    """Write the BYE of a dialog that the far end began (sections 12.1.1 and 12.2.1.1): From and To change places."""
    invite = _parse_request(dialog.invite)
    answer = sipmessage.Message.parse(dialog.answer.encode())
    contact = invite.contact[0].uri if invite.contact else invite.from_address.uri
    request = sipmessage.Request("BYE", contact)
    host, port = dialog.source
    branch = sipmessage.Parameters(branch="z9hG4bK" + secrets.token_hex(12), rport=None)
    request.via = [sipmessage.Via(transport=dialog.transport.upper(), host=host, port=port, parameters=branch)]
    request.from_address = answer.to_address
    request.to_address = invite.from_address
    request.call_id = invite.call_id
    request.cseq = sipmessage.CSeq(_CALLEE_CSEQ, "BYE")
    request.route = list(invite.record_route)
    request.max_forwards = 70
    return request


def bye_of(dialog: Dialog) -> sipmessage.Request:
    """Write the BYE of a dialog, whoever began it."""
    return bye_of_callee(dialog) if dialog.incoming else in_dialog("BYE", dialog.invite, dialog.answer)


def refusal_of(invite_text: str) -> sipmessage.Response:
    """Write the final answer to an INVITE that came in and was not answered yet (section 8.2.6)."""
    invite = _parse_request(invite_text)
    response = sipmessage.Response(_UNAVAILABLE, "Service Unavailable")
    response.via = invite.via
    response.from_address = invite.from_address
    tagged = invite.to_address.parameters.replace(tag=secrets.token_hex(8))
    response.to_address = dataclasses.replace(invite.to_address, parameters=tagged)
    response.call_id = invite.call_id
    response.cseq = invite.cseq
    return response


def _encode(message: sipmessage.Request | sipmessage.Response) -> bytes:
    message.content_length = 0
    return bytes(message)


def _next_hop(request: sipmessage.Request, default: tuple[str, int]) -> tuple[str, int]:
    """Where a request with a loose route set goes; names are not looked up, the INVITE's own peer serves instead."""
    uri = request.route[0].uri if request.route else request.uri
    try:
        socket.inet_aton(uri.host)
    except OSError:
        return default
    return uri.host, uri.port or 5060


async def release(dialogs: list[Dialog]) -> None:
    """End the far ends of a dead worker's legs, from its own port, which it no longer holds."""
    for transport in ("udp", "tcp"):
        wanted = [dialog for dialog in dialogs if dialog.transport == transport and dialog.invite]
        if wanted:
            try:
                await (_release_by_udp(wanted) if transport == "udp" else _release_by_tcp(wanted))
            except OSError as error:
                _log.warning("far ends not released", legs=[dialog.leg for dialog in wanted], error=str(error))


class _Releaser(asyncio.DatagramProtocol):
    """Sends BYE or CANCEL for each dialog until it is answered, and ends an answer that crosses the CANCEL."""

    def __init__(self, dialogs: list[Dialog]) -> None:
        self._dialogs = {dialog.leg: dialog for dialog in dialogs}
        self._open: dict[str, tuple[bytes, tuple[str, int]]] = {}
        self.done = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Neither asyncio's own transport (before Python 3.12) nor uvloop's derives from `DatagramTransport`.
        self._transport = cast("asyncio.DatagramTransport", transport)
        for dialog in self._dialogs.values():
            try:
                self._begin(dialog)
            except ValueError as error:
                # What the far end sent decides what can be written; the other legs are none the worse for it.
                _log.warning("far end not released", leg=dialog.leg, error=str(error))
        self._finish_when_done()
        self.resend()

    def _begin(self, dialog: Dialog) -> None:
        if dialog.answer:
            self._say_bye(dialog)
        elif dialog.incoming:
            self._open[dialog.leg] = (_encode(refusal_of(dialog.invite)), dialog.peer)
        else:
            self._open[dialog.leg] = (_encode(cancel_of(dialog.invite)), dialog.peer)

    def _finish_when_done(self) -> None:
        if not self._open:
            self.done.set()

    def resend(self) -> None:
        for data, peer in self._open.values():
            self._transport.sendto(data, peer)

    def _say_bye(self, dialog: Dialog) -> None:
        request = bye_of(dialog)
        self._open[dialog.leg] = (_encode(request), _next_hop(request, dialog.peer))

    def datagram_received(self, data: bytes, addr: tuple[str | bytes, int]) -> None:
        text = data.decode("utf-8", "replace")
        if not text.startswith(("SIP/2.0 ", "ACK ")):
            return
        try:
            self._take(text)
        except (ValueError, KeyError, AttributeError) as error:
            # The library parses a header when it is asked for.
            _log.warning("unreadable answer while releasing", peer=addr, error=repr(error))
        self._finish_when_done()

    def _take(self, text: str) -> None:
        answer = sipmessage.Message.parse(text.encode())
        dialog = self._dialogs.get(answer.call_id)
        if dialog is None:
            return
        if isinstance(answer, sipmessage.Request):
            # It acknowledges our refusal; one that belongs to a 2xx changes nothing.
            if dialog.incoming and not dialog.answer:
                self._open.pop(dialog.leg, None)
            return
        if answer.code < _FINAL:
            return
        if answer.cseq.method == "BYE":
            self._open.pop(dialog.leg, None)
        elif answer.cseq.method == "INVITE":
            self._final_of_invite(dialog, answer, text)

    def _final_of_invite(self, dialog: Dialog, answer: sipmessage.Response, text: str) -> None:
        acknowledgement = in_dialog("ACK", dialog.invite, text)
        if answer.code in _OK:
            dialog.answer = text
            self._say_bye(dialog)
        else:
            invite = _parse_request(dialog.invite)
            # It belongs to the INVITE's own transaction (section 17.1.1.3).
            acknowledgement.uri, acknowledgement.via, acknowledgement.route = invite.uri, invite.via[:1], invite.route
            self._open.pop(dialog.leg, None)
        self._transport.sendto(_encode(acknowledgement), _next_hop(acknowledgement, dialog.peer))
        if dialog.leg in self._open:
            self.resend()


async def _release_by_udp(dialogs: list[Dialog]) -> None:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Releaser(dialogs), local_addr=dialogs[0].source
    )
    try:
        for _ in range(round(_LISTEN_SECONDS / _RESEND_SECONDS)):
            try:
                await asyncio.wait_for(protocol.done.wait(), _RESEND_SECONDS)
            except TimeoutError:
                protocol.resend()
            else:
                return
    finally:
        transport.close()


async def _release_by_tcp(dialogs: list[Dialog]) -> None:
    """The worker's connections are gone with it: a new one carries the requests (RFC 3261 section 18.1.1)."""
    # The far end of one that came in and was not answered has seen its own connection break.
    left = [dialog for dialog in dialogs if dialog.answer or not dialog.incoming]
    results = await asyncio.gather(*(_send_by_tcp(dialog) for dialog in left), return_exceptions=True)
    for dialog, result in zip(left, results, strict=True):
        if isinstance(result, (OSError, ValueError)):
            _log.warning("far end not released", leg=dialog.leg, error=str(result))
        elif isinstance(result, BaseException):
            raise result


async def _send_by_tcp(dialog: Dialog) -> None:
    request = bye_of(dialog) if dialog.answer else cancel_of(dialog.invite)
    host, port = _next_hop(request, dialog.peer)
    _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _LISTEN_SECONDS)
    writer.write(_encode(request))
    await writer.drain()
    writer.close()
    await writer.wait_closed()
