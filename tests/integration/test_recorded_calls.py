"""Recordings of real calls: who is recorded, what is heard in them, and what a full disk or a death leaves of them."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile
from server import Server
from testbed import audio
from testbed.phone import Phone
from testbed.process import wait_until

AGENT_HZ, COLLEAGUE_HZ, CUSTOMER_HZ = 700.0, 1000.0, 1300.0
CUSTOMER, OTHER_CUSTOMER = "+12025550123", "+12025550124"
LOST_SECONDS = 1.0
"""How much of a recording may be lost with whoever made it."""
TABLES = """
[trunks.main]
proxy = "sip:127.0.0.1:{customer}"
[orgs.{org}]
country = "US"
caller_id = "+12025550100"
trunk = "main"
[orgs.{org}.users.alice]
password = "s3cret"
[orgs.{org}.recording]
{rules}
[orgs.{org}.extensions.101]
contact = "sip:101@127.0.0.1:{agent}"
caller_id = "+12025550101"
record = true
[orgs.{org}.extensions.102]
contact = "sip:102@127.0.0.1:{colleague}"
[orgs.{org}.extensions.103]
contact = "sip:103@127.0.0.1:{colleague}"
[orgs.{org}.extensions.104]
contact = "sip:104@127.0.0.1:{colleague}"
[orgs.{org}.extensions.105]
contact = "sip:105@127.0.0.1:{colleague}"
[orgs.{org}.ring_groups.600]
members = ["103", "104", "105", "101"]
[orgs.{org}.apps.box]
number = "*98"
kind = "voicemail"
"""
RULES = {
    "acme": "",
    "flac": 'format = "flac"',
    "opus": 'format = "opus"',
    "answered": 'start = "answered"',
    "notice": "notice = true",
}


@dataclass(frozen=True)
class Recorded:
    """A recording as it was fetched: what is heard on either side, and its call's record."""

    left: audio.Recording
    right: audio.Recording
    record: dict[str, Any]
    headers: dict[str, str]


