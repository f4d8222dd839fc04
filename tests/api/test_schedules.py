"""Future calls: `dialup` with Date, Maxretry, Retrytime and ident, and `/api/v1/schedules`."""

import base64
import json
import urllib.parse
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio
from lxml import etree

from sipcore.store.records import open_store

NEW_YORK = ZoneInfo("America/New_York")
ALICE = {"Authorization": "Basic " + base64.b64encode(b"alice@acme:s3cret").decode()}
CAROL = {"Authorization": "Basic " + base64.b64encode(b"carol@other:s3cret").decode()}
JSON = {"Content-Type": "application/json"}
REFUSED = b"error: user, pass, org or ident is wrong"


@pytest_asyncio.fixture
async def schedule_store(tmp_path):
    store = await open_store(f"sqlite:///{tmp_path}/calls.db")
    yield store.schedules
    await store.close()


def local(**later):
    moment = (datetime.now(UTC) + timedelta(**later)).replace(second=0, microsecond=0)
    return moment.astimezone(NEW_YORK).strftime("%Y%m%d%H%M"), moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def future(**changes):
    date, _ = local(days=1)
    return {"Date": date, "Maxretry": "2", "Retrytime": "60", "ident": "org-secret"} | changes


async def accepted(site, **changes):
    """Accept one without user and password, return its id."""
    answer = await site.dialup(future(RFormat="json", **changes), without="user")
    assert answer.code == 400
    given = {"org": "acme", "dial1": "101", "dial2": "+12025550123", "RFormat": "json"} | future(**changes)
    answer = await site.fetch("/API/dialup.php?" + "&".join(f"{k}={v.replace('+', '%2B')}" for k, v in given.items()))
    assert answer.code == 200, answer.body
    return json.loads(answer.body)["id"]


async def show(site, schedule_id, headers=ALICE, **request):
    return await site.fetch(f"/api/v1/schedules/{schedule_id}", headers=headers, **request)


async def patch(site, schedule_id, changes, headers=ALICE):
    return await show(site, schedule_id, headers | JSON, method="PATCH", body=json.dumps(changes))


async def test_a_future_call_is_accepted_and_nothing_is_dialled(site):
    date, moment = local(days=1)
    answer = await site.dialup(future(RFormat="json", Date=date))
    told = json.loads(answer.body)
    assert (answer.code, told["status"], told["scheduled"]) == (200, "ok", moment)
    assert answer.headers["Link"] == f'</api/v1/schedules/{told["id"]}>; rel="monitor"'
    assert site.calls.dialled == []
    shown = json.loads((await show(site, told["id"])).body)
    assert (shown["state"], shown["user"], shown["retries"], shown["retry_seconds"]) == ("pending", "alice", 2, 60)
    assert shown["date"] == shown["next_at"] == moment.replace("Z", ".000Z")
    assert shown["results"] == [
        {"number": "101", "status": "waiting", "next_at": shown["date"], "reason": None, "attempts": []}
    ]


async def test_the_answer_has_time_and_id_in_every_format(site):
    date, moment = local(days=1)
    answers = {kind: await site.dialup(future(RFormat=kind, Date=date)) for kind in ("text", "html", "xml", "json")}
    assert [answer.code for answer in answers.values()] == [200] * 4
    ok, scheduled, of_id = answers["text"].body.decode().split("\n")
    assert (ok, scheduled, of_id[:3], len(of_id)) == ("ok", f"scheduled={moment}", "id=", 35)
    response = etree.fromstring(answers["xml"].body)
    assert [child.tag for child in response] == ["status", "scheduled", "id"]
    assert response.findtext("scheduled") == moment
    assert f"<p>scheduled={moment}</p><p>id=" in answers["html"].body.decode()
    assert list(json.loads(answers["json"].body)) == ["status", "scheduled", "id"]


async def test_org_and_ident_authorise_without_a_user(site):
    shown = json.loads((await show(site, await accepted(site))).body)
    assert shown["user"] is None


@pytest.mark.parametrize(
    "wrong", [{"ident": "org-secre"}, {"ident": "x"}, {"org": "nobody"}, {"org": "other"}, {"pass": "wrong"}]
)
async def test_whatever_is_wrong_about_who_asks_has_one_answer(site, wrong):
    answer = await site.dialup(future() | wrong)
    assert (answer.code, answer.body) == (401, REFUSED)


