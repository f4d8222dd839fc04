"""A SIP peer that writes each message itself, to ask what no well-behaved phone would."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import re
import secrets
import socket
from typing import Self

PATIENCE = 15.0


class RawPeer:
    """A UDP socket that speaks as much SIP as a test needs, with whoever is at `server`; a context manager.

    `host` and `port` are what it says of itself.
    """

    def __init__(self, host: str = "127.0.0.1", server: str = "127.0.0.1") -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.settimeout(PATIENCE)
        self.host = host
        self.server = server
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, text: str, port: int) -> None:
        """Send a message to a port of the server."""
        self._socket.sendto(text.encode(), (self.server, port))

    def receive(self, beginning: str, call_id: str = "") -> str:
        """Return the next message that begins so, of that call when one is given; others are passed over."""
        while True:
            text = self._socket.recv(65535).decode()
            if text.startswith(beginning) and call_id in ("", header(text, "Call-ID")):
                return text

    def final(self, call_id: str = "") -> int:
        """Return the status of the next final response of a call."""
        while (code := int(self.receive("SIP/2.0 ", call_id).split()[1])) < 200:
            pass
        return code

    def request(
        self,
        method: str,
        port: int,
        *,
        call_id: str = "",
        user: str = "700",
        sender: str = "<sip:101@127.0.0.1>",
        to: str = "<sip:700@127.0.0.1>",
        more: str = "",
        sdp: str = "",
        cseq: int = 1,
        branch: str = "",
    ) -> str:
        """Send a request; return its Call-ID."""
        call_id = call_id or secrets.token_hex(8)
        self.send(
            f"{method} sip:{user}@{self.server} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self.host}:{self.port};rport;branch=z9hG4bK{branch or secrets.token_hex(6)}\r\n"
            f"From: {sender};tag=peer\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:peer@{self.host}:{self.port}>\r\nMax-Forwards: 70\r\n{more}"
            f"{_body(sdp)}",
            port,
        )
        return call_id

    def respond(self, request: str, code: int, port: int, sdp: str = "") -> None:
        """Answer a request."""
        path = re.findall(r"^(?:Via|Record-Route):.*\r\n", request, re.MULTILINE | re.IGNORECASE)
        kept = "".join([*path, *(f"{name}: {header(request, name)}\r\n" for name in ("From", "Call-ID", "CSeq"))])
        to = header(request, "To")
        tagged = to if "tag=" in to or code == 100 else f"{to};tag=peer"
        self.send(
            f"SIP/2.0 {code} Told\r\n{kept}To: {tagged}\r\nContact: <sip:peer@{self.host}:{self.port}>\r\n{_body(sdp)}",
            port,
        )

    def acknowledge(self, answer: str, port: int) -> None:
        """Acknowledge a final response."""
        kept = "".join(f"{name}: {header(answer, name)}\r\n" for name in ("Via", "From", "To", "Call-ID"))
        number = header(answer, "CSeq").split()[0]
        self.send(
            f"ACK sip:700@127.0.0.1 SIP/2.0\r\n{kept}CSeq: {number} ACK\r\nMax-Forwards: 70\r\n"
            "Content-Length: 0\r\n\r\n",
            port,
        )


def _body(sdp: str) -> str:
    kind = "Content-Type: application/sdp\r\n" if sdp else ""
    return f"{kind}Content-Length: {len(sdp)}\r\n\r\n{sdp}"


def header(message: str, name: str) -> str:
    """Return the value of a message's first header of a name, or nothing."""
    found = re.search(rf"^{name}[ \t]*:[ \t]*(.*?)\r$", message, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def offer(port: int, lines: int = 1) -> str:
    """Write an SDP offer whose audio is wanted at a port of 127.0.0.1."""
    media = f"m=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    return f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n{media * lines}"
