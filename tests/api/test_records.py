"""`/api/v1/records`: whose records, in which shape, and what is said about bad filters."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from sipcore.domain.causes import Disposition
from sipcore.domain.errors import ParameterError, StoreUnavailableError
from sipcore.domain.record import CallRecord, LegRecord, RecordFilter

START = datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
RECORD = CallRecord(
    id="r1",
    organisation="acme",
    user="alice",
    dial1="101",
    dial2="+12025550123",
    set_cid=None,
    accepted_at=START,
    ended_at=START + timedelta(seconds=9),
    disposition=Disposition.BUSY,
    ended_by="dial2",
    legs=(
        LegRecord(
            "uid-1", "101", Disposition.ANSWERED, 200, 16, "local", START, START, START, START + timedelta(seconds=9)
        ),
        LegRecord("uid-2", "+12025550123", Disposition.BUSY, 486, 17, "remote", party="dial2"),
    ),
)
LIVE = replace(RECORD, ended_at=None, disposition=None, ended_by=None)


async def ask(site, path="", **more):
    return await site.fetch(f"/api/v1/records{path}", auth_username="alice@acme", auth_password="s3cret", **more)


async def test_a_record_has_the_fields_of_the_contract_and_times_in_utc(site):
    site.store.records.append(RECORD)
    answer = await ask(site, "/r1")
    assert answer.code == 200
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    record = json.loads(answer.body)
    legs = record.pop("legs")
    assert record == {
        "id": "r1", "user": "alice", "dial1": "101", "dial2": "+12025550123", "set_cid": None,
        "accepted_at": "2026-03-01T06:00:00.123Z", "joined_at": None, "ended_at": "2026-03-01T06:00:09.123Z",
        "disposition": "busy", "ended_by": "dial2", "recording_id": None, "recording_state": None, "batch_id": None,
        "reference": None,
        "direction": "outbound",
    }  # fmt: skip
    assert legs[0]["answered_at"] == "2026-03-01T06:00:00.123Z"
    assert legs[1] == {
        "uid": "uid-2", "number": "+12025550123", "disposition": "busy", "sip_code": 486, "cause": 17,
        "ended_by": "remote", "placed_at": None, "ringing_at": None, "answered_at": None, "ended_at": None,
        "party": "dial2", "answered_by": None, "extension": None, "quality": None,
    }  # fmt: skip


async def test_a_list_has_items_and_the_cursor_of_the_next_page(site):
    site.store.records += [RECORD, replace(RECORD, id="r2"), replace(RECORD, id="r3", organisation="other")]
    site.store.next = "c2"
    answer = json.loads((await ask(site)).body)
    assert [item["id"] for item in answer["items"]] == ["r1", "r2"]
    assert answer["next"] == "c2"


async def test_filters_reach_the_store_as_values(site):
    await ask(
        site,
        "?uid=u%2F1&number=+1202&extension=101&reference=order+7%2F%C3%A4&batch=b1&disposition=no_answer&since=2026-03-01T08:00:00+02:00"
        "&until=2026-03-01t09:00:00.5z&cursor=abc",
    )
    wanted = RecordFilter(
        uid="u/1",
        number="+1202",
        extension="101",
        reference="order 7/ä",
        batch="b1",
        disposition=Disposition.NO_ANSWER,
        since=datetime(2026, 3, 1, 6, tzinfo=UTC),
        until=datetime(2026, 3, 1, 9, 0, 0, 500_000, tzinfo=UTC),
    )
    assert site.store.asked == [("acme", wanted, "abc")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("disposition", "happy"),
        ("disposition", ""),
        ("since", "yesterday"),
        ("since", "2026-03-01"),
        ("since", "2026-03-01T08:00:00"),
        ("since", "2026-13-01T08:00:00Z"),
        ("until", "0001-01-01T00:00:00%2B23:59"),
        ("until", "20260301T080000Z"),
        ("uid", ""),
        ("uid", "a%20b"),
        ("uid", "a%0d%0ab"),
        ("number", "x" * 300),
        ("number", "%D9%A1"),
        ("cursor", ""),
        ("uid", "a&uid=b"),
        ("extension", ""),
        ("reference", ""),
        ("reference", "a%0Ab"),
        ("reference", "x" * 129),
        ("dispositions", "busy"),
    ],
)
async def test_a_bad_filter_is_a_problem_that_names_it(site, name, value):
    answer = await ask(site, f"?{name}={value}")
    assert answer.code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = json.loads(answer.body)
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", "Bad Request", 400)
    assert (problem["parameter"], problem["error_id"]) == (name, "bad_parameter")
    assert problem["detail"].startswith(f"{name}: ")
    assert site.store.asked == []


async def test_a_cursor_that_the_store_does_not_know_is_a_problem_that_names_it(site):
    site.store.error = ParameterError("cursor", "is none of ours")
    answer = await ask(site, "?cursor=zzz")
    assert (answer.code, json.loads(answer.body)["parameter"]) == (400, "cursor")


async def test_a_database_that_does_not_answer_is_503(site):
    site.store.error = StoreUnavailableError("the database does not answer")
    answer = await ask(site)
    assert (answer.code, json.loads(answer.body)["error_id"]) == (503, "store_unavailable")


async def test_what_goes_wrong_inside_is_a_problem_without_its_text(site):
    site.store.error = RuntimeError("the inside")
    answer = await ask(site)
    assert (answer.code, json.loads(answer.body)["error_id"]) == (500, "internal")
    assert b"the inside" not in answer.body


async def test_an_unknown_or_foreign_record_is_404(site):
    site.store.records.append(replace(RECORD, organisation="other"))
    site.live["other", "r1"] = replace(LIVE, organisation="other")
    answer = await ask(site, "/r1")
    assert (answer.code, json.loads(answer.body)["error_id"]) == (404, "not_found")


async def test_the_record_of_a_call_in_progress_shows_its_progress(site):
    site.store.records += [replace(LIVE, legs=()), replace(RECORD, id="r0")]
    for key in ("r1", "uid-1"):
        site.live["acme", key] = LIVE
    by_id = json.loads((await ask(site, "/r1")).body)
    assert by_id["legs"][0]["answered_at"] is not None
    by_uid = json.loads((await ask(site, "?uid=uid-1")).body)
    assert by_uid == {"items": [by_id], "next": None}
    assert site.store.asked == []
    listed = json.loads((await ask(site)).body)["items"]
    assert [(item["id"], len(item["legs"])) for item in listed] == [("r1", 2), ("r0", 2)]


async def test_a_call_in_progress_does_not_pass_a_filter_that_it_does_not_match(site):
    site.live["acme", "uid-1"] = LIVE
    answer = json.loads((await ask(site, "?uid=uid-1&disposition=busy")).body)
    assert answer == {"items": [], "next": None}


async def test_a_uid_is_no_record_id(site):
    site.live["acme", "uid-1"] = LIVE
    assert (await ask(site, "/uid-1")).code == 404


@pytest.mark.parametrize("header", [{}, {"Authorization": "Basic YWxpY2U6czNjcmV0"}, {"Authorization": "Bearer x"}])
async def test_without_credentials_there_is_a_challenge(site, header):
    answer = await site.fetch("/api/v1/records?disposition=happy", headers=header)
    assert (answer.code, json.loads(answer.body)["error_id"]) == (401, "wrong_credentials")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


async def test_a_key_reads_the_records_of_its_organisation(site, bearer_key):
    site.store.records.append(RECORD)
    answer = await site.fetch("/api/v1/records/r1", headers={"Authorization": f"Bearer {bearer_key}"})
    assert answer.code == 200


@pytest.mark.parametrize("path", ["", "/r1"])
async def test_records_are_read_only(site, path):
    answer = await ask(site, path, method="POST", body="{}")
    assert (answer.code, answer.headers["Allow"]) == (405, "GET")
    assert answer.headers["Content-Type"] == "application/problem+json"
