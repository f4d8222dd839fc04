"""Which of a call's two parties somebody is, or a leg belongs to."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Which party."""

    FIRST = "dial1"
    SECOND = "dial2"
