"""The wire between the server and a worker: typed messages in msgpack, one per datagram of a SOCK_SEQPACKET pair.

The domain's own frozen events and commands travel as they are. Nothing is ever unpickled: a worker parses what the
network sends, so what it says is decoded by type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from sipcore.domain.commands import (
    AnswerLeg,
    BridgeLegs,
    EchoLeg,
    HangUpLeg,
    JoinRoom,
    LeaveRoom,
    LegCommand,
    ListenForSpeech,
    PassAudio,
    PlaceLeg,
    PlayAudio,
    PlayTone,
    SendDigit,
    StartRecording,
    StopListening,
    StopPlaying,
    StopRecording,
)
from sipcore.domain.directory import Trunk
from sipcore.domain.events import (
    BeepHeard,
    DigitPressed,
    LegAnswered,
    LegEarlyMediaStarted,
    LegEnded,
    LegEvent,
    LegPlaced,
    LegRang,
    MessagesSeen,
    PlaybackFinished,
    RecordingFinished,
    SpeechStarted,
    SpeechStopped,
)

MAX_DATAGRAM = 131072
"""Octets; a SIP message of 64 kB and its envelope fit."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What a worker is started with.

    Attributes:
        address: IPv4 address for SIP and RTP.
        sip_port: its own UDP (and, once asked for, TCP) port.
        rtp_port, rtp_ports: first port and number of ports of its own RTP range.
        peers: IPv4 addresses and networks that may talk SIP to it.
        uid, gid: what it becomes when it is started as root, or None.
        recordings: folder that it writes recordings into, as `ID.wav`; empty: it records nothing.
    """

    address: str
    sip_port: int
    rtp_port: int
    rtp_ports: int
    peers: tuple[str, ...]
    uid: int | None = None
    gid: int | None = None
    recordings: str = ""


@dataclass(frozen=True, slots=True)
class UseTrunk:
    """Have an account for a trunk, as it is now.

    Attributes:
        trunk: its settings, credentials included.
        proxy_address: resolved IPv4 address of its next hop.
        registrar_address: resolved IPv4 address of its registrar, or None.
    """

    trunk: Trunk
    proxy_address: str
    registrar_address: str | None = None


@dataclass(frozen=True, slots=True)
class PlaceLegAt:
    """Carry out a `PlaceLeg`.

    Attributes:
        command: the leg.
        address: what the host of its plan, or of its trunk's next hop, resolved to.
        trunk: the trunk that its plan names, as it is now: a worker may not know it yet, or may have forgotten it.
    """

    command: PlaceLeg
    address: str
    trunk: Trunk | None = None


@dataclass(frozen=True, slots=True)
class Register:
    """Send a REGISTER for a trunk that `UseTrunk` named before."""

    trunk: str


@dataclass(frozen=True, slots=True)
class DropTrunk:
    """Forget a trunk, and take its binding back."""

    trunk: str


@dataclass(frozen=True, slots=True)
class AllowPeers:
    """Replace the addresses and networks that may talk SIP to the worker."""

    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AllowIncoming:
    """Say how many calls may come in. Until it is said the answer to every INVITE is 404.

    Attributes:
        legs: how many legs that came in the worker may hold at once, those that it holds already included: an INVITE
            beyond them gets 503 and takes no call slot. -1: calls that come in are not wanted at all, and get 404.
        offers: how many `LegOffered` of this worker are decided on already. Each one beyond them may need a slot for a
            leg of ours beside its own, so that a burst of INVITEs takes no slot that is about to be reserved.
    """

    legs: int
    offers: int


@dataclass(frozen=True, slots=True)
class Retire:
    """Release everything and exit."""


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The worker can place legs.

    Attributes:
        max_legs: how many the library carries at once, as it says itself.
    """

    max_legs: int


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """The worker could not start, or cannot go on, and exits.

    Attributes:
        reason: in words, for example that its port is in use.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class CommandFailed:
    """A command could not be carried out, and nothing hangs on it.

    Attributes:
        command: which.
        leg: UniqueID that it was about, or empty.
        reason: the library's words.
    """

    command: str
    leg: str
    reason: str


@dataclass(frozen=True, slots=True)
class DialogNoted:
    """One message of a leg's dialog, for the journal: its INVITE, or a response that carries a To tag.

    Attributes:
        leg: UniqueID.
        text: the whole message as it was on the wire.
    """

    leg: str
    text: str


@dataclass(frozen=True, slots=True)
class LegOffered:
    """An INVITE came in and was let in; it waits for an `AnswerLeg`.

    What the far end wrote is told only where it is a number or a name: `[0-9A-Za-z*#+._-]{1,64}` after unescaping.

    Attributes:
        leg: its Call-ID as the far end chose it: any text, up to 255 characters.
        number: user part of its Request-URI, or empty.
        caller: user part of its P-Asserted-Identity, or of its From without one, or empty.
        to: user part of its P-Called-Party-ID, or of its To without one, or empty.
        origin: what the edge says of where it came from (`domain.edge`); others may write it, too.
        source: IPv4 address that it came from.
        port: port that it came from.
    """

    leg: str
    number: str
    caller: str
    to: str
    origin: str
    source: str
    port: int


@dataclass(frozen=True, slots=True)
class ExpectLink:
    """Answer the INVITE with this Call-ID at once, whatever `AllowIncoming` says: another of our workers sends it.

    Until that leg has ended, or `HangUpLeg` has come before it, the worker answers with one `LegEnded`.
    """

    leg: str


@dataclass(frozen=True, slots=True)
class LinkExpected:
    """The worker is ready for the INVITE of a link."""

    leg: str


@dataclass(frozen=True, slots=True)
class RegistrationAnswered:
    """A REGISTER got its final answer.

    Attributes:
        trunk: name of the trunk.
        sip_code, reason: the answer; 408 when none came.
        expires_seconds: granted time, 0 when not granted.
    """

    trunk: str
    sip_code: int
    reason: str
    expires_seconds: int


ToWorker = LegCommand | PlaceLegAt | UseTrunk | Register | DropTrunk | AllowPeers | AllowIncoming | Retire | ExpectLink
FromWorker = (
    LegEvent
    | PlaybackFinished
    | RecordingFinished
    | MessagesSeen
    | WorkerReady
    | WorkerFailed
    | CommandFailed
    | DialogNoted
    | LegOffered
    | RegistrationAnswered
    | LinkExpected
)

_TYPES: tuple[type[Any], ...] = (
    HangUpLeg, AnswerLeg, BridgeLegs, PassAudio, PlayTone, PlayAudio, StopPlaying, EchoLeg, JoinRoom, LeaveRoom,
    SendDigit, StartRecording, StopRecording, ListenForSpeech, StopListening,
    PlaceLegAt, UseTrunk, Register, DropTrunk, AllowPeers, AllowIncoming, Retire,
    LegPlaced, LegRang, LegEarlyMediaStarted, LegAnswered, LegEnded, DigitPressed,
    SpeechStarted, SpeechStopped, BeepHeard, PlaybackFinished, RecordingFinished, MessagesSeen,
    WorkerReady, WorkerFailed, CommandFailed, DialogNoted, LegOffered, RegistrationAnswered,
    ExpectLink, LinkExpected,
)  # fmt: skip
_DECODERS = {kind.__name__: msgspec.msgpack.Decoder(kind) for kind in _TYPES}
_ENCODER = msgspec.msgpack.Encoder()
_ENVELOPE = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw])


def encode(message: ToWorker | FromWorker) -> bytes:
    """Write one message."""
    return _ENCODER.encode((type(message).__name__, message))


def decode(datagram: bytes) -> Any:
    """Read one message.

    Raises:
        msgspec.DecodeError: the datagram is not one of ours.
    """
    try:
        name, body = _ENVELOPE.decode(datagram)
        decoder = _DECODERS.get(name)
        if decoder is None:
            raise msgspec.ValidationError(f"unknown message {name!r}")
        return decoder.decode(body)
    except UnicodeDecodeError as error:
        raise msgspec.ValidationError(f"a text that is not UTF-8: {error}") from error
