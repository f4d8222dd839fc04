"""From the takes of single legs to the one file that is kept."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from sipcore.domain.errors import ShuttingDownError
from sipcore.domain.recording import Channel, RecordingFormat, Take

_HEADER = 44
"""Octets of the WAV header that PJMEDIA writes."""
_RATE_HZ = 8000
"""Of the conference bridge, and of every take."""
_SAMPLE = 2
_BLOCK_FRAMES = 8000
_FORMATS = {
    RecordingFormat.WAV: ("WAV", "PCM_16"),
    RecordingFormat.FLAC: ("FLAC", "PCM_16"),
    RecordingFormat.OPUS: ("OGG", "OPUS"),
}


@dataclass(slots=True)
class _Track:
    """One take that is read: `first` and `last` are where it begins and ends in the recording, in samples."""

    channel: int
    first: int
    last: int
    file: BinaryIO

    def read(self, begin: int, end: int) -> NDArray[np.int16]:
        self.file.seek(_HEADER + (begin - self.first) * _SAMPLE)
        return np.frombuffer(self.file.read((end - begin) * _SAMPLE), "<i2")


def merge(
    takes: Sequence[tuple[Take, Path]], target: BinaryIO, form: RecordingFormat, stopped: Callable[[], bool]
) -> float:
    """Write takes into one file: mono, or with leg 1 to the left and leg 2 to the right; silence where nobody is.

    Args:
        takes: what it is made of; a take whose file is missing is silent.
        target: the file, empty, that is written.
        form: in which format.
        stopped: asked now and then whether to give up.

    Returns:
        Its length in seconds; 0 when nothing was recorded, for which the file has one silent sample.

    Raises:
        OSError: it cannot be written.
        ShuttingDownError: `stopped` said so.
    """
    encoding, subtype = _FORMATS[form]
    stereo = any(take.channel is not Channel.MONO for take, _ in takes)
    with ExitStack() as files:
        tracks = [track for take, path in takes if (track := _open(take, path, files)) is not None]
        recorded = max((track.last for track in tracks), default=0)
        # No decoder takes FLAC or Opus without a sample.
        length = max(recorded, 1)
        try:
            with soundfile.SoundFile(
                target.fileno(), "w", _RATE_HZ, 2 if stereo else 1, format=encoding, subtype=subtype, closefd=False
            ) as sound:
                for block in _blocks(tracks, length, 2 if stereo else 1):
                    if stopped():
                        raise ShuttingDownError("the server is being stopped")
                    sound.write(block)
            _check(target, length)
        except (soundfile.LibsndfileError, AssertionError) as error:
            # soundfile asserts that all was written, and libsndfile does not tell why it was not.
            raise OSError(errno.ENOSPC, f"the recording cannot be written: {error}") from error
    return recorded / _RATE_HZ


def _open(take: Take, path: Path, files: ExitStack) -> _Track | None:
    """Open a take, but nothing that a worker may have put in its place.

    Its length is that of the file: the sizes in its header are written when it is closed, and never after a full disk
    or the end of its worker.
    """
    try:
        file = files.enter_context(os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb"))
    except OSError:
        return None
    status = os.fstat(file.fileno())
    samples = max(status.st_size - _HEADER, 0) // _SAMPLE if stat.S_ISREG(status.st_mode) else 0
    first = round(take.offset_seconds * _RATE_HZ)
    return _Track(1 if take.channel is Channel.RIGHT else 0, first, first + samples, file)


def _blocks(tracks: Sequence[_Track], length: int, channels: int) -> Iterator[NDArray[np.int16]]:
    for begin in range(0, length, _BLOCK_FRAMES):
        end = min(begin + _BLOCK_FRAMES, length)
        mixed = np.zeros((end - begin, channels), np.int32)
        for track in tracks:
            since, until = max(begin, track.first), min(end, track.last)
            if since < until:
                samples = track.read(since, until)
                mixed[since - begin :][: len(samples), track.channel] += samples
        yield mixed.clip(-32768, 32767).astype(np.int16)


def _check(target: BinaryIO, length: int) -> None:
    """Read back how long it is: what libsndfile writes when it closes a file may be lost without a word."""
    os.lseek(target.fileno(), 0, os.SEEK_SET)
    with soundfile.SoundFile(target.fileno(), closefd=False) as written:
        found: Any = written.frames
    if found != length:
        raise OSError(errno.ENOSPC, f"{found} of {length} samples were written")
