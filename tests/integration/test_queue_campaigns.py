"""A campaign to a queue on two servers: one dials for the agents; when it is killed, or loses its lock, one goes on."""

from __future__ import annotations

import base64
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server import Server
from testbed import scenarios
from testbed.postgresql import PostgresqlServer
from testbed.process import wait_until
from testbed.sipp import Sipp

from sipcore.store.lock_keys import lock_key

TABLES = """
[trunks.main]
proxy = "sip:127.0.0.1:{customers}"
[orgs.acme]
country = "US"
trunk = "main"
caller_id = "+12025550100"
calling_hours = {{ default = "mon-sun 00:00-24:00" }}
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:{agents}"
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:{agents}"
[orgs.acme.queues.700]
agents = ["101", "102"]
"""
ALICE = {"Authorization": "Basic " + base64.b64encode(b"alice@acme:s3cret").decode()}
NUMBERS = [f"+1202555{index:04d}" for index in range(1, 13)]
INVITED = re.compile(r"INVITE sip:([^@;]+)")
TAKEN_OVER_SECONDS = 15.0


@dataclass(frozen=True)
class Bed:
    nodes: tuple[Server, Server]
    customers: Sipp

    def ask(self, node: Server, path: str, body: bytes | None = None, kind: str = "application/json") -> Any:
        """Send a request that has to be granted, and return its answer."""
        headers = ALICE if body is None else {**ALICE, "Content-Type": kind}
        answer = node.get(f"/api/v1{path}", headers, body)
        assert 200 <= answer.status < 300, answer
        return answer.json()

    def started(self) -> str:
        """Make a campaign of all numbers and start it; return its path."""
        again = {"retries": 3, "after": 10}
        new = {
            "name": "test", "dial2": "700", "concurrency": 12, "calls_per_second": 50,
            "retries": {"interrupted": again, "unreachable": again, "not_connected": again},
        }  # fmt: skip
        node = self.nodes[0]
        path = f"/campaigns/{self.ask(node, '/campaigns', json.dumps(new).encode())['id']}"
        self.ask(node, f"{path}/numbers", "\n".join(["number", *NUMBERS]).encode(), "text/csv")
        self.ask(node, f"{path}/start", b"")
        return path

    def numbers(self, node: Server, path: str) -> dict[str, dict[str, Any]]:
        return {number["number"]: number for number in self.ask(node, f"{path}/numbers")["items"]}

    def answered(self, node: Server, path: str) -> list[str]:
        return [number for number, found in self.numbers(node, path).items() if found["state"] == "answered"]

    def calls(self, node: Server) -> int:
        """Tell how many calls a node carries."""
        return len(self.ask(node, "/calls")["items"])

    def all_are_answered(self, node: Server, path: str) -> None:
        """Wait for the campaign's end: each number was answered, and dialled no more often than its attempts say."""
        wait_until(lambda: self.ask(node, path)["ended_at"], 60.0, lambda: str(self.numbers(node, path)), interval=0.2)
        found = self.numbers(node, path)
        assert {number["state"] for number in found.values()} == {"answered"}
        # A node may be killed between an attempt's row and its INVITE.
        invited = self.invited()
        assert all(1 <= invited[number] <= len(each["attempts"]) for number, each in found.items()), (invited, found)
        assert invited.keys() == found.keys()
        for each in found.values():
            outcomes = [made["outcome"] for made in each["attempts"]]
            assert (outcomes.count("answered"), outcomes[-1]) == (1, "answered")

    def invited(self) -> Counter[str]:
        """Count the dialogs that the customers saw begin, by their number."""
        first = (messages[0].text for messages in self.customers.calls().values())
        return Counter(found[1] for found in map(INVITED.match, first) if found)


@pytest.fixture
def bed(postgresql_url: str, tmp_path: Path) -> Iterator[Bed]:
    with ExitStack() as stack:
        customers = stack.enter_context(Sipp("answer"))
        agents = stack.enter_context(Sipp(scenarios.answer(bye_after=400)))
        tables = TABLES.format(customers=customers.port, agents=agents.port)
        nodes = []
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            nodes.append(stack.enter_context(Server(tmp_path / name, tables, database=postgresql_url)))
        yield Bed((nodes[0], nodes[1]), customers)


def test_one_server_dials_for_the_agents_and_the_other_goes_on_when_it_is_killed(bed: Bed) -> None:
    path = bed.started()
    holder = wait_until(
        lambda: next((node for node in bed.nodes if bed.calls(node)), None),
        15.0,
        lambda: str(bed.numbers(bed.nodes[0], path)),
        interval=0.02,
    )
    other = next(node for node in bed.nodes if node is not holder)
    seen: list[tuple[int, int]] = []

    def some_are_answered() -> bool:
        seen.append((bed.calls(holder), bed.calls(other)))
        return len(bed.answered(other, path)) >= 3

    wait_until(some_are_answered, 20.0, lambda: str(bed.numbers(other, path)), interval=0.02)
    # Two agents: no more calls than that, and all of them where the agents are known to be free.
    assert all(there <= 2 and here == 0 for there, here in seen)
    holder.kill()
    killed, before = time.monotonic(), bed.invited()
    wait_until(
        lambda: sum(bed.invited().values()) > sum(before.values()),
        TAKEN_OVER_SECONDS,
        lambda: str(bed.numbers(other, path)),
        interval=0.05,
    )
    assert time.monotonic() - killed < TAKEN_OVER_SECONDS
    bed.all_are_answered(other, path)


def test_no_number_is_dialled_twice_when_the_server_that_dials_loses_its_lock_and_lives(
    bed: Bed, postgresql: PostgresqlServer, postgresql_url: str
) -> None:
    path, node = bed.started(), bed.nodes[0]
    database = postgresql_url.rpartition("/")[2]
    break_off = (
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "  # noqa: S608 - our own number
        f"AND (classid::bigint << 32) | objid::bigint = {lock_key('queue 700 of acme')}"
    )
    for answered in (2, 5, 8):
        wait_until(
            lambda count=answered: len(bed.answered(node, path)) >= count,
            30.0,
            lambda: str(bed.numbers(node, path)),
            interval=0.02,
        )
        wait_until(lambda: postgresql.sql(break_off, database), 10.0, lambda: "nobody dials for the queue")
    bed.all_are_answered(node, path)
    assert any(each.log_lines("the other nodes see this one again") for each in bed.nodes)
