"""Recording in the call engine, over the fake SIP port: who is recorded, and what becomes of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from recording_site import RecordingSite, write_take
from test_call_engine import CUSTOMER, Site, organisation

from sipcore.domain.call_recording import RecordingAction
from sipcore.domain.commands import LegCommand, PlaceLeg, PlayAudio, StartRecording, StopRecording
from sipcore.domain.directory import Extension, Inbound, RecordingRules, SipAddress, SipHost
from sipcore.domain.errors import NotRecordedError
from sipcore.domain.events import RecordingFinished
from sipcore.domain.recording import Channel
from sipcore.service.admission import EngineSettings
from sipcore.sip.fake import FakeSipPort


class RecordedSite(Site):
    """An engine that records 101, and what records it."""

    def __init__(self, root: Path, rules: RecordingRules) -> None:
        at = SipHost("127.0.0.1", 25061)
        extensions = {
            number: Extension(number, SipAddress(number, at), f"+12025550{number}", record=number == "101")
            for number in ("101", "102")
        }
        prompts = {"recorded_notice": "/notice.wav"}
        acme = replace(organisation(extensions=extensions), recording=rules, prompts=prompts)
        self.recording = RecordingSite(root, rules)
        super().__init__(FakeSipPort(workers=4), [acme], EngineSettings(3600.0, 60.0), self.recording.recorder)

    @property
    def commands(self) -> list[LegCommand]:
        return [command for _, command in self.port.commands]

    @property
    def recorded(self) -> list[tuple[str, Channel]]:
        """Which legs are recorded, and where they are heard."""
        return [(command.leg, command.channel) for command in self.commands if isinstance(command, StartRecording)]

    def finish_takes(self) -> None:
        """Let a worker write everything that it was told to record, and say that it is whole."""
        for command in self.commands:
            if isinstance(command, StartRecording):
                write_take(self.recording.files, command.recording, 0.5)
                self.port.report(RecordingFinished(command.leg, command.recording, 0.5))


@contextlib.asynccontextmanager
async def running(root: Path, **rules: object) -> AsyncIterator[RecordedSite]:
    site = RecordedSite(root, RecordingRules(**rules))  # type: ignore[arg-type]
    site.engine.start()
    try:
        yield site
    finally:
        await site.engine.stop(patience_seconds=0)
        await site.recording.stop()


@pytest.mark.parametrize(
    ("dial1", "dial2", "set_cid", "recorded"),
    [
        ("101", CUSTOMER, None, True),
        ("101", CUSTOMER, "101", True),
        ("101", CUSTOMER, "+12025550101", True),
        ("101", CUSTOMER, "+12025550100", False),
        ("101", CUSTOMER, "102", False),
        ("102", CUSTOMER, None, False),
        (CUSTOMER, "101", None, True),
        (CUSTOMER, "102", None, False),
        ("101", "102", None, True),
        ("102", "101", None, False),
        (CUSTOMER, "+12025550124", "101", True),
        (CUSTOMER, "+12025550124", "102", False),
        (CUSTOMER, "+12025550124", None, False),
    ],
)
async def test_calls_are_recorded_by_the_contracts_table(tmp_path, dial1, dial2, set_cid, *, recorded: bool) -> None:
    async with running(tmp_path) as site:
        call = await site.settled_dial(dial1, dial2, set_cid=set_cid)
        expected = [(call.uid1, Channel.LEFT), (call.uid2, Channel.RIGHT)] if recorded else []
        assert site.recorded == expected
        record = site.engine.live_record("acme", call.id)
        assert (record.recording_id is not None) == recorded
        assert record.recording_state == ("recording" if recorded else None)


async def test_a_record_names_the_recording_that_becomes_ready(tmp_path) -> None:
    async with running(tmp_path) as site:
        call = await site.settled_dial("101", CUSTOMER)
        site.finish_takes()
        record = await site.end(call)
        recording = await site.recording.ready()
    assert record.recording_id == recording.id
    assert (recording.call_id, recording.owner, recording.seconds) == (call.id, "101", pytest.approx(0.5, abs=0.1))


async def test_a_recording_is_paused_resumed_and_stopped_by_its_organisation_only(tmp_path) -> None:
    async with running(tmp_path) as site:
        call = await site.settled_dial("101", CUSTOMER)
        change = site.engine.change_recording
        assert change("other", call.id, RecordingAction.PAUSE) is None
        assert change("acme", "0" * 32, RecordingAction.PAUSE) is None
        assert not any(isinstance(command, StopRecording) for command in site.commands)
        assert change("acme", call.id, RecordingAction.PAUSE).recording_state == "paused"
        assert len([command for command in site.commands if isinstance(command, StopRecording)]) == 2
        assert change("acme", call.id, RecordingAction.RESUME).recording_state == "recording"
        assert len(site.recorded) == 4
        site.finish_takes()
        await site.port.settled()
        assert change("acme", call.id, RecordingAction.STOP).recording_state == "stopped"
        await site.port.settled()
        assert (await site.recording.ready()).call_id == call.id
        with pytest.raises(NotRecordedError):
            change("acme", call.id, RecordingAction.RESUME)


async def test_a_notice_comes_from_the_organisations_prompts(tmp_path) -> None:
    async with running(tmp_path, notice=True) as site:
        call = await site.settled_dial("101", CUSTOMER)
        told = {command.leg: command.files for command in site.commands if isinstance(command, PlayAudio)}
        assert told == {call.uid1: ("/notice.wav",), call.uid2: ("/notice.wav",)}


async def test_calls_that_come_in_are_recorded_for_whom_they_reach(tmp_path) -> None:
    async with running(tmp_path) as site:
        directory = site.directory.current
        acme = replace(directory.organisations["acme"], inbound=Inbound({"+12025550100": "101"}))
        site.directory.current = replace(directory, organisations={"acme": acme})
        caller = site.port.arrive("+12025550100", CUSTOMER, "main")
        while not site.recorded:
            await site.port.settled()
            await asyncio.sleep(0)
        agent = next(command.leg for command in site.commands if isinstance(command, PlaceLeg))
        assert site.recorded == [(caller, Channel.LEFT), (agent, Channel.RIGHT)]
