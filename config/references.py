"""What one table of the settings says about another: references, numbers given twice, loops of ring groups.

The checks read the parsed TOML, not the model, and look only at what has the right shape: so they find everything in
one pass even where the model refuses some other key.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config.lines import KeyPath
from config.model import KINDS
from config.problems import Problem, path_text, shown
from config.values import is_e164

_NUMBER = re.compile(r"[0-9*#]{1,32}")
_PHONES = ("extension",)
_MEMBERS = ("extension", "ring group")


def reference_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Find every reference that leads nowhere, or where it must not.

    Args:
        raw: the settings as `tomllib` reads them.
    """
    trunks = _tables(raw, "trunks")
    inbound: dict[str, KeyPath] = {}
    for name, table in _tables(raw, "orgs").items():
        organisation = _Organisation(("orgs", name), table)
        yield from organisation.numbers_given_twice()
        yield from organisation.missing_trunks(trunks)
        yield from organisation.dead_references()
        yield from organisation.missing_announcement()
        yield from organisation.group_loops()
        yield from organisation.inbound_of_others(inbound)


def _table(value: Any, key: str) -> dict[str, Any]:
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def _tables(value: Any, key: str) -> dict[str, dict[str, Any]]:
    return {name: entry for name, entry in _table(value, key).items() if isinstance(entry, dict)}


def _texts(value: Any) -> Iterator[tuple[int, str]]:
    if isinstance(value, list):
        yield from ((index, entry) for index, entry in enumerate(value) if isinstance(entry, str))


@dataclass(frozen=True, slots=True)
class _Given:
    """An internal number, what has it, and where the settings say so."""

    number: str
    kind: str
    path: KeyPath


class _Organisation:
    def __init__(self, path: KeyPath, table: dict[str, Any]) -> None:
        self._path = path
        self._table = table
        self._given = tuple(self._numbers())
        self._kinds = {given.number: given.kind for given in self._given}

    def _numbers(self) -> Iterator[_Given]:
        for key, kind in KINDS.items():
            for name, entry in _table(self._table, key).items():
                if key != "apps":
                    yield _Given(name, kind, (*self._path, key, name))
                elif isinstance(entry, dict) and isinstance(number := entry.get("number"), str):
                    yield _Given(number, kind, (*self._path, key, name, "number"))

    def numbers_given_twice(self) -> Iterator[Problem]:
        first: dict[str, _Given] = {}
        for given in self._given:
            other = first.setdefault(given.number, given)
            if other is not given:
                text = f"expected a number of its own, got {shown(given.number)}, which {path_text(other.path)} has"
                yield Problem(given.path, text)

    def missing_trunks(self, trunks: Mapping[str, Any]) -> Iterator[Problem]:
        trunk = self._table.get("trunk")
        if isinstance(trunk, str) and trunk not in trunks:
            known = ", ".join(trunks) or "none"
            yield Problem((*self._path, "trunk"), f"expected the name of a trunk ({known}), got {shown(trunk)}")
        if trunk is None:
            for number, extension in _tables(self._table, "extensions").items():
                if "contact" not in extension:
                    text = "expected the key `contact`, got nothing: the organisation has no trunk to reach it through"
                    yield Problem((*self._path, "extensions", number), text)

    def dead_references(self) -> Iterator[Problem]:
        everything = tuple(KINDS.values())
        for path, target, kinds in (
            *self._array("ring_groups", "members", _MEMBERS),
            *self._array("queues", "agents", _PHONES),
            *((path, target, everything) for path, target in self._single_targets()),
        ):
            if is_e164(target) or _NUMBER.fullmatch(target) is None:
                continue
            kind = self._kinds.get(target)
            if kind is None and kinds != everything and "trunk" in self._table:
                continue  # a number of the PBX behind the trunk, like an extension without a contact
            if kind is None:
                what = _article(" or ".join(kinds) if kinds != everything else "number")
                text = f"expected {what} that {path_text(self._path)} has, or an E.164 number, got {shown(target)}"
                yield Problem(path, text)
            elif kind not in kinds:
                what = _article(", ".join(kinds))
                yield Problem(path, f"expected {what} or E.164 number, got {shown(target)}, {_article(kind)}")

    def _array(self, tables: str, key: str, kinds: tuple[str, ...]) -> Iterator[tuple[KeyPath, str, tuple[str, ...]]]:
        for number, table in _tables(self._table, tables).items():
            for index, target in _texts(table.get(key)):
                yield (*self._path, tables, number, key, index), target, kinds

    def _single_targets(self) -> Iterator[tuple[KeyPath, str]]:
        tables = [((*self._path, "inbound"), _table(self._table, "inbound"))]
        for number, queue in _tables(self._table, "queues").items():
            tables.append(((*self._path, "queues", number), {"then": queue.get("then")}))
        for number, message in _tables(self._table, "messages").items():
            tables.append(((*self._path, "messages", number), {"then": message.get("then")}))
        for number, ivr in _tables(self._table, "ivrs").items():
            tables.append(((*self._path, "ivrs", number, "options"), _table(ivr, "options")))
        for path, table in tables:
            yield from (((*path, key), target) for key, target in table.items() if isinstance(target, str))

    def missing_announcement(self) -> Iterator[Problem]:
        """Find that what is to be played to answering machines is no announcement."""
        number = _table(self._table, "machine_detection").get("announcement")
        if isinstance(number, str) and _NUMBER.fullmatch(number) and self._kinds.get(number) != "announcement":
            known = ", ".join(_table(self._table, "messages")) or "none"
            path = (*self._path, "machine_detection", "announcement")
            yield Problem(path, f"expected the number of an announcement ({known}), got {shown(number)}")

    def group_loops(self) -> Iterator[Problem]:
        groups = _tables(self._table, "ring_groups")
        members = {
            number: {target for _, target in _texts(group.get("members")) if target in groups}
            for number, group in groups.items()
        }
        while loop := _loop(members):
            text = f"expected no loop of ring groups, got {' > '.join(loop)}"
            yield Problem((*self._path, "ring_groups", loop[0], "members"), text)
            members[loop[0]].remove(loop[1])

    def inbound_of_others(self, seen: dict[str, KeyPath]) -> Iterator[Problem]:
        """Find external numbers that another organisation has taken; `seen` collects them."""
        for number in _table(self._table, "inbound"):
            path = (*self._path, "inbound", number)
            other = seen.setdefault(number, path)
            if other != path:
                yield Problem(path, f"expected a number of its own, got {shown(number)}, which {path_text(other)} has")


def _loop(members: Mapping[str, set[str]]) -> list[str]:
    """Return one loop, from a group over its members back to it, or nothing."""
    try:
        graphlib.TopologicalSorter(members).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))  # graphlib tells members before the groups that they are in
    return []


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeioAEIO' else 'a'} {noun}"
