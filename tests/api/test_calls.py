"""`/api/v1/calls`: placing calls by JSON, and reading and ending those in progress."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from test_records import LIVE, RECORD

from sipcore.domain.errors import LimitReachedError, NoLegCapacityError, NotAllowedError
from sipcore.service.calls import DialRequest

CALL = {"dial1": "101", "dial2": "+12025550123"}


async def ask(site, path="", **more):
    return await site.fetch(f"/api/v1/calls{path}", auth_username="alice@acme", auth_password="s3cret", **more)


async def place(site, body=CALL, kind="application/json", **more):
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return await ask(site, method="POST", body=text, headers={"Content-Type": kind}, **more)


async def test_a_call_is_placed_with_what_the_body_says(site):
    site.live["acme", "r1"] = LIVE
    site.calls.pending = True
    answer = await place(site, {**CALL, "set_cid": "+12025550100", "ring_seconds": 30})
    assert answer.code == 201
    assert answer.headers["Location"] == "/api/v1/calls/r1"
    told = json.loads(answer.body)
    assert (told["id"], told["first_stage"]) == ("r1", {"status": "pending", "reason": None})
    wanted = DialRequest("acme", "alice", "101", "+12025550123", set_cid="+12025550100", ring_seconds=30)
    assert site.calls.dialled == [wanted]


@pytest.mark.parametrize(("reason", "status"), [(None, "ok"), ("Busy", "Fail")])
async def test_who_waits_is_told_how_the_first_stage_ended(site, reason, status):
    site.store.records.append(RECORD)
    site.calls.fail_reason = reason
    told = json.loads((await place(site, {**CALL, "wait": True})).body)
    assert told["first_stage"] == {"status": status, "reason": reason}


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ("{", "body"),
        ("[]", "body"),
        ('"x"', "body"),
        (b"\xff", "body"),
        ({"dial1": "101"}, "dial2"),
        ({**CALL, "dial1": 101}, "dial1"),
        ({**CALL, "dial1": ""}, "dial1"),
        ({**CALL, "dial1": "1" * 65}, "dial1"),
        ({**CALL, "ring_seconds": "20"}, "ring_seconds"),
        ({**CALL, "ring_seconds": 0}, "ring_seconds"),
        ({**CALL, "ring_seconds": 301}, "ring_seconds"),
        ({**CALL, "wait": "yes"}, "wait"),
        ({**CALL, "Timeout": 20}, "Timeout"),
    ],
)
async def test_a_bad_body_is_a_problem_that_names_the_member_and_nothing_is_dialled(site, body, parameter):
    answer = await place(site, body)
    problem = json.loads(answer.body)
    assert (answer.code, problem["parameter"], problem["error_id"]) == (400, parameter, "bad_parameter")
    assert site.calls.dialled == []


@pytest.mark.parametrize(
    ("kind", "body", "status", "error_id"),
    [
        ("text/plain", json.dumps(CALL), 415, "content_type"),
        ("application/x-www-form-urlencoded", "dial1=101", 415, "content_type"),
        ("application/json", " " * 65537, 413, "too_long"),
    ],
)
async def test_another_type_or_size_of_body_is_not_read(site, kind, body, status, error_id):
    answer = await place(site, body, kind)
    assert (answer.code, json.loads(answer.body)["error_id"]) == (status, error_id)


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotAllowedError("dial2", "no"), 403), (LimitReachedError("max_calls", 5), 429), (NoLegCapacityError("no"), 503)],
)
async def test_a_call_that_is_not_accepted_is_a_problem(site, error, status):
    site.calls.error = error
    answer = await place(site)
    assert (answer.code, json.loads(answer.body)["error_id"]) == (status, error.error_id)


async def test_calls_in_progress_are_listed_and_read(site):
    site.live["acme", "r1"] = LIVE
    site.live["other", "r9"] = replace(LIVE, id="r9", organisation="other")
    listed = json.loads((await ask(site)).body)
    assert listed == {"items": [json.loads((await ask(site, "/r1")).body)], "next": None}
    assert listed["items"][0]["ended_at"] is None


async def test_a_call_that_is_over_is_read_and_hung_up_in_vain(site):
    site.store.records.append(RECORD)
    for method in ("GET", "DELETE"):
        told = json.loads((await ask(site, "/r1", method=method)).body)
        assert told["disposition"] == "busy"


async def test_a_call_is_hung_up(site):
    site.live["acme", "r1"] = LIVE
    await place(site)
    assert (await ask(site, "/r1", method="DELETE")).code == 200
    assert site.calls.hung_up == [("acme", "r1", "request")]


async def test_a_query_that_is_not_known_is_refused(site):
    answer = await ask(site, "?state=up")
    assert (answer.code, json.loads(answer.body)["parameter"]) == (400, "state")


@pytest.mark.parametrize("path", ["", "/", "/nothing", "/calls/1/nothing", "/calls/"])
async def test_whatever_is_not_there_is_the_same_problem(site, path):
    answer = await site.fetch(f"/api/v1{path}")
    assert (answer.code, json.loads(answer.body)["error_id"]) == (404, "not_found")


async def test_a_call_that_another_node_carries_is_hung_up_there(site, monkeypatch):
    monkeypatch.setattr(site.calls, "hang_up", lambda *_: False)
    going_on = replace(LIVE, id="elsewhere")
    site.store.records.append(going_on)
    assert (await ask(site, "/elsewhere", method="DELETE")).code == 200
    assert (await ask(site, "/nowhere", method="DELETE")).code == 404
    assert site.hung_up_elsewhere == [("acme", "elsewhere")]
