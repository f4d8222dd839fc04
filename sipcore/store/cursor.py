"""The cursor of a page of records: where it ended, in a text that means nothing to its reader."""

from __future__ import annotations

import re
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa

from sipcore.domain.errors import ParameterError
from sipcore.store.schema import UtcTime

_PLAIN = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00) ([0-9a-f]{32})", re.ASCII)


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class PagePosition:
    """The last record of a page; the next page begins behind it.

    Attributes:
        accepted_at: its time, in UTC.
        id: its id.
    """

    accepted_at: datetime
    id: str

    def to_cursor(self) -> str:
        """Write it as a cursor, in characters that need no escape in a URL."""
        plain = f"{self.accepted_at.isoformat(timespec='microseconds')} {self.id}"
        return urlsafe_b64encode(plain.encode()).decode().rstrip("=")

    def behind(self, accepted_at: sa.ColumnElement[datetime], row_id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        """Say what comes after it, in the order from the newest to the oldest."""
        last = sa.tuple_(sa.literal(self.accepted_at, UtcTime), sa.literal(self.id))
        return sa.tuple_(accepted_at, row_id) < last

    @classmethod
    def from_cursor(cls, cursor: str) -> PagePosition:
        """Read a cursor.

        Raises:
            ParameterError: `to_cursor` did not write it.
        """
        try:
            plain = b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
            fields = _PLAIN.fullmatch(plain)
            if fields is None:
                raise ValueError(plain)  # noqa: TRY301 - one way out for all that is wrong with it
            return cls(datetime.fromisoformat(fields[1]), fields[2])
        except ValueError:
            raise ParameterError("cursor", "is none that this server gave; leave it out for the first page") from None


def position_of(cursor: str | None) -> PagePosition | None:
    """Read where a page begins; None: at the newest.

    Raises:
        ParameterError: the cursor is none of ours.
    """
    return None if cursor is None else PagePosition.from_cursor(cursor)


def page_of(
    found: Sequence[Item], limit: int, position: Callable[[Item], tuple[datetime, str]]
) -> tuple[tuple[Item, ...], str | None]:
    """Make a page of what was found.

    Args:
        found: from the newest on; one more than the limit when there are more.
        limit: most items of a page.
        position: tells an item's time and id.

    Returns:
        The page, and the cursor of the next one or None.
    """
    page = tuple(found[:limit])
    more = len(found) > limit
    return page, PagePosition(*position(page[-1])).to_cursor() if more else None
