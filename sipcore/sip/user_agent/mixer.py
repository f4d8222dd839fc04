"""Which port hears which, in the conference bridge.

The wanted connections are kept apart from the bridge's own, because a re-INVITE may give a leg a new port in the
bridge, and a connection may be wanted before both ends have media.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Protocol

_REST_SECONDS = 0.5
"""The bridge's clock and the library's event thread may still be busy with a port that was disconnected just now."""
_LINGER_SECONDS = 0.2
"""The bridge takes a port out at its clock's next tick, so the clock has to run for that."""


class Node(Protocol):
    """Something that speaks, listens, or both: a leg, a tone, a recorder.

    Attributes:
        audio: its port in the bridge, or None while it has no media.
    """

    audio: Any


class Mixer:
    """Connects nodes, and keeps the bridge's clock running only while there is media to move.

    Args:
        endpoint: pjsua2's endpoint.
    """

    def __init__(self, endpoint: Any) -> None:
        self._devices = endpoint.audDevManager()
        self._wanted: set[tuple[Node, Node]] = set()
        self._rooms: dict[str, set[Node]] = {}
        self._resting: deque[tuple[float, Any]] = deque()
        self._clock_until = 0.0
        self._clock_runs = False

    @property
    def busy(self) -> bool:
        """True while ports are on their way out."""
        return bool(self._resting or self._clock_until)

    def connect(self, source: Node, sink: Node) -> None:
        """Let `sink` hear `source`, beside all else that it hears, until one of them is removed."""
        self._wanted.add((source, sink))
        _connect(source, sink)

    def join(self, one: Node, other: Node) -> None:
        """Connect two nodes in both directions."""
        self.connect(one, other)
        self.connect(other, one)

    def enter(self, room: str, node: Node) -> None:
        """Join a node with all others in a room."""
        others = self._rooms.setdefault(room, set())
        for other in others - {node}:
            self.join(node, other)
        others.add(node)

    def leave(self, node: Node) -> None:
        """Take a node out of the room that it is in."""
        for others in [nodes for nodes in self._rooms.values() if node in nodes]:
            others.discard(node)
            for other in others:
                self.disconnect(node, other)
                self.disconnect(other, node)
        self._rooms = {room: nodes for room, nodes in self._rooms.items() if nodes}

    def disconnect(self, source: Node, sink: Node) -> None:
        """Undo `connect`."""
        if (source, sink) in self._wanted:
            self._wanted.discard((source, sink))
            if source.audio is not None and sink.audio is not None:
                source.audio.stopTransmit(sink.audio)

    def remove(self, node: Node) -> None:
        """Forget a node and all that it hears or is heard by; its port is already gone, or goes with its owner."""
        self._wanted = {pair for pair in self._wanted if node not in pair}
        for room in [room for room, nodes in self._rooms.items() if node in nodes]:
            self._rooms[room].discard(node)
            if not self._rooms[room]:
                del self._rooms[room]

    def renew(self, node: Node) -> None:
        """Connect a node whose port in the bridge is new."""
        for source, sink in self._wanted:
            if node in (source, sink):
                _connect(source, sink)

    def retire(self, port: Any) -> None:
        """Delete a disconnected port of ours, once no thread of the library can be busy with it."""
        self._resting.append((time.monotonic() + _REST_SECONDS, port))

    def drop_retired(self) -> bool:
        """Delete the ports that have rested; tell whether the clock may have to be started or stopped."""
        now = time.monotonic()
        dropped = False
        while self._resting and self._resting[0][0] <= now:
            self._resting.popleft()
            self._clock_until = now + _LINGER_SECONDS
            dropped = True
        over = self._clock_until and not self._resting and self._clock_until <= now
        if over:
            self._clock_until = 0.0
        return bool(dropped or over)

    def run_clock(self, *, needed: bool) -> None:
        """Start or stop the null sound device, whose thread moves the audio and costs CPU while it runs."""
        needed = needed or self.busy
        if needed != self._clock_runs:
            self._clock_runs = needed
            if needed:
                self._devices.setNullDev()
            else:
                self._devices.setNoDev()


def _connect(source: Node, sink: Node) -> None:
    if source.audio is not None and sink.audio is not None:
        source.audio.startTransmit(sink.audio)
