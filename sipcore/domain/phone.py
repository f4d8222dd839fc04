"""The party that is one phone: one INVITE, its ringing time, and its release."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from sipcore.domain.causes import OWN_TIMEOUT, WITHDRAWN, WORKER_DIED, Disposition, Outcome, outcome_of
from sipcore.domain.commands import (
    BridgeLegs,
    Command,
    HangUpLeg,
    LegPlan,
    PassAudio,
    PlaceLeg,
    PlayTone,
    SendDigit,
    StopPlaying,
)
from sipcore.domain.events import (
    BeepHeard,
    DigitPressed,
    EndedBy,
    Event,
    JoinFailed,
    LegAnswered,
    LegEarlyMediaStarted,
    LegEnded,
    LegEvent,
    LegPlaced,
    LegRang,
    SpeechStarted,
    SpeechStopped,
    WorkerLost,
)
from sipcore.domain.machine import IGNORED, Machine
from sipcore.domain.party import Clock, NewsKind, PartyBase
from sipcore.domain.record import LegRecord
from sipcore.domain.tones import ToneKind, tone

RELEASE_SECONDS = 40.0
"""How long a leg that we hung up may take to end: 64*T1 (RFC 3261 timer B and F, 32 s) and a margin."""


class PhoneState(StrEnum):
    """Where the phone's leg stands."""

    IDLE = "idle"
    CALLING = "calling"
    RINGING = "ringing"
    UP = "up"
    WITHDRAWING = "withdrawing"
    OVER = "over"


_TABLE: dict[tuple[PhoneState, type[Event]], str] = {
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
    (PhoneState.UP, LegEnded): "_left",
    (PhoneState.UP, WorkerLost): "_lost",
    (PhoneState.UP, DigitPressed): "_digit",
    # A retransmitted 2xx, and a 18x of another fork that a proxy delivered late (RFC 3261 section 13.2.2.4).
    (PhoneState.UP, LegAnswered): IGNORED,
    (PhoneState.UP, LegRang): IGNORED,
    (PhoneState.UP, LegEarlyMediaStarted): IGNORED,
    (PhoneState.UP, LegPlaced): IGNORED,
    (PhoneState.WITHDRAWING, LegEnded): "_gone",
    (PhoneState.WITHDRAWING, WorkerLost): "_gone_with_worker",
    # A 200 that crosses our CANCEL: the dialog exists and must be ended by BYE (RFC 3261 section 9.1).
    (PhoneState.WITHDRAWING, LegAnswered): "_answered_too_late",
    # What the far end sent before it saw our CANCEL or BYE.
    (PhoneState.WITHDRAWING, LegPlaced): "_placed",
    (PhoneState.WITHDRAWING, LegRang): IGNORED,
    (PhoneState.WITHDRAWING, LegEarlyMediaStarted): IGNORED,
    (PhoneState.WITHDRAWING, DigitPressed): IGNORED,
    # A second BYE, BYE crossing BYE, or anything else of a dialog that both sides have left.
    (PhoneState.OVER, LegEnded): IGNORED,
    (PhoneState.OVER, WorkerLost): IGNORED,
    (PhoneState.OVER, LegPlaced): IGNORED,
    (PhoneState.OVER, LegRang): IGNORED,
    (PhoneState.OVER, LegEarlyMediaStarted): IGNORED,
    (PhoneState.OVER, DigitPressed): IGNORED,
    # The release deadline gave the leg up, and its answer comes all the same.
    (PhoneState.OVER, LegAnswered): "_answered_too_late",
}


@dataclass(frozen=True, slots=True)
class _Steps:
    """When each step happened, in the machine's time."""

    placed: float | None = None
    ringing: float | None = None
    answered: float | None = None
    ended: float | None = None


NOT_A_PHONES_BUSINESS = (SpeechStarted, SpeechStopped, BeepHeard, JoinFailed)
"""Events of its leg that are for whoever listens to it, or joined it, and may come after they have lost interest."""


