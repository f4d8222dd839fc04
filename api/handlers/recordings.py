"""`/api/v1/recordings`: what was recorded; and the recording of a call in progress."""

from __future__ import annotations

import http
from pathlib import Path
from typing import BinaryIO, ClassVar

import structlog
from tornado.iostream import StreamClosedError

from api.handlers.resource import ResourceHandler
from api.ranges import RangeNotSatisfiableError, wanted_range
from sipcore.domain.recording import Recording, RecordingFormat
from sipcore.service.authentication import Authenticator
from sipcore.service.recording_archive import RecordingArchive

_log = structlog.get_logger("http")

_CHUNK_OCTETS = 64 * 1024
_TYPES = {
    RecordingFormat.WAV: "audio/wav",
    RecordingFormat.FLAC: "audio/flac",
    RecordingFormat.OPUS: "audio/ogg; codecs=opus",
}


class RecordingHandler(ResourceHandler):
    """One recording of the caller's organisation: its audio, or the part of it that a Range header asks for."""

    allowed: ClassVar[tuple[str, ...]] = ("GET", "HEAD", "DELETE")

    def initialize(self, authenticator: Authenticator, recordings: RecordingArchive) -> None:
        """Take over what the routes give to every request."""
        self._authenticator = authenticator
        self._recordings = recordings

    async def head(self, *_path: str) -> None:
        """Answer as to GET, without the audio."""
        await self.respond()

    async def delete(self, *_path: str) -> None:
        """Delete the audio."""
        await self.respond()

    async def answer(self, organisation: str) -> object:
        """Return the recording and its file, or True when it is deleted now; None when there is none of this id."""
        recording_id = self.path_args[0]
        if self.request.method == "DELETE":
            return await self._recordings.delete(organisation, recording_id) or None
        return await self._recordings.find(organisation, recording_id)

    async def show(self, found: tuple[Recording, Path] | bool) -> None:
        """Write the audio, or that it is gone."""
        if isinstance(found, bool):
            self.set_status(http.HTTPStatus.NO_CONTENT)
            self.finish()
            return
        recording, path = found
        try:
            file = path.open("rb")
        except FileNotFoundError:
            _log.error("the file of a recording is missing", path=str(path))
            self.refuse_unknown()
            return
        with file:
            await self._send(recording, file)

    async def _send(self, recording: Recording, file: BinaryIO) -> None:
        etag = f'"{recording.id}"'
        self.set_header("Content-Type", _TYPES[recording.format])
        self.set_header("Content-Disposition", f'inline; filename="{recording.id}.{recording.format}"')
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Etag", etag)
        try:
            # A recording never changes, so that a condition (RFC 9110 section 13.1.5) holds or names another one.
            valid = self.request.headers.get("If-Range", etag) == etag
            part = wanted_range(self.request.headers.get("Range") if valid else None, recording.octets)
        except RangeNotSatisfiableError:
            self.set_header("Content-Range", f"bytes */{recording.octets}")
            self.write_refusal(http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "the range begins behind the end")
            return
        if part is not None:
            self.set_status(http.HTTPStatus.PARTIAL_CONTENT)
            self.set_header("Content-Range", f"bytes {part.start}-{part.stop - 1}/{recording.octets}")
        part = range(recording.octets) if part is None else part
        self.set_header("Content-Length", len(part))
        if self.request.method == "GET":
            file.seek(part.start)
            try:
                for begin in range(part.start, part.stop, _CHUNK_OCTETS):
                    self.write(file.read(min(_CHUNK_OCTETS, part.stop - begin)))
                    await self.flush()
            except StreamClosedError:
                return  # whoever listened has heard enough
        self.finish()
