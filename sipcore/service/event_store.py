"""Where events are kept: all that the service knows of the database about them. `sipcore.store` implements it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sipcore.domain.public_events import PublicEvent, StoredEvent


class EventStore(Protocol):
    """Keeps events in their order. Every method raises `StoreUnavailableError` when the database does not answer.

    That a call was accepted, and that it ended, is stored by the record store in the transaction of the record.

    Attributes:
        on_stored: called after events were stored, whatever they were stored with.
    """

    on_stored: Callable[[], None]

    async def put(self, events: Sequence[PublicEvent]) -> None:
        """Store events in their order, behind all others."""
        ...

    async def after(self, event_id: int, organisation: str | None, limit: int) -> tuple[StoredEvent, ...]:
        """Read at most `limit` events behind one that need not exist, oldest first; of one organisation or of all."""
        ...

    async def newest(self) -> int:
        """Return the id of the newest event, 0 when there is none."""
        ...

    async def purge(self, before: int, limit: int) -> int:
        """Delete at most `limit` events with ids before one, oldest first; return how many."""
        ...

    async def cursors(self) -> Mapping[tuple[str, str], int]:
        """Read how far each webhook (organisation, name) has been told: the id of an event."""
        ...

    async def begin_cursor(self, organisation: str, webhook: str, event_id: int) -> None:
        """Keep where a webhook begins, unless it has begun already."""
        ...

    async def save_cursor(self, organisation: str, webhook: str, event_id: int) -> None:
        """Keep how far a webhook has been told."""
        ...

    async def drop_cursor(self, organisation: str, webhook: str) -> None:
        """Forget how far a webhook has been told."""
        ...
