"""The SIP messages of legs, noted as they pass the transport, with what the library sends again or answers itself."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sipcore.domain.events import MessagesSeen
from sipcore.domain.ladder import MOST_RUNGS, Rung
from sipcore.sip.user_agent import library

_CALL_ID = re.compile(rb"[\r\n](?:call-id|i)[ \t]*:[ \t]*([!-~]+)", re.IGNORECASE)
_INFO = re.compile(rb"Re(?:quest|sponse) msg (?:(\d{3})/)?([^/ ]{1,32})/cseq=(\d+) ")
"""How the library names a message: `Request msg INVITE/cseq=1 (...)`, `Response msg 180/INVITE/cseq=1 (...)`."""


@dataclass(slots=True)
class _Leg:
    """What is noted of one leg and not told yet, and how much more may be."""

    room: int = MOST_RUNGS
    rungs: list[Rung] = field(default_factory=list)

    def note(self, rung: Rung) -> None:
        if self.room:
            self.room -= 1
            self.rungs.append(rung)


class Ladders:
    """Notes messages, and tells them when nothing is urgent; a worker has one.

    Args:
        send: takes what is told.
    """

    def __init__(self, send: Callable[[MessagesSeen], None]) -> None:
        self._send = send
        self._legs: dict[bytes, _Leg] = {}
        self._seen: list[tuple[float, bytes, bytes, bool]] = []
        library.watch_messages(self._take)

    def begin(self, uid: str) -> None:
        """Note the messages of a leg from now on, and the one that it came in with.

        That one was kept just before, in the call that has led here, and nobody has looked at it yet.
        """
        self._legs[uid.encode()] = _Leg()

    def tell(self) -> None:
        """Tell what was noted of all legs."""
        self._look_at_seen()
        for key, leg in self._legs.items():
            self._tell(key, leg)

    def end(self, uid: str) -> None:
        """Tell what is left of a leg, and note no more of it."""
        self._look_at_seen()
        key = uid.encode()
        leg = self._legs.pop(key, None)
        if leg is not None:
            self._tell(key, leg)

    def _tell(self, key: bytes, leg: _Leg) -> None:
        if leg.rungs:
            rungs, leg.rungs = tuple(leg.rungs), []
            self._send(MessagesSeen(key.decode(), rungs))

    def _take(self, info: bytes, text: bytes, *, sent: bool) -> None:
        """Keep one message until there is time to look at it: those that are sent wait for this."""
        self._seen.append((time.monotonic(), info, text, sent))

    def _look_at_seen(self) -> None:
        seen, self._seen = self._seen, []
        for message in seen:
            self._look_at(*message)

    def _look_at(self, at: float, info: bytes, text: bytes, sent: bool) -> None:
        """Note one message, if it is a leg's."""
        found = _CALL_ID.search(text)
        leg = self._legs.get(found[1]) if found is not None else None
        parts = _INFO.match(info)
        if leg is None or parts is None:
            return
        code = None if parts[1] is None else int(parts[1])
        leg.note(Rung(at, sent, parts[2].decode("ascii", "replace"), code, int(parts[3])))
