"""What happened on a leg: past tense, frozen, made by the SIP port and fed to the call.

`leg` is always the leg's UniqueID, which is the SIP Call-ID of its INVITE (RFC 3261 section 8.1.1.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sipcore.domain.ladder import Rung
from sipcore.domain.quality import LegQuality
from sipcore.domain.slots import Slots

EndedBy = Literal["local", "remote", "network"]


@dataclass(frozen=True, slots=True)
class LegArrived:
    """An INVITE from a trunk, a phone or the edge: a leg that somebody else placed, and that waits for `AnswerLeg`.

    Attributes:
        leg: its Call-ID as the far end chose it.
        number: user part of its Request-URI, unescaped.
        caller: user part of its caller identity (P-Asserted-Identity from a trunk, else From), unescaped, or empty.
        trunk: name of the trunk whose host sent it, or None.
        slots: reserved for it, and for one more leg beside it, on its worker.
        extension: organisation and number of the extension whose phone placed it, or None.
    """

    leg: str
    number: str
    caller: str
    trunk: str | None
    slots: Slots
    extension: tuple[str, str] | None = None


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
        quality: how its audio was, or None: there was none.
    """

    leg: str
    sip_code: int
    reason: str = ""
    ended_by: EndedBy = "remote"
    q850_cause: int | None = None
    quality: LegQuality | None = None


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
class SpeechStarted:
    """Somebody began to speak on a leg that is listened to.

    Attributes:
        at_ms: milliseconds of the leg's audio since listening began; 0 at its first packet.
    """

    leg: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """Whoever spoke on the leg fell silent; `at_ms` as for `SpeechStarted`."""

    leg: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class BeepHeard:
    """A steady tone on the leg ended, such as a voicemail's beep; `at_ms` as for `SpeechStarted`."""

    leg: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class JoinFailed:
    """The leg could not be joined with another one, or with its room: no worker has a slot for the link."""

    leg: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MessagesSeen:
    """SIP messages of the leg went to and fro; all of them are told before its `LegEnded`.

    Attributes:
        rungs: their times are the machine's monotonic clock.
    """

    leg: str
    rungs: tuple[Rung, ...]


@dataclass(frozen=True, slots=True)
class PlaybackFinished:
    """The files of a `PlayAudio` have been played to their end. One that was stopped does not finish."""

    leg: str
    playback: str


@dataclass(frozen=True, slots=True)
class RecordingFinished:
    """A recording is closed and its file is whole.

    Attributes:
        seconds: its length.
    """

    leg: str
    recording: str
    seconds: float


@dataclass(frozen=True, slots=True)
class AgentsOffered:
    """It is a waiting party's turn: these agents are free and held for it.

    Attributes:
        ticket: UniqueID of the party.
        agents: numbers of the agents, to be rung all at once.
    """

    ticket: str
    agents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """Tell a waiting party its place, 1 for the next."""

    ticket: str
    position: int


@dataclass(frozen=True, slots=True)
class WaitBegun:
    """The queue has taken a party, which waits from now on."""

    ticket: str


@dataclass(frozen=True, slots=True)
class WaitRefused:
    """The queue takes no more (`max_waiting`)."""

    ticket: str


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The process that carried these legs died; their dialogs are being released for it.

    Attributes:
        legs: UniqueIDs of the legs that it carried.
    """

    legs: tuple[str, ...]


LegEvent = (
    LegArrived
    | LegPlaced
    | LegRang
    | LegEarlyMediaStarted
    | LegAnswered
    | LegEnded
    | DigitPressed
    | SpeechStarted
    | SpeechStopped
    | BeepHeard
    | JoinFailed
)
"""What a worker reports of one leg, and concerns the party whose leg it is."""

Notice = PlaybackFinished | RecordingFinished | AgentsOffered | QueuePosition | WaitBegun | WaitRefused
"""What concerns whoever has asked for it, whosever leg it is about."""

Event = LegEvent | Notice | WorkerLost
"""Everything that a call can be told."""

PortEvent = LegEvent | PlaybackFinished | RecordingFinished | MessagesSeen | WorkerLost
"""Everything that the SIP port reports."""
