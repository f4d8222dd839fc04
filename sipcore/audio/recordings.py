"""Recordings on disk: what workers write while a call goes on, and the files that are kept.

Every name is an id that this program minted. A recording that is being made has a note beside the files that are kept,
where only the server writes, so that whatever dies, what was recorded can be put together afterwards.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from sipcore.audio.merging import merge
from sipcore.domain.errors import StartUpError
from sipcore.domain.recording import Flaw, OpenRecording, Recording, RecordingFormat

_log = structlog.get_logger(__name__)

_ID = re.compile(r"[0-9a-f]{32}")
_FULL_BELOW_OCTETS = 64 * 1024
"""Free space below which nothing that is worth it can be written any more."""
_OWNER_ONLY = 0o700
_OWNER_AND_GROUP = 0o640


@dataclass(frozen=True, slots=True)
class RecordingFolder:
    """The two folders that recordings pass through. Its methods block; `finish` for as long as an encoder needs.

    Attributes:
        takes: where workers write.
        kept: where recordings are kept.
        stopping: set to make `finish` give up.
    """

    takes: Path
    kept: Path
    stopping: threading.Event

    @classmethod
    def open(cls, takes: Path, kept: Path) -> RecordingFolder:
        """Make what is missing.

        Raises:
            StartUpError: the folder for the recordings that are kept cannot be made, or not be written.
        """
        kept = kept.absolute()
        folder = cls(takes.absolute(), kept, threading.Event())
        try:
            kept.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
            folder._notes.mkdir(mode=_OWNER_ONLY, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder._notes):
                pass
        except OSError as error:
            raise StartUpError(f"storage.recordings: cannot write {kept}: {error.strerror}") from error
        return folder

    @property
    def _notes(self) -> Path:
        return self.kept / ".open"

    def note(self, recording: OpenRecording) -> None:
        """Keep what is known of a recording that is being made, in place of what was kept before.

        Raises:
            OSError: it cannot be written.
        """
        path = self._note_of(recording.id)
        new = path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(recording))
        new.replace(path)

    def noted(self) -> list[OpenRecording]:
        """Return the recordings that were being made when an earlier run ended."""
        found = []
        for path in sorted(self._notes.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=OpenRecording))
            except (OSError, msgspec.MsgspecError) as error:
                _log.error("note of a recording is of no use", path=str(path), error=str(error))
        return found

    def octets(self, take: str) -> int:
        """Return the size of a take's file, 0 without one."""
        with suppress(FileNotFoundError):
            return self._take_of(take).lstat().st_size
        return 0

    def is_full(self) -> bool:
        """Tell whether a disk that recordings are written to has no room."""
        return any(_free(folder) < _FULL_BELOW_OCTETS for folder in (self.takes, self.kept))

    def finish(self, recording: OpenRecording) -> Recording:
        """Make the file of a recording: under another name first, so that it appears whole. Doing it again is harmless.

        Raises:
            OSError: it cannot be written.
            ShuttingDownError: `stopping` was set.
        """
        takes = [(take, self._take_of(take.id)) for take in recording.takes]
        part, target = self._part_of(recording.id), self.path(recording.id, recording.format)
        try:
            with part.open("w+b") as file:
                seconds = merge(takes, file, recording.format, self.stopping.is_set)
                os.fchmod(file.fileno(), _OWNER_AND_GROUP)
                os.fsync(file.fileno())
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync(self.kept)
        return Recording(
            id=recording.id,
            call_id=recording.call_id,
            organisation=recording.organisation,
            owner=recording.owner,
            format=recording.format,
            started_at=recording.started_at,
            seconds=seconds,
            octets=target.stat().st_size,
            flaw=recording.flaw or (None if seconds else Flaw.AUDIO_MISSING),
        )

    def forget(self, recording: OpenRecording) -> None:
        """Remove what a recording was made of; its own file stays."""
        for take in recording.takes:
            self._take_of(take.id).unlink(missing_ok=True)
        self._part_of(recording.id).unlink(missing_ok=True)
        self._note_of(recording.id).unlink(missing_ok=True)

    def give_up(self) -> None:
        """Make `finish` give up, now and from now on."""
        self.stopping.set()

    def path(self, recording_id: str, form: RecordingFormat) -> Path:
        """Return where a recording is, or would be."""
        return self.kept / f"{_checked(recording_id)}.{form}"

    def delete(self, recording_id: str, form: RecordingFormat) -> None:
        """Remove a recording's file, if it is there.

        Raises:
            OSError: it cannot be removed.
        """
        self.path(recording_id, form).unlink(missing_ok=True)

    def _take_of(self, take: str) -> Path:
        return self.takes / f"{_checked(take)}.wav"

    def _part_of(self, recording_id: str) -> Path:
        return self._notes / f"{_checked(recording_id)}.part"

    def _note_of(self, recording_id: str) -> Path:
        return self._notes / f"{_checked(recording_id)}.json"


def _checked(name: str) -> str:
    if not _ID.fullmatch(name):
        raise ValueError(f"{name!r} is no id of ours")
    return name


def _free(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
