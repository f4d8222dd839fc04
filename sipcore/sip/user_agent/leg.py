"""One leg: a pjsua2 call that reports what happens on it."""

from __future__ import annotations

import re
from typing import Any, Protocol

import pjsua2 as pj

from sipcore.domain.commands import PlaceLeg
from sipcore.domain.directory import SipHost
from sipcore.domain.events import (
    DigitPressed,
    EndedBy,
    LegAnswered,
    LegEarlyMediaStarted,
    LegEnded,
    LegEvent,
    LegPlaced,
    LegRang,
)
from sipcore.sip.user_agent.accounts import sip_uri
from sipcore.sip.user_agent.library import text_of
from sipcore.sip.wire import DialogNoted

_Q850 = re.compile(r"^Reason\s*:[^\r\n]*\bQ\.850\s*;[^\r\n]*?\bcause\s*=\s*(\d{1,3})", re.IGNORECASE | re.MULTILINE)
_CONTACT = re.compile(r"^(?:Contact|m)[ \t]*:(.*)$", re.IGNORECASE | re.MULTILINE)
_DTMF_DIGITS = frozenset("0123456789*#ABCD")
_UNKNOWN_DURATION = 0xFFFFFFFF
"""PJSUA_UNKNOWN_DTMF_DURATION, which pjsua2 does not name. The wheel tells it for SIP INFO too, whatever it says."""
_MAX_DIGIT_MS = 5000
_DEFAULT_DIGIT_MS = 160
_RINGING = range(180, 190)


def is_same_trunk(target: str, at: SipHost, address: str) -> bool:
    """Tell whether a redirect's target is a plain number at the very trunk that redirected.

    Anything else (another host, a header part, parameters but the transport) is not followed, as the trunk's
    credentials go along.
    """
    match = re.fullmatch(
        r"<?sip:[0-9*+%A-Fa-f]{1,40}@(?P<host>[A-Za-z0-9.-]+)(?::(?P<port>\d{1,5}))?(?:;transport=(?P<transport>\w+))?>?",
        target.strip(),
        re.IGNORECASE,
    )
    if match is None or match["host"].lower() not in (at.host.lower(), address):
        return False
    return int(match["port"] or 5060) == at.port and (match["transport"] or "udp").lower() == at.transport


def contacts_of(answer: str) -> list[str]:
    """Return the values of a response's Contact headers, its lines read as generously as PJSIP reads them.

    PJSIP takes CR, LF and CR LF for the end of a line, and joins a line that begins with white space to the one before
    it (RFC 3261 section 7.3.1): a Contact that it sees and we do not would be followed unchecked.
    """
    lines = re.sub(r"\r\n?", "\n", answer)
    head = re.sub(r"\n[ \t]+", " ", lines.partition("\n\n")[0])
    return [value.strip() for value in _CONTACT.findall(head)]


class LegHost(Protocol):
    """What a leg needs of its user agent."""

    def report(self, message: LegEvent | DialogNoted) -> None:
        """Take what happened."""
        ...

    def media_changed(self, leg: Leg) -> None:
        """Renew the leg's connections in the conference bridge."""
        ...

    def ended(self, leg: Leg, event: LegEnded) -> None:
        """Take the leg's end; no method of it may be called any more."""
        ...


