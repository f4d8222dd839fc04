"""How much an organisation may do at once."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable

from sipcore.domain.directory import Organisation
from sipcore.domain.errors import LimitReachedError

_WINDOW_SECONDS = 1.0
_CALL_RETRY_SECONDS = 5
"""When a call ends is not known; a caller that is told this asks often enough."""


class Limits:
    """Counts the calls in progress, and the starts within the last second, of each organisation."""

    def __init__(self) -> None:
        self._in_progress: dict[str, int] = defaultdict(int)
        self._starts: dict[str, deque[float]] = defaultdict(deque)

    def admit(self, organisation: Organisation, now: float) -> Callable[[], None]:
        """Count a call in.

        Args:
            organisation: whose call it is.
            now: monotonic seconds.

        Returns:
            A function that counts it out; it must be called once.

        Raises:
            LimitReachedError: one more would be too many.
        """
        name = organisation.name
        if organisation.max_calls is not None and self._in_progress[name] >= organisation.max_calls:
            raise LimitReachedError("max_calls", _CALL_RETRY_SECONDS)
        rate = organisation.calls_per_second
        if rate is not None:
            self._check_rate(name, rate, now)
        self._in_progress[name] += 1

        def release() -> None:
            self._in_progress[name] -= 1

        return release

    def _check_rate(self, name: str, rate: float, now: float) -> None:
        """Let `rate` calls start in any second; a rate under 1 means one call in `1 / rate` seconds."""
        window = max(_WINDOW_SECONDS, 1.0 / rate)
        starts = self._starts[name]
        while starts and starts[0] <= now - window:
            starts.popleft()
        if len(starts) >= max(int(rate * window), 1):
            raise LimitReachedError("calls_per_second", max(math.ceil(starts[0] + window - now), 1))
        starts.append(now)
