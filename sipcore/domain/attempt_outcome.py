"""What an attempt came to, as the record of its call tells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sipcore.domain.attempt import AttemptSource
from sipcore.domain.causes import FAIL_REASONS, WORTH_TELLING, Disposition
from sipcore.domain.record import CallRecord


@dataclass(frozen=True, slots=True)
class SettledAttempt:
    """One try that is over.

    Attributes:
        call: id of its call's record.
        source, source_id, number: as in `Attempt`.
        organisation: whose it is.
        outcome: `answered` when dial1 was, whatever followed.
        settled_at: when (aware).
    """

    call: str
    source: AttemptSource
    source_id: str
    number: int
    organisation: str
    outcome: Disposition
    settled_at: datetime


_REASONS_OF_OURS = {"shutdown", "error", "worker", "restart"}


def dial1_answered(record: CallRecord) -> bool:
    """Tell whether the first stage of a call succeeded, as far as its record knows."""
    if record.ended_by == "dial1" and record.disposition in WORTH_TELLING:
        # A phone may have answered, and nobody pressed the key that was asked for.
        return False
    there = any(leg.party == "dial1" and leg.answered_at is not None for leg in record.legs)
    return there or record.joined_at is not None or record.ended_by == "dial2"


def first_stage_reason(record: CallRecord) -> str | None:
    """Tell why the first stage of a call failed, in the contract's word and as far as its record knows.

    Returns:
        The word, `No answer` when nothing else is known; None: it did not fail.
    """
    if dial1_answered(record):
        return None
    return FAIL_REASONS.get(record.disposition or Disposition.NO_ANSWER, FAIL_REASONS[Disposition.NO_ANSWER])


def outcome_of(record: CallRecord) -> Disposition:
    """Tell what an attempt came to, by the complete record of its call.

    Returns:
        `answered` when dial1 was; else why not: `cancelled` when somebody hung up what rang, `interrupted` when this
        program did so for a reason of its own, or died.
    """
    if record.disposition is None:
        raise ValueError(f"record {record.id} is not complete")
    if dial1_answered(record):
        return Disposition.ANSWERED
    if record.disposition is Disposition.CANCELLED and record.ended_by in _REASONS_OF_OURS:
        return Disposition.INTERRUPTED
    return record.disposition
