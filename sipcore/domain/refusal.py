"""Why a call that came in was refused before it had a record."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from sipcore.domain.errors import LimitReachedError, NoLegCapacityError, ShuttingDownError, StoreUnavailableError


class Refusal(StrEnum):
    """Why."""

    NO_ROUTE = "no_route"
    LIMIT = "limit"
    NO_ROOM = "no_room"
    NO_DATABASE = "no_database"
    STOPPING = "stopping"
    ERROR = "error"


REFUSAL_STATUSES: Final[Mapping[Refusal, int]] = {
    Refusal.NO_ROUTE: 404,
    Refusal.LIMIT: 486,
    Refusal.NO_ROOM: 503,
    Refusal.NO_DATABASE: 503,
    Refusal.STOPPING: 503,
    Refusal.ERROR: 503,
}
"""Final SIP status that the caller gets."""

_OF_ERRORS: Final[tuple[tuple[type[Exception], Refusal], ...]] = (
    (LimitReachedError, Refusal.LIMIT),
    (NoLegCapacityError, Refusal.NO_ROOM),
    (StoreUnavailableError, Refusal.NO_DATABASE),
    (ShuttingDownError, Refusal.STOPPING),
)


def refusal_of(error: Exception) -> Refusal:
    """Tell why a call is refused that could not begin; an error that nobody foresaw is one of ours."""
    return next((refusal for kind, refusal in _OF_ERRORS if isinstance(error, kind)), Refusal.ERROR)
