"""`click2call schedules`, against the real HTTP application."""

import asyncio
import json

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from api import cli
from api.client import Client
from sipcore.store.records import open_store

WANTED = {"dial1": ["+12025550101", "+12025550102"], "dial2": "800", "date": "2099-01-01T12:00:00Z", "retries": 3}
ask = asyncio.to_thread


@pytest_asyncio.fixture
async def schedule_store(tmp_path):
    store = await open_store(f"sqlite:///{tmp_path}/calls.db")
    yield store.schedules
    await store.close()


@pytest.fixture
def run(site, bearer_key):
    async def run(*words):
        env = {"CLICK2CALL_URL": site.url, "CLICK2CALL_KEY": bearer_key}
        return await ask(CliRunner().invoke, cli.app, ["schedules", *words], env=env)

    return run


@pytest_asyncio.fixture
async def made(site, bearer_key):
    with Client(site.url, key=bearer_key) as client:
        return await ask(client.make_schedule, WANTED)


async def test_future_calls_are_listed(run, made):
    heading, line = (await run("list")).stdout.splitlines()
    assert heading.split() == ["ID", "STATE", "DIAL1", "DIAL2", "DATE", "NEXT", "RETRIES"]
    assert line.split()[:5] == [made.id, "pending", "+12025550101", "+1", "800"]
    assert [json.loads(each)["id"] for each in (await run("list", "--json")).stdout.splitlines()] == [made.id]


async def test_one_is_shown_with_its_numbers(run, made):
    assert (await run("show", made.id)).stdout.splitlines() == [
        f"{made.id}: pending, to 800 at 2099-01-01T12:00:00.000Z, up to 3 retries after 60 s",
        "+12025550101: waiting (until 2099-01-01T12:00:00.000Z)",
        "+12025550102: waiting (until 2099-01-01T12:00:00.000Z)",
    ]


async def test_one_is_made(run):
    made = await run("create", "+12025550101,+12025550102", "800", "--date", "209901011200", "--retries", "3")
    heading, *numbers = made.stdout.splitlines()
    assert heading.endswith(": pending, to 800 at 2099-01-01T17:00:00.000Z, up to 3 retries after 60 s")
    assert [line.partition(":")[0] for line in numbers] == ["+12025550101", "+12025550102"]


async def test_a_date_that_is_none_is_told_in_one_line(run):
    refused = await run("create", "101", "102", "--date", "soon")
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert refused.stderr.startswith("click2call: refused (400): date: must be a date YYYYMMDDhhmm")


async def test_what_is_given_is_changed_and_the_rest_stays(run, made):
    result = await run(
        "change", made.id, "--date", "209901021200", "--retries", "5", "--dial1", "+12025550109", "--json"
    )
    changed = json.loads(result.stdout)
    assert (changed["date"], changed["retries"], changed["retry_seconds"]) == ("2099-01-02T17:00:00.000Z", 5, 60)
    assert [each["number"] for each in changed["results"]] == ["+12025550109"]


async def test_a_change_of_nothing_is_a_usage_error(run, made):
    assert (await run("change", made.id)).exit_code == 2


async def test_one_is_cancelled_and_not_changed_any_more(run, made):
    assert "cancelled" in (await run("cancel", made.id)).stdout.splitlines()[0]
    refused = await run("change", made.id, "--retries", "1")
    assert refused.exit_code == 2
    assert refused.stderr.startswith("click2call: refused (409): ")
    assert len(refused.stderr.splitlines()) == 1
