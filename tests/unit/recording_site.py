"""What the tests of recordings share: folders, a store in memory, and takes as workers write them."""

from __future__ import annotations

import asyncio
import wave
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sipcore.audio.recordings import RecordingFolder
from sipcore.domain.directory import Directory, Organisation, RecordingRules
from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.recording import OpenRecording, Recording, RecordingAlarm, RecordingFormat, RecordingReady
from sipcore.service.calls import LiveDirectory
from sipcore.service.recorder import Recorder
from sipcore.service.recording_archive import RecordingArchive, RecordingNews

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OPEN = OpenRecording("a" * 32, "c" * 32, "acme", "101", RecordingFormat.WAV, NOON)


def write_take(folder: RecordingFolder, take: str, seconds: float, *, whole: bool = True) -> Path:
    """Write a take as a worker does; one that is not whole has no sizes in its header."""
    path = folder.takes / f"{take}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\x10\x00" * round(8000 * seconds))
    if not whole:
        content = bytearray(path.read_bytes())
        content[4:8] = content[40:44] = bytes(4)
        path.write_bytes(content)
    return path


class MemoryRecordings:
    """Keeps what is known of recordings; it may be away for a while."""

    def __init__(self) -> None:
        self.kept: dict[str, Recording] = {}
        self.failures = 0

    async def add_recording(self, recording: Recording) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailableError("the database is away")
        self.kept[recording.id] = recording

    async def recording(self, organisation: str, recording_id: str) -> Recording | None:
        found = self.kept.get(recording_id)
        return found if found is not None and found.organisation == organisation else None

    async def recordings_before(self, organisation: str, moment: datetime, limit: int) -> tuple[Recording, ...]:
        old = [
            recording
            for recording in self.kept.values()
            if recording.organisation == organisation and recording.started_at < moment and recording.deleted_at is None
        ]
        return tuple(old[:limit])

    async def recording_deleted(self, recording_id: str, at: datetime) -> None:
        self.kept[recording_id] = replace(self.kept[recording_id], deleted_at=at)


class RecordingSite:
    """A recorder and its archive, over real files, and what they have told."""

    def __init__(self, root: Path, rules: RecordingRules | None = None) -> None:
        (root / "takes").mkdir(exist_ok=True)
        self.files = RecordingFolder.open(root / "takes", root / "kept")
        self.store = MemoryRecordings()
        acme = Organisation("acme", recording=rules or RecordingRules())
        self.directory = LiveDirectory(Directory({"acme": acme, "other": Organisation("other")}))
        self.news: asyncio.Queue[RecordingNews] = asyncio.Queue()
        self.archive = RecordingArchive(self.files, self.store, self.directory, self.news.put_nowait)
        self.recorder = Recorder(self.archive, self.directory)

    async def ready(self) -> Recording:
        """Wait until a recording is ready."""
        news = await asyncio.wait_for(self.news.get(), 10)
        assert isinstance(news, RecordingReady), news
        return news.recording

    async def alarm(self) -> RecordingAlarm:
        """Wait for an alarm."""
        news = await asyncio.wait_for(self.news.get(), 10)
        assert isinstance(news, RecordingAlarm), news
        return news

    async def stop(self) -> None:
        await self.recorder.stop()
        await self.archive.stop()
