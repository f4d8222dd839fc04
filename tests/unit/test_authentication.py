"""Credentials: right ones pass, wrong ones all look and cost alike, and argon2 is never asked twice in a minute."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from dataclasses import replace

import pytest
from argon2 import PasswordHasher, extract_parameters

from sipcore.domain.directory import ApiKey, Directory, Organisation, User
from sipcore.domain.errors import AuthenticationError, LimitReachedError
from sipcore.service import authentication
from sipcore.service.authentication import Authenticator, Caller
from sipcore.service.calls import LiveDirectory

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
HASH = CHEAP.hash("hashed")


class CountingHasher:
    """Verifies as argon2 does and counts how often, and how many at the same time."""

    def __init__(self):
        self.verified = []
        self.running = 0
        self.most_running = 0
        self.gate = threading.Event()
        self.gate.set()
        self.lock = threading.Lock()

    def hash(self, password):
        return CHEAP.hash(password)

    def verify(self, password_hash, password):
        with self.lock:
            self.verified.append(password_hash)
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        try:
            self.gate.wait(5)
            return CHEAP.verify(password_hash, password)
        finally:
            with self.lock:
                self.running -= 1


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def organisation(**changed):
    return Organisation(
        name="acme",
        users={
            "plain": User("plain", password="päss"),
            "hashed": User("hashed", password_hash=HASH),
        }
        | changed,
        api_keys={"crm": ApiKey("crm", hashlib.sha256(b"key").hexdigest())},
    )


@pytest.fixture
def hasher():
    return CountingHasher()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def live():
    return LiveDirectory(Directory(organisations={"acme": organisation(), "empty": Organisation(name="empty")}))


@pytest.fixture
def authenticator(live, hasher, clock):
    return Authenticator(live, hasher=hasher, clock=clock)


async def test_a_plain_password_passes_without_argon2(authenticator, hasher):
    assert await authenticator.password("acme", "plain", "päss") == Caller("acme", "plain")
    assert hasher.verified == []


async def test_a_hashed_password_passes_and_is_remembered_for_a_minute(authenticator, hasher, clock):
    for _ in range(3):
        assert await authenticator.password("acme", "hashed", "hashed") == Caller("acme", "hashed")
    clock.now += 59.9
    await authenticator.password("acme", "hashed", "hashed")
    assert hasher.verified == [HASH]
    clock.now += 0.2
    await authenticator.password("acme", "hashed", "hashed")
    assert hasher.verified == [HASH, HASH]


async def test_what_is_known_already_is_answered_without_giving_way(authenticator):
    await authenticator.password("acme", "hashed", "hashed")
    for arguments in (("acme", "plain", "päss"), ("acme", "hashed", "hashed")):
        with pytest.raises(StopIteration):  # a coroutine that ends at its first step has never waited
            authenticator.password(*arguments).send(None)


@pytest.mark.parametrize(
    ("organisation_name", "user", "password"),
    [
        ("acme", "plain", "wrong"),
        ("acme", "plain", ""),
        ("acme", "hashed", "wrong"),
        pytest.param("acme", "hashed", HASH, id="the hash itself"),
        ("acme", "nobody", "päss"),
        ("empty", "plain", "päss"),
        ("nowhere", "plain", "päss"),
        ("", "", ""),
        ("acme", "crm", "key"),
    ],
)
async def test_whatever_is_wrong_is_the_same_error_after_one_verification(
    authenticator, hasher, organisation_name, user, password
):
    with pytest.raises(AuthenticationError) as refused:
        await authenticator.password(organisation_name, user, password)
    assert str(refused.value) == "user, pass, org or ident is wrong"
    assert len(hasher.verified) == 1


async def test_a_wrong_password_stays_wrong_beside_a_remembered_one(authenticator):
    await authenticator.password("acme", "hashed", "hashed")
    with pytest.raises(AuthenticationError):
        await authenticator.password("acme", "hashed", "hashed2")


async def test_a_user_without_any_password_cannot_be_entered(live, authenticator):
    live.current = Directory(organisations={"acme": organisation(ghost=User("ghost"))})
    with pytest.raises(AuthenticationError):
        await authenticator.password("acme", "ghost", "")


async def test_a_changed_hash_makes_the_remembered_password_worthless(live, authenticator):
    await authenticator.password("acme", "hashed", "hashed")
    changed = organisation(hashed=User("hashed", password_hash=CHEAP.hash("new")))
    live.current = Directory(organisations={"acme": changed})
    with pytest.raises(AuthenticationError):
        await authenticator.password("acme", "hashed", "hashed")
    assert await authenticator.password("acme", "hashed", "new") == Caller("acme", "hashed")


async def test_a_removed_user_is_refused_at_once(live, authenticator):
    await authenticator.password("acme", "hashed", "hashed")
    live.current = Directory(organisations={"acme": replace(organisation(), users={})})
    with pytest.raises(AuthenticationError):
        await authenticator.password("acme", "hashed", "hashed")


async def test_the_same_password_of_two_users_is_remembered_for_each_alone(live, hasher, authenticator):
    live.current = Directory(organisations={"acme": organisation(hashedh=User("hashedh", password_hash=HASH))})
    await authenticator.password("acme", "hashed", "hashed")
    with pytest.raises(AuthenticationError):
        await authenticator.password("acme", "hashedh", "ashed")
    await authenticator.password("acme", "hashedh", "hashed")
    assert len(hasher.verified) == 3


async def test_no_password_is_kept_in_memory(authenticator):
    await authenticator.password("acme", "hashed", "hashed")
    kept = repr(list(authenticator._verified.items()))
    assert "hashed" not in kept.replace("password_hash", "")
    assert hashlib.sha256(b"hashed").digest() not in authenticator._verified


async def test_the_memory_of_passwords_is_bounded(monkeypatch, live, hasher, authenticator):
    monkeypatch.setattr(authentication, "CACHE_ENTRIES", 2)
    names = ("a", "b", "c")
    users = {name: User(name, password_hash=HASH) for name in names}
    live.current = Directory(organisations={"acme": organisation(**users)})
    for name in names:
        await authenticator.password("acme", name, "hashed")
    await authenticator.password("acme", "c", "hashed")
    assert len(hasher.verified) == 3
    await authenticator.password("acme", "a", "hashed")
    assert len(hasher.verified) == 4


async def test_requests_that_arrive_together_share_a_verification(hasher, authenticator):
    together = (authenticator.password("acme", "hashed", "hashed") for _ in range(20))
    assert set(await asyncio.gather(*together)) == {Caller("acme", "hashed")}
    assert len(hasher.verified) <= authentication.VERIFICATIONS_AT_ONCE


async def test_a_flood_of_wrong_passwords_is_turned_away_and_leaves_others_alone(hasher, authenticator):
    hasher.gate.clear()
    room = authentication.VERIFICATIONS_AT_ONCE + authentication.VERIFICATIONS_WAITING
    flood = [asyncio.create_task(authenticator.password("acme", "nobody", "x")) for _ in range(room)]
    await asyncio.sleep(0)
    with pytest.raises(LimitReachedError) as refused:
        await authenticator.password("acme", "nobody", "x")
    assert refused.value.retry_after == 1
    assert await authenticator.password("acme", "plain", "päss") == Caller("acme", "plain")
    hasher.gate.set()
    outcomes = await asyncio.gather(*flood, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {AuthenticationError}
    assert hasher.most_running == authentication.VERIFICATIONS_AT_ONCE
    assert await authenticator.password("acme", "hashed", "hashed") == Caller("acme", "hashed")


async def test_a_key_names_its_organisation(live, authenticator):
    assert await authenticator.bearer("key") == Caller("acme", "crm")
    live.current = Directory()
    with pytest.raises(AuthenticationError, match="user, pass, org or ident is wrong"):
        await authenticator.bearer("key")


@pytest.mark.parametrize("key", ["", "wrong", hashlib.sha256(b"key").hexdigest(), "kéy"])
async def test_a_wrong_key_is_refused(authenticator, key):
    with pytest.raises(AuthenticationError):
        await authenticator.bearer(key)


def test_an_unknown_user_costs_what_the_hashes_of_hash_password_cost(live):
    dummy = Authenticator(live)._dummy_hash
    assert extract_parameters(dummy) == extract_parameters(PasswordHasher().hash("x"))
