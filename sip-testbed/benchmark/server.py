"""The server that is measured: `click2call serve` with settings of its own, on loopback addresses of its own."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import base64
import json
import os
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from testbed.process import Child, TestbedError, free_port, wait_until

from benchmark.accounting import children
from benchmark.peer import number_of

_SIP_PORTS = range(15060, 15180)
"""As many workers at most: 100 carry 200 calls, and the rest is for calls that are just ending or beginning."""
_RTP_PORTS = range(20000, 20000 + 40 * len(_SIP_PORTS))
_PEER_PORT = 6060
_LOG_TIME = re.compile(r"^\d{4}-\d\d-\d\d\S* ")
_READY_SECONDS = 30.0
_STOP_SECONDS = 10.0
_SETTINGS = """\
[server]
listen = "{address}:{port}"
access_log = false
[storage]
database = "{database}"
recordings = "{folder}/recordings"
[log]
level = "warning"
[sip]
address = "{address}"
ports = "{sip.start}-{last_sip}"
rtp_ports = "{rtp.start}-{last_rtp}"
warm_workers = {warm_workers}
[trunks.peer]
proxy = "sip:{peer}:{peer_port}"
[orgs.bench]
country = "DE"
trunk = "peer"
caller_id = "+4930300000000"
{organisation}[orgs.bench.users.bench]
password = "bench"
[orgs.bench.extensions.{agent}]
[orgs.bench.queues.{queue}]
agents = ["{agent}"]
position_seconds = {position_seconds}
max_wait_seconds = 3600
[orgs.bench.extensions.{recorded}]
record = true
{groups}{tables}"""
RECORDED = "900"
"""As `SetCID` of a call: its recording belongs to this extension."""
QUEUE = "700"
"""Number of a queue whose callers hear music, and their position every `POSITION_SECONDS`."""
POSITION_SECONDS = 15
GROUPS = {
    str(number): tuple(number_of(1000 + 20 * place + member, 2) for member in range(20))
    for place, number in enumerate(range(600, 610))
}
"""Ring groups whose members the peer tells apart by their number: each is rung once."""
_AGENT = "100"
ORGANISATION = "bench"


class Server:
    """Runs the server; a context manager.

    Args:
        folder: for its settings, records and log.
        database: the setting `storage.database`; None: a file in the folder.
        warm_workers: how many workers are ready before they are needed.
        place: which one of several that run at the same time.
        organisation: more lines of its organisation's table.
        tables: more tables.

    Attributes:
        address: of its HTTP API, SIP and RTP.
        port: of its HTTP API.
        peer: address and UDP port that it sends INVITEs to.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database: str | None = None,
        warm_workers: int = 2,
        place: int = 0,
        organisation: str = "",
        tables: str = "",
    ) -> None:
        self.folder = folder
        self._database = database or f"sqlite:///{folder}/records.db"
        self._warm_workers = warm_workers
        self._more = {"organisation": organisation, "tables": tables}
        # All of 127/8 is loopback. Addresses by our process id meet no ports of anybody else.
        host = f"{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0xFF}"
        self.address = f"127.{66 + 2 * place}.{host}"
        self.peer = (f"127.67.{host}", _PEER_PORT)
        self.port = free_port("tcp", self.address)
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """Process id of its main process."""
        assert self._child is not None  # noqa: S101 - asked for while it runs
        return self._child.pid

    def write_settings(self) -> Path:
        """Write its settings file; return the path."""
        settings = self.folder / "click2call.toml"
        settings.write_text(
            _SETTINGS.format(
                address=self.address,
                port=self.port,
                folder=self.folder,
                database=self._database,
                warm_workers=self._warm_workers,
                sip=_SIP_PORTS,
                last_sip=_SIP_PORTS[-1],
                rtp=_RTP_PORTS,
                last_rtp=_RTP_PORTS[-1],
                peer=self.peer[0],
                peer_port=self.peer[1],
                agent=_AGENT,
                queue=QUEUE,
                position_seconds=POSITION_SECONDS,
                recorded=RECORDED,
                **self._more,
                groups="".join(
                    f"[orgs.bench.ring_groups.{number}]\nmembers = {list(members)}\n".replace("'", '"')
                    for number, members in GROUPS.items()
                ),
            )
        )
        return settings

    def __enter__(self) -> Self:
        self.write_settings()
        self.restart()
        return self

    def restart(self) -> None:
        """Start it, also when it was killed and its workers are still hanging up, and wait until it is ready."""
        if self._child is not None:
            self._child.process.wait(_STOP_SECONDS)
        settings = self.folder / "click2call.toml"
        program = str(Path(sys.executable).parent / "click2call")
        child = Child([program, "serve", "--config", str(settings)], self.folder / "server.log", death_signal="TERM")
        self._child = child
        try:
            wait_until(self._is_ready, _READY_SECONDS, lambda: f"no server: {child.log_tail()}", alive=child.death)
        except BaseException:
            child.stop()
            raise

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.stop(_STOP_SECONDS)

    def pause_agent(self) -> None:
        """Let nobody serve those who wait in `QUEUE`."""
        self.ask(f"queues/{QUEUE}/agents/{_AGENT}/pause", b"")

    def schedule(self, call: int, due: datetime) -> None:
        """Have a call made at a time."""
        wanted = {"dial1": number_of(call, 1), "dial2": number_of(call, 2), "date": due.isoformat()}
        self.ask("schedules", json.dumps(wanted).encode())

    def ask(
        self,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        *,
        media: str = "application/json",
        seconds: float = _READY_SECONDS,
    ) -> Any:
        """Send a request that has to be granted, and return its answer.

        Args:
            path: below `/api/v1`.
            body: whole, or piece by piece; None: the request is a GET.
            media: its type.
            seconds: how long the answer is waited for.

        Raises:
            TestbedError: it was not granted.
        """
        credentials = base64.b64encode(b"bench@bench:bench").decode()
        headers = {"Authorization": f"Basic {credentials}", "Content-Type": media}
        request = urllib.request.Request(f"http://{self.address}:{self.port}/api/v1/{path}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise TestbedError(f"{path}: {error.code} {error.read().decode()}") from error

    def worker_pids(self) -> set[int]:
        """Return the process ids of its workers, which are the children of its fork server."""
        return {worker for child in children(self.pid) for worker in children(child)}

    def complaints(self) -> list[str]:
        """Return the lines of its log, which has only warnings and worse, each without its time and without a stack."""
        lines = (self.folder / "server.log").read_text(errors="replace").splitlines()
        return [_LOG_TIME.sub("", line) for line in lines if line[:1].strip() and not line.startswith("Traceback")]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}:{self.port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
