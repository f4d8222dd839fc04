"""Conference rooms under whatever may happen to them, over the fake port: who hears whom, and which slots are taken."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from sipcore.domain.commands import JoinRoom, LegPlan, PlaceLeg
from sipcore.domain.directory import SipHost
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.events import JoinFailed, WorkerLost
from sipcore.sip.fake import FakeSipPort

PLAN = LegPlan("101", SipHost("127.0.0.1", 5060), None, "<sip:100@127.0.0.1>")
ROOMS = ("700", "701")


class Conference:
    """A port, and who should be in which room by what has happened."""

    def __init__(self, workers):
        self.port = FakeSipPort(workers=workers)
        self.calls = {}
        self.rooms = {}
        self.left_out = set()
        self.count = 0

    async def enter(self, room, legs):
        """A call reserves so many slots, and its one leg enters a room."""
        try:
            slots = await self.port.reserve(legs)
        except NoLegCapacityError:
            return
        self.count += 1
        leg = f"leg-{self.count}"
        self.port.send(slots, PlaceLeg(leg, PLAN))
        self.calls[leg] = slots
        self.rooms[leg] = room
        self.port.send(slots, JoinRoom(leg, room))

    def leave(self, leg):
        self.port.hang_up(leg)
        self.port.release(self.calls.pop(leg))

    def lose(self, worker):
        self.port.lose_worker(worker)

    def take_events(self):
        events = self.port._events
        while not events.empty():
            event = events.get_nowait()
            if isinstance(event, JoinFailed):
                self.left_out.add(event.leg)
            elif isinstance(event, WorkerLost):
                for leg in event.legs:
                    self.port.release(self.calls.pop(leg))

    def check(self):
        """Everybody hears each other one in its room just once, whom no slots were left for set aside."""
        self.take_events()
        joined = [leg for leg in self.calls if leg not in self.left_out]
        for leg in joined:
            others = sorted(other for other in joined if other != leg and self.rooms[other] == self.rooms[leg])
            heard = [other for other in self.port.heard_by(leg) if other not in self.left_out]
            assert heard == others, leg

    def close(self, workers):
        """When all are gone everything is free."""
        for leg in list(self.calls):
            self.leave(leg)
        assert self.port.free_legs == 4 * workers


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.sampled_from(ROOMS), st.integers(1, 3)),
        st.tuples(st.just("leave"), st.integers(0, 30)),
        st.tuples(st.just("lose"), st.integers(0, 30)),
    ),
    max_size=30,
)


async def play(workers, steps):
    conference = Conference(workers)
    for kind, *details in steps:
        if kind == "enter":
            await conference.enter(*details)
        elif kind == "leave" and conference.calls:
            conference.leave(sorted(conference.calls)[details[0] % len(conference.calls)])
        elif kind == "lose":
            numbers = sorted(conference.port._capacity.workers)
            conference.lose(numbers[details[0] % len(numbers)])
        conference.check()
    conference.close(workers)


@given(workers=st.integers(1, 12), steps=STEPS)
@settings(max_examples=300)
def test_everybody_hears_all_others_once_whoever_comes_or_goes_and_whatever_dies(workers, steps):
    asyncio.run(play(workers, steps))


async def test_ten_calls_on_ten_workers_need_five_workers_more():
    conference = Conference(20)
    for _ in range(10):
        await conference.enter("700", 2)
    homes = {slots.worker for slots in conference.calls.values()}
    busy = {worker.number for worker in conference.port._capacity.workers.values() if not worker.idle}
    assert (len(homes), len(busy - homes)) == (10, 5)
    conference.check()


async def test_two_calls_on_the_only_two_workers_are_linked_directly():
    conference = Conference(2)
    for _ in range(2):
        await conference.enter("700", 3)
    conference.check()
    assert conference.left_out == set()


async def test_a_third_call_gets_between_two_that_are_linked_directly_once_a_hub_is_to_be_had():
    conference = Conference(4)
    others = [await conference.port.reserve(4) for _ in range(2)]
    for _ in range(2):
        await conference.enter("700", 2)
    conference.check()
    # What was free on their workers is somebody else's now, so each has the one slot that its call lends.
    await conference.port.reserve(2)
    await conference.port.reserve(2)
    for slots in others:
        conference.port.release(slots)
    await conference.enter("700", 2)
    conference.check()
    assert (len(conference.calls), conference.left_out) == (3, set())


async def test_whom_no_hub_could_help_takes_none():
    conference = Conference(8)
    for _ in range(2):
        await conference.enter("700", 2)
    full = await conference.port.reserve(4)
    free = conference.port.free_legs
    for number in range(4):
        conference.port.send(full, PlaceLeg(f"full-{number}", PLAN))
    conference.port.send(full, JoinRoom("full-0", "700"))
    conference.check()
    assert conference.left_out == {"full-0"}
    assert conference.port.free_legs == free
