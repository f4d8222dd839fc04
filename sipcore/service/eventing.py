"""Everything about events, started and stopped in the right order."""

from __future__ import annotations

from sipcore.service.calls import LiveDirectory
from sipcore.service.event_log import EventLog
from sipcore.service.event_recorder import EventRecorder
from sipcore.service.event_store import EventStore
from sipcore.service.nodes import NodeStore
from sipcore.service.webhooks import Webhooks, WebhookSender


class Eventing:
    """From what happens to whoever is told of it.

    Args:
        store: keeps the events.
        sender: delivers to webhooks.
        directory: organisations in force.
        kept_days: how many days events are kept.
        nodes: who else may store and tell events; None: nobody.

    Attributes:
        recorder: takes what happens; before the start it keeps it.
        log: is followed by streams.
        webhooks: are told.
    """

    def __init__(
        self,
        store: EventStore,
        sender: WebhookSender,
        directory: LiveDirectory,
        *,
        kept_days: int,
        nodes: NodeStore | None = None,
    ) -> None:
        self._store = store
        self.recorder = EventRecorder(store, directory)
        self.log = EventLog(store, kept_days=kept_days, shared=nodes is not None and nodes.shared)
        self.webhooks = Webhooks(self.log, store, sender, directory, nodes=nodes)

    async def start(self) -> None:
        """Begin with what was not delivered yet.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        self._store.on_stored = self.log.on_stored
        await self.log.start()
        self.recorder.start()
        await self.webhooks.configure()

    async def stop(self) -> None:
        """Store what has happened; what is not delivered yet is after the next start."""
        await self.recorder.stop()
        await self.webhooks.stop()
        await self.log.stop()
