"""`/api/v1/records.csv` and `.jsonl`: what is in them, how they are read, and how they end."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import socket
from dataclasses import replace
from datetime import timedelta

import pytest
from test_records import LIVE, RECORD, START

from api.handlers import file
from api.record_rows import COLUMNS
from sipcore.domain.causes import Disposition
from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.quality import LegQuality, StreamQuality
from sipcore.domain.record import LegRecord, RecordFilter, RecordPage

QUALITY = LegQuality("PCMU", 20.5, StreamQuality(100, 2, 1.5, 4.2), StreamQuality(101, None, None, None))

REQUEST = b" HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWxpY2VAYWNtZTpzM2NyZXQ=\r\n\r\n"


class PagedStore:
    """As many records as a test wants, on pages; a test may let a page fail."""

    def __init__(self, count, *, fails_at=None):
        self.count = count
        self.fails_at = fails_at
        self.asked = []

    async def find(self, organisation, wanted, *, cursor=None, limit=50):
        self.asked.append((organisation, wanted, cursor, limit))
        first = int(cursor or 0)
        if self.fails_at is not None and first >= self.fails_at:
            raise StoreUnavailableError("the database does not answer")
        last = min(first + limit, self.count)
        records = tuple(replace(RECORD, id=f"r{n}") for n in range(first, last))
        return RecordPage(records, str(last) if last < self.count else None)


async def ask(site, query, **more):
    return await site.fetch(f"/api/v1/records{query}", auth_username="alice@acme", auth_password="s3cret", **more)


def table(body):
    rows = list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    assert all(None not in row and None not in row.values() for row in rows)
    return rows


async def test_a_line_of_csv_has_the_call_and_of_each_party_the_leg_that_was_answered(site):
    legs = (
        replace(RECORD.legs[0], quality=QUALITY, extension="101"),
        LegRecord("u2", "102", Disposition.ANSWERED, 200, 16, "remote", party="dial2"),
        LegRecord("u3", "103", Disposition.CANCELLED, 487, 26, "local", party="dial2"),
    )
    site.store.records.append(replace(RECORD, legs=legs, joined_at=START + timedelta(seconds=1.5), reference="=1+1"))
    answer = await ask(site, ".csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8; header=present"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="records-')
    assert answer.headers["Content-Disposition"].endswith('.csv"')
    (row,) = table(answer.body)
    assert tuple(row) == COLUMNS
    told = {
        "id": "r1", "accepted_at": "2026-03-01T06:00:00.123Z", "talk_seconds": "7.5", "dial2": "+12025550123",
        "disposition": "busy", "reference": "'=1+1", "batch_id": "", "legs": "3", "dial1_extension": "101",
        "dial1_codec": "PCMU", "dial1_round_trip_ms": "20.5", "dial1_received_lost": "2", "dial1_received_mos": "4.2",
        "dial1_sent_packets": "101", "dial1_sent_lost": "", "dial2_uid": "u2", "dial2_sip_code": "200",
        "dial2_codec": "",
    }  # fmt: skip
    assert {name: row[name] for name in told} == told


async def test_a_line_of_json_is_a_record_as_the_list_has_it(site):
    site.store.records += [replace(RECORD, id="r1"), replace(LIVE, id="r2", legs=())]
    site.live["acme", "r2"] = replace(LIVE, id="r2")
    answer = await ask(site, ".jsonl")
    assert answer.headers["Content-Type"] == "application/jsonl; charset=utf-8"
    listed = json.loads((await ask(site, "")).body)["items"]
    assert [json.loads(line) for line in answer.body.splitlines()] == listed
    assert len(listed[1]["legs"]) == 2


async def test_a_file_of_nothing_has_its_head(site):
    assert (await ask(site, ".jsonl")).body == b""
    assert (await ask(site, ".csv")).body.decode() == ",".join(COLUMNS) + "\r\n"


async def test_all_pages_are_in_the_file_and_read_under_the_same_filters(site):
    store = PagedStore(120)
    site.store.find = store.find
    answer = await ask(site, ".csv?disposition=busy&extension=101")
    assert [row["id"] for row in table(answer.body)] == [f"r{n}" for n in range(120)]
    wanted = RecordFilter(disposition=Disposition.BUSY, extension="101")
    assert store.asked == [("acme", wanted, cursor, 50) for cursor in (None, "50", "100")]


@pytest.mark.parametrize("query", [".csv?cursor=abc", ".csv?disposition=happy", ".jsonl?sinse=x"])
async def test_a_bad_filter_is_a_problem_that_names_it(site, query):
    answer = await ask(site, query)
    assert answer.code == 400
    assert json.loads(answer.body)["parameter"] == query.split("?")[1].split("=")[0]


async def test_a_database_that_does_not_answer_at_first_is_503(site):
    site.store.error = StoreUnavailableError("the database does not answer")
    assert (await ask(site, ".csv")).code == 503


async def test_a_database_that_is_lost_in_the_middle_leaves_no_file_that_looks_whole(site):
    site.store.find = PagedStore(200, fails_at=100).find
    body = await site.raw(b"GET /api/v1/records.csv" + REQUEST)
    assert b"r99," in body
    assert not body.endswith(b"0\r\n\r\n")
    assert [line["event"] for line in site.logged if line["event"].startswith("file")] == ["file of records broken off"]


@pytest.fixture
async def slow_reader(site):
    """A connection that has asked for ever so many records, and reads nothing."""
    store = PagedStore(1_000_000)
    site.store.find = store.find
    with socket.socket() as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(reader, ("127.0.0.1", site.port))
        request = (
            b"GET /api/v1/records.jsonl HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWxpY2VAYWNtZTpzM2NyZXQ=\r\n\r\n"
        )
        await loop.sock_sendall(reader, request)
        yield reader, store


async def until_still(store):
    """Wait until no more pages are read; return how many were."""
    before = -1
    async with asyncio.timeout(20):
        while len(store.asked) != before or not before:
            before = len(store.asked)
            await asyncio.sleep(0.2)
    return before


async def test_no_page_is_read_for_a_reader_who_has_not_read_the_one_before(slow_reader):
    reader, store = slow_reader
    read = await until_still(store)
    # What the kernel's buffers take.
    assert read < 200
    got = 0
    while got < 3_000_000:
        got += len(await asyncio.get_running_loop().sock_recv(reader, 65536))
    assert await until_still(store) > read


@pytest.mark.usefixtures("slow_reader")
async def test_a_reader_who_takes_nothing_for_long_is_left(site, monkeypatch):
    monkeypatch.setattr(file, "STALLED_SECONDS", 0.2)
    async with asyncio.timeout(20):
        while not any(line["event"] == "file of records broken off" for line in site.logged):  # noqa: ASYNC110 - a log
            await asyncio.sleep(0.05)
