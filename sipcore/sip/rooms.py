"""Conference rooms: each worker mixes its own participants, and links join the workers of a room as a tree.

A worker has few slots, and a participant's call lends one of them: most workers of a room are leaves. What holds them
together are hubs, workers that carry nothing of the room but links. In a tree there is one way between any two
participants, so nobody hears anybody twice, and nobody hears itself. See docs/adr/0009.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Generic

from sipcore.domain.commands import JoinRoom, LeaveRoom
from sipcore.domain.slots import Slots
from sipcore.sip.capacity import Capacity, CarrierT
from sipcore.sip.links import SETUP_SECONDS, Later, Link, LinkEnd, Links

_NO_CAPACITY = "no slots to link the room's workers"

FindHub = Callable[[Collection[int], Callable[[Slots | None], None]], None]
"""Finds slots for a hub on a worker that is none of these, and tells them, or None; at once or later."""


@dataclass(slots=True, eq=False)
class _Node(Generic[CarrierT]):
    """A worker's part in a room: its participants, or a hub's slots, and the links that are there or being made."""

    worker: CarrierT
    legs: set[str] = field(default_factory=set)
    hub: Slots | None = None
    links: set[Link[CarrierT]] = field(default_factory=set)
    linked_once: bool = False

    @property
    def useless(self) -> bool:
        """True when it joins nobody with anybody; a new hub still has to be linked."""
        return not self.legs and len(self.links) <= 1 and (self.hub is None or self.linked_once)

    @property
    def neighbours(self) -> list[CarrierT]:
        return [end.worker for link in self.links for end in link.ends if end.worker is not self.worker]


@dataclass(slots=True, eq=False)
class _Room(Generic[CarrierT]):
    """One room.

    Attributes:
        nodes: its workers, by their numbers.
        ending: links that were cut or lost and still take slots.
        seeks_hub: True while one is being started.
        hubs_are_out: True once none was to be had.
        waiting: set while slots are missing that may come back; another object each time.
        closed: True once nobody is left.
    """

    name: str
    nodes: dict[int, _Node[CarrierT]] = field(default_factory=dict)
    ending: set[Link[CarrierT]] = field(default_factory=set)
    seeks_hub: bool = False
    hubs_are_out: bool = False
    waiting: object = None
    closed: bool = False


class Rooms(Generic[CarrierT]):
    """All conference rooms of this server.

    Args:
        capacity: tells where the legs are, and whose slots links may take.
        links: makes the links.
        send: has a worker join what is in its bridge.
        failed: told of legs that could not be joined, and why.
        find_hub: finds workers that can be hubs.
        later: for what takes too long.
    """

    def __init__(
        self,
        capacity: Capacity[CarrierT],
        links: Links[CarrierT],
        send: Callable[[CarrierT, JoinRoom | LeaveRoom], None],
        failed: Callable[[Collection[str], str], None],
        find_hub: FindHub,
        later: Later,
    ) -> None:
        self._capacity = capacity
        self._links = links
        self._send = send
        self._failed = failed
        self._find_hub = find_hub
        self._later = later
        self._rooms: dict[str, _Room[CarrierT]] = {}

    def legs_in(self, name: str) -> frozenset[str]:
        """List the legs that are in a room."""
        room = self._rooms.get(name)
        return frozenset() if room is None else frozenset(leg for node in room.nodes.values() for leg in node.legs)

    def enter(self, leg: str, name: str, links: Collection[Link[CarrierT]] = ()) -> None:
        """Join a leg with all others in a room.

        Args:
            leg: which one.
            name: of the room.
            links: that lead from the leg's worker to others of the room, and are the room's from now on.
        """
        place = self._capacity.of_leg(leg)
        if place is None or self._room_of(leg) is not None:
            return
        worker = place[0]
        room = self._rooms.setdefault(name, _Room(name))
        room.nodes.setdefault(worker.number, _Node(worker)).legs.add(leg)
        room.hubs_are_out = False
        self._send(worker, JoinRoom(leg, name))
        for link in links:
            self._adopt(room, link)
        self._mend(room)

    def leave(self, leg: str) -> None:
        """Let a leg, which goes on, hear nobody in its room any more, nor be heard."""
        place = self._capacity.of_leg(leg)
        if place is not None and self._room_of(leg) is not None:
            self._send(place[0], LeaveRoom(leg))
            self.end_leg(leg)

    def end_leg(self, leg: str) -> None:
        """Take note that a leg is over; the last one closes its room."""
        room = self._room_of(leg)
        if room is not None:
            for node in room.nodes.values():
                node.legs.discard(leg)
            self._mend(room)

    def lose(self, worker: CarrierT) -> None:
        """Take note that a worker is gone with its participants; the loss of its links is told by each of them."""
        for room in list(self._rooms.values()):
            if room.nodes.pop(worker.number, None) is not None:
                self._later(0.0, partial(self._mend, room))

    def retry(self) -> None:
        """Try those rooms again for which there were no slots."""
        for room in list(self._rooms.values()):
            if room.waiting is not None:
                self._mend(room)

    def link_up(self, link: Link[CarrierT], end: LinkEnd[CarrierT]) -> None:
        """Let one end speak and listen in its worker's part of the room (`LinkOwner`)."""
        room = self._room_with(link)
        if room is not None:
            self._send(end.worker, JoinRoom(link.uid, room.name))

    def link_ended(self, link: Link[CarrierT], reason: str) -> None:
        """Find another way (`LinkOwner`)."""
        room = self._room_with(link)
        if room is None:
            return
        self._forget(room, link)
        never_up = not all(end.up for end in link.ends)
        if never_up and all(end.worker.number in self._capacity.workers for end in link.ends):
            # A worker that lives and could not be reached is not tried for ever.
            self._give_up(room, reason)
        self._later(0.0, partial(self._mend, room))

    def link_over(self, link: Link[CarrierT]) -> None:
        """Take note that its slots are free; `retry` follows (`LinkOwner`)."""
        for room in self._rooms.values():
            room.ending.discard(link)

    def _adopt(self, room: _Room[CarrierT], link: Link[CarrierT]) -> None:
        """Make a link the room's that two of its legs have had for themselves, unless there is a way between them."""
        ends = [room.nodes.get(end.worker.number) for end in link.ends]
        nodes = [node for node in ends if node is not None]
        if len(nodes) < len(ends) or any(all(node in part for node in nodes) for part in self._parts(room)):
            self._links.close(link)
            return
        link.owner = self
        for node in nodes:
            node.links.add(link)
            node.linked_once = True
        for end in link.ends:
            if end.up:
                self._send(end.worker, JoinRoom(link.uid, room.name))

    def _room_of(self, leg: str) -> _Room[CarrierT] | None:
        rooms = self._rooms.values()
        return next((room for room in rooms if any(leg in node.legs for node in room.nodes.values())), None)

    def _room_with(self, link: Link[CarrierT]) -> _Room[CarrierT] | None:
        rooms = self._rooms.values()
        return next((room for room in rooms if any(link in node.links for node in room.nodes.values())), None)

    def _mend(self, room: _Room[CarrierT]) -> None:
        """Make one tree of what there is."""
        if room.closed or room.seeks_hub:
            return
        if not any(node.legs for node in room.nodes.values()):
            self._close(room)
            return
        while useless := [node for node in room.nodes.values() if node.useless]:
            self._drop(room, useless[0])
        parts = self._parts(room)
        # A place is kept for who comes next: to make one later would interrupt those who talk.
        if len(parts) == 1 or self._fit(parts, keep=1, borrow=False):
            self._connect(room, borrow=False)
        elif room.ending:
            # Their slots come back in some milliseconds.
            self._wait(room)
        elif not room.hubs_are_out and all(self._can_be_linked(part) for part in parts):
            room.seeks_hub = True
            self._find_hub(room.nodes.keys(), partial(self._take_hub, room))
        elif self._fit(parts, keep=0, borrow=False):
            self._connect(room, borrow=False)
        elif self._fit(parts, keep=0, borrow=True):
            self._connect(room, borrow=True)
        else:
            self._wait(room)

    def _wait(self, room: _Room[CarrierT]) -> None:
        if room.waiting is None:
            room.waiting = object()
            self._later(SETUP_SECONDS, partial(self._stop_waiting, room, room.waiting))

    def _close(self, room: _Room[CarrierT]) -> None:
        room.closed = True
        del self._rooms[room.name]
        for node in list(room.nodes.values()):
            self._drop(room, node)

    def _drop(self, room: _Room[CarrierT], node: _Node[CarrierT]) -> None:
        for link in list(node.links):
            self._cut(room, link)
        del room.nodes[node.worker.number]
        if node.hub is not None:
            self._capacity.release(node.hub)

    def _cut(self, room: _Room[CarrierT], link: Link[CarrierT]) -> None:
        self._forget(room, link)
        self._links.close(link)

    def _forget(self, room: _Room[CarrierT], link: Link[CarrierT]) -> None:
        for node in room.nodes.values():
            node.links.discard(link)
        if not link.over:
            room.ending.add(link)

    def _parts(self, room: _Room[CarrierT]) -> list[list[_Node[CarrierT]]]:
        """Divide the room into what is connected, or being connected."""
        parts: list[list[_Node[CarrierT]]] = []
        left = dict(room.nodes)
        while left:
            part = [left.popitem()[1]]
            for node in part:
                part += [left.pop(worker.number) for worker in node.neighbours if worker.number in left]
            parts.append(part)
        return parts

    def _spare(self, node: _Node[CarrierT], *, borrow: bool) -> int:
        """Count the links that a worker could have beside those that it has."""
        families = self._families(node)
        own = [each for each in node.worker.reservations.values() if each.family in families]
        spare = sum(max(each.spare, 0) for each in own if each.released_at is None)
        return spare + (node.worker.free if borrow and own else 0)

    def _families(self, node: _Node[CarrierT]) -> set[int]:
        places = (self._capacity.of_leg(leg) for leg in node.legs)
        families = {place[1].family for place in places if place is not None}
        return families | ({node.hub.id} if node.hub is not None else set())

    def _fit(self, parts: list[list[_Node[CarrierT]]], *, keep: int, borrow: bool) -> bool:
        """Tell whether the parts have links enough for one tree: two ends for each but one, one of its own for each."""
        spares = [sum(self._spare(node, borrow=borrow) for node in part) for part in parts]
        return min(spares) > 0 and sum(spares) >= 2 * (len(parts) - 1) + keep

    def _can_be_linked(self, part: list[_Node[CarrierT]]) -> bool:
        """Tell whether a hub would help a part: it has a place for a link, or a link that can be cut for one."""
        return any(node.links or self._spare(node, borrow=False) > 0 for node in part)

    def _connect(self, room: _Room[CarrierT], *, borrow: bool) -> None:
        def spare(part: list[_Node[CarrierT]]) -> int:
            return sum(self._spare(node, borrow=borrow) for node in part)

        room.waiting = None
        while len(parts := sorted(self._parts(room), key=spare)) > 1:
            # The poorest gets its place at the richest, so that no part is left without any.
            ends = [self._most_central(part, borrow=borrow) for part in (parts[0], parts[-1])]
            caller, callee = ((end.worker, self._families(end)) for end in ends)
            link = self._links.open(caller, callee, self, borrow=borrow)
            if link is None:
                self._wait(room)
                break
            for end in ends:
                end.links.add(link)
                end.linked_once = True

    def _most_central(self, part: list[_Node[CarrierT]], *, borrow: bool) -> _Node[CarrierT]:
        """Choose where a link adds least to the longest way: each worker on a way adds its delay."""
        able = [node for node in part if self._spare(node, borrow=borrow) > 0]
        of_worker = {node.worker.number: node for node in part}

        def reach(start: _Node[CarrierT]) -> int:
            distance = {start.worker.number: 0}
            queue = [start]
            for node in queue:
                for worker in node.neighbours:
                    if worker.number not in distance:
                        distance[worker.number] = distance[node.worker.number] + 1
                        queue.append(of_worker[worker.number])
            return max(distance.values())

        return min(able, key=reach)

    def _take_hub(self, room: _Room[CarrierT], slots: Slots | None) -> None:
        room.seeks_hub = False
        worker = self._capacity.workers.get(slots.worker) if slots is not None else None
        if worker is None or slots is None:
            room.hubs_are_out = True
        elif room.closed or worker.number in room.nodes:
            self._capacity.release(slots)
        else:
            room.nodes[worker.number] = _Node(worker, hub=slots)
            self._open_full_parts(room)
        self._mend(room)

    def _open_full_parts(self, room: _Room[CarrierT]) -> None:
        """Cut a link of each part that has no place for another one, now that there is a hub for both its ends."""
        for part in self._parts(room):
            links = [link for node in part for link in node.links]
            if links and not any(self._spare(node, borrow=False) for node in part):
                self._cut(room, links[0])

    def _stop_waiting(self, room: _Room[CarrierT], waiting: object) -> None:
        if room.closed or room.waiting is not waiting:
            return
        room.waiting = None
        if room.ending:
            # Their far ends say nothing: other slots are needed.
            room.ending.clear()
        else:
            self._give_up(room, _NO_CAPACITY)
        self._mend(room)

    def _give_up(self, room: _Room[CarrierT], reason: str) -> None:
        """Leave everybody out who is not with the most."""
        parts = sorted(self._parts(room), key=lambda part: -sum(len(node.legs) for node in part))
        for part in parts[1:]:
            legs = {leg for node in part for leg in node.legs}
            for node in part:
                node.legs.clear()
            if legs:
                self._failed(legs, reason)
