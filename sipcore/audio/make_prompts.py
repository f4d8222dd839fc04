"""Makes the prompts that ship with the program: `python -m sipcore.audio.make_prompts`.

English by eSpeak NG, beep and music by sums of sines; needs the extra `speech`. The files are part of the source tree,
so this is run only after a change to what they say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sipcore.audio.conversion import RATE_HZ, Samples, Source, write
from sipcore.audio.prompts import SHIPPED
from sipcore.audio.speech import speak
from sipcore.domain.prompts import ALL_PROMPTS, Prompt

_Sum = NDArray[np.float64]

_TEXTS: dict[str, str] = {
    Prompt.BUSY: "The number that you called is busy.",
    Prompt.NO_ANSWER: "The person that you called does not answer.",
    Prompt.NOT_CONNECTED: "The number that you called is not connected.",
    Prompt.UNREACHABLE: "The number that you called cannot be reached at the moment.",
    Prompt.PRESS_1_TO_ACCEPT: "You have a call. To accept it, press one.",
    Prompt.INVALID_CHOICE: "That is not a valid choice.",
    Prompt.YOU_ARE_NUMBER: "You are number",
    Prompt.IN_THE_QUEUE: "in the queue.",
    Prompt.PLEASE_LEAVE_A_MESSAGE: "Please leave a message after the tone.",
    Prompt.GOODBYE: "Goodbye.",
    Prompt.RECORDED_NOTICE: "This call is recorded.",
    Prompt.HUNDRED: "hundred",
    Prompt.THOUSAND: "thousand",
    Prompt.AT_THE_TONE: "At the tone,",
    Prompt.THE_TIME_IS: "the time is",
    Prompt.OH: "oh",
    Prompt.OH_CLOCK: "o'clock",
    Prompt.A_M: "a.m.",
    Prompt.P_M: "p.m.",
    Prompt.STAR: "star",
    Prompt.POUND: "pound",
}
_SPEECH_LEVEL = 10 ** (-20 / 20)
"""Root mean square of what is not silent: 20 dB below full scale, as phones speak."""
_SPEECH_PEAK = 0.8
_SILENT = 0.01
_LEAD_SECONDS = 0.02
_TRAIL_SECONDS = 0.08

_BEEP_HZ = 1000
_BEEP_SECONDS = 0.4
_BEEP_LEVEL = 0.35
_BEEP_EDGE_SECONDS = 0.005

_BEAT_SECONDS = 0.5
_CHORD_BEATS = 8
# Frequencies of the bass and of three voices: C major 7, A minor 7, F major 7, G 6.
_CHORDS = (
    (130.81, (261.63, 329.63, 392.00, 493.88)),
    (110.00, (261.63, 329.63, 392.00, 440.00)),
    (87.31, (261.63, 329.63, 349.23, 440.00)),
    (98.00, (246.94, 293.66, 329.63, 392.00)),
)
_ARPEGGIO = (0, 1, 2, 3, 2, 1, 3, 2)
_MUSIC_LEVEL = 10 ** (-26 / 20)


def _spoken(text: str) -> Source:
    """Speak, without the silence before and after, at the level that all prompts have."""
    speech = speak(text, "en")
    loud = np.flatnonzero(np.abs(speech.samples) > _SILENT * np.abs(speech.samples).max())
    sounding = speech.samples[loud[0] : loud[-1] + 1]
    level = float(np.sqrt(np.mean(np.square(sounding))))
    gain = min(_SPEECH_LEVEL / level, _SPEECH_PEAK / float(np.abs(sounding).max()))
    lead, trail = (np.zeros(round(seconds * speech.rate_hz), np.float32) for seconds in (_LEAD_SECONDS, _TRAIL_SECONDS))
    samples = np.concatenate([lead, sounding * np.float32(gain), trail])
    return Source.of(samples, speech.rate_hz)


def _beep() -> Samples:
    times = np.arange(round(_BEEP_SECONDS * RATE_HZ)) / RATE_HZ
    edges = np.minimum(1, np.minimum(times, _BEEP_SECONDS - times) / _BEEP_EDGE_SECONDS)
    return (_BEEP_LEVEL * edges * np.sin(2 * np.pi * _BEEP_HZ * times)).astype(np.float32)


def _music() -> Samples:
    """Four broken chords over long ones, 16 s; what still sounds at the end goes on at the beginning."""
    chord_seconds = _BEAT_SECONDS * _CHORD_BEATS
    loop = np.zeros(round(chord_seconds * len(_CHORDS) * RATE_HZ))
    for index, (bass, voices) in enumerate(_CHORDS):
        start = index * chord_seconds
        _add(loop, start, 0.5 * _pad(bass, chord_seconds))
        for hz in voices:
            _add(loop, start, 0.18 * _pad(hz, chord_seconds))
        for beat in range(_CHORD_BEATS):
            _add(loop, start + beat * _BEAT_SECONDS, 0.5 * _plucked(2 * voices[_ARPEGGIO[beat]]))
    level = float(np.sqrt(np.mean(np.square(loop))))
    return (loop * (_MUSIC_LEVEL / level)).astype(np.float32)


def _add(loop: _Sum, start: float, note: _Sum) -> None:
    places = (round(start * RATE_HZ) + np.arange(len(note))) % len(loop)
    np.add.at(loop, places, note)


def _pad(hz: float, seconds: float) -> _Sum:
    """Swell for a second, fade for a second into the next."""
    times = np.arange(round((seconds + 1) * RATE_HZ)) / RATE_HZ
    swell = np.sin(np.pi / 2 * np.clip(np.minimum(times, seconds + 1 - times), 0, 1)) ** 2
    overtones = sum(np.sin(2 * np.pi * hz * order * times) / order**2 for order in (1, 2, 3))
    return swell * overtones


def _plucked(hz: float) -> _Sum:
    times = np.arange(round(2.5 * RATE_HZ)) / RATE_HZ
    attack = np.minimum(1, times / 0.008)
    overtones = sum(
        np.sin(2 * np.pi * hz * order * times) * np.exp(-times * (1.5 + order)) / order for order in (1, 2, 3)
    )
    return attack * overtones


def _pieces() -> Iterator[tuple[str, Source]]:
    for name in ALL_PROMPTS:
        if name == Prompt.BEEP:
            yield name, Source.of(_beep(), RATE_HZ)
        elif name == Prompt.MUSIC:
            yield name, Source.of(_music(), RATE_HZ)
        else:
            # `digit_7` and `number_42` say what is behind the underscore.
            yield name, _spoken(_TEXTS.get(name) or name.rpartition("_")[2])


def make(folder: Path) -> None:
    """Write every prompt into a folder as NAME.wav."""
    for name, source in _pieces():
        write(source, folder / f"{name}.wav")


if __name__ == "__main__":
    make(SHIPPED / "en")
