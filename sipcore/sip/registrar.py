"""Registrations: a worker of their own holds the trunks' bindings; when to register is the domain's decision."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from sipcore.domain.directory import Directory, Trunk
from sipcore.domain.errors import StartUpError
from sipcore.domain.registration import Registration, RegistrationState, TrunkState
from sipcore.sip import wire
from sipcore.sip.process import OnExit, OnMessage, WorkerProcess
from sipcore.sip.resolver import Resolver

_log = structlog.get_logger(__name__)

_TRUNKS_PER_WORKER = 6
"""The library carries eight accounts: these, the plain one, and one that is being replaced."""
_UNREACHABLE = 503


@dataclass(slots=True)
class _Entry:
    trunk: Trunk
    registration: Registration
    process: WorkerProcess | None = None
    told: RegistrationState | None = None


class RegistrarClient:
    """Keeps every trunk that has a registrar registered.

    Args:
        start_worker: starts a worker for bindings; told what takes its answers, and what takes its end.
        resolver: looks registrars up.

    Attributes:
        on_change: told how a trunk stands, when that is another state than before.
    """

    def __init__(
        self, start_worker: Callable[[OnMessage, OnExit], Awaitable[WorkerProcess]], resolver: Resolver
    ) -> None:
        self._start_worker = start_worker
        self.on_change: Callable[[TrunkState], None] = lambda _state: None
        self._resolver = resolver
        self._entries: dict[str, _Entry] = {}
        self._without: list[str] = []
        self._processes: list[WorkerProcess] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()
        self._running = False

    def start(self) -> None:
        """Begin to register."""
        self._running = True
        self._schedule()

    def close(self) -> None:
        """Register nothing more; the bindings are taken back as their workers end."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def configure(self, directory: Directory) -> None:
        """Take the trunks over: new and changed ones register at once, unchanged ones stay as they are."""
        wanted = {name: trunk for name, trunk in directory.trunks.items() if trunk.registrar is not None}
        self._without = sorted(set(directory.trunks) - set(wanted))
        for name in [name for name, entry in self._entries.items() if wanted.get(name) != entry.trunk]:
            entry = self._entries.pop(name)
            if entry.process is not None:
                entry.process.send(wire.DropTrunk(name))
        for name, trunk in wanted.items():
            if name not in self._entries:
                self._entries[name] = _Entry(trunk, Registration(name))
        self._schedule()

    def states(self) -> tuple[TrunkState, ...]:
        """Tell how each trunk stands."""
        kept = [entry.registration.status() for entry in self._entries.values()]
        return (*kept, *(TrunkState(name, RegistrationState.NONE) for name in self._without))

    def _schedule(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadlines = [entry.registration.next_deadline() for entry in self._entries.values()]
        due = min((deadline for deadline in deadlines if deadline is not None), default=None)
        if due is not None and self._running:
            delay = max(due - time.monotonic(), 0.0)
            self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        now = time.monotonic()
        for entry in self._entries.values():
            if entry.registration.on_deadline(now):
                self._spawn_task(self._register(entry))
        self._schedule()

    async def _register(self, entry: _Entry) -> None:
        trunk, registrar = entry.trunk, entry.trunk.registrar
        proxy_address = await self._resolver.resolve(trunk.proxy.host)
        registrar_address = await self._resolver.resolve(registrar.host) if registrar is not None else None
        if proxy_address is None or registrar_address is None:
            self._answered(entry, wire.RegistrationAnswered(trunk.name, _UNREACHABLE, "host name not found", 0))
            return
        if entry.process is None:
            try:
                async with self._lock:
                    entry.process = await self._process_with_room()
            except StartUpError as error:
                self._answered(entry, wire.RegistrationAnswered(trunk.name, _UNREACHABLE, str(error), 0))
                return
            entry.process.send(wire.UseTrunk(trunk, proxy_address, registrar_address))
        entry.process.send(wire.Register(trunk.name))

    async def _process_with_room(self) -> WorkerProcess:
        for process in self._processes:
            if sum(entry.process is process for entry in self._entries.values()) < _TRUNKS_PER_WORKER:
                return process
        process = await self._start_worker(self._take_answer, self._take_exit)
        self._processes.append(process)
        return process

    def _take_answer(self, process: WorkerProcess, answer: wire.RegistrationAnswered) -> None:
        entry = self._entries.get(answer.trunk)
        if entry is not None and entry.process is process:
            self._answered(entry, answer)

    def _answered(self, entry: _Entry, answer: wire.RegistrationAnswered) -> None:
        before = entry.registration.state
        entry.registration.answered(answer.sip_code, answer.reason, answer.expires_seconds, time.monotonic())
        after = entry.registration.state
        if after != before or after is RegistrationState.FAILED:
            log = _log.warning if after is RegistrationState.FAILED else _log.info
            log("trunk " + after, trunk=answer.trunk, sip_code=answer.sip_code, reason=answer.reason)
        self._tell(entry)
        self._schedule()

    def _take_exit(self, process: WorkerProcess) -> None:
        if process in self._processes:
            self._processes.remove(process)
        for entry in self._entries.values():
            if entry.process is process:
                entry.process = None
                entry.registration.worker_lost(time.monotonic())
                if self._running:
                    self._tell(entry)
        self._schedule()

    def _tell(self, entry: _Entry) -> None:
        status = entry.registration.status()
        if status.state is not entry.told:
            entry.told = status.state
            self.on_change(status)

    def _spawn_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
