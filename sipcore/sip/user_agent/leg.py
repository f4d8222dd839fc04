"""One leg: a pjsua2 call that reports what happens on it."""

from __future__ import annotations

from typing import Any, Protocol

import pjsua2 as pj

from sipcore.domain.events import (
    DigitPressed,
    EndedBy,
    LegAnswered,
    LegEnded,
    LegEvent,
)
from sipcore.sip.user_agent.library import text_of
from sipcore.sip.user_agent.measuring import Measured
from sipcore.sip.user_agent.messages import q850_cause_of
from sipcore.sip.wire import DialogNoted

_DTMF_DIGITS = frozenset("0123456789*#ABCD")
_UNKNOWN_DURATION = 0xFFFFFFFF
"""PJSUA_UNKNOWN_DTMF_DURATION, which pjsua2 does not name. The wheel tells it for SIP INFO too, whatever it says."""
_MAX_DIGIT_MS = 5000
_DEFAULT_DIGIT_MS = 160
_NO_CALL = pj.PJSUA_INVALID_ID


class LegHost(Protocol):
    """What a leg needs of its user agent."""

    def report(self, message: LegEvent | DialogNoted) -> None:
        """Take what happened."""
        ...

    def media_changed(self, leg: Leg) -> None:
        """Renew the leg's connections in the conference bridge."""
        ...

    def release_later(self, leg: str, reason: str) -> None:
        """Release a leg after the callback that this is called in."""
        ...

    def ended(self, leg: Leg, event: LegEnded) -> None:
        """Take the leg's end; no method of it may be called any more."""
        ...


