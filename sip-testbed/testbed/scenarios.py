"""What a scripted SIP peer does: SIPp scenarios, put together from the few messages they have in common.

Each function returns one `Scenario`; `SCENARIOS` names them with their usual parameters. All times are milliseconds.
In every scenario that rings, a CANCEL is answered with 200 and the INVITE with 487; in every one that answers, the
call stays up, through re-INVITE, UPDATE, INFO and OPTIONS, until BYE.
"""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

if TYPE_CHECKING:
    from collections.abc import Callable

_REASONS = {
    180: "Ringing",
    181: "Call Is Being Forwarded",
    183: "Session Progress",
    200: "OK",
    302: "Moved Temporarily",
    480: "Temporarily Unavailable",
    484: "Address Incomplete",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
    607: "Unwanted",
}


@dataclass(frozen=True)
class Scenario:
    """A SIPp scenario: `xml` is what SIPp reads, `tone_hz` a tone that it plays as RTP (0: none).

    Without `retransmits` SIPp neither repeats a message over UDP nor takes notice that one came again.
    """

    name: str
    summary: str
    xml: str
    tone_hz: float = 0.0
    retransmits: bool = True


# One codec only: an answer with two makes pjsua ask again, by a re-INVITE, for one of them. Events keep the payload
# type that the INVITE gave them.
_SDP = """Content-Type: application/sdp
Content-Length: [len]

v=0
o=peer 1 {version} IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio {port} RTP/AVP 0 {events}
a=rtpmap:0 PCMU/8000
a=rtpmap:{events} telephone-event/8000
a=fmtp:{events} 0-16
a={direction}
"""
# SIPp leaves the line out when the last message, the INVITE, had no such header.
_ROUTES = "[last_Record-Route:]\n"
_NO_BODY = "Content-Length: 0\n"
_MEDIA_PORT = "[audio_port]"  # a word that the starter of SIPp defines
_STREAM_PORT = "[rtpstream_audio_port]"
_TAG = "[pid]t[call_number]"

# A message that SIPp repeats over UDP until it is answered, first after 500 ms (T1, RFC 3261 section 17.1.1.1).
_REPEATED = {"retrans": "500"}

# The INVITE's headers are kept in variables, because `[last_...]` means the CANCEL or ACK once one came in.
# All Via headers are kept with their line ends, because a header's search finds only the first one.
_KEPT = "via,via_last,from,to,cseq,line,events"
_KEEP = """
  <ereg regexp="(Via: [^[:cntrl:]]+[[:cntrl:]]+)+" search_in="msg" assign_to="via,via_last"/>
  <ereg regexp=".*" search_in="hdr" header="From:" assign_to="from"/>
  <ereg regexp=".*" search_in="hdr" header="To:" assign_to="to"/>
  <ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="cseq"/>
  <ereg regexp="a=rtpmap:([0-9]+) telephone-event" search_in="msg" assign_to="line,events"/>
"""


def _sdp(direction: str = "sendrecv", version: int = 1, port: str = _MEDIA_PORT, events: str = "[$events]") -> str:
    return _SDP.format(direction=direction, version=version, port=port, events=events)


def _send(text: str, **attributes: str) -> str:
    return f"<send{_attributes(attributes)}><![CDATA[\n{text}]]></send>\n"


def _receive(inside: str = "", **attributes: str) -> str:
    return f"<recv{_attributes(attributes)}>{inside}</recv>\n"


def _attributes(attributes: dict[str, str]) -> str:
    return "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())


def _label(name: str) -> str:
    return f"<label id={quoteattr(name)}/>\n"


def _invite(action: str = "") -> str:
    return _receive(f"<action>{_KEEP}{action}</action>", request="INVITE", rrs="true")


def _respond(
    code: int, body: str = _NO_BODY, *, tag: str = _TAG, extra: str = "", reason: str = "", **attributes: str
) -> str:
    """Answer the INVITE."""
    text = (
        f"SIP/2.0 {code} {reason or reason_of(code)}\n[$via]From: [$from]\nTo: [$to];tag={tag}\n"
        f"Call-ID: [call_id]\nCSeq: [$cseq]\n{extra}"
        "Contact: <sip:peer@[local_ip]:[local_port];transport=[transport]>\n" + body
    )
    # Responses to an INVITE below 200 are not repeated, those from 200 on are until their ACK (section 13.3.1.4).
    return _send(text, **(_REPEATED if code >= 200 else {}), **attributes)


