"""CSV that is safe to open in a spreadsheet: the one place where cells are written.

A spreadsheet takes a cell that begins with `=`, `+`, `-`, `@`, a tab or a line end for a formula, whether it is quoted
or not (OWASP, "CSV Injection"). Some of what we export was written by strangers: the Call-ID of a call that came in,
a caller's name.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from typing import Final

CONTENT_TYPE: Final = "text/csv; charset=utf-8; header=present"
"""RFC 7111 and RFC 4180."""

Cell = str | int | float | None
"""One value; None is an empty cell."""

_FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""The four signs, in full width too, also behind spaces, which are trimmed by some."""
_NUMBER = re.compile(r"\+[0-9]+", re.ASCII)


def safe_text(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would calculate; everything else stays.

    A phone number, `+` and digits and nothing else, stays too: there is nothing to calculate in it, and whoever reads
    the file with a program wants the number.
    """
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def csv_text(rows: Iterable[Iterable[Cell]]) -> str:
    """Write rows as RFC 4180 has them, lines ended by CR LF; texts are made safe, numbers are our own."""
    written = io.StringIO(newline="")
    csv.writer(written).writerows([safe_text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return written.getvalue()
