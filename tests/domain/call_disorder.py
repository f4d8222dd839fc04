"""A call whose legs do what they like, at any time: repeat themselves, fall silent, answer after our CANCEL, end twice.

Workers may die, and timers may come late. What is said here holds whatever the call's parties are.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sipcore.domain.call import Call
from sipcore.domain.commands import (
    BridgeLegs,
    CloseRecording,
    Command,
    HangUpLeg,
    PassAudio,
    PlaceLeg,
    ReportFirstStage,
)
from sipcore.domain.events import (
    DigitPressed,
    EndedBy,
    Event,
    LegAnswered,
    LegEarlyMediaStarted,
    LegEnded,
    LegEvent,
    LegPlaced,
    LegRang,
    Notice,
    WorkerLost,
)
from sipcore.domain.record import CallRecord

MOST_DEADLINES = 200
"""More than a call can have that is left alone: a menu in a menu has some dozens."""
WHICH = st.integers(0, 11)
"""Which of the legs that were placed, counted from the first one and again and again."""


def at(seconds: float) -> datetime:
    return datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=seconds)


def legs_of(command: Command) -> tuple[str, ...]:
    """The legs that a command is about."""
    if isinstance(command, ReportFirstStage | CloseRecording):
        return ()
    if isinstance(command, BridgeLegs):
        return command.leg, command.other
    if isinstance(command, PassAudio):
        return command.leg, command.sink
    return (command.leg,)


class Disorder(RuleBasedStateMachine):
    """What any call is put through; a kind of it makes the call."""

    call: Call

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.started = False
        self.placed: list[str] = []
        self.answered: set[str] = set()
        self.gone: set[str] = set()
        self.hung_up: set[str] = set()
        self.reports: list[str | None] = []
        self.final_record: CallRecord | None = None

    @precondition(lambda self: not self.started)
    @rule()
    def start(self) -> None:
        self.started = True
        self.carry_out(self.call.start(self.now))

    @precondition(lambda self: self.placed)
    @rule(which=WHICH)
    def invite_leaves(self, which: int) -> None:
        self.happen(LegPlaced(self.leg(which)))

    @precondition(lambda self: self.placed)
    @rule(which=WHICH, sip_code=st.sampled_from([180, 181, 182, 183, 189]))
    def ring(self, which: int, sip_code: int) -> None:
        self.happen(LegRang(self.leg(which), sip_code))

    @precondition(lambda self: self.placed)
    @rule(which=WHICH)
    def send_early_media(self, which: int) -> None:
        self.happen(LegEarlyMediaStarted(self.leg(which)))

    @precondition(lambda self: self.placed)
    @rule(which=WHICH)
    def answer(self, which: int) -> None:
        self.happen(LegAnswered(self.leg(which)))

    @precondition(lambda self: self.placed)
    @rule(which=WHICH, digit=st.sampled_from("0123456789*#ABCD"), duration_ms=st.integers(0, 8000))
    def press(self, which: int, digit: str, duration_ms: int) -> None:
        self.happen(DigitPressed(self.leg(which), digit, duration_ms))

    @precondition(lambda self: self.placed)
    @rule(
        which=WHICH,
        sip_code=st.sampled_from([200, 302, 401, 404, 408, 480, 481, 486, 487, 488, 500, 503, 603]),
        ended_by=st.sampled_from(["local", "remote", "network"]),
        cause=st.sampled_from([None, 16, 31, 34]),
    )
    def end(self, which: int, sip_code: int, ended_by: EndedBy, cause: int | None) -> None:
        self.happen(LegEnded(self.leg(which), sip_code, "", ended_by, cause))

    @precondition(lambda self: self.placed)
    @rule(which=WHICH, all_of_them=st.booleans())
    def lose_worker(self, which: int, *, all_of_them: bool) -> None:
        self.happen(WorkerLost(tuple(self.placed) if all_of_them else (self.leg(which),)))

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

    def leg(self, which: int) -> str:
        return self.placed[which % len(self.placed)]

    def happen(self, event: LegEvent | Notice | WorkerLost) -> None:
        """Feed an event."""
        self.now += 0.01
        if isinstance(event, LegAnswered) and event.leg in self.hung_up | self.gone:
            commands = self.call.feed(event, self.now)
            assert commands == [HangUpLeg(event.leg)], "a late answer is ended, and by nothing else"
            return
        commands = self.call.feed(event, self.now)
        self.remember(event)
        self.carry_out(commands)

    def remember(self, event: Event) -> None:
        """Remember what an event did to its legs."""
        if isinstance(event, LegAnswered):
            self.answered.add(event.leg)
        elif isinstance(event, LegEnded):
            self.gone.add(event.leg)
        elif isinstance(event, WorkerLost):
            self.gone.update(event.legs)

    def carry_out(self, commands: list[Command]) -> None:
        """Check each command against what the legs have been through."""
        for command in commands:
            if isinstance(command, ReportFirstStage):
                self.reports.append(command.fail_reason)
            if isinstance(command, PlaceLeg):
                assert command.leg not in self.placed, "a leg is placed once"
                self.placed.append(command.leg)
            for leg in legs_of(command):
                assert leg in self.placed, f"{command} for a leg that was never placed"
                assert leg not in self.gone, f"{command} for a leg that is over"
                assert isinstance(command, HangUpLeg) or leg not in self.hung_up, f"{command} after its HangUpLeg"
                assert self.may_be(command) or leg in self.answered, f"{command} before its answer"
            if isinstance(command, HangUpLeg):
                self.hung_up.add(command.leg)
            self.look_at(command)

    def may_be(self, command: Command) -> bool:
        """Tell whether a leg may be asked for something before it is answered."""
        return isinstance(command, PlaceLeg | HangUpLeg | PassAudio)

    def look_at(self, command: Command) -> None:
        """Look at a command that was carried out."""

    @invariant()
    def something_always_comes_next(self) -> None:
        if self.started and not self.call.ended:
            assert self.call.next_deadline() is not None, f"stuck in {self.call.state}: {self.call.story}"

    @invariant()
    def the_first_stage_is_reported_once(self) -> None:
        assert len(self.reports) <= 1
        assert self.reports or not self.call.ended

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
        assert record.ended_by in {"dial1", "dial2", "third", "request", "limit", "worker", "shutdown"}
        assert record.ended_at is not None
        assert {leg.uid for leg in record.legs} >= set(self.placed)
        reached = [leg for leg in record.legs if leg.uid in self.placed or leg.answered_at is not None]
        for leg in reached:
            assert None not in (leg.disposition, leg.cause, leg.ended_by, leg.ended_at)
            steps = [leg.placed_at, leg.ringing_at, leg.answered_at, leg.ended_at, record.ended_at]
            known = [step for step in steps if step is not None]
            assert known == sorted(known), "its times are in order"

    def teardown(self) -> None:
        """Leave the call alone: its own deadlines end it."""
        if not hasattr(self, "call"):
            return
        if not self.started:
            self.start()
        for _ in range(MOST_DEADLINES):
            if self.call.next_deadline() is None:
                break
            self.reach_the_deadline(0)
            self.something_always_comes_next()
        assert self.call.ended, f"stuck in {self.call.state}: {self.call.story}"
        self.the_first_stage_is_reported_once()
        self.an_ended_call_leaves_no_leg_behind()
        self.a_record_is_whole_and_then_final()
