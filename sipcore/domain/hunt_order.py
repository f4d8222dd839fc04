"""The order in which a ring group's members, or a queue's free agents, are rung."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from sipcore.domain.directory import HuntStrategy


@dataclass(frozen=True, slots=True)
class HuntHistory:
    """What the order depends on beside the settings.

    Attributes:
        idle_since: when a member's last call ended, in the machine's time; None: it had none.
        last: who was rung last, or None.
        random: where chance comes from.
    """

    idle_since: Callable[[str], float | None]
    last: str | None
    random: Random


def hunt_order(
    strategy: HuntStrategy, members: Sequence[str], candidates: Sequence[str], history: HuntHistory
) -> tuple[str, ...]:
    """Put candidates in the order in which they are to be rung.

    Args:
        strategy: of the group or queue.
        members: all its numbers, in the settings' order.
        candidates: those of them that may be rung now, in the settings' order.
        history: what happened before.
    """
    return tuple(_ORDERS[strategy](members, candidates, history))


def _as_set(_members: Sequence[str], candidates: Sequence[str], _history: HuntHistory) -> Sequence[str]:
    return candidates


def _after_the_last(members: Sequence[str], candidates: Sequence[str], history: HuntHistory) -> Sequence[str]:
    if history.last not in members:
        return candidates
    behind = members.index(history.last) + 1
    turn = [*members[behind:], *members[:behind]]
    return [number for number in turn if number in candidates]


def _longest_idle_first(_members: Sequence[str], candidates: Sequence[str], history: HuntHistory) -> Sequence[str]:
    def idle_since(number: str) -> float:
        moment = history.idle_since(number)
        return float("-inf") if moment is None else moment

    return sorted(candidates, key=idle_since)


def _shuffled(_members: Sequence[str], candidates: Sequence[str], history: HuntHistory) -> Sequence[str]:
    return history.random.sample(candidates, len(candidates))


_ORDERS: dict[HuntStrategy, Callable[[Sequence[str], Sequence[str], HuntHistory], Sequence[str]]] = {
    HuntStrategy.RING_ALL: _as_set,
    HuntStrategy.LINEAR: _as_set,
    HuntStrategy.ROUND_ROBIN: _after_the_last,
    HuntStrategy.LONGEST_IDLE: _longest_idle_first,
    HuntStrategy.RANDOM: _shuffled,
}
