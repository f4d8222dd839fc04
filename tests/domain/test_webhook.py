"""Webhooks: signatures, retries, and the addresses that nothing is sent to."""

import hashlib
import hmac

import pytest

from sipcore.domain.webhook import Delivery, GiveUp, RetryAt, RetryPolicy, Webhook, refusal, signature

DAY = 86_400.0


def test_a_signature_is_checked_with_nothing_but_secret_stamp_and_body():
    header = signature("s3cret", 1_700_000_000, b'{"id":"1"}')
    right = hmac.new(b"s3cret", b'1700000000.{"id":"1"}', hashlib.sha256).hexdigest()
    assert header == f"t=1700000000,v1={right}"
    assert header != signature("s3cret", 1_700_000_001, b'{"id":"1"}')


def test_a_webhook_wants_everything_unless_it_says_what():
    assert Webhook("crm", "https://x", "s").wants("digit")
    assert not Webhook("crm", "https://x", "s", frozenset({"ended"})).wants("digit")


@pytest.mark.parametrize(("status", "delivered", "gone"), [
    (200, True, False), (204, True, False), (299, True, False), (301, False, False), (404, False, False),
    (410, False, True), (500, False, False), (199, False, False), (None, False, False),
])  # fmt: skip
def test_only_2xx_is_delivered_and_only_410_is_gone(status, delivered, gone):
    assert (Delivery(status).delivered, Delivery(status).gone) == (delivered, gone)


def test_pauses_double_up_to_the_longest():
    policy = RetryPolicy(first_seconds=1, longest_seconds=60)
    pauses = [policy.after(failures, 0.0, 100.0, 0.0).moment - 100.0 for failures in range(1, 10)]
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert policy.after(100_000, 0.0, 100.0, 0.0) == RetryAt(160.0)


def test_chance_shortens_a_pause_by_a_quarter_at_most():
    assert RetryPolicy(first_seconds=8).after(1, 0.0, 100.0, 1.0) == RetryAt(106.0)


def test_an_event_is_tried_for_a_day_and_then_given_up():
    policy = RetryPolicy()
    assert isinstance(policy.after(50, 0.0, DAY - 901, 0.0), RetryAt)
    assert policy.after(50, 0.0, DAY - 899, 0.0) == GiveUp()
    assert policy.after(1, 0.0, 2 * DAY, 0.0) == GiveUp()


PRIVATE = [
    "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "::1", "fe80::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1",
    "2002:a00:1::", "::127.0.0.1",
]  # fmt: skip
NOWHERE = ["0.0.0.0", "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "::", "ff02::1", "::ffff:0.0.0.0",
           "64:ff9b::e000:1", "2001:db8::1"]  # fmt: skip
PUBLIC = ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_networks_are_refused_unless_they_are_allowed(address):
    assert "allow_private" in refusal(address, allow_private=False)
    assert refusal(address, allow_private=True) is None


@pytest.mark.parametrize("address", NOWHERE)
def test_what_is_no_single_host_is_refused_in_any_case(address):
    assert refusal(address, allow_private=False)
    assert refusal(address, allow_private=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_in_order(address):
    assert refusal(address, allow_private=False) is None
