"""The answers of `dialup`, in the four formats of the contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from lxml import etree

from api.parameters import Format

CONTENT_TYPES: dict[Format, str] = {
    "text": "text/plain; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "xml": "application/xml; charset=utf-8",
    "json": "application/json; charset=utf-8",
}

Fields = Sequence[tuple[str, str]]
"""Names and values of an answer in the contract's order, `status` first."""


def answer_fields(fail_reason: str | None, uids: tuple[str, str] | None) -> Fields:
    """Return what a waited-for answer says.

    Args:
        fail_reason: None when destination 1 answered, else the contract's reason.
        uids: both legs' UniqueIDs when the request asked for them.
    """
    fields = [("status", "ok")] if fail_reason is None else [("status", "Fail"), ("reason", fail_reason)]
    if uids is not None:
        fields += [("dial1", uids[0]), ("dial2", uids[1])]
    return fields


def error_fields(parameter: str | None, reason: str) -> Fields:
    """Return what an error says; `parameter` is None when it is about none in particular."""
    named = [] if parameter is None else [("parameter", parameter)]
    return [("status", "error"), *named, ("reason", reason)]


def render(fields: Fields, wanted: Format) -> bytes:
    """Write an answer in a format."""
    if wanted == "json":
        return json.dumps(dict(fields), separators=(",", ":"), ensure_ascii=False).encode()
    if wanted == "xml":
        return _xml(fields)
    lines = _lines(fields)
    if wanted == "html":
        body = "".join(f"<p>{escape(line)}</p>" for line in lines)
        page = f'<html lang="en"><head><meta charset="utf-8"><title>Click2Call</title></head><body>{body}</body></html>'
        return f"<!DOCTYPE html>{page}".encode()
    return "\n".join(lines).encode()


def _xml(fields: Fields) -> bytes:
    response = etree.Element("response")
    for name, value in fields:
        etree.SubElement(response, name).text = value
    return etree.tostring(response, encoding="utf-8", xml_declaration=False)


def _lines(fields: Fields) -> list[str]:
    """Return the words: a first line such as `Fail: Busy` or `error: Timeout: must be ...`, then the UniqueIDs."""
    uids = [f"{name}={value}" for name, value in fields if name in {"dial1", "dial2"}]
    words = [value for name, value in fields if name not in {"dial1", "dial2"}]
    return [": ".join(words), *uids]
