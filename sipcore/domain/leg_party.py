"""What the parties share that are one leg, whoever placed it: its end, its steps, its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Generic

from sipcore.domain.causes import WORKER_DIED, Disposition, Outcome, outcome_of
from sipcore.domain.commands import BridgeLegs, Command, HangUpLeg, SendDigit, StopPlaying
from sipcore.domain.events import (
    BeepHeard,
    DigitPressed,
    EndedBy,
    Event,
    JoinFailed,
    LegAnswered,
    LegEnded,
    LegEvent,
    SpeechStarted,
    SpeechStopped,
    WorkerLost,
)
from sipcore.domain.machine import IGNORED, Machine, StateT
from sipcore.domain.party import Clock, NewsKind, PartyBase
from sipcore.domain.quality import LegQuality
from sipcore.domain.record import LegRecord

RELEASE_SECONDS = 40.0
"""How long a leg that we hung up or refused may take to end: 64*T1 (RFC 3261 timer B and F, 32 s) and a margin."""

_FOR_OTHERS = (SpeechStarted, SpeechStopped, BeepHeard, JoinFailed)
"""Events of its leg that are for whoever listens to it, or joined it, and may come after they have lost interest."""

Table = Mapping[tuple[StateT, type[Event]], str]
"""From state and event to the method that acts."""


@dataclass(frozen=True, slots=True)
class LegStates(Generic[StateT]):
    """The states that every leg comes to: talking, being ended by us, and over."""

    up: StateT
    withdrawing: StateT
    over: StateT

    @property
    def table(self) -> dict[tuple[StateT, type[Event]], str]:
        """What happens in them."""
        return {
            (self.up, LegEnded): "_left",
            (self.up, WorkerLost): "_lost",
            (self.up, DigitPressed): "_digit",
            # A retransmitted 2xx of theirs, or the ACK of ours.
            (self.up, LegAnswered): IGNORED,
            (self.withdrawing, LegEnded): "_gone",
            (self.withdrawing, WorkerLost): "_gone",
            # A 200 that crosses our CANCEL or refusal: the dialog is there and must be ended (RFC 3261 section 9.1).
            (self.withdrawing, LegAnswered): "_answered_too_late",
            # What the far end sent before it saw our CANCEL or BYE.
            (self.withdrawing, DigitPressed): IGNORED,
            # A second BYE, BYE crossing BYE, or anything else of a dialog that both sides have left.
            (self.over, LegEnded): IGNORED,
            (self.over, WorkerLost): IGNORED,
            (self.over, DigitPressed): IGNORED,
            # The release deadline gave the leg up, and its answer comes all the same.
            (self.over, LegAnswered): "_answered_too_late",
        }


@dataclass(frozen=True, slots=True)
class Steps:
    """When each step of a leg happened, in the machine's time."""

    placed: float | None = None
    ringing: float | None = None
    answered: float | None = None
    ended: float | None = None


