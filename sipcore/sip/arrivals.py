"""Calls that come in: which worker may take how many, and whose they are."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from sipcore.domain.commands import AnswerLeg
from sipcore.domain.directory import Directory, Trunk
from sipcore.domain.edge import extension_of
from sipcore.domain.events import LegArrived
from sipcore.sip import wire
from sipcore.sip.capacity import Capacity
from sipcore.sip.crew import PoolWorker
from sipcore.sip.journal import Dialog
from sipcore.sip.resolver import Resolver

_FORBIDDEN = 403
_MERGED = 482
_UNAVAILABLE = 503
_NOT_WANTED = -1
_NOTHING_SAID = wire.AllowIncoming(_NOT_WANTED, 0)
_LEG_AND_ITS_PARTNER = 2


@dataclass(slots=True)
class _Share:
    """What one worker has offered and taken, and what it was told last."""

    legs: set[str] = field(default_factory=set)
    offers: int = 0
    told: wire.AllowIncoming = _NOTHING_SAID


class Arrivals:
    """Lets calls in as slots are free, and reserves for each its own slot and one beside it.

    Args:
        address: our own.
        capacity: the workers' slots.
        arrived: told of each call that came in.
    """

    def __init__(self, address: str, capacity: Capacity[PoolWorker], arrived: Callable[[LegArrived], None]) -> None:
        self._address = address
        self._capacity = capacity
        self._arrived = arrived
        self._wanted = False
        self._peers: tuple[ipaddress.IPv4Network, ...] = ()
        self._trunks: tuple[tuple[str, int, Trunk], ...] = ()
        self._edge: str | None = None
        self._behind_edge: Mapping[str, Trunk] = {}
        self._shares: dict[int, _Share] = {}

    def configure(self, directory: Directory, resolver: Resolver, peers: Iterable[str]) -> None:
        """Take over who sends calls, and whether any number is routed; names are looked up before.

        Args:
            directory: trunks and routes.
            resolver: knows the trunks' addresses.
            peers: addresses and networks that calls may come from.
        """
        self._peers = tuple(ipaddress.IPv4Network(peer, strict=False) for peer in peers)
        routes = any(organisation.inbound.routes for organisation in directory.organisations.values())
        self._wanted = routes or directory.edge is not None
        self._edge = None if directory.edge is None else resolver.known(directory.edge.host)
        self._behind_edge = directory.trunks if self._edge is not None else {}
        self._trunks = tuple(
            (address, at.port, trunk)
            for trunk in directory.trunks.values()
            for at in (trunk.proxy, trunk.registrar)
            if at is not None and (address := resolver.known(at.host)) is not None
        )
        for worker in self._capacity.workers.values():
            self.update(worker)

    def update(self, worker: PoolWorker) -> None:
        """Tell a worker how many calls it may hold, where that has changed."""
        share = self._shares.setdefault(worker.number, _Share())
        if not self._wanted and share.told is _NOTHING_SAID:
            return
        allowed = len(share.legs) + worker.free if self._wanted else _NOT_WANTED
        message = wire.AllowIncoming(allowed, share.offers)
        if message != share.told:
            share.told = message
            worker.process.send(message)

    def take(self, worker: PoolWorker, offer: wire.LegOffered) -> None:
        """Reserve slots for a call that was let in, and tell of it, or refuse it."""
        share = self._shares.setdefault(worker.number, _Share())
        share.offers += 1
        refusal = self._refusal(worker, offer)
        if refusal:
            worker.process.send(AnswerLeg(offer.leg, refusal))
            self.update(worker)
            return
        source = (self._address, worker.process.settings.sip_port)
        worker.dialogs[offer.leg] = Dialog(offer.leg, source, (offer.source, offer.port), "udp", incoming=True)
        share.legs.add(offer.leg)
        slots = self._capacity.reserve(worker, min(worker.free, _LEG_AND_ITS_PARTNER))
        self._capacity.add_leg(slots, offer.leg)
        trunk, extension = self._origin_of(offer)
        # A registrar sends calls to the contact that was registered; whom they are for stands in To alone then.
        registered = trunk is not None and offer.number == trunk.username
        number = offer.to if registered or not offer.number else offer.number
        name = trunk.name if trunk else None
        self._arrived(LegArrived(offer.leg, number, offer.caller, name, slots, extension))

    def _refusal(self, worker: PoolWorker, offer: wire.LegOffered) -> int:
        """Tell the status with which a call is refused, or 0."""
        source = ipaddress.IPv4Address(offer.source)
        if not any(source in network for network in self._peers):
            # The worker also lets those in whom it has called, and this machine itself: they may answer, not call.
            return _FORBIDDEN
        if self._capacity.of_leg(offer.leg) is not None:
            # A proxy has sent a call of ours back to us, or one call to two workers (RFC 3261 section 8.2.2.2).
            return _MERGED
        return 0 if worker.free else _UNAVAILABLE

    def end_leg(self, worker: PoolWorker, leg: str) -> None:
        """Take note that a leg is over."""
        share = self._shares.get(worker.number)
        if share is not None and leg in share.legs:
            share.legs.discard(leg)
            self.update(worker)

    def lose(self, worker: PoolWorker) -> None:
        """Forget a worker that is gone."""
        self._shares.pop(worker.number, None)

    def _origin_of(self, offer: wire.LegOffered) -> tuple[Trunk | None, tuple[str, str] | None]:
        """Find the trunk that a call came from, or organisation and number of the phone that the edge let in."""
        if offer.source != self._edge:
            return self._trunk_of(offer), None
        kind, _, name = offer.origin.partition("=")
        if kind == "extension":
            return None, extension_of(name)
        return self._behind_edge.get(name), None

    def _trunk_of(self, offer: wire.LegOffered) -> Trunk | None:
        """Find the trunk that a call came from: by its host, and by its port where several trunks have one host."""
        same_host = [trunk for address, _, trunk in self._trunks if address == offer.source]
        same_port = [trunk for address, port, trunk in self._trunks if (address, port) == (offer.source, offer.port)]
        return _only(same_port) or _only(same_host)


def _only(trunks: Iterable[Trunk]) -> Trunk | None:
    distinct = {trunk.name: trunk for trunk in trunks}
    return next(iter(distinct.values())) if len(distinct) == 1 else None
