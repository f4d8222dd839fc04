"""The pool's running workers: started as load grows, let go after it, cleared up after when one dies."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from sipcore.domain.errors import StartUpError
from sipcore.sip import journal, wire
from sipcore.sip.capacity import Capacity, Carrier
from sipcore.sip.process import OnExit, OnMessage, WorkerProcess
from sipcore.sip.starter import PoolSettings, WorkerStarter

_log = structlog.get_logger(__name__)

HANDLE_SECONDS = 0.6
"""A closed media socket keeps its I/O handle for 500 ms in pjlib's select queue."""
_LEGS_IN_HANDLES = 20
"""Legs, living or ended within `HANDLE_SECONDS`, that one worker may hold: 40 of its 64 I/O handles."""
_STUCK_SECONDS = 45.0
"""A leg that was hung up this long ago and has not ended tells that its worker does not work any more."""
_TICK_SECONDS = 1.0
_GROW_LATER_SECONDS = 0.002


@dataclass(slots=True, eq=False, kw_only=True)
class PoolWorker(Carrier):
    """What the pool knows of one worker.

    Attributes:
        process: its process.
        dialogs: the journal of its legs and links, by Call-ID.
        ended: when legs on it have ended, lately.
        idle_since: when it had its last call.
    """

    process: WorkerProcess
    dialogs: dict[str, journal.Dialog] = field(default_factory=dict)
    ended: deque[float] = field(default_factory=deque)
    idle_since: float = field(default_factory=time.monotonic)

    def paced(self, legs: int) -> bool:
        """Tell whether its I/O handles allow so many more legs now."""
        now = time.monotonic()
        while self.ended and self.ended[0] < now - HANDLE_SECONDS:
            self.ended.popleft()
        return len(self.dialogs) + len(self.ended) + legs <= _LEGS_IN_HANDLES

    def forget_dialog(self, call_id: str) -> None:
        """Take note that a dialog is over; its handles come back a little later."""
        if self.dialogs.pop(call_id, None) is not None:
            self.ended.append(time.monotonic())


