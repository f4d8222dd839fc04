"""Byte ranges of HTTP requests (RFC 9110 section 14)."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes[ \t]*=[ \t]*(\d*)-(\d*)[ \t]*", re.IGNORECASE | re.ASCII)


class RangeNotSatisfiableError(Exception):
    """None of the octets that were asked for exist (416)."""


def wanted_range(header: str | None, length: int) -> range | None:
    """Read a Range header.

    Args:
        header: its value, or None.
        length: octets that there are.

    Returns:
        Which of them are wanted; None: all, as without the header. Several ranges, other units, and what is malformed
        count as none given, which RFC 9110 section 14.2 allows.

    Raises:
        RangeNotSatisfiableError: it begins behind the end.
    """
    match = None if header is None else _RANGE.fullmatch(header)
    if match is None or not (match[1] or match[2]):
        return None
    first, last = (int(digits[:19]) if digits else None for digits in match.groups())
    if first is None:
        # The last so many octets.
        found = range(max(length - (last or 0), 0), length)
    elif last is not None and last < first:
        return None
    else:
        found = range(first, length if last is None else min(last + 1, length))
    if not found:
        raise RangeNotSatisfiableError
    return found
