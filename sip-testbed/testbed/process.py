"""Child processes that never outlive us, free ports, and waiting for a condition instead of sleeping."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

APT_LINE = "apt-get install -y kamailio kamailio-sqlite-modules sip-tester baresip-core sipsak tshark sox iproute2"

# The kernel's parent-death signal is bound to the thread that forked, not to the process (prctl(2)). A child made
# from a short-lived thread would be killed when that thread ends, so one thread that lives as long as we do makes
# them all.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="testbed-spawner")

_T = TypeVar("_T")
Kind = Literal["udp", "tcp"]
_KINDS: tuple[Kind, ...] = ("udp", "tcp")
_FIRST_PORT, _LAST_PORT, _RANGE = 26000, 32400, 200
_RANGES = (_LAST_PORT - _FIRST_PORT) // _RANGE
_FIRST_BLOCK, _LAST_BLOCK, _BLOCK = 10200, 25000, 50
_LISTENING = "0A"


class TestbedError(RuntimeError):
    """A peer could not be started or did not do what was asked of it; the text says which and why."""

    __test__ = False  # not a pytest class


class MissingProgramError(TestbedError):
    """A program that the test bed needs is not installed; the text is the line that installs it."""

    def __init__(self, program: str) -> None:
        super().__init__(f"{program} is not installed; run: {APT_LINE}")


def find_program(name: str) -> str:
    """Return the path of an installed program, also from sbin; raise `MissingProgramError` without one."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if path is None:
        raise MissingProgramError(name)
    return path


def _claim(first: int) -> socket.socket | None:
    """Claim the ports that begin with `first` until the socket is closed, or return None when somebody has them.

    An abstract unix(7) address is bound by one socket of the machine at a time, and freed when its process ends.
    """
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0sip-testbed-ports-{first}")
    except OSError:
        claim.close()
        return None
    return claim


