"""A database of many records, and how soon a page of them is read, for each filter that somebody may use."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sipcore.domain.causes import Disposition
from sipcore.domain.record import RecordFilter
from sipcore.store.records import SqlRecordStore, open_store
from sipcore.store.schema import calls, legs

ORGANISATION = "acme"
FIRST_CALL = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS_APART = 8
"""So that a million calls fill some three months."""
EXTENSIONS = 200
CUSTOMERS = 200_000
BATCH = 500
"""Calls of a batch; one call in ten belongs to one."""
_DISPOSITIONS = (
    (Disposition.ANSWERED, 600), (Disposition.NO_ANSWER, 200), (Disposition.BUSY, 80), (Disposition.CANCELLED, 50),
    (Disposition.NOT_CONNECTED, 39), (Disposition.UNREACHABLE, 30), (Disposition.INTERRUPTED, 1),
)  # fmt: skip
"""How often each is, of a thousand."""

_CALLS = """
INSERT INTO calls (id, organisation, user, dial1, dial2, accepted_at, joined_at, ended_at, disposition,
                   ended_by, batch_id, reference, direction)
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count),
-- The limit keeps SQLite from asking anew for a random number at each use.
     drawn AS MATERIALIZED (SELECT i, abs(random()) % 1000 AS chance, abs(random()) AS other,
                                   strftime('%Y-%m-%d %H:%M:%S', :first, '+' || (i * :apart) || ' seconds') AS at
                            FROM n LIMIT :count)
SELECT printf('%032x', i * 2654435761), :organisation, 'alice', CAST(101 + other % :extensions AS TEXT),
       '+1202' || (5000000 + other % :customers), at || '.000000', at || '.500000', at || '.900000', d.disposition,
       'dial2', CASE WHEN i % 10 = 0 THEN printf('%032x', i / (10 * :batch)) END,
       CASE WHEN i % 4 = 0 THEN 'ticket-' || i END, 'outbound'
FROM drawn JOIN dispositions d ON chance >= d.low AND chance < d.high
ORDER BY i
"""
_LEGS = """
INSERT INTO legs (call_id, position, uid, number, extension, disposition, outcome, sip_code, cause, ended_by,
                  placed_at, answered_at, ended_at, party, organisation, accepted_at)
SELECT c.id, p.position, substr(c.id, 5) || '-' || p.position,
       CASE p.position WHEN 1 THEN dial1 ELSE substr(dial2, 2) END, CASE p.position WHEN 1 THEN dial1 END,
       c.disposition, c.disposition, 200, 16, 'remote', accepted_at, accepted_at, ended_at,
       'dial' || p.position, organisation, accepted_at
FROM calls c, (SELECT 1 AS position UNION ALL SELECT 2) p ORDER BY c.accepted_at, p.position
"""


@dataclass(frozen=True)
class Search:
    """One way to ask for a page.

    Attributes:
        name: for people.
        wanted: the filter.
    """

    name: str
    wanted: RecordFilter


def searches(count: int) -> list[Search]:
    """Return the ways that are measured, over a database of so many records."""
    middle = FIRST_CALL + timedelta(seconds=SECONDS_APART * count // 2)
    hour = {"since": middle, "until": middle + timedelta(hours=1)}
    customer, extension = "+12025000042", "142"
    return [
        Search("no filter", RecordFilter()),
        Search("an hour", RecordFilter(**hour)),
        Search("extension", RecordFilter(extension=extension)),
        Search("extension, an hour", RecordFilter(extension=extension, **hour)),
        Search("extension, since", RecordFilter(extension=extension, since=middle)),
        *(
            Search(f"extension, {disposition}", RecordFilter(extension=extension, disposition=disposition))
            for disposition in (Disposition.ANSWERED, Disposition.BUSY, Disposition.INTERRUPTED)
        ),
        Search("extension, number", RecordFilter(extension=extension, number=customer)),
        Search("number as given", RecordFilter(number=customer)),
        Search("number as dialled", RecordFilter(number=customer[1:])),
        Search("number of an agent", RecordFilter(number=extension)),
        Search("number of an agent, an hour", RecordFilter(number=extension, **hour)),
        *(
            Search(f"number of an agent, {disposition}", RecordFilter(number=extension, disposition=disposition))
            for disposition in (Disposition.ANSWERED, Disposition.BUSY, Disposition.INTERRUPTED)
        ),
        *(Search(disposition.value, RecordFilter(disposition=disposition)) for disposition in Disposition),
        Search("busy, an hour", RecordFilter(disposition=Disposition.BUSY, **hour)),
        Search("interrupted, until", RecordFilter(disposition=Disposition.INTERRUPTED, until=middle)),
        Search("batch", RecordFilter(batch=f"{count // (20 * BATCH):032x}")),
        Search("batch, busy", RecordFilter(batch=f"{count // (20 * BATCH):032x}", disposition=Disposition.BUSY)),
        Search("batch, number", RecordFilter(batch=f"{count // (20 * BATCH):032x}", number=extension)),
        Search("reference", RecordFilter(reference=f"ticket-{count // 2 // 4 * 4}")),
        Search("UniqueID", RecordFilter(uid=f"{count // 2 * 2654435761:032x}"[4:] + "-2")),
        Search("nothing that there is", RecordFilter(number="+12029999999")),
    ]


async def filled_store(folder: Path, count: int) -> SqlRecordStore:
    """Make a database of so many records, and open it; a million take about a minute."""
    path = folder / "records.db"
    store = await open_store(f"sqlite:///{path}")
    await store.close()
    with sqlite3.connect(path) as connection:
        connection.executescript("PRAGMA journal_mode = off; PRAGMA synchronous = off; PRAGMA cache_size = -400000;")
        # Filled row by row, indexes in random order would take most of the time.
        indexes = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name IN (?, ?) AND sql IS NOT NULL",
            (calls.name, legs.name),
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        connection.execute("CREATE TEMP TABLE dispositions (disposition TEXT, low INTEGER, high INTEGER)")
        low = 0
        for disposition, share in _DISPOSITIONS:
            connection.execute("INSERT INTO dispositions VALUES (?, ?, ?)", (disposition.value, low, low + share))
            low += share
        facts = {
            "count": count, "first": FIRST_CALL.strftime("%Y-%m-%d %H:%M:%S"), "apart": SECONDS_APART,
            "organisation": ORGANISATION, "extensions": EXTENSIONS, "customers": CUSTOMERS, "batch": BATCH,
        }  # fmt: skip
        connection.execute(_CALLS, facts)
        connection.execute(_LEGS)
        for _, sql in indexes:
            connection.execute(sql)
    connection.close()
    return await open_store(f"sqlite:///{path}")


async def page_times(store: SqlRecordStore, search: Search, times: int) -> AsyncIterator[float]:
    """Read pages of 50 one after the other, and begin anew behind the last; give the milliseconds of each."""
    cursor = None
    for _ in range(times):
        begun = time.perf_counter()
        page = await store.find(ORGANISATION, search.wanted, cursor=cursor)
        yield (time.perf_counter() - begun) * 1000
        cursor = page.next
