"""The parent's side of one worker: starting its process, talking to it, and noticing its end at once."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import Any

import msgspec
import structlog

from sipcore.sip import entry, wire

_log = structlog.get_logger(__name__)

_REAP_SECONDS = 5.0

OnMessage = Callable[["WorkerProcess", Any], None]
OnExit = Callable[["WorkerProcess"], None]


@contextlib.contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide the program's main module from multiprocessing.

    It would be imported anew in each worker, with the command line, the API and all that they need, although a worker
    wants nothing of it: that alone would cost ten times a worker's start and memory.
    """
    main = sys.modules["__main__"]
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    main.__spec__ = None
    if file is not None:
        del main.__file__
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file


class WorkerLauncher:
    """Starts workers from one fork server that has pjsua2 loaded and has never made an `Endpoint`."""

    def __init__(self) -> None:
        context: ForkServerContext = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["sipcore.sip.entry", "sipcore.sip.worker"])
        self._context = context
        # One thread: starting blocks for a moment, and multiprocessing's bookkeeping wants one thread at a time.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="worker-launcher")

    async def start(self, channel: socket.socket, settings: wire.WorkerSettings) -> ForkServerProcess:
        """Start one process; it owns its end of the channel from now on."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._start, channel, settings)

    async def reap(self, process: ForkServerProcess) -> None:
        """Wait for a process that has ended, or end it."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._reap, process)

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=True)

    def _start(self, channel: socket.socket, settings: wire.WorkerSettings) -> ForkServerProcess:
        process = self._context.Process(target=entry.run, args=(channel, settings), daemon=True)
        with channel, _without_main_module():
            process.start()
        return process

    @staticmethod
    def _reap(process: ForkServerProcess) -> None:
        process.join(_REAP_SECONDS)
        if process.is_alive():
            process.kill()
            process.join(_REAP_SECONDS)
        process.close()


class WorkerProcess:
    """One worker.

    Args:
        number: its id, never used twice.
        settings: what it is started with.
        on_message: told everything that it says.
        on_exit: told once, when it is gone.
    """

    def __init__(self, number: int, settings: wire.WorkerSettings, on_message: OnMessage, on_exit: OnExit) -> None:
        self.number = number
        self.settings = settings
        self._on_message = on_message
        self._on_exit = on_exit
        self._channel: socket.socket | None = None
        self._process: ForkServerProcess | None = None
        self._reaping: asyncio.Future[None] | None = None
        self.pid: int | None = None

    async def start(self, launcher: WorkerLauncher) -> None:
        """Start the process; that it is ready comes as a message."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * wire.MAX_DATAGRAM)
        self._process = await launcher.start(theirs, self.settings)
        self.pid = self._process.pid
        self._channel = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._readable)

    @property
    def alive(self) -> bool:
        """False once it is gone."""
        return self._channel is not None

    def send(self, message: wire.ToWorker) -> None:
        """Tell it something. A worker that takes nothing any more is killed, and its end comes as any other."""
        if self._channel is None:
            return
        try:
            self._channel.send(wire.encode(message))
        except BlockingIOError:
            self.kill()
        except OSError:
            # It is just gone: the reader notices and tells.
            return

    def kill(self) -> None:
        """End it without a word to its legs."""
        if self._process is not None and self.alive:
            self._process.kill()

    async def reap(self, launcher: WorkerLauncher) -> None:
        """Wait until the process has left nothing behind; it is ended when it does not end by itself."""
        if self._reaping is None and self._process is not None:
            self._reaping = asyncio.ensure_future(launcher.reap(self._process))
        if self._reaping is not None:
            await asyncio.shield(self._reaping)

    def _readable(self) -> None:
        while self._channel is not None:
            try:
                datagram = self._channel.recv(wire.MAX_DATAGRAM)
            except BlockingIOError:
                return
            except ConnectionError:
                # It died with a command unread; this is told once, and before what it had still said.
                continue
            if not datagram:
                self._gone()
                return
            try:
                message = wire.decode(datagram)
            except msgspec.DecodeError:
                _log.exception("worker says what nobody understands; killed", worker=self.number)
                self.kill()
                return
            self._on_message(self, message)

    def _gone(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            asyncio.get_running_loop().remove_reader(channel.fileno())
            channel.close()
            self._on_exit(self)
