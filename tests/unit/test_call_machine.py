"""Whatever two phones of a call do, in whatever order: it ends, it leaves no leg behind, and its record is whole."""

from __future__ import annotations

from call_disorder import Disorder
from call_stories import ONE, PLAN1, PLAN2, TERMS, TWO
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant

from sipcore.domain.call import Call, CallState
from sipcore.domain.causes import NO_SUCH_EXTENSION, Disposition
from sipcore.domain.commands import BridgeLegs, Command
from sipcore.domain.events import LegAnswered, LegEnded, LegEvent, LegPlaced, LegRang
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.party import Party
from sipcore.domain.phone import PhoneParty
from sipcore.domain.record import CallRecord

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

    def look_at(self, command: Command) -> None:
        if isinstance(command, BridgeLegs):
            assert self.answered == {ONE, TWO}
            self.bridges += 1

    @invariant()
    def they_are_joined_once_and_the_first_stage_is_told_truly(self) -> None:
        assert self.bridges <= 1
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
            assert all(leg.answered_at is not None and leg.answered_at <= record.joined_at for leg in record.legs)
            assert record.ended_at is not None
            assert record.joined_at <= record.ended_at
        else:
            assert record.disposition is not Disposition.ANSWERED


TestCallUnderDisorder = CallUnderDisorder.TestCase
TestCallUnderDisorder.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
