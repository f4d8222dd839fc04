"""What is read from the raw text of SIP messages, as generously as PJSIP reads it.

PJSIP takes CR, LF and CR LF for the end of a line, and joins a line that begins with white space to the one before it
(RFC 3261 section 7.3.1): a header that it sees and we do not would be acted on unchecked.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from sipcore.domain.directory import SipHost
from sipcore.domain.edge import ORIGIN_HEADER

_Q850 = re.compile(r"\bQ\.850\s*;.*?\bcause\s*=\s*(\d{1,3})", re.IGNORECASE)
_URI_USER = re.compile(r"sips?:([^@;:?<>\s]*)[^@<>\s]*@|tel:([^;<>\s]*)", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_CALL_ID = re.compile(r"[\x21-\x7e]{1,255}")
_AUDIO_LINE = re.compile(r"(?:^|[\r\n])[ \t]*m[ \t]*=[ \t]*audio[ \t]+(?!0[ \t])", re.IGNORECASE)
_ORIGIN = re.compile(r"(?:trunk|extension)=[0-9A-Za-z*._-]{1,97}")
_PLAIN_USER = re.compile(r"[0-9A-Za-z*#+._-]{1,64}")


class Parties(NamedTuple):
    """Whom an INVITE is for, and whom it is from; empty where that is no plain number or name.

    Attributes:
        number: user part of its Request-URI, unescaped.
        caller: user part of its P-Asserted-Identity (RFC 3325), or of its From without one, unescaped.
        to: user part of its P-Called-Party-ID (RFC 7315), or of its To without one, unescaped.
        origin: `trunk=NAME` or `extension=USER`, as the edge writes it into `X-Click2Call-Origin`.
    """

    number: str
    caller: str
    to: str
    origin: str


def header_values(message: str, *names: str) -> list[str]:
    """Return the values of the headers of these names, the folded lines joined."""
    lines = re.sub(r"\r\n?", "\n", message)
    head = re.sub(r"\n[ \t]+", " ", lines.partition("\n\n")[0])
    found = re.findall(rf"^(?:{'|'.join(names)})[ \t]*:(.*)$", head, re.IGNORECASE | re.MULTILINE)
    return [value.strip() for value in found]


def contacts_of(answer: str) -> list[str]:
    """Return the values of a response's Contact headers."""
    return header_values(answer, "Contact", "m")


def call_id_of(message: str) -> str:
    """Return the Call-ID when there is just one, of printable characters, and not too long; else nothing."""
    values = header_values(message, "Call-ID", "i")
    return values[0] if len(values) == 1 and _CALL_ID.fullmatch(values[0]) else ""


def audio_lines_of(message: str) -> int:
    """Count the audio streams of an offer, those that it switches off (port 0) left out."""
    return len(_AUDIO_LINE.findall(message))


def q850_cause_of(message: str) -> int | None:
    """Return the cause value of a Reason header (RFC 3326) of the protocol Q.850, if there is one."""
    causes = (_Q850.search(value) for value in header_values(message, "Reason"))
    return next((int(cause[1]) for cause in causes if cause is not None), None)


def parties_of(invite: str) -> Parties:
    """Read whom an INVITE is for and from."""
    asserted = header_values(invite, "P-Asserted-Identity") or header_values(invite, "From", "f")
    request_uri = invite.partition("\n")[0].split()[1:2]
    called = header_values(invite, "P-Called-Party-ID") or header_values(invite, "To", "t")
    number, caller, to = (_user_of("".join(values)) for values in (request_uri, asserted[:1], called[:1]))
    return Parties(number, caller, to, _origin_of(header_values(invite, ORIGIN_HEADER)))


def _origin_of(values: list[str]) -> str:
    return values[0] if len(values) == 1 and _ORIGIN.fullmatch(values[0]) else ""


def _user_of(value: str) -> str:
    """Return the user part of the first URI in a header's value, or nothing when it could be more than a name."""
    match = _URI_USER.search(_QUOTED.sub("", value))
    user = unquote(match[1] or match[2] or "") if match is not None else ""
    return user if _PLAIN_USER.fullmatch(user) else ""


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
