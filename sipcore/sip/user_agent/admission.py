"""Which INVITEs get as far as pjsua: those that the parent has allowed.

pjsua takes a call slot and two I/O handles for each INVITE, also for one that is refused at once. It answers 486 itself
when its slots are full, and would have given away one that is reserved for a leg of ours; and a process that runs out
of handles is aborted. So a PJSIP module of our own stands before it and answers without any state what must not get in.
"""

from __future__ import annotations

import re
import time
from collections import deque

from sipcore.sip.user_agent import library

_NOT_FOUND = 404
_NOT_ACCEPTABLE = 488
_SERVICE_UNAVAILABLE = 503
_HANDLE_SECONDS = 0.6
"""A closed media socket keeps its I/O handle for 500 ms in pjlib's select queue."""
_STREAMS_IN_HANDLES = 20
"""Audio streams, living or ended within `_HANDLE_SECONDS`, beside which another may come in: 40 of 64 I/O handles."""
_AUDIO_LINE = re.compile(rb"(?:^|[\r\n])[ \t]*m[ \t]*=[ \t]*audio[ \t]+(?!0[ \t])", re.IGNORECASE)
_MAX_AUDIO_LINES = 2
"""The library opens sockets for each audio line of an offer. Two are one stream with and without encryption."""


class Admission:
    """Lets INVITEs in, as many as may be.

    Attributes:
        legs: how many calls that came in there may be at once; -1: none is wanted at all.
        links: Call-IDs of INVITEs that are expected from other workers, and let in before all others. Which INVITE it
            is can be told only once it is in, so until it has come others get in too; the parent refuses those.
    """

    def __init__(self) -> None:
        self.legs = -1
        self.links: set[str] = set()
        self._max_calls = library.max_legs()
        self._streams: dict[int, int] = {}
        self._offered = 1
        self._ended: deque[float] = deque()
        library.answer_invites(self._refusal)

    def note_incoming(self, call_id: int) -> None:
        """Count the call that was let in just now, by the library's number of it, for as long as it occupies a slot."""
        self._streams[call_id] = self._offered

    def note_end(self, call_id: int) -> None:
        """Take note that a call, whoever placed it, has given its media sockets back."""
        self._ended.extend([time.monotonic()] * self._streams.get(call_id, 1))

    def forget_ended(self) -> set[int]:
        """Forget the calls whose numbers may be given to others now; return the numbers that are in use."""
        calls = library.open_call_ids()
        self._streams = {call_id: streams for call_id, streams in self._streams.items() if call_id in calls}
        return calls

    def _refusal(self, sdp: bytes) -> int | None:
        """Tell the status that a new INVITE gets at once, or None to let it in."""
        if self.legs < 0 and not self.links:
            return _NOT_FOUND
        # Without an offer the library makes one, of one stream.
        self._offered = len(_AUDIO_LINE.findall(sdp)) or 1
        if self._offered > _MAX_AUDIO_LINES:
            return _NOT_ACCEPTABLE
        while self._ended and self._ended[0] < time.monotonic() - _HANDLE_SECONDS:
            self._ended.popleft()
        calls = self.forget_ended()
        has_slot = (len(self._streams) < self.legs or bool(self.links)) and len(calls) < self._max_calls
        streams = len(calls - self._streams.keys()) + sum(self._streams.values()) + len(self._ended)
        return None if has_slot and streams < _STREAMS_IN_HANDLES else _SERVICE_UNAVAILABLE
