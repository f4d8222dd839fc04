"""The record store: all that the service knows of the database. `sipcore.store` implements it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from sipcore.domain.batch_record import BatchPage, BatchRecord
from sipcore.domain.record import CallRecord, RecordFilter, RecordPage
from sipcore.domain.recording import Recording
from sipcore.domain.waiting_queue import AgentMemory


class RecordStore(Protocol):
    """Keeps call records. Every method raises `StoreUnavailableError` when the database does not answer."""

    async def accept(self, record: CallRecord) -> None:
        """Write the first row of a call and its legs, before anything is dialled."""
        ...

    async def complete(self, record: CallRecord) -> None:
        """Write the call's end over its first row."""
        ...

    async def get(self, organisation: str, record_id: str) -> CallRecord | None:
        """Read one record of the organisation, or None."""
        ...

    async def find(
        self, organisation: str, wanted: RecordFilter, *, cursor: str | None = None, limit: int = 50
    ) -> RecordPage:
        """Read a page of the organisation's records.

        Raises:
            ParameterError: the cursor is none of ours.
        """
        ...

    async def last_agent(self, organisation: str, number: str) -> str | None:
        """Find who called a number last, answered or not.

        Args:
            organisation: whose records count.
            number: as its trunk dials it (user part of the Request-URI).

        Returns:
            dial1, as it was given, of the newest call that we placed and that rang the number as its dial2; or None.
        """
        ...

    async def ping(self) -> None:
        """Check that the database answers."""
        ...

    async def close(self) -> None:
        """Give all connections back."""
        ...


class AgentStore(Protocol):
    """Keeps what outlives the program of queues' agents. Every method raises `StoreUnavailableError`, as above."""

    async def agent_memories(self) -> tuple[AgentMemory, ...]:
        """Read everything that is kept."""
        ...

    async def keep_agents(self, memories: Sequence[AgentMemory]) -> None:
        """Write memories over what is kept of the same agents in the same queues."""
        ...


class RecordingStore(Protocol):
    """Keeps what is known of recordings that are ready. Every method raises `StoreUnavailableError`, as above."""

    async def add_recording(self, recording: Recording) -> None:
        """Keep one; doing it again changes nothing. A call that has ended without knowing of it knows now."""
        ...

    async def recording(self, organisation: str, recording_id: str) -> Recording | None:
        """Read one of the organisation, or None."""
        ...

    async def recordings_before(self, organisation: str, moment: datetime, limit: int) -> tuple[Recording, ...]:
        """Read the organisation's oldest ones that began before a moment and are not deleted."""
        ...

    async def recording_deleted(self, recording_id: str, at: datetime) -> None:
        """Note that one's audio was deleted."""
        ...


class BatchStore(Protocol):
    """Keeps requests for many numbers. Every method raises `StoreUnavailableError`, as above."""

    async def keep_batch(self, batch: BatchRecord) -> None:
        """Write a batch over what is stored of it: before any number of it is dialled, and at its end."""
        ...

    async def get_batch(self, organisation: str, batch_id: str) -> BatchRecord | None:
        """Read one batch of the organisation, or None."""
        ...

    async def find_batches(self, organisation: str, *, cursor: str | None = None, limit: int = 50) -> BatchPage:
        """Read a page of the organisation's batches.

        Raises:
            ParameterError: the cursor is none of ours.
        """
        ...


class CallStore(RecordStore, AgentStore, BatchStore, Protocol):
    """Everything that calls leave behind."""
