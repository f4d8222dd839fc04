"""Calls that come in: told with slots of their own, answered or refused, and joined like any other leg."""

from __future__ import annotations

import pytest
from world import LEGS_PER_WORKER, World

from sipcore.domain.commands import AnswerLeg, BridgeLegs, HangUpLeg, JoinRoom
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.events import LegArrived

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def whole(world: World) -> None:
    """Everything that there is can be reserved: nothing has leaked."""
    world.release(await world.reserve_all())


async def test_a_call_is_told_with_its_number_its_caller_and_room_for_another_leg(world: World) -> None:
    arrived = await world.arrival("1001")
    assert (arrived.number, arrived.caller, arrived.trunk) == ("1001", "speaker0", None)
    assert arrived.slots.legs == 2
    taken = await world.reserve_rest()
    assert len(taken) == LEGS_PER_WORKER * world.workers - 2
    world.release([*taken, arrived.slots])
    await world.end_of(arrived.leg)
    await whole(world)


async def test_a_caller_hears_that_it_rings_and_is_answered(world: World) -> None:
    arrived = await world.arrival("1002")
    world.send(arrived.slots, AnswerLeg(arrived.leg, 180))
    await world.around.rings(arrived.leg)
    world.send(arrived.slots, AnswerLeg(arrived.leg))
    await world.event(arrived.leg, "LegAnswered")
    await world.around.hang_up(arrived.leg)
    ended = await world.end_of(arrived.leg)
    assert (ended.sip_code, ended.ended_by) == (200, "remote")
    assert world.kinds(arrived.leg) == ["LegArrived", "LegAnswered", "LegEnded"]
    world.port.release(arrived.slots)
    await whole(world)


@pytest.mark.parametrize("code", [404, 480, 486, 503])
async def test_a_caller_is_refused_with_the_status_that_is_chosen(world: World, code: int) -> None:
    arrived = await world.arrival(f"1003{code}")
    world.send(arrived.slots, AnswerLeg(arrived.leg, code))
    assert await world.around.ended_with(arrived.leg) == code
    ended = await world.end_of(arrived.leg)
    assert (ended.sip_code, ended.ended_by) == (code, "local")
    world.port.release(arrived.slots)
    await whole(world)


async def test_a_caller_who_gives_up_is_over(world: World) -> None:
    arrived = await world.arrival("1004")
    world.send(arrived.slots, AnswerLeg(arrived.leg, 180))
    await world.around.rings(arrived.leg)
    await world.around.hang_up(arrived.leg)
    ended = await world.end_of(arrived.leg)
    assert (ended.sip_code, ended.ended_by) == (487, "remote")
    # What crosses it does nothing.
    world.send(arrived.slots, AnswerLeg(arrived.leg), HangUpLeg(arrived.leg))
    world.port.release(arrived.slots)
    await whole(world)
    assert world.kinds(arrived.leg) == ["LegArrived", "LegEnded"]


async def test_a_leg_that_we_placed_is_not_answered(world: World) -> None:
    slots = await world.reserve(1)
    leg = world.place(slots, "rings")
    await world.event(leg, "LegRang")
    world.send(slots, AnswerLeg(leg), HangUpLeg(leg))
    assert (await world.end_of(leg)).sip_code == 487
    world.port.release(slots)


async def test_releasing_its_slots_turns_a_caller_away(world: World) -> None:
    arrived = await world.arrival("1005")
    world.port.release(arrived.slots)
    assert await world.around.ended_with(arrived.leg) == 480
    assert (await world.end_of(arrived.leg)).ended_by == "local"
    await whole(world)


async def test_without_a_free_slot_a_call_gets_503_and_nobody_is_told(world: World) -> None:
    taken = await world.reserve_all()
    before = len(world.events)
    world.around.call_in("1006", 0)
    assert await world.around.refused() == 503
    assert not any(isinstance(event, LegArrived) for event in world.events[before:])
    world.release(taken)
    await whole(world)


async def test_with_one_free_slot_a_call_gets_that_one(world: World) -> None:
    taken = await world.reserve_all()
    world.port.release(taken.pop())
    taken.append(await world.port.reserve(LEGS_PER_WORKER - 1))
    arrived = await world.arrival("1007")
    assert arrived.slots.legs == 1
    with pytest.raises(NoLegCapacityError):
        await world.port.reserve(1)
    world.release([*taken, arrived.slots])
    await world.end_of(arrived.leg)
    await whole(world)


async def test_a_caller_and_the_leg_beside_it_hear_each_other(world: World) -> None:
    arrived = await world.arrival("1008")
    world.send(arrived.slots, AnswerLeg(arrived.leg))
    await world.event(arrived.leg, "LegAnswered")
    other = await world.place_and_answer(arrived.slots, "speaker 1")
    world.send(arrived.slots, BridgeLegs(other, arrived.leg))
    await world.hear(arrived.leg, other)
    world.port.release(arrived.slots)
    await whole(world)


async def test_a_caller_is_joined_with_legs_on_other_workers(wide_world: World) -> None:
    arrived = await wide_world.arrival("1009")
    wide_world.send(arrived.slots, AnswerLeg(arrived.leg))
    await wide_world.event(arrived.leg, "LegAnswered")
    *_, far = further = await wide_world.port.extend(arrived.slots, LEGS_PER_WORKER)
    assert far.worker != arrived.slots.worker
    other = await wide_world.place_and_answer(far, "speaker 1")
    wide_world.send(far, BridgeLegs(other, arrived.leg))
    await wide_world.hear(arrived.leg, other)
    wide_world.release([*further, arrived.slots])
    await whole(wide_world)


async def test_callers_meet_in_a_room(wide_world: World) -> None:
    arrivals = [await wide_world.arrival(f"1010{number}", number) for number in range(3)]
    for arrived in arrivals:
        wide_world.send(arrived.slots, AnswerLeg(arrived.leg))
        await wide_world.event(arrived.leg, "LegAnswered")
        wide_world.send(arrived.slots, JoinRoom(arrived.leg, "720"))
    assert len({arrived.slots.worker for arrived in arrivals}) > 1
    await wide_world.hear(*(arrived.leg for arrived in arrivals))
    wide_world.release([arrived.slots for arrived in arrivals])
    await whole(wide_world)


async def test_callers_of_a_worker_that_dies_are_released(world: World) -> None:
    up = await world.arrival("1011")
    world.send(up.slots, AnswerLeg(up.leg))
    await world.event(up.leg, "LegAnswered")
    waiting = await world.arrival("1012", 1)
    world.send(waiting.slots, AnswerLeg(waiting.leg, 180))
    await world.around.rings(waiting.leg)
    for slots in {arrived.slots.worker: arrived.slots for arrived in (up, waiting)}.values():
        world.around.kill_worker(slots)
    for arrived in (up, waiting):
        await world.event(arrived.leg, "WorkerLost")
        await world.around.released(arrived.leg)
    await whole(world)