@pytest.mark.parametrize("org", ["acme", "nobody"])
async def test_a_wrong_ident_without_a_user_has_the_same_answer_as_a_wrong_organisation(site, org):
    date, _ = local(days=1)
    query = f"org={org}&dial1=101&dial2=102&Date={date}&Maxretry=0&Retrytime=10&ident=wrong"
    answer = await site.fetch(f"/API/dialup.php?{query}")
    assert (answer.code, answer.body) == (401, REFUSED)


async def test_an_organisation_may_want_a_user_beside_its_ident(site, directory):
    object.__setattr__(directory.organisations["acme"], "future_calls_need_user", True)
    date, _ = local(days=1)
    alone = f"org=acme&dial1=101&dial2=102&Date={date}&Maxretry=0&Retrytime=10&ident=org-secret"
    assert (await site.fetch(f"/API/dialup.php?{alone}")).code == 401
    assert (await site.fetch(f"/API/dialup.php?{alone}", headers=ALICE)).code == 200


@pytest.mark.parametrize("name", ["Date", "Maxretry", "Retrytime", "ident"])
async def test_one_of_the_four_names_wants_the_others(site, name):
    answer = await site.dialup({name: future()[name]})
    missing = [other for other in future() if other != name]
    assert answer.code == 400
    assert answer.body.decode().startswith(f"error: {missing[0]}: is missing: a future call needs")
    assert answer.body.decode().endswith(f"(also missing: {', '.join(missing[1:])})")


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (["org"], "org: is missing"),
        (["dial2"], "dial2: is missing"),
        (["org", "dial1"], "org: is missing (also missing: dial1)"),
    ],
)
async def test_a_login_is_not_what_a_future_call_is_missing(site, missing, told):
    given = {"org": "acme", "dial1": "101", "dial2": "102"} | future()
    query = urllib.parse.urlencode({name: value for name, value in given.items() if name not in missing})
    answer = await site.fetch(f"/API/dialup.php?{query}")
    assert (answer.code, answer.body.decode()) == (400, f"error: {told}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Date", "202601"),
        ("Date", "200101011200"),
        ("Date", "soon"),
        ("Maxretry", "-1"),
        ("Maxretry", "101"),
        ("Maxretry", "1.5"),
        ("Retrytime", "9"),
        ("Retrytime", "86401"),
        ("Retrytime", ""),
        ("ident", ""),
        ("dial1", "x"),
        ("dial2", "nope"),
    ],
)
async def test_a_value_that_cannot_be_is_named_and_nothing_is_kept(site, name, value):
    answer = await site.dialup(future() | {name: value, "RFormat": "json"})
    assert (answer.code, json.loads(answer.body)["parameter"]) == (400, name)
    assert json.loads((await site.fetch("/api/v1/schedules", headers=ALICE)).body)["items"] == []


async def test_a_caller_identity_that_is_not_the_organisations_is_refused_at_once(site):
    answer = await site.dialup(future(SetCID="+13105550111"))
    assert answer.code == 403


async def test_several_numbers_are_one_future_call_with_each_its_own_result(site):
    numbers = {"dial1": "+12025550101,+12025550102;+12025550101", "dial2": "800"}
    of_all = json.loads((await show(site, await accepted(site, **numbers))).body)
    assert [result["number"] for result in of_all["results"]] == ["+12025550101", "+12025550102"]
    answer = await site.dialup(future(dial1="+12025550101,+12025550102"))
    assert answer.code == 400
    assert b"dial2" in answer.body


async def test_pages_show_the_organisations_own_newest_first(site):
    ids = [await accepted(site) for _ in range(2)]
    page = json.loads((await site.fetch("/api/v1/schedules", headers=ALICE)).body)
    assert {item["id"] for item in page["items"]} == set(ids)
    assert page["next"] is None
    assert json.loads((await site.fetch("/api/v1/schedules", headers=CAROL)).body)["items"] == []
    assert (await site.fetch("/api/v1/schedules?cursor=x", headers=ALICE)).code == 400


