"""A third leg that joins two who talk already, and who leaves them: on one worker, and over links that are there."""

from __future__ import annotations

import pytest
from world import LEGS_PER_WORKER, World

from sipcore.domain.commands import BridgeLegs, HangUpLeg, JoinRoom, LeaveRoom
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.slots import Slots

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def whole(world: World) -> None:
    """Everything that there is can be reserved: nothing has leaked."""
    world.release(await world.reserve_all())


async def talking(world: World, *places: Slots) -> list[str]:
    """Two legs that are joined, and a third that is not yet."""
    legs = [await world.place_and_answer(slots, f"speaker {number}") for number, slots in enumerate(places)]
    world.send(places[0], BridgeLegs(legs[0], legs[1]))
    await world.hear(*legs[:2])
    return legs


def join(world: World, room: str, slots: Slots, legs: list[str]) -> None:
    world.send(slots, *(JoinRoom(leg, room) for leg in legs))


async def test_beside_the_two_it_is_mixed_on_their_worker_and_goes_without_a_trace(wide_world: World) -> None:
    home = await wide_world.reserve(2)
    (beside,) = await wide_world.extend(home, 1, staying=True)
    assert beside.worker == home.worker
    legs = await talking(wide_world, home, home, beside)
    join(wide_world, "call 1", home, legs)
    await wide_world.hear(*legs)
    wide_world.send(beside, HangUpLeg(legs[2]))
    await wide_world.end_of(legs[2])
    await wide_world.hear(*legs[:2])
    wide_world.release([home, beside])
    await whole(wide_world)


async def test_the_link_of_two_becomes_the_rooms_so_that_nobody_is_heard_twice(wide_world: World) -> None:
    home = await wide_world.reserve(2)
    *near, far = await wide_world.extend(home, LEGS_PER_WORKER - 2 + 1)
    wide_world.release(near)
    (beside,) = await wide_world.extend(home, 1, staying=True)
    legs = await talking(wide_world, home, far, beside)
    join(wide_world, "call 2", home, legs)
    await wide_world.hear(*legs)
    # Whoever is left over still hears the other over that link.
    wide_world.send(home, HangUpLeg(legs[0]))
    await wide_world.end_of(legs[0])
    await wide_world.hear(*legs[1:])
    wide_world.release([home, far, beside])
    await whole(wide_world)


async def test_who_leaves_a_room_hears_nobody_there_and_can_be_joined_with_others(wide_world: World) -> None:
    home = await wide_world.reserve(2)
    *near, far = await wide_world.extend(home, LEGS_PER_WORKER - 2 + 1)
    legs = await talking(wide_world, home, far, near[0])
    join(wide_world, "call 3", home, legs)
    await wide_world.hear(*legs)
    wide_world.send(home, LeaveRoom(legs[0]))
    await wide_world.around.hears(legs[0])
    await wide_world.hear(*legs[1:])
    wide_world.send(home, HangUpLeg(legs[1]))
    await wide_world.end_of(legs[1])
    wide_world.send(home, BridgeLegs(legs[0], legs[2]))
    await wide_world.hear(legs[0], legs[2])
    wide_world.release([home, *near, far])
    await whole(wide_world)


async def test_a_worker_that_is_full_has_no_link_for_it(world: World) -> None:
    home = await world.reserve(LEGS_PER_WORKER)
    legs = [await world.place_and_answer(home, f"speaker {number}") for number in range(LEGS_PER_WORKER)]
    with pytest.raises(NoLegCapacityError):
        await world.port.extend(home, 1, staying=True)
    world.send(home, HangUpLeg(legs[0]))
    await world.end_of(legs[0])
    world.release([home, *await world.extend(home, 1, staying=True)])
    await whole(world)
