"""Where the legs of a call are, over the fake SIP port: who shares a worker, who must not, and what is given back."""

from __future__ import annotations

import asyncio

import pytest

from sipcore.domain.commands import LegPlan, PlaceLeg
from sipcore.domain.directory import SipHost
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.slots import Slots
from sipcore.service.call_slots import LEGS_PER_CALL, CallSlots
from sipcore.sip.fake import FakeSipPort

PLAN = LegPlan(user="101", at=SipHost("127.0.0.1", 25061), trunk=None, from_uri="<sip:1@127.0.0.1>")


def plain(leg: str) -> PlaceLeg:
    return PlaceLeg(leg, PLAN)


def contest(leg: str) -> PlaceLeg:
    return PlaceLeg(leg, PLAN, contest=True)


async def test_a_call_of_two_phones_has_both_on_its_home() -> None:
    port = FakeSipPort(workers=1)
    slots = await CallSlots.reserve(port, 0)
    home = slots.take(plain("one"))
    assert home is not None
    assert slots.take(plain("two")) is home
    assert slots.take(plain("three")) is None
    assert (slots.of("one"), slots.of("two")) == (home, home)
    assert port.free_legs == 4 - LEGS_PER_CALL


async def test_legs_that_ring_beside_each_other_stay_off_the_home() -> None:
    slots = await CallSlots.reserve(FakeSipPort(workers=1), 2)
    taken = [slots.take(contest(leg)) for leg in ("a", "b", "c")]
    home = slots.take(plain("other party"))
    assert home is not None
    assert home not in taken
    assert taken[:2] == [slots.of("a"), slots.of("b")]
    assert taken[2] is None


async def test_the_slot_of_a_leg_that_has_ended_serves_the_next_one() -> None:
    slots = await CallSlots.reserve(FakeSipPort(workers=1), 1)
    first = slots.take(contest("a"))
    assert slots.take(contest("b")) is None
    slots.ended("a")
    assert slots.take(contest("b")) is first


async def test_a_phone_finds_room_beside_those_who_ring_when_the_home_is_full() -> None:
    slots = await CallSlots.reserve(FakeSipPort(workers=1), 1)
    for leg in ("one", "two"):
        slots.take(plain(leg))
    assert slots.take(plain("three")) is not None


async def test_more_can_be_reserved_and_all_of_it_is_given_back() -> None:
    port = FakeSipPort(workers=1)
    slots = await CallSlots.reserve(port, 0)
    assert slots.take(contest("a")) is None
    await slots.grow(2)
    assert slots.take(contest("a")) is not None
    assert port.free_legs == 0
    slots.release()
    assert port.free_legs == 4


@pytest.mark.parametrize("contest_legs", [0, 3])
async def test_without_room_nothing_is_reserved(contest_legs: int) -> None:
    port = FakeSipPort(workers=1)
    if contest_legs == 0:
        await port.reserve(3)
    before = port.free_legs
    with pytest.raises(NoLegCapacityError):
        await CallSlots.reserve(port, contest_legs)
    assert port.free_legs == before


async def test_growing_in_vain_leaves_what_there_is() -> None:
    port = FakeSipPort(workers=1)
    slots = await CallSlots.reserve(port, 1)
    with pytest.raises(NoLegCapacityError):
        await slots.grow(2)
    assert slots.take(contest("a")) is not None
    assert port.free_legs == 1


class SlowPort(FakeSipPort):
    """Takes its time to find further slots."""

    def __init__(self) -> None:
        super().__init__(workers=1)
        self.asked, self.free = asyncio.Event(), asyncio.Event()

    async def extend(self, home: Slots, legs: int, *, staying: bool = False) -> tuple[Slots, ...]:
        self.asked.set()
        await self.free.wait()
        return await super().extend(home, legs, staying=staying)


async def test_what_is_found_after_the_call_is_over_is_given_back() -> None:
    port = SlowPort()
    slots = await CallSlots.reserve(port, 0)
    growing = asyncio.create_task(slots.grow(1))
    await port.asked.wait()
    slots.release()
    port.free.set()
    with pytest.raises(NoLegCapacityError):
        await growing
    assert port.free_legs == 4


async def test_a_leg_that_came_in_is_at_home_and_leaves_room_for_one_beside_it() -> None:
    port = FakeSipPort(workers=1)
    home = await port.reserve(2)
    slots = CallSlots(port, home)
    slots.hold("came in")
    assert slots.of("came in") is home
    assert slots.take(plain("called")) is home
    assert slots.take(plain("another")) is None


async def test_only_what_is_beside_the_home_can_be_given_back_alone() -> None:
    port = FakeSipPort(workers=1)
    slots = await CallSlots.reserve(port, 2)
    slots.release_further()
    assert port.free_legs == 2
    assert slots.take(plain("one")) is not None
    with pytest.raises(NoLegCapacityError):
        await slots.grow(1)


class WidePort(FakeSipPort):
    """Has a worker of its own for each further leg, as a pool has when the home worker is full."""

    async def extend(self, home: Slots, legs: int, *, staying: bool = False) -> tuple[Slots, ...]:  # noqa: ARG002 - the port's shape
        assert home.legs == LEGS_PER_CALL
        return tuple([await self.reserve(1) for _ in range(legs)])


async def test_nothing_is_placed_on_a_worker_that_is_lost() -> None:
    slots = await CallSlots.reserve(WidePort(workers=3, legs_per_worker=2), 2)
    lost, other = slots.take(contest("a")), slots.take(contest("b"))
    assert lost is not None
    assert other is not None
    assert lost.worker != other.worker
    slots.lost("a")
    slots.ended("a")
    assert slots.take(contest("c")) is None
    slots.ended("b")
    assert slots.take(contest("c")) is other


async def test_a_worker_that_is_lost_with_legs_of_others_costs_a_call_nothing() -> None:
    slots = await CallSlots.reserve(WidePort(workers=3, legs_per_worker=2), 1)
    slots.lost("somebody else's")
    assert slots.take(contest("a")) is not None
