"""The party that is one phone: one INVITE, its ringing time, and its release."""

from __future__ import annotations

from enum import StrEnum

from sipcore.domain.causes import OWN_TIMEOUT, WITHDRAWN, outcome_of
from sipcore.domain.commands import Command, HangUpLeg, LegPlan, PassAudio, PlaceLeg, PlayTone, StopPlaying
from sipcore.domain.events import (
    DigitPressed,
    Event,
    LegAnswered,
    LegEarlyMediaStarted,
    LegEnded,
    LegPlaced,
    LegRang,
    WorkerLost,
)
from sipcore.domain.leg_party import LegParty, LegStates, Steps
from sipcore.domain.machine import IGNORED
from sipcore.domain.party import NewsKind
from sipcore.domain.tones import ToneKind, tone


class PhoneState(StrEnum):
    """Where the phone's leg stands."""

    IDLE = "idle"
    CALLING = "calling"
    RINGING = "ringing"
    UP = "up"
    WITHDRAWING = "withdrawing"
    OVER = "over"


_STATES = LegStates(PhoneState.UP, PhoneState.WITHDRAWING, PhoneState.OVER)
_TABLE: dict[tuple[PhoneState, type[Event]], str] = {
    **_STATES.table,
    # A worker that dies before our leg was placed takes nothing of ours with it.
    (PhoneState.IDLE, WorkerLost): IGNORED,
    (PhoneState.CALLING, LegPlaced): "_placed",
    (PhoneState.CALLING, LegRang): "_rang",
    (PhoneState.CALLING, LegEarlyMediaStarted): "_early_media",
    (PhoneState.CALLING, LegAnswered): "_answered",
    (PhoneState.CALLING, LegEnded): "_failed",
    (PhoneState.CALLING, WorkerLost): "_lost",
    # Digits in early media belong to nobody yet.
    (PhoneState.CALLING, DigitPressed): IGNORED,
    (PhoneState.RINGING, LegPlaced): "_placed",
    (PhoneState.RINGING, LegRang): "_rang",
    (PhoneState.RINGING, LegEarlyMediaStarted): "_early_media",
    (PhoneState.RINGING, LegAnswered): "_answered",
    (PhoneState.RINGING, LegEnded): "_failed",
    (PhoneState.RINGING, WorkerLost): "_lost",
    (PhoneState.RINGING, DigitPressed): IGNORED,
    # A 18x of another fork that a proxy delivered late (RFC 3261 section 13.2.2.4).
    (PhoneState.UP, LegRang): IGNORED,
    (PhoneState.UP, LegEarlyMediaStarted): IGNORED,
    (PhoneState.UP, LegPlaced): IGNORED,
    (PhoneState.WITHDRAWING, LegPlaced): "_placed",
    (PhoneState.WITHDRAWING, LegRang): IGNORED,
    (PhoneState.WITHDRAWING, LegEarlyMediaStarted): IGNORED,
    (PhoneState.OVER, LegPlaced): IGNORED,
    (PhoneState.OVER, LegRang): IGNORED,
    (PhoneState.OVER, LegEarlyMediaStarted): IGNORED,
}


class PhoneParty(LegParty[PhoneState]):
    """One phone, rung once.

    Args:
        leg: UniqueID of its leg.
        plan: its INVITE.
        ring_seconds: how long it may ring before it counts as not answered.
        country: whose ringback whoever waits for it hears (ISO 3166-1 alpha-2).
        contest: True when it rings beside others for the same call.
    """

    _lost_before_its_answer = NewsKind.FAILED

    def __init__(
        self, leg: str, plan: LegPlan, ring_seconds: float, *, country: str = "US", contest: bool = False
    ) -> None:
        super().__init__(leg, plan.user, PhoneState.IDLE, _STATES, _TABLE, extension=plan.extension)
        self._plan = plan
        self._ring_seconds = ring_seconds
        self._country = country
        self._contest = contest
        self._listener: str | None = None

    @property
    def released(self) -> bool:
        """True when the leg is over or was never placed."""
        return self.state in (PhoneState.IDLE, PhoneState.OVER)

    def start(self, now: float, listener: str | None = None) -> list[Command]:
        """Send the INVITE, and let the listener hear ringback until there is early media."""
        self._deadline = now + self._ring_seconds
        self._listener = listener
        self._enter(PhoneState.CALLING, "start")
        placed = PlaceLeg(self._uid, self._plan, self._contest)
        if listener is None:
            return [placed]
        return [placed, PlayTone(listener, tone(ToneKind.RINGBACK, self._country))]

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Release the leg, whatever its state."""
        if self.released or self.state is PhoneState.WITHDRAWING:
            return []
        self._outcome = outcome_of(200, rang=True, answered=True) if self.up else WITHDRAWN
        self._withdraw("withdraw", now)
        return [HangUpLeg(self._uid, reason)]

    def on_deadline(self, now: float) -> list[Command]:
        """Stop ringing, or stop waiting for the release."""
        if self.state is PhoneState.WITHDRAWING or self._deadline is None or now < self._deadline:
            return super().on_deadline(now)
        self._outcome = OWN_TIMEOUT
        self._tell(NewsKind.FAILED)
        self._withdraw("ringing time is up", now)
        return [HangUpLeg(self._uid)]

    def _placed(self, _event: LegPlaced, now: float) -> list[Command]:
        # An INVITE is sent again with credentials or to where a 302 pointed: the first one counts.
        if self._steps == Steps():
            self._step(placed=now)
        return []

    def _rang(self, event: LegRang, now: float) -> list[Command]:
        if self._steps.ringing is None:
            self._step(ringing=now)
            self._enter(PhoneState.RINGING, str(event.sip_code))
            self._tell(NewsKind.RANG)
        return []

    def _early_media(self, _event: LegEarlyMediaStarted, _now: float) -> list[Command]:
        if self._listener is None:
            return []
        return [StopPlaying(self._listener), PassAudio(self._uid, self._listener)]

    def _answered(self, _event: LegAnswered, now: float) -> list[Command]:
        self._deadline = None
        self._go_up("answered", now)
        self._tell(NewsKind.ANSWERED)
        return []

    def _failed(self, event: LegEnded, now: float) -> list[Command]:
        rang = self._steps.ringing is not None
        self._sip_code = event.sip_code
        self._outcome = outcome_of(event.sip_code, rang=rang, answered=False, q850_cause=event.q850_cause)
        self._over(str(event.sip_code), now, event.ended_by)
        self._tell(NewsKind.FAILED)
        return []
