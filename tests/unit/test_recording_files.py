"""The files of recordings: what is made of takes, whatever became of whoever wrote them."""

from __future__ import annotations

import os
import stat
import struct
import wave
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sipcore.audio.recordings import RecordingFolder
from sipcore.domain.errors import ShuttingDownError, StartUpError
from sipcore.domain.recording import Channel, Flaw, OpenRecording, RecordingFormat, Take

RATE = 8000
LEFT_HZ, RIGHT_HZ = 440, 1000
OPEN = OpenRecording("a" * 32, "c" * 32, "acme", "101", RecordingFormat.WAV, datetime(2026, 1, 1, tzinfo=UTC))
LEFT = Take("1" * 32, Channel.LEFT, 0.0)
RIGHT = Take("2" * 32, Channel.RIGHT, 0.0)


@pytest.fixture
def folder(tmp_path: Path) -> RecordingFolder:
    (tmp_path / "takes").mkdir()
    return RecordingFolder.open(tmp_path / "takes", tmp_path / "kept")


def tone(hz: int, seconds: float, volume: int = 8000) -> np.ndarray:
    return (np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE) * volume).astype("<i2")


def record(folder: RecordingFolder, take: Take, samples: np.ndarray) -> Path:
    """Write a take as a worker does that closes it in good order."""
    path = folder.takes / f"{take.id}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path


def made_of(folder: RecordingFolder, *takes: Take, form: RecordingFormat = RecordingFormat.WAV) -> np.ndarray:
    """Make a recording ready; return its samples, one column for each channel."""
    recording = folder.finish(replace(OPEN, format=form, takes=takes))
    path = folder.path(recording.id, recording.format)
    samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    assert rate == RATE
    assert recording.octets == path.stat().st_size
    assert recording.seconds == len(samples) / RATE
    return samples


def strength(samples: np.ndarray, hz: int) -> float:
    """The amplitude of one frequency."""
    turns = np.exp(-2j * np.pi * hz * np.arange(len(samples)) / RATE)
    return float(2 * abs(np.mean(samples * turns)))


@pytest.mark.parametrize("form", RecordingFormat)
def test_leg_1_is_heard_to_the_left_and_leg_2_to_the_right(folder: RecordingFolder, form: RecordingFormat) -> None:
    record(folder, LEFT, tone(LEFT_HZ, 3))
    record(folder, RIGHT, tone(RIGHT_HZ, 3))
    samples = made_of(folder, LEFT, RIGHT, form=form)
    assert samples.shape == (3 * RATE, 2)
    left, right = samples.T
    assert strength(left, LEFT_HZ) == pytest.approx(8000, rel=0.1)
    assert strength(right, RIGHT_HZ) == pytest.approx(8000, rel=0.1)
    assert strength(left, RIGHT_HZ) < 100
    assert strength(right, LEFT_HZ) < 100


def test_each_take_stands_at_its_own_time_and_a_pause_is_silent(folder: RecordingFolder) -> None:
    again = Take("3" * 32, Channel.LEFT, 2.5)
    late = replace(RIGHT, offset_seconds=0.25)
    for take in (LEFT, late, again):
        record(folder, take, tone(LEFT_HZ, 1))
    left, right = made_of(folder, LEFT, late, again).T
    assert len(left) == 3.5 * RATE
    assert np.array_equal(left[:RATE], tone(LEFT_HZ, 1))
    assert not left[RATE : round(2.5 * RATE)].any()
    assert np.array_equal(left[round(2.5 * RATE) :], tone(LEFT_HZ, 1))
    assert np.array_equal(right[2000:10000], tone(LEFT_HZ, 1))
    assert not right[:2000].any()
    assert not right[10000:].any()


def test_takes_that_overlap_are_added_without_going_over_full_scale(folder: RecordingFolder) -> None:
    other = replace(LEFT, id="3" * 32)
    record(folder, LEFT, np.full(800, 30000, "<i2"))
    record(folder, other, np.full(800, 30000, "<i2"))
    assert (made_of(folder, LEFT, other)[:, 0] == 32767).all()


def test_a_voicemail_is_mono(folder: RecordingFolder) -> None:
    alone = replace(LEFT, channel=Channel.MONO)
    record(folder, alone, tone(LEFT_HZ, 1))
    assert np.array_equal(made_of(folder, alone), tone(LEFT_HZ, 1)[:, np.newaxis])


@pytest.mark.parametrize("claimed", [0, 100, 0x7FFFFFFF])
def test_a_take_that_was_never_closed_is_read_to_the_end_of_its_file(folder: RecordingFolder, claimed: int) -> None:
    path = record(folder, LEFT, tone(LEFT_HZ, 1))
    with path.open("r+b") as file:
        for where in (4, 40):
            file.seek(where)
            file.write(struct.pack("<I", claimed))
        file.seek(0, os.SEEK_END)
        file.write(b"\x01")
    assert np.array_equal(made_of(folder, LEFT)[:, 0], tone(LEFT_HZ, 1)), "half a sample at the end is left out"


