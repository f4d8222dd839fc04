"""What operators see of real calls: the metrics, the command line, a worker that dies, a server that stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from server import CLICK2CALL, Server
from testbed import scenarios
from testbed.phone import Phone
from testbed.process import wait_until
from testbed.sipp import Sipp

KEY = "k-0123456789-abcdefghijklmnop"
TABLES = """
[metrics]
token = "t0ken"
organisations = true
[orgs.acme]
country = "US"
caller_id = "+12025550100"
[orgs.acme.api_keys.crm]
key = "{key}"
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:{first}"
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:{second}"
[orgs.acme.extensions.103]
contact = "sip:103@127.0.0.1:{busy}"
[orgs.acme.queues.700]
agents = ["102"]
"""
Samples = dict[tuple[str, ...], float]


@pytest.fixture(scope="module")
def phones() -> Iterator[tuple[Phone, Phone]]:
    with Phone("101", tone_hz=500.0) as first, Phone("102", tone_hz=900.0) as second:
        yield first, second


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, phones: tuple[Phone, Phone]) -> Iterator[Server]:
    with Sipp("busy") as busy:
        tables = TABLES.format(key=KEY, first=phones[0].port, second=phones[1].port, busy=busy.port)
        with Server(tmp_path_factory.mktemp("server"), tables) as running:
            yield running


def scrape(server: Server) -> Samples:
    """Read all samples: by name, and the values of the labels that are not empty by the labels' names."""
    answer = server.get("/metrics", {"Authorization": "Bearer t0ken"})
    assert answer.status == 200
    return {
        (sample.name, *(value for value in sample.labels.values() if value)): sample.value
        for family in text_string_to_metric_families(answer.body)
        for sample in family.samples
    }


def click2call(server: Server, *words: str) -> str:
    environ = {**os.environ, "CLICK2CALL_URL": server.base, "CLICK2CALL_KEY": KEY}
    done = subprocess.run([CLICK2CALL, *words], capture_output=True, text=True, check=False, timeout=30, env=environ)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_calls_are_counted_by_their_ends_and_their_legs_are_timed(server: Server, phones: tuple[Phone, Phone]) -> None:
    before = scrape(server)
    assert ("click2call_calls_accepted_total", "outbound", "acme") not in before
    talk = server.dial("101", "102").json()
    assert talk["status"] == "ok"
    phones[0].wait_heard(900.0)
    during = scrape(server)
    assert during["click2call_calls_in_progress", "outbound", "acme", "joined"] == 1
    assert during["click2call_leg_slots_reserved",] - before["click2call_leg_slots_reserved",] == 2
    assert during["click2call_queue_agents", "acme", "700", "busy"] == 1
    (call,) = json_lines(click2call(server, "calls", "list", "--json"))
    click2call(server, "calls", "hangup", call["id"])
    server.wait_record(talk["dial1"])
    assert server.dial("103", "102").json()["reason"] == "Busy"
    after = wait_until(
        lambda: (
            seen if ("click2call_calls_ended_total", "outbound", "busy", "acme") in (seen := scrape(server)) else None
        ),
        10.0,
        lambda: "the busy call is not counted",
    )
    assert after["click2call_calls_accepted_total", "outbound", "acme"] == 2
    assert after["click2call_calls_ended_total", "outbound", "answered", "acme"] == 1
    assert after["click2call_calls_ended_total", "outbound", "busy", "acme"] == 1
    assert ("click2call_calls_in_progress", "outbound", "acme", "joined") not in after
    assert after["click2call_first_invite_seconds_count",] == 2
    assert 0 < after["click2call_first_invite_seconds_sum",] < 10
    assert after["click2call_second_invite_seconds_count",] == 1
    assert after["click2call_leg_answer_seconds_count", "dial1"] == 1
    assert after["click2call_leg_answer_seconds_count", "dial2"] == 1
    assert after["click2call_leg_post_dial_delay_seconds_count", "dial2"] == 1
    assert after["click2call_call_talk_seconds_count",] == 1
    assert after["click2call_http_requests_total", "DELETE", "/api/v1/calls/{id}", "200"] == 1


def test_what_became_of_calls_is_listed_and_followed(server: Server) -> None:
    records = json_lines(click2call(server, "records", "list", "--json"))
    assert [record["disposition"] for record in records] == ["busy", "answered"]
    assert "INVITE" in click2call(server, "records", "show", records[1]["id"], "--ladder")
    assert "102 free" in click2call(server, "queues", "list")


def test_a_worker_that_dies_is_counted_and_the_server_stays_ready(server: Server) -> None:
    before = scrape(server)
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    wait_until(
        lambda: scrape(server)["click2call_workers_died_total",] == before["click2call_workers_died_total",] + 1,
        10.0,
        lambda: f"not counted: {scrape(server)}",
    )
    wait_until(
        lambda: scrape(server)["click2call_workers",] >= before["click2call_workers",],
        10.0,
        lambda: "no other worker was started",
    )
    assert scrape(server)["click2call_workers_started_total",] > before["click2call_workers_started_total",]
    assert server.get("/readyz").status == 200


def test_a_server_that_stops_says_so_until_its_calls_are_over(tmp_path: Path, phones: tuple[Phone, Phone]) -> None:
    """The phone behind 103 answers and hangs from then on: the end of its leg is waited for."""
    with Sipp(scenarios.answer()) as deaf:
        tables = TABLES.format(key=KEY, first=phones[0].port, second=phones[1].port, busy=deaf.port)
        with Server(tmp_path, tables) as running, ThreadPoolExecutor(1) as stopping:
            assert running.dial("103", "102").json()["status"] == "ok"
            deaf.wait_for("ACK")
            assert deaf.pid is not None
            os.kill(deaf.pid, signal.SIGSTOP)
            stopped = stopping.submit(running.stop)
            told = wait_until(
                lambda: answer if (answer := running.get("/readyz")).status == 503 else None,
                5.0,
                lambda: "it does not say that it stops",
                interval=0.01,
            )
            assert told.json()["stopping"]
            assert running.dial("101", "102").status == 503
            assert stopped.result() == 0
            os.kill(deaf.pid, signal.SIGCONT)
