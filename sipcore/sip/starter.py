"""Starting workers: which port, how long to wait, and what became of those that did not start."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import structlog

from sipcore.domain.errors import StartUpError
from sipcore.sip import wire
from sipcore.sip.process import OnExit, OnMessage, WorkerLauncher, WorkerProcess

_log = structlog.get_logger(__name__)

_READY_SECONDS = 5.0
_FIRST_READY_SECONDS = 20.0
"""The first start also starts the fork server, which loads pjsua2."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """How the pool is made.

    Attributes:
        address: IPv4 address for SIP and RTP.
        sip_ports: one per worker, in the order in which they are used.
        rtp_ports: the RTP range; each worker gets an equal part.
        warm_workers: how many workers with room for a call are kept ready.
        idle_seconds: how long a further worker may stay idle before it is retired.
        allowed_peers: IPv4 addresses and networks that may talk SIP to us besides those that the directory names.
        uid, gid: what workers become when the server runs as root, or None.
        recordings: folder that workers write recordings into; empty: they record nothing.
    """

    address: str
    sip_ports: range
    rtp_ports: range
    warm_workers: int = 2
    idle_seconds: float = 60.0
    allowed_peers: tuple[str, ...] = ()
    uid: int | None = None
    gid: int | None = None
    recordings: str = ""


@dataclass(slots=True)
class _Birth:
    """A worker on its way, or a living one: who is told what it says."""

    on_message: OnMessage
    on_exit: OnExit
    ready: asyncio.Future[int] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class WorkerStarter:
    """Starts worker processes, each on a SIP port and a part of the RTP range of its own.

    Args:
        settings: ports, address and identity of the workers.
    """

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._launcher = WorkerLauncher()
        self._ports = deque(settings.sip_ports)
        self._peers = settings.allowed_peers
        self._births: dict[WorkerProcess, _Birth] = {}
        self._last_number = 0
        self._first = True

    @property
    def free_ports(self) -> int:
        """How many more workers could be started."""
        return len(self._ports)

    def start(self, on_message: OnMessage, on_exit: OnExit) -> Coroutine[Any, Any, tuple[WorkerProcess, int]]:
        """Start a worker on the next port that works; the first port is taken at once, before anybody waits.

        Args:
            on_message: told what it says once it is ready.
            on_exit: told when it is gone, if it was ready before.

        Returns:
            To be awaited: the worker, and how many legs it carries at once.

        Raises:
            StartUpError: it works on none of the free ports; the text says why on the last.
        """
        return self._start(self._ports.popleft() if self._ports else None, on_message, on_exit)

    async def _start(self, port: int | None, on_message: OnMessage, on_exit: OnExit) -> tuple[WorkerProcess, int]:
        refused, further = "no SIP port is free", len(self._ports)
        while port is not None:
            process = WorkerProcess(
                self._next_number(), self._worker_settings(port), self._take_message, self._take_exit
            )
            birth = self._births[process] = _Birth(on_message, on_exit)
            try:
                await process.start(self._launcher)
                max_legs = await asyncio.wait_for(birth.ready, self._patience())
            except (StartUpError, TimeoutError, OSError) as error:
                refused = str(error) or "a worker did not become ready in time"
                self._births.pop(process, None)
                process.kill()
                await self.reap(process)
                self.free_port(process)
                port = self._ports.popleft() if further else None
                further -= 1
            else:
                # What `allow` said while the process was starting did not reach it.
                if process.settings.peers != self._peers:
                    process.send(wire.AllowPeers(self._peers))
                return process, max_legs
        raise StartUpError(refused)

    def allow(self, peers: tuple[str, ...]) -> None:
        """Let only these addresses and networks talk SIP to the workers, present and future."""
        self._peers = peers
        for process in self._births:
            process.send(wire.AllowPeers(peers))

    def free_port(self, process: WorkerProcess) -> None:
        """Give the port of a reaped worker back; it is used again last."""
        self._ports.append(process.settings.sip_port)

    async def reap(self, process: WorkerProcess) -> None:
        """Wait until the process is gone."""
        await process.reap(self._launcher)

    async def close(self) -> None:
        """Wait for the end of every worker; they have been told to retire."""
        await asyncio.gather(*(process.reap(self._launcher) for process in list(self._births)))
        self._launcher.close()

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    def _patience(self) -> float:
        first, self._first = self._first, False
        return _FIRST_READY_SECONDS if first else _READY_SECONDS

    def _worker_settings(self, port: int) -> wire.WorkerSettings:
        settings = self._settings
        share = len(settings.rtp_ports) // len(settings.sip_ports) // 2 * 2
        return wire.WorkerSettings(
            address=settings.address,
            sip_port=port,
            rtp_port=settings.rtp_ports.start + share * settings.sip_ports.index(port),
            rtp_ports=share,
            peers=self._peers,
            uid=settings.uid,
            gid=settings.gid,
            recordings=settings.recordings,
        )

    def _take_message(self, process: WorkerProcess, message: Any) -> None:
        birth = self._births.get(process)
        if birth is None:
            return
        if isinstance(message, wire.WorkerReady):
            birth.ready.set_result(message.max_legs)
        elif isinstance(message, wire.WorkerFailed):
            if birth.ready.done():
                _log.error("worker failed", worker=process.number, pid=process.pid, reason=message.reason)
            else:
                birth.ready.set_exception(StartUpError(message.reason))
        else:
            birth.on_message(process, message)

    def _take_exit(self, process: WorkerProcess) -> None:
        birth = self._births.pop(process, None)
        if birth is None:
            return
        if birth.ready.done():
            birth.on_exit(process)
        else:
            birth.ready.set_exception(StartUpError("a worker died while it started"))
