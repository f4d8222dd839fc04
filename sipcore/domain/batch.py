"""The batch: one request for many numbers, each of which becomes a call of its own, a few at a time.

A sans-IO state machine. It decides when the next number is dialled, what the whole request is answered with, and when
it is over; the calls themselves are others' business. A number that could not be dialled for want of room is tried
again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sipcore.domain.causes import FAIL_REASONS, WORTH_TELLING, Disposition
from sipcore.domain.machine import Machine

DEFAULT_CALLS_PER_SECOND = 10.0
"""How many numbers are dialled in a second where no limit is set: gentle to trunks, quick to people."""
PATIENCE_SECONDS = 600.0
"""How long a batch tries in vain to dial a number while it has no call of its own, before it is given up."""
_LOOK_AGAIN_SECONDS = 1.0
"""When to look again for room that nobody has announced: limits change with the settings and with other batches."""
_RATE_MARGIN = 1.02
"""Calls are counted a moment after they are begun: evenly spaced to the millisecond, some would be one too many."""


class NumberState(StrEnum):
    """Where one number stands. CANCELLED: never dialled, or hung up unanswered because the batch was cancelled."""

    QUEUED = "queued"
    STARTING = "starting"
    RINGING = "ringing"
    ANSWERED = "answered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BatchState(StrEnum):
    """Where the batch stands. Calls of a cancelled one that were answered before go on."""

    RUNNING = "running"
    CANCELLED = "cancelled"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class NumberEvent:
    """Something that happened to one number.

    Attributes:
        position: of the number, from 0.
    """

    position: int


@dataclass(frozen=True, slots=True)
class CallAccepted(NumberEvent):
    """Its call is under way."""


@dataclass(frozen=True, slots=True)
class StartRefused(NumberEvent):
    """There is no room for its call now.

    Attributes:
        retry_after: seconds after which there may be some.
    """

    retry_after: float


@dataclass(frozen=True, slots=True)
class StartFailed(NumberEvent):
    """It cannot be dialled: what was right when the batch was accepted is no longer so."""


@dataclass(frozen=True, slots=True)
class FirstStageOver(NumberEvent):
    """It was answered, or will not be.

    Attributes:
        fail_reason: None when it was answered, else the contract's word.
    """

    fail_reason: str | None


@dataclass(frozen=True, slots=True)
class CallOver(NumberEvent):
    """No leg of its call is left."""


@dataclass(frozen=True, slots=True)
class StartCall:
    """Dial a number."""

    position: int


@dataclass(frozen=True, slots=True)
class EndCall:
    """Hang a number's call up."""

    position: int


@dataclass(frozen=True, slots=True)
class ReportBatch:
    """Tell whoever asked for the batch how it went; once.

    Attributes:
        position: of the number that decided it.
        fail_reason: None as soon as one was answered; else, when none can be any more, the contract's word.
    """

    position: int
    fail_reason: str | None


