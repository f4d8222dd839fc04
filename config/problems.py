"""What is wrong with the settings, in words: `path.of.key: expected ..., got ...`."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from config.lines import KeyPath
from config.schema import is_secret, keys_at

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SHOWN_CHARACTERS = 80
# pydantic puts this after the name of a table's entry whose name, not content, is wrong.
_KEY_MARK = "[key]"

_EXPECTED_TYPES: dict[str, str] = {
    "string_type": "a string",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
}
_EXPECTED_VALUES: dict[str, str] = {
    "expected": "{what}",
    "greater_than_equal": "{ge} or more",
    "greater_than": "more than {gt:g}",
    "less_than_equal": "{le} or less",
    "finite_number": "a finite number",
    "too_short": "{min_length} entry or more",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: keys and indices from the top of the file.
        text: what was expected there and what was found.
    """

    path: KeyPath
    text: str

    def __str__(self) -> str:
        return f"{path_text(self.path)}: {self.text}" if self.path else self.text


def path_text(path: KeyPath) -> str:
    """Write a path as TOML does: `orgs.acme.inbound."+12025550100"`, an index in brackets."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE_KEY.fullmatch(part) else json.dumps(part))
    return text


def shown(value: object) -> str:
    """Write a value as TOML does, on one line of limited length; only the type of arrays and tables."""
    if isinstance(value, bool | str):
        text = json.dumps(value)
    elif isinstance(value, int | float):
        text = str(value)
    else:
        text = type_text(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def type_text(value: object) -> str:
    """Name the TOML type of a value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    for kind, text in ((str, "a string"), (int | float, "a number"), (list, "an array"), (dict, "a table")):
        if isinstance(value, kind):
            return text
    return "a date or time"


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Say that a key does not exist, and which one may have been meant."""
    spelled = {name.lower(): name for name in known}
    close = difflib.get_close_matches(key.lower(), spelled, n=1)
    return f"unknown key, did you mean `{spelled[close[0]]}`?" if close else "unknown key"


def problems_of(error: ValidationError) -> Iterator[Problem]:
    """Word everything that pydantic found."""
    for details in error.errors(include_url=False):
        path = details["loc"]
        if path and path[-1] == _KEY_MARK:
            path = path[:-1]
        yield Problem(path, _text_of(details, path))


def _text_of(details: ErrorDetails, path: KeyPath) -> str:
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown_key(str(path[-1]), keys_at(path[:-1]))
    if kind == "literal_error":  # pydantic quotes as Python does, TOML has double quotes
        what = context["expected"].replace("'", '"')
        return f"expected {what}{_got(value, path)}"
    if kind == "missing":
        return "expected this key, got nothing"
    if kind in _EXPECTED_TYPES:
        return f"expected {_EXPECTED_TYPES[kind]}, got {type_text(value)}"
    if kind in _EXPECTED_VALUES:
        what = _EXPECTED_VALUES[kind].format(**context)
        return f"expected {what}{_got(value, path)}"
    return details["msg"]


def _got(value: Any, path: KeyPath) -> str:
    if is_secret(path):
        return ""
    return ", got nothing" if value in ([], {}) else f", got {shown(value)}"