class PhoneParty(PartyBase, Machine[PhoneState]):
    """One phone, rung once.

    Args:
        leg: UniqueID of its leg.
        plan: its INVITE.
        ring_seconds: how long it may ring before it counts as not answered.
        country: whose ringback whoever waits for it hears (ISO 3166-1 alpha-2).
        contest: True when it rings beside others for the same call.
    """

    def __init__(
        self, leg: str, plan: LegPlan, ring_seconds: float, *, country: str = "US", contest: bool = False
    ) -> None:
        PartyBase.__init__(self, leg)
        Machine.__init__(self, f"phone {leg}", PhoneState.IDLE)
        self._plan = plan
        self._ring_seconds = ring_seconds
        self._country = country
        self._contest = contest
        self._listener: str | None = None
        self._deadline: float | None = None
        self._steps = _Steps()
        self._sip_code: int | None = None
        self._ended_by: EndedBy | None = None

    @property
    def leg(self) -> str:
        """UniqueID of the leg."""
        return self._uid

    @property
    def up(self) -> bool:
        """True between its answer and its end."""
        return self.state is PhoneState.UP

    def owns(self, leg: str) -> bool:
        """Tell whether it is this one's leg."""
        return leg == self._uid

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

    def join(self, other: str, now: float) -> list[Command]:  # noqa: ARG002 - the parties' common shape
        """Join the audio of both legs."""
        return [StopPlaying(other), BridgeLegs(other, self._uid)]

    def press(self, digit: str, duration_ms: int, now: float) -> list[Command]:  # noqa: ARG002 - as above
        """Send the key on: the bridge mixes audio only."""
        return [SendDigit(self._uid, digit, duration_ms)]

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Release the leg, whatever its state."""
        if self.released or self.state is PhoneState.WITHDRAWING:
            return []
        answered = self.state is PhoneState.UP
        self._outcome = outcome_of(200, rang=True, answered=True) if answered else WITHDRAWN
        return self._withdraw("withdraw", now, reason)

    def feed(self, event: Event, now: float) -> list[Command]:
        """Take an event of the leg.

        Raises:
            InvalidTransitionError: the event cannot happen in this state.
        """
        if not isinstance(event, LegEvent | WorkerLost) or isinstance(event, NOT_A_PHONES_BUSINESS):
            return []
        name = type(event).__name__
        method = self._method(_TABLE, (self.state, type(event)), name)
        commands: list[Command] = [] if method == IGNORED else getattr(self, method)(event, now)
        return commands

    def next_deadline(self) -> float | None:
        """End of the ringing time, or of the time that a release may take."""
        return self._deadline

    def on_deadline(self, now: float) -> list[Command]:
        """Stop ringing, or stop waiting for the release."""
        if self._deadline is None or now < self._deadline:
            return []
        if self.state is PhoneState.WITHDRAWING:
            self._over("release deadline", now, "network")
            return []
        self._outcome = OWN_TIMEOUT
        self._tell(NewsKind.FAILED)
        return self._withdraw("ringing time is up", now)

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell what became of the leg so far."""
        steps = self._steps
        record = LegRecord(
            uid=self._uid,
            number=self._plan.user,
            disposition=self._outcome.disposition if self._outcome else None,
            sip_code=self._sip_code,
            cause=self._outcome.cause if self._outcome else None,
            ended_by=self._ended_by,
            placed_at=None if steps.placed is None else at(steps.placed),
            ringing_at=None if steps.ringing is None else at(steps.ringing),
            answered_at=None if steps.answered is None else at(steps.answered),
            ended_at=None if steps.ended is None else at(steps.ended),
        )
        return (record,)

    def _withdraw(self, because: str, now: float, reason: str = "") -> list[Command]:
        self._deadline = now + RELEASE_SECONDS
        self._enter(PhoneState.WITHDRAWING, because)
        return [HangUpLeg(self._uid, reason)]

    def _over(self, because: str, now: float, ended_by: EndedBy) -> None:
        self._deadline = None
        self._ended_by = ended_by
        self._steps = replace(self._steps, ended=now)
        self._enter(PhoneState.OVER, because)

    def _placed(self, _event: LegPlaced, now: float) -> list[Command]:
        # An INVITE is sent again with credentials or to where a 302 pointed: the first one counts.
        if self._steps == _Steps():
            self._steps = replace(self._steps, placed=now)
        return []

    def _rang(self, event: LegRang, now: float) -> list[Command]:
        if self._steps.ringing is None:
            self._steps = replace(self._steps, ringing=now)
            self._enter(PhoneState.RINGING, str(event.sip_code))
            self._tell(NewsKind.RANG)
        return []

    def _early_media(self, _event: LegEarlyMediaStarted, _now: float) -> list[Command]:
        if self._listener is None:
            return []
        return [StopPlaying(self._listener), PassAudio(self._uid, self._listener)]

    def _answered(self, _event: LegAnswered, now: float) -> list[Command]:
        self._deadline = None
        self._sip_code = 200
        self._steps = replace(self._steps, answered=now)
        self._enter(PhoneState.UP, "answered")
        self._tell(NewsKind.ANSWERED)
        return []

    def _failed(self, event: LegEnded, now: float) -> list[Command]:
        rang = self._steps.ringing is not None
        self._sip_code = event.sip_code
        self._outcome = outcome_of(event.sip_code, rang=rang, answered=False, q850_cause=event.q850_cause)
        self._over(str(event.sip_code), now, event.ended_by)
        self._tell(NewsKind.FAILED)
        return []

    def _left(self, event: LegEnded, now: float) -> list[Command]:
        self._outcome = outcome_of(200, rang=True, answered=True, q850_cause=event.q850_cause)
        self._over("ended", now, event.ended_by)
        self._tell(NewsKind.LEFT)
        return []

    def _lost(self, _event: WorkerLost, now: float) -> list[Command]:
        was_up = self.state is PhoneState.UP
        self._outcome = Outcome(Disposition.ANSWERED, WORKER_DIED.cause) if was_up else WORKER_DIED
        self._over("worker lost", now, "network")
        self._tell(NewsKind.LEFT if was_up else NewsKind.FAILED)
        return []

    def _digit(self, event: DigitPressed, _now: float) -> list[Command]:
        self._tell(NewsKind.DIGIT, event.digit, event.duration_ms)
        return []

    def _gone(self, event: LegEnded, now: float) -> list[Command]:
        if self._sip_code is None:
            self._sip_code = event.sip_code
        self._over(str(event.sip_code), now, "local")
        return []

    def _gone_with_worker(self, _event: WorkerLost, now: float) -> list[Command]:
        self._over("worker lost", now, "network")
        return []

    def _answered_too_late(self, _event: LegAnswered, _now: float) -> list[Command]:
        return [HangUpLeg(self._uid)]
