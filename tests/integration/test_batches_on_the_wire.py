"""One request, many numbers: an announcement for whoever answers, and what the wire and the records say."""

from __future__ import annotations

import base64
import math
import struct
import subprocess
import wave
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from server import CLICK2CALL, Server
from testbed import scenarios
from testbed.phone import Phone
from testbed.process import wait_until
from testbed.sipp import Sipp, SipTrace

NOTICE_HZ = 700.0
MAX_CALLS, CALLS_PER_SECOND = 3, 4
TABLES = """
[orgs.acme]
country = "US"
caller_id = "+12025550100"
max_calls = {max_calls}
calls_per_second = {per_second}
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.messages.800]
audio = "{notice}"
[orgs.acme.queues.700]
agents = ["402"]
"""
EXTENSION = '[orgs.acme.extensions.{number}]\ncontact = "sip:{number}@127.0.0.1:{port}"\n'
ANSWERING = [str(number) for number in range(101, 105)]
BUSY = [str(number) for number in range(201, 205)]
RINGING = [str(number) for number in range(301, 305)]
LISTENER, AGENT = "401", "402"
HEADERS = {"Authorization": "Basic " + base64.b64encode(b"alice@acme:s3cret").decode()}


@dataclass(frozen=True)
class Bed:
    server: Server
    answering: Sipp
    busy: Sipp
    ringing: Sipp
    listener: Phone
    agent: Phone

    def traces(self) -> list[SipTrace]:
        """All messages of all scripted peers, in the order of time."""
        messages = [*self.answering.messages(), *self.busy.messages(), *self.ringing.messages()]
        return sorted(messages, key=lambda message: message.time)

    def batch(self, answer: Any) -> dict[str, Any]:
        path = answer.headers["Link"].partition("<")[2].partition(">")[0]
        batch: dict[str, Any] = self.server.get(path, HEADERS).json()
        return batch

    def wait_ended(self, answer: Any, timeout: float = 60.0) -> dict[str, Any]:
        wait_until(lambda: self.batch(answer)["ended_at"], timeout, lambda: str(self.batch(answer)), interval=0.1)
        return self.batch(answer)


def write_tone(path: Path, seconds: float) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        samples = (int(12000 * math.sin(2 * math.pi * NOTICE_HZ * n / 8000)) for n in range(int(8000 * seconds)))
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("server")
    write_tone(folder / "notice.wav", 1.5)
    with ExitStack() as stack:
        answering = stack.enter_context(Sipp(scenarios.answer(ring=300)))
        busy = stack.enter_context(Sipp("busy"))
        ringing = stack.enter_context(Sipp("no_answer"))
        listener = stack.enter_context(Phone(LISTENER, answer_after=0.5))
        agent = stack.enter_context(Phone(AGENT))
        tables = TABLES.format(max_calls=MAX_CALLS, per_second=CALLS_PER_SECOND, notice=folder / "notice.wav")
        peers = {AGENT: agent, LISTENER: listener}
        peers |= dict.fromkeys(ANSWERING, answering) | dict.fromkeys(BUSY, busy) | dict.fromkeys(RINGING, ringing)
        for number, peer in peers.items():
            tables += EXTENSION.format(number=number, port=peer.port)
        server = stack.enter_context(Server(folder, tables))
        yield Bed(server, answering, busy, ringing, listener, agent)


def most_at_once(traces: list[SipTrace]) -> int:
    """Count the dialogs that are begun and not over, at the worst moment."""
    open_calls: set[str] = set()
    most = 0
    for trace in traces:
        call_id = trace.header("Call-ID") or ""
        cseq = trace.header("CSeq") or ""
        refused = trace.code is not None and trace.code >= 300 and cseq.endswith("INVITE")
        hung_up = trace.code == 200 and cseq.endswith("BYE")
        if trace.direction == "received" and trace.method == "INVITE":
            open_calls.add(call_id)
        elif refused or hung_up:
            open_calls.discard(call_id)
        most = max(most, len(open_calls))
    return most


def test_twelve_numbers_are_dialled_a_few_at_a_time_each_with_its_record(bed: Bed) -> None:
    numbers = [number for three in zip(BUSY, ANSWERING, RINGING, strict=True) for number in three]
    answer = bed.server.dial(",".join(numbers), "800", Timeout=2)
    told = answer.json()
    assert (told["status"], told["batch"]) == ("ok", bed.batch(answer)["id"])
    # Told at the first answer, while others have not had their turn.
    assert [result["status"] for result in told["results"]].count("queued") > 0
    batch = bed.wait_ended(answer)
    assert batch["counts"] == {"queued": 0, "ringing": 0, "answered": 4, "failed": 8, "cancelled": 0}
    expected = {**dict.fromkeys(BUSY, "Busy"), **dict.fromkeys(RINGING, "No answer"), **dict.fromkeys(ANSWERING)}
    assert {result["number"]: result["reason"] for result in batch["results"]} == expected
    assert [result["number"] for result in batch["results"]] == numbers

    traces = bed.traces()
    invites = [trace for trace in traces if trace.method == "INVITE" and trace.direction == "received"]
    assert sorted(trace.header("Call-ID") or "" for trace in invites) == sorted(
        result["uid1"] for result in batch["results"]
    )
    assert most_at_once(traces) == MAX_CALLS
    for earlier, later in zip(invites, invites[CALLS_PER_SECOND:], strict=False):
        assert later.time - earlier.time > timedelta(seconds=0.9)

    records = bed.server.records(batch=batch["id"])
    assert {record["id"] for record in records} == {result["record_id"] for result in batch["results"]}
    assert {record["batch_id"] for record in records} == {batch["id"]}
    for record in records:
        result = next(result for result in batch["results"] if result["record_id"] == record["id"])
        assert [leg["uid"] for leg in record["legs"]] == [result["uid1"], result["uid2"]]
        assert (record["dial1"], record["dial2"]) == (result["number"], "800")


