"""Whether what was not answered is tried again, and what an attempt came to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipcore.domain.attempt_outcome import outcome_of
from sipcore.domain.causes import Disposition
from sipcore.domain.record import CallRecord, LegRecord
from sipcore.domain.retry import GiveUp, RetryAt, RetryPolicy

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEG1, LEG2 = LegRecord("u1", "101"), LegRecord("u2", "102", party="dial2")
CALL = CallRecord("c", "acme", "alice", "101", "102", None, NOON, (LEG1, LEG2), ended_at=NOON)
RETRIED = [each for each in Disposition if each not in {Disposition.ANSWERED, Disposition.CANCELLED}]


@pytest.mark.parametrize("outcome", RETRIED)
def test_whatever_kept_dial1_from_answering_is_tried_again_that_long_after_its_end(outcome):
    assert RetryPolicy(1, 30).after(1, outcome, NOON) == RetryAt(NOON + timedelta(seconds=30))


@pytest.mark.parametrize("outcome", [Disposition.ANSWERED, Disposition.CANCELLED])
def test_an_answer_and_a_cancellation_end_it_with_retries_left(outcome):
    assert RetryPolicy(5, 30).after(1, outcome, NOON) == GiveUp(spent=False)


@given(st.integers(0, 100), st.lists(st.sampled_from(RETRIED), min_size=101, max_size=101))
def test_all_causes_share_one_budget(retries, outcomes):
    policy = RetryPolicy(retries, 10)
    attempts = 0
    for attempts, outcome in enumerate(outcomes, start=1):
        if isinstance(policy.after(attempts, outcome, NOON), GiveUp):
            break
    assert attempts == retries + 1
    assert policy.after(attempts, outcomes[-1], NOON) == GiveUp(spent=True)


@pytest.mark.parametrize(
    ("record", "outcome"),
    [
        ({"disposition": Disposition.BUSY, "ended_by": "dial1"}, Disposition.BUSY),
        ({"disposition": Disposition.BUSY, "ended_by": "dial2"}, Disposition.ANSWERED),
        ({"disposition": Disposition.ANSWERED, "ended_by": "dial1", "joined_at": NOON}, Disposition.ANSWERED),
        ({"disposition": Disposition.CANCELLED, "ended_by": "request"}, Disposition.CANCELLED),
        ({"disposition": Disposition.CANCELLED, "ended_by": "shutdown"}, Disposition.INTERRUPTED),
        ({"disposition": Disposition.INTERRUPTED, "ended_by": "worker"}, Disposition.INTERRUPTED),
    ],
)
def test_the_record_tells_what_an_attempt_came_to(record, outcome):
    assert outcome_of(replace(CALL, **record)) is outcome


def test_an_agent_who_had_answered_was_there_though_the_server_stopped_then():
    legs = (replace(LEG1, answered_at=NOON), LEG2)
    stopped = replace(CALL, legs=legs, disposition=Disposition.CANCELLED, ended_by="shutdown")
    assert outcome_of(stopped) is Disposition.ANSWERED


def test_a_phone_whose_owner_did_not_press_the_key_has_not_answered():
    legs = (replace(LEG1, answered_at=NOON), LEG2)
    unconfirmed = replace(CALL, legs=legs, disposition=Disposition.NO_ANSWER, ended_by="dial1")
    assert outcome_of(unconfirmed) is Disposition.NO_ANSWER


def test_a_call_in_progress_has_come_to_nothing_yet():
    with pytest.raises(ValueError, match="not complete"):
        outcome_of(replace(CALL, ended_at=None))
