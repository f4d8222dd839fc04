"""Whatever becomes of its numbers, in whatever order: a batch keeps to its pace, tells its end once, and ends."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sipcore.domain.batch import (
    Batch,
    BatchCommand,
    CallAccepted,
    CallOver,
    EndCall,
    FirstStageOver,
    NumberState,
    Pace,
    ReportBatch,
    StartCall,
    StartFailed,
    StartRefused,
)

REASONS = ("No answer", "Busy", "Not connected", "Unreachable")
RATES = (0.5, 3.0, 50.0)


class BatchUnderDisorder(RuleBasedStateMachine):
    """The calls' side: what has been begun, rings, talks, and is over."""

    @initialize(count=st.integers(1, 6), at_once=st.none() | st.integers(1, 3), rate=st.sampled_from(RATES))
    def accept(self, count: int, at_once: int | None, rate: float) -> None:
        self.now = 0.0
        self.count, self.rate = count, rate
        self.at_once = at_once
        self.allowed = count
        self.starting: set[int] = set()
        self.ringing: set[int] = set()
        self.leaving: set[int] = set()
        self.hung_up: set[int] = set()
        self.starts: list[float] = []
        self.accepted: list[int] = []
        self.answered = False
        self.cancelled = False
        self.reports: list[str | None] = []
        self.batch = Batch(
            "b", count, lambda: Pace(self.at_once, rate), lambda _, outstanding: self.allowed - outstanding
        )
        self.take(self.batch.look_again(self.now))

    def take(self, commands: list[BatchCommand]) -> None:
        for command in commands:
            if isinstance(command, StartCall):
                assert not self.cancelled
                assert command.position not in self.accepted
                assert not self.starts or self.now - self.starts[-1] >= 1 / self.rate
                assert len(self.starting | self.ringing) < self.allowed
                self.starts.append(self.now)
                self.starting.add(command.position)
                assert self.at_once is None or len(self.starting | self.ringing | self.leaving) <= self.at_once
            elif isinstance(command, EndCall):
                assert command.position in self.ringing
                self.hung_up.add(command.position)
            else:
                assert isinstance(command, ReportBatch)
                self.reports.append(command.fail_reason)

    @rule(seconds=st.sampled_from((0.001, 0.4, 3.0, 61.0)))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds
        deadline = self.batch.next_deadline()
        if deadline is not None and deadline <= self.now:
            self.take(self.batch.on_deadline(self.now))

    @precondition(lambda self: self.starting)
    @rule(data=st.data(), refused=st.sampled_from((None, None, 1.0, 5.0, "gone")))
    def start(self, data: st.DataObject, refused: float | str | None) -> None:
        position = data.draw(st.sampled_from(sorted(self.starting)))
        self.starting.discard(position)
        if refused is None:
            self.accepted.append(position)
            self.ringing.add(position)
            self.take(self.batch.feed(CallAccepted(position), self.now))
        elif refused == "gone":
            self.take(self.batch.feed(StartFailed(position), self.now))
        else:
            self.take(self.batch.feed(StartRefused(position, float(refused)), self.now))

    @precondition(lambda self: self.ringing)
    @rule(data=st.data(), reason=st.none() | st.sampled_from(REASONS))
    def first_stage(self, data: st.DataObject, reason: str | None) -> None:
        position = data.draw(st.sampled_from(sorted(self.ringing)))
        self.ringing.discard(position)
        self.leaving.add(position)
        self.answered = self.answered or reason is None
        self.take(self.batch.feed(FirstStageOver(position, reason), self.now))

    @precondition(lambda self: self.leaving)
    @rule(data=st.data())
    def over(self, data: st.DataObject) -> None:
        position = data.draw(st.sampled_from(sorted(self.leaving)))
        self.leaving.discard(position)
        self.take(self.batch.feed(CallOver(position), self.now))

    @rule(allowed=st.integers(0, 3))
    def agents_come_and_go(self, allowed: int) -> None:
        self.allowed = allowed
        self.take(self.batch.look_again(self.now))

    @rule()
    def cancel(self) -> None:
        commands = self.batch.cancel("request", self.now)
        self.cancelled = self.batch.cancelled_by is not None
        self.take(commands)

    @invariant()
    def it_reports_an_answer_at_once_and_anything_only_once(self) -> None:
        assert len(self.reports) <= 1
        assert not self.answered or self.reports == [None]
        self.cancelled = self.batch.cancelled_by is not None

    @invariant()
    def what_rings_in_a_cancelled_batch_was_hung_up(self) -> None:
        assert not self.cancelled or self.ringing <= self.hung_up

    def teardown(self) -> None:
        """Let everything come to its end, with room for all: the batch does, too."""
        self.allowed, self.at_once = self.count, None
        for _ in range(20 * self.count):
            for position in [*self.starting]:
                self.starting.discard(position)
                self.accepted.append(position)
                self.ringing.add(position)
                self.take(self.batch.feed(CallAccepted(position), self.now))
            for position in [*self.ringing]:
                self.ringing.discard(position)
                self.leaving.add(position)
                self.take(self.batch.feed(FirstStageOver(position, "Busy"), self.now))
            for position in [*self.leaving]:
                self.leaving.discard(position)
                self.take(self.batch.feed(CallOver(position), self.now))
            deadline = self.batch.next_deadline()
            if deadline is not None:
                self.now = max(self.now, deadline)
                self.take(self.batch.on_deadline(self.now))
        assert self.batch.ended
        assert len(self.reports) == 1
        states = [self.batch.state_of(position)[0] for position in range(self.count)]
        assert set(states) <= {NumberState.ANSWERED, NumberState.FAILED, NumberState.CANCELLED}
        assert (NumberState.ANSWERED in states) == (self.reports == [None])


TestBatchUnderDisorder = BatchUnderDisorder.TestCase
TestBatchUnderDisorder.settings = settings(max_examples=50, stateful_step_count=30)
