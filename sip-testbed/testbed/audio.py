"""What was heard: tones, levels, silence and cadences in recorded audio, with numpy only.

Samples are one-dimensional float arrays with full scale at 1.0; times are seconds from the recording's start; levels
are dB relative to a full-scale sine (a sine that reaches the largest 16-bit value has 0 dB).
"""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import struct
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float64]

SILENCE_DB = -45.0
"""Below this a stretch counts as silent: G.711's idle noise lies far lower, every tone of ours far higher."""

_PCM = 1
_FULL_SCALE = 32768.0
_LOWEST_HZ = 60.0


@dataclass(frozen=True)
class Tone:
    """One sine found in a stretch of audio."""

    hz: float
    level_db: float


@dataclass(frozen=True)
class Segment:
    """A stretch of time, in seconds from the start of the recording."""

    start: float
    end: float

    @property
    def length(self) -> float:
        """Its length in seconds."""
        return self.end - self.start


@dataclass(frozen=True)
class Recording:
    """Audio with its sample rate in Hz."""

    samples: Samples
    rate: int

    @classmethod
    def empty(cls) -> Recording:
        """Return a recording of nothing."""
        return cls(np.zeros(0), 8000)

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return len(self.samples) / self.rate

    def between(self, start: float, end: float) -> Recording:
        """Return the part from `start` to `end` seconds; a negative `start` counts from the end."""
        if start < 0:
            start = max(0.0, self.seconds + start)
        return Recording(self.samples[round(start * self.rate) : round(end * self.rate)], self.rate)

    def last(self, seconds: float) -> Recording:
        """Return the last `seconds` of it."""
        return self.between(-seconds, self.seconds)


def read_wav(path: Path) -> Recording:
    """Read a 16-bit mono WAV file, also one that is still being written.

    A recorder fills in the sizes when it closes the file, so a data chunk that claims no bytes, or more than the file
    holds, is taken to reach to the end of the file.
    """
    data = path.read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"not a WAV file: {path}")
    rate, at = 0, 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if name == b"fmt ":
            form, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, at)
            if (form, channels, bits) != (_PCM, 1, 16):
                raise ValueError(f"not 16-bit mono PCM: {path}")
        elif name == b"data":
            end = at + size if 0 < size <= len(data) - at else len(data)
            end -= (end - at) % 2
            return Recording(np.frombuffer(data[at:end], "<i2").astype(np.float64) / _FULL_SCALE, rate)
        at += size + size % 2
    return Recording.empty()


