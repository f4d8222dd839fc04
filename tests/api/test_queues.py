"""`/api/v1/queues`: who waits, how agents stand, and pausing them."""

from __future__ import annotations

import json
import re

import pytest

from sipcore.domain.commands import JoinQueue

RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def ask(site, path="", user="alice@acme", **more):
    return await site.fetch(f"/api/v1/queues{path}", auth_username=user, auth_password="s3cret", **more)


async def post(site, path, **more):
    return await ask(site, path, method="POST", body="", **more)


def agents_of(answer):
    return {agent["number"]: (agent["state"], agent["since"]) for agent in json.loads(answer.body)["agents"]}


async def test_the_queues_of_ones_own_organisation_come_by_number(site):
    answer = await ask(site)
    assert answer.code == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    first, second = json.loads(answer.body)["items"]
    assert first == {
        "number": "700", "strategy": "round_robin", "waiting": 0, "waiting_since": None,
        "agents": [
            {"number": "101", "state": "free", "since": None},
            {"number": "+12025550123", "state": "free", "since": None},
        ],
    }  # fmt: skip
    assert second["number"] == "701"


async def test_an_organisation_without_queues_has_none(site):
    answer = await ask(site, "", user="carol@other")
    assert json.loads(answer.body) == {"items": []}
    assert (await ask(site, "/700", user="carol@other")).code == 404


async def test_a_queue_tells_who_waits_and_how_its_agents_stand(site):
    site.queues.line_busy("acme", "101")
    site.queues.line_busy("acme", "101")
    site.queues.line_busy("acme", "+12025550123")
    site.queues.line_free("acme", "+12025550123", talked=True)
    site.queues.execute("acme", JoinQueue("t1", "700"))
    answer = await ask(site, "/700")
    queue = json.loads(answer.body)
    assert queue["waiting"] == 1
    assert RFC3339.fullmatch(queue["waiting_since"])
    states = agents_of(answer)
    assert {number: state for number, (state, _) in states.items()} == {"101": "busy", "+12025550123": "wrap_up"}
    assert all(RFC3339.fullmatch(since) for _, since in states.values())


async def test_an_agent_pauses_and_resumes(site):
    paused = await post(site, "/700/agents/101/pause")
    assert paused.code == 200
    agent = json.loads(paused.body)
    assert (agent["number"], agent["state"]) == ("101", "paused")
    assert RFC3339.fullmatch(agent["since"])
    assert agents_of(await ask(site, "/700"))["101"] == ("paused", agent["since"])
    assert agents_of(await ask(site, "/701"))["101"] == ("free", None), "of the other queue"
    again = await post(site, "/700/agents/101/pause")
    assert json.loads(again.body) == agent
    resumed = await post(site, "/700/agents/101/resume")
    assert json.loads(resumed.body) == {"number": "101", "state": "free", "since": None}


@pytest.mark.parametrize("number", ["+12025550123", "%2B12025550123"])
async def test_an_external_agent_is_named_by_its_number(site, number):
    answer = await post(site, f"/700/agents/{number}/pause")
    assert json.loads(answer.body)["number"] == "+12025550123"


@pytest.mark.parametrize(
    ("path", "user"),
    [
        ("/700/agents/102/pause", "alice@acme"),
        ("/702/agents/101/pause", "alice@acme"),
        ("/700/agents/101/pause", "carol@other"),
        ("/700/agents/101/resume", "carol@other"),
    ],
)
async def test_what_is_not_there_or_not_ones_own_is_not_found(site, path, user):
    answer = await post(site, path, user=user)
    assert answer.code == 404
    assert json.loads(answer.body)["error_id"] == "not_found"
    assert agents_of(await ask(site, "/700"))["101"] == ("free", None)


async def test_reading_pauses_nobody(site):
    answer = await ask(site, "/700/agents/101/pause")
    assert answer.code == 405
    assert answer.headers["Allow"] == "POST"
    assert agents_of(await ask(site, "/700"))["101"] == ("free", None)


async def test_an_unknown_action_is_not_found(site):
    assert (await post(site, "/700/agents/101/fire")).code == 404


async def test_strangers_pause_nobody(site):
    answer = await site.fetch("/api/v1/queues/700/agents/101/pause", method="POST", body="")
    assert answer.code == 401
    assert agents_of(await ask(site, "/700"))["101"] == ("free", None)


async def test_a_key_pauses_too(site, bearer_key):
    answer = await site.fetch(
        "/api/v1/queues/700/agents/101/pause",
        method="POST",
        body="",
        headers={"Authorization": f"Bearer {bearer_key}"},
    )
    assert json.loads(answer.body)["state"] == "paused"
