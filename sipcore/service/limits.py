"""How much an organisation may do at once."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable

from sipcore.domain.call_limits import CallLimits
from sipcore.domain.directory import Organisation


def limits_of(organisation: Organisation) -> CallLimits:
    """Return what an organisation is limited to."""
    return CallLimits(organisation.max_calls, organisation.calls_per_second)


class Limits:
    """Counts the calls of this node in progress, and the starts within the last second, of each organisation."""

    def __init__(self) -> None:
        self._in_progress: dict[str, int] = defaultdict(int)
        self._begun: dict[str, deque[float]] = defaultdict(deque)

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
        name, limits = organisation.name, limits_of(organisation)
        begun = self._begun[name]
        while begun and begun[0] <= now - limits.window:
            begun.popleft()
        limits.check(self._in_progress[name], begun, now)
        begun.append(now)
        self._in_progress[name] += 1

        def release() -> None:
            self._in_progress[name] -= 1

        return release
