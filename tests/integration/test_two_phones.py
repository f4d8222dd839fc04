"""One request, two phones talking: real phones, real audio."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from raw_peer import RawPeer, offer
from server import Server
from testbed.capture import UdpSink
from testbed.phone import Phone
from testbed.process import free_port, wait_until
from testbed.rtp import media_address, receiver_report, sound_packets

TABLES = """
[orgs.acme]
country = "US"
caller_id = "+12025550100"
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:{first}"
caller_id = "+12025550101"
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:{second}"
[orgs.acme.extensions.103]
contact = "sip:103@127.0.0.1:{scripted}"
"""


ALICE = {"Authorization": "Basic " + base64.b64encode(b"alice@acme:s3cret").decode()}


@pytest.fixture(scope="module")
def phones() -> Iterator[tuple[Phone, Phone]]:
    with (
        Phone("101", port=free_port(), tone_hz=500.0) as first,
        Phone("102", port=free_port(), tone_hz=900.0) as second,
    ):
        yield first, second


@pytest.fixture(scope="module")
def peer() -> Iterator[RawPeer]:
    with RawPeer() as peer:
        yield peer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, phones: tuple[Phone, Phone], peer: RawPeer) -> Iterator[Server]:
    tables = TABLES.format(first=phones[0].port, second=phones[1].port, scripted=peer.port)
    folder: Path = tmp_path_factory.mktemp("server")
    with Server(folder, tables) as running:
        yield running


def _step(message: dict[str, Any]) -> str:
    """Write a message of a ladder in short."""
    direction = {"sent": ">", "received": "<"}[message["direction"]]
    return " ".join(filter(None, (direction, str(message["code"] or ""), message["method"])))


def test_each_phone_hears_the_other_and_not_itself(server: Server, phones: tuple[Phone, Phone]) -> None:
    first, second = phones
    answer = server.dial("101", "102").json()
    assert answer["status"] == "ok"
    first.wait_heard_alone(900.0)
    second.wait_heard_alone(500.0)
    first.hang_up()
    second.wait_for("ended")
    record = server.wait_record(answer["dial1"])
    assert record["disposition"] == "answered"
    assert [leg["uid"] for leg in record["legs"]] == [answer["dial1"], answer["dial2"]]
    path = f"/api/v1/records/{record['id']}/ladder"
    ladder = server.get(path, ALICE).json()
    assert ladder["record_id"] == record["id"]
    steps = [[_step(message) for message in leg["messages"]] for leg in ladder["legs"]]
    begin = ["> INVITE", "< 100 INVITE", "< 180 INVITE", "< 200 INVITE", "> ACK"]
    assert steps == [[*begin, "< BYE", "> 200 BYE"], [*begin, "> BYE", "< 200 BYE"]]
    times = [[message["at"] for message in leg["messages"]] for leg in ladder["legs"]]
    assert times == [sorted(moments) for moments in times]
    assert record["accepted_at"] <= times[0][0] <= record["legs"][0]["ringing_at"]
    drawing = server.get(path + ".txt", ALICE)
    assert drawing.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert drawing.body == server.get(path, ALICE | {"Accept": "text/plain"}).body
    assert drawing.body.count("\n") == 14 + 3
    assert "─ INVITE ─" in drawing.body


def test_the_record_tells_how_many_packets_of_a_bad_line_were_lost(
    server: Server, phones: tuple[Phone, Phone], peer: RawPeer
) -> None:
    good = phones[0]
    answer = server.dial("101", "103").json()
    with UdpSink() as media:
        invite = peer.receive("INVITE ")
        worker = int(invite.split("Via: SIP/2.0/UDP 127.0.0.1:")[1].split(";")[0])
        peer.respond(invite, 200, worker, sdp=offer(media.port))
        target = media_address(invite)
        peer.receive("ACK ")
        dropped = 0
        for number, packet in enumerate(sound_packets(100)):
            if number % 10 in (4, 5):
                dropped += 1
            else:
                media.send(packet, target)
            time.sleep(0.02)
        wait_until(lambda: media.count > 50, 10.0, "the far end hears nothing")
        media.send(receiver_report(media.packets()[-1].data, lost=7, jitter_ms=3), (target[0], target[1] + 1))
        good.hang_up()
        peer.respond(peer.receive("BYE "), 200, worker)
    fine, bad = (leg["quality"] for leg in server.wait_record(answer["dial1"])["legs"])
    assert dropped == 20
    assert (bad["codec"], bad["received"]["packets"], bad["received"]["lost"]) == ("PCMU", 80, dropped)
    assert (bad["sent"]["lost"], bad["sent"]["jitter_ms"]) == (7, 3.0)
    assert bad["received"]["mos"] < 3.0 < bad["sent"]["mos"] < 4.4
    assert (fine["codec"], fine["received"]["lost"]) == ("PCMU", 0)
    assert fine["received"]["packets"] > 50
    assert fine["received"]["mos"] > 4.0
