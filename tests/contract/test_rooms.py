"""Conference rooms: everybody hears everybody else and not itself, on whatever workers they are."""

from __future__ import annotations

import asyncio

import pytest
from world import LEGS_PER_WORKER, World

from sipcore.domain.commands import HangUpLeg, JoinRoom
from sipcore.domain.slots import Slots

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def whole(world: World) -> None:
    """Everything that there is can be reserved: nothing has leaked."""
    world.release(await world.reserve_all())


async def on_own_workers(world: World, count: int) -> list[Slots]:
    """Reservations of so many calls, of two legs each, each on a worker that it shares with nobody."""
    reserved = [await world.reserve(LEGS_PER_WORKER) for _ in range(count)]
    world.release(reserved)
    calls = [await world.reserve(2) for _ in range(count)]
    assert len({slots.worker for slots in calls}) == count
    return calls


async def answered(world: World, calls: list[Slots], first: int = 0) -> list[str]:
    """One speaker in each call."""
    numbers = range(first, first + len(calls))
    return [
        await world.place_and_answer(slots, f"speaker {number}") for slots, number in zip(calls, numbers, strict=True)
    ]


def join(world: World, room: str, calls: list[Slots], legs: list[str]) -> None:
    for slots, leg in zip(calls, legs, strict=True):
        world.send(slots, JoinRoom(leg, room))


async def test_three_legs_of_one_worker_are_mixed_there(wide_world: World) -> None:
    slots = await wide_world.reserve(LEGS_PER_WORKER)
    legs = await answered(wide_world, [slots] * 3)
    join(wide_world, "700", [slots] * 3, legs)
    await wide_world.hear(*legs)
    wide_world.port.release(slots)
    await whole(wide_world)


async def test_four_legs_on_four_workers_hear_each_other(wide_world: World) -> None:
    calls = await on_own_workers(wide_world, 4)
    legs = await answered(wide_world, calls)
    join(wide_world, "701", calls, legs)
    await wide_world.hear(*legs)
    wide_world.release(calls)
    await whole(wide_world)


async def test_who_comes_later_is_heard_and_who_leaves_is_not(wide_world: World) -> None:
    calls = await on_own_workers(wide_world, 4)
    legs = await answered(wide_world, calls)
    join(wide_world, "702", calls[:2], legs[:2])
    await wide_world.hear(*legs[:2])
    join(wide_world, "702", calls[2:], legs[2:])
    await wide_world.hear(*legs)
    wide_world.send(calls[0], HangUpLeg(legs[0]))
    await wide_world.end_of(legs[0])
    await wide_world.hear(*legs[1:])
    for slots, leg in zip(calls[1:], legs[1:], strict=True):
        wide_world.send(slots, HangUpLeg(leg))
        await wide_world.end_of(leg)
    wide_world.release(calls)
    await whole(wide_world)


async def test_two_rooms_do_not_hear_each_other(wide_world: World) -> None:
    calls = await on_own_workers(wide_world, 4)
    legs = await answered(wide_world, calls)
    join(wide_world, "703", calls[::2], legs[::2])
    join(wide_world, "704", calls[1::2], legs[1::2])
    await wide_world.hear(*legs[::2])
    await wide_world.hear(*legs[1::2])
    wide_world.release(calls)
    await whole(wide_world)


async def test_two_participants_of_each_worker_hear_all_others(wide_world: World) -> None:
    first = await on_own_workers(wide_world, 2)
    second = await on_own_workers_of(wide_world, first)
    calls = [*first, *second]
    legs = await answered(wide_world, calls)
    join(wide_world, "705", calls, legs)
    await wide_world.hear(*legs)
    wide_world.release(calls)
    await whole(wide_world)


async def on_own_workers_of(world: World, calls: list[Slots]) -> list[Slots]:
    """One more call of two legs on the worker of each of these."""
    wanted = {slots.worker for slots in calls}
    others: list[Slots] = []
    found: list[Slots] = []
    while wanted - {slots.worker for slots in found}:
        slots = await world.reserve(2)
        (found if slots.worker in wanted else others).append(slots)
    world.release(others)
    return found


async def test_with_two_workers_only_a_room_is_one_link(world: World) -> None:
    calls = await on_own_workers(world, 2)
    rest = await world.reserve_rest()
    legs = await answered(world, calls)
    join(world, "706", calls, legs)
    await world.hear(*legs)
    world.release([*rest, *calls])
    await whole(world)


async def test_who_cannot_be_joined_is_told(wide_world: World) -> None:
    calls = await on_own_workers(wide_world, 3)
    legs = await answered(wide_world, calls)
    # With a second leg its call has no slot for a link.
    wide_world.place(calls[0], "rings")
    rest = await wide_world.reserve_rest()
    join(wide_world, "707", calls[1:], legs[1:])
    await wide_world.hear(*legs[1:])
    join(wide_world, "707", calls[:1], legs[:1])
    await wide_world.event(legs[0], "JoinFailed")
    await wide_world.hear(*legs[1:])
    assert all("JoinFailed" not in wide_world.kinds(leg) for leg in legs[1:])
    wide_world.release([*rest, *calls])
    await whole(wide_world)


async def test_a_participant_whose_worker_hangs_is_told_and_the_others_are_joined(wide_world: World) -> None:
    calls = await on_own_workers(wide_world, 3)
    legs = await answered(wide_world, calls)
    join(wide_world, "711", calls[1:], legs[1:])
    await wide_world.hear(*legs[1:])
    wide_world.around.freeze_worker(calls[0])
    join(wide_world, "711", calls[:1], legs[:1])
    await wide_world.event(legs[0], "JoinFailed")
    await wide_world.hear(*legs[1:])
    assert all("JoinFailed" not in wide_world.kinds(leg) for leg in legs[1:])
    wide_world.around.kill_worker(calls[0])
    await wide_world.event(legs[0], "WorkerLost")
    wide_world.release(calls)
    await whole(wide_world)


async def test_a_worker_that_dies_takes_its_participant_only(wide_world: World) -> None:
    calls = await on_own_workers(wide_world, 4)
    legs = await answered(wide_world, calls)
    join(wide_world, "708", calls, legs)
    await wide_world.hear(*legs)
    wide_world.around.kill_worker(calls[0])
    await wide_world.event(legs[0], "WorkerLost")
    await wide_world.hear(*legs[1:])
    wide_world.release(calls)
    await whole(wide_world)


async def test_a_room_is_joined_anew_around_a_hub_that_dies(wide_world: World) -> None:
    calls = await on_own_workers(wide_world, 4)
    legs = await answered(wide_world, calls)
    join(wide_world, "709", calls, legs)
    await wide_world.hear(*legs)
    for hub in wide_world.around.hubs():
        wide_world.around.kill_worker(hub)
    await wide_world.hear(*legs)
    assert all(wide_world.kinds(leg)[-1] == "LegAnswered" for leg in legs)
    wide_world.release(calls)
    await whole(wide_world)


async def test_ten_participants_on_ten_workers_hear_each_other(widest_world: World) -> None:
    world = widest_world
    calls = await on_own_workers(world, 10)
    legs = await answered(world, calls)
    join(world, "710", calls, legs)
    await world.hear(*legs)
    world.send(calls[0], HangUpLeg(legs[0]))
    await world.end_of(legs[0])
    await world.hear(*legs[1:])
    world.release(calls)
    await asyncio.gather(*(world.end_of(leg) for leg in legs[1:]))
    await whole(world)
