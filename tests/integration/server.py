"""The real server in a process of its own, on ports of its own, with settings of the test."""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Self

from testbed.process import Child, PortRange, free_port, wait_until

CLICK2CALL = str(Path(sys.executable).parent / "click2call")
SPOOL = Path(tempfile.gettempdir()) / f"click2call-tests-{os.getpid()}"
"""Of all servers of this run of the tests: one that root's workers reach, unlike pytest's own folders."""
atexit.register(shutil.rmtree, SPOOL, ignore_errors=True)
SIP_PORTS = 12
_RTP_PORTS_EACH = 32


@dataclass(frozen=True)
class Answer:
    """What the HTTP API said."""

    status: int
    body: str
    headers: dict[str, str]

    def json(self) -> Any:
        return json.loads(self.body)


@contextlib.contextmanager
def kept_ports(count: int) -> Iterator[list[int]]:
    """Give ports to which peers of the tests come and go; nobody else gets them in between.

    `free_port` gives four neighbours, of which peers bind the first and media the last two: the second is held.
    """
    with contextlib.ExitStack() as stack:
        ports = [free_port() for _ in range(count)]
        for port in ports:
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port + 1))
        yield ports


class Server:
    """`click2call serve` with the given settings tables; a context manager.

    `orgs` and what else follows the fixed tables is TOML text; `{...}` is not expanded. `address` is for SIP and RTP.
    `database` is a URL; without it a file in the folder is.
    """

    def __init__(
        self,
        folder: Path,
        tables: str,
        *,
        sip: str = "",
        sip_ports: int = SIP_PORTS,
        address: str = "127.0.0.1",
        environ: dict[str, str] | None = None,
        database: str | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port("tcp")
        self._ports = PortRange(sip_ports * (_RTP_PORTS_EACH + 1))
        rtp = self._ports.ports.start
        self.sip_port = rtp + sip_ports * _RTP_PORTS_EACH
        self.workers = f"{address}:{self.sip_port}-{self.sip_port + sip_ports - 1}"
        self.database = folder / "records.db"
        self.config = folder / "click2call.toml"
        self.log = folder / "server.log"
        self._sip_tables = (
            f'[server]\nlisten = "127.0.0.1:{self.port}"\n'
            f'[storage]\ndatabase = "{database or f"sqlite:///{self.database}"}"\nrecordings = "{folder}/recordings"\n'
            f'spool = "{SPOOL}"\n'
            f'[log]\nformat = "json"\nlevel = "debug"\n'
            f'[sip]\naddress = "{address}"\nports = "{self.sip_port}-{self.sip_port + sip_ports - 1}"\n'
            f'rtp_ports = "{rtp}-{rtp + sip_ports * _RTP_PORTS_EACH - 1}"\n{sip}\n'
        )
        self._environ = environ or {}
        self._child: Child | None = None
        self.write(tables)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def write(self, tables: str) -> None:
        """Write the settings file; `reload` lets a running server read it."""
        self.config.write_text(self._sip_tables + tables)

    def start(self) -> None:
        command = [CLICK2CALL, "serve", "--config", str(self.config)]
        self._child = Child(command, self.log, environment={**os.environ, **self._environ}, death_signal="TERM")
        wait_until(
            lambda: self.get("/readyz").status == 200,
            20.0,
            lambda: "the server did not become ready: " + self.log.read_text()[-2000:],
            alive=self._child.death,
        )

    def stop(self) -> int | None:
        """End it in order (SIGTERM); return its exit code."""
        child, self._child = self._child, None
        if child is None:
            return None
        child.process.terminate()
        try:
            return child.process.wait(15.0)
        finally:
            child.stop()

    def kill(self) -> None:
        """End it without a warning (SIGKILL)."""
        child, self._child = self._child, None
        assert child is not None
        child.process.kill()
        child.process.wait(5.0)

    def reload(self) -> None:
        """SIGHUP."""
        os.kill(self.pid, signal.SIGHUP)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- talking to it

    def get(
        self, path: str, headers: dict[str, str] | None = None, data: bytes | None = None, method: str | None = None
    ) -> Answer:
        try:
            with self.open(path, headers, data, method) as answer:
                return Answer(answer.status, answer.read().decode(errors="replace"), dict(answer.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.read().decode(), dict(error.headers))
        except (urllib.error.URLError, ConnectionError) as error:
            return Answer(0, str(error), {})

    def open(
        self, path: str, headers: dict[str, str] | None = None, data: bytes | None = None, method: str | None = None
    ) -> HTTPResponse:
        """Begin to read an answer."""
        request = urllib.request.Request(self.base + path, data=data, headers=headers or {}, method=method)
        answer: HTTPResponse = urllib.request.urlopen(request, timeout=60)
        return answer

    def dial(self, dial1: str, dial2: str, **parameters: object) -> Answer:
        """Click: `Response=yes&showUID=yes&RFormat=json` unless told otherwise."""
        wanted = {
            "user": "alice", "pass": "s3cret", "org": "acme", "dial1": dial1, "dial2": dial2,
            "Response": "yes", "showUID": "yes", "RFormat": "json", **parameters,
        }  # fmt: skip
        query = urllib.parse.urlencode({name: str(value) for name, value in wanted.items() if value is not None})
        return self.get("/API/dialup.php?" + query)

    def records(self, *, organisation: str = "acme", **wanted: str) -> list[dict[str, Any]]:
        """Read records through the API, newest first, as the organisation's user alice."""
        credentials = base64.b64encode(f"alice@{organisation}:s3cret".encode()).decode()
        answer = self.get(
            "/api/v1/records?" + urllib.parse.urlencode(wanted), {"Authorization": f"Basic {credentials}"}
        )
        assert answer.status == 200, answer
        items: list[dict[str, Any]] = answer.json()["items"]
        return items

    def wait_record(self, uid: str, timeout: float = 10.0, *, organisation: str = "acme") -> dict[str, Any]:
        """Return the finished record of the call with this UniqueID."""

        def read() -> list[dict[str, Any]]:
            return self.records(organisation=organisation, uid=uid)

        def finished() -> dict[str, Any] | None:
            found = read()
            return found[0] if found and found[0]["ended_at"] else None

        return wait_until(finished, timeout, lambda: f"no finished record of {uid}: {read()}")

    def log_lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """Read its log, all lines or those of one event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if event is None or line["event"] == event]

    def wait_log(self, event: str, count: int = 1, timeout: float = 10.0, **facts: object) -> dict[str, Any]:
        """Return the log line of the `count`-th such event."""

        def found() -> dict[str, Any] | None:
            lines = [
                line for line in self.log_lines(event) if all(line.get(name) == fact for name, fact in facts.items())
            ]
            return lines[count - 1] if len(lines) >= count else None

        return wait_until(found, timeout, lambda: f"no log line {event!r} {facts}: {self.log.read_text()[-3000:]}")

    def trunk(self, name: str) -> dict[str, Any]:
        """Return how a trunk stands, as `/readyz` tells it: `state`, `sip_code` and `text`."""
        trunk: dict[str, Any] = self.get("/readyz").json()["trunks"][name]
        return trunk

    def wait_trunk(self, name: str, state: str, timeout: float = 10.0) -> dict[str, Any]:
        """Wait until a trunk stands so, and return it."""
        return wait_until(
            lambda: trunk if (trunk := self.trunk(name))["state"] == state else None,
            timeout,
            lambda: f"trunk {name} is not {state} but {self.trunk(name)}",
            interval=0.05,
        )

    def worker_pids(self) -> list[int]:
        """Process ids of its workers: the grandchildren, as the fork server stands between."""
        children = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = {int(pid): int(parent) for pid, parent in (line.split() for line in children.splitlines())}
        own = [pid for pid, parent in parents.items() if parent == self.pid]
        return [pid for pid, parent in parents.items() if parent in own]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Read the database itself."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return connection.execute(sql).fetchall()