def write_wav(path: Path, samples: Samples, rate: int) -> None:
    """Write a 16-bit mono WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1.0, 1.0) * (_FULL_SCALE - 1)).astype("<i2").tobytes())


def sine(hz: float, seconds: float, rate: int = 8000, level_db: float = -9.0) -> Samples:
    """Make a sine of the given level."""
    time = np.arange(round(seconds * rate)) / rate
    wave_: Samples = 10 ** (level_db / 20) * np.sin(2 * np.pi * hz * time)
    return wave_


def mu_law(samples: Samples) -> bytes:
    """Encode as G.711 mu-law (ITU-T G.711), one byte a sample."""
    bias, clip = 33, 8158
    value = np.clip(np.abs(samples) * 8159, 0, clip).astype(np.int64) + bias
    segment = np.floor(np.log2(value)).astype(np.int64) - 5
    mantissa = (value >> (segment + 1)) & 0x0F
    sign = np.where(samples < 0, 0x80, 0)
    # All bits are inverted on the line.
    return bytes((~(sign | (segment << 4) | mantissa) & 0xFF).astype(np.uint8))


def from_mu_law(encoded: bytes) -> Samples:
    """Decode G.711 mu-law."""
    code = ~np.frombuffer(encoded, np.uint8)
    magnitude = ((((code & 0x0F).astype(np.int64) << 1) + 33) << ((code >> 4) & 0x07)) - 33
    samples: Samples = np.where(code & 0x80, -magnitude, magnitude) / 8159
    return samples


def level_db(samples: Samples) -> float:
    """Return the level of all of it together; -120 for nothing at all."""
    if len(samples) == 0:
        return -120.0
    # A sine's mean power is half the square of its amplitude, hence the factor 2.
    power = float(np.mean(np.square(samples))) * 2
    return max(-120.0, float(10 * np.log10(power + 1e-30)))


def tone_level_db(samples: Samples, rate: int, hz: float) -> float:
    """Return the level of one frequency over the whole stretch (one bin of a Hann-windowed Fourier transform)."""
    if len(samples) == 0:
        return -120.0
    window = np.hanning(len(samples) + 2)[1:-1]
    turns = np.exp(-2j * np.pi * hz / rate * np.arange(len(samples)))
    amplitude = 2 * abs(np.sum(samples * window * turns)) / np.sum(window)
    return max(-120.0, float(20 * np.log10(amplitude + 1e-30)))


def has_tone(samples: Samples, rate: int, hz: float, floor_db: float = -30.0) -> bool:
    """Tell whether a frequency is present, on average over the stretch, at `floor_db` or more."""
    return tone_level_db(samples, rate, hz) >= floor_db


def tones(source: Recording | Path, *, floor_db: float = -36.0, range_db: float = 22.0, most: int = 8) -> list[Tone]:
    """Return the sines in a recording, the strongest first.

    Counted are spectral peaks that reach `floor_db` and are at most `range_db` weaker than the strongest, which
    leaves out the distortion that G.711 adds. Needs about 0.1 s to tell neighbours 40 Hz apart.
    """
    recording = source if isinstance(source, Recording) else read_wav(source)
    samples, rate = recording.samples, recording.rate
    if len(samples) < rate // 50:
        return []
    window = np.hanning(len(samples))
    # At least 0.5 Hz between bins: shorter stretches are padded so that a peak's place is exact.
    size = max(len(samples), 2 * rate)
    amplitude = 2 * np.abs(np.fft.rfft(samples * window, size)) / np.sum(window)
    level = 20 * np.log10(amplitude + 1e-30)
    step = rate / size
    level[: round(_LOWEST_HZ / step)] = -120.0
    # Half the width of a Hann window's main lobe: nothing nearer than this is a tone of its own.
    lobe = max(1, round(2 * rate / len(samples) / step))
    # The window's side lobes, and the smear of a tone that starts or stops inside, lie beside the main lobe.
    apart = max(lobe, round(20.0 / step))
    found: list[Tone] = []
    floor = max(floor_db, float(level.max()) - range_db)
    while len(found) < most:
        peak = int(np.argmax(level))
        if level[peak] < floor:
            break
        found.append(Tone(hz=peak * step, level_db=float(level[peak])))
        level[max(0, peak - apart) : peak + apart + 1] = -120.0
    return found


def dominant_hz(source: Recording | Path) -> float | None:
    """Return the strongest tone's frequency, or None when it is silent."""
    found = tones(source, most=1)
    return found[0].hz if found else None


def tone_at(source: Recording | Path, start: float, end: float) -> list[Tone]:
    """Return the tones between two times in seconds, the strongest first."""
    recording = source if isinstance(source, Recording) else read_wav(source)
    return tones(recording.between(start, end))


def cadence(source: Recording | Path, *hz: float, floor_db: float = -30.0) -> list[Segment]:
    """Return when all the given frequencies sounded together, such as 440 and 480 for a US ringback tone.

    Without frequencies: when there was any sound. Exact to about 20 ms; interruptions below 60 ms are bridged, so a
    lost packet does not split a tone; less than 30 ms, such as the click where a tone starts, is not counted.
    """
    recording = source if isinstance(source, Recording) else read_wav(source)
    rate, frame, hop = recording.rate, recording.rate // 25, recording.rate // 100
    on: list[Segment] = []
    for first in range(0, len(recording.samples) - frame + 1, hop):
        piece = recording.samples[first : first + frame]
        if all(has_tone(piece, rate, each, floor_db) for each in hz) and level_db(piece) > SILENCE_DB:
            middle = (first + frame / 2) / rate
            start, end = middle - hop / rate / 2, middle + hop / rate / 2
            if on and start - on[-1].end < 0.06:
                on[-1] = Segment(on[-1].start, end)
            else:
                on.append(Segment(start, end))
    return [segment for segment in on if segment.length > 0.03]


def silences(source: Recording | Path, shortest: float = 0.1) -> list[Segment]:
    """Return the stretches of at least `shortest` seconds in which nothing was heard."""
    recording = source if isinstance(source, Recording) else read_wav(source)
    edges = [0.0]
    for segment in cadence(recording):
        edges += [segment.start, segment.end]
    edges.append(recording.seconds)
    gaps = [Segment(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    return [gap for gap in gaps if gap.length >= shortest]
