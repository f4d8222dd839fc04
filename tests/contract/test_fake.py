"""What the fake promises beyond the contract: what takes too long, or happens too seldom, with real peers."""

from __future__ import annotations

import pytest

from sipcore.domain.commands import HangUpLeg, LegPlan, PlaceLeg
from sipcore.domain.directory import Directory, SipHost, Trunk
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.events import LegAnswered, LegEnded, LegPlaced, LegRang
from sipcore.domain.registration import RegistrationState, TrunkState
from sipcore.sip.fake import ANSWERS_LATE, RINGS, SILENT, FakeSipPort, Script, refuses

AT = SipHost("127.0.0.1", 5060)


def place(leg: str, number: str = "101") -> PlaceLeg:
    return PlaceLeg(leg, LegPlan(number, AT, None, "<sip:100@127.0.0.1>"))


async def told(port: FakeSipPort) -> list[object]:
    """Everything that has happened so far."""
    events: list[object] = []
    reader = port.events()
    while port._events.qsize():
        events.append(await anext(reader))
    await reader.aclose()  # type: ignore[attr-defined]
    return events


async def test_a_far_end_does_what_is_written_for_its_number() -> None:
    port = FakeSipPort(scripts={"101": refuses(486, "Busy", rings=(180, 183), q850_cause=17)}, default=RINGS)
    slots = await port.reserve(2)
    port.send(slots, place("a", "101"))
    port.send(slots, place("b", "102"))
    ended = LegEnded("a", 486, "Busy", "remote", 17)
    assert await told(port) == [LegPlaced("a"), LegRang("a", 180), LegRang("a", 183), ended, *rang("b")]


def rang(leg: str) -> list[object]:
    return [LegPlaced(leg), LegRang(leg, 180)]


async def test_a_silent_far_end_keeps_its_slot_until_its_transaction_ends() -> None:
    port = FakeSipPort(workers=1, default=SILENT)
    slots = await port.reserve(4)
    port.send(slots, place("a"))
    port.release(slots)
    assert port.free_legs == 3
    port.time_out("a")
    assert port.free_legs == 4
    assert await told(port) == [LegPlaced("a"), LegEnded("a", 487, "", "local")]


async def test_a_far_end_that_never_answers_ends_by_the_network() -> None:
    port = FakeSipPort(default=SILENT)
    port.send(await port.reserve(1), place("a"))
    port.time_out("a")
    assert (await told(port))[-1] == LegEnded("a", 408, "", "network")


async def test_an_answer_that_is_there_before_our_cancel_is_told() -> None:
    port = FakeSipPort(default=ANSWERS_LATE)
    slots = await port.reserve(1)
    port.send(slots, place("a"))
    port.send(slots, HangUpLeg("a"))
    assert await told(port) == [*rang("a"), LegAnswered("a"), LegEnded("a", 200, "", "local")]


async def test_more_legs_than_a_worker_carries_fail_as_they_do_in_a_worker() -> None:
    port = FakeSipPort(workers=1, legs_per_worker=1, default=RINGS)
    slots = await port.reserve(1)
    port.send(slots, place("a"))
    port.send(slots, place("b"))
    assert (await told(port))[-1] == LegEnded("b", 503, "no call slot", "network")
    assert port.living_legs == ["a"]


async def test_without_workers_there_is_no_capacity() -> None:
    with pytest.raises(NoLegCapacityError):
        await FakeSipPort(workers=0).reserve(1)


async def test_a_far_end_cannot_do_what_its_state_forbids() -> None:
    port = FakeSipPort(default=RINGS)
    slots = await port.reserve(1)
    port.send(slots, place("a"))
    with pytest.raises(LookupError, match="leg a is called, not up"):
        port.hang_up("a")
    port.answer("a")
    with pytest.raises(LookupError, match="leg a is up, not called"):
        port.answer("a")
    port.hang_up("a")
    with pytest.raises(LookupError, match="leg a is over, not up"):
        port.press("a", "1")
    with pytest.raises(LookupError, match="leg b is never placed, not called"):
        port.ring("b")


async def test_the_newest_leg_to_a_number_is_found() -> None:
    port = FakeSipPort(default=Script())
    slots = await port.reserve(2)
    for leg in ("a", "b"):
        port.send(slots, place(leg))
    assert port.leg_to("101").place.leg == "b"
    with pytest.raises(LookupError, match="no leg was placed to 102"):
        port.leg_to("102")


def test_trunks_are_registered_unless_a_test_says_otherwise() -> None:
    port = FakeSipPort()
    assert port.trunk_states() == ()
    trunks = {name: Trunk(name, AT, registrar=None if name == "static" else AT) for name in ("main", "spare", "static")}
    port.configure(Directory(trunks=trunks))
    port.registrations["spare"] = TrunkState("spare", RegistrationState.FAILED, 403, "Forbidden")
    assert [state.state for state in port.trunk_states()] == ["registered", "failed", "none"]
