"""How much an organisation may do at once: calls in progress, and calls started."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipcore.domain.directory import Organisation
from sipcore.domain.errors import LimitReachedError
from sipcore.service.limits import Limits


def admitted(limits, organisation, *moments):
    """At which of these moments a call may start."""
    taken = []
    for moment in moments:
        try:
            limits.admit(organisation, moment)
        except LimitReachedError:
            continue
        taken.append(moment)
    return taken


def refusal(limits, organisation, now):
    with pytest.raises(LimitReachedError) as refused:
        limits.admit(organisation, now)
    return refused.value


def test_without_limits_every_call_is_admitted():
    assert len(admitted(Limits(), Organisation("acme"), *[0.0] * 1000)) == 1000


def test_one_call_more_than_max_calls_is_refused():
    limits, acme = Limits(), Organisation("acme", max_calls=2)
    assert admitted(limits, acme, 0, 0) == [0, 0]
    refused = refusal(limits, acme, 3600)
    assert (refused.limit, refused.retry_after) == ("max_calls", 5)


def test_a_call_that_is_counted_out_makes_room():
    limits, acme = Limits(), Organisation("acme", max_calls=1)
    count_out = limits.admit(acme, 0)
    count_out()
    limits.admit(acme, 0)
    assert refusal(limits, acme, 0).limit == "max_calls"


def test_organisations_do_not_count_for_each_other():
    limits = Limits()
    limits.admit(Organisation("acme", max_calls=1, calls_per_second=1), 0)
    limits.admit(Organisation("other", max_calls=1, calls_per_second=1), 0)


def test_a_rate_holds_in_every_second_and_not_only_in_each():
    limits, acme = Limits(), Organisation("acme", calls_per_second=2)
    assert admitted(limits, acme, 0.0, 0.9, 0.95, 0.99, 1.01, 1.5, 1.91) == [0.0, 0.9, 1.01, 1.91]


def test_a_rate_below_one_lets_one_call_start_in_so_many_seconds():
    limits, acme = Limits(), Organisation("acme", calls_per_second=0.25)
    assert admitted(limits, acme, 0, 1, 3.9, 4, 7.9, 8) == [0, 4, 8]


@pytest.mark.parametrize(("rate", "now", "seconds"), [(1, 0.0, 1), (1, 0.5, 1), (0.1, 0.0, 10), (0.1, 7.5, 3)])
def test_a_refusal_says_after_how_many_whole_seconds_it_may_succeed(rate, now, seconds):
    limits, acme = Limits(), Organisation("acme", calls_per_second=rate)
    limits.admit(acme, 0.0)
    refused = refusal(limits, acme, now)
    assert (refused.limit, refused.retry_after) == ("calls_per_second", seconds)
    limits.admit(acme, now + refused.retry_after)


def test_a_refused_start_does_not_count_as_one():
    limits, acme = Limits(), Organisation("acme", calls_per_second=1)
    assert admitted(limits, acme, 0.0, 0.5, 0.9, 1.0) == [0.0, 1.0]


def test_a_call_refused_for_max_calls_does_not_count_as_started():
    limits, acme = Limits(), Organisation("acme", max_calls=1, calls_per_second=2)
    count_out = limits.admit(acme, 0.0)
    assert refusal(limits, acme, 0.1).limit == "max_calls"
    count_out()
    limits.admit(acme, 0.2)


@given(
    rate=st.floats(0.05, 50, allow_nan=False),
    gaps=st.lists(st.floats(0, 3, allow_nan=False), max_size=60),
)
def test_no_window_ever_holds_more_starts_than_the_rate(rate, gaps):
    moments = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    started = admitted(Limits(), Organisation("acme", calls_per_second=rate), *moments)
    window = max(1.0, 1 / rate)
    for start in started:
        # Just under the window: a call exactly one window later is a new window's first.
        assert sum(start <= moment < start + window * (1 - 1e-9) for moment in started) <= max(rate * window, 1)