def _okay(
    body: str = _NO_BODY,
    via: str = "[last_Via:]\n",
    parties: str = "[last_From:]\n[last_To:]\n",
    cseq: str = "[last_CSeq:]",
    **attributes: str,
) -> str:
    """Answer the request that came last, other than the first INVITE, with 200."""
    return _send(
        f"SIP/2.0 200 OK\n{via}{parties}[last_Call-ID:]\n{cseq}\n"
        "Contact: <sip:peer@[local_ip]:[local_port];transport=[transport]>\n" + body,
        **attributes,
    )


def _request(method: str, cseq: int, body: str = _NO_BODY, *, repeated: bool = True) -> str:
    """Send a request inside the dialog, to the Contact and along the route that the INVITE gave."""
    return _send(
        f"{method} [next_url] SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n"
        f"[routes]\nFrom: [$to];tag={_TAG}\nTo: [$from]\nCall-ID: [call_id]\nCSeq: {cseq} {method}\n"
        "Contact: <sip:peer@[local_ip]:[local_port];transport=[transport]>\nMax-Forwards: 70\n" + body,
        **(_REPEATED if repeated else {}),
    )


def _ring(code: int, milliseconds: int | None, next_label: str, body: str = _NO_BODY) -> str:
    """Send a provisional response, then wait so long, or for ever, for a CANCEL."""
    wait = {} if milliseconds is None else {"timeout": str(max(1, milliseconds)), "ontimeout": next_label}
    return (
        _respond(code, body, extra=_ROUTES)
        + _receive(request="CANCEL", **wait)
        + _okay()
        + _respond(487)
        + _receive(request="ACK", next="end")
    )


def _up(bye_after: int | None = None, port: str = _MEDIA_PORT) -> str:
    """Stay in the call until BYE, or send one after some time."""
    # The time-out of a group of alternatives is that of its first.
    wait = {} if bye_after is None else {"timeout": str(max(1, bye_after)), "ontimeout": "hang_up"}
    text = (
        _label("up")
        + _receive(request="INVITE", optional="true", next="reinvited", **wait)
        + _receive(request="UPDATE", optional="true", next="asked")
        + _receive(request="INFO", optional="true", next="asked")
        + _receive(request="OPTIONS", optional="true", next="asked")
        + _receive(request="ACK", optional="true", next="up")
        + _receive(request="BYE")
        + _okay(next="end")
        + _label("asked")
        + _okay(next="up")
        + _label("reinvited")
        + _okay(_sdp(version=9, port=port), next="up")
    )
    if bye_after is not None:
        text += _label("hang_up") + _request("BYE", 100) + _receive(response="200")
    return text


def _finish(name: str, summary: str, steps: str, *, tone_hz: float = 0.0, retransmits: bool = True) -> Scenario:
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<scenario name={quoteattr(name)}>\n{steps}{_label('end')}"
        # A variable that a scenario sets and does not use is an error without the Reference.
        f'<timewait milliseconds="200"/>\n<Reference variables={quoteattr(_KEPT)}/>\n</scenario>\n'
    )
    return Scenario(name, summary, xml, tone_hz, retransmits)


def reason_of(code: int) -> str:
    """Return the usual reason phrase of a SIP status code."""
    if code in _REASONS:
        return _REASONS[code]
    return HTTPStatus(code).phrase if code in set(HTTPStatus) else "Response"


def answer(
    ring: int | None = None,
    code: int = 180,
    *,
    early_media: bool = False,
    bye_after: int | None = None,
    tone: float = 0,
) -> Scenario:
    """Answer at once, or after ringing for `ring` ms with `code`, and wait for BYE or send it `bye_after` ms later.

    With `early_media` the provisional response has an SDP body. With `tone` that frequency in Hz is played from the
    first SDP body on.
    """
    port = _STREAM_PORT if tone else _MEDIA_PORT
    early = early_media and ring is not None
    # Begun by the message that comes before it may sound, and not by a step of its own: what arrives during such a
    # step is not seen.
    play = '<exec rtp_stream="tone.ul,-1,0"/>' if tone else ""
    steps = _invite(play if early else "")
    if ring is not None:
        steps += _ring(code, ring, "answer", _sdp(port=port) if early else _NO_BODY) + _label("answer")
    steps += _respond(200, _sdp(port=port), extra=_ROUTES)
    steps += _receive(f"<action>{play}</action>" if play and not early else "", request="ACK")
    return _finish("answer", "answers and stays until BYE", steps + _up(bye_after=bye_after, port=port), tone_hz=tone)


def final(code: int, ring: int | None = None, reason: str = "", provisional: int = 180) -> Scenario:
    """Refuse with a final response, at once or after ringing for `ring` ms."""
    steps = _invite()
    if ring is not None:
        steps += _ring(provisional, ring, "refuse") + _label("refuse")
    steps += _respond(code, reason=reason) + _receive(request="ACK")
    return _finish(f"final_{code}", f"refuses with {code} {reason or reason_of(code)}", steps)


