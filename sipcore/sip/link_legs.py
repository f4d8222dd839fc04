"""What links are made of: a SIP call between two of our workers, on our own address (docs/adr/0009)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sipcore.domain.commands import HangUpLeg, LegPlan, PlaceLeg
from sipcore.domain.directory import SipHost
from sipcore.domain.events import LegEnded
from sipcore.sip import wire
from sipcore.sip.crew import PoolWorker
from sipcore.sip.journal import Dialog
from sipcore.sip.links import Link

_TERMINATED = 487


class SipLinks:
    """Makes links (`LinkTransport`).

    Args:
        address: our own.
        ended: told of an end for which no worker will tell it.
    """

    def __init__(self, address: str, ended: Callable[[PoolWorker, LegEnded], object]) -> None:
        self._address = address
        self._ended = ended
        self._to_place: dict[str, Link[PoolWorker]] = {}

    def make(self, link: Link[PoolWorker]) -> None:
        """Have one worker expect the call; once it does, the other places it."""
        self._to_place[link.uid] = link
        link.callee.worker.process.send(wire.ExpectLink(link.uid))

    def take_expected(self, uid: str) -> None:
        """Take note that the call is expected. Its Call-ID is what lets it in, and only the two workers know it."""
        link = self._to_place.pop(uid, None)
        if link is None:
            return
        caller, callee = ((self._address, end.worker.process.settings.sip_port) for end in link.ends)
        link.caller.worker.dialogs[uid] = Dialog(uid, caller, callee, "udp")
        link.callee.worker.dialogs[uid] = Dialog(uid, callee, caller, "udp", incoming=True)
        at = SipHost(self._address, callee[1])
        plan = LegPlan("link", at, None, f"<sip:link@{self._address}>")
        link.caller.worker.process.send(wire.PlaceLegAt(PlaceLeg(uid, plan), self._address))

    def release(self, link: Link[PoolWorker]) -> None:
        """End the call by BYE or CANCEL, or the wait for it."""
        if self._to_place.pop(link.uid, None) is not None:
            ended = LegEnded(link.uid, _TERMINATED, "not placed", "local")
            asyncio.get_running_loop().call_soon(self._ended, link.caller.worker, ended)
            link.callee.worker.process.send(HangUpLeg(link.uid))
            return
        left = [end for end in link.ends if not end.over]
        if all(end.up for end in left):
            # One BYE ends both; what did not come up has nobody to send one, perhaps.
            left = left[:1]
        for end in left:
            end.worker.process.send(HangUpLeg(link.uid))
