"""The party that called us: one leg that came in, answered when the other side has answered."""

from __future__ import annotations

from enum import StrEnum

from sipcore.domain.causes import WITHDRAWN, WORKER_DIED, Disposition, Outcome, outcome_of
from sipcore.domain.commands import AnswerLeg, BridgeLegs, Command, HangUpLeg, SendDigit, StopPlaying
from sipcore.domain.events import DigitPressed, EndedBy, Event, LegAnswered, LegEnded, LegEvent, WorkerLost
from sipcore.domain.machine import IGNORED, Machine
from sipcore.domain.party import Clock, NewsKind, PartyBase
from sipcore.domain.phone import NOT_A_PHONES_BUSINESS, RELEASE_SECONDS
from sipcore.domain.record import LegRecord

REFUSALS: dict[Disposition, int] = {
    Disposition.BUSY: 486,
    Disposition.NO_ANSWER: 480,
    Disposition.NOT_CONNECTED: 404,
    Disposition.UNREACHABLE: 503,
    Disposition.CANCELLED: 480,
    Disposition.INTERRUPTED: 503,
}
"""Final status for a caller whose call was not answered, by why."""
_TEMPORARILY_UNAVAILABLE = 480
_RINGING = 180


class IncomingState(StrEnum):
    """Where the caller's leg stands."""

    WAITING = "waiting"
    UP = "up"
    WITHDRAWING = "withdrawing"
    OVER = "over"


_TABLE: dict[tuple[IncomingState, type[Event]], str] = {
    (IncomingState.WAITING, LegEnded): "_gave_up",
    (IncomingState.WAITING, WorkerLost): "_lost",
    # Whoever it waits for had it answered, to play music to it.
    (IncomingState.WAITING, LegAnswered): "_answered_meanwhile",
    # Keys in early media belong to nobody yet.
    (IncomingState.WAITING, DigitPressed): IGNORED,
    # The ACK of our 200.
    (IncomingState.UP, LegAnswered): IGNORED,
    (IncomingState.UP, LegEnded): "_left",
    (IncomingState.UP, WorkerLost): "_lost",
    (IncomingState.UP, DigitPressed): "_digit",
    (IncomingState.WITHDRAWING, LegEnded): "_gone",
    (IncomingState.WITHDRAWING, WorkerLost): "_gone",
    # The ACK that crosses our BYE, or a 200 that whoever it waited for had us send before we refused.
    (IncomingState.WITHDRAWING, LegAnswered): "_answered_too_late",
    (IncomingState.WITHDRAWING, DigitPressed): IGNORED,
    (IncomingState.OVER, LegEnded): IGNORED,
    (IncomingState.OVER, WorkerLost): IGNORED,
    (IncomingState.OVER, LegAnswered): "_answered_too_late",
    (IncomingState.OVER, DigitPressed): IGNORED,
}


