"""Bearer keys that were made while the program runs, beside those of the settings."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from sipcore.domain.directory import Scope


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A key, without the key itself.

    Attributes:
        id: 32 hex digits.
        organisation: whose.
        name: for people.
        digest: SHA-256 of the key, 64 hex digits.
        scopes: what it is good for.
        created_at: when it was made, in UTC.
        revoked_at: since when it is good for nothing, or None.
    """

    id: str
    organisation: str
    name: str
    digest: str = field(repr=False)
    scopes: frozenset[Scope]
    created_at: datetime
    revoked_at: datetime | None = None


def digest_of(key: str) -> str:
    """Return the SHA-256 of a Bearer key, 64 hex digits: keys are random, so no slow hash is needed."""
    return hashlib.sha256(key.encode()).hexdigest()
