"""The order in which members are rung, by strategy."""

from __future__ import annotations

from random import Random

import pytest

from sipcore.domain.directory import HuntStrategy
from sipcore.domain.hunt_order import HuntHistory, hunt_order

MEMBERS = ("101", "102", "103", "104")


def history(*, idle: dict[str, float] | None = None, last: str | None = None) -> HuntHistory:
    return HuntHistory((idle or {}).get, last, Random(7))  # noqa: S311 - a story, not a secret


@pytest.mark.parametrize("strategy", [HuntStrategy.RING_ALL, HuntStrategy.LINEAR])
def test_the_settings_order_counts(strategy: HuntStrategy) -> None:
    assert hunt_order(strategy, MEMBERS, ("102", "104"), history(last="102")) == ("102", "104")


@pytest.mark.parametrize(
    ("last", "order"),
    [
        (None, ("101", "103", "104")),
        ("101", ("103", "104", "101")),
        # Who was last need not be free now, nor a member any more.
        ("102", ("103", "104", "101")),
        ("104", ("101", "103", "104")),
        ("999", ("101", "103", "104")),
    ],
)
def test_round_robin_goes_on_behind_the_last_one(last: str | None, order: tuple[str, ...]) -> None:
    assert hunt_order(HuntStrategy.ROUND_ROBIN, MEMBERS, ("101", "103", "104"), history(last=last)) == order


def test_longest_idle_begins_with_those_who_had_no_call_yet() -> None:
    idle = {"101": 50.0, "102": 20.0, "103": 90.0}
    assert hunt_order(HuntStrategy.LONGEST_IDLE, MEMBERS, MEMBERS, history(idle=idle)) == ("104", "102", "101", "103")


def test_random_takes_everybody_once_and_everybody_first_some_time() -> None:
    chance = history()
    orders = [hunt_order(HuntStrategy.RANDOM, MEMBERS, MEMBERS, chance) for _ in range(100)]
    assert all(sorted(order) == list(MEMBERS) for order in orders)
    assert {order[0] for order in orders} == set(MEMBERS)
