"""Calls placed and changed through the REST API: what phones get on the wire, and whom they hear."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import base64
import contextlib
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import soundfile
from server import Answer, Server
from testbed import audio
from testbed.phone import Phone, PhoneCall
from testbed.process import TestbedError, wait_until

AGENT_HZ, CUSTOMER_HZ, COLLEAGUE_HZ = 700.0, 1300.0, 1000.0
RINGBACK_HZ, BUSY_HZ = [440.0, 480.0], [480.0, 620.0]
CUSTOMER = "+12025550123"
TABLES = """
[trunks.main]
proxy = "sip:127.0.0.1:{customer}"
identity = ["from", "p-asserted-identity", "remote-party-id", "privacy"]
[orgs.acme]
country = "US"
caller_id = "+12025550100"
trunk = "main"
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:{agent}"
caller_id = "+12025550101"
record = true
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:{colleague}"
[orgs.acme.ring_groups.600]
members = ["102", "103"]
[orgs.acme.extensions.103]
contact = "sip:103@127.0.0.1:{customer}"
"""
CREDENTIALS = base64.b64encode(b"alice@acme:s3cret").decode()
LARGEST = {f"X-Field-{number}": "v" * 191 for number in range(10)}
"""2000 octets, of which most can be said in ten fields."""


@dataclass(frozen=True)
class Bed:
    """The server, an agent who is recorded, whoever the trunk reaches, and a colleague."""

    server: Server
    agent: Phone
    customer: Phone
    colleague: Phone

    @property
    def phones(self) -> tuple[Phone, Phone, Phone]:
        return self.agent, self.customer, self.colleague

    def ask(self, path: str, body: object = None) -> Answer:
        headers = {"Authorization": f"Basic {CREDENTIALS}", "Content-Type": "application/json"}
        return self.server.get(f"/api/v1{path}", headers, None if body is None else json.dumps(body).encode())

    def place(self, dial1: str = "101", dial2: str = CUSTOMER, **wanted: object) -> dict[str, Any]:
        answer = self.ask("/calls", {"dial1": dial1, "dial2": dial2, "wait": True, **wanted})
        assert answer.status == 201, answer
        return dict(answer.json())

    def joined(self) -> str:
        """Place a call; return its id once the two hear each other."""
        call_id = self.place()["id"]
        hear(self.agent, CUSTOMER_HZ)
        hear(self.customer, AGENT_HZ)
        return str(call_id)

    def change(self, call_id: str, what: str, **body: object) -> dict[str, Any]:
        answer = self.ask(f"/calls/{call_id}/{what}", body)
        assert answer.status == 200, answer
        return dict(answer.json())

    def ended(self, call_id: str) -> dict[str, Any]:
        """Return the record of a call once it is over."""

        def over() -> dict[str, Any] | None:
            record = self.ask(f"/calls/{call_id}").json()
            return record if record["ended_at"] else None

        return wait_until(over, 10.0, lambda: f"not over: {self.ask(f'/calls/{call_id}')}")

    def recording(self, record: dict[str, Any]) -> tuple[audio.Recording, audio.Recording]:
        """Fetch both sides of a recording, once it is ready."""
        url = f"{self.server.base}/api/v1/recordings/{record['recording_id']}"
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {CREDENTIALS}"})

        def fetched() -> bytes | None:
            with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(request, timeout=30) as answer:
                return bytes(answer.read())
            return None

        body = wait_until(fetched, 20.0, lambda: self.server.log.read_text()[-3000:])
        samples, rate = soundfile.read(io.BytesIO(body), dtype="float32", always_2d=True)
        return audio.Recording(samples[:, 0], rate), audio.Recording(samples[:, 1], rate)


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with (
        Phone("101", tone_hz=AGENT_HZ) as agent,
        Phone("customer", tone_hz=CUSTOMER_HZ) as customer,
        Phone("102", tone_hz=COLLEAGUE_HZ) as colleague,
    ):
        tables = TABLES.format(agent=agent.port, customer=customer.port, colleague=colleague.port)
        with Server(tmp_path_factory.mktemp("server"), tables) as server:
            yield Bed(server, agent, customer, colleague)


@pytest.fixture(autouse=True)
def _hung_up(bed: Bed) -> Iterator[None]:
    """Leave with phones that answer and have no call."""
    yield
    for phone in bed.phones:
        if phone.active_calls():
            # By now the other's BYE may have ended it.
            with contextlib.suppress(TestbedError):
                phone.hang_up()
    for phone in bed.phones:
        for call in phone.calls():
            phone.wait_for("ended", call=call.number)
        phone.behave("answer")


def hear(phone: Phone, *hz: float) -> None:
    """Wait until a phone hears these tones and no others."""

    def heard() -> list[float]:
        if not phone.active_calls():
            return []
        recording = phone.recording(phone.active_calls()[-1].number)
        return (
            sorted(round(tone.hz, -1) for tone in audio.tones(recording.last(0.3))) if recording.seconds > 0.3 else []
        )

    wait_until(lambda: heard() == sorted(hz), 8.0, lambda: f"{phone.extension} hears {heard()}, not {hz} alone")


def tones_in(recording: audio.Recording) -> set[float]:
    """Tell whose tones are somewhere in a recording."""
    every = (AGENT_HZ, CUSTOMER_HZ, COLLEAGUE_HZ)
    return {hz for hz in every if audio.cadence(recording, hz)}


def newest_call(phone: Phone) -> PhoneCall:
    """Return a phone's call, once its INVITE has come."""
    return wait_until(
        lambda: next(reversed(phone.active_calls()), None), 5.0, lambda: f"nobody calls {phone.extension}"
    )


