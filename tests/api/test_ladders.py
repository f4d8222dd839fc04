"""`/api/v1/records/ID/ladder`: whose, in which form, and when there is none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from test_records import LIVE, RECORD

from sipcore.domain.ladder import LegLadder, Rung

LADDER = (
    LegLadder("uid-2", (Rung(1.5, False, "BYE", 200, 3),)),
    LegLadder("uid-1", (Rung(0.001, True, "INVITE", None, 1),)),
)


async def ask(site, path, **headers):
    request = {"auth_username": "alice@acme", "auth_password": "s3cret", "headers": headers}
    return await site.fetch(f"/api/v1/records/{path}", **request)


@pytest.fixture
def kept(site):
    site.store.records.append(RECORD)
    site.store.ladders.kept["acme", "r1"] = LADDER


@pytest.mark.usefixtures("kept")
async def test_the_ladder_has_the_messages_of_each_leg_in_the_order_of_the_record(site):
    answer = await ask(site, "r1/ladder")
    assert (answer.code, answer.headers["Content-Type"]) == (200, "application/json; charset=utf-8")
    first = {"at": "2026-03-01T06:00:00.124Z", "direction": "sent", "method": "INVITE", "code": None, "cseq": 1}
    second = {"at": "2026-03-01T06:00:01.623Z", "direction": "received", "method": "BYE", "code": 200, "cseq": 3}
    assert json.loads(answer.body) == {
        "record_id": "r1",
        "legs": [
            {"uid": "uid-1", "number": "101", "party": "dial1", "messages": [first]},
            {"uid": "uid-2", "number": "+12025550123", "party": "dial2", "messages": [second]},
        ],
    }


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("path", "accept", "kind"),
    [
        ("r1/ladder.txt", "application/json", "text/plain"),
        ("r1/ladder", "text/plain", "text/plain"),
        ("r1/ladder", "text/html, text/plain;q=0.9, application/json;q=0.1", "text/plain"),
        ("r1/ladder", "application/json, text/plain", "application/json"),
        ("r1/ladder", "*/*", "application/json"),
    ],
)
async def test_it_is_drawn_where_the_path_or_the_client_wants_text(site, path, accept, kind):
    answer = await ask(site, path, Accept=accept)
    assert answer.headers["Content-Type"] == f"{kind}; charset=utf-8"
    if kind == "text/plain":
        assert "200 (BYE)" in answer.body.decode()


async def test_a_call_in_progress_shows_what_there_is(site):
    site.live["acme", "r1"] = replace(LIVE, ladder=LADDER[1:])
    legs = json.loads((await ask(site, "r1/ladder")).body)["legs"]
    assert [leg["uid"] for leg in legs] == ["uid-1"]


@pytest.mark.parametrize("path", ["r1/ladder", "r1/ladder.txt", "r2/ladder", "uid-1/ladder"])
async def test_without_a_ladder_or_without_the_record_it_is_404(site, path):
    site.store.records += [RECORD, replace(RECORD, id="r2", organisation="other")]
    site.store.ladders.kept["other", "r2"] = LADDER
    site.live["acme", "uid-1"] = LIVE
    answer = await ask(site, path)
    assert (answer.code, json.loads(answer.body)["error_id"]) == (404, "not_found")
