"""In which order ring groups are rung, from one call to the next."""

from __future__ import annotations

from random import Random, SystemRandom

from sipcore.domain.directory import RingGroup
from sipcore.domain.hunt_order import HuntHistory, hunt_order
from sipcore.domain.lines import LineBoard


class GroupOrder:
    """Remembers whose turn it was.

    Args:
        lines: who was in a call when.
        random: where chance comes from.
    """

    def __init__(self, lines: LineBoard, random: Random | None = None) -> None:
        self._lines = lines
        self._random = random or SystemRandom()
        self._last: dict[tuple[str, str], str] = {}

    def of(self, organisation: str, group: RingGroup) -> tuple[str, ...]:
        """Put the members of a group in the order in which a call that begins now rings them."""
        history = HuntHistory(
            idle_since=lambda number: self._lines.idle_since((organisation, number)),
            last=self._last.get((organisation, group.number)),
            random=self._random,
        )
        order = hunt_order(group.strategy, group.members, group.members, history)
        self._last[organisation, group.number] = order[0]
        return order
