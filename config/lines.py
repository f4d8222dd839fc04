"""Which line of a TOML file each key stands on.

`tomllib` keeps no positions. But a TOML file is a sequence of statements that each begin on a line of their own, and a
statement is complete exactly when `tomllib` takes it: so the file is cut into statements with `tomllib` as the only
judge of the grammar, and quoted keys, dotted keys and multi-line strings need no parser of ours.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

KeyPath = tuple[str | int, ...]
"""Keys, and indices into arrays, from the file's top."""

# A value of several lines ends on a line that closes an array, a table or a string; other lines need not be tried.
_MAY_END_VALUE = re.compile(r"[\]}]|\"\"\"|'''")


class LineIndex:
    """Lines of keys and tables.

    Args:
        text: a whole file that `tomllib` accepts.
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        self._array_lengths: dict[KeyPath, int] = {}
        table: KeyPath = ()
        for line, source, content in _statements(text.replace("\r\n", "\n")):
            if source.lstrip(" \t").startswith("["):
                table = self._enter(content)
                self._lines[table] = line
                self._note_enclosing(table, line)
            else:
                self._note(table, content, line)

    def line_of(self, path: KeyPath) -> int | None:
        """Return the line (from 1) of a key, or of the innermost table around it that the file has."""
        for length in range(len(path), 0, -1):
            if (line := self._lines.get(path[:length])) is not None:
                return line
        return None

    def _enter(self, header: dict[str, Any]) -> KeyPath:
        """Return the path of the table that a `[header]` or `[[header]]` opens."""
        path: KeyPath = ()
        inner: Any = header
        while isinstance(inner, dict) and inner:
            ((key, inner),) = inner.items()
            path += (key,)
            if isinstance(inner, list):
                self._array_lengths[path] = self._array_lengths.get(path, 0) + 1
            if path in self._array_lengths:
                path += (self._array_lengths[path] - 1,)
        return path

    def _note_enclosing(self, path: KeyPath, line: int) -> None:
        for length in range(1, len(path)):
            self._lines.setdefault(path[:length], line)

    def _note(self, prefix: KeyPath, value: Any, line: int) -> None:
        if prefix:
            self._lines.setdefault(prefix, line)
        if isinstance(value, dict):
            for key, inner in value.items():
                self._note((*prefix, key), inner, line)
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                self._note((*prefix, index), inner, line)


def _statements(text: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield first line, source and content of each statement."""
    source: list[str] = []
    for number, line in enumerate(text.split("\n"), start=1):
        source.append(line)
        if len(source) > 1 and _MAY_END_VALUE.search(line) is None:
            continue
        try:
            content = tomllib.loads("\n".join(source))
        except tomllib.TOMLDecodeError:  # the statement goes on
            continue
        if content:
            yield number - len(source) + 1, source[0], content
        source = []
