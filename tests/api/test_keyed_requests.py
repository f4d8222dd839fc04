"""Requests that name themselves: carried out once, answered as often as they are sent."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from sipcore.domain.batch_record import BatchRecord
from sipcore.domain.causes import Disposition
from sipcore.domain.errors import LimitReachedError, StoreUnavailableError
from sipcore.domain.record import CallRecord, LegRecord
from sipcore.store.records import open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WAITED_FOR = {"Response": "yes", "showUID": "yes", "RFormat": "json", "reqid": "click-1"}


def told(answer):
    return answer.code, answer.body, answer.headers["Content-Type"]


@pytest.mark.parametrize("query", [{"reqid": "click-1"}, WAITED_FOR, {**WAITED_FOR, "RFormat": "xml"}])
async def test_a_request_that_is_sent_again_gets_the_first_answer_and_dials_nothing(site, query):
    first, again = await site.dialup(query), await site.dialup(query)
    assert told(again) == told(first)
    assert first.code == 200
    assert ("Idempotency-Replayed" in first.headers, again.headers["Idempotency-Replayed"]) == (False, "true")
    assert len(site.calls.dialled) == 1


async def test_the_first_answer_comes_again_also_when_it_was_that_the_call_failed(site):
    site.calls.fail_reason = "Busy"
    first = await site.dialup(WAITED_FOR)
    site.calls.fail_reason = None
    assert told(await site.dialup(WAITED_FOR)) == told(first)
    assert json.loads(first.body)["reason"] == "Busy"


@pytest.mark.parametrize("header", ["click-1", '"click-1"'])
async def test_the_header_names_a_request_as_the_parameter_does(site, header):
    await site.dialup(headers={"Idempotency-Key": header})
    again = await site.dialup(headers={"Idempotency-Key": header})
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await site.dialup({"reqid": "click-1"})).headers["Idempotency-Replayed"] == "true"
    assert len(site.calls.dialled) == 1


async def test_many_numbers_are_one_request(site):
    query = {**WAITED_FOR, "dial1": "101,102", "dial2": "800"}
    first, again = await site.dialup(query), await site.dialup(query)
    assert told(again) == told(first)
    assert again.headers["Link"] == first.headers["Link"]
    assert {request.dial1 for request in site.calls.dialled} == {"101", "102"}
    assert len(site.store.batches) == 1


@pytest.mark.parametrize(
    "change", [{"dial2": "102"}, {"Timeout": "30"}, {"SetCID": "102"}, {"RFormat": "json"}, {"Response": "yes"}]
)
async def test_another_request_under_the_same_name_is_refused(site, change):
    await site.dialup({"reqid": "click-1"})
    answer = await site.dialup({"reqid": "click-1", **change})
    assert answer.code == 422
    assert b"reqid" in answer.body
    assert len(site.calls.dialled) == 1
    header = await site.dialup(change, headers={"Idempotency-Key": "click-1"})
    assert (header.code, b"Idempotency-Key" in header.body) == (422, True)


async def test_another_request_is_refused_at_once_while_the_first_is_carried_out(site):
    site.calls.pending = True
    first = asyncio.create_task(site.dialup(WAITED_FOR))
    await site.calls.arrived.wait()
    assert (await site.dialup({**WAITED_FOR, "dial2": "102"})).code == 422
    site.calls.first_stages[0].set_result(None)
    assert (await first).code == 200


async def test_another_name_and_another_organisation_are_other_requests(site):
    for query in ({"reqid": "a"}, {"reqid": "b"}, {"reqid": "a", "org": "other", "user": "carol"}):
        assert "Idempotency-Replayed" not in (await site.dialup(query)).headers
    assert len(site.calls.dialled) == 3


async def test_a_request_that_comes_again_while_the_first_is_carried_out_waits_for_its_answer(site):
    site.calls.pending = True
    first, again = (asyncio.create_task(site.dialup(WAITED_FOR)) for _ in range(2))
    await site.calls.arrived.wait()
    site.calls.first_stages[0].set_result("No answer")
    assert told(await first) == told(await again)
    assert len(site.calls.dialled) == 1


async def test_the_answer_is_kept_for_a_client_that_has_gone_away(site):
    site.calls.pending = True
    query = "user=alice&pass=s3cret&org=acme&dial1=101&dial2=102&Response=yes&reqid=click-1"
    _reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(f"GET /API/dialup.php?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await site.calls.arrived.wait()
    writer.close()
    await writer.wait_closed()
    again = asyncio.create_task(site.fetch(f"/API/dialup.php?{query}"))
    site.calls.first_stages[0].set_result("Busy")
    assert (await again).body == b"Fail: Busy"
    assert len(site.calls.dialled) == 1


@pytest.mark.parametrize("error", [LimitReachedError("max_calls", 5), StoreUnavailableError("away")])
async def test_a_request_that_was_refused_may_be_sent_again_and_dials_then(site, error):
    site.calls.error = error
    assert (await site.dialup({"reqid": "click-1"})).code == error.http_status
    site.calls.error = None
    assert (await site.dialup({"reqid": "click-1"})).code == 200
    assert len(site.calls.dialled) == 2


async def test_a_wrong_password_gets_no_kept_answer(site):
    await site.dialup({"reqid": "click-1"})
    assert (await site.dialup({"reqid": "click-1", "pass": "wrong"})).code == 401


@pytest.mark.parametrize("reqid", ["", "x" * 129, "ä", "a\nb"])
async def test_a_malformed_name_is_told(site, reqid):
    answer = await site.dialup({"reqid": reqid})
    assert (answer.code, answer.body.startswith(b"error: reqid: ")) == (400, True)
    assert site.calls.dialled == []


class TestAfterTheNodeThatCarriedItOutHasDied:
    async def claimed_as(self, site, query, made):
        """Have a node begin the request, with this id for what it makes, and get no further."""
        site.calls.error = site.store.error = StoreUnavailableError("died")
        drop, site.requests.drop_key = site.requests.drop_key, cannot
        await site.dialup(query)
        site.requests.drop_key, site.calls.error, site.store.error = drop, None, None
        ((place, claim),) = site.requests.claims.items()
        site.requests.claims[place] = replace(claim, id=made)
        site.calls.dialled.clear()

    async def test_the_record_tells_what_became_of_its_call(self, site):
        made = "a" * 32
        await self.claimed_as(site, WAITED_FOR, made)
        legs = (LegRecord("uid-a", "101"), LegRecord("uid-b", "102", party="dial2"))
        record = CallRecord(made, "acme", "alice", "101", "102", None, NOON, legs)
        over = replace(record, ended_at=NOON, disposition=Disposition.INTERRUPTED, ended_by="restart")
        site.store.records.append(over)
        answers = [json.loads((await site.dialup(WAITED_FOR)).body) for _ in range(2)]
        assert answers == [{"status": "Fail", "reason": "Unreachable", "dial1": "uid-a", "dial2": "uid-b"}] * 2
        assert site.calls.dialled == []

    async def test_the_batch_tells_what_became_of_its_numbers(self, site):
        query = {**WAITED_FOR, "dial1": "101,102", "dial2": "800"}
        made = "b" * 32
        await self.claimed_as(site, query, made)
        site.store.batches[:] = [
            BatchRecord(made, "acme", "alice", ("101", "102"), "800", None, NOON, "restart", NOON),
        ]
        answer = await site.dialup(query)
        assert json.loads(answer.body)["status"] == "Fail"
        assert made in answer.headers["Link"]
        assert site.calls.dialled == []

    async def test_what_it_had_not_dialled_is_dialled_under_the_same_id(self, site):
        await self.claimed_as(site, WAITED_FOR, "c" * 32)
        assert json.loads((await site.dialup(WAITED_FOR)).body)["status"] == "ok"
        assert [request.id for request in site.calls.dialled] == ["c" * 32]


async def cannot(*_):
    raise StoreUnavailableError("died")


CALL = {"dial1": "101", "dial2": "+12025550123"}
MANY = {"dial1": ["101", "102"], "dial2": "800"}


class TestTheJsonApi:
    async def post(self, site, resource, body, key="click-1"):
        headers = {"Content-Type": "application/json", "Authorization": self.login, "Idempotency-Key": key}
        return await site.fetch(f"/api/v1/{resource}", method="POST", headers=headers, body=json.dumps(body))

    @pytest.fixture(autouse=True)
    def records(self, site, monkeypatch, bearer_key):
        """Have a record of each call that is placed."""
        self.login = f"Bearer {bearer_key}"
        dial = site.calls.dial

        async def with_record(request):
            accepted = await dial(request)
            site.store.records.append(record_of(request.id or accepted.id))
            return replace(accepted, id=request.id or accepted.id)

        monkeypatch.setattr(site.calls, "dial", with_record)

    @pytest.mark.parametrize(("resource", "body"), [("calls", CALL), ("batches", MANY)])
    async def test_what_is_made_is_made_once(self, site, resource, body):
        first, again = [await self.post(site, resource, body) for _ in range(2)]
        assert first.code == 201
        assert told(again) == told(first)
        assert again.headers["Location"] == first.headers["Location"]
        assert again.headers["Idempotency-Replayed"] == "true"
        (claim,) = site.requests.claims.values()
        assert json.loads(first.body)["id"] == claim.id

    async def test_another_body_under_the_same_name_is_a_problem_that_names_the_header(self, site):
        await self.post(site, "calls", CALL)
        answer = await self.post(site, "calls", {**CALL, "dial2": "102"})
        problem = json.loads(answer.body)
        assert (answer.code, problem["error_id"], problem["parameter"]) == (
            422,
            "idempotency_key_reused",
            "Idempotency-Key",
        )
        assert len(site.calls.dialled) == 1

    async def test_a_call_whose_record_could_not_be_read_is_not_placed_again(self, site, monkeypatch):
        with monkeypatch.context() as database:
            database.setattr(site.store, "get", cannot)
            assert (await self.post(site, "calls", CALL)).code == 503
        assert (await self.post(site, "calls", CALL)).code == 201
        assert len(site.calls.dialled) == 1

    async def test_a_call_that_a_dead_node_placed_is_told_from_its_record(self, site):
        site.calls.error = StoreUnavailableError("died")
        site.requests.drop_key, drop = cannot, site.requests.drop_key
        await self.post(site, "calls", CALL)
        site.requests.drop_key, site.calls.error = drop, None
        site.calls.dialled.clear()
        (claim,) = site.requests.claims.values()
        over = replace(record_of(claim.id), ended_at=NOON, disposition=Disposition.INTERRUPTED, ended_by="restart")
        site.store.records.append(over)
        answer = json.loads((await self.post(site, "calls", CALL)).body)
        assert (answer["id"], answer["first_stage"]) == (claim.id, {"status": "Fail", "reason": "Unreachable"})
        assert site.calls.dialled == []


LATER = {"dial1": ["101"], "dial2": "+12025550123", "date": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
CAMPAIGN = {"name": "spring", "dial2": "800"}


@pytest.mark.parametrize(("resource", "body"), [("schedules", LATER), ("campaigns", CAMPAIGN)])
class TestWhatIsDialledLater:
    """Over a real database, which holds what they make."""

    @pytest_asyncio.fixture
    async def database(self, tmp_path):
        store = await open_store(f"sqlite:///{tmp_path}/calls.db")
        yield store
        await store.close()

    @pytest.fixture
    def schedule_store(self, database):
        return database.schedules

    @pytest.fixture
    def campaign_store(self, database):
        return database.campaigns

    async def post(self, site, resource, body, key="click-1"):
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        login = {"auth_username": "alice@acme", "auth_password": "s3cret"}
        return await site.fetch(f"/api/v1/{resource}", method="POST", headers=headers, body=json.dumps(body), **login)

    async def ids(self, database, resource):
        return [each.id for each in (await getattr(database, resource).find("acme")).items]

    async def test_is_made_once(self, site, database, resource, body):
        first, again = [await self.post(site, resource, body) for _ in range(2)]
        assert first.code == 201
        assert told(again) == told(first)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert await self.ids(database, resource) == [json.loads(first.body)["id"]]

    async def test_is_another_under_another_name(self, site, database, resource, body):
        for key in ("click-1", "click-2"):
            await self.post(site, resource, body, key)
        assert len(await self.ids(database, resource)) == 2

    async def test_is_refused_with_another_body(self, site, database, resource, body):
        await self.post(site, resource, body)
        assert (await self.post(site, resource, {**body, "ring_seconds": 7})).code == 422
        assert len(await self.ids(database, resource)) == 1

    async def test_is_found_when_the_node_that_made_it_has_died(self, site, database, resource, body, monkeypatch):
        with monkeypatch.context() as died:
            died.setattr(site.requests, "keep_answer", cannot)
            first = await self.post(site, resource, body)
        again = await self.post(site, resource, body)
        assert (again.code, json.loads(again.body)) == (201, json.loads(first.body))
        assert await self.ids(database, resource) == [json.loads(first.body)["id"]]


def record_of(call_id):
    legs = (LegRecord("uid-a", "101"), LegRecord("uid-b", "102", party="dial2"))
    return CallRecord(call_id, "acme", "crm", "101", "102", None, NOON, legs)
