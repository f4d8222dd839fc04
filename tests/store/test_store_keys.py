"""Bearer keys in a real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sipcore.domain.directory import Scope
from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.issued_key import IssuedKey

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
KEY = IssuedKey("k1", "acme", "crm", "ab" * 32, frozenset({Scope.CALL, Scope.READ}), NOON)
LATER = replace(KEY, id="k2", digest="cd" * 32, created_at=NOON + timedelta(seconds=1))


async def test_a_key_is_found_by_its_digest_as_it_was_kept(store) -> None:
    await store.keys.add(KEY)
    assert await store.keys.find(KEY.digest) == KEY
    assert await store.keys.find("00" * 32) is None


async def test_keys_of_an_organisation_come_newest_first(store) -> None:
    for key in (KEY, LATER, replace(KEY, id="k3", organisation="other", digest="ef" * 32)):
        await store.keys.add(key)
    assert await store.keys.of_organisation("acme") == (LATER, KEY)


async def test_a_key_is_revoked_by_its_own_organisation_and_once(store) -> None:
    await store.keys.add(KEY)
    await store.keys.revoke("other", "k1", NOON)
    assert (await store.keys.find(KEY.digest)).revoked_at is None
    for minutes in (1, 2):
        await store.keys.revoke("acme", "k1", NOON + timedelta(minutes=minutes))
    assert (await store.keys.find(KEY.digest)).revoked_at == NOON + timedelta(minutes=1)


async def test_two_keys_never_have_one_digest(store) -> None:
    await store.keys.add(KEY)
    with pytest.raises(StoreUnavailableError):
        await store.keys.add(replace(KEY, id="k2"))
