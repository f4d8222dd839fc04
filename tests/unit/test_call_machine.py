"""Whatever the legs of a call do, in whatever order: it ends, it leaves no leg behind, and its record is whole.

The far ends are free to do anything at any time: repeat themselves, fall silent, answer after our CANCEL, end twice.
The worker may die and the timers may come late.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from call_stories import ONE, PLAN1, PLAN2, TERMS, TWO
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sipcore.domain.call import Call, CallState
from sipcore.domain.causes import NO_SUCH_EXTENSION, Disposition
from sipcore.domain.commands import BridgeLegs, Command, HangUpLeg, PassAudio, PlaceLeg, ReportFirstStage
from sipcore.domain.events import (
    DigitPressed,
    EndedBy,
    Event,
    LegAnswered,
    LegEarlyMediaStarted,
    LegEnded,
    LegPlaced,
    LegRang,
    WorkerLost,
)
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.party import Party
from sipcore.domain.phone import PhoneParty
from sipcore.domain.record import CallRecord, LegRecord

MOST_DEADLINES = 8
"""More than a call can have: two ringing times, its limit, the tone, and two releases."""
STAGES: dict[CallState, tuple[Event, ...]] = {
    CallState.ACCEPTED: (),
    CallState.RINGING_FIRST: (LegPlaced(ONE), LegRang(ONE, 180)),
    CallState.RINGING_SECOND: (LegPlaced(ONE), LegAnswered(ONE), LegPlaced(TWO)),
    CallState.JOINED: (LegPlaced(ONE), LegAnswered(ONE), LegPlaced(TWO), LegRang(TWO, 180), LegAnswered(TWO)),
    CallState.TELLING: (LegPlaced(ONE), LegAnswered(ONE), LegEnded(TWO, 486)),
}
"""How a well-behaved call comes to each stage: from there the disorder starts."""
LEGS = st.sampled_from([ONE, TWO])


def at(seconds: float) -> datetime:
    return datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=seconds)


def legs_of(command: Command) -> tuple[str, ...]:
    """The legs that a command is about."""
    if isinstance(command, ReportFirstStage):
        return ()
    if isinstance(command, BridgeLegs):
        return command.leg, command.other
    if isinstance(command, PassAudio):
        return command.leg, command.sink
    return (command.leg,)


class CallUnderDisorder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.started = False
        self.placed: list[str] = []
        self.answered: set[str] = set()
        self.gone: set[str] = set()
        self.hung_up: set[str] = set()
        self.bridges = 0
        self.reports: list[str | None] = []
        self.final_record: CallRecord | None = None

    @initialize(stage=st.sampled_from([*STAGES]), first_exists=st.booleans(), second_exists=st.booleans())
    def accept(self, stage: CallState, *, first_exists: bool, second_exists: bool) -> None:
        first: Party = PhoneParty(ONE, PLAN1, 20)
        second: Party = PhoneParty(TWO, PLAN2, 60)
        if stage is CallState.ACCEPTED and not first_exists:
            first = NowhereParty(ONE, "199", NO_SUCH_EXTENSION)
        if stage in (CallState.ACCEPTED, CallState.RINGING_FIRST) and not second_exists:
            second = NowhereParty(TWO, "199", NO_SUCH_EXTENSION)
        self.call = Call(TERMS, first, second)
        if stage is not CallState.ACCEPTED:
            self.start()
            for event in STAGES[stage]:
                self.happen(event)
            assert self.call.state is stage

    @precondition(lambda self: not self.started)
    @rule()
    def start(self) -> None:
        self.started = True
        self.carry_out(self.call.start(self.now))

    @rule(leg=LEGS)
    def invite_leaves(self, leg: str) -> None:
        self.happen(LegPlaced(leg))

    @rule(leg=LEGS, sip_code=st.sampled_from([180, 181, 182, 183, 189]))
    def ring(self, leg: str, sip_code: int) -> None:
        self.happen(LegRang(leg, sip_code))

    @rule(leg=LEGS)
    def send_early_media(self, leg: str) -> None:
        self.happen(LegEarlyMediaStarted(leg))

    @rule(leg=LEGS)
    def answer(self, leg: str) -> None:
        self.happen(LegAnswered(leg))

    @rule(leg=LEGS, digit=st.sampled_from("0123456789*#ABCD"), duration_ms=st.integers(0, 8000))
    def press(self, leg: str, digit: str, duration_ms: int) -> None:
        self.happen(DigitPressed(leg, digit, duration_ms))

    @rule(
        leg=LEGS,
        sip_code=st.sampled_from([200, 302, 401, 404, 408, 480, 481, 486, 487, 488, 500, 503, 603]),
        ended_by=st.sampled_from(["local", "remote", "network"]),
        cause=st.sampled_from([None, 16, 31, 34]),
    )
    def end(self, leg: str, sip_code: int, ended_by: EndedBy, cause: int | None) -> None:
        self.happen(LegEnded(leg, sip_code, "", ended_by, cause))

    @precondition(lambda self: self.placed)
    @rule(both=st.booleans(), data=st.data())
    def lose_worker(self, *, both: bool, data: st.DataObject) -> None:
        lost = tuple(self.placed) if both else (data.draw(st.sampled_from(self.placed)),)
        self.now += 0.01
        commands = self.call.feed(WorkerLost(lost), self.now)
        self.gone.update(lost)
        self.carry_out(commands)

    @rule(by=st.sampled_from(["request", "shutdown"]))
    def hang_up(self, by: str) -> None:
        self.carry_out(self.call.hang_up(by, self.now))

    @rule(seconds=st.floats(0, 30))
    def pass_time_without_a_timer(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.call.next_deadline() is not None)
    @rule(late_by=st.floats(0, 5))
    def reach_the_deadline(self, late_by: float) -> None:
        deadline = self.call.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline) + late_by
        self.carry_out(self.call.on_deadline(self.now))

    @rule()
    def wake_too_early(self) -> None:
        deadline = self.call.next_deadline()
        if deadline is None or deadline > self.now:
            assert self.call.on_deadline(self.now) == []

    def happen(self, event: Event) -> None:
        """Feed an event of a leg, if the leg was ever placed: nothing can come of another."""
        assert not isinstance(event, WorkerLost)
        if event.leg not in self.placed:
            return
        self.now += 0.01
        too_late = event.leg in self.hung_up | self.gone
        commands = self.call.feed(event, self.now)
        if isinstance(event, LegAnswered) and too_late:
            assert commands == [HangUpLeg(event.leg)], "a late answer is ended, and by nothing else"
            return
        if isinstance(event, LegAnswered):
            self.answered.add(event.leg)
        if isinstance(event, LegEnded):
            self.gone.add(event.leg)
        self.carry_out(commands)

    def carry_out(self, commands: list[Command]) -> None:
        """Check each command against what the legs have been through."""
        for command in commands:
            if isinstance(command, ReportFirstStage):
                self.reports.append(command.fail_reason)
                continue
            if isinstance(command, PlaceLeg):
                assert command.leg not in self.placed, "a leg is placed once"
                self.placed.append(command.leg)
            for leg in legs_of(command):
                assert leg in self.placed, f"{command} for a leg that was never placed"
                assert leg not in self.gone, f"{command} for a leg that is over"
                assert isinstance(command, HangUpLeg) or leg not in self.hung_up, f"{command} after its HangUpLeg"
            if isinstance(command, BridgeLegs):
                assert self.answered == {ONE, TWO}
                self.bridges += 1
            if isinstance(command, HangUpLeg):
                self.hung_up.add(command.leg)

    @invariant()
    def something_always_comes_next(self) -> None:
        if self.started and not self.call.ended:
            assert self.call.next_deadline() is not None, f"stuck in {self.call.state}: {self.call.story}"

    @invariant()
    def the_first_stage_is_reported_once_and_truly(self) -> None:
        assert len(self.reports) <= 1
        assert self.bridges <= 1
        if self.reports == [None]:
            assert ONE in self.answered
        if ONE in self.answered or self.call.ended:
            assert len(self.reports) == 1

    @invariant()
    def an_ended_call_leaves_no_leg_behind(self) -> None:
        if self.call.ended:
            assert set(self.placed) <= self.gone | self.hung_up
            assert self.call.next_deadline() is None

    @invariant()
    def a_record_is_whole_and_then_final(self) -> None:
        record = self.call.record(at)
        if not self.call.ended:
            assert (record.disposition, record.ended_by, record.ended_at) == (None, None, None)
            return
        if self.final_record is None:
            self.final_record = record
            self.check(record)
        assert record == self.final_record, "nothing that comes late changes it"

    def check(self, record: CallRecord) -> None:
        """Check the record of a call that is over."""
        assert record.disposition is not None
        assert record.ended_by in {"dial1", "dial2", "request", "limit", "worker", "shutdown"}
        assert record.ended_at is not None
        for leg in record.legs:
            if leg.uid in self.placed:
                self.check_leg(leg, record.ended_at)
        if record.joined_at is not None:
            assert record.disposition in {Disposition.ANSWERED, Disposition.INTERRUPTED}
            assert all(leg.answered_at is not None and leg.answered_at <= record.joined_at for leg in record.legs)
            assert record.joined_at <= record.ended_at
        else:
            assert record.disposition is not Disposition.ANSWERED

    def check_leg(self, leg: LegRecord, call_ended_at: datetime) -> None:
        """Check the record of a leg that was placed."""
        assert leg.disposition is not None
        assert leg.cause is not None
        assert leg.ended_by is not None
        assert leg.ended_at is not None
        assert (leg.disposition is Disposition.ANSWERED) == (leg.answered_at is not None)
        steps = [leg.placed_at, leg.ringing_at, leg.answered_at, leg.ended_at, call_ended_at]
        known = [step for step in steps if step is not None]
        assert known == sorted(known), "its times are in order"

    def teardown(self) -> None:
        """Leave the call alone: its own deadlines end it."""
        if not hasattr(self, "call"):
            return
        if not self.started:
            self.start()
        for _ in range(MOST_DEADLINES):
            deadline = self.call.next_deadline()
            if deadline is None:
                break
            self.now = max(self.now, deadline)
            self.carry_out(self.call.on_deadline(self.now))
            self.something_always_comes_next()
        assert self.call.ended, f"stuck in {self.call.state}: {self.call.story}"
        self.the_first_stage_is_reported_once_and_truly()
        self.an_ended_call_leaves_no_leg_behind()
        self.a_record_is_whole_and_then_final()


TestCallUnderDisorder = CallUnderDisorder.TestCase
TestCallUnderDisorder.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
