"""What the state machines share: a state, a story of how it came about, and a table that is looked up in one way."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Generic, TypeVar

from sipcore.domain.errors import InvalidTransitionError

StateT = TypeVar("StateT", bound=StrEnum)
KeyT = TypeVar("KeyT")

IGNORED = "_ignore"
"""Table entry of a late event that SIP really produces and that changes nothing."""
_STORY_LENGTH = 12


class Machine(Generic[StateT]):
    """A state with a story.

    Args:
        name: for the story that an `InvalidTransitionError` tells.
        state: the first state.
    """

    def __init__(self, name: str, state: StateT) -> None:
        self._name = name
        self.state = state
        self._story: deque[str] = deque(maxlen=_STORY_LENGTH)

    @property
    def story(self) -> tuple[str, ...]:
        """The last transitions, oldest first."""
        return tuple(self._story)

    def _enter(self, state: StateT, because: str) -> None:
        self._story.append(f"{self.state} -{because}-> {state}")
        self.state = state

    def _method(self, table: Mapping[KeyT, str], key: KeyT, event: str) -> str:
        try:
            return table[key]
        except KeyError:
            raise InvalidTransitionError(self._name, str(self.state), event, self.story) from None