class Crew:
    """The workers' lives.

    Args:
        settings: how many are kept warm, and how long idle ones stay.
        starter: starts their processes.
        capacity: where running ones are entered.
        on_message: told what a worker says.
        on_gone: told of a worker that is gone, with all that it carried.

    Attributes:
        max_legs: what one worker carries.
        started: how many workers were started.
        died: how many of them died of themselves.
    """

    def __init__(
        self,
        settings: PoolSettings,
        starter: WorkerStarter,
        capacity: Capacity[PoolWorker],
        on_message: Callable[[PoolWorker, Any], None],
        on_gone: Callable[[PoolWorker], None],
    ) -> None:
        self._settings = settings
        self._starter = starter
        self._capacity = capacity
        self._on_message = on_message
        self._on_gone = on_gone
        self._starting = 0
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._ticker: asyncio.TimerHandle | None = None
        self.max_legs = 1
        self.started = 0
        self.died = 0

    @property
    def closing(self) -> bool:
        """True once nothing new begins."""
        return self._closing

    @property
    def starting(self) -> int:
        """How many are on their way."""
        return self._starting

    async def start(self) -> None:
        """Start the warm workers.

        Raises:
            StartUpError: no worker can use the address, or any of the ports.
        """
        # The first one alone: it loads the fork server, and tells whether the address is usable at all.
        await self._begin_worker()
        await self.grow(self._settings.warm_workers - 1)
        self._tick()

    async def close(self) -> None:
        """End every worker, which releases its legs and bindings."""
        self._closing = True
        if self._ticker is not None:
            self._ticker.cancel()
        for worker in self._capacity.workers.values():
            worker.process.send(wire.Retire())
        await self._starter.close()
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def grow(self, workers: int) -> bool:
        """Start so many workers at the same time, as far as there are ports; tell whether any could be started."""
        wanted = min(workers, self._starter.free_ports)
        started = await asyncio.gather(*[self._begin_worker() for _ in range(wanted)], return_exceptions=True)
        for failure in started:
            if isinstance(failure, StartUpError):
                _log.warning("worker not started", reason=str(failure))
            elif isinstance(failure, BaseException):
                raise failure
        return None in started

    async def start_registering(self, on_message: OnMessage, on_exit: OnExit) -> WorkerProcess:
        """Start a worker for bindings.

        Args:
            on_message: told of answers to its REGISTER requests.
            on_exit: told when it is gone.

        Raises:
            StartUpError: it could not be started.
        """

        def take_message(process: WorkerProcess, message: Any) -> None:
            if isinstance(message, wire.RegistrationAnswered):
                on_message(process, message)
            else:
                self._take_message(process, message)

        def take_exit(process: WorkerProcess) -> None:
            on_exit(process)
            self._take_exit(process)

        process, max_legs = await self._starter.start(take_message, take_exit)
        self._enter(PoolWorker(process.number, max_legs, registers=True, process=process))
        return process

    async def change(self, seconds: float) -> None:
        """Wait until slots have come back or a worker has come, or until the time is over."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def note_change(self) -> None:
        """Take note that slots have come back."""
        self._changed.set()

    def keep_warm_soon(self) -> None:
        """Start further workers as needed, after what is more urgent: a call that has just got its slots is placed."""
        asyncio.get_running_loop().call_later(_GROW_LATER_SECONDS, self._keep_warm)

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something that `close` shall wait for."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _keep_warm(self) -> None:
        if not self._closing:
            missing = self._settings.warm_workers - len(self._capacity.with_room(2)) - self._starting
            if missing > 0 and self._starter.free_ports:
                self.run(self._grow_quietly(missing))

    async def _grow_quietly(self, workers: int) -> None:
        await self.grow(workers)

    def _begin_worker(self) -> Coroutine[Any, Any, None]:
        """Count a worker as starting, and take its port, before anybody else can."""
        self._starting += 1
        return self._start_worker(self._starter.start(self._take_message, self._take_exit))

    async def _start_worker(self, start: Awaitable[tuple[WorkerProcess, int]]) -> None:
        try:
            process, max_legs = await start
        finally:
            self._starting -= 1
            self._changed.set()
        self.max_legs = max_legs
        self._enter(PoolWorker(process.number, max_legs, process=process))

    def _enter(self, worker: PoolWorker) -> None:
        self.started += 1
        self._capacity.enter(worker)
        if not worker.process.alive:
            self._take_exit(worker.process)

    def _take_message(self, process: WorkerProcess, message: Any) -> None:
        worker = self._capacity.workers.get(process.number)
        if worker is not None:
            self._on_message(worker, message)

    def _take_exit(self, process: WorkerProcess) -> None:
        worker = self._capacity.lose(process.number)
        if worker is None:
            return
        if not worker.leaving and not self._closing:
            self.died += 1
            legs = [leg for reservation in worker.reservations.values() for leg in reservation.legs]
            _log.error("worker lost", worker=process.number, pid=process.pid, legs=legs)
        self._on_gone(worker)
        self.run(self._clear_up(worker))

    async def _clear_up(self, worker: PoolWorker) -> None:
        await self._starter.reap(worker.process)
        try:
            if worker.dialogs:
                await journal.release(list(worker.dialogs.values()))
        finally:
            self._starter.free_port(worker.process)
            self._keep_warm()

    def _tick(self) -> None:
        now = time.monotonic()
        self._ticker = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)
        for worker in list(self._capacity.workers.values()):
            released = (each.released_at for each in worker.reservations.values())
            if any(at is not None and now - at > _STUCK_SECONDS for at in released):
                _log.error("worker does not end its legs; killed", worker=worker.number)
                worker.process.kill()
        self._retire_one(now)
        self._keep_warm()

    def _retire_one(self, now: float) -> None:
        workers = self._capacity.workers.values()
        idle = [worker for worker in workers if worker.idle and not worker.leaving and not worker.registers]
        if len(idle) <= self._settings.warm_workers:
            return
        longest = min(idle, key=lambda worker: worker.idle_since)
        if now - longest.idle_since > self._settings.idle_seconds:
            longest.leaving = True
            longest.process.send(wire.Retire())
