"""The schema: the same by migrations as in the code, on both engines, with an index for every question."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from sipcore.domain.batch_record import BatchRecord
from sipcore.domain.causes import Disposition
from sipcore.domain.record import CallRecord, LegRecord, RecordFilter
from sipcore.domain.recording import Recording
from sipcore.store import migrations
from sipcore.store.cursor import PagePosition
from sipcore.store.opening import migrate
from sipcore.store.queries import last_dialler, newest_batches, newest_records, one_record
from sipcore.store.records import open_store
from sipcore.store.schedule_dialling import due_unclaimed
from sipcore.store.schedule_requests import newest_schedules
from sipcore.store.schema import batches, calls, legs, metadata, recordings, schedule_numbers
from sipcore.store.sqlite import DatabaseFile

MADE_BY_0001 = """
INSERT INTO calls (id, organisation, user, dial1, dial2, accepted_at)
    VALUES ('c1', 'acme', 'alice', '101', '102', '2026-01-01 12:00:00.000000');
INSERT INTO legs (call_id, position, uid, number, organisation, accepted_at)
    VALUES ('c1', 1, 'u1', '101', 'acme', '2026-01-01 12:00:00.000000'),
           ('c1', 2, 'u2', '102', 'acme', '2026-01-01 12:00:00.000000');
