"""As much of RTP as a scripted peer needs: RFC 4733 telephone events, sent and understood, sound, and RTCP reports."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_EVENTS = "0123456789*#ABCD"  # RFC 4733 section 3.2, in the order of their codes
_CLOCK = 8000
_PACKET_MS = 20
_HEADER = struct.Struct("!BBHII")
_EVENT = struct.Struct("!BBH")
_REPORT = struct.Struct("!BBHIIIIIII")
_VERSION = 0x80
_MARKER = 0x80
_END = 0x80


def media_address(sdp: str) -> tuple[str, int]:
    """Return the address and port where an SDP body wants its audio."""
    host = re.search(r"^c=IN IP4 (\S+)", sdp, re.MULTILINE)
    port = re.search(r"^m=audio (\d+)", sdp, re.MULTILINE)
    if host is None or port is None:
        raise ValueError("no audio address in the SDP body")
    return host[1], int(port[1])


def event_payload_type(sdp: str) -> int | None:
    """Return the payload type that an SDP body gives to telephone events."""
    found = re.search(r"^a=rtpmap:(\d+) telephone-event/8000", sdp, re.MULTILINE | re.IGNORECASE)
    return int(found[1]) if found else None


def digit_packets(
    digits: str, payload_type: int, *, milliseconds: int = 100, pause: int = 80
) -> Iterator[tuple[float, bytes]]:
    """Yield the packets of some digits, each with the seconds to wait before it is sent.

    The end of each event is sent three times (RFC 4733 section 2.5.1.4).
    """
    sequence, timestamp, ssrc = 1000, 160_000, 0x5EED5EED
    for digit in digits:
        event, steps = _EVENTS.index(digit), milliseconds // _PACKET_MS
        for step in [*range(1, steps + 1), steps, steps]:
            ended = _END if step == steps else 0
            duration = step * _PACKET_MS * _CLOCK // 1000
            marker = _MARKER if step == 1 else 0
            head = _HEADER.pack(_VERSION, marker | payload_type, sequence, timestamp, ssrc)
            wait = (pause if step == 1 else _PACKET_MS) / 1000
            yield wait, head + _EVENT.pack(event, ended | 10, duration)
            sequence += 1
        timestamp += (milliseconds + pause) * _CLOCK // 1000


def digits_in(packets: Iterable[bytes], payload_type: int) -> str:
    """Return the digits that a stream of RTP packets carries; packets of one event share their timestamp."""
    digits, seen = "", set[tuple[int, int]]()
    for packet in packets:
        if len(packet) < _HEADER.size + _EVENT.size:
            continue
        _, kind, _, timestamp, ssrc = _HEADER.unpack_from(packet)
        if kind & 0x7F != payload_type or (ssrc, timestamp) in seen:
            continue
        seen.add((ssrc, timestamp))
        event = packet[_HEADER.size]
        digits += _EVENTS[event] if event < len(_EVENTS) else ""
    return digits


def sound_packets(count: int, payload_type: int = 0) -> Iterator[bytes]:
    """Yield so many packets of 20 ms of something loud in PCMU, the numbers of which follow each other."""
    for number in range(count):
        head = _HEADER.pack(_VERSION, payload_type, number, number * _CLOCK // 50, 0x50C4D)
        yield head + bytes(0x80 + (number + octet) % 16 for octet in range(_CLOCK // 50))


def receiver_report(heard: bytes, *, lost: int, jitter_ms: int) -> bytes:
    """Write what a peer tells by RTCP of a stream that it hears (RFC 3550 section 6.4.2).

    Args:
        heard: a packet of the stream, the newest that arrived.
        lost: how many packets of it were lost.
        jitter_ms: interarrival jitter.
    """
    _, _, sequence, _, ssrc = _HEADER.unpack_from(heard)
    return _REPORT.pack(_VERSION | 1, 201, 7, 0x50C4D, ssrc, lost, sequence, jitter_ms * _CLOCK // 1000, 0, 0)