class IncomingParty(PartyBase, Machine[IncomingState]):
    """Whoever called us. It counts as answered for its call from the start; its INVITE is answered by `accept`.

    Args:
        leg: its Call-ID, which the far end chose.
        number: its caller identity.
    """

    def __init__(self, leg: str, number: str) -> None:
        PartyBase.__init__(self, leg)
        Machine.__init__(self, f"incoming {leg}", IncomingState.WAITING)
        self._number = number
        self._deadline: float | None = None
        self._ended_by: EndedBy | None = None
        self._sip_code: int | None = None
        self._arrived: float | None = None
        self._answered: float | None = None
        self._ended: float | None = None

    @property
    def leg(self) -> str:
        """Its leg."""
        return self._uid

    @property
    def up(self) -> bool:
        """True between our answer and its end."""
        return self.state is IncomingState.UP

    @property
    def released(self) -> bool:
        """True when the leg is over."""
        return self.state is IncomingState.OVER

    def owns(self, leg: str) -> bool:
        """Tell whether it is this one's leg."""
        return leg == self._uid

    def start(self, now: float, listener: str | None = None) -> list[Command]:  # noqa: ARG002 - the parties' shape
        """Let the caller hear that it rings, and the call ring whom it wants."""
        self._arrived = now
        self._tell(NewsKind.ANSWERED)
        return [AnswerLeg(self._uid, _RINGING)]

    def accept(self, now: float) -> list[Command]:
        """Answer the INVITE, unless that was done before."""
        if self.state is not IncomingState.WAITING:
            return []
        self._go_up("accept", now)
        return [AnswerLeg(self._uid)]

    def refuse(self, outcome: Outcome, now: float) -> list[Command]:
        """Answer the INVITE with the status that tells why nobody else did."""
        return self._turn_away(REFUSALS.get(outcome.disposition, _TEMPORARILY_UNAVAILABLE), outcome, now)

    def join(self, other: str, now: float) -> list[Command]:  # noqa: ARG002 - the parties' common shape
        """Join the audio of both legs."""
        return [StopPlaying(other), BridgeLegs(other, self._uid)]

    def press(self, digit: str, duration_ms: int, now: float) -> list[Command]:  # noqa: ARG002 - as above
        """Send the key on."""
        return [SendDigit(self._uid, digit, duration_ms)]

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Refuse or release the leg, whichever its state asks for."""
        if self.state in (IncomingState.WITHDRAWING, IncomingState.OVER):
            return []
        if self.state is IncomingState.WAITING:
            return self._turn_away(_TEMPORARILY_UNAVAILABLE, WITHDRAWN, now)
        self._outcome = outcome_of(200, rang=True, answered=True)
        self._deadline = now + RELEASE_SECONDS
        self._enter(IncomingState.WITHDRAWING, "withdraw")
        return [HangUpLeg(self._uid, reason)]

    def feed(self, event: Event, now: float) -> list[Command]:
        """Take an event of the leg.

        Raises:
            InvalidTransitionError: the event cannot happen in this state.
        """
        if not isinstance(event, LegEvent | WorkerLost) or isinstance(event, NOT_A_PHONES_BUSINESS):
            return []
        method = self._method(_TABLE, (self.state, type(event)), type(event).__name__)
        commands: list[Command] = [] if method == IGNORED else getattr(self, method)(event, now)
        return commands

    def next_deadline(self) -> float | None:
        """End of the time that a release may take."""
        return self._deadline

    def on_deadline(self, now: float) -> list[Command]:
        """Stop waiting for the release."""
        if self._deadline is not None and now >= self._deadline:
            self._over("release deadline", now, "network")
        return []

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell what became of the leg so far."""
        record = LegRecord(
            uid=self._uid,
            number=self._number,
            disposition=self._outcome.disposition if self._outcome else None,
            sip_code=self._sip_code,
            cause=self._outcome.cause if self._outcome else None,
            ended_by=self._ended_by,
            placed_at=None if self._arrived is None else at(self._arrived),
            ringing_at=None if self._arrived is None else at(self._arrived),
            answered_at=None if self._answered is None else at(self._answered),
            ended_at=None if self._ended is None else at(self._ended),
        )
        return (record,)

    def _turn_away(self, sip_code: int, outcome: Outcome, now: float) -> list[Command]:
        if self.state is not IncomingState.WAITING:
            return self.withdraw(now)
        self._outcome = outcome
        self._sip_code = sip_code
        self._deadline = now + RELEASE_SECONDS
        self._enter(IncomingState.WITHDRAWING, f"refuse {sip_code}")
        return [AnswerLeg(self._uid, sip_code)]

    def _go_up(self, because: str, now: float) -> None:
        self._answered = now
        self._sip_code = 200
        self._enter(IncomingState.UP, because)

    def _answered_meanwhile(self, _event: LegAnswered, now: float) -> list[Command]:
        self._go_up("answered meanwhile", now)
        return []

    def _over(self, because: str, now: float, ended_by: EndedBy) -> None:
        self._deadline = None
        self._ended_by = ended_by
        self._ended = now
        self._enter(IncomingState.OVER, because)

    def _gave_up(self, event: LegEnded, now: float) -> list[Command]:
        self._sip_code = event.sip_code
        self._outcome = WITHDRAWN
        self._over(str(event.sip_code), now, event.ended_by)
        self._tell(NewsKind.LEFT)
        return []

    def _left(self, event: LegEnded, now: float) -> list[Command]:
        self._outcome = outcome_of(200, rang=True, answered=True, q850_cause=event.q850_cause)
        self._over("ended", now, event.ended_by)
        self._tell(NewsKind.LEFT)
        return []

    def _lost(self, _event: WorkerLost, now: float) -> list[Command]:
        self._outcome = Outcome(Disposition.ANSWERED, WORKER_DIED.cause) if self.up else WORKER_DIED
        self._over("worker lost", now, "network")
        self._tell(NewsKind.LEFT)
        return []

    def _digit(self, event: DigitPressed, _now: float) -> list[Command]:
        self._tell(NewsKind.DIGIT, event.digit, event.duration_ms)
        return []

    def _answered_too_late(self, _event: LegAnswered, _now: float) -> list[Command]:
        return [HangUpLeg(self._uid)]

    def _gone(self, event: LegEnded | WorkerLost, now: float) -> list[Command]:
        self._over("gone", now, "network" if isinstance(event, WorkerLost) else "local")
        return []
