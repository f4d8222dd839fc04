"""A worker process: one thread that waits for commands, for SIP and for timers, and does one thing at a time."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import socket
import time
import traceback

import pjsua2 as pj

from sipcore.sip import wire
from sipcore.sip.firewall import own_sockets
from sipcore.sip.user_agent import library
from sipcore.sip.user_agent.agent import UserAgent

_BUSY_WAIT = 0.05
"""Seconds between two looks at PJSIP's timers while there are legs; packets and commands wake it at once."""
_TIDY_WAIT = 0.003
"""Seconds that tidying up waits for something more urgent: the answer to an answered leg is mostly the next leg."""
_MAX_PUT_OFF = 8
"""How often tidying up gives way."""
_IDLE_WAIT = 1.0
"""The same while there are none: what is left then are ended transactions and refreshes."""
_FAREWELL_SECONDS = 2.0
"""How long a worker that must go waits for its BYEs to be answered."""
_PR_SET_NO_NEW_PRIVS = 38
_NICENESS = -10
"""Audio comes before everything that can wait; it takes root to say so."""


def main(channel: socket.socket, settings: wire.WorkerSettings) -> None:
    """Run a worker until its parent says `Retire` or is gone.

    Args:
        channel: its end of a SOCK_SEQPACKET pair.
        settings: what it is started with.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _drop_privileges(settings)
    _Worker(channel, settings).run()


def _drop_privileges(settings: wire.WorkerSettings) -> None:
    """Become an ordinary user for good: this process reads what the network sends."""
    if settings.uid is not None and settings.gid is not None and os.geteuid() == 0:
        os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)
        os.setgroups([])
        os.setgid(settings.gid)
        os.setuid(settings.uid)
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


class _Worker:
    def __init__(self, channel: socket.socket, settings: wire.WorkerSettings) -> None:
        self._channel = channel
        self._settings = settings
        self._poll = select.epoll()
        self._poll.register(channel.fileno(), select.EPOLLIN)
        self._watched: set[tuple[int, int]] = set()
        self._put_off = 0
        self._retiring = False

    def run(self) -> None:
        try:
            agent = UserAgent(self._settings, self._send)
        except pj.Error as error:
            self._send(wire.WorkerFailed(f"SIP on {self._settings.address}:{self._settings.sip_port}: {error.reason}"))
            os._exit(1)
        self._watch_sip()
        self._poll.register(agent.later.fileno(), select.EPOLLIN)
        self._send(wire.WorkerReady(library.max_legs()))
        try:
            while not self._retiring:
                self._turn(agent)
        except Exception:  # noqa: BLE001 - whatever it is, the parent logs it, and another worker takes the place
            self._send(wire.WorkerFailed(traceback.format_exc()))
            os._exit(1)
        self._say_farewell(agent)
        # Tearing PJSIP down in order would wait for its transactions; the kernel gives everything back at once.
        os._exit(0)

    def _turn(self, agent: UserAgent) -> None:
        wait = _TIDY_WAIT if agent.untidy else _BUSY_WAIT if agent.busy else _IDLE_WAIT
        ready = self._poll.poll(wait)
        self._take_commands(agent)
        agent.serve()
        if agent.has_tcp:
            self._watch_sip()
        self._put_off = self._put_off + 1 if ready and agent.untidy else 0
        if agent.untidy and (not ready or self._put_off > _MAX_PUT_OFF):
            self._put_off = 0
            agent.tidy()

    def _take_commands(self, agent: UserAgent) -> None:
        while not self._retiring:
            try:
                datagram = self._channel.recv(wire.MAX_DATAGRAM, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except ConnectionError:
                datagram = b""
            # An empty datagram is the end of the parent, or of its wish for this worker.
            message = wire.decode(datagram) if datagram else wire.Retire()
            if isinstance(message, wire.Retire):
                self._retiring = True
            else:
                agent.execute(message)

    def _watch_sip(self) -> None:
        """Be woken by PJSIP's own signalling sockets; those of TCP connections come and go."""
        present: set[tuple[int, int]] = set()
        for descriptor, duplicate in own_sockets():
            if duplicate.type != socket.SOCK_STREAM and duplicate.getsockname()[1] != self._settings.sip_port:
                continue
            # The kernel forgets a closed descriptor by itself; its number may come back for another socket.
            identity = (descriptor, os.fstat(descriptor).st_ino)
            present.add(identity)
            if identity not in self._watched:
                self._poll.register(descriptor, select.EPOLLIN)
        self._watched = present

    def _say_farewell(self, agent: UserAgent) -> None:
        agent.hang_up_all()
        until = time.monotonic() + _FAREWELL_SECONDS
        while agent.busy and time.monotonic() < until:
            self._poll.poll(0.01)
            agent.serve()
            agent.tidy()

    def _send(self, message: wire.FromWorker) -> None:
        try:
            self._channel.send(wire.encode(message))
        except OSError:
            # The parent is gone: its end of the pair tells the loop, which ends this process in order.
            self._retiring = True
