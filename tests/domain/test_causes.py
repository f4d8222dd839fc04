"""Why a leg ended: the contract's table of fail reasons and the Q.850 causes beside it."""

from __future__ import annotations

import pytest

from sipcore.domain.causes import (
    FAIL_REASONS,
    NO_SUCH_EXTENSION,
    OWN_TIMEOUT,
    WITHDRAWN,
    WORKER_DIED,
    Disposition,
    Outcome,
    outcome_of,
)

REDIRECTS = (300, 301, 302, 305, 380, 399)
UNREACHABLE = (400, 401, 402, 403, 405, 406, 407, 413, 414, 415, 416, 420, 421, 423, 481, 482, 483, 487, 488, 491)
SERVER_FAILURES = (500, 501, 502, 503, 504, 505, 513, 580, 599)
CONTRACT = [
    # SIP status, the reason when nothing rang before it, the reason when a 18x came before it.
    *[(code, "Busy", "Busy") for code in (486, 600, 603, 607)],
    *[(code, "Not connected", "Not connected") for code in (404, 410, 484, 485, 604)],
    *[(code, "Not connected", "Not connected") for code in REDIRECTS],
    (480, "Not connected", "No answer"),
    (408, "Unreachable", "No answer"),
    *[(code, "Unreachable", "Unreachable") for code in (*UNREACHABLE, *SERVER_FAILURES)],
    *[(code, "Unreachable", "Unreachable") for code in (606, 608, 699)],
]


@pytest.mark.parametrize(("sip_code", "before_ringing", "after_ringing"), CONTRACT)
def test_each_sip_status_has_the_fail_reason_of_the_contract(
    sip_code: int, before_ringing: str, after_ringing: str
) -> None:
    silent = outcome_of(sip_code, rang=False, answered=False)
    rung = outcome_of(sip_code, rang=True, answered=False)
    assert FAIL_REASONS[silent.disposition] == before_ringing
    assert FAIL_REASONS[rung.disposition] == after_ringing


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        pytest.param(OWN_TIMEOUT, "No answer", id="our own Timeout"),
        pytest.param(NO_SUCH_EXTENSION, "Not connected", id="unknown extension"),
        pytest.param(WORKER_DIED, "Unreachable", id="worker died"),
        pytest.param(WITHDRAWN, "Unreachable", id="withdrawn"),
    ],
)
def test_each_end_of_our_own_has_the_fail_reason_of_the_contract(outcome: Outcome, reason: str) -> None:
    assert FAIL_REASONS[outcome.disposition] == reason


def test_every_disposition_but_answered_has_a_fail_reason() -> None:
    assert set(FAIL_REASONS) == set(Disposition) - {Disposition.ANSWERED}


@pytest.mark.parametrize(
    ("sip_code", "cause"),
    [
        # RFC 3398 section 8.2.6.1, as far as it names a cause.
        *[(400, 41), (401, 21), (402, 21), (403, 21), (404, 1), (405, 63), (406, 79), (407, 21), (408, 102)],
        *[(410, 22), (413, 127), (414, 127), (415, 79), (416, 127), (420, 127), (421, 127), (423, 127), (480, 18)],
        *[(481, 41), (482, 25), (483, 25), (484, 28), (485, 1), (486, 17), (500, 41), (501, 79), (502, 38)],
        *[(503, 41), (504, 102), (505, 127), (513, 127), (600, 17), (603, 21), (604, 1)],
    ],
)
def test_the_hangup_cause_follows_rfc_3398(sip_code: int, cause: int) -> None:
    assert outcome_of(sip_code, rang=False, answered=False).cause == cause


@pytest.mark.parametrize("sip_code", [408, 480])
def test_silence_after_ringing_is_no_answer_from_the_user(sip_code: int) -> None:
    assert outcome_of(sip_code, rang=True, answered=False).cause == 19


@pytest.mark.parametrize("sip_code", [200, 408, 486, 503])
def test_an_answered_leg_is_answered_whatever_followed(sip_code: int) -> None:
    assert outcome_of(sip_code, rang=True, answered=True) == Outcome(Disposition.ANSWERED, 16)


def test_the_cause_that_the_far_end_names_wins_and_the_disposition_stays() -> None:
    assert outcome_of(503, rang=False, answered=False, q850_cause=34) == Outcome(Disposition.UNREACHABLE, 34)
    assert outcome_of(480, rang=True, answered=False, q850_cause=18) == Outcome(Disposition.NO_ANSWER, 18)
    assert outcome_of(200, rang=True, answered=True, q850_cause=31) == Outcome(Disposition.ANSWERED, 31)
