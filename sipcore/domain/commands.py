"""What the SIP port shall do: imperative, frozen, made by the call and carried out by a worker."""

from __future__ import annotations

from dataclasses import dataclass

from sipcore.domain.directory import SipHost
from sipcore.domain.recording import Channel
from sipcore.domain.tones import Tone


@dataclass(frozen=True, slots=True)
class LegPlan:
    """Everything that an INVITE needs, made of settings and checked digits only.

    Attributes:
        user: user part of the Request-URI: `[0-9*#+]{1,32}`, or a name from the settings.
        at: where the INVITE goes; host part of the Request-URI.
        trunk: name of the trunk whose account (and credentials) it uses; None: an account without credentials.
        from_uri: the From name-addr, for example `"Alice" <sip:+12025550101@trunk.example>`.
        headers: further header names and values (RFC 3325 P-Asserted-Identity and the like).
        line: whom it rings, in the organisation's own terms (an extension's number, or E.164): who is in a call is
            counted by it.
    """

    user: str
    at: SipHost
    trunk: str | None
    from_uri: str
    headers: tuple[tuple[str, str], ...] = ()
    line: str = ""

    @property
    def extension(self) -> str | None:
        """The number of the organisation's own that it rings, or None: whom it rings is outside, or has no number."""
        return None if self.line.startswith("+") else self.line or None


@dataclass(frozen=True, slots=True)
class PlaceLeg:
    """Send an INVITE whose Call-ID is `leg`.

    Attributes:
        contest: True when it is one of several that ring for the same call: each needs a slot beside the others'.
    """

    leg: str
    plan: LegPlan
    contest: bool = False


@dataclass(frozen=True, slots=True)
class AnswerLeg:
    """Answer a leg that came in; nothing happens to one that is up already, or that we placed.

    Attributes:
        sip_code: 180 to ring, 200 to answer, 300 to 699 to refuse.
    """

    leg: str
    sip_code: int = 200


@dataclass(frozen=True, slots=True)
class HangUpLeg:
    """End the leg, whatever its state: CANCEL before the answer, BYE after it.

    Attributes:
        reason: value of a Reason header (RFC 3326) to send along, or empty.
    """

    leg: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BridgeLegs:
    """Join the audio of two answered legs, both directions; they may be on different workers."""

    leg: str
    other: str


@dataclass(frozen=True, slots=True)
class PassAudio:
    """Let `sink` hear `leg`, one direction only (early media before the answer)."""

    leg: str
    sink: str


@dataclass(frozen=True, slots=True)
class PlayTone:
    """Play a tone to the leg until `StopPlaying`, or until other audio is joined to it."""

    leg: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class PlayAudio:
    """Play audio files to the leg one after the other, in place of what is played to it, until `StopPlaying`.

    Attributes:
        playback: id that its `PlaybackFinished` carries.
        files: absolute paths of 16-bit mono WAV files at 8000 Hz that this program made itself.
        loop: True: begin again after the last, for ever.
    """

    leg: str
    playback: str
    files: tuple[str, ...]
    loop: bool = False


@dataclass(frozen=True, slots=True)
class StopPlaying:
    """Stop the tone or the files that the leg hears, if any."""

    leg: str


@dataclass(frozen=True, slots=True)
class EchoLeg:
    """Let the leg hear itself."""

    leg: str


@dataclass(frozen=True, slots=True)
class JoinRoom:
    """Join the leg's audio with that of every other leg in a conference room, until it ends.

    Attributes:
        room: name of the room, the same for all its legs on this node.
    """

    leg: str
    room: str


@dataclass(frozen=True, slots=True)
class LeaveRoom:
    """Let the leg, which goes on, hear nobody of the room that it is in any more, nor be heard there."""

    leg: str


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Record what the far end of the leg says, until `StopRecording` or the leg's end.

    Attributes:
        recording: id of what is recorded now, 32 hex digits; its `RecordingFinished` carries it.
        whole: id of the recording that it becomes a part of, 32 hex digits; empty: it is one by itself.
        channel: where in that one it is heard.
        owner: number of the extension that the recording belongs to, or empty.
    """

    leg: str
    recording: str
    whole: str = ""
    channel: Channel = Channel.MONO
    owner: str = ""


@dataclass(frozen=True, slots=True)
class StopRecording:
    """End a recording of the leg."""

    leg: str
    recording: str


@dataclass(frozen=True, slots=True)
class CloseRecording:
    """Nothing more becomes a part of a recording: it can be made ready while the call goes on."""

    recording: str


@dataclass(frozen=True, slots=True)
class ListenForSpeech:
    """Report the leg's `SpeechStarted`, `SpeechStopped` and `BeepHeard` until `StopListening` or its end."""

    leg: str


@dataclass(frozen=True, slots=True)
class StopListening:
    """End what `ListenForSpeech` began."""

    leg: str


@dataclass(frozen=True, slots=True)
class SendDigit:
    """Send one DTMF digit to the leg: an RFC 4733 event, or SIP INFO where the far end did not offer those."""

    leg: str
    digit: str
    duration_ms: int = 0


LegCommand = (
    PlaceLeg
    | AnswerLeg
    | HangUpLeg
    | BridgeLegs
    | PassAudio
    | PlayTone
    | PlayAudio
    | StopPlaying
    | EchoLeg
    | JoinRoom
    | LeaveRoom
    | StartRecording
    | StopRecording
    | ListenForSpeech
    | StopListening
    | SendDigit
)
"""What a worker carries out."""


@dataclass(frozen=True, slots=True)
class ReportFirstStage:
    """Tell whoever asked for the call how its first stage ended.

    Attributes:
        fail_reason: None when destination 1 answered, else the contract's word, for example `Busy`.
    """

    fail_reason: str | None


@dataclass(frozen=True, slots=True)
class JoinQueue:
    """Begin to wait in a queue; its answer is `AgentsOffered`, sooner or later.

    Attributes:
        ticket: UniqueID of the party that waits.
        queue: number of the queue.
        agent_first: True when nobody waits yet who could hear anything: an agent is rung before the other party.
    """

    ticket: str
    queue: str
    agent_first: bool = False


@dataclass(frozen=True, slots=True)
class LeaveQueue:
    """Wait no more: an agent has answered, or the party is gone.

    Attributes:
        agent: number of the agent who answered, or empty.
    """

    ticket: str
    queue: str
    agent: str = ""


@dataclass(frozen=True, slots=True)
class ReturnAgent:
    """An agent that was offered did not take the call; the ticket goes on waiting in its place.

    Attributes:
        reached: True when the agent's phone rang and was not answered, False when it was busy or unreachable.
    """

    ticket: str
    queue: str
    agent: str
    reached: bool = False


QueueCommand = JoinQueue | LeaveQueue | ReturnAgent
"""What the queues of the organisation carry out."""

Command = LegCommand | QueueCommand | CloseRecording | ReportFirstStage
"""Everything that a call may want done."""
