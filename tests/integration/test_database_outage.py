"""PostgreSQL goes away under a server with real calls: what talks talks on, nothing begins, and nothing is lost."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from raw_peer import RawPeer, offer
from server import Server
from testbed.capture import UdpSink
from testbed.phone import Phone
from testbed.postgresql import PostgresqlServer
from testbed.process import free_port, wait_until

TABLES = """
[trunks.main]
proxy = "sip:127.0.0.1:{trunk}"
[orgs.acme]
country = "US"
trunk = "main"
caller_id = "+12025550100"
[orgs.acme.inbound]
"{called}" = "103"
[orgs.acme.users.alice]
password = "s3cret"
"""
EXTENSION = '[orgs.acme.extensions.{number}]\ncontact = "sip:{number}@127.0.0.1:{port}"\n'
CALLED = "+12025550100"
FIRST, SECOND, SILENT, LATER = "101", "102", "103", "104"
ALICE = {
    "Authorization": "Basic " + base64.b64encode(b"alice@acme:s3cret").decode(),
    "Content-Type": "application/json",
}


@dataclass(frozen=True)
class Bed:
    server: Server
    first: Phone
    second: Phone
    silent: UdpSink
    later: Phone
    trunk: RawPeer

    def hear_each_other(self) -> None:
        """Wait until both phones have heard the other one alone for a while from now on."""
        hears_from_now_on(self.first, 900.0)
        hears_from_now_on(self.second, 500.0)

    def wait_ready(self, status: int) -> None:
        wait_until(lambda: self.server.get("/readyz").status == status, 15.0, f"/readyz is not {status}")


def hears_from_now_on(phone: Phone, hz: float) -> None:
    heard = phone.recording().seconds
    wait_until(lambda: phone.recording().seconds > heard + 1.0, 5.0, "the recording does not go on")
    phone.wait_heard_alone(hz)


@pytest.fixture
def bed(postgresql_url: str, tmp_path: Path) -> Iterator[Bed]:
    with ExitStack() as stack:
        first = stack.enter_context(Phone(FIRST, port=free_port(), tone_hz=500.0))
        second = stack.enter_context(Phone(SECOND, port=free_port(), tone_hz=900.0))
        later = stack.enter_context(Phone(LATER, port=free_port()))
        silent = stack.enter_context(UdpSink())
        trunk = stack.enter_context(RawPeer())
        tables = TABLES.format(trunk=trunk.port, called=CALLED)
        for number, port in {FIRST: first.port, SECOND: second.port, SILENT: silent.port, LATER: later.port}.items():
            tables += EXTENSION.format(number=number, port=port)
        server = stack.enter_context(Server(tmp_path, tables, database=postgresql_url))
        yield Bed(server, first, second, silent, later, trunk)


def test_calls_live_on_without_the_database_and_none_begins_until_it_is_back(
    bed: Bed, postgresql: PostgresqlServer
) -> None:
    talking = bed.server.dial(FIRST, SECOND).json()
    bed.hear_each_other()
    due = datetime.now(UTC) + timedelta(seconds=2)
    future = {"dial1": [LATER], "dial2": FIRST, "date": due.isoformat()}
    assert bed.server.get("/api/v1/schedules", ALICE, json.dumps(future).encode()).status == 201

    postgresql.stop()
    try:
        bed.wait_ready(503)
        refused = bed.server.dial(SILENT, SECOND)
        assert (refused.status, json.loads(refused.body)["status"]) == (503, "error")
        call_id = bed.trunk.request("INVITE", bed.server.sip_port, user=CALLED, sdp=offer(9))
        assert bed.trunk.final(call_id) == 503
        bed.hear_each_other()
        bed.first.hang_up()
        bed.second.wait_for("ended")
        wait_until(lambda: datetime.now(UTC) > due, 5.0, "the clock stands still")
        assert (bed.silent.count, bed.later.calls()) == (0, [])
    finally:
        postgresql.start()

    bed.wait_ready(200)
    record = bed.server.wait_record(talking["dial1"])
    assert (record["disposition"], record["ended_by"]) == ("answered", "dial1")
    bed.later.wait_for("answered", 15.0)
    assert bed.silent.count == 0
    assert bed.server.dial(SECOND, LATER).json()["status"] == "ok"
