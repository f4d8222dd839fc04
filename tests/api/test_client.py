"""The client and the commands that use it, against the real HTTP application."""

from __future__ import annotations

import asyncio
import contextlib
import json
from datetime import UTC, datetime
from itertools import islice

import pytest
from test_events import step
from test_ladders import LADDER
from test_recordings import AUDIO, ID, keep
from test_records import LIVE, RECORD
from typer.testing import CliRunner

from api import cli
from api.client import Client, ClientError, RefusedError, UnexpectedAnswerError, UnreachableError
from sipcore.domain.causes import Disposition
from sipcore.domain.errors import LimitReachedError
from sipcore.domain.public_events import EventType, written_id
from sipcore.domain.record import RecordFilter
from sipcore.domain.recording import RecordingFormat

ask = asyncio.to_thread


@pytest.fixture
def client(site, bearer_key):
    with Client(site.url, key=bearer_key) as client:
        yield client


@pytest.fixture
def run(site, bearer_key):
    async def run(*words):
        env = {"CLICK2CALL_URL": site.url, "CLICK2CALL_KEY": bearer_key}
        return await ask(CliRunner().invoke, cli.app, words, env=env)

    return run


async def test_records_come_page_by_page_as_they_are_read(site, client):
    site.store.records, site.store.next = [RECORD], "page-2"
    since = datetime(2026, 3, 1, tzinfo=UTC)
    found = client.records(number="+12025550123", disposition="answered", since=since)
    assert site.store.asked == []
    assert [record.id for record in await ask(lambda: list(islice(found, 2)))] == ["r1", "r1"]
    wanted = RecordFilter(number="+12025550123", disposition=Disposition.ANSWERED, since=since)
    assert site.store.asked == [("acme", wanted, None), ("acme", wanted, "page-2")]


async def test_a_refusal_tells_the_problem_and_what_it_is_about(site, client):
    site.calls.error = LimitReachedError("max_calls", 7)
    with pytest.raises(RefusedError, match=r"refused \(429\): over the limit max_calls") as refused:
        await ask(client.place_call, "101", "102")
    assert (refused.value.status, refused.value.error_id, refused.value.retry_after) == (429, "limit_reached", 7)
    with pytest.raises(RefusedError) as refused:
        await ask(lambda: list(client.records(disposition="odd")))
    assert (refused.value.status, refused.value.error_id, refused.value.parameter) == (
        400, "bad_parameter", "disposition",
    )  # fmt: skip


async def test_an_id_is_one_part_of_the_path_whatever_is_in_it(client):
    with pytest.raises(RefusedError) as refused:
        await ask(client.record, "../trunks?x=1#")
    assert refused.value.error_id == "not_found"


async def test_the_url_call_is_made_by_its_own_names(site, client):
    site.calls.fail_reason = "Busy"
    assert await ask(client.dialup, {"dial1": "101", "dial2": "102"}) == {}
    told = await ask(client.dialup, {"dial1": "101", "dial2": "102", "Response": "yes"})
    assert told == {"status": "Fail", "reason": "Busy"}
    with pytest.raises(RefusedError, match=r"refused \(400\): dial1: must be") as refused:
        await ask(client.dialup, {"dial1": "10x", "dial2": "102"})
    assert refused.value.parameter == "dial1"


@pytest.fixture
async def answering():
    """A client of a server that answers whatever comes with the given octets, and closes."""
    async with contextlib.AsyncExitStack() as opened:

        async def start(octets: bytes) -> Client:
            def answer(_reader, writer):
                writer.write(octets)
                writer.close()

            server = await opened.enter_async_context(await asyncio.start_server(answer, "127.0.0.1", 0))
            return opened.enter_context(Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", key="k"))

        yield start


async def test_what_a_newer_server_tells_besides_is_passed_over(answering):
    trunk = {"name": "main", "state": "registered", "sip_code": 200, "text": "OK", "since": "noon"}
    body = json.dumps({"items": [trunk], "of": "acme"}).encode()
    client = await answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    assert (await ask(client.trunks))[0].name == "main"


async def test_a_server_that_is_lost_amid_an_answer_is_unreachable(answering):
    client = await answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    with pytest.raises(UnreachableError):
        await ask(client.trunks)


@pytest.mark.parametrize("told", [b"<html>", b"[]", b'{"items": [{}]}'])
async def test_an_answer_of_another_shape_is_of_no_click2call_server(answering, told):
    client = await answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told))
    with pytest.raises(UnexpectedAnswerError):
        await ask(client.trunks)


async def test_something_else_that_answers_is_no_click2call_server(site, bearer_key):
    with Client(f"{site.url}/elsewhere", key=bearer_key) as client, pytest.raises(UnexpectedAnswerError):
        await ask(client.calls)


def test_a_url_that_is_none_is_told_at_once():
    for url in ("127.0.0.1:8080", "ftp://x", "http://", "http://x:y"):
        with pytest.raises(ClientError, match="no http:// or https:// address"):
            Client(url)


