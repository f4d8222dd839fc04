"""What the record store does when its SQLite file fails, and when it comes back."""

import asyncio
import resource
import shutil
import sqlite3
import uuid
from contextlib import closing, contextmanager
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from sipcore.domain.errors import StartUpError, StoreUnavailableError
from sipcore.domain.record import CallRecord, LegRecord, RecordFilter
from sipcore.store.records import open_store
from sipcore.store.writer import CHECKPOINT_EVERY


def a_record():
    legs = (LegRecord(uid=uuid.uuid4().hex, number="101"), LegRecord(uid=uuid.uuid4().hex, number="102"))
    return CallRecord(uuid.uuid4().hex, "acme", "alice", "101", "102", None, datetime.now(UTC), legs)


async def open_impatient(path):
    return await open_store(f"sqlite:///{path}", busy_timeout=0.05)


@pytest_asyncio.fixture
async def path(tmp_path):
    return tmp_path / "calls.db"


@pytest_asyncio.fixture
async def store(path):
    opened = await open_impatient(path)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def other_path(tmp_path):
    """Another good database, with one record in it."""
    other = tmp_path / "other.db"
    made = await open_impatient(other)
    await made.accept(a_record())
    await made.close()
    return other


@contextmanager
def locked(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def no_file_may_grow_over(size):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def assert_works(store):
    record = a_record()
    await store.accept(record)
    assert await store.get("acme", record.id) == record
    await store.ping()


async def assert_unavailable(awaitable):
    with pytest.raises(StoreUnavailableError, match="the database failed: ") as caught:
        await awaitable
    assert caught.value.__cause__ is not None


async def test_while_another_program_holds_the_lock_nothing_is_accepted(store, path):
    before, refused = a_record(), a_record()
    await store.accept(before)
    with locked(path):
        await assert_unavailable(store.accept(refused))
        await assert_unavailable(store.complete(before))
        assert await store.get("acme", before.id) == before
    await assert_works(store)
    assert await store.get("acme", refused.id) is None


async def test_an_accept_that_has_to_wait_for_another_programs_lock_leaves_the_event_loop_free(store, path):
    await store.accept(a_record())
    record, turns = a_record(), 0
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        accepting = asyncio.create_task(store.accept(record))
        for turns in range(1, 6):  # noqa: B007 - counted as proof
            await asyncio.wait_for(store.ping(), 1)
        assert not accepting.done()
        other.execute("COMMIT")
        await accepting
    assert turns == 5
    assert await store.get("acme", record.id) == record


async def test_the_log_is_written_back_beside_the_writes(store, path):
    await asyncio.gather(*(store.accept(a_record()) for _ in range(CHECKPOINT_EVERY)))
    await store._writer._checkpoint
    alone = path.with_name("alone.db")
    alone.write_bytes(path.read_bytes())
    other = sqlite3.connect(alone)
    assert other.execute("SELECT count(*) FROM calls").fetchone() == (CHECKPOINT_EVERY,)
    other.close()


async def test_a_full_disk_refuses_calls_until_there_is_room_again(store, path):
    await store.accept(a_record())
    refused = a_record()
    with no_file_may_grow_over(path.with_name("calls.db-wal").stat().st_size):
        await assert_unavailable(store.accept(refused))
    await assert_works(store)
    assert await store.get("acme", refused.id) is None


async def test_a_removed_file_refuses_calls_until_it_is_back_with_all_its_records(store, path):
    before = a_record()
    await store.accept(before)
    away = path.rename(path.with_name("away.db"))
    await assert_unavailable(store.accept(a_record()))
    await assert_unavailable(store.get("acme", before.id))
    await assert_unavailable(store.find("acme", RecordFilter()))
    await assert_unavailable(store.ping())
    assert not path.exists()
    away.rename(path)
    assert await store.get("acme", before.id) == before
    await assert_works(store)


@pytest.mark.parametrize("read_first", [True, False])
async def test_another_database_put_in_its_place_is_used_from_then_on(store, path, other_path, read_first):
    before = a_record()
    await store.accept(before)
    other_path.replace(path)
    if read_first:
        assert await store.get("acme", before.id) is None
    await assert_works(store)
    assert len((await store.find("acme", RecordFilter())).items) == 2
    with closing(sqlite3.connect(path)) as look:
        # What the log held was the old file's and would have corrupted the new one.
        assert look.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert look.execute("SELECT count(*) FROM calls").fetchone() == (2,)


@pytest.mark.parametrize("content", [b"", b"this is no database" * 1000])
async def test_a_file_that_is_no_database_refuses_calls_until_one_stands_there(store, path, other_path, content):
    await store.accept(a_record())
    useless = path.with_name("useless")
    useless.write_bytes(content)
    useless.replace(path)
    for _ in range(2):
        await assert_unavailable(store.accept(a_record()))
        await assert_unavailable(store.ping())
    other_path.replace(path)
    await assert_works(store)


async def test_a_damaged_file_refuses_reads_until_it_is_mended_in_place(store, path):
    records = [a_record() for _ in range(40)]
    for record in records:
        await store.accept(record)
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    good = path.read_bytes()
    path.write_bytes(good[:4096] + b"\x5a" * (len(good) - 4096))
    await assert_unavailable(store.get("acme", records[0].id))
    await assert_unavailable(store.find("acme", RecordFilter()))
    path.write_bytes(good)
    assert await store.get("acme", records[0].id) == records[0]
    assert len((await store.find("acme", RecordFilter())).items) == 40


async def test_a_write_connection_that_is_stuck_is_replaced(store):
    await store.accept(a_record())
    await store._database._in_thread(store._database._writer.begin)
    await assert_unavailable(store.complete(a_record()))
    await assert_works(store)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("calls.db", "not a URL"),
        ("", "not a URL"),
        ("postgresql//u:s3cret@host/name", "not a URL"),
        ("postgresql:///name", "names no host"),
        ("postgresql://u:s3cret@host", "names no host or no database"),
        ("postgresql+asyncpg://u:s3cret@host/name", "is no database we know"),
        ("postgresql://u:s3cret@127.0.0.1:1/name", "127.0.0.1:1/name: Connect call failed"),
        ("mysql://u:s3cret@host/name", "mysql is no database we know"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://var/calls.db", "three slashes"),
        ("sqlite:///{tmp}/calls.db?mode=ro", "mode"),
        ("sqlite:///{tmp}", "is a directory"),
        ("sqlite:///{tmp}/garbage", "file is not a database"),
        ("sqlite:///{tmp}/garbage/calls.db", "Not a directory|File exists"),
        ("sqlite:////proc/none/calls.db", "cannot make /proc/none/calls.db"),
        ("sqlite:///{tmp}/foreign.db", "already exists"),
        ("sqlite:///{tmp}/newer.db", "newer version"),
        ("sqlite:///{tmp}/locked.db", "database is locked"),
    ],
)
async def test_an_unusable_database_is_told_in_one_line(tmp_path, url, complaint):
    (tmp_path / "garbage").write_bytes(b"this is no database" * 1000)
    with closing(sqlite3.connect(tmp_path / "foreign.db", isolation_level=None)) as foreign:
        foreign.execute("CREATE TABLE calls (name TEXT)")
    with closing(sqlite3.connect(tmp_path / "newer.db", isolation_level=None)) as newer:
        newer.execute("CREATE TABLE alembic_version (version_num TEXT)")
        newer.execute("INSERT INTO alembic_version VALUES ('9999')")
    shutil.copy(tmp_path / "newer.db", tmp_path / "locked.db")
    with locked(tmp_path / "locked.db"), pytest.raises(StartUpError, match=complaint) as caught:
        await open_store(url.replace("{tmp}", str(tmp_path)), busy_timeout=0.05)
    told = str(caught.value)
    assert told.startswith("storage.database: ")
    assert "\n" not in told
    assert "s3cret" not in told


async def test_a_refused_database_is_left_as_it_was(tmp_path):
    with closing(sqlite3.connect(tmp_path / "foreign.db", isolation_level=None)) as foreign:
        foreign.execute("CREATE TABLE legs (name TEXT)")
        with pytest.raises(StartUpError, match="legs already exists"):
            await open_impatient(tmp_path / "foreign.db")
        assert foreign.execute("SELECT name FROM sqlite_master").fetchall() == [("legs",)]


async def test_the_file_is_made_with_its_directory_and_not_for_everyone_to_read(tmp_path):
    path = tmp_path / "a 100% new" / "place?" / "calls.db"
    store = await open_store(f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}")
    await assert_works(store)
    await store.close()
    assert path.stat().st_mode & 0o007 == 0


async def test_a_relative_path_stays_the_same_file_when_the_program_changes_its_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = await open_impatient("var/calls.db")
    monkeypatch.chdir("/")
    await assert_works(store)
    await store.close()
    assert (tmp_path / "var" / "calls.db").exists()
