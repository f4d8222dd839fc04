"""Whether what was not answered is tried again, and when: a pure decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sipcore.domain.causes import Disposition

MAX_RETRIES = 100
"""Most retries after the first attempt."""
SHORTEST_SECONDS, LONGEST_SECONDS = 10, 86_400
"""Least and most seconds from the end of an attempt to the next."""

_FINAL = {Disposition.ANSWERED, Disposition.CANCELLED}


@dataclass(frozen=True, slots=True)
class RetryAt:
    """It is tried again at `when` (aware)."""

    when: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It is not tried again.

    Attributes:
        spent: True when it would have been, had there been a retry left.
    """

    spent: bool


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """One budget of retries for all causes.

    Attributes:
        retries: after the first attempt, 0 to `MAX_RETRIES`.
        seconds: from the end of an attempt to the next, `SHORTEST_SECONDS` to `LONGEST_SECONDS`.
    """

    retries: int
    seconds: int

    def after(self, attempt: int, outcome: Disposition, now: datetime) -> RetryAt | GiveUp:
        """Decide what follows an attempt.

        Args:
            attempt: its number, 1 for the first.
            outcome: what it came to; `answered` when dial1 was, whatever followed.
            now: when it ended (aware).
        """
        if outcome in _FINAL:
            return GiveUp(spent=False)
        if attempt > self.retries:
            return GiveUp(spent=True)
        return RetryAt(now + timedelta(seconds=self.seconds))
