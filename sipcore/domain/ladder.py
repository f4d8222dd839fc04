"""The SIP ladder of a call: which messages went to and fro on each of its legs, and when. Never what was in them."""

from __future__ import annotations

from dataclasses import dataclass

MOST_RUNGS = 200
"""Messages of one leg that are kept, from its beginning: a phone that sends on and on fills no database."""


@dataclass(frozen=True, slots=True)
class Rung:
    """One SIP message, as it was on the wire; one that was sent again is another rung.

    Attributes:
        at: when, in seconds: on the machine's monotonic clock as long as the call goes on, since the call was accepted
            in a ladder.
        sent: True when we sent it, False when it came.
        method: of a request, or of the request that a response answers.
        code: status of a response, None for a request.
        cseq: number of its CSeq header (RFC 3261 section 8.1.1.5).
    """

    at: float
    sent: bool
    method: str
    code: int | None
    cseq: int


@dataclass(frozen=True, slots=True)
class LegLadder:
    """The messages of one leg, in their order.

    Attributes:
        uid: UniqueID of the leg.
        rungs: at most `MOST_RUNGS`.
    """

    uid: str
    rungs: tuple[Rung, ...]