def no_answer(code: int = 180) -> Scenario:
    """Ring until CANCEL."""
    return _finish("no_answer", "rings until CANCEL", _invite() + _ring(code, None, ""))


def never_responds() -> Scenario:
    """Receive and say nothing, whatever comes."""
    steps = _receive(request="INVITE") + _receive(request="NOTHING")
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="never_responds">\n{steps}</scenario>\n'
    return Scenario("never_responds", "receives and says nothing", xml)


def redirect(contact: str, code: int = 302) -> Scenario:
    """Redirect to another SIP URI."""
    text = (
        f"SIP/2.0 {code} {reason_of(code)}\n[$via]From: [$from]\nTo: [$to];tag={_TAG}\n"
        f"Call-ID: [call_id]\nCSeq: [$cseq]\nContact: <{contact}>\n{_NO_BODY}"
    )
    # The caller may come back to this address in the same dialog, to be redirected again.
    steps = _label("again") + _invite() + _send(text, **_REPEATED) + _receive(request="ACK", next="again")
    return _finish("redirect", f"redirects to {contact}", steps)


def challenge_loop(code: int = 401, realm: str = "testbed") -> Scenario:
    """Ask for credentials again and again, each time with a new nonce, whatever comes."""
    header = "WWW-Authenticate" if code == HTTPStatus.UNAUTHORIZED else "Proxy-Authenticate"
    extra = f'{header}: Digest realm="{realm}", nonce="[call_number] [$cseq]", algorithm=MD5, qop="auth"\n'
    steps = _label("again") + _invite() + _respond(code, extra=extra) + _receive(request="ACK", next="again")
    return _finish("challenge_loop", f"answers every INVITE with {code}", steps)


def bye_race() -> Scenario:
    """Answer; when the other side's BYE arrives, send our own BYE before answering theirs."""
    keep = """<action>
  <ereg regexp="(Via: [^[:cntrl:]]+[[:cntrl:]]+)+" search_in="msg" assign_to="via,via_last"/>
  <ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="bye_cseq"/>
</action>"""
    # The other side's answer to our BYE, 200 or 481, may come before our answer to theirs, which must then still be
    # theirs and not an answer to an answer.
    steps = (
        _answered()
        + _receive(keep, request="BYE")
        # Not repeated: SIPp sends nothing else while it waits for the answer to a message that it may repeat.
        + _request("BYE", 100, repeated=False)
        + _okay(via="[$via]", parties=f"From: [$from]\nTo: [$to];tag={_TAG}\n", cseq="CSeq: [$bye_cseq]")
    )
    return _finish("bye_race", "its BYE crosses the other side's", steps)


def hold(hold_after: int = 500, hold_for: int = 1000) -> Scenario:
    """Answer, put the call on hold by a re-INVITE (`a=sendonly`) after a while, and take it back."""
    steps = (
        _answered()
        + _wait(hold_after, "hold")
        + _reinvite(200, _sdp("sendonly", version=2))
        + _wait(hold_for, "resume")
        + _reinvite(201, _sdp("sendrecv", version=3))
    )
    return _finish("hold", "holds and resumes by re-INVITE", steps + _up())


def info_digits(digits: str = "12#", after: int = 300, between: int = 100) -> Scenario:
    """Answer, then send digits as SIP INFO (`application/dtmf-relay`)."""
    steps = _answered() + _wait(after, "digit0")
    for index, digit in enumerate(digits):
        body = f"Content-Type: application/dtmf-relay\nContent-Length: [len]\n\nSignal={digit}\nDuration=160\n"
        steps += _request("INFO", 300 + index, body) + _receive(response="200") + _wait(between, f"digit{index + 1}")
    return _finish("info_digits", f"sends the digits {digits} by INFO", steps + _up())


def lost_ack(repeats: int = 2) -> Scenario:
    """Answer, and repeat the 200 as if the first ACKs had been lost."""
    # SIPp takes an ACK that looks like the last one for a repetition, and repeats its answer for ever. So it must not
    # look for repetitions here, nor repeat anything itself.
    again = _respond(200, _sdp()) + _receive(request="ACK")
    steps = _answered() + "".join(_wait(500, f"again{n}") + again for n in range(repeats)) + _up()
    return _finish("lost_ack", "repeats its 200 although ACK came", steps, retransmits=False)