BatchCommand = StartCall | EndCall | ReportBatch


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a batch may go; it may change while it runs.

    Attributes:
        at_once: calls in progress at most, or None: any number.
        per_second: calls begun in a second.
    """

    at_once: int | None = None
    per_second: float = DEFAULT_CALLS_PER_SECOND


@dataclass(slots=True)
class _Number:
    state: NumberState = NumberState.QUEUED
    fail_reason: str | None = None
    in_progress: bool = False


_TABLE: dict[tuple[NumberState, type[NumberEvent]], str] = {
    (NumberState.STARTING, CallAccepted): "_ring",
    (NumberState.STARTING, StartRefused): "_put_back",
    (NumberState.STARTING, StartFailed): "_drop",
    (NumberState.RINGING, FirstStageOver): "_settle",
    (NumberState.ANSWERED, CallOver): "_count_out",
    (NumberState.FAILED, CallOver): "_count_out",
    (NumberState.CANCELLED, CallOver): "_count_out",
}

_OPEN = (NumberState.QUEUED, NumberState.STARTING, NumberState.RINGING)
_CANCELLED = FAIL_REASONS[Disposition.CANCELLED]


class Batch(Machine[BatchState]):
    """Dials numbers in their order.

    Args:
        batch_id: for the story that an error tells.
        count: of numbers, 1 or more.
        pace: tells how fast it may go now.
        allowance: tells how many more numbers may be dialled now by whoever talks to those who answer (the agents of a
            queue); it is given the time and `outstanding`.

    Attributes:
        cancelled_by: `request`, `shutdown`, or `limit` (nothing could be dialled for `PATIENCE_SECONDS`); else None.
    """

    def __init__(
        self, batch_id: str, count: int, pace: Callable[[], Pace], allowance: Callable[[float, int], int]
    ) -> None:
        super().__init__(f"batch {batch_id}", BatchState.RUNNING)
        self._numbers = [_Number() for _ in range(count)]
        self._pace = pace
        self._allowance = allowance
        self._paced_until = float("-inf")
        self._blocked_until = float("-inf")
        self._refused_since: float | None = None
        self._reported = False
        self.cancelled_by: str | None = None

    @property
    def dialling(self) -> bool:
        """True while numbers wait for their turn."""
        return self._next() is not None

    @property
    def outstanding(self) -> int:
        """How many calls are begun and neither answered nor failed."""
        return self._count(NumberState.STARTING) + self._count(NumberState.RINGING)

    @property
    def in_progress(self) -> int:
        """How many calls are begun and not over."""
        return sum(1 for number in self._numbers if number.in_progress)

    @property
    def ended(self) -> bool:
        """True when nothing will be dialled any more and no call is left."""
        return not self.dialling and self.in_progress == 0

    def state_of(self, position: int) -> tuple[NumberState, str | None]:
        """Tell where a number stands, and why it failed."""
        number = self._numbers[position]
        return number.state, number.fail_reason

    def feed(self, event: NumberEvent, now: float) -> list[BatchCommand]:
        """Take what happened to a number.

        Raises:
            InvalidTransitionError: it cannot happen in the number's state.
        """
        number = self._numbers[event.position]
        method = self._method(_TABLE, (number.state, type(event)), f"{event} while {number.state}")
        commands: list[BatchCommand] = getattr(self, method)(number, event, now)
        return self._after(commands, now)

    def look_again(self, now: float) -> list[BatchCommand]:
        """Dial what can be dialled: at the beginning, and when there may be more room than before."""
        self._blocked_until = min(self._blocked_until, now)
        return self._after([], now)

    def next_deadline(self) -> float | None:
        """When `on_deadline` wants to be called, or None."""
        if not self.dialling:
            return None
        return max(self._paced_until, self._blocked_until)

    def on_deadline(self, now: float) -> list[BatchCommand]:
        """Dial the next number when its time has come."""
        return self._after([], now)

    def cancel(self, by: str, now: float) -> list[BatchCommand]:
        """Dial nothing more, and hang up what has not been answered; those who talk go on talking.

        Args:
            by: who wants it; the first one counts.
            now: the machine's time.
        """
        if self.state is not BatchState.RUNNING:
            return []
        self.cancelled_by = by
        self._enter(BatchState.CANCELLED, f"cancel by {by}")
        commands: list[BatchCommand] = []
        for position, number in enumerate(self._numbers):
            if number.state is NumberState.QUEUED:
                number.state = NumberState.CANCELLED
            elif number.state is NumberState.RINGING:
                commands.append(EndCall(position))
        return self._after(commands, now)

    def _after(self, commands: list[BatchCommand], now: float) -> list[BatchCommand]:
        commands = [*commands, *self._dial_next(now), *self._report()]
        if self.ended and self.state is BatchState.RUNNING:
            self._enter(BatchState.FINISHED, "all are over")
        return commands

    def _dial_next(self, now: float) -> list[BatchCommand]:
        position = self._next()
        if position is None or now < max(self._paced_until, self._blocked_until):
            return []
        pace = self._pace()
        full = pace.at_once is not None and self.in_progress >= pace.at_once
        if full or self._allowance(now, self.outstanding) < 1:
            self._blocked_until = now + _LOOK_AGAIN_SECONDS
            return []
        self._paced_until = now + _RATE_MARGIN / pace.per_second
        number = self._numbers[position]
        number.state, number.in_progress = NumberState.STARTING, True
        return [StartCall(position)]

    def _report(self) -> list[BatchCommand]:
        if self._reported:
            return []
        verdict = self._verdict()
        self._reported = verdict is not None
        return [] if verdict is None else [verdict]

    def _verdict(self) -> ReportBatch | None:
        states = [number.state for number in self._numbers]
        if NumberState.ANSWERED in states:
            return ReportBatch(states.index(NumberState.ANSWERED), None)
        if any(state in _OPEN for state in states):
            return None
        reasons = [number.fail_reason for number in self._numbers]
        worth_telling = (FAIL_REASONS[disposition] for disposition in WORTH_TELLING)
        reason = next((reason for reason in worth_telling if reason in reasons), None)
        return ReportBatch(0 if reason is None else reasons.index(reason), reason or _CANCELLED)

    def _next(self) -> int | None:
        return next(
            (position for position, number in enumerate(self._numbers) if number.state is NumberState.QUEUED), None
        )

    def _count(self, state: NumberState) -> int:
        return sum(1 for number in self._numbers if number.state is state)

    def _ring(self, number: _Number, event: CallAccepted, _now: float) -> list[BatchCommand]:
        number.state = NumberState.RINGING
        self._refused_since = None
        return [EndCall(event.position)] if self.state is BatchState.CANCELLED else []

    def _put_back(self, number: _Number, event: StartRefused, now: float) -> list[BatchCommand]:
        self._drop(number, event, now)
        if self.state is BatchState.CANCELLED:
            return []
        number.state = NumberState.QUEUED
        self._blocked_until = now + event.retry_after
        if self.in_progress:
            # Its own calls take the room, and will leave it.
            return []
        if self._refused_since is None:
            self._refused_since = now
        elif now - self._refused_since >= PATIENCE_SECONDS:
            return self.cancel("limit", now)
        return []

    def _drop(self, number: _Number, _event: NumberEvent, _now: float) -> list[BatchCommand]:
        number.state, number.in_progress = NumberState.CANCELLED, False
        return []

    def _settle(self, number: _Number, event: FirstStageOver, _now: float) -> list[BatchCommand]:
        if event.fail_reason is None:
            number.state = NumberState.ANSWERED
        elif self.state is BatchState.CANCELLED:
            number.state = NumberState.CANCELLED
        else:
            number.state, number.fail_reason = NumberState.FAILED, event.fail_reason
        return []

    def _count_out(self, number: _Number, _event: CallOver, now: float) -> list[BatchCommand]:
        number.in_progress = False
        self._blocked_until = min(self._blocked_until, now)
        return []