def header_lines(call: PhoneCall, prefix: str) -> list[str]:
    return [line for line in call.invite.split("\r\n") if line.startswith(prefix)]


def test_each_leg_has_its_own_headers_on_the_wire_and_digits_after_its_answer(bed: Bed) -> None:
    call = bed.place(
        leg1={"headers": {"X-Agent": "7"}, "digits": "5"},
        leg2={"headers": LARGEST, "digits": "1w2,#"},
        reference="order 4711",
    )
    agent, customer = newest_call(bed.agent), newest_call(bed.customer)
    assert header_lines(agent, "X-") == ["X-Agent: 7"]
    assert header_lines(customer, "X-") == [f"{name}: {value}" for name, value in LARGEST.items()]
    assert len(header_lines(customer, "From:")) == len(header_lines(customer, "P-Asserted-Identity:")) == 1
    bed.agent.wait_digits("5", call=agent.number)
    bed.customer.wait_digits("12#", call=customer.number)
    hear(bed.customer, AGENT_HZ)
    bed.change(call["id"], "digits", leg=2, digits="89")
    bed.customer.wait_digits("12#89", call=customer.number)
    bed.agent.hang_up()
    assert bed.ended(call["id"])["reference"] == "order 4711"


def test_a_headers_text_arrives_as_it_is_at_every_phone_of_a_group(bed: Bed) -> None:
    bed.customer.behave("ring")
    call_id = bed.place(dial2="600", leg2={"headers": {"X-Note": 'ünï "q"; <sip:x>, %0d%0aFrom: y'}})["id"]
    hear(bed.agent, COLLEAGUE_HZ)
    uids = {leg["number"]: leg["uid"] for leg in bed.ask(f"/calls/{call_id}").json()["legs"]}
    for phone, uid in ((bed.customer, uids["103"]), (bed.colleague, uids["102"])):
        call = next(call for call in phone.calls() if call.call_id == uid)
        assert header_lines(call, "X-") == ['X-Note: ünï "q"; <sip:x>, %0d%0aFrom: y']
        assert len(header_lines(call, "From:")) == 1


def test_a_call_ends_at_its_own_length(bed: Bed) -> None:
    call = bed.place(max_seconds=1)
    assert bed.ended(call["id"])["ended_by"] == "limit"
    refused = bed.ask("/calls", {"dial1": "101", "dial2": "102", "max_seconds": 10**6})
    assert (refused.status, refused.json()["parameter"]) == (400, "max_seconds")


def test_three_hear_each_other_and_are_recorded_and_the_two_go_on_when_the_third_leaves(bed: Bed) -> None:
    call_id = bed.joined()
    bed.change(call_id, "join", destination="102")
    hear(bed.agent, CUSTOMER_HZ, COLLEAGUE_HZ)
    hear(bed.customer, AGENT_HZ, COLLEAGUE_HZ)
    hear(bed.colleague, AGENT_HZ, CUSTOMER_HZ)
    refused = bed.ask(f"/calls/{call_id}/join", {"destination": "102"})
    assert (refused.status, refused.json()["error_id"]) == (409, "call_state")
    bed.colleague.hang_up()
    hear(bed.agent, CUSTOMER_HZ)
    hear(bed.customer, AGENT_HZ)
    bed.agent.hang_up()
    record = bed.ended(call_id)
    assert [(leg["party"], leg["disposition"]) for leg in record["legs"]] == [
        ("dial1", "answered"), ("dial2", "answered"), ("third", "answered"),
    ]  # fmt: skip
    left, right = bed.recording(record)
    assert tones_in(left) == {AGENT_HZ}
    assert tones_in(right) == {CUSTOMER_HZ, COLLEAGUE_HZ}


def test_whoever_is_left_of_three_goes_on_talking(bed: Bed) -> None:
    call_id = bed.joined()
    bed.change(call_id, "join", destination="102")
    hear(bed.colleague, AGENT_HZ, CUSTOMER_HZ)
    bed.agent.hang_up()
    hear(bed.customer, COLLEAGUE_HZ)
    hear(bed.colleague, CUSTOMER_HZ)
    bed.customer.hang_up()
    assert bed.ended(call_id)["ended_by"] == "dial2"


def test_leg_2_is_transferred_while_leg_1_hears_it_ring(bed: Bed) -> None:
    call_id = bed.joined()
    bed.colleague.behave("ring")
    customer = newest_call(bed.customer)
    bed.change(call_id, "transfer", destination="102", headers={"X-Ticket": "9"}, digits="4")
    bed.customer.wait_for("ended", call=customer.number)
    hear(bed.agent, *RINGBACK_HZ)
    assert header_lines(newest_call(bed.colleague), "X-") == ["X-Ticket: 9"]
    bed.colleague.answer()
    hear(bed.agent, COLLEAGUE_HZ)
    hear(bed.colleague, AGENT_HZ)
    bed.colleague.wait_digits("4")
    bed.colleague.hang_up()
    record = bed.ended(call_id)
    assert [(leg["party"], leg["ended_by"]) for leg in record["legs"]] == [
        ("dial1", "local"), ("dial2", "local"), ("dial2", "remote"),
    ]  # fmt: skip
    _, right = bed.recording(record)
    assert tones_in(right) == {CUSTOMER_HZ, COLLEAGUE_HZ}


def test_leg_1_hears_why_whom_it_was_transferred_to_is_not_there(bed: Bed) -> None:
    call_id = bed.joined()
    bed.colleague.behave("reject", reject_code=486)
    bed.change(call_id, "transfer", destination="102")
    record = bed.ended(call_id)
    heard = bed.agent.recording()
    assert audio.cadence(heard, *BUSY_HZ)
    assert (record["disposition"], record["legs"][2]["disposition"]) == ("answered", "busy")
