"""The software phone's own process: one pjsua2 endpoint, commands on standard input, events on standard output.

Every call into pjsua2 is made by the one thread that runs `PhoneProcess.run`; callbacks only note what happened. A
pjsua2 method on a call that has ended, or a call from an unregistered thread, would abort the process.
"""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from heapq import heappop, heappush
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pjsua2 as pj

if TYPE_CHECKING:
    from collections.abc import Callable

_TONE_LOOP = 1  # PJMEDIA_TONEGEN_LOOP
_BRIDGE_RATE = 16000  # carries G.722 whole
_LONGEST_TONE_MS = 30000  # the field is a signed 16-bit number
_GOODBYE_SECONDS = 0.4
_METHODS = {"rfc4733": pj.PJSUA_DTMF_METHOD_RFC2833, "info": pj.PJSUA_DTMF_METHOD_SIP_INFO}
_MEDIA_WORDS = {
    pj.PJSUA_CALL_MEDIA_NONE: "none",
    pj.PJSUA_CALL_MEDIA_ACTIVE: "active",
    pj.PJSUA_CALL_MEDIA_LOCAL_HOLD: "local_hold",
    pj.PJSUA_CALL_MEDIA_REMOTE_HOLD: "remote_hold",
    pj.PJSUA_CALL_MEDIA_ERROR: "error",
}


@dataclass(frozen=True)
class PhoneSettings:
    """What a phone is; see `testbed.phone.Phone` for the meaning of each."""

    extension: str
    port: int
    recordings: str
    host: str = "127.0.0.1"
    transport: str = "udp"
    tone_hz: float = 0.0
    greeting: str = ""
    behaviour: str = "answer"
    answer_after: float = 0.0
    reject_code: int = 486
    registrar: str = ""
    username: str = ""
    password: str = ""
    realm: str = "*"
    proxy: str = ""
    codec: str = ""
    register_seconds: int = 300
    log: str = ""

    @classmethod
    def from_json(cls, text: str) -> PhoneSettings:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """Return the settings as one line."""
        return json.dumps(asdict(self))


class _Call(pj.Call):  # type: ignore[misc]
    """One call; its callbacks report to the phone and never call back into pjsua2's call control."""

    def __init__(self, phone: PhoneProcess, account: pj.Account, number: int, call_id: int = -1) -> None:
        super().__init__(account, call_id)
        self.phone = phone
        self.number = number
        self.ended = False
        self.answered = False
        self.recorder: pj.AudioMediaRecorder | None = None
        self.greeting: pj.AudioMediaPlayer | None = None

    def onCallState(self, _: pj.OnCallStateParam) -> None:  # noqa: N802 - pjsua2 names its callbacks
        self.phone.call_changed(self)

    def onCallMediaState(self, _: pj.OnCallMediaStateParam) -> None:  # noqa: N802
        self.phone.media_changed(self)

    def onDtmfDigit(self, digit: pj.OnDtmfDigitParam) -> None:  # noqa: N802
        method = "info" if digit.method == pj.PJSUA_DTMF_METHOD_SIP_INFO else "rfc4733"
        self.phone.tell("digit", call=self.number, digit=digit.digit, method=method, ms=digit.duration)


class _Account(pj.Account):  # type: ignore[misc]
    """The phone's line."""

    def __init__(self, phone: PhoneProcess) -> None:
        super().__init__()
        self.phone = phone

    def onIncomingCall(self, incoming: pj.OnIncomingCallParam) -> None:  # noqa: N802
        self.phone.call_came_in(incoming.callId, incoming.rdata.wholeMsg)

    def onRegState(self, state: pj.OnRegStateParam) -> None:  # noqa: N802
        registered = state.code // 100 == 2 and state.expiration > 0
        self.phone.registration_changed(registered, state.code, state.expiration)


