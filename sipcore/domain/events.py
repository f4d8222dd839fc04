"""What happened on a leg: past tense, frozen, made by the SIP port and fed to the call.

`leg` is always the leg's UniqueID, which is the SIP Call-ID of its INVITE (RFC 3261 section 8.1.1.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EndedBy = Literal["local", "remote", "network"]


@dataclass(frozen=True, slots=True)
class LegPlaced:
    """The INVITE of the leg left the worker."""

    leg: str


@dataclass(frozen=True, slots=True)
class LegRang:
    """A provisional response other than 100 arrived (RFC 3261 section 13.2.2.1).

    Attributes:
        sip_code: 180 to 189.
    """

    leg: str
    sip_code: int


@dataclass(frozen=True, slots=True)
class LegEarlyMediaStarted:
    """The far end sends audio before it answers: a provisional response carried SDP (RFC 3960)."""

    leg: str


@dataclass(frozen=True, slots=True)
class LegAnswered:
    """A 2xx arrived and was acknowledged; the leg's audio flows."""

    leg: str


@dataclass(frozen=True, slots=True)
class LegEnded:
    """The leg's dialog is over and its slot is free.

    Attributes:
        sip_code: final status of the INVITE; 200 when an answered leg was ended by BYE.
        reason: its reason phrase, for people.
        ended_by: `local` when we hung up (BYE or CANCEL of ours), `remote` when the far end did, `network` when
            no answer came at all (a transaction timeout or a transport error).
        q850_cause: cause value of a `Reason: Q.850` header that the far end sent (RFC 3326), else None.
    """

    leg: str
    sip_code: int
    reason: str = ""
    ended_by: EndedBy = "remote"
    q850_cause: int | None = None


@dataclass(frozen=True, slots=True)
class DigitPressed:
    """The far end of the leg sent one DTMF digit (RFC 4733 event or SIP INFO).

    Attributes:
        digit: one of `0-9*#ABCD`.
        duration_ms: how long it was held; 0 when the far end did not tell.
    """

    leg: str
    digit: str
    duration_ms: int = 0


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The process that carried these legs died; their dialogs are being released for it.

    Attributes:
        legs: UniqueIDs of the legs that it carried.
    """

    legs: tuple[str, ...]


LegEvent = LegPlaced | LegRang | LegEarlyMediaStarted | LegAnswered | LegEnded | DigitPressed
"""What a worker reports of one leg."""

Event = LegEvent | WorkerLost
"""Everything that the SIP port reports."""
