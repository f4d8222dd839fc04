"""Lists of numbers as files bring them, CSV or JSON lines, read as they arrive and never held as a whole."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sipcore.domain.call_options import MAX_REFERENCE_CHARACTERS

MAX_LINE_BYTES = 2000
"""Longest line that is read; the rest of a longer one is passed over."""
SHOWN_CHARACTERS = 80
"""How much of a line is repeated to say which one is meant."""

_BOM = b"\xef\xbb\xbf"
_NUMBER, _REFERENCE = "number", "reference"
_DELIMITER = re.compile(r"[,;\t]")
_QUOTED = re.compile(r'"[^"]*"')
_NOT_IN_NUMBERS = str.maketrans("", "", " \t\u00a0-./()")
"""What people write into numbers to make them readable."""


class ListFormat(StrEnum):
    """How a list is written."""

    CSV = "csv"
    JSON_LINES = "jsonl"


@dataclass(frozen=True, slots=True)
class ListLine:
    """One line that is not empty and no header.

    Attributes:
        line: 1 for the first of the file.
        text: its beginning, as it came.
        number: without spaces, hyphens, dots, slashes and brackets; empty when there is a problem.
        reference: the client's own name for it, or None.
        problem: what is wrong with the line, or None.
    """

    line: int
    text: str
    number: str = ""
    reference: str | None = None
    problem: str | None = None


class _LineError(ValueError):
    pass


class NumberFile:
    """Takes a file piece by piece and gives its lines.

    CSV is RFC 4180 with commas, semicolons or tabs, without line ends in cells; the first of these signs in the first
    line, outside of quotes, is the one. When its first line has a cell `number`
    it names the columns, of which `number` and `reference` count; else they are the first and the second. A JSON line
    is an object with `number`, and perhaps `reference`, or a string.

    Args:
        file_format: how it is written.
    """

    def __init__(self, file_format: ListFormat) -> None:
        self._read = self._read_csv if file_format is ListFormat.CSV else self._read_json
        self._rest = b""
        self._too_long = False
        self._line = 0
        self._delimiter = ""
        self._columns = {_NUMBER: 0, _REFERENCE: 1}

    def feed(self, piece: bytes) -> Iterator[ListLine]:
        """Take a piece, and give the lines that end in it."""
        *whole, rest = (self._rest + piece).split(b"\n")
        for line in whole:
            yield from self._take(line)
        self._rest = rest
        if len(rest) > MAX_LINE_BYTES:
            self._rest, self._too_long = rest[:MAX_LINE_BYTES], True

    def end(self) -> Iterator[ListLine]:
        """Give the last line, when nothing ended it."""
        if self._rest:
            yield from self._take(self._rest)

    def _take(self, raw: bytes) -> Iterator[ListLine]:
        self._line += 1
        if self._line == 1:
            raw = raw.removeprefix(_BOM)
        too_long, self._too_long = self._too_long or len(raw) > MAX_LINE_BYTES, False
        raw = raw.rstrip(b"\r")
        # PostgreSQL's texts have everything but NUL.
        text = raw[: 4 * SHOWN_CHARACTERS].decode(errors="replace")[:SHOWN_CHARACTERS].replace("\0", "\ufffd")
        if not raw.strip():
            return
        try:
            found = self._read(_decoded(raw, too_long=too_long))
            if found is None:
                return
            number, reference = bare(found[0]), _checked(found[1])
        except _LineError as error:
            yield ListLine(self._line, text, problem=str(error))
        else:
            yield ListLine(self._line, text, number, reference or None)

    def _read_csv(self, text: str) -> tuple[str, str] | None:
        first = not self._delimiter
        if first:
            self._delimiter = found[0] if (found := _DELIMITER.search(_QUOTED.sub("", text))) else ","
        try:
            (cells,) = csv.reader([text], delimiter=self._delimiter, strict=True)
        except (csv.Error, ValueError) as error:
            raise _LineError("is no well-formed CSV: a quote is not closed, or stands in the wrong place") from error
        if first:
            names = [cell.strip().lower() for cell in cells]
            if _NUMBER in names:
                self._columns = {name: names.index(name) for name in (_NUMBER, _REFERENCE) if name in names}
                return None
        number, reference = (self._cell(cells, name) for name in (_NUMBER, _REFERENCE))
        if not number:
            raise _LineError("has no number")
        return number, reference

    def _cell(self, cells: list[str], name: str) -> str:
        column = self._columns.get(name)
        return "" if column is None or column >= len(cells) else cells[column].strip()

    @staticmethod
    def _read_json(text: str) -> tuple[str, str]:
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _LineError("is no JSON") from error
        if isinstance(found, str):
            found = {_NUMBER: found}
        if not isinstance(found, dict):
            raise _LineError("must be a JSON object with `number`, or a string")
        number, reference = found.get(_NUMBER), found.get(_REFERENCE)
        if not isinstance(number, str) or not number:
            raise _LineError("has no number: give it as a string")
        if not isinstance(reference, str | None):
            raise _LineError("its reference must be a string")
        return number, reference or ""


def bare(number: str) -> str:
    """Return a number without what people write into it to make it readable."""
    return number.translate(_NOT_IN_NUMBERS)


def _decoded(raw: bytes, *, too_long: bool) -> str:
    if too_long:
        raise _LineError(f"is longer than {MAX_LINE_BYTES} bytes")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _LineError("is not UTF-8") from error


def _checked(reference: str) -> str:
    if not reference.isprintable() or len(reference) > MAX_REFERENCE_CHARACTERS:
        raise _LineError(f"its reference must be at most {MAX_REFERENCE_CHARACTERS} printable characters")
    return reference
