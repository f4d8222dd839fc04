"""Keys of requests in a real database: begun once, over restarts and nodes, and forgotten after a day."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from sipcore.domain.idempotency import KeptAnswer, Standing
from sipcore.service import idempotency
from sipcore.service.idempotency import Idempotency
from sipcore.store.records import open_store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANSWER = KeptAnswer(200, {"Content-Type": "text/plain; charset=utf-8", "Link": "</x>"}, "Fail: Büsy")
OURS = ("acme", "click-1", "f" * 64)


async def test_the_first_answer_is_there_after_a_restart_for_a_day(store, next_store):
    claim = await store.idempotency.claim(*OURS, NOON)
    await store.idempotency.keep_answer("acme", claim.id, "click-1", ANSWER)
    again = await next_store.idempotency.claim(*OURS, NOON + timedelta(hours=23, minutes=59))
    assert (again.standing, again.answer, again.id) == (Standing.ANSWERED, ANSWER, claim.id)
    later = await next_store.idempotency.claim(*OURS, NOON + timedelta(hours=24))
    assert (later.standing, later.id == claim.id) == (Standing.FIRST, False)


async def test_keys_that_nobody_asks_for_are_forgotten_too(store, sql):
    for number in range(5):
        await store.idempotency.claim("acme", f"old-{number}", "f" * 64, NOON)
    await store.idempotency.claim("acme", "new", "f" * 64, NOON + timedelta(days=2))
    assert await sql("SELECT key FROM idempotency_keys") == [("new",)]


async def test_a_key_is_of_one_organisation_and_of_one_request(store):
    first = await store.idempotency.claim(*OURS, NOON)
    other = await store.idempotency.claim("other", *OURS[1:], NOON)
    assert (first.standing, other.standing) == (Standing.FIRST, Standing.FIRST)
    assert (await store.idempotency.claim("acme", "click-1", "0" * 64, NOON)).fingerprint == OURS[2]


async def test_what_made_nothing_is_forgotten(store):
    claim = await store.idempotency.claim(*OURS, NOON)
    await store.idempotency.drop_key("acme", "another's", "click-1")
    assert (await store.idempotency.claim(*OURS, NOON)).standing is Standing.RESUMED
    await store.idempotency.drop_key("acme", claim.id, "click-1")
    assert (await store.idempotency.claim(*OURS, NOON)).standing is Standing.FIRST


async def test_a_node_takes_over_what_one_that_died_had_begun(store, next_store):
    claim = await store.idempotency.claim(*OURS, NOON)
    taken = await next_store.idempotency.claim(*OURS, NOON)
    assert (taken.standing, taken.id) == (Standing.RESUMED, claim.id)


async def joined(url):
    store = await open_store(url)
    await store.nodes.join(lambda *_: None, lambda: None)
    return store


@pytest.fixture
async def two_nodes(postgresql_url):
    stores = [await joined(postgresql_url) for _ in range(2)]
    yield stores
    for store in stores:
        await store.nodes.leave()
        await store.close()


async def test_of_two_nodes_with_the_same_request_one_begins_it(two_nodes):
    claims = await asyncio.gather(*(store.idempotency.claim(*OURS, NOON) for store in two_nodes))
    assert sorted(claim.standing.name for claim in claims) == ["FIRST", "RUNNING"]
    assert len({claim.id for claim in claims}) == 1


async def test_a_request_waits_for_the_answer_of_the_node_that_carries_it_out(two_nodes, monkeypatch):
    monkeypatch.setattr(idempotency, "LOOK_SECONDS", 0.01)
    first, other = (Idempotency(store.idempotency) for store in two_nodes)
    begun = asyncio.Event()

    async def ask():
        await begun.wait()
        async with other.turn(*OURS, "reqid") as turn:
            return turn.answer

    asking = asyncio.create_task(ask())
    async with first.turn(*OURS, "reqid") as turn:
        begun.set()
        for _ in range(3):
            assert (await two_nodes[1].idempotency.claim(*OURS, datetime.now(UTC))).standing is Standing.RUNNING
        turn.accepted()
        turn.answered(ANSWER)
        assert not asking.done()
    assert await asking == ANSWER


async def test_a_request_whose_node_dies_meanwhile_is_taken_over(two_nodes, monkeypatch):
    monkeypatch.setattr(idempotency, "LOOK_SECONDS", 0.01)
    dying, living = two_nodes
    claim = await dying.idempotency.claim(*OURS, datetime.now(UTC))
    asking = asyncio.create_task(anext(turns(living)))
    dying.nodes._life.terminate()
    while await living.nodes.settle(NOON, [dying.nodes.id]) or not asking.done():  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.01)
    turn = await asking
    assert (turn.id, turn.resumed, turn.answer) == (claim.id, True, None)


async def turns(store):
    async with Idempotency(store.idempotency).turn(*OURS, "reqid") as turn:
        yield turn
