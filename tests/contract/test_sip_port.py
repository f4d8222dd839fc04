"""What every SIP port promises (`sipcore.service.port`), held by the fake and by the pool of real workers alike."""

from __future__ import annotations

import uuid

import pytest
from world import World

from sipcore.domain.commands import (
    BridgeLegs,
    HangUpLeg,
    PassAudio,
    PlayTone,
    SendDigit,
    StopPlaying,
)
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.events import DigitPressed, LegRang, WorkerLost
from sipcore.domain.tones import ToneKind, tone

pytestmark = pytest.mark.asyncio(loop_scope="module")

RINGBACK = tone(ToneKind.RINGBACK, "US")


async def ended_once(world: World, leg: str) -> None:
    """Nothing follows the one end of a leg: another leg's whole life on the same port comes after it."""
    other = await world.reserve(1)
    later = world.place(other, "refuses 486")
    await world.end_of(later)
    world.port.release(other)
    assert world.kinds(leg).count("LegEnded") + world.kinds(leg).count("WorkerLost") == 1
    assert world.kinds(leg)[-1] in {"LegEnded", "WorkerLost"}


async def test_slots_are_of_one_worker_and_as_many_as_asked_for(world: World) -> None:
    slots = await world.port.reserve(2)
    assert slots.legs == 2
    world.port.release(slots)


async def test_when_everything_is_reserved_there_is_no_capacity_and_nothing_is_sent(world: World) -> None:
    seen, events = await world.around.calls_seen(), len(world.events)
    taken = await world.reserve_all()
    with pytest.raises(NoLegCapacityError):
        await world.port.reserve(1)
    assert await world.around.calls_seen() == seen
    assert len(world.events) == events
    world.release(taken)


async def test_a_worker_with_too_little_room_is_no_room(world: World) -> None:
    taken = await world.reserve_all()
    first, *others = taken
    world.port.release(first)
    three = await world.port.reserve(3)
    with pytest.raises(NoLegCapacityError):
        await world.port.reserve(2)
    one = await world.port.reserve(1)
    world.release([three, one, *others])


async def test_released_slots_can_be_reserved_again(world: World) -> None:
    world.release(await world.reserve_all())
    world.release(await world.reserve_all())


async def test_slots_released_twice_come_back_once(world: World) -> None:
    taken = await world.reserve_all()
    for _ in range(2):
        world.port.release(taken[0])
    again = await world.port.reserve(4)
    with pytest.raises(NoLegCapacityError):
        await world.port.reserve(1)
    world.release([again, *taken[1:]])


async def test_a_leg_that_is_answered_tells_its_steps_in_order(world: World) -> None:
    slots = await world.port.reserve(2)
    leg = await world.place_and_answer(slots)
    assert world.kinds(leg) == ["LegPlaced", "LegRang", "LegAnswered"]
    rang = world.events_of(leg)[1]
    assert isinstance(rang, LegRang)
    assert rang.sip_code == 180
    world.send(slots, HangUpLeg(leg))
    ended = await world.end_of(leg)
    assert (ended.sip_code, ended.ended_by) == (200, "local")
    assert world.kinds(leg) == ["LegPlaced", "LegRang", "LegAnswered", "LegEnded"]
    await world.around.released(leg)
    world.port.release(slots)


async def test_a_leg_keeps_its_slot_until_it_has_ended_and_was_released(world: World) -> None:
    taken = await world.reserve_all()
    leg = await world.place_and_answer(taken[0])
    world.send(taken[0], HangUpLeg(leg))
    await world.end_of(leg)
    with pytest.raises(NoLegCapacityError):
        await world.port.reserve(1)
    world.release(taken)
    world.release(await world.reserve_all())


async def test_the_slot_of_a_leg_is_free_once_its_end_is_told(world: World) -> None:
    slots = await world.port.reserve(4)
    # A phone carries no more legs than a worker, so one of them rings another.
    ringing = world.place(slots, "rings")
    legs = [await world.place_and_answer(slots) for _ in range(3)]
    for _ in range(3):
        leg = legs.pop(0)
        world.send(slots, HangUpLeg(leg))
        await world.end_of(leg)
        legs.append(await world.place_and_answer(slots))
    world.port.release(slots)
    for leg in (ringing, *legs):
        await world.end_of(leg)


async def test_hanging_up_at_once_ends_the_call_attempt(world: World) -> None:
    slots = await world.port.reserve(1)
    leg = world.place(slots, "rings")
    world.send(slots, HangUpLeg(leg))
    ended = await world.end_of(leg)
    assert ended.ended_by == "local"
    await ended_once(world, leg)
    await world.around.released(leg)
    world.port.release(slots)


