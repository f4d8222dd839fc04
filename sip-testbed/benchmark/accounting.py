"""What processes cost: CPU time and memory of a process tree, and how busy the rest of the machine was meanwhile."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PPID, _CUTIME, _CSTIME = 1, 13, 14
_USER, _NICE, _SYSTEM, _STEAL = 1, 2, 3, 8


@dataclass(frozen=True)
class _Process:
    parent: int
    cpu_seconds: float


def _process(pid: int) -> _Process:
    """Read one process (proc(5) pid/stat), the CPU time of its reaped children included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # clock_getcpuclockid(3): nanoseconds, where stat has hundredths of a second, too coarse for fifty processes.
    own = time.clock_gettime((~pid << 3) | 2)
    return _Process(int(fields[_PPID]), own + (int(fields[_CUTIME]) + int(fields[_CSTIME])) / _TICKS)


def _processes() -> dict[int, _Process]:
    found = {}
    for entry in Path("/proc").iterdir():
        # A process may end while it is looked at.
        with suppress(OSError):
            if entry.name.isdigit():
                found[int(entry.name)] = _process(int(entry.name))
    return found


def _tree(processes: dict[int, _Process], root: int) -> set[int]:
    tree = {root} & processes.keys()
    while True:
        more = {pid for pid, process in processes.items() if process.parent in tree} - tree
        if not more:
            return tree
        tree |= more


def children(parent: int) -> set[int]:
    """Return the ids of a process's children."""
    return {pid for pid, process in _processes().items() if process.parent == parent}


def pss_mb(pid: int) -> float:
    """Return the proportional set size of a process in MB (10**6 octets): shared pages count in parts.

    Raises:
        OSError: the process is gone, or not ours to look at.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(f"no Pss in /proc/{pid}/smaps_rollup")


def cpu_model() -> str:
    """Return the processor's name as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown processor"


@dataclass(frozen=True)
class Load:
    """What ran during a measurement, each in cores (CPU seconds per second).

    Attributes:
        seconds: how long it took.
        server: the server and its descendants.
        main: the server's main process alone.
        peer: the SIP peer.
        bench: this program.
        other_cores: all else on the machine, and what the hypervisor took.
        load_average: of one minute, at its end.
    """

    seconds: float
    server: float
    main: float
    peer: float
    bench: float
    other_cores: float
    load_average: float

    def json(self) -> dict[str, float]:
        """Return it with three digits after the point."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class _Snapshot:
    at: float
    server: float
    main: float
    peer: float
    bench: float
    ours: float
    everyone: float
    kernel_busy: float


class Meter:
    """Measures `Load` from its making on.

    Args:
        server: process id of the server, a descendant of this process; None when there is none.
        peer: process id of the SIP peer; None when there is none.
    """

    def __init__(self, server: int | None = None, peer: int | None = None) -> None:
        self._server = server
        self._peer = peer
        self._start = self._now()

    def read(self) -> Load:
        """Return the load since the start."""
        start, end = self._start, self._now()
        seconds = end.at - start.at

        def cores(first: float, last: float) -> float:
            return max(last - first, 0.0) / seconds

        ours = cores(start.ours, end.ours)
        # Other containers show in the kernel's sum only, and short sleepers only in the processes' clocks.
        everyone = max(cores(start.everyone, end.everyone), cores(start.kernel_busy, end.kernel_busy))
        return Load(
            seconds=seconds,
            server=cores(start.server, end.server),
            main=cores(start.main, end.main),
            peer=cores(start.peer, end.peer),
            bench=cores(start.bench, end.bench),
            other_cores=max(everyone - ours, 0.0),
            load_average=os.getloadavg()[0],
        )

    def _now(self) -> _Snapshot:
        processes = _processes()

        def cpu(pids: set[int]) -> float:
            return sum(processes[pid].cpu_seconds for pid in pids)

        busy = [int(ticks) for ticks in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        return _Snapshot(
            at=time.monotonic(),
            server=cpu(_tree(processes, self._server)) if self._server is not None else 0.0,
            main=cpu({self._server} & processes.keys()) if self._server is not None else 0.0,
            peer=cpu({self._peer} & processes.keys()) if self._peer is not None else 0.0,
            bench=time.process_time(),
            ours=cpu(_tree(processes, os.getpid())),
            everyone=cpu(set(processes)),
            kernel_busy=sum(busy[field - 1] for field in (_USER, _NICE, _SYSTEM, _STEAL)) / _TICKS,
        )
