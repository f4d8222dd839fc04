"""Telling webhooks: in order, at least once, and each at its own pace."""

import asyncio
import contextlib
import json
from dataclasses import replace

from event_stories import MemoryEvents, step

from sipcore.domain.directory import Directory, Organisation
from sipcore.domain.public_events import EventType
from sipcore.domain.webhook import Delivery, RetryPolicy, Webhook
from sipcore.service import webhooks
from sipcore.service.calls import LiveDirectory
from sipcore.service.event_log import EventLog
from sipcore.service.webhooks import Webhooks

CRM = Webhook("crm", "https://crm.example", "s")


class Receiver:
    """Answers as scripted, one status for each request; after the script 200."""

    def __init__(self):
        self.asked, self.script = [], []
        self.under_way = self.most_under_way = 0
        self.changed = asyncio.Event()

    async def send(self, webhook, event):
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        self.asked.append((webhook, event))
        self.changed.set()
        answer = self.script.pop(0) if self.script else 200
        if answer == "hang":
            await asyncio.Event().wait()
        return Delivery(answer)

    def calls(self, name="crm"):
        return [json.loads(event.body)["call"] for webhook, event in self.asked if webhook.name == name]

    async def until(self, count):
        async with asyncio.timeout(5):
            while len(self.asked) < count:
                self.changed.clear()
                await self.changed.wait()


class Site:
    def __init__(self, store, *hooks):
        self.store, self.receiver = store, Receiver()
        self.directory = LiveDirectory(Directory())
        self.log = EventLog(store, kept_days=7)
        policy = RetryPolicy(first_seconds=0.0)
        self.webhooks = Webhooks(self.log, store, self.receiver, self.directory, policy)
        self.use(*hooks)

    def use(self, *hooks):
        organisation = Organisation("acme", webhooks={hook.name: hook for hook in hooks})
        self.directory.current = Directory({"acme": organisation})

    async def reload(self, *hooks):
        self.use(*hooks)
        await self.webhooks.configure()


@contextlib.asynccontextmanager
async def running(*hooks, store=None):
    store = store or MemoryEvents()
    site = Site(store, *hooks)
    store.on_stored = site.log.on_stored
    await site.log.start()
    await site.webhooks.configure()
    try:
        yield site
    finally:
        await site.webhooks.stop()
        await site.log.stop()


def calls(*names, **changes):
    return [step(call=name, **changes) for name in names]


async def test_events_are_delivered_in_order_one_at_a_time():
    async with running(CRM) as site:
        await site.store.put(calls(*"abcdef"))
        await site.receiver.until(6)
        assert site.receiver.calls() == list("abcdef")
        assert site.receiver.most_under_way == 1


async def test_a_failed_delivery_is_made_again_before_the_next_event():
    async with running(CRM) as site:
        site.receiver.script = [500, None, 302, 404, 200]
        await site.store.put(calls("a", "b"))
        await site.receiver.until(6)
        assert site.receiver.calls() == [*"aaaaab"]
        assert len({event.id for _, event in site.receiver.asked}) == 2


async def test_each_attempt_is_told_and_which_event_is_on_its_way():
    async with running(CRM) as site:
        attempts = []
        site.webhooks.on_attempt = attempts.append
        assert site.webhooks.delivering() == {("acme", "crm"): None}
        site.receiver.script = [500, 200, "hang"]
        await site.store.put(calls("a", "b"))
        await site.receiver.until(3)
        assert [attempt.status for attempt in attempts] == [500, 200]
        assert site.webhooks.delivering() == {("acme", "crm"): site.store.stored[1].stored_at}


async def test_nothing_is_on_its_way_to_a_webhook_that_has_taken_all_or_wants_no_more():
    async with running(CRM) as site:
        site.receiver.script = [200, 410]
        await site.store.put(calls("a"))
        await site.receiver.until(1)
        assert site.webhooks.delivering() == {("acme", "crm"): None}
        await site.store.put(calls("b"))
        await site.receiver.until(2)
        assert site.webhooks.delivering() == {}


