"""Recordings whose calls are over: makes them ready, finds them, and deletes what is old."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

from sipcore.domain.errors import RecordingPendingError, ShuttingDownError, StoreUnavailableError
from sipcore.domain.recording import (
    Flaw,
    OpenRecording,
    Recording,
    RecordingAlarm,
    RecordingFormat,
    RecordingReady,
)
from sipcore.service.calls import LiveDirectory
from sipcore.service.store import RecordingStore

T = TypeVar("T")

_log = structlog.get_logger(__name__)

ORPHANS_SECONDS = 3.0
"""Workers of a server that died exit within 2 s of it, and write until then."""
_RETRY_SECONDS = 30.0
_SWEEP_SECONDS = 24 * 3600.0
_SWEEP_LIMIT = 100


class RecordingFiles(Protocol):
    """The files of recordings. Every method blocks, `finish` for as long as an encoder needs, and raises OSError."""

    def note(self, recording: OpenRecording) -> None:
        """Keep what is known of a recording that is being made, in place of what was kept before."""
        ...

    def noted(self) -> list[OpenRecording]:
        """Return what is kept of recordings that are not ready."""
        ...

    def octets(self, take: str) -> int:
        """Return how much has been written of a take."""
        ...

    def is_full(self) -> bool:
        """Tell whether a disk that recordings are written to has no room."""
        ...

    def finish(self, recording: OpenRecording) -> Recording:
        """Make the file of a recording; ShuttingDownError: it was given up. Doing it again is harmless."""
        ...

    def give_up(self) -> None:
        """Make `finish` give up, now and from now on."""
        ...

    def forget(self, recording: OpenRecording) -> None:
        """Remove what a recording was made of."""
        ...

    def path(self, recording_id: str, form: RecordingFormat) -> Path:
        """Return where a recording is."""
        ...

    def delete(self, recording_id: str, form: RecordingFormat) -> None:
        """Remove a recording, if it is there."""
        ...


RecordingNews = RecordingAlarm | RecordingReady


def log_news(news: RecordingNews) -> None:
    """Write a line about a recording."""
    recording = news.recording
    about = {"recording": recording.id, "call": recording.call_id, "organisation": recording.organisation}
    if isinstance(news, RecordingAlarm):
        _log.error("recording in trouble", **about, reason=news.reason)
    else:
        _log.info("recording ready", **about, seconds=round(news.recording.seconds, 3), flaw=news.recording.flaw)


class RecordingArchive:
    """Keeps recordings. Files are encoded in a thread, one after the other, so that calls have the processor first.

    Args:
        files: where they are.
        store: what is known of them.
        directory: organisations in force.
        tell: takes the news.
    """

    def __init__(
        self,
        files: RecordingFiles,
        store: RecordingStore,
        directory: LiveDirectory,
        tell: Callable[[RecordingNews], None] = log_news,
    ) -> None:
        self.files = files
        self.tell = tell
        self._store = store
        self._directory = directory
        self._unfinished: dict[str, OpenRecording] = {}
        self._finishing: set[asyncio.Task[None]] = set()
        self._others: set[asyncio.Task[None]] = set()
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="recordings")
        self._stopping = asyncio.Event()

    def start(self) -> None:
        """Make ready what an earlier run has left, and delete what is old, now and every day."""
        left = self.files.noted()
        for recording in left:
            self.expect(recording)
        if left:
            _log.warning("recordings of an earlier run are being made ready", recordings=len(left))
            self._spawn(self._repair(left), self._others)
        self._spawn(self._sweep_daily(), self._others)

    async def stop(self, patience_seconds: float = 5.0) -> None:
        """Wait a while for recordings that are being made ready; the next start goes on with the others."""
        self._stopping.set()
        if self._finishing:
            await asyncio.wait(self._finishing, timeout=patience_seconds)
        self.files.give_up()
        for task in (*self._others, *self._finishing):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._encoder.shutdown()

    def expect(self, recording: OpenRecording) -> None:
        """Know of a recording that will be ready sooner or later."""
        self._unfinished[recording.id] = recording

    def keep(self, recording: OpenRecording) -> None:
        """Make a recording ready: all that becomes a part of it is there."""
        self.expect(recording)
        self._spawn(self._finish(recording), self._finishing)

    async def find(self, organisation: str, recording_id: str) -> tuple[Recording, Path] | None:
        """Find a recording of an organisation and its file, or None.

        Raises:
            RecordingPendingError: it is not ready yet.
            StoreUnavailableError: the database does not answer.
        """
        pending = self._unfinished.get(recording_id)
        if pending is not None and pending.organisation == organisation:
            raise RecordingPendingError("the recording is not ready yet")
        found = await self._store.recording(organisation, recording_id)
        if found is None or found.deleted_at is not None:
            return None
        return found, self.files.path(found.id, found.format)

    async def delete(self, organisation: str, recording_id: str) -> bool:
        """Delete a recording's audio; False when the organisation has none of this id.

        Raises:
            RecordingPendingError: it is not ready yet.
            StoreUnavailableError: the database does not answer.
        """
        found = await self.find(organisation, recording_id)
        if found is None:
            return False
        await self._delete(found[0], datetime.now(UTC))
        _log.info("recording deleted", recording=recording_id, organisation=organisation)
        return True

    async def sweep(self, now: datetime) -> int:
        """Delete what is older than its organisation keeps; return how many.

        Raises:
            OSError: a file cannot be deleted.
            StoreUnavailableError: the database does not answer.
        """
        deleted = 0
        for name, organisation in self._directory.current.organisations.items():
            days = organisation.recording.retention_days
            if days is None:
                continue
            before = now - timedelta(days=days)
            while old := await self._store.recordings_before(name, before, _SWEEP_LIMIT):
                for recording in old:
                    await self._delete(recording, now)
                deleted += len(old)
        return deleted

    async def _delete(self, recording: Recording, now: datetime) -> None:
        # The file first: what is noted as deleted is gone.
        self.files.delete(recording.id, recording.format)
        await self._store.recording_deleted(recording.id, now)

    async def _sweep_daily(self) -> None:
        while True:
            try:
                deleted = await self.sweep(datetime.now(UTC))
            except (OSError, StoreUnavailableError) as error:
                _log.error("old recordings not deleted", error=str(error))
            else:
                if deleted:
                    _log.info("old recordings deleted", recordings=deleted)
            await asyncio.sleep(_SWEEP_SECONDS)

    async def _repair(self, left: list[OpenRecording]) -> None:
        if not all(recording.closed for recording in left):
            await asyncio.sleep(ORPHANS_SECONDS)
        for recording in left:
            flaw = recording.flaw or (None if recording.closed else Flaw.SERVER_LOST)
            self.keep(replace(recording, flaw=flaw))

    async def _finish(self, recording: OpenRecording) -> None:
        while True:
            try:
                ready = await self._in_thread(lambda: self.files.finish(recording))
                await self._store.add_recording(ready)
            except ShuttingDownError:
                return
            except (OSError, StoreUnavailableError) as error:
                self.tell(RecordingAlarm(recording, f"it cannot be made ready: {error}"))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _RETRY_SECONDS)
                if self._stopping.is_set():
                    return
            else:
                del self._unfinished[recording.id]
                self.tell(RecordingReady(ready))
                await self._forget(recording)
                return

    async def _forget(self, recording: OpenRecording) -> None:
        try:
            await self._in_thread(lambda: self.files.forget(recording))
        except OSError as error:
            # The next start makes the same recording again, and tries again to remove what it is made of.
            _log.error("what a recording was made of is left", recording=recording.id, error=str(error))

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._encoder, work)

    def _spawn(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