@dataclass(frozen=True)
class Bed:
    """The server, an agent who is recorded, a colleague who is not, and whoever the trunk reaches."""

    server: Server
    agent: Phone
    colleague: Phone
    customer: Phone

    def ask(
        self, path: str, method: str = "GET", org: str = "acme", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        credentials = base64.b64encode(f"alice@{org}:s3cret".encode()).decode()
        request = urllib.request.Request(
            f"{self.server.base}/api/v1{path}",
            method=method,
            headers={"Authorization": f"Basic {credentials}", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), dict(error.headers)

    def dial(self, dial1: str, dial2: str, **parameters: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.server.dial(dial1, dial2, **parameters).json()
        assert answer["status"] == "ok", answer
        return answer

    def joined(self, dial1: str = "101", dial2: str = CUSTOMER, **parameters: object) -> dict[str, Any]:
        """Place a call; return its record once the two talk."""
        uid = self.dial(dial1, dial2, **parameters)["dial1"]
        org = str(parameters.get("org", "acme"))

        def talks() -> dict[str, Any] | None:
            found = self.server.records(organisation=org, uid=uid)
            return found[0] if found and found[0]["joined_at"] else None

        return wait_until(talks, 10.0, lambda: f"never joined: {self.server.log.read_text()[-2000:]}")

    def hang_up(self, record: dict[str, Any], org: str = "acme") -> dict[str, Any]:
        """End a call; return its record."""
        for phone in (self.agent, self.colleague, self.customer):
            if phone.active_calls():
                phone.hang_up()
                break
        return self.server.wait_record(record["legs"][0]["uid"], organisation=org)

    def recorded(self, record: dict[str, Any], org: str = "acme") -> Recorded:
        """Fetch the recording of a call that is over, once it is ready."""

        def fetched() -> tuple[int, bytes, dict[str, str]] | None:
            answer = self.ask(f"/recordings/{record['recording_id']}", org=org)
            return None if answer[0] in (404, 409) else answer

        status, body, headers = wait_until(fetched, 20.0, lambda: self.server.log.read_text()[-3000:], interval=0.05)
        assert status == 200, body
        samples, rate = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)
        found = json.loads(self.ask(f"/records/{record['id']}", org=org)[1])
        channels = [audio.Recording(samples[:, channel].copy(), rate) for channel in (0, samples.shape[1] - 1)]
        return Recorded(channels[0], channels[1], found, headers)


def tables(agent: Phone, colleague: Phone, customer: Phone, **rules: str) -> str:
    text = "".join(
        TABLES.format(org=org, rules=keys, agent=agent.port, colleague=colleague.port, customer=customer.port)
        for org, keys in rules.items()
    )
    head = f'[trunks.main]\nproxy = "sip:127.0.0.1:{customer.port}"\n'
    return head + text.replace(head, "")


@pytest.fixture(scope="module")
def phones() -> Iterator[tuple[Phone, Phone, Phone]]:
    with (
        Phone("101", tone_hz=AGENT_HZ) as agent,
        Phone("102", tone_hz=COLLEAGUE_HZ) as colleague,
        Phone("300", tone_hz=CUSTOMER_HZ) as customer,
    ):
        yield agent, colleague, customer


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory, phones: tuple[Phone, Phone, Phone]) -> Iterator[Bed]:
    with Server(tmp_path_factory.mktemp("server"), tables(*phones, **RULES)) as server:
        yield Bed(server, *phones)


@pytest.fixture(autouse=True)
def _hung_up(phones: tuple[Phone, Phone, Phone]) -> Iterator[None]:
    yield
    for phone in phones:
        for call in phone.active_calls():
            with contextlib.suppress(Exception):
                phone.hang_up(call.number)
        for call in phone.calls():
            phone.wait_for("ended", 40.0, call=call.number)


def hears(recording: audio.Recording) -> list[float]:
    """The tones of the middle half of a recording."""
    part = recording.between(recording.seconds / 4, recording.seconds * 3 / 4)
    return [round(tone.hz, -1) for tone in audio.tones(part)]


def seconds_between(record: dict[str, Any], since: str, until: str) -> float:
    def moment(name: str) -> float:
        return time.mktime(time.strptime(record[name][:19], "%Y-%m-%dT%H:%M:%S")) + float(record[name][19:-1])

    return moment(until) - moment(since)


def let_talk(phone: Phone, seconds: float = 1.5) -> None:
    """Wait until a phone has heard so much more than it has now."""
    heard = phone.recording().seconds
    wait_until(lambda: phone.recording().seconds > heard + seconds, 15.0, lambda: f"{phone.extension} hears nothing")


@pytest.mark.parametrize(
    ("dial1", "dial2", "set_cid", "left_hz", "right_hz"),
    [
        ("101", CUSTOMER, None, AGENT_HZ, CUSTOMER_HZ),
        ("101", CUSTOMER, "101", AGENT_HZ, CUSTOMER_HZ),
        ("101", CUSTOMER, "+12025550101", AGENT_HZ, CUSTOMER_HZ),
        (CUSTOMER, "101", None, CUSTOMER_HZ, AGENT_HZ),
        ("101", "102", None, AGENT_HZ, COLLEAGUE_HZ),
        (CUSTOMER, OTHER_CUSTOMER, "101", CUSTOMER_HZ, CUSTOMER_HZ),
    ],
)
def test_a_recorded_call_has_leg_1_to_the_left_and_leg_2_to_the_right(
    bed: Bed, dial1: str, dial2: str, set_cid: str | None, left_hz: float, right_hz: float
) -> None:
    call = bed.joined(dial1, dial2, SetCID=set_cid)
    assert call["recording_state"] == "recording"
    let_talk(bed.agent if "101" in (dial1, dial2) else bed.customer)
    ended = bed.hang_up(call)
    recorded = bed.recorded(ended)
    assert recorded.record["recording_state"] == "complete"
    assert (hears(recorded.left), hears(recorded.right)) == ([left_hz], [right_hz])
    assert recorded.left.seconds == pytest.approx(seconds_between(ended, "joined_at", "ended_at"), abs=0.3)


@pytest.mark.parametrize(
    ("dial1", "dial2", "set_cid"),
    [
        ("101", CUSTOMER, "102"),
        ("101", CUSTOMER, "+12025550100"),
        (CUSTOMER, "101", "+12025550100"),
        ("101", "102", "102"),
        ("102", CUSTOMER, None),
        ("102", "101", None),
        (CUSTOMER, OTHER_CUSTOMER, None),
        (CUSTOMER, OTHER_CUSTOMER, "102"),
    ],
)
def test_any_other_call_is_not_recorded(bed: Bed, dial1: str, dial2: str, set_cid: str | None) -> None:
    call = bed.joined(dial1, dial2, SetCID=set_cid)
    assert (call["recording_id"], call["recording_state"]) == (None, None)
    ended = bed.hang_up(call)
    assert (ended["recording_id"], ended["recording_state"]) == (None, None)


@pytest.mark.parametrize(("org", "kind"), [("flac", "audio/flac"), ("opus", "audio/ogg; codecs=opus")])
def test_the_organisation_chooses_the_format(bed: Bed, org: str, kind: str) -> None:
    call = bed.joined(org=org)
    let_talk(bed.agent)
    recorded = bed.recorded(bed.hang_up(call, org), org)
    assert recorded.headers["Content-Type"] == kind
    assert (hears(recorded.left), hears(recorded.right)) == ([AGENT_HZ], [CUSTOMER_HZ])


def test_a_setting_records_leg_1_from_its_answer_on(bed: Bed) -> None:
    bed.customer.behave("answer", answer_after=2.0)
    call = bed.joined(org="answered")
    bed.customer.behave("answer")
    let_talk(bed.agent)
    recorded = bed.recorded(bed.hang_up(call, "answered"), "answered")
    assert hears(recorded.left.between(0.3, 1.7)) == [AGENT_HZ]
    assert audio.tones(recorded.right.between(0.0, 1.7)) == []
    assert hears(recorded.right.between(2.5, recorded.right.seconds)) == [CUSTOMER_HZ]


def test_a_notice_is_heard_by_both_and_is_not_recorded(bed: Bed) -> None:
    call = bed.joined(org="notice")

    def state() -> bool:
        return bool(bed.server.records(organisation="notice", uid=call["legs"][0]["uid"])[0]["recording_id"])

    wait_until(state, 15.0, lambda: "never recorded")
    heard = [audio.level_db(phone.recording().between(0.5, 1.5).samples) for phone in (bed.agent, bed.customer)]
    assert min(heard) > -50, f"the notice is heard by both: {heard}"
    let_talk(bed.agent)
    recorded = bed.recorded(bed.hang_up(call, "notice"), "notice")
    assert (hears(recorded.left), hears(recorded.right)) == ([AGENT_HZ], [CUSTOMER_HZ])


def test_the_agents_code_pauses_and_resumes_and_the_customer_does_not_hear_it(bed: Bed) -> None:
    call = bed.joined()

    def wait_state(state: str) -> None:
        uid = call["legs"][0]["uid"]
        wait_until(lambda: bed.server.records(uid=uid)[0]["recording_state"] == state, 10.0, lambda: f"not {state}")

    let_talk(bed.agent)
    bed.agent.send_digits("*1")
    wait_state("paused")
    let_talk(bed.agent, 2.0)
    bed.agent.send_digits("*1")
    wait_state("recording")
    let_talk(bed.agent)
    bed.agent.send_digits("5")
    bed.customer.wait_digits("5", call=bed.customer.calls()[-1].number)
    recorded = bed.recorded(bed.hang_up(call))
    for channel in (recorded.left, recorded.right):
        pauses = [silence for silence in audio.silences(channel, 1.0) if silence.start > 0.5]
        assert len(pauses) == 1, pauses
        assert pauses[0].length == pytest.approx(2.5, abs=1.0)
        assert hears(channel.between(0.2, pauses[0].start)) in ([AGENT_HZ], [CUSTOMER_HZ])
    assert recorded.record["recording_state"] == "complete"


def test_a_recording_that_is_stopped_is_fetched_in_parts_while_the_call_goes_on(bed: Bed) -> None:
    call = bed.joined()
    let_talk(bed.agent)
    assert bed.ask(f"/recordings/{call['recording_id']}")[0] == 409
    status, body, _ = bed.ask(f"/calls/{call['id']}/recording/stop", "POST")
    assert (status, json.loads(body)["recording_state"]) == (200, "stopped")
    bed.recorded(call)
    assert bed.customer.active_calls(), "the call goes on"
    path = f"/recordings/{call['recording_id']}"
    _, whole, _ = bed.ask(path)
    status, part, headers = bed.ask(path, Range="bytes=100-5099")
    assert (status, part) == (206, whole[100:5100])
    assert headers["Content-Range"] == f"bytes 100-5099/{len(whole)}"
    assert bed.ask(path, org="opus")[0] == 404
    assert bed.ask(path, "DELETE")[0] == 204
    assert bed.ask(path)[0] == 404
    bed.hang_up(call)
    assert bed.server.records(uid=call["legs"][0]["uid"])[0]["recording_state"] == "deleted"


def test_a_voicemail_is_kept_as_a_recording(bed: Bed) -> None:
    uid = bed.dial("102", "*98")["dial1"]
    wait_until(lambda: bed.server.records(uid=uid)[0]["recording_id"], 15.0, lambda: "never recorded")
    let_talk(bed.colleague)
    bed.colleague.hang_up()
    recorded = bed.recorded(bed.server.wait_record(uid))
    assert hears(recorded.left) == [COLLEAGUE_HZ]
    assert recorded.record["recording_state"] == "complete"


@pytest.fixture
def doomed(tmp_path: Path, phones: tuple[Phone, Phone, Phone]) -> Iterator[Bed]:
    with Server(tmp_path, tables(*phones, acme="")) as server:
        yield Bed(server, *phones)


def recording_workers(server: Server) -> set[int]:
    """Process ids of the workers that have recordings open."""
    found = set()
    for pid in server.worker_pids():
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if "/recordings/" in str(entry.readlink()):
                    found.add(pid)
    return found


def test_legs_on_different_workers_are_in_one_recording(bed: Bed) -> None:
    bed.colleague.behave("ring")
    call = bed.joined(CUSTOMER, "600")
    bed.colleague.behave("answer")
    let_talk(bed.agent)
    assert len(recording_workers(bed.server)) == 2
    recorded = bed.recorded(bed.hang_up(call))
    assert (hears(recorded.left), hears(recorded.right)) == ([CUSTOMER_HZ], [AGENT_HZ])
    assert recorded.record["recording_state"] == "complete"


def test_what_a_worker_that_is_killed_has_recorded_is_kept(doomed: Bed) -> None:
    call = doomed.joined()
    let_talk(doomed.agent, 3.0)
    talked = seconds_of(call)
    (worker,) = recording_workers(doomed.server)
    os.kill(worker, signal.SIGKILL)
    ended = doomed.server.wait_record(call["legs"][0]["uid"])
    assert ended["disposition"] == "interrupted"
    recorded = doomed.recorded(ended)
    assert recorded.record["recording_state"] == "incomplete"
    assert recorded.left.seconds > talked - LOST_SECONDS
    assert (hears(recorded.left), hears(recorded.right)) == ([AGENT_HZ], [CUSTOMER_HZ])
    doomed.server.wait_log("recording in trouble", recording=call["recording_id"])


def test_what_a_server_that_is_killed_has_recorded_is_kept(doomed: Bed) -> None:
    call = doomed.joined()
    let_talk(doomed.agent, 3.0)
    talked = seconds_of(call)
    doomed.server.kill()
    doomed.server.start()
    recorded = doomed.recorded(call)
    assert recorded.record["recording_id"] == call["recording_id"]
    assert (recorded.record["disposition"], recorded.record["recording_state"]) == ("interrupted", "incomplete")
    assert recorded.left.seconds > talked - LOST_SECONDS
    assert (hears(recorded.left), hears(recorded.right)) == ([AGENT_HZ], [CUSTOMER_HZ])


def test_a_server_that_is_stopped_makes_its_recordings_ready(doomed: Bed) -> None:
    call = doomed.joined()
    let_talk(doomed.agent)
    assert doomed.server.stop() == 0
    assert list((doomed.server.folder / "recordings").glob("*.wav"))
    doomed.server.start()
    recorded = doomed.recorded(call)
    assert recorded.record["recording_state"] == "complete"
    assert (hears(recorded.left), hears(recorded.right)) == ([AGENT_HZ], [CUSTOMER_HZ])


def seconds_of(call: dict[str, Any]) -> float:
    """How long a call has been joined."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f"{time.time() % 1:.3f}"[1:] + "Z"
    return seconds_between(call | {"now": now}, "joined_at", "now")


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 16 MB that workers reach."""
    folder = Path(f"/run/click2call-small-disk-{os.getpid()}")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def test_a_full_disk_raises_the_alarm_and_the_call_goes_on(
    tmp_path: Path, phones: tuple[Phone, Phone, Phone], small_disk: Path
) -> None:
    environ = {"CLICK2CALL__STORAGE__SPOOL": str(small_disk)}
    with Server(tmp_path, tables(*phones, acme=""), environ=environ) as server:
        bed = Bed(server, *phones)
        call = bed.joined()
        let_talk(bed.agent, 2.0)
        with (small_disk / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(4096)):
                pass
        full = time.monotonic()
        server.wait_log("recording in trouble", reason="the disk is full")
        assert time.monotonic() - full < 5.0
        bed.agent.wait_heard(CUSTOMER_HZ)
        assert server.records(uid=call["legs"][0]["uid"])[0]["ended_at"] is None, "the call goes on"
        (small_disk / "ballast").unlink()
        recorded = bed.recorded(bed.hang_up(call))
        assert recorded.record["recording_state"] == "incomplete"
        assert hears(recorded.left.between(0, 2)) == [AGENT_HZ]