async def test_hanging_up_while_it_rings_cancels_it(world: World) -> None:
    slots = await world.port.reserve(1)
    leg = world.place(slots, "rings")
    await world.event(leg, "LegRang")
    world.send(slots, HangUpLeg(leg))
    ended = await world.end_of(leg)
    assert (ended.sip_code, ended.ended_by) == (487, "local")
    assert world.kinds(leg) == ["LegPlaced", "LegRang", "LegEnded"]
    await world.around.released(leg)
    world.port.release(slots)


async def test_a_far_end_that_rings_can_answer_later(world: World) -> None:
    slots = await world.port.reserve(1)
    leg = world.place(slots, "rings")
    await world.event(leg, "LegRang")
    await world.around.answer(leg)
    await world.event(leg, "LegAnswered")
    world.send(slots, HangUpLeg(leg))
    await world.end_of(leg)
    world.port.release(slots)


@pytest.mark.parametrize("code", [404, 480, 486, 503, 603])
async def test_a_refusal_comes_through_with_its_code(world: World, code: int) -> None:
    slots = await world.port.reserve(1)
    leg = world.place(slots, f"refuses {code}")
    ended = await world.end_of(leg)
    assert (ended.sip_code, ended.ended_by) == (code, "remote")
    assert world.kinds(leg) == ["LegPlaced", "LegEnded"]
    world.port.release(slots)


async def test_a_refusal_in_another_encoding_comes_through(world: World) -> None:
    slots = await world.port.reserve(1)
    leg = world.place(slots, "refuses in latin-1")
    ended = await world.end_of(leg)
    assert (ended.sip_code, ended.ended_by) == (486, "remote")
    assert ended.reason == "Bes\N{REPLACEMENT CHARACTER}tzt"
    world.port.release(slots)


async def test_the_far_end_hangs_up(world: World) -> None:
    slots = await world.port.reserve(1)
    leg = await world.place_and_answer(slots)
    await world.around.hang_up(leg)
    ended = await world.end_of(leg)
    assert (ended.sip_code, ended.ended_by) == (200, "remote")
    await ended_once(world, leg)
    world.port.release(slots)


async def test_hanging_up_what_the_far_end_hangs_up_gives_one_end(world: World) -> None:
    slots = await world.port.reserve(1)
    leg = await world.place_and_answer(slots)
    await world.around.hang_up(leg)
    world.send(slots, HangUpLeg(leg), HangUpLeg(leg))
    await world.end_of(leg)
    await ended_once(world, leg)
    world.port.release(slots)


async def test_early_media_is_told_before_the_answer(world: World) -> None:
    slots = await world.port.reserve(1)
    leg = world.place(slots, "early media")
    await world.event(leg, "LegAnswered")
    kinds = world.kinds(leg)
    # Whether the 183's media or its status is told first is the library's own affair.
    assert sorted(kinds[1:3]) == ["LegEarlyMediaStarted", "LegRang"]
    assert (kinds[0], kinds[3:]) == ("LegPlaced", ["LegAnswered"])
    (rang,) = (event for event in world.events_of(leg) if isinstance(event, LegRang))
    assert rang.sip_code == 183
    world.send(slots, HangUpLeg(leg))
    await world.end_of(leg)
    world.port.release(slots)


async def test_digits_of_the_far_end_are_told_one_by_one(world: World) -> None:
    slots = await world.port.reserve(1)
    leg = await world.place_and_answer(slots)
    await world.around.press(leg, "1*#")
    await world.event(leg, "DigitPressed", nth=3)
    assert [event.digit for event in world.events_of(leg) if isinstance(event, DigitPressed)] == ["1", "*", "#"]
    world.send(slots, HangUpLeg(leg))
    await world.end_of(leg)
    world.port.release(slots)


async def test_digits_are_sent_to_the_far_end(world: World) -> None:
    slots = await world.port.reserve(1)
    leg = await world.place_and_answer(slots)
    world.send(slots, *(SendDigit(leg, digit) for digit in "42#"))
    await world.around.got_digits(leg, "42#")
    world.send(slots, HangUpLeg(leg))
    await world.end_of(leg)
    world.port.release(slots)


async def test_two_legs_can_be_joined_and_part(world: World) -> None:
    slots = await world.port.reserve(2)
    one = await world.place_and_answer(slots)
    world.send(slots, PlayTone(one, RINGBACK))
    two = await world.place_and_answer(slots)
    world.send(slots, StopPlaying(one), BridgeLegs(one, two))
    await world.around.hang_up(one)
    await world.end_of(one)
    world.send(slots, HangUpLeg(two))
    assert (await world.end_of(two)).ended_by == "local"
    world.port.release(slots)


