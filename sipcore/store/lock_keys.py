"""Keys of PostgreSQL's advisory locks."""

from __future__ import annotations

import hashlib


def lock_key(what: str) -> int:
    """Make the key of the lock for something: 64 bits with a sign, the same on every node."""
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], signed=True)
