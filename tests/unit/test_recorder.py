"""Recordings in an event loop: what is noted, watched, made ready, repaired, kept and deleted."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from call_stories import ONE, TERMS, TWO
from recording_site import NOON, OPEN, RecordingSite, write_take

from sipcore.domain.commands import StartRecording
from sipcore.domain.directory import RecordingRules
from sipcore.domain.errors import RecordingPendingError
from sipcore.domain.events import RecordingFinished, WorkerLost
from sipcore.domain.recording import Channel, Flaw, Recording, RecordingFormat, Take
from sipcore.service import recorder, recording_archive

WHOLE, LEFT, RIGHT = "a" * 32, "1" * 32, "2" * 32
START_LEFT = StartRecording(ONE, LEFT, WHOLE, Channel.LEFT, "101")
START_RIGHT = StartRecording(TWO, RIGHT, WHOLE, Channel.RIGHT, "101")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "_WATCH_SECONDS", 0.01)
    monkeypatch.setattr(recorder, "_STALLED_SECONDS", 0.05)
    monkeypatch.setattr(recorder, "_CLOSING_SECONDS", 0.05)
    monkeypatch.setattr(recording_archive, "ORPHANS_SECONDS", 0.05)
    monkeypatch.setattr(recording_archive, "_RETRY_SECONDS", 0.01)


@pytest.fixture
async def site(tmp_path):
    site = RecordingSite(tmp_path, RecordingRules(format=RecordingFormat.FLAC, retention_days=30))
    yield site
    await site.stop()


def begun(site: RecordingSite, *commands: StartRecording) -> None:
    for command in commands:
        site.recorder.begin(TERMS, command)
        write_take(site.files, command.recording, 0.5)


def ended(site: RecordingSite, *commands: StartRecording) -> None:
    for command in commands:
        site.recorder.feed(RecordingFinished(command.leg, command.recording, 0.5))


async def test_a_recording_is_ready_when_its_call_is_over_and_both_takes_are_whole(site) -> None:
    begun(site, START_LEFT, START_RIGHT)
    ended(site, START_LEFT)
    site.recorder.call_ended(TERMS.id)
    assert site.store.kept == {}
    ended(site, START_RIGHT)
    recording = await site.ready()
    assert site.store.kept == {WHOLE: recording}
    assert (recording.call_id, recording.organisation, recording.owner) == (TERMS.id, "acme", "101")
    assert (recording.format, recording.flaw) == (RecordingFormat.FLAC, None)
    assert recording.seconds == pytest.approx(0.5, abs=0.1)
    assert await site.archive.find("acme", WHOLE) == (recording, site.files.path(WHOLE, RecordingFormat.FLAC))
    await site.stop()
    assert list(site.files.takes.iterdir()) == []
    assert site.files.noted() == []


async def test_one_that_is_stopped_is_ready_while_its_call_goes_on(site) -> None:
    begun(site, START_LEFT)
    ended(site, START_LEFT)
    site.recorder.close(WHOLE)
    assert (await site.ready()).id == WHOLE
    site.recorder.call_ended(TERMS.id)
    assert site.news.empty()


async def test_a_voicemail_is_a_recording_by_itself(site) -> None:
    alone = StartRecording(ONE, LEFT)
    begun(site, alone)
    ended(site, alone)
    site.recorder.call_ended(TERMS.id)
    recording = await site.ready()
    assert (recording.id, recording.owner) == (LEFT, None)


async def test_until_it_is_ready_it_is_pending_for_its_organisation_and_unknown_to_others(site) -> None:
    begun(site, START_LEFT)
    with pytest.raises(RecordingPendingError):
        await site.archive.find("acme", WHOLE)
    with pytest.raises(RecordingPendingError):
        await site.archive.delete("acme", WHOLE)
    assert await site.archive.find("other", WHOLE) is None


async def test_everything_is_noted_before_a_worker_begins(site) -> None:
    begun(site, START_LEFT, START_RIGHT)
    (noted,) = site.files.noted()
    assert [(take.id, take.channel) for take in noted.takes] == [(LEFT, Channel.LEFT), (RIGHT, Channel.RIGHT)]
    assert (noted.call_id, noted.organisation, noted.owner, noted.closed) == (TERMS.id, "acme", "101", False)


async def test_a_worker_that_dies_leaves_an_incomplete_recording(site) -> None:
    begun(site, START_LEFT, START_RIGHT)
    write_take(site.files, LEFT, 0.5, whole=False)
    site.recorder.feed(WorkerLost((ONE, "another-leg")))
    assert (await site.alarm()).recording.flaw is Flaw.WORKER_LOST
    ended(site, START_RIGHT)
    site.recorder.call_ended(TERMS.id)
    recording = await site.ready()
    assert recording.flaw is Flaw.WORKER_LOST
    assert recording.seconds >= 0.5


@pytest.mark.parametrize(("full", "flaw"), [(True, Flaw.DISK_FULL), (False, Flaw.AUDIO_MISSING)])
async def test_a_take_that_does_not_grow_raises_the_alarm_once(site, monkeypatch, full: bool, flaw: Flaw) -> None:
    monkeypatch.setattr(type(site.files), "is_full", lambda _self: full)
    begun(site, START_LEFT, START_RIGHT)
    assert (await site.alarm()).recording.flaw is flaw
    assert site.files.noted()[0].flaw is flaw, "also when the server dies now"
    ended(site, START_LEFT, START_RIGHT)
    site.recorder.call_ended(TERMS.id)
    assert (await site.ready()).flaw is flaw


async def test_a_take_that_grows_raises_none(site, monkeypatch) -> None:
    looks, looked_often = itertools.count(1), asyncio.Event()

    def grow(_self, _take) -> int:
        octets = next(looks)
        if octets > 20:
            looked_often.set()
        return octets

    monkeypatch.setattr(recorder, "_STALLED_SECONDS", 0.0)
    begun(site, START_LEFT)
    monkeypatch.setattr(type(site.files), "octets", grow)
    await asyncio.wait_for(looked_often.wait(), 10)
    assert site.news.empty()


@pytest.mark.parametrize("exists", [True, False])
async def test_a_take_that_is_much_shorter_than_its_time_is_incomplete(site, monkeypatch, *, exists: bool) -> None:
    monkeypatch.setattr(recorder, "_MISSING_SECONDS", -1.0 if exists else 1.0)
    begun(site, START_LEFT)
    if not exists:
        (site.files.takes / f"{LEFT}.wav").unlink()
    site.recorder.feed(RecordingFinished(ONE, LEFT, 0.0))
    site.recorder.call_ended(TERMS.id)
    assert (await site.alarm()).recording.flaw is Flaw.AUDIO_MISSING
    assert (await site.ready()).flaw is Flaw.AUDIO_MISSING


async def test_a_take_whose_end_is_never_reported_holds_nothing_up(site) -> None:
    begun(site, START_LEFT)
    site.recorder.call_ended(TERMS.id)
    assert (await site.alarm()).recording.flaw is Flaw.AUDIO_MISSING
    assert (await site.ready()).seconds == 0.5


async def test_what_cannot_be_noted_raises_the_alarm_and_is_recorded_all_the_same(site, monkeypatch) -> None:
    def refuse(_self, _recording) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(site.files), "note", refuse)
    begun(site, START_LEFT)
    assert "No space left" in (await site.alarm()).reason
    ended(site, START_LEFT)
    site.recorder.call_ended(TERMS.id)
    await site.alarm()
    assert (await site.ready()).seconds == 0.5


async def test_what_cannot_be_made_ready_now_is_tried_again(site, monkeypatch) -> None:
    finish, failures = type(site.files).finish, [OSError(28, "No space left on device")]

    def refuse(self, recording) -> Recording:
        if failures:
            raise failures.pop()
        return finish(self, recording)

    monkeypatch.setattr(type(site.files), "finish", refuse)
    site.store.failures = 1
    begun(site, START_LEFT)
    ended(site, START_LEFT)
    site.recorder.call_ended(TERMS.id)
    assert "No space left" in (await site.alarm()).reason
    assert "database is away" in (await site.alarm()).reason
    assert (await site.ready()).seconds == 0.5


async def test_one_whose_takes_cannot_be_removed_is_ready_all_the_same(site, monkeypatch) -> None:
    def refuse(_self, _recording) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(type(site.files), "forget", refuse)
    begun(site, START_LEFT)
    ended(site, START_LEFT)
    site.recorder.call_ended(TERMS.id)
    recording = await site.ready()
    assert (await site.archive.find("acme", WHOLE))[0] == recording
    await site.stop()
    assert site.news.empty()


async def test_what_a_server_that_died_has_left_is_repaired(site, tmp_path, monkeypatch) -> None:
    finish, finished = type(site.files).finish, []

    def note_when(self, recording) -> Recording:
        finished.append(time.monotonic())
        return finish(self, recording)

    monkeypatch.setattr(type(site.files), "finish", note_when)
    begun(site, START_LEFT)
    write_take(site.files, LEFT, 0.5, whole=False)
    again = RecordingSite(tmp_path)
    started = time.monotonic()
    again.archive.start()
    with pytest.raises(RecordingPendingError):
        await again.archive.find("acme", WHOLE)
    write_take(site.files, LEFT, 0.75, whole=False)
    recording = await again.ready()
    assert finished[0] - started >= recording_archive.ORPHANS_SECONDS, "its workers write on for a while"
    assert (recording.seconds, recording.flaw, recording.owner) == (0.75, Flaw.SERVER_LOST, "101")
    await again.stop()


async def test_a_stop_leaves_what_takes_long_to_the_next_start(site, tmp_path) -> None:
    begun(site, START_LEFT)
    ended(site, START_LEFT)
    site.files.give_up()
    site.recorder.call_ended(TERMS.id)
    await site.stop()
    assert site.store.kept == {}
    again = RecordingSite(tmp_path)
    again.archive.start()
    recording = await again.ready()
    assert (recording.seconds, recording.flaw) == (0.5, None), "it had been recorded to its end"
    await again.stop()


async def test_what_is_older_than_its_organisation_keeps_is_deleted(site) -> None:
    days = {days: f"{days:032x}" for days in (1, 29, 31, 400)}
    for age, recording_id in days.items():
        for organisation in ("acme", "other"):
            name = recording_id if organisation == "acme" else recording_id.replace("0000", "ffff", 1)
            kept = replace(OPEN, id=name, organisation=organisation, started_at=NOON - timedelta(days=age))
            await site.store.add_recording(site.files.finish(replace(kept, takes=(Take(LEFT, Channel.MONO, 0.0),))))
    assert await site.archive.sweep(NOON) == 2
    gone = {recording.id for recording in site.store.kept.values() if recording.deleted_at == NOON}
    assert gone == {days[31], days[400]}
    left = {path.stem for path in site.files.kept.iterdir() if path.is_file()}
    assert left == set(site.store.kept) - gone
    assert await site.archive.find("acme", days[31]) is None
    assert await site.archive.sweep(NOON) == 0


async def test_old_ones_are_deleted_at_a_start(site) -> None:
    recording = site.files.finish(replace(OPEN, started_at=NOON - timedelta(days=10_000)))
    await site.store.add_recording(recording)
    deleted = asyncio.Event()
    note = site.store.recording_deleted

    async def notice(recording_id, at) -> None:
        await note(recording_id, at)
        deleted.set()

    site.store.recording_deleted = notice
    site.archive.start()
    await asyncio.wait_for(deleted.wait(), 10)
    assert not site.files.path(recording.id, recording.format).exists()


async def test_one_that_is_deleted_is_gone(site) -> None:
    recording = site.files.finish(OPEN)
    await site.store.add_recording(recording)
    assert not await site.archive.delete("other", OPEN.id)
    assert site.files.path(OPEN.id, recording.format).exists()
    assert await site.archive.delete("acme", OPEN.id)
    assert not site.files.path(OPEN.id, recording.format).exists()
    assert await site.archive.find("acme", OPEN.id) is None
    assert not await site.archive.delete("acme", OPEN.id)
