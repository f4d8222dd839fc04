"""The answers of `dialup`, in the four formats of the contract."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from html import escape

from lxml import etree

from api.parameters import Format
from sipcore.domain.batch_record import NumberResult

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
    return [*fields, *_uid_fields(uids)]


def result_fields(result: NumberResult, *, show_uids: bool) -> Fields:
    """Return what an answer says of one of many numbers."""
    reason = [] if result.reason is None else [("reason", result.reason)]
    uids = (result.uid1, result.uid2) if show_uids else None
    return [("number", result.number), ("status", result.status), *reason, *_uid_fields(uids)]


def scheduled_fields(schedule_id: str, date: datetime) -> Fields:
    """Return what is answered when a future call is accepted.

    Args:
        schedule_id: its id.
        date: when it is due, in UTC.
    """
    return [("status", "ok"), ("scheduled", date.strftime("%Y-%m-%dT%H:%M:%SZ")), ("id", schedule_id)]


def error_fields(parameter: str | None, reason: str) -> Fields:
    """Return what an error says; `parameter` is None when it is about none in particular."""
    named = [] if parameter is None else [("parameter", parameter)]
    return [("status", "error"), *named, ("reason", reason)]


def render(fields: Fields, wanted: Format, results: Sequence[Fields] | None = None) -> bytes:
    """Write an answer in a format.

    Args:
        fields: what it says as a whole.
        wanted: the format.
        results: what it says of each of several numbers, where the format has room for that.
    """
    if wanted == "json":
        each = {} if results is None else {"results": [dict(result) for result in results]}
        return json.dumps({**dict(fields), **each}, separators=(",", ":"), ensure_ascii=False).encode()
    if wanted == "xml":
        return _xml(fields, results)
    lines = _lines(fields)
    if wanted == "html":
        body = "".join(f"<p>{escape(line)}</p>" for line in lines)
        page = f'<html lang="en"><head><meta charset="utf-8"><title>Click2Call</title></head><body>{body}</body></html>'
        return f"<!DOCTYPE html>{page}".encode()
    return "\n".join(lines).encode()


def _uid_fields(uids: tuple[str, str] | None) -> Fields:
    return [] if uids is None else [("dial1", uids[0]), ("dial2", uids[1])]


def _xml(fields: Fields, results: Sequence[Fields] | None) -> bytes:
    response = etree.Element("response")
    _append(response, fields)
    if results is not None:
        several = etree.SubElement(response, "results")
        for result in results:
            _append(etree.SubElement(several, "result"), result)
    return etree.tostring(response, encoding="utf-8", xml_declaration=False)


def _append(parent: etree._Element, fields: Fields) -> None:
    for name, value in fields:
        etree.SubElement(parent, name).text = value


def _lines(fields: Fields) -> list[str]:
    """Return the words: a first line such as `Fail: Busy` or `error: Timeout: must be ...`, then what is named."""
    named = [f"{name}={value}" for name, value in fields if name in {"dial1", "dial2", "scheduled", "id"}]
    words = [value for name, value in fields if name in {"status", "parameter", "reason"}]
    return [": ".join(words), *named]
