"""The bench measures what it says: its peer answers, counts and logs, its meters read, and a small run tells all."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bench
import pytest
from benchmark.accounting import Meter, children
from benchmark.measurements import MEASUREMENTS
from benchmark.peer import Peer, compile_peer
from benchmark.report import from_histogram, single, spread
from benchmark.workbench import Plan
from testbed.process import free_port, wait_until

LOUD, SILENT = b"\x80", b"\xff"
TINY = Plan(
    latency_calls=5,
    latency_gap_seconds=0.05,
    warm_calls=1,
    settle_seconds=0.1,
    workers=2,
    idle_seconds=0.3,
    media_calls=(2,),
    media_seconds=0.9,
    waiting_calls=2,
    waiting_seconds=0.3,
    groups=1,
    group_gap_seconds=0.3,
    rates=(10,),
    rate_seconds=0.5,
    rate_hold_seconds=0.1,
    records=2_000,
    page_reads=3,
    event_rate=100.0,
    event_seconds=0.5,
    event_clients=3,
    pending=100,
    due=2,
    listed=200,
    listed_pending=400,
    databases=("sqlite",),
)


class Caller:
    """The server's side of one leg, message by message."""

    def __init__(self, peer_port: int, number: str, call_id: str) -> None:
        self.number, self.call_id = number, call_id
        self.sip, self.rtp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for end in (self.sip, self.rtp):
            end.bind(("127.0.0.1", 0))
            end.settimeout(5.0)
        self.sip.connect(("127.0.0.1", peer_port))
        self.tag = ""

    def close(self) -> None:
        self.sip.close()
        self.rtp.close()

    def send(self, method: str, cseq: int = 1, body: str = "") -> None:
        port = self.sip.getsockname()[1]
        self.sip.send(
            f"{method} sip:{self.number}@127.0.0.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{method}{cseq}\r\n"
            f"From: <sip:us@127.0.0.1>;tag=ours\r\nTo: <sip:{self.number}@127.0.0.1>{self.tag}\r\n"
            f"Call-ID: {self.call_id}\r\nCSeq: {cseq} {method}\r\nContact: <sip:us@127.0.0.1:{port}>\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )

    def receive(self) -> str:
        return self.sip.recv(4096).decode()

    def invite(self) -> str:
        sdp = f"v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio {self.rtp.getsockname()[1]} RTP/AVP 0\r\n"
        self.send("INVITE", body=sdp)
        return sdp

    def place(self) -> str:
        """Place the leg and acknowledge its answer; return the 200."""
        self.invite()
        self.receive()
        answer = self.receive()
        self.send("ACK")
        media = int(answer.partition("m=audio ")[2].split()[0])
        self.rtp.connect(("127.0.0.1", media))
        return answer

    def send_rtp(self, sequence: int, samples: bytes = SILENT * 160) -> None:
        self.rtp.send(struct.pack("!BBHII", 0x80, 0, sequence, 160 * sequence, 99) + samples)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_peer(tmp_path_factory.mktemp("peer"))


PeerMaker = Callable[..., tuple[Peer, Callable[[str], Caller]]]


@pytest.fixture
def start(program: Path, tmp_path: Path) -> Iterator[PeerMaker]:
    """Start a peer; get it, and what makes callers to it."""
    to_close: list[Any] = []

    def start(*, hold_seconds: float | None = None, media: bool = False) -> tuple[Peer, Callable[[str], Caller]]:
        port = free_port()
        peer = Peer(program, "127.0.0.1", port, tmp_path, hold_seconds=hold_seconds, media=media)
        to_close.append(peer)

        def caller(number: str) -> Caller:
            made = Caller(port, number, f"call-{number}@test")
            to_close.append(made)
            return made

        return peer.__enter__(), caller

    yield start
    for item in reversed(to_close):
        if isinstance(item, Peer):
            item.__exit__()
        else:
            item.close()


def test_an_invite_is_answered_at_once_and_every_message_is_counted_and_logged(start: PeerMaker) -> None:
    peer, caller = start()
    leg = caller("+4930100000007")
    leg.invite()
    assert leg.receive().startswith("SIP/2.0 180 ")
    answer = leg.receive()
    assert answer.startswith("SIP/2.0 200 ")
    leg.invite()
    assert leg.receive() == answer
    leg.send("ACK")
    leg.send("BYE", 2)
    assert leg.receive().startswith("SIP/2.0 200 ")

    counters = peer.counters()
    names = ("invites", "invites_again", "acks", "byes_received", "byes_sent", "refused")
    assert [counters[name] for name in names] == [1, 1, 1, 1, 0, 0]
    times = peer.messages()[7, 1]
    assert list(times.of) == ["invite", "answer", "invite-again", "ack", "bye"]
    assert sorted(times.of.values()) == list(times.of.values())


def test_an_answer_is_repeated_until_it_is_acknowledged(start: PeerMaker) -> None:
    peer, caller = start()
    leg = caller("+4930100000008")
    leg.invite()
    leg.receive()
    assert leg.receive() == leg.receive()
    leg.send("ACK")
    wait_until(lambda: peer.counters()["legs_up"] == 1, 2.0, "not acknowledged")
    assert peer.counters()["answers_again"] == 1


def test_leg_2_hangs_up_after_its_hold_time_and_leg_1_does_not(start: PeerMaker) -> None:
    peer, caller = start(hold_seconds=0.05)
    first, second = caller("+4930100000009"), caller("+4930200000009")
    first.place()
    second.place()
    bye = second.receive()
    assert bye.startswith("BYE sip:us@127.0.0.1:")
    assert second.receive() == bye  # again, as nobody has answered
    assert peer.counters()["legs_up"] == 1
    second.sip.send(bye.replace(bye.splitlines()[0], "SIP/2.0 200 OK").encode())
    wait_until(lambda: peer.counters()["byes_answered"] == 1, 2.0, "the BYE's answer was not taken")
    counters = peer.counters()
    assert (counters["byes_sent"], counters["byes_again"], counters["legs_up"]) == (1, 1, 1)
    times = peer.messages()[9, 2]
    assert times.has("invite", "answer", "ack", "bye-sent", "bye-again", "bye-answered")
    assert not times.has("ack", "bye")
    assert times.of["bye-sent"] - times.of["ack"] >= 0.05e9


def test_what_is_not_a_call_to_the_peer_is_refused(start: PeerMaker) -> None:
    _, caller = start()
    for method, number, code in [
        ("OPTIONS", "+4930100000001", 200),
        ("BYE", "+4930100000001", 481),
        ("INVITE", "+4930900000001", 404),
        ("INVITE", "101", 404),
    ]:
        leg = caller(number)
        leg.send(method)
        assert leg.receive().startswith(f"SIP/2.0 {code} ")


def test_lost_late_and_repeated_packets_are_counted(start: PeerMaker) -> None:
    peer, caller = start()
    leg = caller("+4930100000010")
    leg.place()
    for sequence in (65533, 65534, 2, 1, 2):
        leg.send_rtp(sequence)
    wait_until(lambda: peer.counters()["rtp_received"] == 5, 2.0, "packets missing")
    counters = peer.counters()
    assert counters["rtp_lost"] == 2  # 65535 and 0
    assert counters["rtp_duplicates"] == 1
    assert sum(count for _, count in counters["jitter"]) == 2  # gaps between packets in order
    peer.reset()
    assert peer.counters()["jitter"] == []


def test_the_far_ends_rtcp_tells_what_it_lost(start: PeerMaker) -> None:
    peer, caller = start(media=True)
    leg = caller("+4930100000011")
    answer = leg.place()
    source = leg.rtp.recv(2048)[8:12]
    sender_report = struct.pack("!BBHIQIII", 0x81, 200, 12, 99, 0, 0, 0, 0)
    block = source + bytes([0]) + (7).to_bytes(3, "big") + bytes(16)
    rtcp = int(answer.partition("a=rtcp:")[2].split()[0])
    leg.rtp.sendto(sender_report + block, ("127.0.0.1", rtcp))
    wait_until(lambda: peer.counters()["legs_reported"] == 1, 2.0, "the report was not taken")
    assert peer.counters()["reported_lost"] == 7


def test_the_delay_is_measured_to_the_first_loud_sample(start: PeerMaker) -> None:
    peer, caller = start(media=True)
    first, second = caller("+4930100000012"), caller("+4930200000012")
    first.place()
    second.place()
    marker = LOUD * 160
    while first.rtp.recv(2048)[12:] != marker:
        pass
    second.send_rtp(1)
    second.send_rtp(2, SILENT * 80 + LOUD * 80)  # 80 samples are 10 ms
    second.send_rtp(3, marker)
    wait_until(lambda: peer.counters()["rtp_received"] == 3, 2.0, "packets missing")
    assert [(tenths >= 100, count) for tenths, count in peer.counters()["delay"]] == [(True, 1)]
    assert peer.counters()["rtp_sent"] > 10


def test_the_meter_counts_a_process_and_its_children_and_no_other() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\nprint(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as burner, subprocess.Popen(["sleep", "60"]) as sleeper:  # fmt: skip
        meter, lazy = Meter(server=burner.pid), Meter(server=sleeper.pid)
        assert burner.stdout is not None
        burner.stdout.readline()
        load, idle = meter.read(), lazy.read()
        burner.communicate(b"\n")
        sleeper.kill()
    assert 0.18 <= load.server * load.seconds < 2.0
    assert idle.server * idle.seconds < 0.1


def test_a_figure_is_met_below_its_target_only() -> None:
    assert single("", "", 0.79, below=0.8).met is True
    assert single("", "", 0.8, below=0.8).met is False
    assert single("", "", 1, below=0).met is False
    assert single("", "", None, below=0).met is False
    assert single("", "", 1).met is None
    figure = spread("", "ms", [float(number) for number in range(200, 0, -1)], below=(101.0, 198.0))
    assert figure.values == {"p50": 100.0, "p99": 198.0}
    assert figure.met is False
    assert from_histogram("", [(5, 98), (20, 1), (30, 1)]).values == {"p50": 0.5, "p99": 2.0}


def test_without_a_compiler_one_line_tells_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert bench.main(["--only", "idle"]) == 1
    assert capsys.readouterr().err == "bench: there is no C compiler; run: apt-get install -y gcc libc6-dev\n"


def test_a_small_run_tells_every_figure_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = children(os.getpid())
    monkeypatch.setattr(bench, "QUICK", TINY)
    # Killed nodes have a test of their own.
    names_wanted = [name for name in MEASUREMENTS if name != "kills"]
    assert bench.main(["--quick", "--json", "--only", ",".join(names_wanted)]) == 0
    printed = capsys.readouterr()
    found = [json.loads(line) for line in printed.out.splitlines()]
    names = [line["measurement"].split(",")[0] for line in found]
    assert names == names_wanted
    for measurement in found:
        assert measurement["load"]["other_cores"] >= 0.0
        assert measurement["machine"]["cores"] == os.cpu_count()
        for name, figure in measurement["figures"].items():
            values = [value for statistic, value in figure.items() if statistic in ("value", "p50", "p99")]
            # A server reports by RTCP every few seconds, so not of every leg in a run as short as this.
            assert None not in values or "RTCP" in name, name
            assert name in printed.err
    assert children(os.getpid()) <= before