async def test_unknown_ids_and_those_of_others_are_alike(site):
    schedule_id = await accepted(site)
    answers = []
    for given, headers in ((schedule_id, CAROL), ("0" * 32, ALICE)):
        answers += [
            await show(site, given, headers),
            await show(site, given, headers, method="DELETE"),
            await patch(site, given, {"retries": 1}, headers),
        ]
    assert {(answer.code, answer.body) for answer in answers} == {(404, answers[0].body)}
    assert json.loads((await show(site, schedule_id)).body)["state"] == "pending"


async def test_one_is_made_through_the_api(site):
    wanted = {"dial1": ["+12025550101", "+12025550102"], "dial2": "800", "date": "2099-01-01T12:00:00+02:00"}
    answer = await site.fetch("/api/v1/schedules", headers=ALICE | JSON, method="POST", body=json.dumps(wanted))
    made = json.loads(answer.body)
    assert (answer.code, answer.headers["Location"]) == (201, f"/api/v1/schedules/{made['id']}")
    assert (made["date"], made["numbers"], made["retries"], made["user"]) == ("2099-01-01T10:00:00.000Z", 2, 0, "alice")


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"date": "200101011200"}, "date"),
        ({"date": None}, "date"),
        ({"retries": 101}, "retries"),
        ({"retries": "2"}, "retries"),
        ({"retry_seconds": 9}, "retry_seconds"),
        ({"ring_seconds": 0}, "ring_seconds"),
        ({"dial1": []}, "dial1"),
        ({"dial1": "x"}, "dial1"),
        ({"dial2": None}, "dial2"),
        ({"set_cid": ""}, "set_cid"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_the_api_is_sent_wrong_is_named(site, changes, parameter):
    wanted = {"dial1": "101", "dial2": "+12025550123", "date": "2099-01-01T12:00:00Z"} | changes
    answer = await site.fetch("/api/v1/schedules", headers=ALICE | JSON, method="POST", body=json.dumps(wanted))
    assert (answer.code, json.loads(answer.body)["parameter"]) == (400, parameter)


async def test_a_caller_identity_that_is_not_allowed_has_the_name_that_bodies_have_for_it(site):
    body = json.dumps({"dial1": "101", "dial2": "102", "date": "2099-01-01T12:00:00Z", "set_cid": "+13105550111"})
    answer = await site.fetch("/api/v1/schedules", headers=ALICE | JSON, method="POST", body=body)
    assert (answer.code, json.loads(answer.body)["parameter"]) == (403, "set_cid")


@pytest.mark.parametrize("body", ["", "[]", "{", '{"dial1": "101", "dial1": 5}'])
async def test_a_body_that_is_no_object_is_refused(site, body):
    answer = await site.fetch("/api/v1/schedules", headers=ALICE | JSON, method="POST", body=body)
    assert answer.code == 400


async def test_a_pending_one_is_changed_where_it_is_asked_to(site):
    schedule_id = await accepted(site, SetCID="+12025550100")
    changes = {"date": "209901011200", "retries": 0, "dial1": "+12025550109"}
    changed = json.loads((await patch(site, schedule_id, changes)).body)
    assert (changed["date"], changed["retries"], changed["retry_seconds"]) == ("2099-01-01T17:00:00.000Z", 0, 60)
    assert [result["number"] for result in changed["results"]] == ["+12025550109"]
    assert (changed["dial2"], changed["set_cid"]) == ("+12025550123", "+12025550100")
    assert json.loads((await patch(site, schedule_id, {"set_cid": ""})).body)["set_cid"] is None


async def test_a_change_that_cannot_be_changes_nothing(site):
    schedule_id = await accepted(site)
    before = (await show(site, schedule_id)).body
    for changes, status in (({"dial1": "x"}, 400), ({"set_cid": "+13105550111"}, 403), ({"date": "x"}, 400)):
        assert (await patch(site, schedule_id, changes)).code == status
    assert (await show(site, schedule_id)).body == before


async def test_a_cancelled_one_tells_so_and_is_not_changed_any_more(site):
    schedule_id = await accepted(site)
    for _ in range(2):
        cancelled = json.loads((await show(site, schedule_id, method="DELETE")).body)
        assert (cancelled["state"], cancelled["cancelled_by"]) == ("cancelled", "request")
        assert [result["status"] for result in cancelled["results"]] == ["cancelled"]
    answer = await patch(site, schedule_id, {"retries": 1})
    assert (answer.code, json.loads(answer.body)["error_id"]) == (409, "schedule_running")
