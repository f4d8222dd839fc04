"""A campaign on the wire: busy numbers tried again, a do-not-call list that grows meanwhile, a pause, and `kill -9`."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server import Server
from testbed import scenarios
from testbed.process import wait_until
from testbed.sipp import Sipp

TABLES = """
[trunks.main]
proxy = "sip:127.0.0.1:{answering}"
[orgs.acme]
country = "US"
trunk = "main"
caller_id = "+12025550100"
calling_hours = {{ default = "mon-sun 00:00-24:00" }}
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.apps.echo]
number = "800"
kind = "echo"
"""
EXTENSION = '[orgs.acme.extensions.{number}]\ncontact = "sip:{number}@127.0.0.1:{port}"\n'
ALICE = {"Authorization": "Basic " + base64.b64encode(b"alice@acme:s3cret").decode()}
ANSWERING = [f"+1202555{index:04d}" for index in range(1, 9)]
BUSY, SILENT = ["201", "202"], ["301"]
INVITED = re.compile(r"INVITE sip:([^@;]+)")
RETRIED = {"retries": 1, "after": 10}


@dataclass(frozen=True)
class Bed:
    server: Server
    peers: tuple[Sipp, ...]

    def ask(self, path: str, method: str = "GET", body: bytes | dict[str, Any] | None = None, kind: str = "") -> Any:
        """Send a request that has to be granted, and return its answer."""
        if isinstance(body, dict):
            body, kind = json.dumps(body).encode(), "application/json"
        headers = {**ALICE, "Content-Type": kind} if body is not None else ALICE
        answer = self.server.get(f"/api/v1{path}", headers, body, method=method)
        assert 200 <= answer.status < 300, answer
        return answer

    def campaign(self, *numbers: str, **terms: Any) -> str:
        """Make a campaign and fill it; return its path."""
        new = {"name": "test", "dial2": "800", "calls_per_second": 50, "ring_seconds": 60, **terms}
        path = f"/campaigns/{self.ask('/campaigns', 'POST', new).json()['id']}"
        lines = "number\n" + "\n".join(numbers)
        report = self.ask(f"{path}/numbers", "POST", lines.encode(), "text/csv").json()
        assert report["accepted"] == len(numbers)
        return path

    def numbers(self, path: str) -> dict[str, dict[str, Any]]:
        return {number["number"]: number for number in self.ask(f"{path}/numbers").json()["items"]}

    def states(self, path: str, state: str) -> list[str]:
        return [number for number, found in self.numbers(path).items() if found["state"] == state]

    def wait(self, path: str, state: str, numbers: list[str], timeout: float = 20.0) -> None:
        wait_until(
            lambda: set(numbers) <= set(self.states(path, state)),
            timeout,
            lambda: f"not {state}: {self.numbers(path)}",
            interval=0.05,
        )

    def invited(self) -> Counter[str]:
        """Count the dialogs that the peers saw begin, by the number that was called."""
        first = (messages[0].text for peer in self.peers for messages in peer.calls().values())
        return Counter(found[1] for found in map(INVITED.match, first) if found)


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    with ExitStack() as stack:
        answering = stack.enter_context(Sipp(scenarios.answer(bye_after=300)))
        busy = stack.enter_context(Sipp("busy"))
        silent = stack.enter_context(Sipp("no_answer"))
        tables = TABLES.format(answering=answering.port)
        for number, peer in (dict.fromkeys(BUSY, busy) | dict.fromkeys(SILENT, silent)).items():
            tables += EXTENSION.format(number=number, port=peer.port)
        yield Bed(stack.enter_context(Server(tmp_path, tables)), (answering, busy, silent))


def test_each_number_is_dialled_as_often_as_its_attempts_say_whatever_happens(bed: Bed) -> None:
    numbers = [*BUSY, *SILENT, *ANSWERING]
    retries = {"busy": RETRIED, "interrupted": RETRIED}
    path = bed.campaign(*numbers, retries=retries, concurrency=2)
    bed.ask(f"{path}/start", "POST")
    bed.wait(path, "dialling", SILENT)
    bed.wait(path, "answered", ANSWERING[:2])

    bed.ask(f"{path}/pause", "POST")
    wait_until(lambda: bed.states(path, "dialling") == SILENT, 10.0, lambda: str(bed.numbers(path)))
    paused = bed.invited()
    barred = bed.states(path, "waiting")[-1]
    assert barred in ANSWERING
    bed.ask("/do-not-call", "POST", {"numbers": [barred]})
    other = bed.campaign(barred[:-1] + "9")
    bed.ask(f"{other}/start", "POST")
    bed.wait(other, "answered", [barred[:-1] + "9"])
    assert bed.invited() - paused == Counter({barred[:-1] + "9": 1})

    bed.ask(f"{path}/resume", "POST")
    wait_until(lambda: sum((bed.invited() - paused).values()) >= 2, 10.0, lambda: str(bed.invited()), interval=0.01)
    bed.server.kill()
    bed.server.start()
    bed.wait(path, "failed", BUSY, 30.0)
    bed.wait(path, "answered", sorted(set(ANSWERING) - {barred}))
    bed.wait(path, "dialling", SILENT)
    bed.ask(f"{path}/stop", "POST")
    wait_until(lambda: bed.ask(path).json()["ended_at"], 10.0, lambda: bed.ask(path).body)

    found = bed.numbers(path)
    assert {number: found[number]["state"] for number in BUSY + SILENT} == {
        "201": "failed",
        "202": "failed",
        "301": "cancelled",
    }
    assert (found[barred]["state"], found[barred]["attempts"]) == ("do_not_call", [])
    attempts = {number: len(each["attempts"]) for number, each in found.items() if each["attempts"]}
    assert attempts == {number: count for number, count in bed.invited().items() if number in found}
    assert [made["outcome"] for made in found["201"]["attempts"]] == ["busy", "busy"]
    assert [made["outcome"] for made in found["301"]["attempts"]] == ["interrupted", "cancelled"]
    for number in set(ANSWERING) - {barred}:
        assert found[number]["state"] == "answered"
        assert [made["outcome"] for made in found[number]["attempts"]][-1] == "answered"

    header, *rows = csv.reader(io.StringIO(bed.ask(f"{path}/results.csv").body, newline=""))
    exported = [dict(zip(header, row, strict=True)) for row in rows]
    assert [(row["number"], row["state"], int(row["attempts"])) for row in exported] == [
        (number, found[number]["state"], len(found[number]["attempts"])) for number in numbers
    ]
    assert bed.ask(path).json()["counts"]["answered"] == len(ANSWERING) - 1
