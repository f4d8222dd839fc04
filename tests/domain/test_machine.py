"""What the state machines share: an event that cannot happen is our bug, and the error tells how it came about."""

from __future__ import annotations

from enum import StrEnum

import pytest

from sipcore.domain.commands import LegPlan
from sipcore.domain.directory import SipHost
from sipcore.domain.errors import Click2CallError, InvalidTransitionError
from sipcore.domain.events import LegAnswered, LegRang
from sipcore.domain.machine import Machine
from sipcore.domain.phone import PhoneParty


class Lamp(StrEnum):
    OFF = "off"
    ON = "on"


class Switch(Machine[Lamp]):
    def __init__(self) -> None:
        super().__init__("lamp", Lamp.OFF)

    def press(self, times: int) -> None:
        for number in range(times):
            self._enter(Lamp.OFF if self.state is Lamp.ON else Lamp.ON, f"press {number + 1}")

    def take(self, event: str) -> str:
        return self._method({(Lamp.ON, "fuse blew"): "_go_dark"}, (self.state, event), event)


def test_a_listed_pair_names_its_method() -> None:
    switch = Switch()
    switch.press(1)
    assert switch.take("fuse blew") == "_go_dark"


def test_a_new_machine_has_no_story() -> None:
    assert Switch().story == ()


def test_the_story_tells_the_transitions_in_their_order() -> None:
    switch = Switch()
    switch.press(2)
    assert switch.story == ("off -press 1-> on", "on -press 2-> off")


def test_the_story_keeps_the_last_twelve_transitions() -> None:
    switch = Switch()
    switch.press(100)
    assert len(switch.story) == 12
    assert switch.story[-1] == "on -press 100-> off"
    assert switch.story[0] == "off -press 89-> on"


def test_a_pair_that_is_not_listed_raises_with_the_story() -> None:
    switch = Switch()
    switch.press(2)
    with pytest.raises(InvalidTransitionError) as raised:
        switch.take("fuse blew")
    assert str(raised.value) == (
        "lamp in state off cannot take fuse blew; before: off -press 1-> on / on -press 2-> off"
    )
    assert raised.value.story == switch.story
    assert raised.value.error_id == "invalid_transition"
    assert isinstance(raised.value, Click2CallError)


def test_a_pair_that_is_not_listed_changes_nothing() -> None:
    switch = Switch()
    with pytest.raises(InvalidTransitionError, match="before: nothing"):
        switch.take("fuse blew")
    assert switch.state is Lamp.OFF
    assert switch.story == ()


@pytest.mark.parametrize("event", [LegRang("leg-1", 180), LegAnswered("leg-1")])
def test_a_phone_that_was_never_rung_cannot_ring_or_answer(event: LegRang | LegAnswered) -> None:
    plan = LegPlan(user="101", at=SipHost("127.0.0.1", 25061), trunk=None, from_uri="<sip:1@127.0.0.1>")
    phone = PhoneParty("leg-1", plan, ring_seconds=20)
    with pytest.raises(
        InvalidTransitionError, match=f"PhoneParty leg-1 in state idle cannot take {type(event).__name__}"
    ):
        phone.feed(event, 0.0)
