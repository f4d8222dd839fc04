"""Telling webhooks: each one every event that it wants, at least once, in their order, one at a time.

How far a webhook has been told is kept in the database, so a program that was killed goes on where it was.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import structlog

from sipcore.domain.errors import ShuttingDownError, StoreUnavailableError
from sipcore.domain.public_events import StoredEvent
from sipcore.domain.webhook import Delivery, GiveUp, RetryPolicy, Webhook
from sipcore.service.calls import LiveDirectory
from sipcore.service.event_log import EventLog
from sipcore.service.event_store import EventStore
from sipcore.service.nodes import NodeStore

_log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 3600.0
"""How long a wait for events is, before the next one begins."""
DATABASE_RETRY_SECONDS = 2.0
HOLD_RETRY_SECONDS = 2.0
"""How often it is tried to take over from a node that has died."""

Key = tuple[str, str]
"""Organisation and name of a webhook."""


class WebhookSender(Protocol):
    """Delivers one event once."""

    async def send(self, webhook: Webhook, event: StoredEvent) -> Delivery:
        """POST an event; whatever goes wrong is in what it returns."""
        ...


def _lock_of(key: Key) -> str:
    return f"webhook {key[0]} {key[1]}"


class _GoneError(Exception):
    """The receiver wants no more."""


class Webhooks:
    """Runs a delivery for each webhook of the directory.

    Args:
        log: the events.
        store: keeps how far each was told.
        sender: delivers.
        directory: organisations in force.
        policy: when a delivery is tried again.
        nodes: of which one tells each webhook; None: this one is alone.

    Attributes:
        on_attempt: told how each attempt to deliver went.
    """

    def __init__(
        self,
        log: EventLog,
        store: EventStore,
        sender: WebhookSender,
        directory: LiveDirectory,
        policy: RetryPolicy | None = None,
        *,
        nodes: NodeStore | None = None,
    ) -> None:
        self._log = log
        self._store = store
        self._sender = sender
        self._directory = directory
        self._policy = policy or RetryPolicy()
        self.on_attempt: Callable[[Delivery], None] = lambda _: None
        self._nodes = nodes
        self._running: dict[Key, tuple[Webhook, asyncio.Task[None]]] = {}
        self._delivering: dict[Key, StoredEvent] = {}

    def delivering(self) -> dict[Key, float | None]:
        """Tell for each webhook when the event was stored that is being delivered to it (Unix time), None: all are."""
        stored = {key: event.stored_at for key, event in self._delivering.items()}
        return {key: stored.get(key) for key, (_, task) in self._running.items() if not task.done()}

    async def configure(self) -> None:
        """Take the directory over: at the start, and after each reload.

        A new webhook is told what happens from now on. One that was told to stop (410) is tried again. Of one that is
        gone from the settings nothing is kept.

        Raises:
            StoreUnavailableError: the database does not answer; webhooks go on as they were.
        """
        known = await self._store.cursors()
        wanted = {
            (organisation.name, name): webhook
            for organisation in self._directory.current.organisations.values()
            for name, webhook in organisation.webhooks.items()
        }
        for key in set(wanted) - set(known):
            await self._store.begin_cursor(*key, self._log.newest)
        for key in set(known) - set(wanted):
            await self._store.drop_cursor(*key)
        for key in [key for key, (webhook, task) in self._running.items() if wanted.get(key) != webhook or task.done()]:
            await self._end(key)
        for key in set(wanted) - set(self._running):
            self._begin(key, wanted[key])

    def start_over(self) -> None:
        """End what is under way, and go on with what this node is to tell then: another may have taken it over."""
        for key, (webhook, task) in list(self._running.items()):
            task.cancel()
            self._begin(key, webhook)

    def _begin(self, key: Key, webhook: Webhook) -> None:
        task = asyncio.get_running_loop().create_task(self._run(key, webhook))
        self._running[key] = webhook, task

    async def stop(self) -> None:
        """End all deliveries; what was on its way is delivered again after the next start."""
        for key in list(self._running):
            await self._end(key)

    async def _end(self, key: Key) -> None:
        _, task = self._running.pop(key)
        self._delivering.pop(key, None)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if self._nodes is not None:
            await self._nodes.release(_lock_of(key))

    async def _run(self, key: Key, webhook: Webhook) -> None:
        organisation, name = key
        while True:
            try:
                if self._nodes is None or await self._nodes.hold(_lock_of(key)):
                    await self._tell(organisation, webhook)
                await asyncio.sleep(HOLD_RETRY_SECONDS)
            except StoreUnavailableError as error:
                _log.error("webhook waits for the database", organisation=organisation, webhook=name, error=str(error))
                await asyncio.sleep(DATABASE_RETRY_SECONDS)
            except _GoneError:
                _log.error("webhook wants no more events (410); a reload of the settings tries again",
                           organisation=organisation, webhook=name)  # fmt: skip
                return
            except ShuttingDownError:
                return

    async def _tell(self, organisation: str, webhook: Webhook) -> None:
        """Deliver from where the webhook has come to, and go on."""
        cursors = await self._store.cursors()
        # A node whose settings do not have this webhook yet may have dropped it.
        told = cursors.get((organisation, webhook.name), self._log.newest)
        while True:
            for event in await self._log.after(organisation, told, PATIENCE_SECONDS):
                if webhook.wants(event.type):
                    self._delivering[organisation, webhook.name] = event
                    await self._deliver(webhook, event)
                    await self._store.save_cursor(organisation, webhook.name, event.id)
                    del self._delivering[organisation, webhook.name]
                told = event.id

    async def _deliver(self, webhook: Webhook, event: StoredEvent) -> None:
        failures = 0
        facts: dict[str, object] = {
            "organisation": event.organisation,
            "webhook": webhook.name,
            "event_id": event.public_id,
        }
        while True:
            delivery = await self._sender.send(webhook, event)
            self.on_attempt(delivery)
            if delivery.delivered:
                _log.debug("event delivered", **facts, failures=failures)
                return
            if delivery.gone:
                raise _GoneError
            failures += 1
            now = time.time()
            following = self._policy.after(failures, event.stored_at, now, random.random())  # noqa: S311 - no secret
            facts |= {"status": delivery.status, "problem": delivery.problem}
            if isinstance(following, GiveUp):
                _log.error("event not delivered; given up", **facts, failures=failures)
                return
            _log.warning("event not delivered; trying again", **facts, failures=failures)
            await asyncio.sleep(max(following.moment - now, 0.0))
