"""The party that is a menu: it plays a prompt, takes keys, and leads on to what they name."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from sipcore.domain.answering import Step
from sipcore.domain.commands import Command
from sipcore.domain.dialplan import begins_a_number, has_shape
from sipcore.domain.directory import Ivr
from sipcore.domain.machine import IGNORED
from sipcore.domain.onward import LeadingParty, WayOn
from sipcore.domain.prompts import Prompt

INTER_DIGIT_SECONDS = 3.0
"""How long the next digit of a number is waited for."""
_END_OF_NUMBER = "#"


class IvrState(StrEnum):
    """Where the menu stands."""

    IDLE = "idle"
    PROMPTING = "prompting"
    WAITING = "waiting"
    DIALLING = "dialling"
    REJECTING = "rejecting"
    LEADING = "leading"
    CLOSING = "closing"


_TABLE: dict[tuple[IvrState, Step], str] = {
    (IvrState.IDLE, Step.JOINED): "_prompt_for_key",
    (IvrState.PROMPTING, Step.PLAYED): "_wait",
    (IvrState.PROMPTING, Step.KEY): "_barge_in",
    (IvrState.WAITING, Step.KEY): "_collect",
    (IvrState.WAITING, Step.TIME_UP): "_again",
    (IvrState.DIALLING, Step.KEY): "_collect",
    (IvrState.DIALLING, Step.TIME_UP): "_choose",
    (IvrState.REJECTING, Step.PLAYED): "_again",
    # The rest of a number that nobody has must not choose an option.
    (IvrState.REJECTING, Step.KEY): IGNORED,
    (IvrState.LEADING, Step.CAME_BACK): "_again",
    (IvrState.CLOSING, Step.PLAYED): "_leave_when_heard",
    (IvrState.CLOSING, Step.KEY): IGNORED,
}


class IvrParty(LeadingParty[IvrState]):
    """A menu, and the menus that its options lead to: they take its place, so that callers go back and forth at will.

    Digits are collected as long as they may become a number that can be dialled, which has 32 at most. Those are the
    organisation's own numbers only, so that nobody is called outside at its expense.

    Args:
        uid: its UniqueID; no leg has it.
        ivr: what it plays and where its keys lead.
        way: what it takes to lead on.
        menus: the organisation's menus, by number.
        direct: shapes of the numbers that can be dialled where a menu allows it: digits, and `x` for any digit.
    """

    def __init__(self, uid: str, ivr: Ivr, way: WayOn, menus: Mapping[str, Ivr], direct: Collection[str]) -> None:
        super().__init__(uid, ivr.number, way, IvrState.IDLE, _TABLE)
        self._ivr = ivr
        self._menus = menus
        self._direct = tuple(direct)
        self._repeats_left = ivr.repeats
        self._digits = ""

    @property
    def _numbers(self) -> tuple[str, ...]:
        """Shapes of what can be dialled besides the options."""
        return self._direct if self._ivr.direct_dial else ()

    def _prompt_for_key(self, now: float) -> list[Command]:
        self._enter(IvrState.PROMPTING, "prompt")
        return self._play((self._ivr.prompt,), now)

    def _wait(self, now: float) -> list[Command]:
        self._deadline = now + self._ivr.timeout_seconds
        self._enter(IvrState.WAITING, "prompt ended")
        return []

    def _barge_in(self, now: float, digit: str) -> list[Command]:
        if not self._ivr.barge_in:
            return []
        return [*self._stop_playing(), *self._collect(now, digit)]

    def _collect(self, now: float, digit: str) -> list[Command]:
        self._deadline = None
        digits = self._digits + digit
        beginnings = [shape for shape in (*self._ivr.options, *self._numbers) if begins_a_number(digits, shape)]
        if digit == _END_OF_NUMBER and not beginnings:
            return self._choose(now)
        self._digits = digits
        if all(len(shape) == len(digits) for shape in beginnings):
            return self._choose(now)
        self._deadline = now + INTER_DIGIT_SECONDS
        self._enter(IvrState.DIALLING, digit)
        return []

    def _choose(self, now: float) -> list[Command]:
        digits, self._digits = self._digits, ""
        if digits in self._ivr.options:
            number = self._ivr.options[digits]
        elif any(has_shape(digits, shape) for shape in self._numbers):
            number = digits
        else:
            self._enter(IvrState.REJECTING, digits)
            return self._play(self._prompt(Prompt.INVALID_CHOICE), now)
        if number in self._menus:
            self._ivr = self._menus[number]
            self._repeats_left = self._ivr.repeats
            return self._prompt_for_key(now)
        self._enter(IvrState.LEADING, digits)
        return self._lead_on(number, now)

    def _again(self, now: float) -> list[Command]:
        if self._repeats_left > 0:
            self._repeats_left -= 1
            return self._prompt_for_key(now)
        self._enter(IvrState.CLOSING, "no repeats left")
        return self._play(self._prompt(Prompt.GOODBYE), now)