class PhoneProcess:
    """The phone: starts pjsua2, then serves events, commands and its own timers until its input closes."""

    def __init__(self, settings: PhoneSettings) -> None:
        self.settings = settings
        self.behaviour = settings.behaviour
        self.answer_after = settings.answer_after
        self.reject_code = settings.reject_code
        self._calls: dict[int, _Call] = {}
        self._numbers = count(1)
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_ids = count(1)
        self._commands: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._running = True
        self._registered = False
        # The library's own words at its start go to the standard output; from here on that is the log.
        self._events = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._endpoint = pj.Endpoint()
        self._start_endpoint()
        self._tone = self._make_tone()
        self._account = _Account(self)
        self._account.create(self._account_config())

    def run(self) -> None:
        """Serve until the input closes, then hang up, unregister and end."""
        self.tell("ready", port=self.settings.port, pid=os.getpid())
        threading.Thread(target=self._read_commands, daemon=True).start()
        while self._running:
            self._endpoint.libHandleEvents(10)
            self._run_timers()
            self._run_commands()
        self._say_goodbye()
        self._close()

    def tell(self, event: str, **fields: object) -> None:
        """Write one event."""
        line = json.dumps({"event": event, "time": time.time(), **fields})
        with suppress(BrokenPipeError):
            self._events.write(line + "\n")
            self._events.flush()

    # -- what pjsua2 reports

    def call_came_in(self, call_id: int, message: str) -> None:
        """Note an incoming INVITE and let the loop answer it: acting inside this callback is not safe."""
        call = _Call(self, self._account, next(self._numbers), call_id)
        self._calls[call.number] = call
        info = call.getInfo()
        self.tell(
            "incoming",
            call=call.number,
            call_id=info.callIdString,
            remote=info.remoteUri,
            local=info.localUri,
            message=message,
        )
        self._after(0, lambda: self._behave(call))

    def registration_changed(self, registered: bool, code: int, expires: int) -> None:
        """Report the registrar's answer."""
        self._registered = registered
        self.tell("registered" if registered else "not_registered", code=code, expires=expires)

    def call_changed(self, call: _Call) -> None:
        """Report a call's new state, and let go of a call that has ended."""
        info = call.getInfo()
        if info.state == pj.PJSIP_INV_STATE_EARLY and info.role == pj.PJSIP_ROLE_UAC:
            self.tell("ringing", call=call.number, code=info.lastStatusCode)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            call.answered = True
            self.tell("answered", call=call.number)
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            call.ended = True
            self.tell("ended", call=call.number, code=info.lastStatusCode, reason=info.lastReason)
            # Freed by the loop: this callback still runs on the object.
            self._after(0, lambda: self._forget(call))

    def media_changed(self, call: _Call) -> None:
        """Join a call's audio to our tone and its recorder whenever its stream was made anew."""
        # Held in a variable: the list of media lives inside it, and dies with it.
        info = call.getInfo()
        for index, media in enumerate(info.media):
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            word = _MEDIA_WORDS.get(media.status, str(media.status))
            self.tell("media", call=call.number, status=word)
            if media.status in (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD):
                audio = call.getAudioMedia(index)
                if call.recorder is None:
                    call.recorder = self._make_recorder(call.number)
                audio.startTransmit(call.recorder)
                if self._tone is not None and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                    self._tone.startTransmit(audio)
                if self.settings.greeting and call.greeting is None:
                    call.greeting = pj.AudioMediaPlayer()
                    call.greeting.createPlayer(self.settings.greeting, pj.PJMEDIA_FILE_NO_LOOP)
                    call.greeting.startTransmit(audio)
                return

    # -- commands

    def do_call(self, uri: str) -> dict[str, object]:
        """Place a call."""
        call = _Call(self, self._account, next(self._numbers))
        self._calls[call.number] = call
        # Our own Call-ID: a call that is refused at once has ended before makeCall returns, and cannot be asked for it.
        operation, call_id = pj.CallOpParam(True), uuid4().hex
        operation.opt.customCallId = call_id
        try:
            call.makeCall(uri, operation)
        except pj.Error:
            call.ended = True
            self._forget(call)
            raise
        return {"call": call.number, "call_id": call_id}

    def do_answer(self, call: int | None = None, code: int = 200) -> None:
        """Send a response to calls that came in and were not answered."""
        for each in self._chosen(call):
            self._respond(each, code)

    def do_hang_up(self, call: int | None = None, code: int = 0) -> None:
        """End calls: BYE, CANCEL or a final response, as the call's state asks for."""
        for each in self._chosen(call):
            operation = pj.CallOpParam()
            operation.statusCode = code
            each.hangup(operation)

    def do_digits(self, digits: str, method: str = "rfc4733", call: int | None = None) -> None:
        """Send digits."""
        for each in self._chosen(call):
            order = pj.CallSendDtmfParam()
            order.digits, order.method, order.duration = digits, _METHODS[method], 160
            each.sendDtmf(order)

    def do_hold(self, call: int | None = None) -> None:
        """Put calls on hold by a re-INVITE."""
        for each in self._chosen(call):
            each.setHold(pj.CallOpParam(True))

    def do_unhold(self, call: int | None = None) -> None:
        """Take calls from hold by a re-INVITE."""
        for each in self._chosen(call):
            operation = pj.CallOpParam(True)
            operation.opt.flag = pj.PJSUA_CALL_UNHOLD
            each.reinvite(operation)

    def do_behave(self, behaviour: str, answer_after: float, reject_code: int) -> None:
        """Change what happens to the next incoming calls."""
        self.behaviour, self.answer_after, self.reject_code = behaviour, answer_after, reject_code

    def do_register(self, renew: bool = True) -> None:
        """Register now, or with `renew` false unregister."""
        self._account.setRegistration(renew)

    # -- the inside

    def _start_endpoint(self) -> None:
        endpoint, config = self._endpoint, pj.EpConfig()
        endpoint.libCreate()
        config.uaConfig.threadCnt = 0
        config.uaConfig.userAgent = "testbed-phone"
        # The media sockets are polled by our own loop too, so that no second thread ever enters Python.
        config.medConfig.hasIoqueue = False
        config.medConfig.clockRate = config.medConfig.sndClockRate = _BRIDGE_RATE
        # The null device otherwise stops after a second without a connection, and media with it.
        config.medConfig.sndAutoCloseTime = -1
        config.medConfig.ecTailLen = 0
        config.medConfig.noVad = True
        config.logConfig.consoleLevel = 0
        config.logConfig.level = 5 if self.settings.log else 0
        config.logConfig.filename = self.settings.log
        endpoint.libInit(config)
        transport = pj.TransportConfig()
        transport.port, transport.boundAddress = self.settings.port, self.settings.host
        kind = pj.PJSIP_TRANSPORT_TCP if self.settings.transport == "tcp" else pj.PJSIP_TRANSPORT_UDP
        self._transport = endpoint.transportCreate(kind, transport)
        endpoint.libStart()
        endpoint.audDevManager().setNullDev()
        for codec in endpoint.codecEnum2():
            wanted = self.settings.codec or "PCM"
            chosen = codec.codecId.upper().startswith(wanted.upper())
            if not chosen and (self.settings.codec or codec.codecId.startswith("speex")):
                endpoint.codecSetPriority(codec.codecId, 0)
            elif chosen:
                endpoint.codecSetPriority(codec.codecId, 250)

    def _account_config(self) -> pj.AccountConfig:
        settings, config = self.settings, pj.AccountConfig()
        where = settings.registrar.removeprefix("sip:") or f"{settings.host}:{settings.port}"
        config.idUri = f"sip:{settings.extension}@{where.partition(';')[0]}"
        if settings.registrar:
            config.regConfig.registrarUri = settings.registrar
            config.regConfig.timeoutSec = settings.register_seconds
            config.regConfig.retryIntervalSec = 1
        if settings.password:
            name = settings.username or settings.extension
            config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", settings.realm, name, 0, settings.password))
        if settings.proxy:
            config.sipConfig.proxies.append(settings.proxy)
        config.sipConfig.transportId = self._transport
        config.mediaConfig.transportConfig.boundAddress = settings.host
        config.mediaConfig.transportConfig.port = settings.port + 2 - settings.port % 2
        config.natConfig.contactRewriteUse = config.natConfig.viaRewriteUse = 0
        config.natConfig.iceEnabled = config.natConfig.sdpNatRewriteUse = False
        return config

    def _make_tone(self) -> pj.ToneGenerator | None:
        if not self.settings.tone_hz:
            return None
        tone, note = pj.ToneGenerator(), pj.ToneDesc()
        tone.createToneGenerator(_BRIDGE_RATE, 1)
        note.freq1, note.freq2 = round(self.settings.tone_hz), 0
        note.on_msec, note.off_msec, note.volume = _LONGEST_TONE_MS, 0, 0
        notes = pj.ToneDescVector()
        notes.append(note)
        tone.play(notes, loop=True)
        return tone

    def _make_recorder(self, number: int) -> pj.AudioMediaRecorder:
        path = Path(self.settings.recordings) / f"call-{number}.wav"
        recorder = pj.AudioMediaRecorder()
        recorder.createRecorder(str(path))
        self.tell("recording", call=number, path=str(path))
        return recorder

    def _behave(self, call: _Call) -> None:
        if call.ended:
            return
        if self.behaviour == "reject":
            self._respond(call, self.reject_code)
            return
        self._respond(call, 183 if self.behaviour == "early_media" else 180)
        if self.behaviour != "ring":
            self._after(self.answer_after, lambda: self._respond(call, 200))

    def _respond(self, call: _Call, code: int) -> None:
        if call.ended or call.answered:
            return
        operation = pj.CallOpParam(True)
        operation.statusCode = code
        try:
            call.answer(operation)
        except pj.Error:
            # Cancelled just now, which the call's end will tell.
            if call.isActive():
                raise

    def _chosen(self, number: int | None) -> list[_Call]:
        found = [c for c in self._calls.values() if not c.ended and number in (None, c.number)]
        if not found:
            raise ValueError("no such call" if number else "no call")
        return found

    def _forget(self, call: _Call) -> None:
        # Closing the recorder completes its file's header.
        call.recorder = None
        call.greeting = None
        self._calls.pop(call.number, None)
        if any(other.getId() == call.getId() for other in self._calls.values() if not other.ended):
            # Deleting a pj.Call hangs up whatever call has its number by now: this one is left to the library.
            call.this.disown()

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        heappush(self._timers, (time.monotonic() + seconds, next(self._timer_ids), action))

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            heappop(self._timers)[2]()

    def _read_commands(self) -> None:
        for line in sys.stdin:
            self._commands.put(line)
        self._commands.put(None)

    def _run_commands(self) -> None:
        while not self._commands.empty():
            line = self._commands.get()
            if line is None:
                self._running = False
                return
            self._run_command(json.loads(line))

    def _run_command(self, order: dict[str, Any]) -> None:
        name, order_id = order.pop("command"), order.pop("id", None)
        try:
            result = getattr(self, f"do_{name}")(**order) or {}
        except pj.Error as error:
            self.tell("failed", id=order_id, error=error.info(False))
        except (AttributeError, TypeError, ValueError) as error:
            self.tell("failed", id=order_id, error=str(error))
        else:
            self.tell("done", id=order_id, **result)

    def _say_goodbye(self) -> None:
        """Hang up and unregister, and give the answers a moment; a far end that is gone must not hold us up."""
        self._endpoint.hangupAllCalls()
        if self._registered:
            self._account.setRegistration(False)
        deadline = time.monotonic() + _GOODBYE_SECONDS
        while (self._calls or self._registered) and time.monotonic() < deadline:
            self._endpoint.libHandleEvents(10)
            self._run_timers()

    def _close(self) -> None:
        # Everything that lives in the library goes before the library, in this order; what is left to the garbage
        # collector after libDestroy aborts the process.
        for call in list(self._calls.values()):
            call.ended = True
            self._forget(call)
        self._tone = None
        self._account.shutdown()
        # Without these flags libDestroy waits a whole second for stragglers.
        self._endpoint.libDestroy(pj.PJSUA_DESTROY_NO_NETWORK)
