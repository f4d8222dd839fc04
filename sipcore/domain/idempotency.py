"""Requests that may be sent again: a key names one, and whoever sends it again gets the first answer again.

After draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sipcore.domain.errors import ParameterError

KEPT = timedelta(hours=24)
"""How long a key is remembered, from its first use."""
MAX_KEY = 128
"""Longest key, in characters."""


class KeyReusedError(ParameterError):
    """The key was given to another request before (HTTP 422)."""

    error_id = "idempotency_key_reused"
    http_status = 422


class Standing(enum.Enum):
    """How a keyed request stands."""

    FIRST = enum.auto()
    """It has begun now."""
    RESUMED = enum.auto()
    """It has begun now, and before it on a node that died: what it was to make may be there under its id."""
    RUNNING = enum.auto()
    """It has begun elsewhere and is not answered yet."""
    ANSWERED = enum.auto()


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The first answer to a request.

    Attributes:
        status: of HTTP.
        headers: those that are about the request and not about the connection.
        body: as text.
    """

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """What the database says of a keyed request.

    Attributes:
        id: of what the request makes, a call for example. There is one of this id at most, whoever makes it.
        fingerprint: of the first request with the key.
        standing: how it stands.
        answer: when it is ANSWERED.
    """

    id: str
    fingerprint: str
    standing: Standing
    answer: KeptAnswer | None = None


def fingerprint(request: Mapping[str, object]) -> str:
    """Make the fingerprint of a request: two are the same when they mean the same.

    Args:
        request: everything that tells it from others; what JSON does not know counts as its text.
    """
    return hashlib.sha256(json.dumps(request, sort_keys=True, default=str).encode()).hexdigest()


def checked_key(parameter: str, key: str) -> str:
    """Return a key.

    Args:
        parameter: where it was given, for the error.
        key: as given.

    Raises:
        ParameterError: it is empty, too long, or has characters other than printable ASCII.
    """
    if not 0 < len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise ParameterError(parameter, f"must be 1 to {MAX_KEY} printable ASCII characters")
    return key