@pytest.mark.parametrize("left", [b"", b"RIFF", bytes(44)])
def test_a_take_without_audio_is_silent(folder: RecordingFolder, left: bytes) -> None:
    (folder.takes / f"{LEFT.id}.wav").write_bytes(left)
    record(folder, RIGHT, tone(RIGHT_HZ, 1))
    samples = made_of(folder, LEFT, RIGHT)
    assert not samples[:, 0].any()
    assert np.array_equal(samples[:, 1], tone(RIGHT_HZ, 1))


@pytest.mark.parametrize("form", RecordingFormat)
def test_a_recording_of_nothing_is_empty_and_says_so(folder: RecordingFolder, form: RecordingFormat) -> None:
    recording = folder.finish(replace(OPEN, takes=(LEFT, RIGHT), format=form))
    assert (recording.seconds, recording.flaw) == (0, Flaw.AUDIO_MISSING)
    assert soundfile.info(folder.path(recording.id, form)).frames == 1, "as a file without a sample cannot be opened"


def test_nothing_is_read_that_a_worker_put_in_a_takes_place(folder: RecordingFolder, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(range(256)) * 100)
    (folder.takes / f"{LEFT.id}.wav").symlink_to(secret)
    os.mkfifo(folder.takes / f"{RIGHT.id}.wav")
    assert folder.finish(replace(OPEN, takes=(LEFT, RIGHT))).seconds == 0
    assert secret.exists()


def test_a_recording_appears_whole_and_only_its_owner_and_group_read_it(folder: RecordingFolder) -> None:
    record(folder, LEFT, tone(LEFT_HZ, 1))
    made_of(folder, LEFT)
    path = folder.path(OPEN.id, RecordingFormat.WAV)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(folder.kept.stat().st_mode) == 0o700
    assert [entry.name for entry in folder.kept.iterdir() if entry.is_file()] == [path.name]


def test_one_that_is_given_up_leaves_its_takes_and_nothing_else(folder: RecordingFolder) -> None:
    path = record(folder, LEFT, tone(LEFT_HZ, 1))
    folder.give_up()
    with pytest.raises(ShuttingDownError):
        folder.finish(replace(OPEN, takes=(LEFT,)))
    assert path.exists()
    assert [entry for entry in folder.kept.rglob("*") if entry.is_file()] == []


def test_notes_come_back_until_they_are_forgotten_with_their_takes(folder: RecordingFolder) -> None:
    path = record(folder, LEFT, tone(LEFT_HZ, 1))
    noted = replace(OPEN, takes=(LEFT,), flaw=Flaw.WORKER_LOST, owner=None)
    folder.note(OPEN)
    folder.note(noted)
    again = RecordingFolder.open(folder.takes, folder.kept)
    assert again.noted() == [noted]
    again.finish(noted)
    again.forget(noted)
    assert again.noted() == []
    assert not path.exists()
    assert folder.path(OPEN.id, RecordingFormat.WAV).exists()


def test_a_note_that_is_damaged_does_not_hide_the_others(folder: RecordingFolder) -> None:
    folder.note(OPEN)
    (folder.kept / ".open" / f"{'0' * 32}.json").write_bytes(b'{"id": ')
    assert folder.noted() == [OPEN]


def test_it_is_deleted_once_and_for_all(folder: RecordingFolder) -> None:
    record(folder, LEFT, tone(LEFT_HZ, 1))
    made_of(folder, LEFT)
    for _ in range(2):
        folder.delete(OPEN.id, RecordingFormat.WAV)
        assert not folder.path(OPEN.id, RecordingFormat.WAV).exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 32, "a" * 31, "", f"{'a' * 32}\n"])
def test_no_other_name_than_an_id_becomes_a_path(folder: RecordingFolder, name: str) -> None:
    with pytest.raises(ValueError, match="no id"):
        folder.path(name, RecordingFormat.WAV)
    with pytest.raises(ValueError, match="no id"):
        folder.octets(name)
    with pytest.raises(ValueError, match="no id"):
        folder.note(replace(OPEN, id=name))


def test_it_tells_how_much_of_a_take_there_is(folder: RecordingFolder) -> None:
    assert folder.octets(LEFT.id) == 0
    record(folder, LEFT, tone(LEFT_HZ, 1))
    assert folder.octets(LEFT.id) == 44 + 2 * RATE
    assert not folder.is_full()


def test_a_folder_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartUpError, match=r"storage\.recordings"):
        RecordingFolder.open(tmp_path, tmp_path / "file" / "kept")
