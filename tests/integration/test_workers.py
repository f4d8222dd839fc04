"""Worker processes: what happens when one dies, when all are taken, and when there is much to do."""

from __future__ import annotations

import os
import pwd
import re
import secrets
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server import Server
from testbed import scenarios
from testbed.capture import UdpSink
from testbed.phone import Phone
from testbed.process import wait_until
from testbed.sipp import Sipp, SipTrace

TABLES = """
[orgs.acme]
country = "US"
caller_id = "+12025550100"
[orgs.acme.users.alice]
password = "s3cret"
"""
PATIENCE = 15.0
"""Seconds to wait for what a busy machine may be slow to do."""


@dataclass
class Peers:
    """Whom the extensions reach."""

    phone: Phone  # 101
    first: Sipp  # 201, answers
    second: Sipp  # 202, answers
    short: Sipp  # 203, answers and hangs up
    ringing: Sipp  # 204, rings for ever
    busy: Sipp  # 205
    nobody: UdpSink  # 206, where nothing may arrive

    def tables(self) -> str:
        ports = {
            101: self.phone.port, 201: self.first.port, 202: self.second.port, 203: self.short.port,
            204: self.ringing.port, 205: self.busy.port, 206: self.nobody.port,
        }  # fmt: skip
        return TABLES + "".join(
            f'[orgs.acme.extensions.{number}]\ncontact = "sip:{number}@127.0.0.1:{port}"\n'
            for number, port in ports.items()
        )


