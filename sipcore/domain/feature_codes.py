"""Codes among the keys that somebody presses during a call: they are acted on, and all other keys are passed on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from sipcore.domain.party import News

ActionT = TypeVar("ActionT")

NEXT_KEY_SECONDS = 1.5
"""How long the keys of a code may lie apart; what has not become a code until then is passed on."""


class FeatureCodes(Generic[ActionT]):
    """Holds keys back for as long as they may be the beginning of a code.

    Args:
        codes: from the keys of each code to what it stands for; none is the beginning of another.
    """

    def __init__(self, codes: Mapping[str, ActionT]) -> None:
        self._codes = codes
        self._held: list[News] = []
        self._deadline: float | None = None

    @property
    def deadline(self) -> float | None:
        """When `release` wants to be called, or None."""
        return self._deadline

    def press(self, key: News, now: float) -> tuple[list[News], ActionT | None]:
        """Take a key; return those that are to be passed on, oldest first, and what a complete code stands for."""
        self._held.append(key)
        passed: list[News] = []
        while self._held and not self._may_become_a_code():
            passed.append(self._held.pop(0))
        action = self._codes.get(self._digits)
        if action is not None:
            self._held.clear()
        self._deadline = now + NEXT_KEY_SECONDS if self._held else None
        return passed, action

    def release(self) -> list[News]:
        """Give back the keys that are held: they were no code."""
        held, self._held, self._deadline = self._held, [], None
        return held

    @property
    def _digits(self) -> str:
        return "".join(key.digit for key in self._held)

    def _may_become_a_code(self) -> bool:
        return any(code.startswith(self._digits) for code in self._codes)
