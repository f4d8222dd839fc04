"""What must not be done where it comes up: in a callback of the library, or in one of its threads."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable


class Later:
    """Actions that wait for the main thread; any thread may add one."""

    def __init__(self) -> None:
        self._actions: deque[Callable[[], None]] = deque()
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Return the descriptor that is readable while an action waits."""
        return self._event

    def add(self, action: Callable[[], None]) -> None:
        """Have something done soon."""
        self._actions.append(action)
        os.eventfd_write(self._event, 1)

    def run(self) -> None:
        """Do what waits, in the order in which it was added."""
        # First: what is added from here on wakes the main thread once more.
        try:
            os.eventfd_read(self._event)
        except BlockingIOError:
            # Nothing waits, or another thread is about to say that something does.
            return
        while self._actions:
            self._actions.popleft()()
