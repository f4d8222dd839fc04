"""Parts of the parsed TOML, as far as they have the right shape: what has not is told by the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def table_of(value: Any, key: str) -> dict[str, Any]:
    """Return the table of this key, or an empty one."""
    inner = value.get(key)
    return inner if isinstance(inner, dict) else {}


def tables_in(value: Any, key: str) -> dict[str, dict[str, Any]]:
    """Return the tables inside the table of this key."""
    return {name: entry for name, entry in table_of(value, key).items() if isinstance(entry, dict)}


def texts_in(value: Any) -> Iterator[tuple[int, str]]:
    """Yield the strings of an array with their places."""
    if isinstance(value, list):
        yield from ((index, entry) for index, entry in enumerate(value) if isinstance(entry, str))
