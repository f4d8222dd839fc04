"""What organisations are told of real calls: by webhooks that fail, hang and come back, and over a server's death."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server import Server
from testbed.kamailio import Kamailio
from testbed.phone import Phone
from testbed.process import free_port, wait_until
from testbed.webhook import WebhookReceiver

SECRET = "0123456789abcdef-signing"
TABLES = """
[orgs.acme]
country = "US"
caller_id = "+12025550100"
event_digits = {digits}
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:{first}"
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:{second}"
[orgs.acme.webhooks.crm]
url = "{url}"
secret = "{secret}"
allow_private = true
[orgs.other.users.alice]
password = "s3cret"
"""
STORY = ["accepted", "leg-1-ringing", "leg-1-answered", "leg-2-ringing", "leg-2-answered", "joined", "ended"]


@pytest.fixture(scope="module")
def phones() -> Iterator[tuple[Phone, Phone]]:
    with Phone("101", port=free_port()) as first, Phone("102", port=free_port()) as second:
        yield first, second


def tables(phones: tuple[Phone, Phone], receiver: WebhookReceiver, *, digits: bool = False) -> str:
    first, second = (phone.port for phone in phones)
    return TABLES.format(first=first, second=second, url=receiver.url, secret=SECRET, digits=str(digits).lower())


@contextlib.contextmanager
def running(folder: Path, phones: tuple[Phone, Phone], receiver: WebhookReceiver) -> Iterator[Server]:
    with Server(folder, tables(phones, receiver)) as server:
        yield server


def talk(server: Server) -> dict[str, str]:
    """Have both phones talk; the answer itself comes when the first one has answered."""
    answer: dict[str, str] = server.dial("101", "102").json()
    assert answer["status"] == "ok"
    wait_until(lambda: server.records(uid=answer["dial1"])[0]["joined_at"], 10.0, "the phones are not joined")
    return answer


def just_before(event: dict[str, Any]) -> str:
    """Return the id behind which an event is the first."""
    return f"{int(event['id'], 16) - 1:016x}"


def events_after(server: Server, event_id: str, count: int, *, organisation: str = "acme") -> list[dict[str, Any]]:
    """Read events from the stream."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    login = base64.b64encode(f"alice@{organisation}:s3cret".encode()).decode()
    connection.request("GET", "/api/v1/events", headers={"Authorization": f"Basic {login}", "Last-Event-ID": event_id})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    found: list[dict[str, Any]] = []
    while len(found) < count:
        line = answer.readline().decode().rstrip()
        if line.startswith("data: "):
            found.append(json.loads(line.removeprefix("data: ")))
    connection.close()
    return found


def test_a_call_is_told_step_by_step_and_signed(tmp_path: Path, phones: tuple[Phone, Phone]) -> None:
    with WebhookReceiver() as receiver, running(tmp_path, phones, receiver) as server:
        uids = talk(server)
        receiver.wait_for("joined")
        phones[0].hang_up()
        ended = receiver.wait_for("ended")
        assert receiver.types() == STORY
        record = server.wait_record(uids["dial1"])
        for event in receiver.taken():
            assert (event["organisation"], event["call"], event["version"]) == ("acme", record["id"], 1)
            assert event["uids"] == {"dial1": uids["dial1"], "dial2": uids["dial2"]}
        assert (ended["data"]["disposition"], ended["data"]["ended_by"]) == ("answered", "dial1")
        assert ended["time"] == record["ended_at"]
        for delivery in receiver.deliveries:
            stamp, signature = delivery.headers["Click2Call-Signature"].removeprefix("t=").split(",")
            right = hmac.new(SECRET.encode(), stamp.encode() + b"." + delivery.body, hashlib.sha256).hexdigest()
            assert signature == f"v1={right}"
            assert abs(int(stamp) - delivery.at) < 5
            assert delivery.headers["Click2Call-Event-Id"] == delivery.event["id"]
        # The stream tells the same, to this organisation alone.
        first = receiver.taken()[0]
        assert events_after(server, just_before(first), len(STORY)) == receiver.taken()


def test_a_receiver_that_fails_hangs_and_comes_back_gets_everything_in_order(
    tmp_path: Path, phones: tuple[Phone, Phone]
) -> None:
    with WebhookReceiver() as receiver, running(tmp_path, phones, receiver) as server:
        receiver.status = 503
        talk(server)
        phones[0].hang_up()
        assert {delivery.event["type"] for delivery in receiver.wait_requests(2)} == {"accepted"}
        receiver.status = None
        hung = receiver.wait_requests(3)[2]
        receiver.status = 200
        receiver.wait_for("ended", timeout=40)
        assert receiver.types() == STORY
        again = receiver.deliveries[3]
        assert 15.0 < again.at - hung.at < 25.0, "given up after 15 s, and tried again after a pause of some seconds"
        assert again.event == hung.event
        assert again.headers["Click2Call-Event-Id"] == hung.headers["Click2Call-Event-Id"]


