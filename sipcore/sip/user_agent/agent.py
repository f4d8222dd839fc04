"""The user agent: carries out commands, one after the other, and reports events. It holds no policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pjsua2 as pj

from sipcore.domain.commands import (
    BridgeLegs,
    HangUpLeg,
    PassAudio,
    PlayTone,
    SendDigit,
    StopPlaying,
)
from sipcore.domain.events import LegEnded
from sipcore.sip.firewall import ConnectionGuard, protect_ports, source_filter
from sipcore.sip.user_agent import library
from sipcore.sip.user_agent.accounts import Accounts
from sipcore.sip.user_agent.leg import Leg
from sipcore.sip.user_agent.mixer import Mixer
from sipcore.sip.wire import (
    AllowPeers,
    CommandFailed,
    DropTrunk,
    FromWorker,
    PlaceLegAt,
    Register,
    RegistrationAnswered,
    ToWorker,
    UseTrunk,
    WorkerSettings,
)

_SERVICE_UNAVAILABLE = 503
_NOT_FOUND = 404


class UserAgent:
    """A pjsua2 endpoint with its accounts, legs and bridge.

    Args:
        settings: what the worker was started with.
        send: takes every event.

    Raises:
        pj.Error: the SIP port is in use, or the address is not ours.
    """

    def __init__(self, settings: WorkerSettings, send: Callable[[FromWorker], None]) -> None:
        self._settings = settings
        self._send = send
        self._endpoint = library.create_endpoint(settings.address, settings.sip_port)
        self._legs: dict[str, Leg] = {}
        self._incoming: list[Any] = []
        self._untidy = False
        self._to_protect: dict[str, Leg] = {}
        self._over: list[Leg] = []
        self._releasing: dict[int, LegEnded] = {}
        self._has_tcp = False
        self._guard = ConnectionGuard()
        self._peers = frozenset(settings.peers)
        self._placed_to: set[str] = set()
        self._accounts = Accounts(settings, send, self._note_incoming, self._account_in_use)
        self._mixer = Mixer(self._endpoint)
        self._protect_signalling()

    @property
    def busy(self) -> bool:
        """True while a leg exists or is being released, or a binding is being taken back."""
        return bool(self._legs or self._releasing) or self._accounts.unregistering

    @property
    def has_tcp(self) -> bool:
        """True once SIP over TCP was needed; its connections come and go."""
        return self._has_tcp

    def execute(self, message: ToWorker) -> None:
        """Carry out one message of the parent; a leg that is already over is passed over in silence."""
        try:
            self._execute(message)
        except pj.Error as error:
            self._send(CommandFailed(type(message).__name__, getattr(message, "leg", ""), error.reason))
        self._bury()

    def _execute(self, message: ToWorker) -> None:
        if isinstance(message, PlaceLegAt):
            self._place(message)
        elif isinstance(message, HangUpLeg):
            self._hang_up(message.leg)
        elif isinstance(message, BridgeLegs):
            self._mixer.bridge(message.leg, message.other)
        elif isinstance(message, PassAudio):
            self._mixer.listen(message.leg, message.sink)
        elif isinstance(message, PlayTone):
            self._mixer.play_tone(message.leg, message.tone)
        elif isinstance(message, StopPlaying):
            self._mixer.stop_tone(message.leg)
        elif isinstance(message, SendDigit):
            if message.leg in self._legs:
                self._legs[message.leg].send_digit(message.digit, message.duration_ms)
        else:
            self._configure(message)

    def _hang_up(self, uid: str) -> None:
        leg = self._legs.get(uid)
        if leg is None:
            return
        try:
            leg.release()
        except pj.Error as error:
            # The library knows no such call any more: what is left of it here must not keep its slot.
            leg.alive = False
            self.ended(leg, LegEnded(uid, _SERVICE_UNAVAILABLE, error.reason, "network"))

    def _bury(self) -> None:
        """Delete the objects of ended legs, before a new leg can get the same call number of the library.

        Deleting a `pj.Call` hangs up whatever call has its number then.
        """
        self._over.clear()

    @property
    def untidy(self) -> bool:
        """True when `tidy` has something to do."""
        return self._untidy

    def serve(self) -> None:
        """Let PJSIP read what has arrived and run the timers that are due, then do what callbacks may not."""
        while self._endpoint.libHandleEvents(0) > 0:
            if self._has_tcp:
                # A connection that was accepted just now is read in the next round at the earliest.
                self._guard.check()
        for call in self._incoming:
            self._refuse(call)
        self._incoming.clear()
        self._bury()
        self._report_released()

    def tidy(self) -> None:
        """Do what a change of legs asks for, and what may wait some milliseconds for the next leg's INVITE."""
        self._untidy = False
        self._mixer.run_clock_as_needed()
        for leg in self._to_protect.values():
            self._protect_media(leg)
        self._to_protect.clear()
        if not self._legs:
            self._accounts.forget_replaced()

    def hang_up_all(self) -> None:
        """Release every leg and every registration."""
        for uid in list(self._legs):
            self._hang_up(uid)
        self._accounts.unregister_all()

    def report(self, message: FromWorker) -> None:
        """Take an event of a leg (`LegHost`)."""
        self._send(message)

    def media_changed(self, leg: Leg) -> None:
        """Connect a leg anew (`LegHost`)."""
        self._untidy = True
        self._mixer.renew(leg)
        if leg.audio is not None:
            self._to_protect[leg.uid] = leg

    def ended(self, leg: Leg, event: LegEnded) -> None:
        """Drop an ended leg (`LegHost`); its object must outlive the callback that runs in it."""
        self._untidy = True
        self._to_protect.pop(leg.uid, None)
        self._mixer.remove(leg)
        self._legs.pop(leg.uid, None)
        self._over.append(leg)
        if event.ended_by == "local":
            self._releasing[leg.call_id] = event
        else:
            self._send(event)

    def _report_released(self) -> None:
        """Tell the end of the legs that we hung up and whose far end has answered, or never will."""
        if self._releasing:
            still_open = library.open_call_ids()
            for call_id in [call_id for call_id in self._releasing if call_id not in still_open]:
                self._send(self._releasing.pop(call_id))

    def _configure(self, message: UseTrunk | Register | AllowPeers | Any) -> None:
        if isinstance(message, UseTrunk):
            self._admit(message.proxy_address, message.registrar_address)
            self._accounts.use(message)
        elif isinstance(message, Register):
            self._register(message.trunk)
        elif isinstance(message, DropTrunk):
            self._accounts.drop(message.trunk)
        elif isinstance(message, AllowPeers):
            self._peers = frozenset(message.peers)
            self._protect_signalling()

    def _register(self, trunk: str) -> None:
        try:
            if self._accounts.transport_of(trunk) == "tcp":
                self._open_tcp()
            self._accounts.register(trunk)
        except pj.Error as error:
            self._send(RegistrationAnswered(trunk, _SERVICE_UNAVAILABLE, error.reason, 0))

    def _place(self, message: PlaceLegAt) -> None:
        command = message.command
        try:
            if command.plan.at.transport == "tcp":
                self._open_tcp()
            self._admit(message.address)
            if message.trunk is not None:
                self._accounts.use(UseTrunk(message.trunk, message.address))
            account = self._accounts.of(command.plan.trunk)
        except pj.Error as error:
            self._send(LegEnded(command.leg, _SERVICE_UNAVAILABLE, error.reason, "network"))
            return
        leg = Leg(account, command, message.address, self)
        self._legs[leg.uid] = leg
        self._mixer.add(leg)
        try:
            leg.place()
        except pj.Error as error:
            # makeCall may have ended the leg already, through its state callback.
            if leg.alive:
                leg.alive = False
                self.ended(leg, LegEnded(leg.uid, _SERVICE_UNAVAILABLE, error.reason, "network"))

    def _open_tcp(self) -> None:
        if not self._has_tcp:
            settings = self._settings
            library.create_transport(self._endpoint, pj.PJSIP_TRANSPORT_TCP, settings.address, settings.sip_port)
            self._has_tcp = True

    def _note_incoming(self, account: Any, call_id: int) -> None:
        # A call that has no object of its own when the callback returns is answered by pjsua2, with 500.
        self._incoming.append(pj.Call(account, call_id))

    def _refuse(self, call: Any) -> None:
        """Answer an INVITE to which no route leads; done here because pjsua2 aborts when it is done in the callback."""
        parameters = pj.CallOpParam()
        parameters.statusCode = _NOT_FOUND
        if call.isActive():
            call.hangup(parameters)

    def _account_in_use(self, account_id: int) -> bool:
        return any(leg.account_id == account_id for leg in self._legs.values())

    def _admit(self, *addresses: str | None) -> None:
        """Let the hosts that we call ourselves answer."""
        new = {address for address in addresses if address is not None} - self._placed_to
        if new:
            self._placed_to |= new
            self._protect_signalling()

    def _protect_signalling(self) -> None:
        admitted = self._peers | self._placed_to | {self._settings.address}
        self._guard.allow(admitted)
        protect_ports([self._settings.sip_port], source_filter(admitted))

    def _protect_media(self, leg: Leg) -> None:
        """Let RTP come only from where the far end said it would, so that nobody can take over a silent stream."""
        if not leg.alive or leg.audio is None:
            return
        try:
            port, addresses = leg.remote_media_addresses()
        except pj.Error:
            # The stream ended after it was noted; a new one would be noted again.
            return
        protect_ports([port, port + 1], source_filter(addresses))