"""


@pytest_asyncio.fixture
async def file(tmp_path):
    file = DatabaseFile(tmp_path / "calls.db")
    await migrate(f"sqlite:///{file.path}")
    return file


@pytest.fixture
def connection(file):
    engine = sa.create_engine(f"sqlite:///{file.path}")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def run_alembic(path, act, revision):
    """Bring a database to a revision by `command.upgrade` or `command.downgrade`."""
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        act(config, revision)
    engine.dispose()


def rows(path, statement):
    with closing(sqlite3.connect(path)) as look:
        return look.execute(statement).fetchall()


def tables_and_indexes(path):
    """The schema, however the statements that made it were written."""
    tables = [name for (name,) in rows(path, "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    columns = {name: rows(path, f"PRAGMA table_info({name})") for name in tables}
    return columns, rows(path, "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name")


def schema_of(file):
    with closing(sqlite3.connect(file.path)) as look:
        return look.execute("SELECT * FROM sqlite_master").fetchall(), look.execute(
            "SELECT * FROM alembic_version"
        ).fetchall()


def indexes_and_keys(connection):
    inspector = sa.inspect(connection)
    indexes = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE sql LIKE 'CREATE INDEX%' ORDER BY name")
    keys = [
        (inspector.get_pk_constraint(table.name), inspector.get_foreign_keys(table.name))
        for table in metadata.sorted_tables
    ]
    return indexes.all(), keys


def plan_of(connection, statement):
    compiled = statement.compile(connection.engine, compile_kwargs={"literal_binds": True})
    return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")]


def test_the_migrated_schema_is_the_one_in_the_code(connection):
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    assert compare_metadata(context, metadata) == []


def test_the_migrated_indexes_and_keys_are_the_ones_in_the_code(connection):
    # What compare_metadata leaves out: conditions of indexes, primary keys, what a foreign key does on delete.
    made = sa.create_engine("sqlite://")
    metadata.create_all(made)
    with made.connect() as coded:
        assert indexes_and_keys(connection) == indexes_and_keys(coded)
    made.dispose()


async def test_migrating_again_changes_nothing(file):
    before = schema_of(file)
    await migrate(f"sqlite:///{file.path}")
    assert schema_of(file) == before


async def test_calls_of_the_first_version_keep_their_legs_and_learn_whose_they_are(tmp_path):
    path = tmp_path / "old.db"
    run_alembic(path, command.upgrade, "0001")
    with closing(sqlite3.connect(path)) as old:
        old.executescript(MADE_BY_0001)
    store = await open_store(f"sqlite:///{path}")
    record = await store.get("acme", "c1")
    await store.close()
    assert [(leg.uid, leg.party, leg.answered_by) for leg in record.legs] == [
        ("u1", "dial1", None),
        ("u2", "dial2", None),
    ]
    assert (record.batch_id, record.direction) == (None, "outbound")


def test_a_newer_schema_can_be_taken_back_and_the_calls_stay(tmp_path):
    old, back = tmp_path / "old.db", tmp_path / "back.db"
    for path in (old, back):
        run_alembic(path, command.upgrade, "0001")
        with closing(sqlite3.connect(path)) as made:
            made.executescript(MADE_BY_0001)
    run_alembic(back, command.upgrade, "head")
    run_alembic(back, command.downgrade, "0001")
    assert tables_and_indexes(back) == tables_and_indexes(old)
    for everything in ("SELECT * FROM calls", "SELECT * FROM legs", "SELECT * FROM alembic_version"):
        assert rows(back, everything) == rows(old, everything)
    run_alembic(back, command.downgrade, "base")
    assert rows(back, "SELECT name FROM sqlite_master WHERE type = 'table'") == [("alembic_version",)]


async def test_two_programs_that_start_together_make_one_schema(tmp_path, file):
    new = DatabaseFile(tmp_path / "new.db")
    await asyncio.gather(*(migrate(f"sqlite:///{new.path}") for _ in range(2)))
    assert schema_of(new) == schema_of(file)


def test_the_tables_hold_every_field_of_a_record():
    assert {column.name for column in calls.columns} == {field.name for field in fields(CallRecord)} - {
        "legs",
        "recording_state",
        "attempt",
        "ladder",
    }
    assert {column.name for column in recordings.columns} == {field.name for field in fields(Recording)}
    of_the_call = {"call_id", "position", "organisation", "accepted_at", "outcome"}
    assert {column.name for column in legs.columns} == {field.name for field in fields(LegRecord)} | of_the_call


def test_the_table_of_batches_holds_every_field_of_one():
    assert {column.name for column in batches.columns} == {field.name for field in fields(BatchRecord)}


def test_the_schema_is_one_for_postgresql_too():
    dialect = postgresql.dialect()
    written = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    indexes = [str(CreateIndex(index).compile(dialect=dialect)) for index in calls.indexes]
    times = [table.count("TIMESTAMP") for table in written]
    assert sum(times)
    assert times == [table.count("TIMESTAMP WITH TIME ZONE") for table in written]
    assert "CREATE INDEX ix_calls_unfinished ON calls (accepted_at) WHERE ended_at IS NULL" in indexes


@pytest.mark.parametrize(
    ("wanted", "by"),
    [
        (RecordFilter(), ["ix_calls_organisation_accepted_at_id"]),
        (RecordFilter(disposition=Disposition.BUSY), ["ix_calls_disposition (organisation=? AND disposition=?"]),
        (RecordFilter(batch="b", disposition=Disposition.BUSY), ["ix_calls_batch_id"]),
        (RecordFilter(uid="u"), ["ix_legs_uid", "sqlite_autoindex_calls_1 (id=?)"]),
        (
            RecordFilter(number="101", disposition=Disposition.BUSY),
            [
                "COVERING INDEX ix_calls_dial1 (organisation=? AND dial1=?",
                "COVERING INDEX ix_calls_dial2 (organisation=? AND dial2=?",
                "COVERING INDEX ix_legs_number (organisation=? AND number=?",
                "sqlite_autoindex_calls_1 (id=?)",
            ],
        ),
        (
            RecordFilter(extension="101", disposition=Disposition.BUSY),
            ["COVERING INDEX ix_legs_extension (organisation=? AND extension=?", "sqlite_autoindex_calls_1 (id=?)"],
        ),
        (RecordFilter(extension="101", number="102"), ["COVERING INDEX ix_legs_number (organisation=? AND number=?"]),
        (RecordFilter(batch="b"), ["ix_calls_batch_id (organisation=? AND batch_id=?"]),
        (RecordFilter(reference="r"), ["ix_calls_reference (organisation=? AND reference=?"]),
    ],
)
@pytest.mark.parametrize("after", [None, PagePosition(datetime(2025, 1, 1, tzinfo=UTC), "0" * 32)])
def test_a_page_is_found_by_the_index_made_for_it(connection, wanted, by, after):
    plan = plan_of(connection, newest_records("acme", wanted, after, 51))
    assert not [step for step in plan if step.startswith(("SCAN calls", "SCAN legs"))], plan
    for index in by:
        assert any(index in step for step in plan), plan


def test_who_called_a_number_last_is_found_by_index_and_not_sorted(connection):
    plan = plan_of(connection, last_dialler("acme", "+12025550123"))
    assert any("ix_legs_number (organisation=? AND number=?" in step for step in plan)
    assert not any("SCAN" in step or "TEMP B-TREE" in step for step in plan), plan


def test_a_record_and_what_a_crash_left_are_found_by_index(connection):
    assert any("SEARCH calls USING INDEX" in step for step in plan_of(connection, one_record("acme", "0" * 32)))
    for table in (calls, batches):
        unfinished = sa.select(table.c.id).where(table.c.ended_at.is_(None))
        assert f"ix_{table.name}_unfinished" in " ".join(plan_of(connection, unfinished))


@pytest.mark.parametrize("without", [(), ("acme",)])
def test_what_is_due_next_is_read_off_the_end_of_an_index(connection, without):
    numbers = schedule_numbers.c
    due = sa.select(numbers.due_at).where(*due_unclaimed(without)).order_by(numbers.due_at, numbers.id).limit(1)
    (step,) = plan_of(connection, due)
    assert "ix_schedule_numbers_due" in step


@pytest.mark.parametrize("after", [None, PagePosition(datetime(2025, 1, 1, tzinfo=UTC), "0" * 32)])
def test_a_page_of_future_calls_is_found_by_index_and_not_sorted(connection, after):
    plan = plan_of(connection, newest_schedules("acme", after, 51))
    assert any("ix_schedules_organisation_accepted_at_id" in step for step in plan)
    assert not any(("SCAN" in step and "SUBQUERY" not in step) or "TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize("after", [None, PagePosition(datetime(2025, 1, 1, tzinfo=UTC), "0" * 32)])
def test_a_page_of_batches_is_found_by_the_index_made_for_it(connection, after):
    plan = plan_of(connection, newest_batches("acme", after, 51))
    assert plan == [
        step for step in plan if "SEARCH batches USING INDEX ix_batches_organisation_accepted_at_id" in step
    ]