async def test_events_of_other_types_are_passed_over():
    async with running(replace(CRM, types=frozenset({"ended"}))) as site:
        await site.store.put([*calls("a"), *calls("b", kind=EventType.ENDED)])
        await site.receiver.until(1)
        assert site.receiver.calls() == ["b"]


async def test_an_event_that_is_too_old_is_given_up_after_one_more_attempt(time_machine):
    time_machine.move_to(1_700_000_000, tick=True)
    async with running(CRM) as site:
        site.receiver.script = [500, "hang"]
        await site.store.put(calls("a", "b"))
        await site.receiver.until(2)
    time_machine.move_to(1_700_000_000 + 90_000, tick=True)
    async with running(CRM, store=site.store) as later:
        later.receiver.script = [500, 200]
        await later.receiver.until(2)
        assert later.receiver.calls() == ["a", "b"]


async def test_what_was_not_answered_when_the_program_died_is_delivered_again_with_the_same_id():
    async with running(CRM) as site:
        site.receiver.script = [200, "hang"]
        await site.store.put(calls("a", "b", "c"))
        await site.receiver.until(2)
    async with running(CRM, store=site.store) as later:
        await later.receiver.until(2)
        assert later.receiver.calls() == ["b", "c"]
        assert later.receiver.asked[0][1] == site.receiver.asked[1][1]


async def test_a_receiver_that_hangs_holds_up_nobody_else():
    other = replace(CRM, name="other")
    async with running(CRM, other) as site:
        site.receiver.script = ["hang"]
        await site.store.put(calls("a"))
        await site.receiver.until(2)
        await site.store.put(calls("b"))
        await site.receiver.until(3)
        assert site.receiver.asked[2][0] == site.receiver.asked[1][0]


async def test_a_webhook_that_is_gone_is_left_alone_until_a_reload():
    async with running(CRM) as site:
        site.receiver.script = [410]
        await site.store.put(calls("a"))
        await site.receiver.until(1)
        await site.store.put(calls("b"))
        assert await site.log.after("acme", site.store.stored[0].id, 5)
        assert site.receiver.calls() == ["a"]
        await site.reload(CRM)
        await site.receiver.until(3)
        assert site.receiver.calls() == ["a", "a", "b"]


async def test_a_new_webhook_is_told_what_follows_and_one_that_left_is_forgotten():
    new = replace(CRM, name="new")
    async with running(CRM) as site:
        await site.store.put(calls("a"))
        await site.store.until(lambda: site.store.places["acme", "crm"] == site.store.stored[0].id)
        await site.reload(new)
        assert set(site.store.places) == {("acme", "new")}
        await site.store.put(calls("b"))
        await site.receiver.until(2)
        assert (site.receiver.calls("crm"), site.receiver.calls("new")) == (["a"], ["b"])


async def test_a_changed_address_gets_what_the_old_one_did_not_take():
    moved = replace(CRM, url="https://new.example")
    async with running(CRM) as site:
        site.receiver.script = ["hang"]
        await site.store.put(calls("a"))
        await site.receiver.until(1)
        await site.reload(moved)
        await site.receiver.until(2)
        assert [webhook for webhook, _ in site.receiver.asked] == [CRM, moved]
        assert site.receiver.calls() == ["a", "a"]


async def test_a_database_that_is_away_delays_and_loses_nothing(monkeypatch):
    monkeypatch.setattr(webhooks, "DATABASE_RETRY_SECONDS", 0)
    monkeypatch.setattr("sipcore.service.event_log.RETRY_SECONDS", 0.0)
    async with running(CRM) as site:
        await site.store.put(calls("a"))
        await site.store.until(lambda: site.store.places["acme", "crm"] == site.store.stored[0].id)
        await site.store.put(calls("b"))
        site.store.failures = 2
        await site.store.until(lambda: site.store.places["acme", "crm"] == site.store.stored[1].id)
        assert set(site.receiver.calls()) == {"a", "b"}
