"""What the SIP port shall do: imperative, frozen, made by the call and carried out by a worker."""

from __future__ import annotations

from dataclasses import dataclass

from sipcore.domain.directory import SipHost
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
    """

    user: str
    at: SipHost
    trunk: str | None
    from_uri: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PlaceLeg:
    """Send an INVITE whose Call-ID is `leg`."""

    leg: str
    plan: LegPlan


@dataclass(frozen=True, slots=True)
class HangUpLeg:
    """End the leg, whatever its state: CANCEL before the answer, BYE after it."""

    leg: str


@dataclass(frozen=True, slots=True)
class BridgeLegs:
    """Join the audio of two answered legs in the conference bridge, both directions."""

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
class StopPlaying:
    """Stop the tone that the leg hears, if any."""

    leg: str


@dataclass(frozen=True, slots=True)
class SendDigit:
    """Send one DTMF digit to the leg: an RFC 4733 event, or SIP INFO where the far end did not offer those."""

    leg: str
    digit: str
    duration_ms: int = 0


LegCommand = PlaceLeg | HangUpLeg | BridgeLegs | PassAudio | PlayTone | StopPlaying | SendDigit
"""What a worker carries out."""


@dataclass(frozen=True, slots=True)
class ReportFirstStage:
    """Tell whoever asked for the call how its first stage ended.

    Attributes:
        fail_reason: None when destination 1 answered, else the contract's word, for example `Busy`.
    """

    fail_reason: str | None


Command = LegCommand | ReportFirstStage
"""Everything that a call may want done."""
