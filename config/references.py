"""What one table of the settings says about another: references, and numbers given twice.

The checks read the parsed TOML, not the model, and look only at what has the right shape: so they find everything in
one pass even where the model refuses some other key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config.lines import KeyPath
from config.model import KINDS
from config.nesting import nesting_problems
from config.problems import Problem, path_text, shown
from config.raw import table_of, tables_in, texts_in
from config.values import is_e164
from sipcore.domain.dialplan import has_shape

_NUMBER = re.compile(r"[0-9*#]{1,32}")
_PHONES = ("extension",)
_MEMBERS = ("extension", "ring group")


def reference_problems(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Find every reference that leads nowhere, or where it must not.

    Args:
        raw: the settings as `tomllib` reads them.
    """
    trunks = tables_in(raw, "trunks")
    inbound: dict[str, KeyPath] = {}
    if "edge" in raw:
        yield from _trunks_of_the_edge(trunks)
    for name, table in tables_in(raw, "orgs").items():
        organisation = _Organisation(("orgs", name), table)
        yield from organisation.numbers_given_twice()
        yield from organisation.missing_trunks(trunks)
        yield from organisation.registrations(has_edge="edge" in raw)
        yield from organisation.dead_references()
        yield from organisation.missing_announcement()
        yield from nesting_problems(("orgs", name), table)
        yield from organisation.inbound_of_others(inbound)


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
        self._shapes = tuple(shape for _, shape in texts_in(table.get("internal_numbers")))

    def _numbers(self) -> Iterator[_Given]:
        for key, kind in KINDS.items():
            for name, entry in table_of(self._table, key).items():
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
            if self._shapes:
                text = "expected the key `trunk` beside it, got nothing: numbers of a PBX are reached through it"
                yield Problem((*self._path, "internal_numbers"), text)
            for number, extension in tables_in(self._table, "extensions").items():
                if extension.keys().isdisjoint({"contact", "secret"}):
                    text = (
                        "expected the key `contact` or `secret`, got nothing: the organisation has no trunk to reach it"
                        " through"
                    )
                    yield Problem((*self._path, "extensions", number), text)

    def registrations(self, *, has_edge: bool) -> Iterator[Problem]:
        """Find extensions that cannot register."""
        for number, extension in tables_in(self._table, "extensions").items():
            if "secret" not in extension:
                continue
            if not has_edge:
                text = "expected the table [edge] beside it, got nothing: it is where phones register"
                yield Problem((*self._path, "extensions", number, "secret"), text)
            if "#" in number:
                text = "expected a number without `#` beside `secret`: it is part of the user name of its phone"
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
            if kind is None and any(has_shape(target, shape) for shape in self._shapes):
                continue  # the PBX behind the trunk knows what is there
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
        for number, table in tables_in(self._table, tables).items():
            for index, target in texts_in(table.get(key)):
                yield (*self._path, tables, number, key, index), target, kinds

    def _single_targets(self) -> Iterator[tuple[KeyPath, str]]:
        places = [((*self._path, "inbound"), table_of(self._table, "inbound"))]
        for kind in ("queues", "messages"):
            for number, entry in tables_in(self._table, kind).items():
                places.append(((*self._path, kind, number), {"then": entry.get("then")}))
        for number, ivr in tables_in(self._table, "ivrs").items():
            places.append(((*self._path, "ivrs", number, "options"), table_of(ivr, "options")))
        for path, targets in places:
            yield from (((*path, key), target) for key, target in targets.items() if isinstance(target, str))

    def missing_announcement(self) -> Iterator[Problem]:
        """Find that what is to be played to answering machines is no announcement."""
        number = table_of(self._table, "machine_detection").get("announcement")
        if isinstance(number, str) and _NUMBER.fullmatch(number) and self._kinds.get(number) != "announcement":
            known = ", ".join(table_of(self._table, "messages")) or "none"
            path = (*self._path, "machine_detection", "announcement")
            yield Problem(path, f"expected the number of an announcement ({known}), got {shown(number)}")

    def inbound_of_others(self, seen: dict[str, KeyPath]) -> Iterator[Problem]:
        """Find external numbers that another organisation has taken; `seen` collects them."""
        for number in filter(is_e164, table_of(self._table, "inbound")):
            path = (*self._path, "inbound", number)
            other = seen.setdefault(number, path)
            if other != path:
                yield Problem(path, f"expected a number of its own, got {shown(number)}, which {path_text(other)} has")


def _trunks_of_the_edge(trunks: Mapping[str, Any]) -> Iterator[Problem]:
    """Find trunks with which the edge cannot register: what it is given is a digest, which belongs to one realm."""
    for name, trunk in trunks.items():
        if "registrar" in trunk and trunk.get("realm", "*") == "*":
            text = "expected the realm that the trunk asks with, as the edge registers: it is not given the password"
            yield Problem(("trunks", name, "realm") if "realm" in trunk else ("trunks", name), text)


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeioAEIO' else 'a'} {noun}"
