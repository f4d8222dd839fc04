"""The user agent: carries out commands, one after the other, and reports events. It holds no policy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pjsua2 as pj

from sipcore.domain.commands import (
    AnswerLeg,
    BridgeLegs,
    EchoLeg,
    HangUpLeg,
    JoinRoom,
    LeaveRoom,
    ListenForSpeech,
    PassAudio,
    PlayAudio,
    PlayTone,
    SendDigit,
    StartRecording,
    StopListening,
    StopPlaying,
    StopRecording,
)
from sipcore.domain.events import LegEnded
from sipcore.sip.firewall import ConnectionGuard, protect_ports, source_filter
from sipcore.sip.user_agent import library
from sipcore.sip.user_agent.accounts import Accounts
from sipcore.sip.user_agent.admission import Admission
from sipcore.sip.user_agent.incoming import IncomingLeg, Offer
from sipcore.sip.user_agent.ladders import Ladders
from sipcore.sip.user_agent.later import Later
from sipcore.sip.user_agent.leg import Leg
from sipcore.sip.user_agent.mixer import Mixer
from sipcore.sip.user_agent.outgoing import OutgoingLeg
from sipcore.sip.user_agent.playing import Playing
from sipcore.sip.user_agent.taking import Listening, Recordings
from sipcore.sip.wire import (
    AllowIncoming,
    AllowPeers,
    CommandFailed,
    DialogNoted,
    DropTrunk,
    ExpectLink,
    FromWorker,
    LegOffered,
    LinkExpected,
    PlaceLegAt,
    Register,
    RegistrationAnswered,
    ToWorker,
    UseTrunk,
    WorkerSettings,
)

_FORBIDDEN = 403
_REQUEST_TERMINATED = 487
_SERVICE_UNAVAILABLE = 503
_NO_CALL = pj.PJSUA_INVALID_ID


class UserAgent:
    """A pjsua2 endpoint with its accounts, legs and bridge.

    The object of an ended leg must be gone before another call can get its number of the library, because deleting a
    `pj.Call` hangs up whatever call has its number then: so nothing but `_legs`, and `_over` until the next command,
    keeps a leg; all else knows it by its UniqueID.

    Args:
        settings: what the worker was started with.
        send: takes every event.

    Attributes:
        later: what waits for `serve`; its descriptor tells when.

    Raises:
        pj.Error: the SIP port is in use, or the address is not ours.
    """

    def __init__(self, settings: WorkerSettings, send: Callable[[FromWorker], None]) -> None:
        self._settings = settings
        self._send = send
        self._endpoint = library.create_endpoint(settings.address, settings.sip_port)
        self._legs: dict[str, Leg] = {}
        self._refused: set[Leg] = set()
        self._offers = 0
        self._over: list[Leg] = []
        self._ending: dict[str, tuple[int, LegEnded]] = {}
        self._untidy = False
        self._to_protect: dict[str, Leg] = {}
        self._has_tcp = False
        self._guard = ConnectionGuard()
        self._peers = frozenset(settings.peers)
        self._placed_to: set[str] = set()
        self.later = Later()
        self._admission = Admission(self._is_known)
        self._ladders = Ladders(send)
        self._accounts = Accounts(settings, send, self._take_incoming, self._account_in_use)
        self._mixer = Mixer(self._endpoint)
        self._playing = Playing(self._legs, self._mixer, self.later, send)
        self._recordings = Recordings(settings.recordings, self._mixer, send)
        self._listening = Listening(self._mixer, self.later, send)
        self._leg_actions = self._leg_table()
        self._actions: dict[type, Callable[[Any], None]] = {
            PlaceLegAt: self._place,
            UseTrunk: self._use_trunk,
            Register: lambda message: self._register(message.trunk),
            DropTrunk: lambda message: self._accounts.drop(message.trunk),
            AllowPeers: self._allow_peers,
            AllowIncoming: self._allow_incoming,
            ExpectLink: self._expect_link,
        }
        self._protect_signalling()

    def _leg_table(self) -> dict[type, Callable[[Any, Any], None]]:
        """Tell what is done about a command to a leg that is there."""
        return {
            AnswerLeg: _answer,
            HangUpLeg: lambda leg, command: self._hang_up(leg, command.reason),
            SendDigit: lambda leg, command: leg.send_digit(command.digit, command.duration_ms),
            BridgeLegs: self._bridge,
            PassAudio: self._pass_audio,
            JoinRoom: lambda leg, command: self._mixer.enter(command.room, leg),
            LeaveRoom: lambda leg, _command: self._mixer.leave(leg),
            PlayTone: self._playing.play_tone,
            PlayAudio: self._playing.play_files,
            EchoLeg: self._playing.echo,
            StopPlaying: self._playing.stop,
            StartRecording: self._recordings.start,
            StopRecording: self._recordings.stop,
            ListenForSpeech: self._listening.start,
            StopListening: self._listening.stop,
        }

    @property
    def busy(self) -> bool:
        """True while a leg exists or is being released, or a binding is being taken back."""
        return bool(self._legs or self._ending) or self._mixer.busy or self._accounts.unregistering

    @property
    def has_tcp(self) -> bool:
        """True once SIP over TCP was needed; its connections come and go."""
        return self._has_tcp

    def execute(self, message: ToWorker) -> None:
        """Carry out one message of the parent; a leg that is already over is passed over in silence."""
        leg_action = self._leg_actions.get(type(message))
        uid: str = getattr(message, "leg", "")
        try:
            if leg_action is None:
                self._actions[type(message)](message)
            elif uid in self._legs:
                leg_action(self._legs[uid], message)
            elif isinstance(message, HangUpLeg):
                self._forget_link(uid)
        except pj.Error as error:
            self._send(CommandFailed(type(message).__name__, uid, error.reason))
        self._bury()

    def _bridge(self, leg: Leg, command: BridgeLegs) -> None:
        if command.other in self._legs:
            self._mixer.join(leg, self._legs[command.other])

    def _pass_audio(self, leg: Leg, command: PassAudio) -> None:
        if command.sink in self._legs:
            self._mixer.connect(leg, self._legs[command.sink])

    def _hang_up(self, leg: Leg, reason: str = "") -> None:
        try:
            leg.release(reason)
        except pj.Error as error:
            # The library knows no such call any more: what is left of it here must not keep its slot.
            leg.alive = False
            self.ended(leg, LegEnded(leg.uid, _SERVICE_UNAVAILABLE, error.reason, "network"))

    def _bury(self) -> None:
        """Delete the objects of ended legs."""
        self._over.clear()

    @property
    def untidy(self) -> bool:
        """True when `tidy` has something to do."""
        return self._untidy or self._recordings.closing

    def serve(self) -> None:
        """Let PJSIP read what has arrived and run the timers that are due, then do what callbacks may not."""
        while self._endpoint.libHandleEvents(0) > 0:
            if self._has_tcp:
                # A connection that was accepted just now is read in the next round at the earliest.
                self._guard.check()
        self.later.run()
        self._bury()
        if self._recordings.closing:
            self._recordings.report_closed()
        self._report_ends()
        if self._mixer.drop_retired():
            self._untidy = True

    def tidy(self) -> None:
        """Do what a change of legs asks for, and what may wait some milliseconds for the next leg's INVITE."""
        self._untidy = False
        has_media = any(leg.audio is not None for leg in self._legs.values())
        self._mixer.run_clock(needed=has_media or self._recordings.closing)
        for leg in self._to_protect.values():
            self._protect_media(leg)
        self._to_protect.clear()
        self._ladders.tell()
        if not self._legs:
            self._accounts.forget_replaced()

    def hang_up_all(self) -> None:
        """Release every leg and every registration, and let nothing in any more.

        Whoever called and was not answered yet is told that it may try elsewhere: an edge then tries another node.
        """
        self._admission.close()
        for leg in list(self._legs.values()):
            if isinstance(leg, IncomingLeg):
                self._refuse(leg, _SERVICE_UNAVAILABLE)
            self._hang_up(leg)
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

    def release_later(self, leg: str, reason: str) -> None:
        """Hang a leg up from outside of the callback (`LegHost`)."""
        self.later.add(partial(self.execute, HangUpLeg(leg, reason)))

    def ended(self, leg: Leg, event: LegEnded) -> None:
        """Drop an ended leg (`LegHost`); its object must outlive the callback that runs in it."""
        self._untidy = True
        self._over.append(leg)
        self._admission.note_end(leg.call_id)
        if leg in self._refused:
            self._refused.discard(leg)
            return
        self._to_protect.pop(leg.uid, None)
        self._playing.stop(leg)
        self._listening.stop(leg)
        self._recordings.stop_all(leg)
        self._mixer.remove(leg)
        self._legs.pop(leg.uid, None)
        # One that we hung up keeps its slot until the far end has answered that, or never will.
        self._ending[leg.uid] = leg.call_id if event.ended_by == "local" else _NO_CALL, event
        self._report_ends()

    def _report_ends(self) -> None:
        """Tell the end of the legs whose slots are free and whose recordings are whole."""
        if not self._ending:
            return
        still_open = library.open_call_ids()
        for uid, (call_id, event) in list(self._ending.items()):
            if call_id not in still_open and not self._recordings.closing_of(uid):
                del self._ending[uid]
                self._ladders.end(uid)
                self._send(event)

    def _use_trunk(self, message: UseTrunk) -> None:
        self._admit(message.proxy_address, message.registrar_address)
        self._accounts.use(message)

    def _allow_peers(self, message: AllowPeers) -> None:
        self._peers = frozenset(message.peers)
        self._protect_signalling()

    def _allow_incoming(self, message: AllowIncoming) -> None:
        self._admission.legs = message.legs
        self._admission.undecided = self._offers - message.offers

    def _expect_link(self, message: ExpectLink) -> None:
        self._admission.links.add(message.leg)
        self._send(LinkExpected(message.leg))

    def _forget_link(self, uid: str) -> None:
        if uid in self._admission.links:
            self._admission.links.discard(uid)
            self._send(LegEnded(uid, _REQUEST_TERMINATED, "its INVITE never came", "local"))

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
        self._admission.forget_ended()
        leg = OutgoingLeg(account, command, message.address, self)
        self._legs[leg.uid] = leg
        self._ladders.begin(leg.uid)
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

    def _take_incoming(self, account: Any, prm: Any) -> None:
        """Make a leg of a call that comes in; one without an object when this returns is answered with 500."""
        offer = Offer.of(prm)
        leg = IncomingLeg(account, offer, self, prm.callId)
        is_link = offer.call_id in self._admission.links
        self._admission.note_incoming(prm.callId, link=is_link)
        if is_link:
            self._take_link(leg, offer)
        elif account.serves(offer.address):
            self._legs[leg.uid] = leg
            self._ladders.begin(leg.uid)
            self._offers += 1
            self._admission.undecided += 1
            self._send(LegOffered(leg.uid, *offer.parties, offer.address, offer.port))
            self._send(DialogNoted(leg.uid, offer.text))
        else:
            self._refused.add(leg)
            # Done inside the callback it would abort the process.
            self.later.add(partial(self._refuse, leg, _FORBIDDEN))

    def _take_link(self, leg: IncomingLeg, offer: Offer) -> None:
        self._admission.links.discard(leg.uid)
        self._legs[leg.uid] = leg
        self._send(DialogNoted(leg.uid, offer.text))
        self.later.add(partial(self.execute, AnswerLeg(leg.uid)))

    def _refuse(self, leg: IncomingLeg, sip_code: int) -> None:
        try:
            leg.answer_with(sip_code)
        except pj.Error:
            # It is over already, which its own end tells as well.
            return

    def _is_known(self, uid: str) -> bool:
        return uid in self._legs or uid in self._ending

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


def _answer(leg: Leg, command: AnswerLeg) -> None:
    if isinstance(leg, IncomingLeg):
        leg.answer_with(command.sip_code)
