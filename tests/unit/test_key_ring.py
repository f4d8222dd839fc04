"""Keys that were made: how long they are taken on trust."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sipcore.domain.directory import Scope
from sipcore.domain.issued_key import IssuedKey, digest_of
from sipcore.service.key_ring import REMEMBERED_SECONDS, KeyRing


class Store:
    """A key store that counts how often it is asked."""

    def __init__(self) -> None:
        self.kept: dict[str, IssuedKey] = {}
        self.asked = 0

    async def add(self, key: IssuedKey) -> None:
        self.kept[key.digest] = key

    async def revoke(self, organisation: str, key_id: str, at: datetime) -> None:
        for digest, key in self.kept.items():
            if (key.organisation, key.id) == (organisation, key_id):
                self.kept[digest] = replace(key, revoked_at=at)

    async def find(self, digest: str) -> IssuedKey | None:
        self.asked += 1
        return self.kept.get(digest)

    async def of_organisation(self, organisation: str) -> tuple[IssuedKey, ...]:
        return tuple(key for key in self.kept.values() if key.organisation == organisation)


@pytest.fixture
def store() -> Store:
    return Store()


async def test_a_key_is_random_and_its_digest_alone_is_kept(store: Store) -> None:
    ring = KeyRing(store)
    (first, key), (_, other) = [await ring.issue("acme", "crm", [Scope.READ]) for _ in range(2)]
    assert key.startswith("c2c_")
    assert key != other
    assert first.digest == digest_of(key)
    assert key not in repr(first)
    assert first.digest not in repr(first)


async def test_the_store_is_asked_once_in_a_while_also_when_there_is_no_such_key(store: Store) -> None:
    now = [100.0]
    ring = KeyRing(store, clock=lambda: now[0])
    _, key = await ring.issue("acme", "crm", [Scope.READ])
    for digest in (digest_of(key), digest_of("unknown")):
        store.asked = 0
        for _ in range(3):
            found = await ring.find(digest)
        assert (found is not None, store.asked) == (digest == digest_of(key), 1)
        now[0] += REMEMBERED_SECONDS
        await ring.find(digest)
        assert store.asked == 2


async def test_a_key_that_was_revoked_elsewhere_is_refused_after_that_time(store: Store) -> None:
    now = [100.0]
    ring = KeyRing(store, clock=lambda: now[0])
    issued, key = await ring.issue("acme", "crm", [Scope.READ])
    await ring.find(digest_of(key))
    await store.revoke("acme", issued.id, datetime.now(UTC))
    assert await ring.find(digest_of(key)) is not None
    now[0] += REMEMBERED_SECONDS
    assert await ring.find(digest_of(key)) is None


async def test_what_is_remembered_has_an_end(store: Store) -> None:
    ring = KeyRing(store)
    for number in range(5000):
        await ring.find(f"{number:064x}")
    store.asked = 0
    await ring.find(f"{0:064x}")
    assert store.asked == 1
