"""Legs on different workers, joined over links."""

from __future__ import annotations

import pytest
from world import LEGS_PER_WORKER, World

from sipcore.domain.commands import BridgeLegs, HangUpLeg, PassAudio, SendDigit
from sipcore.domain.events import JoinFailed
from sipcore.domain.slots import Slots

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def whole(world: World) -> None:
    """Everything that there is can be reserved: nothing has leaked."""
    world.release(await world.reserve_all())


async def apart(world: World) -> tuple[Slots, Slots]:
    """A call's first reservation, and one of its own on another worker."""
    home = await world.reserve(2)
    *near, far = await world.port.extend(home, LEGS_PER_WORKER - 2 + 1)
    world.release(near)
    assert far.worker != home.worker
    return home, far


async def test_legs_on_two_workers_hear_each_other(wide_world: World) -> None:
    home, far = await apart(wide_world)
    one = await wide_world.place_and_answer(home, "speaker 0")
    two = await wide_world.place_and_answer(far, "speaker 1")
    wide_world.send(far, BridgeLegs(two, one))
    await wide_world.hear(one, two)
    wide_world.release([home, far])
    for leg in (one, two):
        assert wide_world.kinds(leg).count("LegAnswered") == 1
        assert (await wide_world.end_of(leg)).ended_by == "local"
    await whole(wide_world)


async def test_legs_of_two_extensions_hear_each_other(wide_world: World) -> None:
    home = await wide_world.reserve(2)
    *_, third, fourth = further = await wide_world.port.extend(home, LEGS_PER_WORKER - 2 + 4)
    assert len({home.worker, third.worker, fourth.worker}) == 3
    one = await wide_world.place_and_answer(third, "speaker 0")
    two = await wide_world.place_and_answer(fourth, "speaker 1")
    wide_world.send(third, BridgeLegs(one, two))
    await wide_world.hear(one, two)
    wide_world.release([home, *further])
    await whole(wide_world)


async def test_one_direction_can_be_joined_first_and_the_other_later(wide_world: World) -> None:
    home, far = await apart(wide_world)
    one = await wide_world.place_and_answer(home, "speaker 0")
    two = await wide_world.place_and_answer(far, "speaker 1")
    wide_world.send(far, PassAudio(two, one))
    await wide_world.around.hears(one, two)
    await wide_world.around.hears(two)
    wide_world.send(home, BridgeLegs(one, two))
    await wide_world.hear(one, two)
    wide_world.release([home, far])
    await whole(wide_world)


async def test_a_link_ends_with_either_leg_and_its_slots_are_free_again(wide_world: World) -> None:
    home, far = await apart(wide_world)
    one = await wide_world.place_and_answer(home, "speaker 0")
    for _ in range(3):
        two = await wide_world.place_and_answer(far, "speaker 1")
        wide_world.send(far, BridgeLegs(two, one))
        await wide_world.hear(one, two)
        await wide_world.around.hang_up(two)
        await wide_world.end_of(two)
        await wide_world.around.hears(one)
    wide_world.release([home, far])
    await wide_world.end_of(one)
    await whole(wide_world)


async def test_digits_do_not_cross_a_link(wide_world: World) -> None:
    home, far = await apart(wide_world)
    one = await wide_world.place_and_answer(home, "speaker 0")
    two = await wide_world.place_and_answer(far, "speaker 1")
    wide_world.send(far, BridgeLegs(two, one))
    await wide_world.hear(one, two)
    await wide_world.around.press(one, "5")
    await wide_world.event(one, "DigitPressed")
    # Only what is sent to the leg itself arrives.
    wide_world.send(far, SendDigit(two, "7"))
    await wide_world.around.got_digits(two, "7")
    assert "DigitPressed" not in wide_world.kinds(two)
    wide_world.release([home, far])
    await whole(wide_world)


async def test_without_a_slot_for_the_link_both_legs_are_told(wide_world: World) -> None:
    home, far = await apart(wide_world)
    one = await wide_world.place_and_answer(home, "speaker 0")
    beside = wide_world.place(home, "rings")
    two = await wide_world.place_and_answer(far, "speaker 1")
    taken = await wide_world.reserve_rest()
    wide_world.send(far, BridgeLegs(two, one))
    for leg in (one, two):
        failed = await wide_world.event(leg, "JoinFailed")
        assert isinstance(failed, JoinFailed)
    wide_world.release([*taken, home, far])
    for leg in (one, two, beside):
        await wide_world.end_of(leg)
    await whole(wide_world)


async def test_a_link_waits_for_the_slot_of_a_leg_that_is_being_cancelled(wide_world: World) -> None:
    home, far = await apart(wide_world)
    one = await wide_world.place_and_answer(home, "speaker 0")
    beside = wide_world.place(home, "rings")
    await wide_world.event(beside, "LegRang")
    two = await wide_world.place_and_answer(far, "speaker 1")
    taken = await wide_world.reserve_rest()
    wide_world.send(home, HangUpLeg(beside))
    wide_world.send(far, BridgeLegs(two, one))
    await wide_world.hear(one, two)
    assert "JoinFailed" not in wide_world.kinds(one)
    wide_world.release([*taken, home, far])
    await whole(wide_world)


async def test_a_worker_that_dies_takes_a_link_with_it_and_the_other_leg_lives(wide_world: World) -> None:
    home, far = await apart(wide_world)
    one = await wide_world.place_and_answer(home, "speaker 0")
    two = await wide_world.place_and_answer(far, "speaker 1")
    wide_world.send(far, BridgeLegs(two, one))
    await wide_world.hear(one, two)
    wide_world.around.kill_worker(far)
    await wide_world.event(two, "WorkerLost")
    await wide_world.around.hears(one)
    assert wide_world.kinds(one)[-1] == "LegAnswered"
    # The slot of the link is free: another one can be made.
    *_, again = further = await wide_world.extend(home, LEGS_PER_WORKER - 2 + 1)
    three = await wide_world.place_and_answer(again, "speaker 2")
    wide_world.send(again, BridgeLegs(three, one))
    await wide_world.hear(one, three)
    wide_world.release([home, far, *further])
    await whole(wide_world)


async def test_legs_whose_worker_hangs_are_told_that_they_cannot_be_joined(wide_world: World) -> None:
    home, far = await apart(wide_world)
    one = await wide_world.place_and_answer(home)
    two = await wide_world.place_and_answer(far)
    wide_world.around.freeze_worker(far)
    wide_world.send(home, BridgeLegs(one, two))
    for leg in (one, two):
        await wide_world.event(leg, "JoinFailed")
    wide_world.around.kill_worker(far)
    await wide_world.event(two, "WorkerLost")
    wide_world.release([home, far])
    await wide_world.end_of(one)
    await whole(wide_world)