class LegParty(PartyBase, Machine[StateT]):
    """One leg.

    Args:
        leg: its UniqueID.
        number: as its record tells it.
        extension: the extension whose phone it is, or None.
        state: the first state.
        states: those that every leg comes to.
        table: all its transitions.
    """

    _lost_before_its_answer: ClassVar[NewsKind]
    """What the loss of its worker is to the call before it was answered."""

    def __init__(
        self,
        leg: str,
        number: str,
        state: StateT,
        states: LegStates[StateT],
        table: Table[StateT],
        *,
        extension: str | None = None,
    ) -> None:
        PartyBase.__init__(self, leg)
        Machine.__init__(self, f"{type(self).__name__} {leg}", state)
        self._number = number
        self._extension = extension
        self._states = states
        self._table = table
        self._deadline: float | None = None
        self._steps = Steps()
        self._sip_code: int | None = None
        self._ended_by: EndedBy | None = None
        self._quality: LegQuality | None = None

    @property
    def leg(self) -> str:
        """UniqueID of the leg."""
        return self._uid

    @property
    def up(self) -> bool:
        """True between its answer and its end."""
        return self.state is self._states.up

    def owns(self, leg: str) -> bool:
        """Tell whether it is this one's leg."""
        return leg == self._uid

    def join(self, other: str, now: float) -> list[Command]:  # noqa: ARG002 - the parties' common shape
        """Join the audio of both legs."""
        return [StopPlaying(other), BridgeLegs(other, self._uid)]

    def press(self, digit: str, duration_ms: int, now: float) -> list[Command]:  # noqa: ARG002 - as above
        """Send the key on: the bridge mixes audio only."""
        return [SendDigit(self._uid, digit, duration_ms)]

    def feed(self, event: Event, now: float) -> list[Command]:
        """Take an event of the leg.

        Raises:
            InvalidTransitionError: the event cannot happen in this state.
        """
        if not isinstance(event, LegEvent | WorkerLost) or isinstance(event, _FOR_OTHERS):
            return []
        method = self._method(self._table, (self.state, type(event)), type(event).__name__)
        if isinstance(event, LegEnded):
            self._quality = event.quality
        commands: list[Command] = [] if method == IGNORED else getattr(self, method)(event, now)
        return commands

    def next_deadline(self) -> float | None:
        """End of the ringing time, or of the time that a release may take."""
        return self._deadline

    def on_deadline(self, now: float) -> list[Command]:
        """Stop waiting for the release."""
        if self._deadline is not None and now >= self._deadline:
            self._over("release deadline", now, "network")
        return []

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell what became of the leg so far."""
        steps = self._steps
        record = LegRecord(
            uid=self._uid,
            number=self._number,
            disposition=self._outcome.disposition if self._outcome else None,
            sip_code=self._sip_code,
            cause=self._outcome.cause if self._outcome else None,
            ended_by=self._ended_by,
            placed_at=None if steps.placed is None else at(steps.placed),
            ringing_at=None if steps.ringing is None else at(steps.ringing),
            answered_at=None if steps.answered is None else at(steps.answered),
            ended_at=None if steps.ended is None else at(steps.ended),
            extension=self._extension,
            quality=self._quality,
        )
        return (record,)

    def _step(self, **moments: float) -> None:
        self._steps = replace(self._steps, **moments)

    def _go_up(self, because: str, now: float) -> None:
        self._sip_code = 200
        self._step(answered=now)
        self._enter(self._states.up, because)

    def _withdraw(self, because: str, now: float) -> None:
        self._deadline = now + RELEASE_SECONDS
        self._enter(self._states.withdrawing, because)

    def _over(self, because: str, now: float, ended_by: EndedBy) -> None:
        self._deadline = None
        self._ended_by = ended_by
        self._step(ended=now)
        self._enter(self._states.over, because)

    def _left(self, event: LegEnded, now: float) -> list[Command]:
        self._outcome = outcome_of(200, rang=True, answered=True, q850_cause=event.q850_cause)
        self._over("ended", now, event.ended_by)
        self._tell(NewsKind.LEFT)
        return []

    def _lost(self, _event: WorkerLost, now: float) -> list[Command]:
        was_up = self.up
        self._outcome = Outcome(Disposition.ANSWERED, WORKER_DIED.cause) if was_up else WORKER_DIED
        self._over("worker lost", now, "network")
        self._tell(NewsKind.LEFT if was_up else self._lost_before_its_answer)
        return []

    def _digit(self, event: DigitPressed, _now: float) -> list[Command]:
        self._tell(NewsKind.DIGIT, event.digit, event.duration_ms)
        return []

    def _gone(self, event: LegEnded | WorkerLost, now: float) -> list[Command]:
        if isinstance(event, WorkerLost):
            self._over("worker lost", now, "network")
            return []
        if self._sip_code is None:
            self._sip_code = event.sip_code
        self._over(str(event.sip_code), now, "local")
        return []

    def _answered_too_late(self, _event: LegAnswered, _now: float) -> list[Command]:
        return [HangUpLeg(self._uid)]
