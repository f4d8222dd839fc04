"""Settings from the environment: `CLICK2CALL__SERVER__LISTEN=127.0.0.1:9090` overrides `server.listen`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from config.lines import KeyPath
from config.problems import path_text, unknown_key
from config.schema import is_text, keys_at

PREFIX = "CLICK2CALL__"


@dataclass(slots=True)
class Overrides:
    """What the environment did to the settings.

    Attributes:
        variables: path of each key that it set, to the variable's name.
        problems: one line for each variable that names nothing.
    """

    variables: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def variable_of(self, path: KeyPath) -> str | None:
        """Return the variable that set the key at `path` or a table around it."""
        return next((self.variables[path[:n]] for n in range(len(path), 0, -1) if path[:n] in self.variables), None)


class _UnknownNameError(ValueError):
    """A level of a variable's name fits no key; the text says which."""


def override(raw: dict[str, Any], environ: Mapping[str, str]) -> Overrides:
    """Put the values of `CLICK2CALL__...` variables into parsed settings.

    Names are matched without case. A table whose keys are names or numbers (organisations, users, extensions) is not
    added to: only entries that the file has can be overridden.

    Args:
        raw: the settings as `tomllib` reads them; changed in place.
        environ: environment variables, those of others included.
    """
    overrides = Overrides()
    for name in sorted(name for name in environ if name.startswith(PREFIX)):
        try:
            path = _set(raw, name.removeprefix(PREFIX).split("__"), environ[name])
        except _UnknownNameError as error:
            overrides.problems.append(f"environment {name}: {error}")
            continue
        if path in overrides.variables:
            overrides.problems.append(f"environment {name}: {overrides.variables[path]} sets the same key")
        overrides.variables[path] = name
    return overrides


def _set(raw: dict[str, Any], levels: list[str], value: str) -> KeyPath:
    path: KeyPath = ()
    table = raw
    for level in levels[:-1]:
        key = _key(table, path, level)
        path += (key,)
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            raise _UnknownNameError(f"{path_text(path)} is not a table")
    key = _key(table, path, levels[-1])
    path += (key,)
    table[key] = _parse(value, text=is_text(path))
    return path


def _key(table: Mapping[str, Any], path: KeyPath, level: str) -> str:
    known = keys_at(path)
    matching = [key for key in known or table if key.lower() == level.lower()]
    if len(matching) > 1:
        raise _UnknownNameError(
            f"{path_text(path)} has {' and '.join(matching)}, which the environment cannot tell apart"
        )
    if not matching:
        where = f"in {path_text(path)} " if path else ""
        raise _UnknownNameError(f"`{level}` {where}is an {unknown_key(level, known or tuple(table))}")
    return matching[0]


def _parse(value: str, *, text: bool) -> Any:
    """Read a TOML value; what is none, or no string where a string is wanted, is the string itself."""
    try:
        document = tomllib.loads(f"value = {value}")
    except ValueError:
        return value
    parsed = document["value"] if len(document) == 1 else value
    return value if text and not isinstance(parsed, str) else parsed
