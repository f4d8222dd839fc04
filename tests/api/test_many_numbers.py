"""Several numbers in dial1: what is asked of call control, what is answered, and `/api/v1/batches`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from api.handlers import dialup
from sipcore.domain.batch_record import BatchRecord
from sipcore.domain.errors import StoreUnavailableError
from sipcore.service.calls import DialRequest

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
GOOD = {"user": "alice", "pass": "s3cret", "org": "acme", "dial2": "800"}
LOGIN = "user=alice&pass=s3cret&org=acme&dial2=800"
ONE, TWO, THREE = "+12025550123", "+12025550124", "+12025550125"
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def ask(site, path="", user="alice@acme", **more):
    return await site.fetch(f"/api/v1/batches{path}", auth_username=user, auth_password="s3cret", **more)


async def read(site, batch_id, **more):
    answer = await ask(site, f"/{batch_id}", **more)
    assert answer.code == 200
    return json.loads(answer.body)


async def click(site, dial1=f"{ONE},{TWO}", **more):
    return await site.dialup({"dial1": dial1, "dial2": "800", **more})


async def newest(site):
    return json.loads((await ask(site)).body)["items"][0]


async def stand(site, batch_id, *statuses):
    """Read the batch until its numbers stand so."""
    while [result["status"] for result in (await read(site, batch_id))["results"]] != [*statuses]:
        pass


# -- how several numbers are written


@pytest.mark.parametrize(
    "query",
    [
        "dial1=%2B12025550123%2C%2B12025550124",
        "dial1=+12025550123,+12025550124",
        "dial1=+12025550123;tel:+12025550124",
        "dial1=+12025550123%0D%0A+12025550124",
        "dial1=%2B12025550123,%202025550124",
        "dial1=2025550123%2C+2025550124",
        "dial1=2025550123%3B+2025550124%3B",
        "dial1=+12025550123&DIAL1=+12025550124",
    ],
)
async def test_several_numbers_are_dialled_as_they_are_written(site, query):
    site.calls.pending = True
    assert (await site.fetch(f"/API/dialup?{LOGIN}&{query}")).code == 200
    assert (await newest(site))["numbers"] == 2
    batch_id = (await newest(site))["id"]
    await stand(site, batch_id, "ringing", "ringing")
    digits = [re.sub(r"\D", "", request.dial1).removeprefix("1") for request in site.calls.dialled]
    assert digits == ["2025550123", "2025550124"]


async def test_json_may_give_a_list(site):
    body = json.dumps({**GOOD, "dial1": [ONE, 101]})
    site.calls.pending = True
    assert (await site.fetch("/API/dialup", method="POST", headers=JSON, body=body)).code == 200
    await stand(site, (await newest(site))["id"], "ringing", "ringing")
    assert [request.dial1 for request in site.calls.dialled] == [ONE, "101"]


async def test_a_thousand_numbers_may_come_one_by_one(site):
    body = LOGIN + "".join(f"&dial1=%2B1202555{number:04}" for number in range(1000))
    assert (await site.fetch("/API/dialup", method="POST", headers=FORM, body=body)).code == 200
    assert (await newest(site))["numbers"] == 1000
    await ask(site, f"/{(await newest(site))['id']}", method="DELETE")


async def test_what_else_was_asked_goes_with_each_call(site):
    await click(site, Response="yes", Timeout="7", SetCID="+12025550100")
    batch = await newest(site)
    await stand(site, batch["id"], "answered", "answered")
    results = (await read(site, batch["id"]))["results"]
    assert site.calls.dialled == [
        DialRequest("acme", "alice", number, "800", "+12025550100", 7, batch["id"], (result["uid1"], result["uid2"]))
        for number, result in zip((ONE, TWO), results, strict=True)
    ]


# -- what is refused


@pytest.mark.parametrize(
    ("given", "status", "told"),
    [
        ({"dial1": f"{ONE},+1,{TWO}"}, 400, "dial1: entry 2: not a telephone number"),
        ({"dial1": f"{ONE},10x"}, 400, "dial1: entry 2: must be 1 to 32"),
        ({"dial1": f"{ONE},{TWO}", "dial2": "101"}, 400, "dial2: several numbers need one that talks to many"),
        ({"dial1": f"{ONE},{TWO}", "SetCID": "+13035550177"}, 403, "SetCID: "),
        ({"dial1": ",".join([ONE] * 1001)}, 400, "dial1: has 1001 numbers"),
    ],
)
async def test_one_bad_entry_refuses_all_of_them(site, given, status, told):
    answer = await click(site, **given)
    assert answer.code == status
    assert answer.body.decode().startswith(f"error: {told}")
    assert site.calls.dialled == []
    assert site.store.batches == []


async def test_a_database_that_is_away_is_503_and_nothing_is_dialled(site):
    site.store.error = StoreUnavailableError("the database failed")
    assert (await click(site)).code == 503
    assert site.calls.dialled == []


# -- the answer of dialup


async def test_without_response_the_answer_is_empty_and_a_header_tells_where_the_batch_is(site):
    site.calls.pending = True
    answer = await click(site)
    assert (answer.code, answer.body) == (200, b"")
    batch = await newest(site)
    assert answer.headers["Link"] == f'</api/v1/batches/{batch["id"]}>; rel="monitor"'


async def test_one_number_alone_is_no_batch(site):
    answer = await click(site, f"{ONE},")
    assert "Link" not in answer.headers
    assert site.calls.dialled == [DialRequest("acme", "alice", ONE, "800", None, 20)]
    assert site.store.batches == []


@pytest.mark.parametrize(
    ("show", "uids"), [("no", ""), ("yes", ',"dial1":"{uid1}","dial2":"{uid2}"')], ids=["without", "with UniqueIDs"]
)
async def test_ok_in_json_comes_with_one_result_per_number(site, show, uids):
    site.calls.fail_reasons = {ONE: "Busy"}
    answer = await click(site, f"{ONE},{TWO}", Response="yes", showUID=show, RFormat="json")
    batch = await read(site, (await newest(site))["id"])
    one, two = [uids.format(**result) for result in batch["results"]]
    assert answer.body.decode() == (
        f'{{"status":"ok"{two},"batch":"{batch["id"]}","results":['
        f'{{"number":"{ONE}","status":"failed","reason":"Busy"{one}}},'
        f'{{"number":"{TWO}","status":"answered"{two}}}]}}'
    )


async def test_fail_in_xml_comes_when_all_have_failed(site):
    site.calls.fail_reasons = {ONE: "Unreachable", TWO: "Busy"}
    answer = await click(site, Response="yes", showUID="yes", RFormat="xml")
    batch = await read(site, (await newest(site))["id"])
    one, two = ["<dial1>{uid1}</dial1><dial2>{uid2}</dial2>".format(**result) for result in batch["results"]]
    assert answer.body.decode() == (
        f"<response><status>Fail</status><reason>Busy</reason>{two}<batch>{batch['id']}</batch><results>"
        f"<result><number>{ONE}</number><status>failed</status><reason>Unreachable</reason>{one}</result>"
        f"<result><number>{TWO}</number><status>failed</status><reason>Busy</reason>{two}</result></results></response>"
    )


@pytest.mark.parametrize(
    ("wanted", "body"),
    [("text", "ok\ndial1={uid1}\ndial2={uid2}"), ("html", "<p>ok</p><p>dial1={uid1}</p><p>dial2={uid2}</p>")],
)
async def test_text_and_html_tell_of_the_one_that_answered_first(site, wanted, body):
    site.calls.fail_reasons = {ONE: "Busy"}
    answer = await click(site, Response="yes", showUID="yes", RFormat=wanted)
    second = (await read(site, (await newest(site))["id"]))["results"][1]
    assert body.format(**second) in answer.body.decode()
    assert "batch" not in answer.body.decode()


async def test_an_answer_that_is_overdue_tells_how_the_numbers_stand(site, monkeypatch):
    monkeypatch.setattr(dialup, "ANSWER_MARGIN_SECONDS", -0.8)
    site.calls.pending = True
    answer = await click(site, Response="yes", Timeout="1", RFormat="json")
    told = json.loads(answer.body)
    assert (told["status"], told["reason"]) == ("Fail", "No answer")
    assert [result["status"] for result in told["results"]] == ["ringing", "ringing"]
    assert (await read(site, told["batch"]))["state"] == "running"


# -- /api/v1/batches


async def test_a_batch_is_read_with_one_result_per_number(site):
    site.calls.pending = True
    await click(site, f"{ONE},{TWO},{THREE}")
    batch_id = (await newest(site))["id"]
    await stand(site, batch_id, "ringing", "ringing", "ringing")
    site.calls.first_stages[0].set_result("Busy")
    site.calls.first_stages[1].set_result(None)
    await stand(site, batch_id, "failed", "answered", "ringing")
    batch = await read(site, batch_id)
    assert RFC3339.fullmatch(batch.pop("accepted_at"))
    results = batch.pop("results")
    assert batch == {
        "id": batch_id, "user": "alice", "state": "running", "cancelled_by": None, "numbers": 3, "dial2": "800",
        "set_cid": None, "ended_at": None,
        "counts": {"queued": 0, "ringing": 1, "answered": 1, "failed": 1, "cancelled": 0},
    }  # fmt: skip
    assert [(result["number"], result["reason"], result["record_id"]) for result in results] == [
        (ONE, "Busy", "r1"),
        (TWO, None, "r2"),
        (THREE, None, "r3"),
    ]
    assert [request.uids for request in site.calls.dialled] == [(result["uid1"], result["uid2"]) for result in results]
    listed = await newest(site)
    assert "results" not in listed
    assert (listed["id"], listed["state"]) == (batch_id, "running")


async def test_delete_cancels_and_hangs_up_what_rings(site):
    site.calls.pending = True
    await click(site)
    batch_id = (await newest(site))["id"]
    await stand(site, batch_id, "ringing", "ringing")
    site.calls.first_stages[0].set_result(None)
    await stand(site, batch_id, "answered", "ringing")
    answer = await ask(site, f"/{batch_id}", method="DELETE")
    batch = json.loads(answer.body)
    assert (answer.code, batch["state"], batch["cancelled_by"]) == (200, "cancelled", "request")
    assert site.calls.hung_up == [("acme", "r2", "request")]
    await stand(site, batch_id, "answered", "cancelled")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_other_organisations_batches_are_not_there_just_as_unknown_ones(site, method):
    site.calls.pending = True
    await click(site)
    batch_id = (await newest(site))["id"]
    foreign = await ask(site, f"/{batch_id}", user="carol@other", method=method)
    unknown = await ask(site, f"/{'0' * 32}", user="carol@other", method=method)
    assert (foreign.code, foreign.body) == (404, unknown.body)
    assert json.loads((await ask(site, user="carol@other")).body) == {"items": [], "next": None}
    assert site.calls.hung_up == []


async def test_pages_of_batches_have_a_cursor(site):
    site.store.next = "more"
    assert json.loads((await ask(site, "?cursor=abc")).body) == {"items": [], "next": "more"}
    assert site.store.cursors == ["abc"]


@pytest.mark.parametrize("path", ["", f"/{'0' * 32}"])
async def test_nobody_reads_batches_without_credentials(site, path):
    assert (await site.fetch(f"/api/v1/batches{path}")).code == 401
    assert (await site.fetch(f"/api/v1/batches{path}", method="PUT", body="")).code == 405


async def test_one_that_another_node_dials_is_cancelled_and_says_so(site):
    of_another = BatchRecord("b" * 32, "acme", "alice", (ONE, TWO), "800", None, datetime(2026, 3, 1, tzinfo=UTC))
    await site.store.keep_batch(of_another)
    assert (await ask(site, f"/{of_another.id}", user="carol@other", method="DELETE")).code == 404
    assert (await read(site, of_another.id))["state"] == "running"
    told = await read(site, of_another.id, method="DELETE")
    assert (told["state"], told["cancelled_by"], told["counts"]["cancelled"]) == ("cancelled", "request", 2)
    site.store.error = StoreUnavailableError("the database failed")
    assert (await ask(site, f"/{of_another.id}", method="DELETE")).code == 503
