"""The SIP and RTP peer: compiled when a bench starts, run beside the server, asked for what it counted."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from testbed.process import Child, TestbedError, is_bound, wait_until

COMPILER_LINE = "apt-get install -y gcc libc6-dev"
_SOURCES = ("peer.c", "sip.c", "media.c")
_SIDE_DIGITS = 9


def compile_peer(folder: Path) -> Path:
    """Compile the peer into a folder; return its path.

    Raises:
        TestbedError: there is no C compiler, or no C library to compile with; the text is the line that installs both.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise TestbedError(f"there is no C compiler; run: {COMPILER_LINE}")
    program = folder / "peer"
    sources = [str(Path(__file__).with_name(name)) for name in _SOURCES]
    command = [compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), *sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
        raise TestbedError(f"the peer does not compile; run: {COMPILER_LINE} ({first})")
    return program


def number_of(call: int, leg: int) -> str:
    """Return the E.164 number in Germany that tells the peer which call and which leg (1 or 2) an INVITE is of."""
    return f"+4930{leg}{call:0{_SIDE_DIGITS - 1}d}"


def member_of(number: str) -> tuple[int, int]:
    """Return the call and the leg that a number of `number_of` tells."""
    return int(number[-_SIDE_DIGITS + 1 :]), int(number[-_SIDE_DIGITS])


@dataclass(frozen=True)
class LegTimes:
    """When the messages of one leg were sent or received, in ns since the epoch; the first of each kind counts.

    Attributes:
        of: by the names in the peer's log: `invite`, `answer`, `ack`, `bye-sent`, `bye-answered`, `bye` and more.
    """

    of: dict[str, int]

    def has(self, *events: str) -> bool:
        """Tell whether every one of these happened."""
        return self.of.keys() >= set(events)


class Peer:
    """Runs the peer; a context manager.

    Args:
        program: what `compile_peer` made.
        address, port: where it takes INVITEs, over UDP.
        folder: for its logs.
        hold_seconds: how long after its ACK leg 2 hangs up; None: when `hang_up` says so.
        media: whether each leg plays G.711, 50 packets a second.
    """

    def __init__(
        self, program: Path, address: str, port: int, folder: Path, *, hold_seconds: float | None, media: bool = False
    ) -> None:
        self._where = (address, port)
        self._messages = folder / "peer.messages"
        hold = "-1" if hold_seconds is None else str(round(hold_seconds * 1000))
        command = [
            str(program), address, str(port), str(self._messages), hold, "media" if media else "silent",
        ]  # fmt: skip
        self._child = Child(command, folder / "peer.log", piped=True)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def __enter__(self) -> Self:
        try:
            wait_until(
                lambda: is_bound("udp", self._where[1], self._where[0]),
                5.0,
                "the peer does not listen",
                alive=self._child.death,
            )
        except TestbedError:
            self._child.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop()

    def counters(self) -> dict[str, Any]:
        """Return everything counted since the start; the histograms since the last `reset`.

        Histograms (`jitter`, `delay`) are pairs of tenths of a millisecond and how often.
        """
        return self._ask("counters")

    def reset(self) -> None:
        """Empty the histograms."""
        self._ask("reset")

    def hang_up(self) -> None:
        """Let leg 2 of every call hang up, one every 5 ms."""
        self._ask("hang-up")

    def messages(self) -> dict[tuple[int, int], LegTimes]:
        """Return the times of the messages of each leg, by call and leg (1 or 2)."""
        self.counters()  # it writes its log out before it answers
        found: dict[tuple[int, int], LegTimes] = {}
        for at, event, leg, call in self._log():
            found.setdefault((call, leg), LegTimes({})).of.setdefault(event, at)
        return found

    def dialled(self) -> list[tuple[int, int]]:
        """Return call and leg of every INVITE that began a dialog or was refused, as often as it came."""
        self.counters()  # it writes its log out before it answers
        return [(call, leg) for _, event, leg, call in self._log() if event in {"invite", "refused"}]

    def _log(self) -> Iterator[tuple[int, str, int, int]]:
        for line in self._messages.read_text().splitlines():
            at, event, leg, call = line.split()
            yield int(at), event, int(leg), int(call)

    def _ask(self, command: str) -> dict[str, Any]:
        pipes = self._child.process
        assert pipes.stdin is not None  # noqa: S101 - `piped` makes both
        assert pipes.stdout is not None  # noqa: S101
        try:
            pipes.stdin.write(command + "\n")
            pipes.stdin.flush()
        except BrokenPipeError:
            raise TestbedError(self._child.death() or "the peer is gone") from None
        line = pipes.stdout.readline()
        if not line:
            raise TestbedError(self._child.death() or "the peer is gone")
        answer: dict[str, Any] = json.loads(line)
        return answer