def test_whoever_answers_hears_the_announcement_of_its_own(bed: Bed) -> None:
    answer = bed.server.dial(f"{BUSY[0]};{LISTENER}", "800", RFormat="text")
    assert answer.body.splitlines()[0] == "ok"
    batch = bed.batch(answer)
    assert answer.body == "ok\ndial1={uid1}\ndial2={uid2}".format(**batch["results"][1])
    bed.listener.wait_heard(NOTICE_HZ)
    assert bed.listener.calls()[-1].call_id == batch["results"][1]["uid1"]
    assert bed.wait_ended(answer)["counts"]["answered"] == 1


def test_toward_a_queue_the_next_number_is_dialled_when_its_agent_is_free_again(bed: Bed) -> None:
    answer = bed.server.dial(",".join(ANSWERING[:3]), "700", Response=None, showUID=None)
    for served in (1, 2, 3):
        bed.agent.wait_for("answered", 20.0, nth=served)
        assert bed.batch(answer)["counts"]["queued"] == 3 - served
        bed.agent.hang_up()
    batch = bed.wait_ended(answer)
    assert batch["counts"]["answered"] == 3
    records = bed.server.records(batch=batch["id"])[::-1]
    assert [record["dial1"] for record in records] == ANSWERING[:3]
    agents_legs = [next(leg for leg in record["legs"] if leg["party"] == "dial2") for record in records]
    for leg, later in zip(agents_legs, records[1:], strict=False):
        assert leg["ended_at"] <= later["accepted_at"]


def test_fail_is_told_when_all_have_failed(bed: Bed) -> None:
    answer = bed.server.dial("\n".join([*BUSY, "999"]), "800", RFormat="text", showUID=None)
    assert (answer.status, answer.body) == (200, "Fail: Busy")
    reasons = [result["reason"] for result in bed.batch(answer)["results"]]
    assert reasons == ["Busy"] * 4 + ["Not connected"]


def test_a_cancelled_batch_hangs_up_what_rings_and_dials_nothing_more(bed: Bed) -> None:
    before = len(bed.ringing.received("INVITE")), len(bed.answering.received("INVITE"))
    answer = bed.server.dial(",".join(RINGING + ANSWERING), "800", Response=None, showUID=None, Timeout=60)
    assert (answer.status, answer.body) == (200, "")
    wait_until(lambda: bed.batch(answer)["counts"]["ringing"] == MAX_CALLS, 10.0, lambda: str(bed.batch(answer)))
    path = answer.headers["Link"].partition("<")[2].partition(">")[0]
    cancelled = subprocess.run(
        ["curl", "-s", "-X", "DELETE", "-u", "alice@acme:s3cret", bed.server.base + path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"state":"cancelled"' in cancelled.stdout
    batch = bed.wait_ended(answer)
    assert batch["counts"] == {"queued": 0, "ringing": 0, "answered": 0, "failed": 0, "cancelled": 8}
    assert (batch["state"], batch["cancelled_by"]) == ("cancelled", "request")
    assert [result["record_id"] is not None for result in batch["results"]] == [True] * 3 + [False] * 5
    assert len(bed.ringing.received("INVITE")) == before[0] + MAX_CALLS
    assert len(bed.ringing.received("CANCEL")) >= MAX_CALLS
    assert len(bed.answering.received("INVITE")) == before[1]


def test_the_command_line_tells_how_each_number_stands(bed: Bed) -> None:
    command = [CLICK2CALL, "dial", f"{BUSY[0]},{ANSWERING[0]}", "800", "--url", bed.server.base]
    login = ["--org", "acme", "--user", "alice", "--password", "s3cret"]
    done = subprocess.run([*command, *login], capture_output=True, text=True, check=False, timeout=60)
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert lines[0].endswith(": 2 numbers")
    assert {f"{BUSY[0]}: failed: Busy", f"{ANSWERING[0]}: answered"} <= set(lines)
    assert lines[-1] == "finished: 1 answered, 1 failed"


def test_after_a_crash_a_batch_tells_what_was_not_dialled(bed: Bed) -> None:
    answer = bed.server.dial(",".join(RINGING), "800", Response=None, showUID=None, Timeout=60)
    wait_until(lambda: bed.batch(answer)["counts"]["ringing"] == MAX_CALLS, 10.0, lambda: str(bed.batch(answer)))
    bed.server.kill()
    bed.server.start()
    batch = bed.batch(answer)
    assert (batch["state"], batch["cancelled_by"]) == ("cancelled", "restart")
    assert datetime.fromisoformat(batch["ended_at"]) > datetime.fromisoformat(batch["accepted_at"])
    assert [result["status"] for result in batch["results"]] == ["failed"] * 3 + ["cancelled"]
