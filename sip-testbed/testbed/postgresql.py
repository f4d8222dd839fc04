"""A PostgreSQL server of our own, with nothing kept after it."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from .process import Child, MissingProgramError, Peer, free_port, is_bound, wait_until

USER = "postgres"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "100",
    "shared_buffers": "32MB",
    # Nothing outlives the machine here, and tests write much.
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}


def program(name: str) -> str:
    """Return the path of a program of the newest PostgreSQL that Debian's packages have installed.

    Raises:
        MissingProgramError: there is none.
    """
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    if not found:
        raise MissingProgramError("postgresql")
    return str(found[-1])


class PostgresqlServer(Peer):
    """A server on a free port of 127.0.0.1, which trusts whoever connects.

    It runs as the user `postgres` where this program is root, whom PostgreSQL refuses to serve.
    """

    def __init__(self) -> None:
        self.port = free_port("tcp")
        self._folder = Path(tempfile.mkdtemp(prefix="click2call-postgresql-"))
        self._child: Child | None = None
        self._identity: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam(USER)
            os.chown(self._folder, user.pw_uid, user.pw_gid)
            self._identity = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

    def start(self) -> None:
        """Start it, on a new cluster at the first time, on what it left afterwards."""
        data = self._folder / "data"
        if not data.exists():
            self._run(program("initdb"), "-D", str(data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C",
                      "--no-sync", "--no-instructions")  # fmt: skip
        settings = SETTINGS | {"port": str(self.port), "unix_socket_directories": str(self._folder)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._child = Child(
            [*self._identity, "--pdeathsig", "INT", program("postgres"), "-D", str(data), *options]
            if self._identity
            else [program("postgres"), "-D", str(data), *options],
            self._folder / "log",
            cwd=self._folder,
            death_signal="TERM",
        )
        child = self._child
        wait_until(
            lambda: is_bound("tcp", self.port) and "ready to accept connections" in child.log_tail(4),
            20,
            lambda: f"PostgreSQL did not start: {child.log_tail()}",
            alive=child.death,
        )

    def stop(self) -> None:
        """End it at once, as an administrator would: its clients lose their connections."""
        if self._child is not None and self._child.running:
            self._child.process.send_signal(signal.SIGINT)
            self._child.process.wait(10)
        if self._child is not None:
            self._child.stop()

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        if self._child is None:
            raise RuntimeError("the server was not started")
        return self._child.pid

    def url(self, database: str) -> str:
        """Name a database as the setting `storage.database` does."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def sql(self, statements: str, database: str = "postgres") -> list[list[str]]:
        """Run statements with psql, each in a transaction of its own; return the rows as texts."""
        lines = self._run(program("psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1",
                          "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database,
                          *(part for each in statements.split(";\n") for part in ("-c", each)))  # fmt: skip
        return [line.split("\t") for line in lines.splitlines()]

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            [*self._identity, *command], check=False, cwd=self._folder, text=True, capture_output=True
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr}")
        return done.stdout

    def _clean(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