@pytest.fixture(scope="module")
def peers() -> Iterator[Peers]:
    with ExitStack() as stack:
        yield Peers(
            phone=stack.enter_context(Phone("101", tone_hz=500.0)),
            first=stack.enter_context(Sipp("answer")),
            second=stack.enter_context(Sipp("answer")),
            short=stack.enter_context(Sipp(scenarios.answer(bye_after=1))),
            ringing=stack.enter_context(Sipp("no_answer")),
            busy=stack.enter_context(Sipp("busy")),
            nobody=stack.enter_context(UdpSink()),
        )


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Run a server that a test may kill: whatever its workers do then, they end with the test."""
    server.start()
    group = server.pid
    try:
        yield server
    finally:
        server.stop()
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, peers: Peers) -> Iterator[Server]:
    """A server with room for 24 calls."""
    with running(
        Server(tmp_path_factory.mktemp("roomy"), peers.tables(), sip="idle_worker_seconds = 1", sip_ports=12)
    ) as it:
        yield it


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory, peers: Peers) -> Iterator[Server]:
    """A server with two SIP ports: two workers, four calls."""
    sip = "warm_workers = 1\nidle_worker_seconds = 1"
    with running(Server(tmp_path_factory.mktemp("narrow"), peers.tables(), sip=sip, sip_ports=2)) as it:
        yield it


@pytest.fixture
def doomed(tmp_path: Path, peers: Peers) -> Iterator[Server]:
    """A server whose end is part of the test."""
    with running(Server(tmp_path, peers.tables())) as it:
        yield it


@pytest.fixture
def clicks() -> Iterator[ThreadPoolExecutor]:
    """Threads for requests whose answers are waited for later."""
    with ThreadPoolExecutor(24) as pool:
        yield pool


# -- what was seen on the wire


def of_call(peer: Sipp, uid: str, what: str | int) -> list[SipTrace]:
    """The messages of one call that the peer received (a method) or sent (a code)."""
    return [trace for trace in peer.calls().get(uid, []) if what in (trace.method, trace.code)]


def wait_seen(peer: Sipp, uid: str, what: str | int) -> SipTrace:
    return wait_until(
        lambda: next(iter(of_call(peer, uid, what)), None), PATIENCE, f"no {what} of {uid} at {peer.scenario.name}"
    )


def port_of(invite: SipTrace) -> int:
    """The SIP port of the worker that sent it."""
    found = re.match(r"SIP/2\.0/UDP 127\.0\.0\.1:(\d+)", invite.header("Via") or "")
    assert found is not None
    return int(found[1])


def hang_up(peer: Sipp, uid: str) -> None:
    """Send BYE for a peer that waits for ours, and await its answer."""
    invite, answer = of_call(peer, uid, "INVITE")[0], of_call(peer, uid, 200)[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.1", 0))
        own.settimeout(PATIENCE)
        lines = (
            f"BYE {(invite.header('Contact') or '').strip('<>')} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{own.getsockname()[1]};branch=z9hG4bK{secrets.token_hex(8)}",
            f"From: {answer.header('To')}",
            f"To: {invite.header('From')}",
            f"Call-ID: {uid}",
            "CSeq: 900 BYE",
            "Max-Forwards: 70",
            "Content-Length: 0",
        )
        own.sendto("\r\n".join([*lines, "", ""]).encode(), ("127.0.0.1", port_of(invite)))
        assert own.recv(65535).startswith(b"SIP/2.0 200 ")


# -- calls


def wait_joined(server: Server, uid: str) -> None:
    wait_until(lambda: server.records(uid=uid)[0]["joined_at"], PATIENCE, lambda: f"not joined: {server.records()}")


def call(server: Server, dial1: str, dial2: str) -> tuple[str, str]:
    """Place a call; return its UniqueIDs when it is joined."""
    answer = server.dial(dial1, dial2)
    assert (answer.status, answer.json()["status"]) == (200, "ok"), answer
    first, second = answer.json()["dial1"], answer.json()["dial2"]
    wait_joined(server, first)
    return first, second


def wait_ended(server: Server, uid: str, disposition: str, ended_by: str) -> dict[str, Any]:
    record = server.wait_record(uid, PATIENCE)
    assert (record["disposition"], record["ended_by"]) == (disposition, ended_by)
    return record


# -- processes


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def descriptors(pid: int) -> list[str]:
    """What the open descriptors of a process are."""
    found = []
    with suppress(OSError):  # the process is gone
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # closed in the meantime
                found.append(str(entry.readlink()))
    return found


def udp_ports(pid: int) -> set[int]:
    """The UDP ports that a process has bound."""
    lines = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    ports = {f"socket:[{line[9]}]": int(line[1].partition(":")[2], 16) for line in lines}
    return {ports[each] for each in descriptors(pid) if each in ports}


def worker_on(server: Server, port: int) -> int:
    """The worker that has bound a SIP port."""
    owners = [pid for pid in server.worker_pids() if port in udp_ports(pid)]
    assert len(owners) == 1
    return owners[0]


def media_ports(server: Server) -> int:
    """How many UDP ports the workers have bound besides one SIP port each."""
    return sum(len(udp_ports(pid)) - 1 for pid in server.worker_pids())


def open_files(server: Server) -> int:
    """How many descriptors the server has open, without those of its few pooled database connections."""
    return sum(not each.startswith(str(server.database)) for each in descriptors(server.pid))


def wait_at_rest(server: Server, workers: int) -> None:
    """Wait until only the warm workers are left, and no media port."""
    wait_until(
        lambda: len(server.worker_pids()) == workers and media_ports(server) == 0,
        30.0,
        lambda: f"{len(server.worker_pids())} workers, {media_ports(server)} media ports are left",
        interval=0.1,
    )


# -- a worker dies


def test_when_a_worker_dies_both_far_ends_get_bye_and_the_next_call_works(server: Server, peers: Peers) -> None:
    first, second = call(server, "101", "202")
    workers = set(server.worker_pids())
    dead = worker_on(server, port_of(of_call(peers.second, second, "INVITE")[0]))
    os.kill(dead, signal.SIGKILL)

    # A phone ends its call only when the BYE has the right tags.
    number = peers.phone.wait_for("incoming", PATIENCE, call_id=first)["call"]
    peers.phone.wait_for("ended", PATIENCE, call=number)
    wait_seen(peers.second, second, "BYE")
    record = wait_ended(server, first, "interrupted", "worker")
    # Each leg was answered; its cause tells how it ended: network out of order (Q.850).
    assert [(leg["disposition"], leg["cause"]) for leg in record["legs"]] == [("answered", 38)] * 2
    lost = server.wait_log("worker lost", pid=dead)
    assert sorted(lost["legs"]) == sorted([first, second])

    wait_until(lambda: len(set(server.worker_pids()) - {dead}) >= len(workers), PATIENCE, "the worker was not replaced")
    uids = call(server, "201", "202")
    hang_up(peers.second, uids[1])
    wait_ended(server, uids[0], "answered", "dial2")


def test_when_a_worker_dies_while_leg_1_rings_the_far_end_gets_cancel_and_the_answer_is_fail(
    server: Server, peers: Peers, clicks: ThreadPoolExecutor
) -> None:
    rung = len(peers.ringing.sent(180))
    click = clicks.submit(server.dial, "204", "202")
    peers.ringing.wait_for(180, count=rung + 1, timeout=PATIENCE, direction="sent")
    invite = peers.ringing.received("INVITE")[-1]
    uid = invite.header("Call-ID") or ""
    os.kill(worker_on(server, port_of(invite)), signal.SIGKILL)

    answer = click.result(PATIENCE)
    assert (answer.status, answer.json()["status"], answer.json()["dial1"]) == (200, "Fail", uid)
    wait_seen(peers.ringing, uid, "CANCEL")
    wait_seen(peers.ringing, uid, "ACK")  # of the 487
    wait_ended(server, uid, "interrupted", "worker")
    assert answer.json()["dial2"] not in peers.second.calls()


def test_workers_are_not_root(server: Server) -> None:
    if os.geteuid() != 0:
        pytest.skip("the server was not started as root")
    nobody = pwd.getpwnam("nobody")
    workers = server.worker_pids()
    assert workers
    for pid in workers:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert set(status["Uid"].split()) == {str(nobody.pw_uid)}
        assert set(status["Gid"].split()) == {str(nobody.pw_gid)}
        assert (status["Groups"].strip(), status["NoNewPrivs"]) == ("", "1")
        assert {int(status[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Amb")} == {0}


# -- many calls


def test_two_calls_are_spread_over_two_workers(server: Server, peers: Peers) -> None:
    uids = [call(server, "201", "202") for _ in range(2)]
    legs = [(of_call(peers.first, one, "INVITE")[0], of_call(peers.second, two, "INVITE")[0]) for one, two in uids]
    ports = [{port_of(invite) for invite in pair} for pair in legs]
    assert [len(pair) for pair in ports] == [1, 1]
    assert ports[0] != ports[1]
    for one, two in uids:
        hang_up(peers.second, two)
        wait_ended(server, one, "answered", "dial2")


def test_100_calls_in_a_row_leave_nothing_behind(server: Server, peers: Peers) -> None:
    def place_and_wait() -> tuple[str, str]:
        answer = server.dial("201", "203").json()
        assert answer["status"] == "ok", answer
        wait_ended(server, answer["dial1"], "answered", "dial2")
        return answer["dial1"], answer["dial2"]

    place_and_wait()
    wait_at_rest(server, workers=2)
    files = open_files(server)
    uids = [place_and_wait() for _ in range(100)]

    assert len({uid for pair in uids for uid in pair}) == 200
    at_first, at_short = peers.first.calls(), peers.short.calls()
    for first, second in uids:
        assert [trace.method for trace in at_first[first] if trace.method] == ["INVITE", "ACK", "BYE"]
        assert [trace.method for trace in at_short[second] if trace.method] == ["INVITE", "ACK", "BYE"]
        assert at_short[second][-1].direction == "received"  # the 200 to its BYE
    wait_at_rest(server, workers=2)
    wait_until(lambda: open_files(server) <= files, PATIENCE, lambda: f"{open_files(server)} files, not {files}")
    assert server.rows("SELECT count(*) FROM calls WHERE ended_at IS NULL") == [(0,)]
    assert server.rows("SELECT count(*) FROM legs WHERE ended_at IS NULL AND placed_at IS NOT NULL") == [(0,)]


def test_20_calls_at_once_are_all_joined_and_all_end(server: Server, peers: Peers, clicks: ThreadPoolExecutor) -> None:
    answers = [each.result(60).json() for each in [clicks.submit(server.dial, "201", "202") for _ in range(20)]]
    assert [answer["status"] for answer in answers] == ["ok"] * 20
    for answer in answers:
        wait_joined(server, answer["dial1"])
    assert server.rows("SELECT count(*) FROM calls WHERE ended_at IS NULL") == [(20,)]
    at_second = peers.second.calls()
    ports = [port_of(at_second[answer["dial2"]][0]) for answer in answers]
    assert max(ports.count(port) for port in ports) <= 2  # four legs are what a worker carries

    for answer in answers:
        hang_up(peers.second, answer["dial2"])
    for answer in answers:
        wait_ended(server, answer["dial1"], "answered", "dial2")
        wait_seen(peers.first, answer["dial1"], "BYE")


# -- few workers


def test_workers_start_as_load_grows_and_retire_after_it(narrow: Server, peers: Peers) -> None:
    warm = narrow.worker_pids()
    assert len(warm) == 1
    uids = [call(narrow, "201", "202") for _ in range(3)]
    assert set(warm) < set(narrow.worker_pids())
    for first, second in uids:
        hang_up(peers.second, second)
        wait_ended(narrow, first, "answered", "dial2")
    wait_at_rest(narrow, workers=1)
    assert narrow.log_lines("worker lost") == []


def test_without_a_free_worker_the_answer_is_503_and_nothing_is_dialled(narrow: Server, peers: Peers) -> None:
    uids = [call(narrow, "201", "202") for _ in range(4)]
    records = narrow.rows("SELECT count(*) FROM calls")
    refused = narrow.dial("206", "206")
    assert refused.status == 503
    assert refused.json()["status"] == "error"
    assert peers.nobody.settle() == 0
    assert narrow.rows("SELECT count(*) FROM calls") == records

    hang_up(peers.second, uids[0][1])
    wait_ended(narrow, uids[0][0], "answered", "dial2")
    wait_until(lambda: narrow.dial("205", "201").status == 200, PATIENCE, "still no capacity")

    for first, second in uids[1:]:
        hang_up(peers.second, second)
        wait_ended(narrow, first, "answered", "dial2")


def test_a_worker_that_dies_with_two_calls_takes_only_those_and_its_port_serves_again(
    narrow: Server, peers: Peers
) -> None:
    uids = [call(narrow, "201", "202") for _ in range(4)]
    invites = [of_call(peers.second, second, "INVITE")[0] for _, second in uids]
    port = port_of(invites[0])
    os.kill(worker_on(narrow, port), signal.SIGKILL)

    lost = [pair for pair, invite in zip(uids, invites, strict=True) if port_of(invite) == port]
    kept = [pair for pair in uids if pair not in lost]
    assert (len(lost), len(kept)) == (2, 2)
    for first, second in lost:
        wait_seen(peers.first, first, "BYE")
        wait_seen(peers.second, second, "BYE")
        wait_ended(narrow, first, "interrupted", "worker")
    assert [of_call(peers.second, second, "BYE") for _, second in kept] == [[], []]

    wait_until(lambda: len(narrow.worker_pids()) == 2, PATIENCE, "the worker was not replaced")
    first, second = call(narrow, "201", "202")
    assert port_of(of_call(peers.second, second, "INVITE")[0]) == port
    for pair in [*kept, (first, second)]:
        hang_up(peers.second, pair[1])
        wait_ended(narrow, pair[0], "answered", "dial2")


def test_a_burst_of_calls_that_fail_at_once_kills_no_worker(narrow: Server, peers: Peers) -> None:
    workers = narrow.worker_pids()
    before = len(peers.busy.received("INVITE"))
    # As many at a time as two workers can carry, each again as soon as it has failed.
    with ThreadPoolExecutor(4) as clicks:
        answers = list(clicks.map(lambda _: narrow.dial("205", "201"), range(100)))

    assert {(answer.status, answer.json().get("reason")) for answer in answers} == {(200, "Busy")}
    assert len(peers.busy.received("INVITE")) == before + 100
    for answer in answers:
        wait_ended(narrow, answer.json()["dial1"], "busy", "dial1")
    assert set(workers) <= set(narrow.worker_pids())
    first, second = call(narrow, "201", "202")
    hang_up(peers.second, second)
    wait_ended(narrow, first, "answered", "dial2")


# -- the server ends


def test_when_the_server_dies_its_workers_release_their_legs_and_a_restart_settles_the_records(
    doomed: Server, peers: Peers, clicks: ThreadPoolExecutor
) -> None:
    first, second = call(doomed, "201", "202")
    rung = len(peers.ringing.sent(180))
    click = clicks.submit(doomed.dial, "204", "202")
    peers.ringing.wait_for(180, count=rung + 1, timeout=PATIENCE, direction="sent")
    ringing = peers.ringing.received("INVITE")[-1].header("Call-ID") or ""
    workers = doomed.worker_pids()
    assert workers

    doomed.kill()
    wait_seen(peers.first, first, "BYE")
    wait_seen(peers.second, second, "BYE")
    wait_seen(peers.ringing, ringing, "CANCEL")
    wait_until(lambda: not any(is_alive(pid) for pid in workers), PATIENCE, "workers live on without a server")
    assert click.result(PATIENCE).status == 0  # the connection broke

    doomed.start()
    for uid in (first, ringing):
        wait_ended(doomed, uid, "interrupted", "restart")
    assert doomed.wait_log("unfinished calls settled as interrupted")["calls"] == 2
    first, second = call(doomed, "201", "202")
    hang_up(peers.second, second)
    wait_ended(doomed, first, "answered", "dial2")


def test_sigterm_releases_every_leg_and_completes_the_records(
    doomed: Server, peers: Peers, clicks: ThreadPoolExecutor
) -> None:
    first, second = call(doomed, "201", "202")
    rung = len(peers.ringing.sent(180))
    click = clicks.submit(doomed.dial, "204", "202")
    peers.ringing.wait_for(180, count=rung + 1, timeout=PATIENCE, direction="sent")
    workers = doomed.worker_pids()

    assert doomed.stop() == 0
    assert not any(is_alive(pid) for pid in workers)
    assert len(of_call(peers.first, first, "BYE")) == 1
    assert len(of_call(peers.second, second, "BYE")) == 1
    answer = click.result(PATIENCE)
    assert (answer.status, answer.json()["status"]) == (200, "Fail")
    assert of_call(peers.ringing, answer.json()["dial1"], "CANCEL")
    assert doomed.rows("SELECT disposition, ended_by FROM calls ORDER BY accepted_at") == [
        ("answered", "shutdown"),
        ("cancelled", "shutdown"),
    ]
    assert doomed.rows("SELECT count(*) FROM legs WHERE ended_at IS NULL AND placed_at IS NOT NULL") == [(0,)]
