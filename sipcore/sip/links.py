"""Links: what carries audio from one worker to another, for legs that are joined and are not on the same worker.

A link has an end on each of two workers. To a worker an end is one more leg in its conference bridge, so it takes a
slot; to whoever uses the SIP port it does not exist.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, Protocol

from sipcore.domain.commands import PassAudio
from sipcore.sip.capacity import Capacity, CarrierT, Reservation

SETUP_SECONDS = 2.0
"""How long it may take until two legs are joined: a link takes some milliseconds, unless its slot is being freed."""
_NO_SLOT = "no slot for a link between the workers"

Later = Callable[[float, Callable[[], None]], None]
"""Has something called after so many seconds."""


@dataclass(slots=True, eq=False)
class LinkEnd(Generic[CarrierT]):
    """One end of a link.

    Attributes:
        worker: where it is.
        reservation: whose slot it takes.
        up: True once its audio can be joined.
        over: True once its slot is free.
    """

    worker: CarrierT
    reservation: Reservation
    up: bool = False
    over: bool = False


class LinkOwner(Protocol[CarrierT]):
    """Who wanted a link."""

    def link_up(self, link: Link[CarrierT], end: LinkEnd[CarrierT]) -> None:
        """One end can be joined."""
        ...

    def link_ended(self, link: Link[CarrierT], reason: str) -> None:
        """The link carries nothing any more, though nobody closed it."""
        ...

    def link_over(self, link: Link[CarrierT]) -> None:
        """Its slots are free."""
        ...


@dataclass(slots=True, eq=False)
class Link(Generic[CarrierT]):
    """A link.

    Attributes:
        uid: what both workers know it by; nobody else must be able to guess it.
        caller, callee: its ends: the worker that makes it, and the one that expects it.
        owner: who wanted it.
        ending: True once it is of no use any more.
    """

    caller: LinkEnd[CarrierT]
    callee: LinkEnd[CarrierT]
    owner: LinkOwner[CarrierT]
    uid: str = field(default_factory=lambda: secrets.token_hex(16))
    ending: bool = False

    @property
    def ends(self) -> tuple[LinkEnd[CarrierT], LinkEnd[CarrierT]]:
        """Both ends."""
        return self.caller, self.callee

    @property
    def over(self) -> bool:
        """True once it takes no slots any more."""
        return self.caller.over and self.callee.over

    def end_on(self, worker: CarrierT) -> LinkEnd[CarrierT]:
        """Give the end that is on a worker."""
        return self.caller if self.caller.worker is worker else self.callee


class LinkTransport(Protocol[CarrierT]):
    """What links are made of. It reports to `Links.take_up` and `Links.take_end`."""

    def make(self, link: Link[CarrierT]) -> None:
        """Begin to make a link."""
        ...

    def release(self, link: Link[CarrierT]) -> None:
        """End both ends of a link, which may not be made yet."""
        ...


class Links(Generic[CarrierT]):
    """All links, and the slots that they take.

    Args:
        capacity: whose slots.
        transport: makes them.
        later: for what takes too long.
    """

    def __init__(self, capacity: Capacity[CarrierT], transport: LinkTransport[CarrierT], later: Later) -> None:
        self._capacity = capacity
        self._transport = transport
        self._later = later
        self._links: dict[str, Link[CarrierT]] = {}

    def __contains__(self, uid: str) -> bool:
        """Tell whether this is a link's id."""
        return uid in self._links

    def get(self, uid: str) -> Link[CarrierT] | None:
        """Find a link."""
        return self._links.get(uid)

    def open(
        self,
        caller: tuple[CarrierT, Collection[int]],
        callee: tuple[CarrierT, Collection[int]],
        owner: LinkOwner[CarrierT],
        *,
        borrow: bool = True,
    ) -> Link[CarrierT] | None:
        """Make a link between two workers; None when one of them has no slot for it.

        Args:
            caller: the worker that makes it, and whose reservations may be used there (`Reservation.family`).
            callee: the same of the worker that expects it.
            owner: told what becomes of it.
            borrow: whether it may take a slot that nobody reserved.
        """
        near = self._capacity.slot_for_link(*caller, borrow=borrow)
        far = self._capacity.slot_for_link(*callee, borrow=borrow)
        if near is None or far is None:
            return None
        link = Link(LinkEnd(caller[0], near), LinkEnd(callee[0], far), owner)
        self._links[link.uid] = link
        for end in link.ends:
            self._capacity.add_link(end.worker, end.reservation, link.uid)
        self._later(SETUP_SECONDS, lambda: self._check(link))
        self._transport.make(link)
        return link

    def close(self, link: Link[CarrierT]) -> None:
        """End a link that nobody needs any more; its owner hears no more of it than that it is over."""
        if not link.ending:
            link.ending = True
            self._transport.release(link)

    def take_up(self, worker: CarrierT, uid: str) -> None:
        """Take note that the end on a worker can be joined."""
        link = self._links.get(uid)
        if link is not None and not link.ending:
            end = link.end_on(worker)
            end.up = True
            link.owner.link_up(link, end)

    def take_end(self, worker: CarrierT, uid: str) -> None:
        """Take note that the end on a worker is over, and end the other one."""
        link = self._links.get(uid)
        if link is not None and not link.end_on(worker).over:
            self._end_over(link, link.end_on(worker))
            self._fail(link, "the link has ended")

    def lose(self, worker: CarrierT) -> None:
        """Take note that a worker is gone."""
        for link in [link for link in self._links.values() if worker in (link.caller.worker, link.callee.worker)]:
            self._end_over(link, link.end_on(worker))
            # Its far end is released as those of all its dialogs are; only if that fails it is ended from there.
            self._later(SETUP_SECONDS, partial(self._transport.release, link))
            if not link.ending:
                link.ending = True
                link.owner.link_ended(link, "the worker at the other end is gone")

    def _check(self, link: Link[CarrierT]) -> None:
        if not all(end.up for end in link.ends):
            self._fail(link, "the link did not come up in time")

    def _fail(self, link: Link[CarrierT], reason: str) -> None:
        if not link.ending:
            self.close(link)
            link.owner.link_ended(link, reason)

    def _end_over(self, link: Link[CarrierT], end: LinkEnd[CarrierT]) -> None:
        end.over = True
        self._capacity.end_link(end.worker, end.reservation, link.uid)
        if link.over:
            self._links.pop(link.uid, None)
            link.owner.link_over(link)


