"""The record store: all that the service knows of the database. `sipcore.store` implements it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from sipcore.domain.batch_record import BatchPage, BatchRecord
from sipcore.domain.call_limits import CallLimits
from sipcore.domain.record import CallRecord, RecordFilter, RecordPage
from sipcore.domain.recording import Recording
from sipcore.domain.schedule import DueNumber, NewSchedule, SchedulePage, ScheduleReport, ScheduleTerms
from sipcore.domain.waiting_queue import AgentMemory


class RecordStore(Protocol):
    """Keeps call records. Every method raises `StoreUnavailableError` when the database does not answer."""

    async def accept(self, record: CallRecord, limits: CallLimits | None = None) -> None:
        """Write the first row of a call and its legs, before anything is dialled.

        Args:
            record: the row.
            limits: of its organisation, where other nodes place calls too: they count those of all.

        Raises:
            LimitReachedError: nothing was written.
        """
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

    async def cancel_batch(self, organisation: str, batch_id: str) -> None:
        """Note that a batch of the organisation is cancelled by request, and tell the node that dials it.

        One that has ended, or is cancelled already, stays as it is.
        """
        ...

    async def cancelled_batches(self) -> tuple[str, ...]:
        """Return the ids of those batches of this node that are cancelled and have not ended."""
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


class ScheduleStore(Protocol):
    """Keeps future calls. Every method raises `StoreUnavailableError`, as above.

    Attributes:
        on_due: called when something may be due earlier than it was, or was cancelled.
    """

    on_due: Callable[[], None]

    async def accept(self, schedule: NewSchedule) -> None:
        """Write a future call."""
        ...

    async def get(self, organisation: str, schedule_id: str) -> ScheduleReport | None:
        """Read one of the organisation, or None."""
        ...

    async def find(self, organisation: str, *, cursor: str | None = None, limit: int = 50) -> SchedulePage:
        """Read a page of the organisation's.

        Raises:
            ParameterError: the cursor is none of ours.
        """
        ...

    async def change(self, organisation: str, schedule_id: str, terms: ScheduleTerms) -> None:
        """Write new terms over those of one that is pending.

        Raises:
            ScheduleRunningError: it is not.
        """
        ...

    async def cancel(self, organisation: str, schedule_id: str, now: datetime) -> None:
        """Take out what waits of one; its calls go on."""
        ...

    async def cancelled(self, calls: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """Tell which of some calls are attempts of future calls that were cancelled: organisation and id of each."""
        ...

    async def next_due(self, without: Iterable[str] = ()) -> datetime | None:
        """Tell when a number that nobody has claimed is due next, but for some organisations' numbers; or None."""
        ...

    async def claim(self, node: str, now: datetime, limit: int, without: Iterable[str] = ()) -> list[DueNumber]:
        """Claim numbers that are due, those that wait longest first; nobody else gets them."""
        ...

    async def release(self, node: str) -> None:
        """Give back what a node has claimed and not dialled."""
        ...

    async def refuse(self, number_id: str, node: str, reason: str, now: datetime) -> None:
        """Note why a claimed number is not dialled, ever."""
        ...

    async def look(self, now: datetime) -> None:
        """Note that a node looks for what is due."""
        ...

    async def miss(self, now: datetime, grace: timedelta, limit: int) -> int:
        """Take out what was due while no node looked, and is later than `grace` now; return how many."""
        ...


class CallStore(RecordStore, AgentStore, BatchStore, Protocol):
    """Everything that calls leave behind."""
