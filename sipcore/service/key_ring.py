"""Bearer keys that were made while the program runs: making, finding and revoking them."""

from __future__ import annotations

import secrets
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Protocol

from sipcore.domain.directory import Scope
from sipcore.domain.issued_key import IssuedKey, digest_of

REMEMBERED_SECONDS = 5.0
"""How long a key, or that there is none, is taken on trust; so long one that was revoked elsewhere is good here."""
_REMEMBERED = 4096
_PREFIX = "c2c_"
_KEY_OCTETS = 32


class KeyStore(Protocol):
    """Keeps keys; its methods raise `StoreUnavailableError`."""

    async def add(self, key: IssuedKey) -> None:
        """Keep a new key."""
        ...

    async def revoke(self, organisation: str, key_id: str, at: datetime) -> None:
        """Note since when a key is good for nothing."""
        ...

    async def find(self, digest: str) -> IssuedKey | None:
        """Read the key with a digest, or None."""
        ...

    async def of_organisation(self, organisation: str) -> tuple[IssuedKey, ...]:
        """Read all keys of an organisation, newest first."""
        ...


class KeyRing:
    """The keys.

    Args:
        store: keeps them.
        clock: monotonic seconds.
    """

    def __init__(self, store: KeyStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, IssuedKey | None]] = OrderedDict()

    async def issue(self, organisation: str, name: str, scopes: Iterable[Scope]) -> tuple[IssuedKey, str]:
        """Make a key; return what is kept of it, and the key itself, which nobody can be told again.

        Raises:
            StoreUnavailableError: there is no such key.
        """
        key = _PREFIX + secrets.token_urlsafe(_KEY_OCTETS)
        issued = IssuedKey(uuid.uuid4().hex, organisation, name, digest_of(key), frozenset(scopes), datetime.now(UTC))
        await self._store.add(issued)
        return issued, key

    async def find(self, digest: str) -> IssuedKey | None:
        """Find the key with this SHA-256 that is good for something, or None.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        now = self._clock()
        known = self._known.get(digest)
        if known is None or known[0] <= now:
            found = await self._store.find(digest)
            known = now + REMEMBERED_SECONDS, found
            self._known[digest] = known
            self._known.move_to_end(digest)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        issued = known[1]
        return None if issued is None or issued.revoked_at is not None else issued

    async def list(self, organisation: str) -> tuple[IssuedKey, ...]:
        """Return all that the organisation ever had, newest first.

        Raises:
            StoreUnavailableError: the database does not answer.
        """
        return await self._store.of_organisation(organisation)

    async def revoke(self, organisation: str, key_id: str) -> IssuedKey | None:
        """Make a key good for nothing, here at once; return it, or None when the organisation has none of this id.

        Raises:
            StoreUnavailableError: the key is as it was.
        """
        await self._store.revoke(organisation, key_id, datetime.now(UTC))
        self._known.clear()
        return next((key for key in await self.list(organisation) if key.id == key_id), None)
