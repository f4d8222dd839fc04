"""One worker process, told directly what to do, and everything that it says."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from testbed.process import Peer, PortRange, TestbedError, free_port

from sipcore.domain.commands import HangUpLeg, LegPlan, PlaceLeg
from sipcore.domain.directory import SipHost
from sipcore.domain.events import LegAnswered, LegEnded, MessagesSeen
from sipcore.sip import wire

MessageT = TypeVar("MessageT")
PATIENCE = 15.0
"""Seconds to wait for what a busy machine may be slow to do."""
_RTP_PORTS = 24
_SCRIPT = """
import socket, sys, msgspec
from sipcore.sip import entry, wire
settings = msgspec.json.decode(sys.argv[2], type=wire.WorkerSettings)
entry.run(socket.socket(fileno=int(sys.argv[1])), settings)
"""


class DrivenWorker(Peer):
    """A worker; a context manager.

    Args:
        recordings: folder for its recordings, or empty.
    """

    def __init__(self, recordings: Path | str = "") -> None:
        self._ports = PortRange(_RTP_PORTS)
        self.port = free_port()
        self.settings = wire.WorkerSettings(
            address="127.0.0.1",
            sip_port=self.port,
            rtp_port=self._ports.ports.start,
            rtp_ports=_RTP_PORTS,
            peers=(),
            recordings=str(recordings),
        )
        self.said: list[Any] = []
        self._changed = threading.Condition()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        line = [sys.executable, "-c", _SCRIPT, str(theirs.fileno()), msgspec.json.encode(self.settings).decode()]
        self.process = subprocess.Popen(line, pass_fds=[theirs.fileno()], cwd=Path(__file__).parents[2])
        theirs.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait(wire.WorkerReady)

    def stop(self) -> None:
        """Let it release everything and end."""
        self.send(wire.Retire())
        self._reader.join(PATIENCE)
        self._channel.close()
        assert self.process.wait(PATIENCE) == 0
        self._ports.release()

    def send(self, *messages: wire.ToWorker) -> None:
        """Tell it something."""
        for message in messages:
            self._channel.send(wire.encode(message))

    def allow_incoming(self, legs: int) -> None:
        """Tell it how many calls may come in beside those offered so far, which count as decided on.

        It knows when this returns: packets do not wait for commands.
        """
        mark = uuid.uuid4().hex
        self.send(wire.AllowIncoming(legs, len(self.told(wire.LegOffered))), wire.ExpectLink(mark), HangUpLeg(mark))
        self.end_of(mark)

    def place(self, user: str, port: int, headers: tuple[tuple[str, str], ...] = ()) -> str:
        """Have it place a leg to a port of this machine; return the UniqueID."""
        leg = uuid.uuid4().hex
        plan = LegPlan(user, SipHost("127.0.0.1", port), None, "<sip:100@127.0.0.1>", headers)
        self.send(wire.PlaceLegAt(PlaceLeg(leg, plan), "127.0.0.1"))
        return leg

    def place_answered(self, user: str, port: int) -> str:
        """Place a leg and wait until it is up."""
        leg = self.place(user, port)
        self.wait(LegAnswered, leg=leg)
        return leg

    def wait(self, kind: type[MessageT], *, nth: int = 1, **wanted: object) -> MessageT:
        """Return the nth message of a kind with these fields, since the start; wait for it if need be."""
        deadline = time.monotonic() + PATIENCE
        with self._changed:
            while len(found := self._matching(kind, wanted)) < nth:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TestbedError(f"no {kind.__name__} {wanted}; said was {self.said[-12:]}")
            return found[nth - 1]

    def end_of(self, leg: str) -> LegEnded:
        """Wait for the end of a leg."""
        return self.wait(LegEnded, leg=leg)

    def told(self, kind: type[MessageT], **wanted: object) -> list[MessageT]:
        """Return all messages of a kind with these fields so far."""
        with self._changed:
            return self._matching(kind, wanted)

    def ladder(self, leg: str) -> list[str]:
        """Write the messages of a leg that has ended: `> INVITE 1`, `< 180 INVITE 1`."""
        self.end_of(leg)
        rungs = [rung for seen in self.told(MessagesSeen, leg=leg) for rung in seen.rungs]
        assert rungs == sorted(rungs, key=lambda rung: rung.at)
        first = rungs[0].cseq
        return [
            " ".join(
                [">" if rung.sent else "<", *([str(rung.code)] * bool(rung.code)), rung.method, str(rung.cseq - first)]
            )
            for rung in rungs
        ]

    def of_leg(self, leg: str) -> list[str]:
        """Name what was said of a leg so far, in order, without the notes for the journal and the ladder."""
        with self._changed:
            about = [each for each in self.said if getattr(each, "leg", "") == leg]
        return [type(each).__name__ for each in about if not isinstance(each, (wire.DialogNoted, MessagesSeen))]

    def _matching(self, kind: type[MessageT], wanted: dict[str, object]) -> list[MessageT]:
        return [
            each
            for each in self.said
            if isinstance(each, kind) and all(getattr(each, name) == value for name, value in wanted.items())
        ]

    def _read(self) -> None:
        # A worker that was told to retire twice leaves the second message unread.
        with suppress(ConnectionResetError):
            while datagram := self._channel.recv(wire.MAX_DATAGRAM):
                message = wire.decode(datagram)
                with self._changed:
                    self.said.append(message)
                    self._changed.notify_all()
