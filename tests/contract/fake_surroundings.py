"""What is around the fake port."""

from __future__ import annotations

from world import hubs, plan_to

from sipcore.domain.commands import LegPlan
from sipcore.domain.slots import Slots
from sipcore.sip.fake import (
    ANSWERS,
    ANSWERS_LATE,
    EARLY_MEDIA_THEN_ANSWERS,
    RINGS,
    SILENT,
    FakeSipPort,
    FarEnd,
    refuses,
)


class FakeSurroundings:
    """Far ends that are scripts."""

    _SCRIPTS = {  # noqa: RUF012 - read only
        "answers": ANSWERS,
        "rings": RINGS,
        "silent": SILENT,
        "early media": EARLY_MEDIA_THEN_ANSWERS,
        "answers late": ANSWERS_LATE,
        "refuses in latin-1": refuses(486, "Bes\N{REPLACEMENT CHARACTER}tzt"),
    }

    def __init__(self, port: FakeSipPort) -> None:
        self._port = port

    def plan(self, behaviour: str) -> LegPlan:
        code = behaviour.removeprefix("refuses ")
        script = self._SCRIPTS.get(behaviour, ANSWERS)
        self._port.scripts[behaviour] = refuses(int(code)) if code.isdigit() else script
        return plan_to(behaviour, 5060)

    async def hang_up(self, leg: str) -> None:
        self._port.hang_up(leg)

    async def answer(self, leg: str) -> None:
        self._port.answer(leg)

    async def press(self, leg: str, digits: str) -> None:
        self._port.press(leg, digits)

    async def got_digits(self, leg: str, digits: str) -> None:
        assert self._port.legs[leg].digits == digits

    async def released(self, leg: str) -> None:
        assert self._port.legs[leg].far_end is FarEnd.OVER

    async def calls_seen(self) -> int:
        return len(self._port.legs)

    def kill_worker(self, slots: Slots) -> None:
        self._port.lose_worker(slots.worker)

    def freeze_worker(self, slots: Slots) -> None:
        self._port.freeze_worker(slots.worker)

    def hubs(self) -> list[Slots]:
        return hubs(self._port._capacity)

    def call_in(self, number: str, speaker: int) -> None:
        self._port.arrive(number, f"speaker{speaker}")

    async def rings(self, leg: str) -> None:
        assert self._port.legs[leg].answers == [180]

    async def ended_with(self, leg: str) -> int:
        return self._port.legs[leg].answers[-1]

    async def refused(self) -> int:
        return list(self._port.legs.values())[-1].answers[-1]

    async def hears(self, leg: str, *others: str) -> None:
        assert self._port.heard_by(leg) == sorted(others)
