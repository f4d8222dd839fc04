"""Worker processes: what happens when one dies, when all are taken, and when there is much to do."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server import Answer, Server
from testbed import scenarios
from testbed.capture import UdpSink
from testbed.phone import Phone
from testbed.process import TestbedError, wait_until
from testbed.sipp import Sipp, SipTrace

TABLES = """
[orgs.acme]
country = "US"
caller_id = "+12025550100"
[orgs.acme.users.alice]
password = "s3cret"
"""
PATIENCE = 15.0
"""Seconds to wait for what a busy machine may be slow to do."""


@dataclass
class Peers:
    """Whom the extensions reach: 201 and 202 answer and stay, 203 answers and hangs up soon, 204 rings for ever, 205
    is busy, 206 is a port where nothing may arrive, and 101 is a phone."""

    first: Sipp
    second: Sipp
    short: Sipp
    ringing: Sipp
    busy: Sipp
    nobody: UdpSink
    phone: Phone

    def tables(self) -> str:
        ports = {
            101: self.phone.port, 201: self.first.port, 202: self.second.port, 203: self.short.port,
            204: self.ringing.port, 205: self.busy.port, 206: self.nobody.port,
        }  # fmt: skip
        contacts = (
            f'[orgs.acme.extensions.{number}]\ncontact = "sip:{number}@127.0.0.1:{port}"\n'
            for number, port in ports.items()
        )
        return TABLES + "".join(contacts)


@contextmanager
def new_peers() -> Iterator[Peers]:
    with ExitStack() as stack:
        yield Peers(
            first=stack.enter_context(Sipp("answer")),
            second=stack.enter_context(Sipp("answer")),
            short=stack.enter_context(Sipp(scenarios.answer(bye_after=1))),
            ringing=stack.enter_context(Sipp("no_answer")),
            busy=stack.enter_context(Sipp("busy")),
            nobody=stack.enter_context(UdpSink()),
            phone=stack.enter_context(Phone("101", tone_hz=500.0)),
        )


@pytest.fixture
def peers() -> Iterator[Peers]:
    with new_peers() as all_of_them:
        yield all_of_them


StartServer = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path, peers: Peers) -> Iterator[StartServer]:
    """Start a server for the peers; its whole process group ends with the test, whatever the test did to it."""
    pids: list[int] = []
    started: list[Server] = []

    def start_server(**options: Any) -> Server:
        server = Server(tmp_path, peers.tables(), **options)
        server.start()
        pids.append(server.pid)
        started.append(server)
        return server

    yield start_server
    for server in started:
        if server.running:
            pids.append(server.pid)
            server.stop()
    for pid in pids:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
