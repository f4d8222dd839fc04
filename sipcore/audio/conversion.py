"""From any audio file that libsndfile reads to the one form that workers get: 16-bit mono WAV at 8000 Hz.

pjsua2 aborts the process over some damaged WAV headers, so it is handed only files that were written here: a header of
44 octets, and as much audio as it says.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from sipcore.domain.errors import AudioFileError

Samples = NDArray[np.float32]
"""One channel; full scale is 1.0."""

RATE_HZ = 8000
"""Of the conference bridge: what players have at another rate would be resampled there, and less well."""
PARAMETERS = f"16-bit mono {RATE_HZ} Hz, soxr HQ, peak -1 dBFS, 1"
"""What a cached conversion depends on besides its source; the number at its end counts changes of this module."""

_PEAK = 10 ** (-1 / 20)
_FULL_SCALE = 32768
_BLOCK_SAMPLES = 1 << 17
"""Of all channels together that are held at once."""
_RATES_HZ = range(1000, 768_001)
_MAX_SECONDS = 12 * 3600
_SHORTEST_SAMPLES = 200
"""Of what is written: PJMEDIA takes no file that is shorter than a packet of 20 ms."""
_PLACEHOLDER_OCTETS = 0x7FFF0000
"""Programs that write WAV into a pipe, and cannot come back to the header, claim this many octets or more."""
# What libsndfile notes when a header claims more than the file has: WAV, AIFF and AU, then W64 and RF64.
_CLAIM = re.compile(r"^ *(?:data|SSND|Data Size|riff|Riff size) *: *(\d+) \(should be (\d+)\)", re.MULTILINE)
_OGG_PAGE = b"OggS"
_OGG_LONGEST_PAGE = 65_307
_OGG_HEADER = 27
"""Octets up to the table of segments' lengths; the last of them is their number."""
_OGG_FLAGS = 5
_OGG_LAST = 0x04


@dataclass(frozen=True, slots=True)
class Source:
    """Audio that is to be converted.

    Attributes:
        rate_hz: its sample rate.
        blocks: begins to read it anew, and gives it block by block.
    """

    rate_hz: int
    blocks: Callable[[], Iterator[Samples]]

    @classmethod
    def of(cls, samples: Samples, rate_hz: int) -> Source:
        """Make it of samples that are there."""
        return cls(rate_hz, lambda: iter((samples,)))


@contextmanager
def opened(path: Path) -> Iterator[FileIO]:
    """Open a regular file to read.

    Raises:
        AudioFileError: there is none, or it is a folder, a pipe or a device.
    """
    try:
        file = FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:  # a folder is one of them
        raise AudioFileError(str(path), f"cannot be read: {error.strerror}") from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise AudioFileError(str(path), "cannot be read: not a regular file")
        yield file


def convert(path: Path, file: FileIO, target: Path) -> None:
    """Convert an audio file.

    Args:
        path: its name, for messages.
        file: it, opened.
        target: the WAV file that is made; it appears whole, or not at all.

    Raises:
        AudioFileError: it is damaged, empty, cut off, or no audio.
        OSError: `target` cannot be written.
    """
    try:
        with _sound(file) as sound:
            _refuse_what_was_cut_off(path, file, sound)
            _refuse_what_is_no_recording(path, sound)
            rate = sound.samplerate
        write(Source(rate, lambda: _blocks(path, file)), target)
    except soundfile.LibsndfileError as error:
        raise AudioFileError(str(path), f"cannot be read as audio: {error.error_string.rstrip('.')}") from error


def _sound(file: FileIO) -> Any:
    file.seek(0)
    return soundfile.SoundFile(file.fileno(), closefd=False)


def _refuse_what_is_no_recording(path: Path, sound: Any) -> None:
    if sound.samplerate not in _RATES_HZ:
        raise AudioFileError(str(path), f"has the sample rate {sound.samplerate} Hz, which no recording has")
    if sound.frames == 0:
        raise AudioFileError(str(path), "holds no audio")
    if sound.frames > _MAX_SECONDS * sound.samplerate:
        raise AudioFileError(str(path), f"is longer than {_MAX_SECONDS // 3600} hours")


def _refuse_what_was_cut_off(path: Path, file: FileIO, sound: Any) -> None:
    """Compare the file with what its header claims, where that can be told without decoding (else `_blocks` does)."""
    for claim in _CLAIM.finditer(sound.extra_info):
        claimed, there = int(claim[1]), int(claim[2])
        if there < claimed < _PLACEHOLDER_OCTETS:
            raise AudioFileError(str(path), f"is cut off: it holds {there} of {claimed} octets of audio")
    if sound.format == "OGG" and not _has_last_page(file):
        raise AudioFileError(str(path), "is cut off: its last page is missing")


def _has_last_page(file: FileIO) -> bool:
    """Tell whether an Ogg file ends with a whole page that says it is the last (RFC 3533 section 6)."""
    file.seek(max(0, os.fstat(file.fileno()).st_size - _OGG_LONGEST_PAGE))
    end = file.read()
    page = end[end.rfind(_OGG_PAGE) :]
    if len(page) < _OGG_HEADER or not page[_OGG_FLAGS] & _OGG_LAST:
        return False
    segments = page[_OGG_HEADER:][: page[_OGG_HEADER - 1]]
    return len(page) >= _OGG_HEADER + len(segments) + sum(segments)


def _blocks(path: Path, file: FileIO) -> Iterator[Samples]:
    """Decode to the end; mix down to mono."""
    with _sound(file) as sound:
        missing = sound.frames
        while len(block := sound.read(_BLOCK_SAMPLES // sound.channels, dtype="float32", always_2d=True)):
            missing -= len(block)
            if not np.isfinite(block).all():
                raise AudioFileError(str(path), "holds samples that are no numbers")
            yield block.mean(axis=1)
        if missing > 0:
            raise AudioFileError(str(path), f"is cut off: {missing} of {sound.frames} samples are missing")


def write(source: Source, target: Path) -> None:
    """Write audio as 16-bit mono WAV at 8000 Hz, no louder than -1 dBFS; readable for everybody.

    It is written under another name first: whoever opens `target` finds all of it.

    Raises:
        OSError: it cannot be written.
    """
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.stem[:16]}-", delete=False) as file:
        try:
            peak = _write(source, file, gain=1.0)
            if peak > _PEAK:
                file.seek(0)
                file.truncate()
                _write(source, file, gain=_PEAK / peak)
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink()
            raise


def _write(source: Source, file: Any, *, gain: float) -> float:
    """Write it all; return the peak that it has without the gain."""
    peak = 0.0
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE_HZ)
        for block in _resampled(source):
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
            scaled = np.rint(block * (gain * _FULL_SCALE)).clip(-_FULL_SCALE, _FULL_SCALE - 1)
            sound.writeframesraw(scaled.astype("<i2").tobytes())
        sound.writeframesraw(bytes(2 * max(0, _SHORTEST_SAMPLES - sound.tell())))
    return peak


def _resampled(source: Source) -> Iterator[Samples]:
    if source.rate_hz == RATE_HZ:
        yield from source.blocks()
        return
    stream = soxr.ResampleStream(source.rate_hz, RATE_HZ, 1, dtype="float32", quality="HQ")
    for block in source.blocks():
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