class Leg(pj.Call):
    """One call, whoever placed it.

    Attributes:
        uid: UniqueID, the Call-ID on the wire.
        account_id: pjsua2's number of its account.
        audio: its port in the conference bridge, or None while it has no media.
        call_id: pjsua2's own number of the call, known once it is hung up.
        alive: False once pjsua2 has ended the call: from then on any call into it would abort the process.
    """

    def __init__(self, account: Any, uid: str, address: str, host: LegHost, call_id: int = _NO_CALL) -> None:
        super().__init__(account, call_id)
        self.uid = uid
        self.account_id = account.getId()
        self.audio: Any = None
        self.alive = True
        self.call_id = call_id
        self._address = address
        self._host = host
        self._up = False
        self._hung_up = False
        self._released = False
        self._measured = Measured()

    def release(self, reason: str = "") -> None:
        """Send what ends the call in its state.

        Args:
            reason: value of a Reason header (RFC 3326) to send along, or empty.
        """
        if not self.alive or self._released:
            return
        self._hung_up = True
        parameters = pj.CallOpParam()
        if reason:
            parameters.txOption.headers.append(sip_header("Reason", reason))
        self._end(parameters)

    def _end(self, parameters: Any) -> None:
        self._released = True
        self.call_id = self.getId()
        self.hangup(parameters)

    def send_digit(self, digit: str, duration_ms: int) -> None:
        """Send one DTMF digit as an RFC 4733 event, or by SIP INFO when the far end did not offer events."""
        if not self.alive or self.audio is None:
            return
        parameters = pj.CallSendDtmfParam()
        parameters.digits = digit
        parameters.duration = duration_ms or _DEFAULT_DIGIT_MS
        parameters.method = pj.PJSUA_DTMF_METHOD_RFC2833
        try:
            self.sendDtmf(parameters)
        except pj.Error:
            parameters.method = pj.PJSUA_DTMF_METHOD_SIP_INFO
            self.sendDtmf(parameters)

    def onCallState(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Report answer and end, and keep the messages that make the dialog."""
        info = self.getInfo()
        text = message_of(prm.e)
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self._ended(info, prm.e, text)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self._up = True
            self._tell(LegAnswered(self.uid))
        elif info.state != pj.PJSIP_INV_STATE_INCOMING:
            self._note(text)
            self._advanced(info)

    def onCallMediaState(self, prm: Any) -> None:  # noqa: ARG002, N802 - pjsua2's shape
        """Take the audio port; it is a new one after each re-INVITE that changed the stream."""
        info = self.getInfo()
        active = [
            media
            for media in info.media
            if media.type == pj.PJMEDIA_TYPE_AUDIO
            and media.status in (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)
        ]
        self.audio = self.getAudioMedia(active[0].index) if active else None
        self._host.media_changed(self)

    def onStreamDestroyed(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Read how its audio was: the last moment at which the library can tell, whoever ends the call."""
        try:
            stat, info = self.getStreamStat(prm.streamIdx), self.getStreamInfo(prm.streamIdx)
        except pj.Error:
            # A stream that was never started.
            return
        self._measured.add(info, stat)

    def onDtmfDigit(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Report a digit, whether it came as RFC 4733 event or as SIP INFO."""
        digit = prm.digit.upper()
        if digit in _DTMF_DIGITS:
            told = prm.method == pj.PJSUA_DTMF_METHOD_SIP_INFO and prm.duration != _UNKNOWN_DURATION
            self._tell(DigitPressed(self.uid, digit, min(prm.duration, _MAX_DIGIT_MS) if told else 0))

    def onCallTransferRequest(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Refuse: a REFER would make this process dial what the far end names."""
        prm.statusCode = pj.PJSIP_SC_DECLINE

    def onCallReplaceRequest(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Refuse: an INVITE with Replaces would put somebody else into the call."""
        prm.statusCode = pj.PJSIP_SC_DECLINE

    # Nothing is wanted of these. Without them the library calls its own, which do nothing either, once more through the
    # binding, five times before each INVITE.

    def onCallMediaTransportState(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Let a transport be."""

    def onCallSdpCreated(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Leave the SDP as it is."""

    def onCreateMediaTransport(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Leave the transport as it is."""

    def remote_media_addresses(self) -> tuple[int, set[str]]:
        """Tell our RTP port and the addresses that the far end's media may come from.

        Those are the address in its SDP and the one its signalling comes from, which differ behind a NAT.
        """
        stream = self.getStreamInfo(0)
        transport = self.getMedTransportInfo(0)
        addresses = {stream.remoteRtpAddress.rsplit(":", 1)[0], self._address}
        return int(transport.localRtpName.rsplit(":", 1)[1]), addresses

    def _advanced(self, info: Any) -> None:
        """Take a state before the answer."""

    def _tell(self, event: LegEvent) -> None:
        # Whoever hung up wants to hear of the end only.
        if not self._hung_up:
            self._host.report(event)

    def _note(self, text: str) -> None:
        if text:
            self._host.report(DialogNoted(self.uid, text))

    def _ended(self, info: Any, event: Any, text: str) -> None:
        self.alive = False
        self.audio = None
        ended = LegEnded(
            self.uid,
            info.lastStatusCode,
            text_of(info.lastReason),
            "local" if self._hung_up else _ended_by(event),
            q850_cause_of(text),
            self._measured.quality(),
        )
        self._host.ended(self, ended)


def sip_header(name: str, value: str) -> Any:
    """Make a header for pjsua2."""
    header = pj.SipHeader()
    header.hName, header.hValue = name, value
    return header


def message_of(event: Any) -> str:
    """Give the SIP message that caused a state, or an empty text when none did."""
    if event.type != pj.PJSIP_EVENT_TSX_STATE:
        return ""
    body = event.body.tsxState
    if body.type == pj.PJSIP_EVENT_RX_MSG:
        return text_of(body.src.rdata.wholeMsg)
    if body.type == pj.PJSIP_EVENT_TX_MSG:
        return text_of(body.src.tdata.wholeMsg)
    return ""


def _ended_by(event: Any) -> EndedBy:
    if event.type == pj.PJSIP_EVENT_TSX_STATE and event.body.tsxState.type in (
        pj.PJSIP_EVENT_TIMER,
        pj.PJSIP_EVENT_TRANSPORT_ERROR,
    ):
        return "network"
    return "remote"