async def read_events(client, count, **asked):
    """Read events in a thread; returns the future of them, and an event that is set as the first has come."""
    first, loop = asyncio.Event(), asyncio.get_running_loop()

    def read():
        found = []
        for event in islice(client.events(**asked), count):
            found.append(event)
            loop.call_soon_threadsafe(first.set)
        return found

    return loop.run_in_executor(None, read), first


async def test_events_go_on_behind_the_last_one_when_the_connection_is_lost(site, client, monkeypatch):
    monkeypatch.setattr("api.handlers.events.RECONNECT_MS", 200)
    await site.events.put([step(), step()])
    await site.log_has(2)
    before = site.events.stored[0].public_id
    reading, first = await read_events(client, 2, after=before)
    await asyncio.wait_for(first.wait(), 5)
    # The next one is stored while nobody listens.
    site.streams.end()
    await site.events.put([step(kind=EventType.ENDED)])
    await site.log_has(3)
    found = await asyncio.wait_for(reading, 5)
    assert [event.id for event in found] == [event.public_id for event in site.events.stored[1:]]
    assert (found[1].type, found[1].body["call"]) == ("ended", "c1")


async def test_events_that_are_gone_are_told_and_not_waited_for(client):
    with pytest.raises(RefusedError) as refused:
        await ask(lambda: next(client.events(after=written_id(1))))
    assert (refused.value.status, refused.value.error_id) == (410, "events_gone")


class TestCommands:
    async def test_calls_are_listed_shown_and_hung_up(self, site, run):
        site.live["acme", "r1"] = LIVE
        lines = (await run("calls", "list")).stdout.splitlines()
        assert lines[0].split() == ["ID", "ACCEPTED", "DIAL1", "DIAL2", "USER", "DISPOSITION"]
        assert lines[1].split()[0] == "r1"
        assert lines[1].endswith("in progress")
        assert json.loads((await run("calls", "list", "--json")).stdout)["id"] == "r1"
        assert json.loads((await run("calls", "show", "r1")).stdout)["legs"][0]["uid"] == "uid-1"
        site.calls.first_stages.append(asyncio.get_running_loop().create_future())
        assert (await run("calls", "hangup", "r1")).exit_code == 0
        assert site.calls.hung_up == [("acme", "r1", "request")]

    async def test_what_is_unknown_is_one_line_and_exit_code_2(self, run):
        result = await run("records", "show", "nothing")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == "click2call: refused (404): there is no such thing in this organisation\n"

    async def test_records_are_listed_up_to_a_limit_and_shown_with_their_ladder(self, site, run):
        site.store.records, site.store.next = [RECORD], "more"
        site.store.ladders.kept["acme", "r1"] = LADDER
        listed = await run("records", "list", "--limit", "2", "--json")
        assert [json.loads(line)["id"] for line in listed.stdout.splitlines()] == ["r1", "r1"]
        assert json.loads((await run("records", "show", "r1")).stdout)["id"] == "r1"
        assert "INVITE" in (await run("records", "show", "r1", "--ladder")).stdout

    async def test_records_are_exported_as_a_file_that_is_whole(self, site, run, tmp_path):
        site.store.records = [RECORD]
        exported = await run("records", "export", "--format", "jsonl", "--extension", "101")
        assert [json.loads(line)["id"] for line in exported.stdout.splitlines()] == ["r1"]
        assert site.store.asked[-1][1] == RecordFilter(extension="101")
        file = tmp_path / "records.csv"
        assert (await run("records", "export", "-o", str(file))).exit_code == 0
        assert len(file.read_text().splitlines()) == 2
        refused = await run("records", "export", "--disposition", "odd", "-o", str(tmp_path / "other.csv"))
        assert (refused.exit_code, (tmp_path / "other.csv").exists()) == (2, False)

    async def test_a_recording_is_fetched_whole_or_not_at_all(self, site, run, tmp_path):
        folder = tmp_path / "fetched"
        folder.mkdir()
        keep(site, ID)
        assert (await run("recordings", "get", ID, "-o", str(folder / "call.wav"))).exit_code == 0
        assert (folder / "call.wav").read_bytes() == AUDIO
        site.recordings.files.path(ID, RecordingFormat.WAV).write_bytes(AUDIO[1:])
        assert (await run("recordings", "get", ID, "-o", str(folder / "other.wav"))).exit_code == 2
        assert [path.name for path in folder.iterdir()] == ["call.wav"]

    async def test_an_agent_pauses_and_resumes(self, run):
        assert (await run("queues", "pause", "700", "101")).stdout.splitlines()[1].split()[:2] == ["101", "paused"]
        assert "101 paused" in (await run("queues", "list")).stdout
        assert (await run("queues", "resume", "700", "101")).stdout.splitlines()[1].split()[:2] == ["101", "free"]

    async def test_the_trunk_is_told_with_its_registration(self, run):
        assert (await run("trunks")).stdout.splitlines()[1].split() == ["main", "registered", "200", "OK"]
