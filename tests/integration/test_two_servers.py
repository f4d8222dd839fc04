"""Two real servers on one PostgreSQL: one schema, one answer to a request, one will, and what a killed one leaves."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from raw_peer import RawPeer, header
from server import CLICK2CALL, Server
from testbed.postgresql import PostgresqlServer

TABLES = """
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:9"
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:9"
[orgs.acme.apps.echo]
number = "900"
kind = "echo"
[orgs.acme.extensions.103]
contact = "sip:103@127.0.0.1:{phone}"
"""
"""Nobody listens at the contacts of 101 and 102: these phones ring for as long as they may."""
ALICE = {
    "Authorization": "Basic " + base64.b64encode(b"alice@acme:s3cret").decode(),
    "Content-Type": "application/json",
}


@pytest.fixture
def phone() -> Iterator[RawPeer]:
    with RawPeer() as peer:
        yield peer


@pytest.fixture
def nodes(postgresql: PostgresqlServer, phone: RawPeer, tmp_path: Path) -> Iterator[list[Server]]:
    postgresql.sql("CREATE DATABASE nodes")
    folders = [tmp_path / "one", tmp_path / "other"]
    servers = []
    for folder in folders:
        folder.mkdir()
        servers.append(Server(folder, TABLES.format(phone=phone.port), database=postgresql.url("nodes")))
    yield servers
    postgresql.sql("DROP DATABASE nodes WITH (FORCE)")


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


def test_what_rings_is_hung_up_whichever_server_is_told_that_it_is_not_wanted(
    nodes: list[Server], phone: RawPeer
) -> None:
    dials, other = nodes
    assert run(dials, "migrate")[0] == 0
    with dials:
        future = make(dials, "schedules", dial1=["103"], dial2="101", date=datetime.now(UTC).isoformat(), retries=3)
        of_future = rings(phone)
        batch = make(dials, "batches", dial1=["103", "102"], dial2="900")
        of_batch = rings(phone)
        with other:
            withdrawn = other.get(f"/api/v1/schedules/{future['id']}", ALICE, method="DELETE")
            assert (withdrawn.status, withdrawn.json()["cancelled_by"]) == (200, "request")
            hangs_up(phone, of_future)
            cancelled = other.get(f"/api/v1/batches/{batch['id']}", ALICE, method="DELETE")
            assert (cancelled.status, cancelled.json()["cancelled_by"]) == (200, "request")
            hangs_up(phone, of_batch)
            for invite in (of_future, of_batch):
                assert other.wait_record(header(invite, "Call-ID"))["disposition"] == "cancelled"


def make(server: Server, what: str, **wanted: object) -> dict[str, Any]:
    """Make something through the API, and return how it stands."""
    answer = server.get(f"/api/v1/{what}", ALICE, json.dumps(wanted).encode(), "POST")
    assert answer.status in {201, 202}, answer
    made: dict[str, Any] = answer.json()
    return made


def rings(phone: RawPeer) -> str:
    """Let the phone ring; return its INVITE."""
    invite = phone.receive("INVITE ")
    phone.respond(invite, 180, port_of(invite))
    return invite


def hangs_up(phone: RawPeer, invite: str) -> None:
    """Wait for the CANCEL of a call that rings, and let it end."""
    cancel = phone.receive("CANCEL ", header(invite, "Call-ID"))
    phone.respond(cancel, 200, port_of(cancel))
    phone.respond(invite, 487, port_of(invite))


def port_of(request: str) -> int:
    """Return the port that a request came from."""
    found = re.search(r":(\d+)", header(request, "Via").partition(" ")[2])
    assert found is not None
    return int(found[1])
