"""Joining legs wherever they are: on one worker in its own bridge, on two by a link, in a room by a tree of links."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Generic

from sipcore.domain.commands import BridgeLegs, JoinRoom, LeaveRoom, PassAudio
from sipcore.domain.events import LegAnswered, LegEnded
from sipcore.sip.capacity import Capacity, CarrierT
from sipcore.sip.links import Later, Links, LinkTransport, Pairs
from sipcore.sip.rooms import FindHub, Rooms

JoinCommand = BridgeLegs | PassAudio | JoinRoom | LeaveRoom
"""Commands that concern more than one leg, and so perhaps more than one worker."""


class Joining(Generic[CarrierT]):
    """Carries out what joins legs.

    Args:
        capacity: tells where legs are, and whose slots links may take.
        transport: makes links.
        send: has a worker carry a command out.
        failed: told of legs that could not be joined, and why.
        find_hub: finds workers that can be hubs of rooms.
        later: for what takes too long.
    """

    def __init__(
        self,
        capacity: Capacity[CarrierT],
        transport: LinkTransport[CarrierT],
        send: Callable[[CarrierT, JoinCommand], None],
        failed: Callable[[Collection[str], str], None],
        find_hub: FindHub,
        later: Later,
    ) -> None:
        self._capacity = capacity
        self._send = send
        self._links = Links(capacity, transport, later)
        self._pairs = Pairs(capacity, self._links, send, failed, later)
        self._rooms = Rooms(capacity, self._links, send, failed, find_hub, later)

    def join(self, command: JoinCommand) -> None:
        """Carry a command out; for legs that are over it does nothing."""
        if isinstance(command, LeaveRoom):
            self._rooms.leave(command.leg)
            return
        if isinstance(command, JoinRoom):
            self._enter(command)
            return
        other = command.other if isinstance(command, BridgeLegs) else command.sink
        here, there = self._capacity.of_leg(command.leg), self._capacity.of_leg(other)
        if here is None or there is None:
            return
        if here[0] is there[0]:
            self._send(here[0], command)
            return
        self._pairs.let_hear(command.leg, other)
        if isinstance(command, BridgeLegs):
            self._pairs.let_hear(other, command.leg)

    def _enter(self, command: JoinRoom) -> None:
        """Let a leg enter a room, into which it brings the link over which it hears somebody there already.

        With one link of the room and another of the two, they would hear each other twice.
        """
        mates = self._rooms.legs_in(command.room)
        links = [link for mate in mates if (link := self._pairs.give_away(command.leg, mate)) is not None]
        self._rooms.enter(command.leg, command.room, links)

    def take(self, worker: CarrierT, event: object) -> bool:
        """Take what a worker says of an end of a link; tell whether it was that."""
        uid = getattr(event, "leg", "")
        if uid not in self._links:
            return False
        if isinstance(event, LegAnswered):
            self._links.take_up(worker, uid)
        elif isinstance(event, LegEnded):
            self._links.take_end(worker, uid)
        return True

    def end_leg(self, leg: str) -> None:
        """Take note that a leg is over."""
        self._pairs.end_leg(leg)
        self._rooms.end_leg(leg)

    def lose(self, worker: CarrierT) -> None:
        """Take note that a worker is gone."""
        self._rooms.lose(worker)
        self._links.lose(worker)

    def retry(self) -> None:
        """Try again what there were no slots for."""
        self._pairs.retry()
        self._rooms.retry()