class Leg(pj.Call):
    """One outgoing call.

    Attributes:
        uid: UniqueID, the Call-ID on the wire.
        audio: its port in the conference bridge, or None while it has no media.
        call_id: pjsua2's own number of the call, known once it is hung up.
        alive: False once pjsua2 has ended the call: from then on any call into it would abort the process.
    """

    def __init__(self, account: Any, command: PlaceLeg, address: str, host: LegHost) -> None:
        super().__init__(account)
        self.uid = command.leg
        self.account_id = account.getId()
        self.audio: Any = None
        self.alive = True
        self.call_id = -1
        self._plan = command.plan
        self._address = address
        self._host = host
        self._hung_up = False
        self._early_media = False
        self._redirected = False

    def place(self) -> None:
        """Send the INVITE.

        Raises:
            pj.Error: no call slot, media port or transport was to be had.
        """
        plan = self._plan
        parameters = pj.CallOpParam(True)
        parameters.opt.audioCount = 1
        parameters.opt.videoCount = 0
        parameters.opt.customCallId = self.uid
        parameters.txOption.localUri = plan.from_uri
        for name, value in plan.headers:
            header = pj.SipHeader()
            header.hName, header.hValue = name, value
            parameters.txOption.headers.append(header)
        if plan.trunk is None and self._address != plan.at.host:
            parameters.txOption.targetUri = sip_uri(plan.at, plan.user, address=self._address)
        self.makeCall(sip_uri(plan.at, plan.user), parameters)

    def release(self) -> None:
        """Send CANCEL or BYE, whichever the state asks for."""
        if self.alive and not self._hung_up:
            self._hung_up = True
            self.call_id = self.getId()
            self.hangup(pj.CallOpParam())

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
        """Report placing, ringing, answer and end."""
        info = self.getInfo()
        text = _message_of(prm.e)
        if info.state == pj.PJSIP_INV_STATE_CALLING:
            self._note(text)
            self._host.report(LegPlaced(self.uid))
        elif info.state == pj.PJSIP_INV_STATE_EARLY:
            self._note(text)
            if info.lastStatusCode in _RINGING:
                self._host.report(LegRang(self.uid, info.lastStatusCode))
        elif info.state == pj.PJSIP_INV_STATE_CONNECTING:
            self._note(text)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self._host.report(LegAnswered(self.uid))
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self._ended(info, prm.e, text)

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
        if self.audio is not None and not self._early_media and info.state == pj.PJSIP_INV_STATE_EARLY:
            self._early_media = True
            self._host.report(LegEarlyMediaStarted(self.uid))

    def onDtmfDigit(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Report a digit, whether it came as RFC 4733 event or as SIP INFO."""
        digit = prm.digit.upper()
        if digit in _DTMF_DIGITS:
            told = prm.method == pj.PJSUA_DTMF_METHOD_SIP_INFO and prm.duration != _UNKNOWN_DURATION
            self._host.report(DigitPressed(self.uid, digit, min(prm.duration, _MAX_DIGIT_MS) if told else 0))

    def onCallRedirected(self, prm: Any) -> Any:  # noqa: N802 - pjsua2's name
        """Follow a redirect to the same trunk, once."""
        plan = self._plan
        # `prm.targetUri` is printed as for a From header, without port, parameters and headers (RFC 3261 section
        # 19.1.1), which are just what could lead elsewhere: so the response is read, and followed when it is no choice.
        targets = contacts_of(_message_of(prm.e))
        if plan.trunk is None or self._redirected or len(targets) != 1:
            return pj.PJSIP_REDIRECT_REJECT
        if is_same_trunk(targets[0], plan.at, self._address):
            self._redirected = True
            return pj.PJSIP_REDIRECT_ACCEPT_REPLACE
        return pj.PJSIP_REDIRECT_REJECT

    def onCallTransferRequest(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Refuse: a REFER would make this process dial what the far end names."""
        prm.statusCode = pj.PJSIP_SC_DECLINE

    def onCallReplaceRequest(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Refuse: an INVITE with Replaces would put somebody else into the call."""
        prm.statusCode = pj.PJSIP_SC_DECLINE

    def remote_media_addresses(self) -> tuple[int, set[str]]:
        """Tell our RTP port and the addresses that the far end's media may come from.

        Those are the address in its SDP and the one its signalling comes from, which differ behind a NAT.
        """
        stream = self.getStreamInfo(0)
        transport = self.getMedTransportInfo(0)
        addresses = {stream.remoteRtpAddress.rsplit(":", 1)[0], self._address}
        return int(transport.localRtpName.rsplit(":", 1)[1]), addresses

    def _note(self, text: str) -> None:
        if text:
            self._host.report(DialogNoted(self.uid, text))

    def _ended(self, info: Any, event: Any, text: str) -> None:
        self.alive = False
        self.audio = None
        match = _Q850.search(text)
        ended = LegEnded(
            self.uid,
            info.lastStatusCode,
            text_of(info.lastReason),
            "local" if self._hung_up else _ended_by(event),
            int(match[1]) if match else None,
        )
        self._host.ended(self, ended)


def _message_of(event: Any) -> str:
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
