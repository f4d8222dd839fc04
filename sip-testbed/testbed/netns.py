"""A network namespace with a wire of its own to this one, gone when its owner is gone; needs root."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from pathlib import Path

from testbed.process import Child, Peer, TestbedError, find_program, wait_until


class RootNeededError(TestbedError):
    """Network namespaces are made by root only."""


def require_root() -> None:
    """Raise `RootNeededError`, which says so, unless we are root."""
    if os.geteuid() != 0:
        raise RootNeededError("a network namespace needs root: run the tests as root to include this one")


class NetworkNamespace(Peer):
    """A namespace joined to ours by a veth pair with two private addresses; a context manager.

    `outside` is our end's address, `inside` the other end's. The namespace belongs to one idle process and has no
    name, so that the kernel removes it, and the wire with it, when that process ends for whatever reason.
    """

    def __init__(self) -> None:
        self.outside = ""
        self.inside = ""
        self.interface = ""
        self._holder: Child | None = None
        self._workdir: Path | None = None

    @property
    def pid(self) -> int:
        """The process that holds the namespace."""
        if self._holder is None:
            raise TestbedError("the namespace is not there")
        return self._holder.pid

    def command(self, *words: str) -> list[str]:
        """Return the command line that runs a command inside."""
        return [find_program("nsenter"), f"--net=/proc/{self.pid}/ns/net", *words]

    def start(self) -> None:
        """Make the namespace and the wire."""
        require_root()
        self._workdir = Path(tempfile.mkdtemp(prefix="netns-"))
        idle = [find_program("unshare"), "--net", find_program("sleep"), "infinity"]
        self._holder = Child(idle, self._workdir / "log")
        try:
            ours = Path("/proc/self/ns/net").readlink()
            theirs = Path(f"/proc/{self.pid}/ns/net")
            wait_until(
                lambda: theirs.readlink() != ours, 5.0, "no new namespace", alive=self._holder.death, interval=0.002
            )
            self._wire()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Remove both."""
        if self.interface:
            # The namespace's end takes a moment; the wire is to be gone when we return.
            subprocess.run([find_program("ip"), "link", "delete", self.interface], check=False, capture_output=True)
            self.interface = ""
        if self._holder is not None:
            self._holder.stop()
            self._holder = None
        if self._workdir is not None:
            shutil.rmtree(self._workdir, ignore_errors=True)

    def _wire(self) -> None:
        ip = find_program("ip")
        taken = _run(ip, "-o", "-4", "addr", "show")
        network = next(
            (net for _ in range(200) if f" {(net := f'10.231.{secrets.randbelow(256)}')}." not in taken), None
        )
        if network is None:
            raise TestbedError("no free network in 10.231.0.0/16")
        self.outside, self.inside = f"{network}.1", f"{network}.2"
        name = f"tb{secrets.token_hex(4)}"
        inner = f"{name}i"
        _run(ip, "link", "add", name, "type", "veth", "peer", "name", inner, "netns", str(self.pid))
        self.interface = name
        # Without IPv6 addresses, so that nothing but what is tested goes over the wire.
        _run(ip, "link", "set", name, "addrgenmode", "none")
        _run(*self.command(ip, "link", "set", inner, "addrgenmode", "none"))
        _run(ip, "addr", "add", f"{self.outside}/30", "dev", name)
        _run(ip, "link", "set", name, "up")
        _run(*self.command(ip, "addr", "add", f"{self.inside}/30", "dev", inner))
        _run(*self.command(ip, "link", "set", "lo", "up"))
        _run(*self.command(ip, "link", "set", inner, "up"))


def _run(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise TestbedError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
