"""Why a leg ended: one table from SIP status and what came before it to disposition and Q.850 cause.

Cause values follow RFC 3398 section 8.2.6.1 where it names one; fail reasons are the public contract's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Disposition(StrEnum):
    """What became of a call or leg, in a word."""

    ANSWERED = "answered"
    NO_ANSWER = "no_answer"
    BUSY = "busy"
    NOT_CONNECTED = "not_connected"
    UNREACHABLE = "unreachable"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


FAIL_REASONS: dict[Disposition, str] = {
    Disposition.NO_ANSWER: "No answer",
    Disposition.BUSY: "Busy",
    Disposition.NOT_CONNECTED: "Not connected",
    Disposition.UNREACHABLE: "Unreachable",
    Disposition.CANCELLED: "Unreachable",
    Disposition.INTERRUPTED: "Unreachable",
}
"""The contract's word for a first stage that was not answered."""

WORTH_TELLING = (
    Disposition.NO_ANSWER,
    Disposition.BUSY,
    Disposition.NOT_CONNECTED,
    Disposition.UNREACHABLE,
)
"""Of several outcomes the first of these is told: a phone that rang says more than one that was not there."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a leg ended.

    Attributes:
        disposition: in a word.
        cause: hangup cause (ITU-T Q.850).
    """

    disposition: Disposition
    cause: int


NORMAL_CLEARING = 16
NO_USER_RESPONDING = 18
NO_ANSWER_FROM_USER = 19
UNALLOCATED_NUMBER = 1
NETWORK_OUT_OF_ORDER = 38
TEMPORARY_FAILURE = 41
INTERWORKING = 127

_NO_ANSWER = Disposition.NO_ANSWER
_BUSY = Disposition.BUSY
_NOT_CONNECTED = Disposition.NOT_CONNECTED
_UNREACHABLE = Disposition.UNREACHABLE

_TABLE: dict[int, tuple[Outcome, Outcome]] = {
    # SIP status: (when nothing rang before it, when a 18x came before it)
    300: (Outcome(_NOT_CONNECTED, 23), Outcome(_NOT_CONNECTED, 23)),
    301: (Outcome(_NOT_CONNECTED, 22), Outcome(_NOT_CONNECTED, 22)),
    302: (Outcome(_NOT_CONNECTED, 23), Outcome(_NOT_CONNECTED, 23)),
    305: (Outcome(_NOT_CONNECTED, 23), Outcome(_NOT_CONNECTED, 23)),
    380: (Outcome(_NOT_CONNECTED, 23), Outcome(_NOT_CONNECTED, 23)),
    404: (Outcome(_NOT_CONNECTED, 1), Outcome(_NOT_CONNECTED, 1)),
    408: (Outcome(_UNREACHABLE, 102), Outcome(_NO_ANSWER, NO_ANSWER_FROM_USER)),
    410: (Outcome(_NOT_CONNECTED, 22), Outcome(_NOT_CONNECTED, 22)),
    480: (Outcome(_NOT_CONNECTED, NO_USER_RESPONDING), Outcome(_NO_ANSWER, NO_ANSWER_FROM_USER)),
    484: (Outcome(_NOT_CONNECTED, 28), Outcome(_NOT_CONNECTED, 28)),
    485: (Outcome(_NOT_CONNECTED, 1), Outcome(_NOT_CONNECTED, 1)),
    486: (Outcome(_BUSY, 17), Outcome(_BUSY, 17)),
    600: (Outcome(_BUSY, 17), Outcome(_BUSY, 17)),
    603: (Outcome(_BUSY, 21), Outcome(_BUSY, 21)),
    604: (Outcome(_NOT_CONNECTED, 1), Outcome(_NOT_CONNECTED, 1)),
    607: (Outcome(_BUSY, 21), Outcome(_BUSY, 21)),
}

_REDIRECTS = range(300, 400)
"""One that is not in the table counts as 300 (RFC 3261 section 8.1.3.2)."""

_UNREACHABLE_CAUSES: dict[int, int] = {
    400: 41, 401: 21, 402: 21, 403: 21, 405: 63, 406: 79, 407: 21, 415: 79, 481: 41, 482: 25, 483: 25, 488: 88, 500: 41,
    501: 79, 502: 38, 503: 41, 504: 102, 606: 88,
}  # fmt: skip

OWN_TIMEOUT = Outcome(Disposition.NO_ANSWER, NO_ANSWER_FROM_USER)
"""We stopped ringing because the request's own Timeout ran out."""
WITHDRAWN = Outcome(Disposition.CANCELLED, NORMAL_CLEARING)
"""We stopped ringing because the call was over on the other side."""
OUR_END = Outcome(Disposition.INTERRUPTED, TEMPORARY_FAILURE)
"""This server ends the call, and nobody asked for it."""
WORKER_DIED = Outcome(Disposition.INTERRUPTED, NETWORK_OUT_OF_ORDER)
"""The process that carried the leg died."""
NO_SUCH_EXTENSION = Outcome(Disposition.NOT_CONNECTED, UNALLOCATED_NUMBER)
"""The number is not one of the organisation's and no external number either."""


def outcome_of(sip_code: int, *, rang: bool, answered: bool, q850_cause: int | None = None) -> Outcome:
    """Look up how a leg ended that the far end or the network ended.

    Args:
        sip_code: final status of its INVITE.
        rang: whether a 18x came before it.
        answered: whether a 2xx came before it; then the leg is `answered` whatever followed.
        q850_cause: the far end's own `Reason: Q.850` value, which wins over the table's (RFC 6432).
    """
    if answered:
        outcome = Outcome(Disposition.ANSWERED, NORMAL_CLEARING)
    elif sip_code in _TABLE:
        outcome = _TABLE[sip_code][rang]
    elif sip_code in _REDIRECTS:
        outcome = _TABLE[300][rang]
    else:
        outcome = Outcome(Disposition.UNREACHABLE, _UNREACHABLE_CAUSES.get(sip_code, INTERWORKING))
    return outcome if q850_cause is None else Outcome(outcome.disposition, q850_cause)
