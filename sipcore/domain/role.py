"""Which of a call's parties somebody is, or a leg belongs to."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Which party."""

    FIRST = "dial1"
    SECOND = "dial2"
    THIRD = "third"
    """Somebody who was joined to the two later."""
