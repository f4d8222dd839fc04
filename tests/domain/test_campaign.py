"""What a campaign may do in which state, and what follows an attempt."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sipcore.domain.campaign import CampaignAction, CampaignState, CampaignTerms, RetryRules, is_over, state_after
from sipcore.domain.causes import Disposition
from sipcore.domain.errors import CampaignStateError, ParameterError
from sipcore.domain.retry import GiveUp, RetryAt, RetryPolicy

DRAFT, RUNNING, PAUSED = CampaignState.DRAFT, CampaignState.RUNNING, CampaignState.PAUSED
STOPPED, FINISHED = CampaignState.STOPPED, CampaignState.FINISHED
START, PAUSE, RESUME, STOP = CampaignAction
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BUSY, NO_ANSWER, INTERRUPTED = Disposition.BUSY, Disposition.NO_ANSWER, Disposition.INTERRUPTED
RULES = RetryRules({BUSY: RetryPolicy(3, 300), NO_ANSWER: RetryPolicy(1, 3600)}, max_attempts=4)
TERMS = CampaignTerms("spring", "800", None, 20, None, 10, 1.0, RULES)


@pytest.mark.parametrize(
    ("state", "action", "leads_to"),
    [
        (DRAFT, START, RUNNING),
        (DRAFT, STOP, STOPPED),
        (RUNNING, PAUSE, PAUSED),
        (RUNNING, START, RUNNING),
        (RUNNING, RESUME, RUNNING),
        (RUNNING, STOP, STOPPED),
        (PAUSED, RESUME, RUNNING),
        (PAUSED, PAUSE, PAUSED),
        (PAUSED, STOP, STOPPED),
        (STOPPED, STOP, STOPPED),
    ],
)
def test_an_action_leads_to_a_state_and_again_changes_nothing(state, action, leads_to):
    assert state_after(state, action) is leads_to


@pytest.mark.parametrize(
    ("state", "action"),
    [
        (DRAFT, PAUSE),
        (DRAFT, RESUME),
        (PAUSED, START),
        *((STOPPED, action) for action in (START, PAUSE, RESUME)),
        *((FINISHED, action) for action in CampaignAction),
    ],
)
def test_what_a_state_does_not_allow_is_refused(state, action):
    with pytest.raises(CampaignStateError, match=f"a campaign that is {state} cannot {action}"):
        state_after(state, action)


def test_a_campaign_is_over_when_nothing_waits_and_no_call_is_in_progress():
    assert not is_over(RUNNING, 1, 0)
    assert not is_over(RUNNING, 0, 1)
    assert is_over(RUNNING, 0, 0)
    assert is_over(PAUSED, 0, 0)
    assert is_over(STOPPED, 5, 0)
    assert not is_over(STOPPED, 5, 1)
    assert not is_over(DRAFT, 0, 0)


def test_each_outcome_has_its_own_retries_and_time():
    assert RULES.after(1, 1, BUSY, NOON) == RetryAt(NOON + timedelta(seconds=300))
    assert RULES.after(2, 1, NO_ANSWER, NOON) == RetryAt(NOON + timedelta(seconds=3600))
    assert RULES.after(3, 2, NO_ANSWER, NOON) == GiveUp(spent=True)
    assert RULES.after(3, 3, BUSY, NOON) == RetryAt(NOON + timedelta(seconds=300))


def test_all_attempts_together_have_a_limit():
    assert RULES.after(4, 1, BUSY, NOON) == GiveUp(spent=True)


@pytest.mark.parametrize(
    "outcome", [Disposition.ANSWERED, Disposition.CANCELLED, Disposition.UNREACHABLE, Disposition.NOT_CONNECTED]
)
def test_what_has_no_rule_is_not_tried_again(outcome):
    assert RULES.after(1, 1, outcome, NOON) == GiveUp(spent=False)


def test_what_the_servers_own_end_interrupted_is_tried_once_more_and_counts():
    assert RULES.after(1, 1, INTERRUPTED, NOON) == RetryAt(NOON + timedelta(seconds=60))
    assert RULES.after(2, 2, INTERRUPTED, NOON) == GiveUp(spent=True)
    assert RULES.after(4, 1, INTERRUPTED, NOON) == GiveUp(spent=True)
    never = RetryRules({INTERRUPTED: RetryPolicy(0, 60)})
    assert never.after(1, 1, INTERRUPTED, NOON) == GiveUp(spent=True)


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 10_001}, "concurrency"),
        ({"calls_per_second": 0.0}, "calls_per_second"),
        ({"calls_per_second": float("nan")}, "calls_per_second"),
        ({"retry": RetryRules(max_attempts=0)}, "max_attempts"),
        ({"retry": RetryRules({BUSY: RetryPolicy(101, 300)})}, "retries.busy.retries"),
        ({"retry": RetryRules({BUSY: RetryPolicy(1, 9)})}, "retries.busy.after"),
        ({"retry": RetryRules({Disposition.ANSWERED: RetryPolicy(1, 60)})}, "retries"),
    ],
)
def test_terms_out_of_their_range_are_refused_by_name(change, parameter):
    TERMS.check()
    with pytest.raises(ParameterError) as refused:
        replace(TERMS, **change).check()
    assert refused.value.parameter == parameter


def test_few_numbers_a_second_are_dialled_one_by_one_and_many_in_tenths():
    assert [replace(TERMS, calls_per_second=rate).together for rate in (0.1, 1.0, 10.0, 100.0)] == [1, 1, 1, 10]