@dataclass(slots=True, eq=False)
class _Pair(Generic[CarrierT]):
    """Two legs on different workers, and who of them shall hear whom."""

    legs: frozenset[str]
    wanted: set[tuple[str, str]] = field(default_factory=set)
    link: Link[CarrierT] | None = None


class Pairs(Generic[CarrierT]):
    """Joins legs that are on different workers, each pair by a link of its own.

    Args:
        capacity: tells where the legs are.
        links: makes the links.
        send: has a worker connect what is in its bridge.
        failed: told of legs that could not be joined, and why.
        later: for what takes too long.
    """

    def __init__(
        self,
        capacity: Capacity[CarrierT],
        links: Links[CarrierT],
        send: Callable[[CarrierT, PassAudio], None],
        failed: Callable[[Collection[str], str], None],
        later: Later,
    ) -> None:
        self._capacity = capacity
        self._links = links
        self._send = send
        self._failed = failed
        self._later = later
        self._pairs: dict[frozenset[str], _Pair[CarrierT]] = {}

    def let_hear(self, source: str, sink: str) -> None:
        """Let `sink` hear `source`, until one of them ends."""
        legs = frozenset((source, sink))
        pair = self._pairs.get(legs)
        if pair is None:
            pair = self._pairs[legs] = _Pair(legs)
            self._link(pair)
            if pair.link is None:
                self._later(SETUP_SECONDS, lambda: self._give_up(pair))
        if (source, sink) not in pair.wanted:
            pair.wanted.add((source, sink))
            if (link := pair.link) is not None:
                for end in (end for end in link.ends if end.up):
                    self._connect(link, end, source, sink)

    def end_leg(self, leg: str) -> None:
        """Take note that a leg is over."""
        for pair in [pair for pair in self._pairs.values() if leg in pair.legs]:
            del self._pairs[pair.legs]
            if pair.link is not None:
                self._links.close(pair.link)

    def give_away(self, leg: str, other: str) -> Link[CarrierT] | None:
        """Join two legs no more; give their link, which is whoever's takes it, or None when there is none."""
        pair = self._pairs.pop(frozenset((leg, other)), None)
        return None if pair is None else pair.link

    def retry(self) -> None:
        """Try those again for which there was no slot."""
        for pair in list(self._pairs.values()):
            if pair.link is None:
                self._link(pair)

    def link_up(self, link: Link[CarrierT], end: LinkEnd[CarrierT]) -> None:
        """Connect one end with its leg (`LinkOwner`)."""
        pair = self._pair_of(link)
        for source, sink in pair.wanted if pair is not None else ():
            self._connect(link, end, source, sink)

    def link_ended(self, link: Link[CarrierT], reason: str) -> None:
        """Tell that the legs do not hear each other (`LinkOwner`)."""
        pair = self._pair_of(link)
        if pair is not None:
            self._drop(pair, reason)

    def link_over(self, link: Link[CarrierT]) -> None:
        """Do nothing: whoever waits for a slot is told by `retry` (`LinkOwner`)."""

    def _pair_of(self, link: Link[CarrierT]) -> _Pair[CarrierT] | None:
        return next((pair for pair in self._pairs.values() if pair.link is link), None)

    def _link(self, pair: _Pair[CarrierT]) -> None:
        one, other = (self._capacity.of_leg(leg) for leg in sorted(pair.legs))
        if one is not None and other is not None:
            pair.link = self._links.open((one[0], [one[1].family]), (other[0], [other[1].family]), self)

    def _give_up(self, pair: _Pair[CarrierT]) -> None:
        if pair.link is None:
            self._drop(pair, _NO_SLOT)

    def _drop(self, pair: _Pair[CarrierT], reason: str) -> None:
        if self._pairs.get(pair.legs) is pair:
            del self._pairs[pair.legs]
            if all(self._capacity.of_leg(leg) is not None for leg in pair.legs):
                self._failed(pair.legs, reason)

    def _connect(self, link: Link[CarrierT], end: LinkEnd[CarrierT], source: str, sink: str) -> None:
        here = self._capacity.of_leg(source)
        if here is not None and here[0] is end.worker:
            self._send(end.worker, PassAudio(source, link.uid))
        else:
            self._send(end.worker, PassAudio(link.uid, sink))
