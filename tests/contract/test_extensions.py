"""More legs than a worker carries: reservations on several workers."""

from __future__ import annotations

import pytest
from world import LEGS_PER_WORKER, World

from sipcore.domain.errors import NoLegCapacityError

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def whole(world: World) -> None:
    """Everything that there is can be reserved: nothing has leaked."""
    world.release(await world.reserve_all())


async def test_further_legs_are_at_home_while_it_has_room(wide_world: World) -> None:
    home = await wide_world.reserve(2)
    further = await wide_world.port.extend(home, LEGS_PER_WORKER - 2)
    assert {slots.worker for slots in further} == {home.worker}
    assert sum(slots.legs for slots in further) == LEGS_PER_WORKER - 2
    wide_world.release([home, *further])
    await whole(wide_world)


async def test_twenty_legs_more_are_spread_over_as_few_workers_as_can_carry_them(wide_world: World) -> None:
    home = await wide_world.reserve(2)
    further = await wide_world.port.extend(home, 20)
    assert sum(slots.legs for slots in further) == 20
    # Two at home, and three on each other worker, whose fourth slot is for the link.
    assert sorted(slots.legs for slots in further) == [2, *6 * [3]]
    assert len({slots.worker for slots in further}) == 7
    wide_world.release([home, *further])
    await whole(wide_world)


async def test_the_slot_of_a_link_is_nobody_elses(wide_world: World) -> None:
    home = await wide_world.reserve(2)
    further = await wide_world.port.extend(home, 2 + 3 * (wide_world.workers - 1))
    with pytest.raises(NoLegCapacityError):
        await wide_world.port.reserve(1)
    wide_world.release([home, *further])
    await whole(wide_world)


async def test_slots_of_an_extension_are_released_one_by_one(wide_world: World) -> None:
    home = await wide_world.reserve(2)
    further = await wide_world.port.extend(home, 2 + 3 * (wide_world.workers - 1))
    far = next(slots for slots in further if slots.worker != home.worker)
    wide_world.port.release(far)
    again = await wide_world.port.reserve(LEGS_PER_WORKER)
    with pytest.raises(NoLegCapacityError):
        await wide_world.port.reserve(1)
    wide_world.release([again, home, *further])
    await whole(wide_world)


async def test_without_room_for_all_of_them_nothing_is_reserved(wide_world: World) -> None:
    home = await wide_world.reserve(2)
    with pytest.raises(NoLegCapacityError):
        await wide_world.port.extend(home, 2 + 3 * (wide_world.workers - 1) + 1)
    further = await wide_world.port.extend(home, 2 + 3 * (wide_world.workers - 1))
    wide_world.release([home, *further])
    await whole(wide_world)


async def test_a_call_with_a_single_slot_gets_one_more_for_its_link(wide_world: World) -> None:
    home = await wide_world.reserve(1)
    further = await wide_world.port.extend(home, 3 * (wide_world.workers - 1) + 2)
    with pytest.raises(NoLegCapacityError):
        await wide_world.port.reserve(1)
    wide_world.release([*further, home])
    await whole(wide_world)


async def test_a_call_whose_worker_is_full_cannot_link_with_its_only_slot(wide_world: World) -> None:
    home = await wide_world.reserve(1)
    others = await wide_world.port.extend(home, LEGS_PER_WORKER - 1)
    with pytest.raises(NoLegCapacityError):
        await wide_world.port.extend(home, 1)
    wide_world.release([home, *others])
    await whole(wide_world)


async def test_legs_on_every_worker_of_an_extension_can_be_answered(wide_world: World) -> None:
    home = await wide_world.reserve(2)
    further = await wide_world.port.extend(home, 8)
    places = [slots for slots in further for _ in range(slots.legs)]
    # A phone carries no more legs than a worker, so two of them ring.
    legs = [wide_world.place(slots, ("rings", "early media")[i % 2]) for i, slots in enumerate(places)]
    for leg in legs:
        await wide_world.event(leg, "LegRang")
    wide_world.release([home, *further])
    for leg in legs:
        assert (await wide_world.end_of(leg)).ended_by == "local"
    await whole(wide_world)