class PortRange:
    """Neighbouring ports of 127.0.0.1, free for UDP and TCP, that nobody else of the test bed takes.

    They are given back by `release`, or when the object goes. Not the ports that `free_port` gives.

    Args:
        count: how many.

    Attributes:
        ports: they; the first one is even, as RTP wants it.
    """

    def __init__(self, count: int) -> None:
        blocks = -(-count // _BLOCK)
        starts = list(range(_FIRST_BLOCK, _LAST_BLOCK - blocks * _BLOCK, _BLOCK))
        random.shuffle(starts)
        for first in starts:
            claims = _claim_blocks(first, blocks)
            if claims is None:
                continue
            self.ports = range(first, first + count)
            if all(_can_bind(kind, "127.0.0.1", port) for port in self.ports for kind in _KINDS):
                self.release = weakref.finalize(self, _close_all, claims)
                return
            _close_all(claims)
        raise TestbedError(f"no {count} neighbouring ports are free")


def _claim_blocks(first: int, blocks: int) -> list[socket.socket] | None:
    claims: list[socket.socket] = []
    for start in range(first, first + blocks * _BLOCK, _BLOCK):
        claim = _claim(start)
        if claim is None:
            _close_all(claims)
            return None
        claims.append(claim)
    return claims


def _close_all(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


class _Ports:
    """The ports of this process: a range that no other process on this machine takes from at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claims: list[socket.socket] = []
        self._ports: deque[int] = deque()
        atexit.register(_close_all, self._claims)

    def next(self) -> int:
        """Return the first of the next four ports, the one not used for longest."""
        with self._lock:
            port = self._ports.popleft() if self._ports else 0
            if port == 0:
                self._claim()
                port = self._ports.popleft()
            self._ports.append(port)
            return port

    def widen(self) -> None:
        """Take one more range."""
        with self._lock:
            self._claim()

    def _claim(self) -> None:
        for first in random.sample(range(_FIRST_PORT, _LAST_PORT, _RANGE), _RANGES):
            claim = _claim(first)
            if claim is None:
                continue
            self._claims.append(claim)
            self._ports.extendleft(reversed(range(first, first + _RANGE, 4)))
            return
        raise TestbedError("all ports of the test bed are taken by other processes")


_PORTS = _Ports()


def free_port(kind: Kind = "udp", host: str = "127.0.0.1") -> int:
    """Return the first of four neighbouring ports that are free now on `host`, for UDP and TCP.

    Four, the first one even, because media takes pairs for RTP and RTCP (RFC 3550 section 11) and SIPp takes two of
    them. `kind` is what the caller needs for certain. Taken from below the kernel's ephemeral range, so that no
    outgoing connection of a test takes a port before its owner does, and from a range of this process's own, so that
    test runs side by side do not meet.
    """
    for attempt in range(_RANGE):
        if attempt and attempt % (_RANGE // 8) == 0:
            # Half of the range is busy. Going on to its end would come to ports that were given but are not bound yet.
            _PORTS.widen()
        port = _PORTS.next()
        if all(_can_bind(each, host, port + n) for n in range(4) for each in _KINDS):
            return port
    raise TestbedError(f"no free {kind} port on {host}")


def _can_bind(kind: Kind, host: str, port: int) -> bool:
    kind_number = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind_number) as probe:
        if kind == "tcp":
            # As servers do: a connection of an earlier test in TIME_WAIT does not make the port taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def wait_until(
    condition: Callable[[], _T | None],
    timeout: float,
    what: str | Callable[[], str],
    *,
    interval: float = 0.01,
    alive: Callable[[], str | None] | None = None,
) -> _T:
    """Return the first true value of `condition`, asked every `interval` seconds.

    Raises `TestbedError` after `timeout` seconds, or as soon as `alive` returns the reason why waiting is in vain.
    """
    deadline = time.monotonic() + timeout
    while True:
        if value := condition():
            return value
        if alive is not None and (reason := alive()):
            raise TestbedError(reason)
        if time.monotonic() >= deadline:
            raise TestbedError(f"after {timeout:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(interval)


def is_bound(kind: Kind, port: int, host: str = "127.0.0.1", pid: int | None = None) -> bool:
    """Tell whether a socket is bound (UDP) or listens (TCP) at an IPv4 address, in the namespace of process `pid`.

    Reads proc(5) net/udp and net/tcp, so that asking sends no packet that a peer would count.
    """
    want = f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"
    with suppress(OSError):
        for line in Path(f"/proc/{pid or 'self'}/net/{kind}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if local == want and (kind == "udp" or state == _LISTENING):
                return True
    return False


class Peer(ABC):
    """A context manager that starts on entering and stops on leaving, with nothing left behind, also on failure."""

    @abstractmethod
    def start(self) -> None:
        """Start it and return when it can be used."""

    @abstractmethod
    def stop(self) -> None:
        """End it; what it left to read stays until the context is left."""

    def _clean(self) -> None:  # noqa: B027 - some peers leave nothing to remove
        """Remove what `stop` leaves."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._clean()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        self._clean()


class Child:
    """One child process in its own process group, killed by the kernel when this process dies.

    `log` is the file that receives its standard output and error (standard output only when it is not piped).
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        piped: bool = False,
        death_signal: Literal["KILL", "TERM"] = "KILL",
    ) -> None:
        self.name = Path(command[0]).name
        self.log = log
        # util-linux's setpriv sets the parent-death signal after the fork without a preexec_fn, which is not safe
        # in a process with threads.
        line = [find_program("setpriv"), "--pdeathsig", death_signal, *command]
        with log.open("ab") as sink:
            self.process: subprocess.Popen[str] = _SPAWNER.submit(
                subprocess.Popen,
                line,
                stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else sink,
                stderr=sink,
                cwd=cwd,
                env=None if environment is None else dict(environment),
                start_new_session=True,
                text=True,
                bufsize=1 if piped else -1,
            ).result()

    @property
    def pid(self) -> int:
        """The process's id (setpriv keeps it when it becomes the program)."""
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def death(self) -> str | None:
        """Return why the process is not running (with the end of its log), or None while it is."""
        code = self.process.poll()
        if code is None:
            return None
        return f"{self.name} ended with code {code}; the end of its log:\n{self.log_tail()}"

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, timeout: float = 3.0) -> None:
        """End the process: ask with SIGTERM, then SIGKILL to its whole group; safe to call twice."""
        if self.running:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout)
        # The group, because a server that was killed leaves the processes it forked.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        pipes: tuple[IO[str] | None, ...] = (self.process.stdin, self.process.stdout)
        for pipe in pipes:
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
