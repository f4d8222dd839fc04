"""Two real servers on one PostgreSQL: one schema, one answer to a request, and what a killed one leaves."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest
from server import CLICK2CALL, Server
from testbed.postgresql import PostgresqlServer

TABLES = """
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:9"
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:9"
"""
"""Nobody listens at these contacts: the phones ring for as long as they may."""


@pytest.fixture
def nodes(postgresql: PostgresqlServer, tmp_path: Path) -> list[Server]:
    postgresql.sql("CREATE DATABASE nodes")
    folders = [tmp_path / "one", tmp_path / "other"]
    servers = []
    for folder in folders:
        folder.mkdir()
        server = Server(folder, TABLES)
        settings = server.config.read_text().replace(f"sqlite:///{server.database}", postgresql.url("nodes"))
        server.config.write_text(settings)
        servers.append(server)
    return servers


def run(server: Server, command: str) -> tuple[int, str]:
    done = subprocess.run(
        [CLICK2CALL, command, "--config", str(server.config)], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout + done.stderr


def test_two_servers_share_a_database_and_one_settles_what_a_killed_one_leaves(nodes: list[Server]) -> None:
    doomed, other = nodes
    assert run(doomed, "serve") == (
        2,
        "click2call: storage.database: the database has no schema yet; run: click2call migrate --config FILE\n",
    )
    code, told = run(doomed, "migrate")
    assert (code, told.startswith("ok: the schema is at revision ")) == (0, True)
    with doomed, other:
        first = doomed.dial("101", "102", Timeout=1, reqid="click-1")
        again = other.dial("101", "102", Timeout=1, reqid="click-1")
        assert (again.status, again.body) == (200, first.body)
        assert again.headers["Idempotency-Replayed"] == "true"
        doomed.dial("101", "102", Timeout=60, Response="no", showUID="no")
        ringing = other.records()[0]
        assert ringing["ended_at"] is None
        doomed.kill()
        killed = time.monotonic()
        settled = other.wait_record(ringing["legs"][0]["uid"], timeout=15.0)
        assert time.monotonic() - killed < 15
        assert (settled["disposition"], settled["ended_by"]) == ("interrupted", "restart")
        assert len(other.records()) == 2
