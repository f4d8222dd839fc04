"""Whatever happens to a call that rings several, in a group or from a queue: one at most is taken, nobody rings on.

The queue is a real one. What it has to say may come late, as it does in the event loop.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from call_disorder import Disorder
from destination_stories import CALLER, PARTY, PROMPTS, TERMS, phone
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from sipcore.domain.announcement import AnnouncementParty
from sipcore.domain.call import Call
from sipcore.domain.call_transitions import CallState
from sipcore.domain.causes import NO_SUCH_EXTENSION
from sipcore.domain.commands import BridgeLegs, Command, QueueCommand
from sipcore.domain.confirmation import ConfirmedParty
from sipcore.domain.directory import Announcement, HuntStrategy, Queue
from sipcore.domain.events import LegAnswered
from sipcore.domain.hunt import HuntParty
from sipcore.domain.lines import LineBoard
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.onward import WayOn
from sipcore.domain.party import Party
from sipcore.domain.queue_party import QueueParty, WaitTerms
from sipcore.domain.waiting_queue import QueueNotice, WaitingQueue

AGENTS = ("101", "102", "199")
"""A phone, one that has to press 1, and nobody."""
KINDS = ("all at once", "one by one", "nested", "queue", "queue that leads on", "queue that rings all")


class Exchange:
    """Makes parties by number; `199` is nobody's."""

    def __init__(self) -> None:
        self._made = 0
        self.queue = Queue("700", AGENTS)

    def party(self, number: str, uid: str | None = None) -> Party:
        self._made += 1
        makers: dict[str, Callable[[str], Party]] = {
            "101": phone,
            "102": lambda uid: ConfirmedParty(phone(uid, "102"), PROMPTS),
            "199": lambda uid: NowhereParty(uid, "199", NO_SUCH_EXTENSION),
            "800": lambda uid: AnnouncementParty(uid, Announcement("800", "/notice.wav", 1, "1", "101"), self._way),
        }
        return makers[number](uid or f"further-{self._made}")

    def group(self, uid: str, *members: Party, at_once: bool) -> HuntParty:
        return HuntParty(uid, "600", members, at_once=at_once, total_seconds=15, country="US")

    def waiting(self, strategy: HuntStrategy, then: str | None) -> QueueParty:
        self.queue = Queue(
            "700", AGENTS, strategy, music="/music.wav", max_wait_seconds=18, position_seconds=7, then=then
        )
        return QueueParty(PARTY, WaitTerms(self.queue, "US", PROMPTS, 16), self.party, self.party)

    def destination(self, kind: str) -> Party:
        first, second, nobody = self.party("101", PARTY), self.party("102"), self.party("199")
        inner = self.group("further-0", second, nobody, at_once=True)
        made: dict[str, Callable[[], Party]] = {
            "all at once": lambda: self.group(PARTY, first, second, nobody, at_once=True),
            "one by one": lambda: self.group(PARTY, first, nobody, second, at_once=False),
            "nested": lambda: self.group(PARTY, first, inner, at_once=False),
            "queue": lambda: self.waiting(HuntStrategy.ROUND_ROBIN, None),
            "queue that leads on": lambda: self.waiting(HuntStrategy.LINEAR, "800"),
            "queue that rings all": lambda: self.waiting(HuntStrategy.RING_ALL, "101"),
        }
        return made[kind]()

    @property
    def _way(self) -> WayOn:
        return WayOn(self.party, "US", PROMPTS)


class ContestUnderDisorder(Disorder):
    def __init__(self) -> None:
        super().__init__()
        self.lines = LineBoard()
        self.told: list[QueueNotice] = []
        self.bridges = 0

    @initialize(kind=st.sampled_from(KINDS), first=st.booleans(), caller_is_there=st.booleans())
    def accept(self, kind: str, *, first: bool, caller_is_there: bool) -> None:
        exchange = Exchange()
        destination = exchange.destination(kind)
        self.queue = WaitingQueue("acme", exchange.queue, self.lines, Random(7))  # noqa: S311 - a story
        self.call = Call(TERMS, *((destination, phone(CALLER)) if first else (phone(CALLER), destination)))
        self.start()
        if caller_is_there and CALLER in self.placed:
            self.happen(LegAnswered(CALLER))

    @precondition(lambda self: self.told)
    @rule(all_of_them=st.booleans())
    def be_told(self, *, all_of_them: bool) -> None:
        for _ in range(len(self.told) if all_of_them else 1):
            self.happen(self.told.pop(0))

    @precondition(lambda self: self.call.state is not CallState.ACCEPTED)
    @rule()
    def reach_the_queues_deadline(self) -> None:
        deadline = self.queue.next_deadline()
        if deadline is not None:
            self.now = max(self.now, deadline)
            self.told += self.queue.on_deadline(self.now)

    def carry_out(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, QueueCommand):
                self.told += self.queue.feed(command, self.now)
            else:
                super().carry_out([command])

    def look_at(self, command: Command) -> None:
        if isinstance(command, BridgeLegs):
            self.bridges += 1

    @invariant()
    def one_at_most_is_taken(self) -> None:
        assert self.bridges <= 1

    @invariant()
    def whoever_is_not_taken_is_let_go(self) -> None:
        left = set(self.placed) - self.gone - self.hung_up - {CALLER}
        state = self.call.state if self.started else CallState.ACCEPTED
        if state is CallState.JOINED:
            assert len(left) <= 1, "the winner, or whom an announcement leads on to"
        if state is CallState.TELLING:
            assert left <= self.answered, "only somebody who was taken before hears why nobody else was"
        if state in (CallState.RELEASING, CallState.ENDED):
            assert not left
        if state in (CallState.JOINED, CallState.TELLING, CallState.RELEASING, CallState.ENDED):
            assert self.queue.waiting == 0
            assert not any(self.lines.is_held(("acme", agent)) for agent in AGENTS)


TestContestUnderDisorder = ContestUnderDisorder.TestCase
TestContestUnderDisorder.settings = settings(max_examples=50, stateful_step_count=30)
