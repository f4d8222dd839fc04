"""`click2call campaigns` and `click2call do-not-call`, against the real HTTP application."""

from __future__ import annotations

import asyncio
import json

import pytest
import pytest_asyncio
from typer.testing import CliRunner

from api import cli
from sipcore.store.records import open_store

ONE, TWO = "+12025550001", "+12025550002"


@pytest_asyncio.fixture
async def campaign_store(tmp_path):
    opened = await open_store(f"sqlite:///{tmp_path}/calls.db")
    yield opened.campaigns
    await opened.close()


@pytest.fixture
def run(site, bearer_key):
    async def run(*words, code=0, **more):
        env = {"CLICK2CALL_URL": site.url, "CLICK2CALL_KEY": bearer_key}
        result = await asyncio.to_thread(CliRunner().invoke, cli.app, words, env=env, **more)
        assert result.exit_code == code, result.output
        return result

    return run


async def test_a_campaign_from_its_making_to_its_results(run, tmp_path):
    made = await run(
        "campaigns", "create", "spring", "800", "--hours", "mon-sun 00:00-24:00", "--hours", "FR=mon 10:00-13:00",
        "--retry", "busy=3:300", "--retry", "no_answer=1:3600", "--concurrency", "5", "--calls-per-second", "0.5",
    )  # fmt: skip
    campaign = made.stdout.strip()
    (tmp_path / "list.csv").write_text(f"number,reference\n{ONE},c-1\nx,\n")
    added = await run("campaigns", "add", campaign, str(tmp_path / "list.csv"))
    assert added.stdout == "1 accepted, 1 refused\n"
    assert added.stderr == "line 3: only 0-9 * # + are allowed, 1 to 32 of them: x,\n"
    assert (await run("campaigns", "add", campaign, "-", "--jsonl", input=f'"{TWO}"')).stdout.startswith("1 accepted")
    told = json.loads((await run("campaigns", "show", campaign, "--json")).stdout)
    assert told["hours"] == {"default": "mon-sun 00:00-24:00", "FR": "mon 10:00-13:00"}
    assert told["retries"]["busy"] == {"retries": 3, "after": 300}
    assert (told["concurrency"], told["calls_per_second"], told["numbers"]) == (5, 0.5, 2)
    for action, state in (("start", "running"), ("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        assert f" {state} " in (await run("campaigns", action, campaign)).stdout
    assert campaign in (await run("campaigns", "list")).stdout
    assert (await run("campaigns", "numbers", campaign, "--state", "waiting")).stdout.count("waiting") == 2
    assert "line 3" not in (await run("campaigns", "refusals", campaign)).stdout.splitlines()[1]
    results = (await run("campaigns", "results", campaign)).stdout
    assert results.splitlines()[1].startswith(f"{ONE},c-1,waiting,")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("campaigns", "create", "spring", "101"), "refused (400): dial2: must be one that talks to many"),
        (("campaigns", "create", "spring", "800", "--retry", "busy"), "give an outcome, retries and seconds"),
        (("campaigns", "add", "nothing", "/no/such/file"), "/no/such/file: No such file or directory"),
        (("campaigns", "show", "nothing"), "refused (404)"),
    ],
)
async def test_what_cannot_be_done_is_told(run, words, told):
    assert told in (await run(*words, code=2)).stderr


async def test_the_do_not_call_list(run, tmp_path):
    assert (await run("do-not-call", "add", "2025550001", TWO)).stdout.splitlines() == [ONE, TWO]
    (tmp_path / "list.jsonl").write_text('"+12025550003"\n')
    imported = await run("do-not-call", "import", str(tmp_path / "list.jsonl"))
    assert imported.stdout == "1 accepted, 0 refused\n"
    await run("do-not-call", "remove", TWO)
    listed = (await run("do-not-call", "list", "--json")).stdout
    assert [json.loads(line)["number"] for line in listed.splitlines()] == [ONE, "+12025550003"]