def test_nothing_that_was_accepted_is_lost_over_a_kill_of_the_server(
    tmp_path: Path, phones: tuple[Phone, Phone]
) -> None:
    with WebhookReceiver() as receiver, running(tmp_path, phones, receiver) as server:
        receiver.status = 500
        done = talk(server)
        phones[0].hang_up()
        server.wait_record(done["dial1"])
        cut = server.dial("101", "102", Response=None, showUID=None, RFormat=None)
        assert cut.status == 200
        server.kill()
        receiver.status = 200
        server.start()
        receiver.wait_for("ended", 2)
        calls: dict[str, list[dict[str, Any]]] = {}
        for event in receiver.taken():
            calls.setdefault(event["call"], []).append(event)
        first, second = calls.values()
        assert [event["type"] for event in first] == STORY
        assert (second[0]["type"], second[-1]["type"]) == ("accepted", "ended")
        assert second[-1]["data"]["disposition"] == "interrupted"
        assert second[-1]["data"]["ended_by"] == "restart"
        ids = [event["id"] for event in receiver.taken()]
        assert ids == sorted(ids)


def test_a_stream_goes_on_behind_its_last_event_after_a_kill_of_the_server(
    tmp_path: Path, phones: tuple[Phone, Phone]
) -> None:
    with WebhookReceiver() as receiver, running(tmp_path, phones, receiver) as server:
        talk(server)
        before = events_after(server, just_before(receiver.wait_for("accepted")), 6)
        server.kill()
        server.start()
        after = events_after(server, before[-1]["id"], 1)
        assert [event["type"] for event in before + after] == STORY
        assert after[0]["data"]["disposition"] == "interrupted"
        receiver.wait_for("ended")
        assert receiver.taken() == before + after


def test_a_trunk_that_registers_is_told_to_those_who_use_it(tmp_path: Path, phones: tuple[Phone, Phone]) -> None:
    with Kamailio({"trunkuser": "trunkpass"}) as trunk, WebhookReceiver() as receiver:
        settings = tables(phones, receiver).replace("[orgs.acme]", '[orgs.acme]\ntrunk = "main"', 1)
        account = f'[trunks.main]\nproxy = "{trunk.uri}"\nregistrar = "{trunk.uri}"\nusername = "trunkuser"\n'
        with Server(tmp_path, f'{account}password = "trunkpass"\n{settings}'):
            event = receiver.wait_for("trunk-registered")
            assert (event["call"], event["data"]["trunk"], event["data"]["sip_code"]) == (None, "main", 200)


def test_a_delivery_that_was_answered_is_not_made_again_after_a_restart(
    tmp_path: Path, phones: tuple[Phone, Phone]
) -> None:
    with WebhookReceiver() as receiver, running(tmp_path, phones, receiver) as server:
        talk(server)
        phones[0].hang_up()
        ended = receiver.wait_for("ended")
        server.stop()
        server.start()
        talk(server)
        phones[0].hang_up()
        receiver.wait_for("ended", 2)
        assert [delivery.event["id"] for delivery in receiver.deliveries].count(ended["id"]) == 1
        assert receiver.types() == STORY + STORY


def test_a_webhook_that_comes_with_a_reload_is_told_what_follows(tmp_path: Path, phones: tuple[Phone, Phone]) -> None:
    with WebhookReceiver() as old, WebhookReceiver() as new, running(tmp_path, phones, old) as server:
        talk(server)
        phones[0].hang_up()
        old.wait_for("ended")
        more = f'[orgs.acme.webhooks.new]\nurl = "{new.url}"\nsecret = "{SECRET}"\nallow_private = true\n'
        server.write(f'{tables(phones, old, digits=True)}{more}types = ["ended"]\n')
        server.reload()
        server.wait_log("settings reloaded")
        talk(server)
        old.wait_for("joined", 2)
        phones[0].send_digits("7")
        digit = old.wait_for("digit")
        assert (digit["data"]["digit"], digit["data"]["party"]) == ("7", "dial1")
        phones[0].hang_up()
        new.wait_for("ended")
        assert new.types() == ["ended"]


def test_a_key_stays_secret_unless_the_settings_say_otherwise(tmp_path: Path, phones: tuple[Phone, Phone]) -> None:
    with WebhookReceiver() as receiver, running(tmp_path, phones, receiver) as server:
        talk(server)
        receiver.wait_for("joined")
        phones[0].send_digits("7")
        assert receiver.wait_for("digit")["data"]["digit"] is None
        phones[0].hang_up()
        receiver.wait_for("ended")
