"""When a trunk is registered again, told by moving time by hand."""

import pytest

from sipcore.domain.registration import Registration, RegistrationState, TrunkState

GRANTED = 300.0


def due(registration, now):
    """Whether a REGISTER goes out now, and not a moment earlier."""
    assert not registration.on_deadline(now - 0.001)
    return registration.on_deadline(now)


def registered(*, at=0.0, expires=GRANTED):
    registration = Registration("main")
    assert registration.on_deadline(at)
    registration.answered(200, "OK", expires, at)
    return registration


def failed(code, *, times=1):
    """A registration that was refused so often, each time at once, and the moment of the last refusal."""
    registration, now = Registration("main"), 0.0
    for _ in range(times):
        now = registration.next_deadline()
        assert registration.on_deadline(now)
        registration.answered(code, "no", 0, now)
    return registration, now


def test_it_begins_unregistered_and_registers_at_once():
    registration = Registration("main")
    assert registration.status() == TrunkState("main", RegistrationState.UNREGISTERED)
    assert registration.on_deadline(0.0)
    assert registration.state is RegistrationState.REGISTERING


def test_nothing_more_is_sent_while_a_register_is_on_its_way():
    registration = Registration("main")
    registration.on_deadline(0.0)
    assert registration.next_deadline() is None
    assert not registration.on_deadline(1e9)


def test_a_200_registers_and_tells_so():
    assert registered().status() == TrunkState("main", RegistrationState.REGISTERED, 200, "OK")


@pytest.mark.parametrize(("expires", "refresh"), [(300, 225), (60, 45), (3600, 2700)])
def test_it_refreshes_after_three_quarters_of_the_granted_time(expires, refresh):
    assert due(registered(at=10, expires=expires), 10 + refresh)


@pytest.mark.parametrize("expires", [0, 1])
def test_a_registrar_that_grants_next_to_nothing_is_not_flooded(expires):
    assert due(registered(expires=expires), 1.0)


def test_it_stays_registered_while_it_refreshes():
    registration = registered()
    assert registration.on_deadline(225)
    assert registration.state is RegistrationState.REGISTERED
    registration.answered(200, "OK", GRANTED, 226)
    assert due(registration, 226 + 225)


def test_a_refresh_that_fails_is_retried_before_the_binding_ends():
    registration = registered()
    registration.on_deadline(225)
    registration.answered(408, "Request Timeout", 0, 257)
    assert registration.status() == TrunkState("main", RegistrationState.FAILED, 408, "Request Timeout")
    assert due(registration, 258)


def test_a_registrar_that_is_down_is_tried_after_1_2_4_to_60_seconds():
    registration, now = Registration("main"), 0.0
    pauses = []
    for _ in range(9):
        assert registration.on_deadline(now)
        registration.answered(503, "Service Unavailable", 0, now)
        pauses.append(registration.next_deadline() - now)
        now = registration.next_deadline()
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_registrar_that_is_down_for_days_is_still_tried_every_minute():
    registration, now = failed(503, times=3000)
    assert registration.next_deadline() - now == 60


@pytest.mark.parametrize("code", [408, 423, 429, 480, 491, 500, 503, 504])
def test_what_will_pass_is_retried_soon(code):
    registration, now = failed(code)
    assert registration.next_deadline() - now == 1
    assert registration.state is RegistrationState.FAILED


@pytest.mark.parametrize("code", [400, 401, 403, 404, 407, 600, 603])
def test_a_refusal_is_retried_slowly_and_for_ever(code):
    registration, now = failed(code, times=20)
    assert registration.next_deadline() - now == 120


def test_success_forgets_the_failures_before_it():
    registration, now = failed(503, times=6)
    registration.on_deadline(now + 32)
    registration.answered(200, "OK", GRANTED, now + 32)
    registration.on_deadline(now + 32 + 225)
    registration.answered(503, "Service Unavailable", 0, now + 257)
    assert registration.next_deadline() == now + 258


def test_a_lost_worker_has_it_registered_anew_at_once():
    registration = registered(at=0)
    registration.worker_lost(100.0)
    assert registration.state is RegistrationState.UNREGISTERED
    assert due(registration, 100.0)
    assert registration.state is RegistrationState.REGISTERING


def test_a_worker_lost_with_a_register_on_its_way_does_not_stop_it():
    registration = Registration("main")
    registration.on_deadline(0.0)
    registration.worker_lost(5.0)
    assert due(registration, 5.0)


def test_a_lost_worker_does_not_hasten_a_registrar_that_refuses():
    registration, now = failed(403)
    registration.worker_lost(now + 1)
    assert due(registration, now + 3)
    registration.answered(403, "Forbidden", 0, now + 4)
    assert registration.next_deadline() == now + 4 + 120


def test_workers_that_die_again_and_again_are_not_started_without_a_pause():
    registration, now = registered(), 100.0
    pauses = []
    for _ in range(8):
        registration.worker_lost(now)
        pauses.append(registration.next_deadline() - now)
        now = registration.next_deadline()
        assert registration.on_deadline(now)
    assert pauses == [0, 2, 4, 8, 16, 32, 60, 60]


def test_success_makes_the_next_lost_worker_the_first():
    registration = registered()
    registration.worker_lost(100.0)
    registration.on_deadline(100.0)
    registration.answered(200, "OK", GRANTED, 101.0)
    registration.worker_lost(150.0)
    assert due(registration, 150.0)
