"""Whatever happens to a call that came in: it ends, it leaves no leg behind, and nobody is answered and then forgotten.

It reaches what any call reaches, and whom it reaches first when that fails. The queue among these is a real one.
"""

from __future__ import annotations

from random import Random

from destination_stories import CALLER, TERMS, phone
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from test_contest_machine import KINDS, ContestUnderDisorder, Exchange

from sipcore.domain.call import Call
from sipcore.domain.commands import AnswerLeg, Command, PlayAudio, PlayTone, StopPlaying
from sipcore.domain.events import (
    LegAnswered,
    LegEarlyMediaStarted,
    LegEnded,
    LegEvent,
    LegPlaced,
    LegRang,
    Notice,
    WorkerLost,
)
from sipcore.domain.fallback import FallbackParty
from sipcore.domain.incoming import IncomingParty
from sipcore.domain.party import Party
from sipcore.domain.waiting_queue import WaitingQueue


class IncomingUnderDisorder(ContestUnderDisorder):
    @initialize(kind=st.sampled_from([*KINDS, "101", "102", "199", "800"]), last_agent=st.booleans())
    def accept(self, kind: str, *, last_agent: bool) -> None:
        exchange = Exchange()

        def called() -> Party:
            return exchange.destination(kind) if kind in KINDS else exchange.party(kind)

        party = FallbackParty(phone("last-agent"), called) if last_agent else called()
        self.queue = WaitingQueue("acme", exchange.queue, self.lines, Random(7))  # noqa: S311 - a story
        self.call = Call(TERMS, IncomingParty(CALLER, "+12025550123"), party)
        self.placed.append(CALLER)

    @rule()
    def give_up(self) -> None:
        self.happen(LegEnded(CALLER, 200 if CALLER in self.answered else 487))

    @rule()
    def acknowledge(self) -> None:
        self.happen(LegAnswered(CALLER))

    def happen(self, event: LegEvent | Notice | WorkerLost) -> None:
        if isinstance(event, LegEvent) and event.leg == CALLER:
            if isinstance(event, LegPlaced | LegRang | LegEarlyMediaStarted):
                return  # what is told only of legs that we place
            if isinstance(event, LegAnswered) and CALLER not in self.answered:
                return  # there is no ACK without our 200
        super().happen(event)

    def may_be(self, command: Command) -> bool:
        # What a caller is to hear before it is answered, it hears from then on.
        heard = isinstance(command, PlayTone | PlayAudio | StopPlaying) and command.leg == CALLER
        return heard or isinstance(command, AnswerLeg) or super().may_be(command)

    def look_at(self, command: Command) -> None:
        super().look_at(command)
        if isinstance(command, AnswerLeg):
            assert command.leg == CALLER
            if command.sip_code == 200:
                self.answered.add(CALLER)
            elif command.sip_code > 200:
                self.hung_up.add(CALLER)


TestIncomingUnderDisorder = IncomingUnderDisorder.TestCase
TestIncomingUnderDisorder.settings = settings(max_examples=50, stateful_step_count=30)
