"""Joining legs in the fake: each worker's conference bridge, and links that are there at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection

from sipcore.domain.commands import JoinRoom, LeaveRoom, PassAudio
from sipcore.domain.events import JoinFailed, LegAnswered, LegEnded
from sipcore.domain.slots import Slots
from sipcore.sip.capacity import Capacity, Carrier
from sipcore.sip.joining import JoinCommand, Joining
from sipcore.sip.links import Link

_OK = 200
_Edge = tuple[int, str, str]


class AudioGraph:
    """The connections in all bridges; a link has the same id in both of its workers' bridges."""

    def __init__(self) -> None:
        self._edges: set[_Edge] = set()
        self._rooms: dict[tuple[int, str], set[str]] = {}

    def connect(self, worker: int, source: str, sink: str) -> None:
        """Let one node in a worker's bridge hear another."""
        self._edges.add((worker, source, sink))

    def enter(self, worker: int, node: str, room: str) -> None:
        """Join a node with all others of a room in a worker's bridge."""
        others = self._rooms.setdefault((worker, room), set())
        for other in others - {node}:
            self.connect(worker, node, other)
            self.connect(worker, other, node)
        others.add(node)

    def leave(self, worker: int, node: str) -> None:
        """Take a node out of its room in a worker's bridge."""
        for (number, _), nodes in self._rooms.items():
            if number == worker and node in nodes:
                nodes.discard(node)
                ways = {pair for other in nodes for pair in ((worker, node, other), (worker, other, node))}
                self._edges -= ways

    def remove(self, worker: int, node: str) -> None:
        """Take a node out of a worker's bridge."""
        self._edges = {edge for edge in self._edges if edge[0] != worker or node not in edge[1:]}
        for (number, _), nodes in self._rooms.items():
            if number == worker:
                nodes.discard(node)

    def lose(self, worker: int) -> None:
        """Forget a worker's bridge."""
        self._edges = {edge for edge in self._edges if edge[0] != worker}
        self._rooms = {key: nodes for key, nodes in self._rooms.items() if key[0] != worker}

    def audience(self, worker: int, leg: str) -> Counter[str]:
        """Count on how many ways a leg is heard, by node: a leg once, a link too; more would be an echo."""
        heard: Counter[str] = Counter()
        ways = [edge for edge in self._edges if edge[:2] == (worker, leg)]
        followed: set[_Edge] = set()
        while ways:
            way = ways.pop()
            number, _, sink = way
            heard[sink] += 1
            if way not in followed:
                followed.add(way)
                ways += [edge for edge in self._edges if edge[1] == sink and edge[0] != number]
        return heard


class FakeBridges:
    """All workers' bridges and the links between them.

    Args:
        capacity: whose slots links take.
        report: takes events.

    Attributes:
        frozen: workers to which no link comes up.
    """

    def __init__(self, capacity: Capacity[Carrier], report: Callable[[JoinFailed], None]) -> None:
        self.frozen: set[int] = set()
        self._capacity = capacity
        self._report = report
        self._audio = AudioGraph()
        self._made: list[Link[Carrier]] = []
        self._due: list[Callable[[], None]] = []
        self._joining = Joining(capacity, self, self._connect, self._fail, self._find_hub, self._later)

    def join(self, command: JoinCommand) -> None:
        """Carry a command out."""
        self._joining.join(command)

    def end_leg(self, worker: int, leg: str) -> None:
        """Take a leg out."""
        self._audio.remove(worker, leg)
        self._joining.end_leg(leg)

    def lose(self, worker: Carrier, legs: Collection[str]) -> None:
        """Forget a worker with its legs."""
        self._audio.lose(worker.number)
        self._joining.lose(worker)
        for leg in legs:
            self._joining.end_leg(leg)

    def audience(self, worker: int, leg: str) -> Counter[str]:
        """Count on how many ways a leg is heard, by whoever hears it."""
        return self._audio.audience(worker, leg)

    def catch_up(self) -> None:
        """Let links come up, and then the time pass that was given to what has not happened."""
        self._joining.retry()
        while self._made or self._due:
            while self._made:
                link = self._made.pop(0)
                for end in link.ends if self.frozen.isdisjoint(end.worker.number for end in link.ends) else ():
                    self._joining.take(end.worker, LegAnswered(link.uid))
            due, self._due = self._due, []
            for action in due:
                action()

    def make(self, link: Link[Carrier]) -> None:
        """Let a link come up, once whatever asks for it is done (`LinkTransport`)."""
        self._made.append(link)

    def release(self, link: Link[Carrier]) -> None:
        """End both ends of a link (`LinkTransport`)."""
        for end in link.ends:
            self._audio.remove(end.worker.number, link.uid)
            self._joining.take(end.worker, LegEnded(link.uid, _OK))

    def _connect(self, worker: Carrier, command: JoinCommand) -> None:
        if isinstance(command, JoinRoom):
            self._audio.enter(worker.number, command.leg, command.room)
        elif isinstance(command, LeaveRoom):
            self._audio.leave(worker.number, command.leg)
        elif isinstance(command, PassAudio):
            self._audio.connect(worker.number, command.leg, command.sink)
        else:
            self._audio.connect(worker.number, command.leg, command.other)
            self._audio.connect(worker.number, command.other, command.leg)

    def _fail(self, legs: Collection[str], reason: str) -> None:
        for leg in sorted(legs):
            self._report(JoinFailed(leg, reason))

    def _find_hub(self, others: Collection[int], found: Callable[[Slots | None], None]) -> None:
        found(self._capacity.reserve_hub(others))

    def _later(self, _seconds: float, action: Callable[[], None]) -> None:
        self._due.append(action)
