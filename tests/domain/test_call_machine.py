"""Whatever the phones of a call do, in whatever order: it ends, it leaves no leg behind, and its record is whole.

Others are rung in place of party 2, and joined to the two, at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count

from call_disorder import WHICH, Disorder
from call_stories import ONE, PLAN1, PLAN2, TERMS, TWO
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from sipcore.domain.call import Call
from sipcore.domain.call_recording import CallRecording, RecordingAction, unrecorded
from sipcore.domain.call_transitions import CallState
from sipcore.domain.causes import NO_SUCH_EXTENSION, Disposition
from sipcore.domain.commands import BridgeLegs, Command
from sipcore.domain.directory import RecordingRules
from sipcore.domain.errors import CallStateError, NotRecordedError
from sipcore.domain.events import LegAnswered, LegEnded, LegEvent, LegPlaced, LegRang, PlaybackFinished
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.party import Party
from sipcore.domain.phone import PhoneParty
from sipcore.domain.record import CallRecord
from sipcore.domain.recording_policy import Owner
from sipcore.domain.role import Role

MOST_CHANGES = 4


def recorded(*notice: str) -> CallRecording:
    ids = (f"{number:032x}" for number in count())
    rules = RecordingRules(notice=bool(notice))
    return CallRecording(lambda _line1, _line2: Owner("101", Role.FIRST), rules, notice, lambda: next(ids))


def announced() -> CallRecording:
    return recorded("/notice.wav")


STAGES: dict[CallState, tuple[LegEvent, ...]] = {
    CallState.ACCEPTED: (),
    CallState.RINGING_FIRST: (LegPlaced(ONE), LegRang(ONE, 180)),
    CallState.RINGING_SECOND: (LegPlaced(ONE), LegAnswered(ONE), LegPlaced(TWO)),
    CallState.JOINED: (LegPlaced(ONE), LegAnswered(ONE), LegPlaced(TWO), LegRang(TWO, 180), LegAnswered(TWO)),
    CallState.TELLING: (LegPlaced(ONE), LegAnswered(ONE), LegEnded(TWO, 486)),
}
"""How a well-behaved call comes to each stage: from there the disorder starts."""


class CallUnderDisorder(Disorder):
    def __init__(self) -> None:
        super().__init__()
        self.bridges = 0
        self.changes = 0

    @initialize(
        stage=st.sampled_from([*STAGES]),
        first_exists=st.booleans(),
        second_exists=st.booleans(),
        recording=st.sampled_from([unrecorded, recorded, announced]),
    )
    def accept(
        self, stage: CallState, recording: Callable[[], CallRecording], *, first_exists: bool, second_exists: bool
    ) -> None:
        first: Party = PhoneParty(ONE, PLAN1, 20)
        second: Party = PhoneParty(TWO, PLAN2, 60)
        if stage is CallState.ACCEPTED and not first_exists:
            first = NowhereParty(ONE, "199", NO_SUCH_EXTENSION)
        if stage in (CallState.ACCEPTED, CallState.RINGING_FIRST) and not second_exists:
            second = NowhereParty(TWO, "199", NO_SUCH_EXTENSION)
        self.call = Call(TERMS, first, second, recording())
        if stage is not CallState.ACCEPTED:
            self.start()
            for event in STAGES[stage]:
                self.happen(event)
            assert self.call.state is stage

    def look_at(self, command: Command) -> None:
        if isinstance(command, BridgeLegs):
            assert command.leg == ONE or self.changes
            self.bridges += 1

    @precondition(lambda self: self.started and self.changes < MOST_CHANGES)
    @rule(exists=st.booleans(), third=st.booleans(), digits=st.sampled_from(["", "1,2"]))
    def ring_somebody_else(self, *, exists: bool, third: bool, digits: str) -> None:
        uid = f"leg-{3 + self.changes}"
        party: Party = PhoneParty(uid, PLAN2, 60) if exists else NowhereParty(uid, "199", NO_SUCH_EXTENSION)
        ring = self.call.join_third if third else self.call.transfer
        try:
            commands = ring(party, digits, self.now)
        except CallStateError:
            assert self.call.state is not CallState.JOINED or self.changes or third, "the first time it can be done"
            return
        self.changes += 1
        self.carry_out(commands)

    @precondition(lambda self: self.placed)
    @rule(which=WHICH)
    def hear_the_notice(self, which: int) -> None:
        leg = self.leg(which)
        if leg not in self.gone | self.hung_up:
            self.happen(PlaybackFinished(leg, f"notice {leg}"))

    @rule(action=st.sampled_from(RecordingAction))
    def change_the_recording(self, action: RecordingAction) -> None:
        with suppress(NotRecordedError):
            self.carry_out(self.call.change_recording(action))

    @rule(role=st.sampled_from(Role), digits=st.sampled_from("1w#"))
    def send_digits(self, role: Role, digits: str) -> None:
        with suppress(CallStateError):
            self.carry_out(self.call.send_digits(role, digits, self.now))

    @invariant()
    def they_are_joined_once_and_the_first_stage_is_told_truly(self) -> None:
        assert self.bridges <= 1 + self.changes
        if self.reports == [None]:
            assert ONE in self.answered
        if ONE in self.answered:
            assert len(self.reports) == 1

    def check(self, record: CallRecord) -> None:
        super().check(record)
        for leg in record.legs:
            if leg.uid in self.placed:
                assert (leg.disposition is Disposition.ANSWERED) == (leg.answered_at is not None)
        if record.joined_at is not None:
            assert record.disposition in {Disposition.ANSWERED, Disposition.INTERRUPTED}
            first_two = [leg for leg in record.legs if leg.uid in {ONE, TWO}]
            assert all(leg.answered_at is not None and leg.answered_at <= record.joined_at for leg in first_two)
            assert record.ended_at is not None
            assert record.joined_at <= record.ended_at
        else:
            assert record.disposition is not Disposition.ANSWERED


TestCallUnderDisorder = CallUnderDisorder.TestCase
TestCallUnderDisorder.settings = settings(max_examples=50, stateful_step_count=25)
