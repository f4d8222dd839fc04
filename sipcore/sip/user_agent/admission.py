"""Which INVITEs get as far as pjsua: those that the parent has allowed.

pjsua takes a call slot and two I/O handles for each INVITE, also for one that is refused at once. It answers 486 itself
when its slots are full, and would have given away one that is reserved for a leg of ours; and a process that runs out
of handles is aborted. So a PJSIP module of our own stands before it and answers without any state what must not get in.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from sipcore.sip.user_agent import library
from sipcore.sip.user_agent.messages import audio_lines_of, call_id_of

_BAD_REQUEST = 400
_NOT_FOUND = 404
_MERGED = 482
_NOT_ACCEPTABLE = 488
_SERVICE_UNAVAILABLE = 503
_HANDLE_SECONDS = 0.6
"""A closed media socket keeps its I/O handle for 500 ms in pjlib's select queue."""
_STREAMS_IN_HANDLES = 20
"""Audio streams, living or ended within `_HANDLE_SECONDS`, beside which another may come in: 40 of 64 I/O handles."""
_MAX_AUDIO_LINES = 2
"""The library opens sockets for each audio line of an offer. Two are one stream with and without encryption."""


class Admission:
    """Lets INVITEs in, as many as may be.

    Args:
        is_known: tells whether there is a leg of this Call-ID.

    Attributes:
        legs: how many calls that came in there may be at once, links left out; -1: none is wanted at all.
        undecided: how many of those the server has not decided on; each may need a slot for a leg beside its own.
        links: Call-IDs of INVITEs that are expected from other workers, and have slots of their own.
    """

    def __init__(self, is_known: Callable[[str], bool]) -> None:
        self.legs = -1
        self.undecided = 0
        self.links: set[str] = set()
        self._is_known = is_known
        self._max_calls = library.max_legs()
        self._streams: dict[int, int] = {}
        self._links_in: set[int] = set()
        self._offered = 1
        self._ended: deque[float] = deque()
        library.answer_invites(self._refusal)

    def close(self) -> None:
        """Let nothing in any more, links included."""
        self.legs = 0
        self.links.clear()

    def note_incoming(self, call_id: int, *, link: bool) -> None:
        """Count the call that was let in just now, by the library's number of it, for as long as it occupies a slot."""
        self._streams[call_id] = self._offered
        if link:
            self._links_in.add(call_id)

    def note_end(self, call_id: int) -> None:
        """Take note that a call, whoever placed it, has given its media sockets back."""
        self._ended.extend([time.monotonic()] * self._streams.get(call_id, 1))

    def forget_ended(self) -> None:
        """Forget the calls whose numbers may be given to others now."""
        if self._streams:
            self._keep_open(library.open_call_ids())

    def _keep_open(self, calls: set[int]) -> None:
        self._streams = {call_id: streams for call_id, streams in self._streams.items() if call_id in calls}
        self._links_in &= calls

    def _refusal(self, invite: str) -> int | None:
        """Tell the status that a new INVITE gets at once, or None to let it in."""
        call_id = call_id_of(invite)
        is_link = call_id in self.links
        if self.legs < 0 and not is_link:
            return _NOT_FOUND
        if not call_id:
            return _BAD_REQUEST
        if self._is_known(call_id):
            return _MERGED
        # Without an offer the library makes one, of one stream.
        self._offered = audio_lines_of(invite) or 1
        if self._offered > _MAX_AUDIO_LINES:
            return _NOT_ACCEPTABLE
        return None if self._has_room(is_link=is_link) else _SERVICE_UNAVAILABLE

    def _has_room(self, *, is_link: bool) -> bool:
        while self._ended and self._ended[0] < time.monotonic() - _HANDLE_SECONDS:
            self._ended.popleft()
        calls = library.open_call_ids()
        self._keep_open(calls)
        streams = len(calls - self._streams.keys()) + sum(self._streams.values()) + len(self._ended)
        may_come = is_link or len(self._streams) - len(self._links_in) + self.undecided < self.legs
        return may_come and len(calls) < self._max_calls and streams < _STREAMS_IN_HANDLES
