"""`/api/v1/campaigns` and `/api/v1/do-not-call`: made, filled by a streamed list, steered, read and exported."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from tornado.httpclient import HTTPRequest
from tornado.simple_httpclient import HTTPStreamClosedError

from api.handlers import uploads
from sipcore.domain.attempt import Attempt, AttemptSource
from sipcore.domain.causes import Disposition
from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.record import CallRecord, LegRecord
from sipcore.service import campaigns as campaigns_service
from sipcore.store.records import open_store

NEW = {"name": "spring", "dial2": "800"}
CSV, JSONL = {"Content-Type": "text/csv"}, {"Content-Type": "application/jsonl"}
ONE, TWO, THREE = "+12025550001", "+12025550002", "+12025550003"
ANY_TIME = "mon-sun 00:00-24:00"
NODE = "n" * 32


@pytest_asyncio.fixture
async def store(tmp_path):
    opened = await open_store(f"sqlite:///{tmp_path}/calls.db")
    yield opened
    await opened.close()


@pytest.fixture
def campaign_store(store):
    return store.campaigns


async def ask(site, path, method="GET", body=None, headers=None, user="alice@acme"):
    if isinstance(body, dict):
        body, headers = json.dumps(body), {"Content-Type": "application/json"}
    if method == "POST" and body is None:
        body = ""
    login = {"auth_username": user, "auth_password": "s3cret"}
    return await site.fetch(f"/api/v1{path}", method=method, body=body, headers=headers, **login)


async def read(site, path, method="GET", body=None, headers=None, code=200):
    answer = await ask(site, path, method, body, headers)
    assert answer.code == code, answer.body
    return json.loads(answer.body)


async def made(site, **changes):
    return (await read(site, "/campaigns", "POST", NEW | changes, code=201))["id"]


async def add(site, campaign, text, headers=CSV, code=200):
    return await read(site, f"/campaigns/{campaign}/numbers", "POST", text, headers, code)


async def call(store, campaign, position=1, number=ONE, disposition=Disposition.BUSY):
    """Make an attempt as the dialler does."""
    now = datetime.now(UTC)
    await store.campaigns.claim(campaign, NODE, now, 1)
    attempt = Attempt(AttemptSource.CAMPAIGN, f"{campaign}:{position}", 1, NODE)
    legs = (LegRecord("uid-1", number), LegRecord("uid-2", "800", party="dial2"))
    record = CallRecord(f"{position:032}", "acme", "alice", number, "800", None, now, legs, attempt=attempt)
    await store.accept(record)
    await store.complete(replace(record, ended_at=now, disposition=disposition, ended_by="dial1"))
    return record


async def test_a_campaign_is_made_and_comes_back_as_it_was_asked_for(site):
    wanted = {
        **NEW,
        "set_cid": "+12025550100",
        "ring_seconds": 25,
        "hours": {"default": "mon-fri 09:00-20:00", "FR": "mon-fri 10:00-13:00"},
        "concurrency": 5,
        "calls_per_second": 0.5,
        "retries": {"busy": {"retries": 3, "after": 300}, "no_answer": {"retries": 1, "after": 3600}},
        "max_attempts": 4,
    }
    answer = await ask(site, "/campaigns", "POST", wanted)
    assert answer.code == 201
    told = json.loads(answer.body)
    assert answer.headers["Location"] == f"/api/v1/campaigns/{told['id']}"
    assert {name: told[name] for name in wanted} == wanted
    assert (told["state"], told["user"], told["numbers"], told["refused"]) == ("draft", "alice", 0, 0)
    assert await read(site, f"/campaigns/{told['id']}") == told
    assert (await read(site, "/campaigns"))["items"] == [told]


async def test_one_text_of_hours_stands_for_all_countries_and_what_is_left_out_has_its_default(site):
    told = await read(site, "/campaigns", "POST", NEW | {"hours": ANY_TIME}, code=201)
    assert told["hours"] == {"default": ANY_TIME}
    assert (told["concurrency"], told["calls_per_second"], told["max_attempts"]) == (10, 1.0, 10)
    assert (told["retries"], told["ring_seconds"], told["set_cid"]) == ({}, 20, None)


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"dial2": "101"}, "dial2"),
        ({"hours": "always"}, "hours.default"),
        ({"hours": {"France": ANY_TIME}}, "hours"),
        ({"name": "a\nb"}, "name"),
        ({"concurrency": 0}, "concurrency"),
        ({"retries": {"answered": {"retries": 1, "after": 60}}}, "retries.answered"),
        ({"retries": {"busy": {"retries": 1, "after": 5}}}, "retries.busy.after"),
        ({"number": ONE}, "number"),
    ],
)
async def test_what_is_wrong_with_a_campaign_is_named(site, change, parameter):
    assert (await read(site, "/campaigns", "POST", NEW | change, code=400))["parameter"] == parameter
    assert (await read(site, "/campaigns"))["items"] == []


async def test_a_caller_identity_that_is_not_allowed_has_the_name_that_bodies_have_for_it(site):
    refused = await read(site, "/campaigns", "POST", NEW | {"set_cid": "+13105550111"}, code=403)
    assert refused["parameter"] == "set_cid"


async def test_a_list_of_numbers_is_taken_line_by_line_and_what_is_refused_is_told(site):
    campaign = await made(site, hours=ANY_TIME)
    report = await add(site, campaign, f"number,reference\n{ONE},c-1\n12,short\n202-555-0002,c-2\n{ONE},again\n")
    short = {"line": 3, "text": "12,short", "reason": "is no telephone number and no extension"}
    again = {"line": 5, "text": ONE, "reason": "is in the campaign already"}
    assert report == {"accepted": 2, "refused": 2, "refusals": [short, again]}
    report = await add(site, campaign, f'{{"number": "{THREE}"}}\n"x"\n', JSONL)
    assert (report["accepted"], report["refusals"][0]["line"]) == (1, 2)
    page = await read(site, f"/campaigns/{campaign}/refusals?limit=2")
    assert page["items"] == [short, again]
    rest = await read(site, f"/campaigns/{campaign}/refusals?limit=2&cursor={page['next']}")
    assert (rest["items"][0]["text"], rest["next"]) == ('"x"', None)
    told = await read(site, f"/campaigns/{campaign}")
    assert (told["numbers"], told["refused"], told["counts"]["waiting"]) == (3, 3, 3)


async def test_a_list_is_written_while_it_comes(site, store):
    campaign = await made(site)
    half, more = asyncio.Event(), asyncio.Event()

    async def body(write):
        for index in range(1500):
            await write(f"+1202555{index:04d}\n".encode())
        half.set()
        await more.wait()
        await write(b"+12025559999\n")

    url = f"http://127.0.0.1:{site.port}/api/v1/campaigns/{campaign}/numbers"
    request = HTTPRequest(
        url, method="POST", headers=CSV, body_producer=body, auth_username="alice@acme", auth_password="s3cret"
    )
    sent = asyncio.ensure_future(site.client.fetch(request))
    await half.wait()
    async with asyncio.timeout(5):
        while (await store.campaigns.get("acme", campaign)).counts["waiting"] < 1000:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    more.set()
    assert json.loads((await sent).body)["accepted"] == 1501


@pytest.mark.parametrize(
    ("headers", "code", "error_id"),
    [
        ({}, 415, "content_type"),
        ({"Content-Type": "application/json"}, 415, "content_type"),
        (CSV | {"Content-Encoding": "gzip"}, 415, "content_type"),
        ({"Content-Type": "text/csv; charset=iso-8859-1"}, 415, "content_type"),
    ],
)
async def test_what_is_no_list_is_not_read(site, headers, code, error_id):
    campaign = await made(site)
    told = await add(site, campaign, ONE, headers, code)
    assert told["error_id"] == error_id
    assert (await read(site, f"/campaigns/{campaign}"))["numbers"] == 0


async def test_a_list_that_is_too_long_is_not_read(site, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_UPLOAD_BYTES", 11)
    assert (await add(site, await made(site), ONE, code=413))["error_id"] == "too_long"


async def test_a_list_needs_the_right_to_call_and_a_campaign_that_is_there(site):
    campaign = await made(site)
    path = f"/campaigns/{campaign}/numbers"
    assert (await ask(site, path, "POST", ONE, CSV, user="carol@other")).code == 404
    assert (await ask(site, "/campaigns/x/numbers", "POST", ONE, CSV)).code == 404
    assert (await ask(site, path, "POST", ONE, CSV, user="nobody@acme")).code == 401
    assert (await ask(site, path, "PUT", ONE, CSV)).code == 405


async def test_a_campaign_that_is_over_takes_no_list_not_even_while_it_comes(site):
    campaign = await made(site)
    half = asyncio.Event()

    async def body(write):
        await write(f"{ONE}\n".encode())
        await half.wait()
        await write("".join(f"+1202556{index:04d}\n" for index in range(600)).encode())

    url = f"http://127.0.0.1:{site.port}/api/v1/campaigns/{campaign}/numbers"
    request = HTTPRequest(
        url, method="POST", headers=CSV, body_producer=body, auth_username="alice@acme", auth_password="s3cret"
    )
    sent = asyncio.ensure_future(site.client.fetch(request, raise_error=False))
    await read(site, f"/campaigns/{campaign}/stop", "POST")
    half.set()
    assert ((await sent).code, json.loads((await sent).body)["error_id"]) == (409, "campaign_state")
    assert (await add(site, campaign, ONE, code=409))["error_id"] == "campaign_state"


async def test_a_campaign_is_started_paused_resumed_and_stopped(site):
    campaign = await made(site)
    assert (await read(site, f"/campaigns/{campaign}/start", "POST", code=409))["error_id"] == "campaign_state"
    await add(site, campaign, ONE)
    states = [
        (await read(site, f"/campaigns/{campaign}/{action}", "POST"))["state"]
        for action in ("start", "pause", "resume", "stop", "stop")
    ]
    assert states == ["running", "paused", "running", "stopped", "stopped"]
    assert (await read(site, f"/campaigns/{campaign}/resume", "POST", code=409))["error_id"] == "campaign_state"


async def test_numbers_are_read_by_page_and_state_with_their_attempts(site, store):
    campaign = await made(site, hours=ANY_TIME)
    await add(site, campaign, f"{ONE}\n{TWO}\n{THREE}\n")
    await read(site, f"/campaigns/{campaign}/start", "POST")
    record = await call(store, campaign)
    page = await read(site, f"/campaigns/{campaign}/numbers?limit=2")
    tried, waiting = page["items"]
    assert (tried["number"], tried["state"], tried["outcome"], tried["next_at"]) == (ONE, "failed", "busy", None)
    assert [(each["number"], each["record_id"]) for each in tried["attempts"]] == [(1, record.id)]
    assert (waiting["state"], waiting["outcome"], waiting["attempts"]) == ("waiting", None, [])
    rest = await read(site, f"/campaigns/{campaign}/numbers?limit=2&cursor={page['next']}")
    assert ([each["number"] for each in rest["items"]], rest["next"]) == ([THREE], None)
    failed = await read(site, f"/campaigns/{campaign}/numbers?state=failed")
    assert [each["position"] for each in failed["items"]] == [1]
    assert (await read(site, f"/campaigns/{campaign}/numbers?state=odd", code=400))["parameter"] == "state"
    assert (await read(site, f"/campaigns/{campaign}/numbers?cursor=x", code=400))["parameter"] == "cursor"


async def test_results_are_exported_safe_for_a_spreadsheet(site, store, monkeypatch):
    monkeypatch.setattr(campaigns_service, "EXPORTED_TOGETHER", 2)
    campaign = await made(site, hours=ANY_TIME)
    await add(site, campaign, f"number,reference\n{ONE},=1+1\n{TWO},-2\n{THREE},c-3\n+12025550009,@x\n")
    await read(site, f"/campaigns/{campaign}/start", "POST")
    record = await call(store, campaign)
    answer = await ask(site, f"/campaigns/{campaign}/results.csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert f"campaign-{campaign}.csv" in answer.headers["Content-Disposition"]
    header, first, *others = csv.reader(io.StringIO(answer.body.decode(), newline=""))
    named = dict(zip(header, first, strict=True))
    assert (named["number"], named["reference"], named["state"], named["outcome"]) == (ONE, "'=1+1", "failed", "busy")
    assert (named["attempts"], named["record_id"], named["next_at"]) == ("1", record.id, "")
    assert [row[:2] for row in others] == [[TWO, "'-2"], [THREE, "c-3"], ["+12025550009", "'@x"]]


async def test_an_export_whose_rest_cannot_be_read_does_not_end_as_if_it_were_whole(site, store, monkeypatch):
    monkeypatch.setattr(campaigns_service, "EXPORTED_TOGETHER", 1)
    campaign = await made(site)
    await add(site, campaign, f"{ONE}\n{TWO}\n")
    numbers = store.campaigns.numbers

    async def once(campaign_id, state, after, limit):
        if after:
            raise StoreUnavailableError("gone")
        return await numbers(campaign_id, state, after, limit)

    monkeypatch.setattr(store.campaigns, "numbers", once)
    with pytest.raises(HTTPStreamClosedError):
        await ask(site, f"/campaigns/{campaign}/results.csv")


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("", "GET"),
        ("/start", "POST"),
        ("/numbers", "GET"),
        ("/refusals", "GET"),
        ("/results.csv", "GET"),
    ],
)
async def test_another_organisations_campaign_is_not_found(site, path, method):
    campaign = await made(site)
    assert (await ask(site, f"/campaigns/{campaign}{path}", method, user="carol@other")).code == 404
    assert (await ask(site, f"/campaigns/nothing{path}", method)).code == 404


async def test_the_do_not_call_list_is_added_to_imported_read_and_taken_from(site):
    added = await read(site, "/do-not-call", "POST", {"numbers": ["2025550002", ONE]})
    assert added == {"numbers": [TWO, ONE]}
    imported = await read(site, "/do-not-call/import", "POST", f"{THREE}\nx\n", CSV)
    assert (imported["accepted"], imported["refusals"][0]["line"]) == (1, 2)
    page = await read(site, "/do-not-call?limit=2")
    assert [(each["number"], each["added_by"]) for each in page["items"]] == [(ONE, "alice"), (TWO, "alice")]
    rest = await read(site, f"/do-not-call?cursor={page['next']}")
    assert ([each["number"] for each in rest["items"]], rest["next"]) == ([THREE], None)
    assert (await ask(site, f"/do-not-call/{ONE}", "DELETE")).code == 204
    assert (await ask(site, "/do-not-call/2025550002", "DELETE")).code == 204
    assert [each["number"] for each in (await read(site, "/do-not-call"))["items"]] == [THREE]
    assert json.loads((await ask(site, "/do-not-call", user="carol@other")).body)["items"] == []
    assert (await read(site, "/do-not-call", "POST", {"numbers": [ONE, "x"]}, code=400))["parameter"] == "numbers.1"
    assert await read(site, "/do-not-call", "POST", {"numbers": ["+1 (202) 555-0002"]}) == {"numbers": [TWO]}


async def test_a_number_on_the_list_is_refused_when_it_is_added(site):
    await read(site, "/do-not-call", "POST", {"numbers": [ONE]})
    report = await add(site, await made(site), ONE)
    assert report["refusals"] == [{"line": 1, "text": ONE, "reason": "is on the do-not-call list"}]
