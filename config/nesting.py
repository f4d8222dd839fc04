"""Destinations inside each other: ring groups that contain themselves, and more levels than a call follows."""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from config.lines import KeyPath
from config.problems import Problem
from config.raw import table_of, tables_in, texts_in
from sipcore.domain.parties import MAX_DEPTH

Ways = dict[str, dict[str, int]]
"""From a number to those that it leads to, and how many levels deeper each of these stands."""

_LEADS_TO: dict[str, Callable[[dict[str, Any]], list[Any]]] = {
    "ring_groups": lambda group: [target for _, target in texts_in(group.get("members"))],
    "queues": lambda queue: [*(target for _, target in texts_in(queue.get("agents"))), queue.get("then")],
    "messages": lambda message: [message.get("then")],
    "ivrs": lambda ivr: list(table_of(ivr, "options").values()),
}
"""By table of an organisation: the numbers that one of its entries leads to."""


def nesting_problems(path: KeyPath, organisation: Mapping[str, Any]) -> Iterator[Problem]:
    """Find ring groups that contain themselves, and destinations too deep inside each other.

    Menus and announcements may lead back to where a caller came from: how often that is done is the caller's choice.

    Args:
        path: of the organisation's table.
        organisation: that table, as `tomllib` reads it.
    """
    yield from _group_loops(path, organisation)
    yield from _too_deep(path, organisation)


def _group_loops(path: KeyPath, organisation: Mapping[str, Any]) -> Iterator[Problem]:
    groups = tables_in(organisation, "ring_groups")
    members = {
        number: {target for _, target in texts_in(group.get("members")) if target in groups}
        for number, group in groups.items()
    }
    while loop := _loop(members):
        text = f"expected no loop of ring groups, got {' > '.join(loop)}"
        yield Problem((*path, "ring_groups", loop[0], "members"), text)
        members[loop[0]].remove(loop[1])


def _loop(members: Mapping[str, set[str]]) -> list[str]:
    """Return one loop, from a group over its members back to it, or nothing."""
    try:
        graphlib.TopologicalSorter(members).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))  # graphlib tells members before the groups that they are in
    return []


def _too_deep(path: KeyPath, organisation: Mapping[str, Any]) -> Iterator[Problem]:
    ways, kinds = _ways(organisation)
    reached = {number: _reachable(ways, number) for number in ways}
    straight = {
        number: {target: deeper for target, deeper in targets.items() if number not in reached.get(target, ())}
        for number, targets in ways.items()
    }
    depths: dict[str, int] = {}
    for number in graphlib.TopologicalSorter(straight).static_order():  # what is inside comes first
        depths[number] = max(
            (depths[target] + deeper for target, deeper in straight.get(number, {}).items()), default=0
        )
    deep = [number for number in straight if depths[number] > MAX_DEPTH]
    for number in deep:
        if not any(number in straight[outer] for outer in deep):
            way = [number]
            while targets := straight.get(way[-1]):
                way.append(max(targets, key=lambda target: depths[target] + targets[target]))
            text = f"expected at most {MAX_DEPTH} destinations around another one, got {' > '.join(way)}"
            yield Problem((*path, kinds[number], number), text)


def _ways(organisation: Mapping[str, Any]) -> tuple[Ways, dict[str, str]]:
    """Collect where each destination leads, and in which table it stands."""
    kinds = {number: kind for kind in _LEADS_TO for number in tables_in(organisation, kind)}
    ways: Ways = {}
    for kind, leads_to in _LEADS_TO.items():
        for number, entry in tables_in(organisation, kind).items():
            targets = [target for target in leads_to(entry) if isinstance(target, str)]
            # A menu takes the place of the one that led to it.
            ways[number] = {target: int(not kind == kinds.get(target) == "ivrs") for target in targets}
    return ways, kinds


def _reachable(ways: Ways, start: str) -> set[str]:
    found: set[str] = set()
    following = [start]
    while following:
        new = ways.get(following.pop(), {}).keys() - found
        found |= new
        following += new
    return found
