"""Future calls on the wire: dialled at their time, tried again, and not one lost or dialled twice over `kill -9`."""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from server import Server
from testbed.phone import Phone
from testbed.process import wait_until
from testbed.sipp import Sipp

TABLES = """
[trunks.main]
proxy = "sip:127.0.0.1:{busy}"
[orgs.acme]
country = "US"
time_zone = "America/New_York"
trunk = "main"
caller_id = "+12025550100"
ident = "org-secret"
[orgs.acme.users.alice]
password = "s3cret"
"""
EXTENSION = '[orgs.acme.extensions.{number}]\ncontact = "sip:{number}@127.0.0.1:{port}"\n'
ALICE = {"Authorization": "Basic " + base64.b64encode(b"alice@acme:s3cret").decode()}
AGENT, SILENT, CUSTOMER = "101", "103", "102"
MANY = [f"+120255502{number:02}" for number in range(40)]
NUMBER = re.compile(r"INVITE sip:([^@;]+)")


@dataclass(frozen=True)
class Bed:
    server: Server
    busy: Sipp
    silent: Sipp
    agent: Phone
    customer: Phone

    def schedule(self, dial1: str, due: datetime | None = None, *, retries: int = 0) -> str:
        """Ask for a future call as the contract has it; return its id."""
        wanted = {
            "org": "acme", "ident": "org-secret", "dial1": dial1, "dial2": CUSTOMER,
            "Date": (due or datetime.now(UTC)).isoformat(),
            "Maxretry": retries, "Retrytime": 10, "RFormat": "json",
        }  # fmt: skip
        answer = self.server.get("/API/dialup.php?" + urllib.parse.urlencode(wanted))
        assert answer.status == 200, answer
        told = answer.json()
        assert told["status"] == "ok"
        return str(told["id"])

    def number(self, schedule_id: str) -> dict[str, Any]:
        """Tell how the one number of a future call stands."""
        (number,) = self.server.get(f"/api/v1/schedules/{schedule_id}", ALICE).json()["results"]
        return dict(number)

    def outcomes(self, schedule_id: str) -> list[str | None]:
        return [attempt["outcome"] for attempt in self.number(schedule_id)["attempts"]]

    def wait(self, schedule_id: str, status: str, attempts: int = 1) -> dict[str, Any]:
        """Wait until a number has a status and so many attempts, both seen by one look."""

        def seen() -> dict[str, Any] | None:
            number = self.number(schedule_id)
            return number if number["status"] == status and len(number["attempts"]) >= attempts else None

        return wait_until(seen, 25.0, lambda: json.dumps(self.number(schedule_id)), interval=0.05)


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    with ExitStack() as stack:
        busy = stack.enter_context(Sipp("busy"))
        silent = stack.enter_context(Sipp("no_answer"))
        agent = stack.enter_context(Phone(AGENT, behaviour="reject"))
        customer = stack.enter_context(Phone(CUSTOMER))
        tables = TABLES.format(busy=busy.port)
        for number, peer in {AGENT: agent, SILENT: silent, CUSTOMER: customer}.items():
            tables += EXTENSION.format(number=number, port=peer.port)
        server = stack.enter_context(Server(tmp_path, tables, sip_ports=24))
        yield Bed(server, busy, silent, agent, customer)


def dialled(peer: Sipp) -> Counter[str]:
    """Count the dialogs that were begun with a peer, by the number that was called."""
    numbers = (NUMBER.match(messages[0].text) for messages in peer.calls().values())
    return Counter(found[1] for found in numbers if found)


def test_what_waits_rings_or_is_about_to_ring_outlives_a_kill_and_is_dialled_once(bed: Bed) -> None:
    retried = bed.schedule(AGENT, retries=1)
    bed.wait(retried, "waiting")
    assert bed.outcomes(retried) == ["busy"]
    rings = bed.schedule(SILENT, retries=1)
    bed.silent.wait_for("INVITE")
    soon = datetime.now(UTC) + timedelta(seconds=1)
    pending = bed.schedule(MANY[0], soon + timedelta(seconds=3))
    many = {number: bed.schedule(number, soon) for number in MANY[1:]}
    wait_until(lambda: len(dialled(bed.busy)) >= 3, 10.0, lambda: str(dialled(bed.busy)), interval=0.01)
    bed.server.kill()
    bed.agent.behave("answer")
    bed.server.start()

    bed.wait(pending, "failed")
    for schedule_id in many.values():
        bed.wait(schedule_id, "failed")
    came = dialled(bed.busy)
    assert max(came.values()) == 1
    for number, schedule_id in (*many.items(), (MANY[0], pending)):
        (outcome,) = bed.outcomes(schedule_id)
        # What the crash interrupted may have rung or not; it is never dialled under the same number again.
        assert outcome in ({"busy", "interrupted"} if came[number] else {"interrupted"}), number
    assert bed.outcomes(pending) == ["busy"]

    number = bed.wait(retried, "dialling", attempts=2)
    assert bed.agent.wait_for("answered", 10.0)
    bed.customer.wait_for("answered", 10.0)
    assert [attempt["outcome"] for attempt in number["attempts"]] == ["busy", None]
    record = bed.server.get(f"/api/v1/records/{number['attempts'][1]['record_id']}", ALICE).json()
    assert record["dial1"] == AGENT
    bed.agent.hang_up()
    bed.wait(retried, "answered", attempts=2)
    assert len(bed.agent.calls()) == 2

    wait_until(lambda: dialled(bed.silent)[SILENT] == 2, 15.0, lambda: str(dialled(bed.silent)), interval=0.05)
    assert bed.outcomes(rings) == ["interrupted", None]
    first, second = (messages[0].time for messages in bed.silent.calls().values())
    assert (second - first).total_seconds() >= 10
