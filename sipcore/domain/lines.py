"""Who is in a call: the lines that calls ring, busy or free, and held for whoever waits for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Line = tuple[str, str]
"""Name of an organisation, and a number of it (an extension's, or E.164) as in `LegPlan.line`."""


@dataclass(slots=True)
class _State:
    legs: int = 0
    busy_since: float = 0.0
    idle_since: float | None = None
    holder: str | None = None


class LineBoard:
    """The lines of all organisations; times are the machines' time.

    A line is busy while it has a leg, from its INVITE on. What it did before is kept for the lines that are followed
    only: every customer's number is a line too.
    """

    def __init__(self) -> None:
        self._states: dict[Line, _State] = {}
        self._wrap_up: Mapping[Line, float] = {}

    def follow(self, wrap_up: Mapping[Line, float]) -> None:
        """Say which lines are hunted, and for how many seconds each is left alone after a call."""
        self._wrap_up = dict(wrap_up)
        for line in list(self._states):
            self._forget_if_done(line)

    def follows(self, line: Line) -> bool:
        """Tell whether the line is one of those."""
        return line in self._wrap_up

    def remember(self, line: Line, idle_since: float) -> None:
        """Take over when a call of a followed line ended, as an earlier run knew it; a later one counts."""
        if line in self._wrap_up:
            state = self._state(line)
            state.idle_since = idle_since if state.idle_since is None else max(state.idle_since, idle_since)

    def busy(self, line: Line, now: float) -> None:
        """Count a leg of the line."""
        state = self._state(line)
        if state.legs == 0:
            state.busy_since = now
        state.legs += 1

    def free(self, line: Line, now: float, *, talked: bool) -> None:
        """Count a leg of the line out.

        Args:
            line: whose leg is over; it was counted by `busy`.
            now: the machine's time.
            talked: whether the leg was answered; one that only rang does not change who has been idle for how long.
        """
        state = self._states[line]
        state.legs -= 1
        if talked:
            state.idle_since = now
        self._forget_if_done(line)

    def is_busy(self, line: Line) -> bool:
        """Tell whether the line has a leg, be it ringing or answered."""
        state = self._states.get(line)
        return state is not None and state.legs > 0

    def busy_since(self, line: Line) -> float | None:
        """When the line became busy, or None while it is not."""
        return self._states[line].busy_since if self.is_busy(line) else None

    def idle_since(self, line: Line) -> float | None:
        """When the last call of a followed line ended, or None when none is known."""
        state = self._states.get(line)
        return None if state is None else state.idle_since

    def free_at(self, line: Line) -> float | None:
        """When the time that a followed line is left alone after its last call ends, or None when it had no call."""
        idle_since = self.idle_since(line)
        return None if idle_since is None else idle_since + self._wrap_up.get(line, 0.0)

    def hold(self, line: Line, holder: str) -> None:
        """Keep the line for somebody, who is the only one to ring it until `release`."""
        self._state(line).holder = holder

    def release(self, line: Line, holder: str) -> None:
        """Let go of a line; nothing happens when somebody else holds it by now."""
        state = self._states.get(line)
        if state is not None and state.holder == holder:
            state.holder = None
            self._forget_if_done(line)

    def is_held(self, line: Line) -> bool:
        """Tell whether somebody holds the line."""
        state = self._states.get(line)
        return state is not None and state.holder is not None

    def _state(self, line: Line) -> _State:
        return self._states.setdefault(line, _State())

    def _forget_if_done(self, line: Line) -> None:
        state = self._states[line]
        if state.legs == 0 and state.holder is None and (line not in self._wrap_up or state.idle_since is None):
            del self._states[line]
