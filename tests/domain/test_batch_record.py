"""What is read of a batch's numbers off the records of its calls."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sipcore.domain.batch import BatchState, NumberState
from sipcore.domain.batch_record import BatchRecord, report_of
from sipcore.domain.causes import Disposition
from sipcore.domain.record import CallRecord, LegRecord

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BATCH = BatchRecord("b" * 32, "acme", "alice", ("101", "102"), "800", None, NOON, ended_at=NOON)
RANG = LegRecord("u1", "102", ringing_at=NOON)
THERE = replace(RANG, answered_at=NOON)
CALL = CallRecord("r1", "acme", "alice", "102", "800", None, NOON, (RANG,), batch_id=BATCH.id)
ANSWERED, FAILED, RINGING = NumberState.ANSWERED, NumberState.FAILED, NumberState.RINGING


def read(record, batch=BATCH):
    (_, result) = report_of(batch, [record]).results
    assert (result.number, result.record_id) == ("102", "r1")
    return result.status, result.reason


@pytest.mark.parametrize(
    ("legs", "disposition", "ended_by", "told"),
    [
        ((RANG,), None, None, (RINGING, None)),
        ((THERE,), None, None, (ANSWERED, None)),
        ((RANG,), Disposition.BUSY, "dial1", (FAILED, "Busy")),
        ((THERE,), Disposition.ANSWERED, "dial2", (ANSWERED, None)),
        ((THERE,), Disposition.ANSWERED, "dial1", (ANSWERED, None)),
        # dial1 was there, and dial2 was not.
        ((THERE,), Disposition.BUSY, "dial2", (ANSWERED, None)),
        ((THERE,), Disposition.CANCELLED, "dial1", (ANSWERED, None)),
        # Somebody lifted the phone and did not take the call.
        ((THERE,), Disposition.NO_ANSWER, "dial1", (FAILED, "No answer")),
        # The worker died, or somebody hung the call up, before it was answered.
        ((RANG,), Disposition.INTERRUPTED, "worker", (FAILED, "Unreachable")),
        ((RANG,), Disposition.CANCELLED, "request", (FAILED, "Unreachable")),
        # The leg of dial2 says nothing of dial1.
        ((RANG, replace(THERE, party="dial2")), Disposition.BUSY, "dial1", (FAILED, "Busy")),
    ],
)
def test_the_first_stage_is_read_off_the_record(legs, disposition, ended_by, told):
    assert read(replace(CALL, legs=legs, disposition=disposition, ended_by=ended_by)) == told


def test_a_dial1_without_a_leg_was_answered_when_the_two_were_joined():
    assert read(replace(CALL, joined_at=NOON, disposition=Disposition.ANSWERED)) == (ANSWERED, None)


def test_a_number_without_a_call_waits_while_its_batch_runs_and_was_cancelled_when_that_is_over():
    running = replace(BATCH, ended_at=None)
    told = {
        batch: [result.status for result in report_of(batch, [CALL]).results]
        for batch in (running, replace(running, cancelled_by="request"), BATCH)
    }
    assert [states[0] for states in told.values()] == [NumberState.QUEUED, NumberState.CANCELLED, NumberState.CANCELLED]


def test_what_was_hung_up_unanswered_in_a_cancelled_batch_was_cancelled_with_it():
    cancelled = replace(BATCH, cancelled_by="request")
    hung_up = replace(CALL, disposition=Disposition.CANCELLED, ended_by="request")
    assert read(hung_up, cancelled) == (NumberState.CANCELLED, None)
    assert read(replace(hung_up, disposition=Disposition.BUSY, ended_by="dial1"), cancelled) == (FAILED, "Busy")


def test_a_number_without_a_record_was_never_dialled():
    first, second = report_of(BATCH, []).results
    assert (first.number, first.status, first.record_id) == ("101", NumberState.CANCELLED, None)
    assert report_of(BATCH, []).counts == {NumberState.CANCELLED: 2}
    assert len({first.uid1, first.uid2, second.uid1, second.uid2}) == 4
    assert (first.uid1, first.uid2) == BATCH.uids(0)


@pytest.mark.parametrize(
    ("cancelled_by", "ended_at", "state"),
    [
        (None, None, BatchState.RUNNING),
        (None, NOON, BatchState.FINISHED),
        ("request", None, BatchState.CANCELLED),
        ("request", NOON, BatchState.CANCELLED),
    ],
)
def test_a_batch_is_running_until_it_is_over_or_cancelled(cancelled_by, ended_at, state):
    assert replace(BATCH, cancelled_by=cancelled_by, ended_at=ended_at).state is state
