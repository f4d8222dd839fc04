"""What is kept of a request for many numbers, and what its calls' records say of each number.

All times are aware datetimes in UTC.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sipcore.domain.attempt_outcome import dial1_answered
from sipcore.domain.batch import BatchState, NumberState
from sipcore.domain.causes import FAIL_REASONS, Disposition
from sipcore.domain.record import CallRecord


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """One accepted request for many numbers. What became of each number is in the records of its calls.

    Attributes:
        id: 32 hex digits.
        organisation: name of the organisation.
        user: name of the user or API key that asked.
        numbers: destinations in dial1 as given, in order, each once.
        dial2: as given.
        set_cid: the caller identity as given, or None.
        accepted_at: when the request was accepted.
        cancelled_by: `request`, `shutdown`, `limit` (nothing could be dialled for a long time), `error` (the database
            was lost while it was accepted), or `restart` (found unfinished at a start); None: it was not cancelled.
            What had not been dialled by then never is.
        ended_at: when nothing was left to be dialled and no call in progress; None before.
        node: id of the node that runs it, or None: the database knows.
    """

    id: str
    organisation: str
    user: str
    numbers: tuple[str, ...]
    dial2: str
    set_cid: str | None
    accepted_at: datetime
    cancelled_by: str | None = None
    ended_at: datetime | None = None
    node: str | None = field(default=None, compare=False)

    @property
    def state(self) -> BatchState:
        """Where it stands."""
        if self.cancelled_by is not None:
            return BatchState.CANCELLED
        return BatchState.RUNNING if self.ended_at is None else BatchState.FINISHED

    def uids(self, position: int) -> tuple[str, str]:
        """Return the UniqueIDs of both parties of a number's call.

        They are given with the batch, before the number's turn has come, and follow from its id.
        """
        batch = uuid.UUID(self.id)
        return uuid.uuid5(batch, f"dial1 {position}").hex, uuid.uuid5(batch, f"dial2 {position}").hex


@dataclass(frozen=True, slots=True)
class BatchPage:
    """One page of batches, newest first.

    Attributes:
        items: at most the limit that was asked for.
        next: cursor of the next page, opaque, or None at the end.
    """

    items: tuple[BatchRecord, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class NumberResult:
    """How one number of a batch stands.

    Attributes:
        number: as given.
        status: never STARTING.
        reason: the contract's word when it FAILED, else None.
        uid1, uid2: UniqueIDs of both parties.
        record_id: of its call, or None when it has none (yet).
    """

    number: str
    status: NumberState
    reason: str | None
    uid1: str
    uid2: str
    record_id: str | None


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A batch with the results of its numbers, in their order."""

    record: BatchRecord
    results: tuple[NumberResult, ...]

    @property
    def counts(self) -> Counter[NumberState]:
        """How many numbers have each status."""
        return Counter(result.status for result in self.results)


def report_of(batch: BatchRecord, records: Iterable[CallRecord]) -> BatchReport:
    """Read the results of a batch off its calls' records.

    Args:
        batch: the batch.
        records: of its calls.
    """
    by_number = {record.dial1: record for record in records}
    waits = batch.ended_at is None and batch.cancelled_by is None
    without_call = NumberState.QUEUED if waits else NumberState.CANCELLED
    results = []
    for position, number in enumerate(batch.numbers):
        record = by_number.get(number)
        if record is None:
            results.append(NumberResult(number, without_call, None, *batch.uids(position), None))
        else:
            results.append(NumberResult(number, *_first_stage(record, batch), *batch.uids(position), record.id))
    return BatchReport(batch, tuple(results))


def _first_stage(record: CallRecord, batch: BatchRecord) -> tuple[NumberState, str | None]:
    """Tell what the first stage of a call came to, and why it failed."""
    if dial1_answered(record):
        return NumberState.ANSWERED, None
    if record.disposition is None:
        return NumberState.RINGING, None
    if record.disposition is Disposition.CANCELLED and batch.cancelled_by is not None:
        return NumberState.CANCELLED, None
    return NumberState.FAILED, FAIL_REASONS[record.disposition]