def late_answer() -> Scenario:
    """Ring until CANCEL, and answer the INVITE with 200 all the same, as when the 200 crossed the CANCEL."""
    steps = (
        _invite()
        + _respond(180, extra=_ROUTES)
        + _receive(request="CANCEL")
        + _okay()
        + _respond(200, _sdp())
        + _receive(request="ACK")
        + _up()
    )
    return _finish("late_answer", "answers 200 although CANCEL came", steps)


def fork(ring: int = 300) -> Scenario:
    """Ring as two phones (two To tags), answer as the second, and a little later as the first too.

    The caller should end the first phone's dialog with ACK and BYE and stay in the second's.
    """
    first, second = f"{_TAG}a", f"{_TAG}b"
    steps = (
        _invite()
        + _respond(180, tag=first, extra=_ROUTES)
        + _respond(180, tag=second, extra=_ROUTES)
        + _wait(ring, "answer", request="CANCEL")
        + _respond(200, _sdp(), tag=second, extra=_ROUTES)
        + _receive(request="ACK")
        + _wait(100, "late")
        + _respond(200, _sdp(), tag=first)
        + _receive(request="ACK")
        + _receive(request="BYE")
        + _okay()
    )
    return _finish("fork", "rings and answers as two phones", steps + _up())


def caller(to: str, sender: str = "caller", hold_for: int = 500, answer_within: int = 10_000) -> Scenario:
    """Call `to` (a user name) at the remote address, stay `hold_for` ms after the answer, and hang up."""
    line = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]\n"
    ends = f"From: <sip:{sender}@[local_ip]:[local_port]>;tag={_TAG}\nTo: <sip:{to}@[remote_ip]:[remote_port]>"
    tail = f"Contact: <sip:{sender}@[local_ip]:[local_port];transport=[transport]>\nMax-Forwards: 70\n"
    steps = (
        _send(
            f"INVITE sip:{to}@[remote_ip]:[remote_port] SIP/2.0\n{line}{ends}\nCall-ID: [call_id]\n"
            f"CSeq: 1 INVITE\n{tail}{_sdp(events='101')}",
            **_REPEATED,
        )
        + _receive(response="100", optional="true")
        + _receive(response="180", optional="true")
        + _receive(response="183", optional="true")
        + _receive(response="200", rrs="true", timeout=str(answer_within))
    )
    for method, cseq in (("ACK", 1), ("BYE", 2)):
        steps += _send(
            f"{method} [next_url] SIP/2.0\n{line}[routes]\n{ends}[peer_tag_param]\nCall-ID: [call_id]\n"
            f"CSeq: {cseq} {method}\n{tail}{_NO_BODY}",
            **(_REPEATED if method == "BYE" else {}),
        )
        steps += _wait(hold_for, "hang_up") if method == "ACK" else _receive(response="200")
    steps += _label("end")
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<scenario name="caller">\n{steps}</scenario>\n'
    return Scenario("caller", f"calls {to} and hangs up", xml)


def _answered() -> str:
    return _invite() + _respond(200, _sdp(), extra=_ROUTES) + _receive(request="ACK")


def _wait(milliseconds: int, label: str, request: str = "BYE") -> str:
    """Wait so long, and go on at `label`; end the call when BYE (or CANCEL) comes in the meantime."""
    text = _receive(request=request, timeout=str(max(1, milliseconds)), ontimeout=label)
    if request == "CANCEL":
        text += _okay() + _respond(487) + _receive(request="ACK", next="end")
    else:
        text += _okay(next="end")
    return text + _label(label)


def _reinvite(cseq: int, body: str) -> str:
    return (
        _request("INVITE", cseq, body)
        + _receive(response="100", optional="true")
        + _receive(response="200")
        + _request("ACK", cseq, repeated=False)
    )


SCENARIOS: dict[str, Callable[[], Scenario]] = {
    "answer": answer,
    "answer_late": lambda: answer(ring=1000),
    "early_media": lambda: answer(ring=1500, code=183, early_media=True, tone=700),
    "bye_by_callee": lambda: answer(bye_after=500),
    "bye_race": bye_race,
    "busy": lambda: final(486),
    "decline": lambda: final(603),
    "not_found": lambda: final(404),
    "unavailable": lambda: final(480),
    "unavailable_after_ringing": lambda: final(480, ring=300),
    "service_unavailable": lambda: final(503),
    "no_answer": no_answer,
    "never_responds": never_responds,
    "redirect": lambda: redirect("sip:elsewhere@127.0.0.1:9"),
    "challenge_loop": challenge_loop,
    "hold": hold,
    "info_digits": info_digits,
    "lost_ack": lost_ack,
    "late_answer": late_answer,
    "fork": fork,
}
"""Every scenario of a called party, with its usual parameters."""