async def test_commands_for_legs_that_are_over_or_never_were_do_nothing(world: World) -> None:
    slots = await world.port.reserve(2)
    over, never = world.place(slots, "refuses 486"), uuid.uuid4().hex
    await world.end_of(over)
    living = await world.place_and_answer(slots)
    for leg in (over, never):
        world.send(
            slots,
            HangUpLeg(leg),
            BridgeLegs(leg, living),
            BridgeLegs(living, leg),
            PassAudio(leg, living),
            PassAudio(living, leg),
            PlayTone(leg, RINGBACK),
            StopPlaying(leg),
            SendDigit(leg, "5"),
        )
    # The leg beside it lives on, and its worker still obeys.
    world.send(slots, SendDigit(living, "7"))
    await world.around.got_digits(living, "7")
    world.send(slots, HangUpLeg(living))
    await world.end_of(living)
    assert world.kinds(over) == ["LegPlaced", "LegEnded"]
    assert world.kinds(never) == []
    world.port.release(slots)


async def test_an_answer_that_crosses_our_cancel_leaves_no_leg(world: World) -> None:
    slots = await world.port.reserve(1)
    leg = world.place(slots, "answers late")
    await world.event(leg, "LegRang")
    world.send(slots, HangUpLeg(leg))
    assert (await world.end_of(leg)).ended_by == "local"
    await world.around.released(leg)
    await ended_once(world, leg)
    world.port.release(slots)
    world.release(await world.reserve_all())


async def test_releasing_slots_hangs_their_legs_up(world: World) -> None:
    slots = await world.port.reserve(2)
    up = await world.place_and_answer(slots)
    ringing = world.place(slots, "rings")
    await world.event(ringing, "LegRang")
    world.port.release(slots)
    assert (await world.end_of(up)).ended_by == "local"
    assert (await world.end_of(ringing)).ended_by == "local"
    await world.around.released(up)
    await world.around.released(ringing)
    world.release(await world.reserve_all())


async def test_a_leg_placed_on_released_slots_fails(world: World) -> None:
    slots = await world.port.reserve(1)
    world.port.release(slots)
    leg = world.place(slots, "answers")
    ended = await world.end_of(leg)
    assert (ended.sip_code, ended.ended_by) == (503, "network")
    assert world.kinds(leg) == ["LegEnded"]


async def test_a_worker_that_dies_takes_its_legs_with_it_in_one_event(world: World) -> None:
    slots = await world.reserve(3)
    up = await world.place_and_answer(slots)
    ringing = world.place(slots, "rings")
    await world.event(ringing, "LegRang")
    calling = world.place(slots, "silent")
    await world.event(calling, "LegPlaced")
    ended = world.place(slots, "refuses 486")
    await world.end_of(ended)
    world.around.kill_worker(slots)
    lost = await world.event(up, "WorkerLost")
    assert isinstance(lost, WorkerLost)
    assert set(lost.legs) == {up, ringing, calling}
    for leg in (up, ringing, calling):
        await ended_once(world, leg)
    world.port.release(slots)


async def test_far_ends_of_a_dead_worker_are_released(world: World) -> None:
    slots = await world.reserve(2)
    up = await world.place_and_answer(slots)
    ringing = world.place(slots, "rings")
    await world.event(ringing, "LegRang")
    world.around.kill_worker(slots)
    await world.event(up, "WorkerLost")
    await world.around.released(up)
    await world.around.released(ringing)


async def test_other_workers_live_on_when_one_dies(world: World) -> None:
    first, second = await world.reserve_all()
    survivor = await world.place_and_answer(first)
    victim = await world.place_and_answer(second)
    world.around.kill_worker(second)
    await world.event(victim, "WorkerLost")
    assert world.kinds(survivor) == ["LegPlaced", "LegRang", "LegAnswered"]
    world.send(first, HangUpLeg(survivor))
    assert (await world.end_of(survivor)).ended_by == "local"
    world.release([first, second])


async def test_slots_of_a_dead_worker_carry_nothing_and_harm_nothing(world: World) -> None:
    slots = await world.reserve(2)
    lost = await world.place_and_answer(slots)
    world.around.kill_worker(slots)
    await world.event(lost, "WorkerLost")
    world.send(slots, HangUpLeg(lost), PlayTone(lost, RINGBACK))
    leg = world.place(slots, "answers")
    ended = await world.end_of(leg)
    assert (ended.sip_code, ended.ended_by) == (503, "network")
    world.port.release(slots)


async def test_the_port_has_its_whole_capacity_again_after_a_death(world: World) -> None:
    slots = await world.reserve(2)
    leg = await world.place_and_answer(slots)
    world.around.kill_worker(slots)
    await world.event(leg, "WorkerLost")
    taken = await world.reserve_all()
    again = await world.place_and_answer(taken[0])
    world.send(taken[0], HangUpLeg(again))
    await world.end_of(again)
    world.release(taken)
