"""How much an organisation may do at once: the rule, whoever counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sipcore.domain.errors import LimitReachedError

_WINDOW_SECONDS = 1.0
_CALL_RETRY_SECONDS = 5
"""When a call ends is not known; a caller that is told this asks often enough."""


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Limits of an organisation; None: there is none.

    Attributes:
        max_calls: most calls in progress.
        calls_per_second: most calls that begin in any second; one under 1 means one call in `1 / rate` seconds.
    """

    max_calls: int | None = None
    calls_per_second: float | None = None

    @property
    def window(self) -> float:
        """How many seconds back beginnings of calls count."""
        return _WINDOW_SECONDS if self.calls_per_second is None else max(_WINDOW_SECONDS, 1.0 / self.calls_per_second)

    def check(self, in_progress: int, begun: Sequence[float], now: float) -> None:
        """Let one more call begin.

        Args:
            in_progress: calls now.
            begun: when those of the last `window` seconds began, the oldest first.
            now: on the same clock.

        Raises:
            LimitReachedError: one more would be too many.
        """
        if self.max_calls is not None and in_progress >= self.max_calls:
            raise LimitReachedError("max_calls", _CALL_RETRY_SECONDS)
        rate, window = self.calls_per_second, self.window
        if rate is not None and len(begun) >= max(int(rate * window), 1):
            raise LimitReachedError("calls_per_second", max(math.ceil(begun[0] + window - now), 1))
