"""Speech in many voices, for what callers hear and say."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass

import espeakng_loader
import numpy as np
import soxr

from sipcore.audio.speech import speak
from testbed.audio import Samples

# espeak_PARAMETER of speak_lib.h
_RATE, _PITCH, _RANGE = 1, 3, 4


@dataclass(frozen=True, slots=True)
class Voice:
    """How something is said.

    Attributes:
        name: espeak-ng's language, and a variant after `+` where wanted (`en-us+f2`).
        words_per_minute: 80 to 450.
        pitch: 0 to 100.
        intonation: how far the pitch moves, 0 to 100.
    """

    name: str
    words_per_minute: int = 175
    pitch: int = 50
    intonation: int = 50


@functools.cache
def _library() -> ctypes.CDLL:
    speak("hello", "en")  # initialises the library, which exists once in a process
    return ctypes.CDLL(espeakng_loader.get_library_path())


def _set(voice: Voice) -> None:
    for parameter, value in ((_RATE, voice.words_per_minute), (_PITCH, voice.pitch), (_RANGE, voice.intonation)):
        _library().espeak_SetParameter(parameter, value, 0)


def speech(text: str, voice: Voice, rate: int = 8000) -> Samples:
    """Say a text, without the silence around it, at a sample rate."""
    _set(voice)
    # A voice's breath is noise, which shall be the same each time.
    _library().espeak_ng_SetRandSeed(ctypes.c_long(1))
    try:
        spoken = speak(text, voice.name)
    finally:
        _set(Voice(voice.name))
    loud = np.flatnonzero(np.abs(spoken.samples) > 0.01)
    heard = spoken.samples[loud[0] : loud[-1] + 1].astype(np.float64)
    resampled: Samples = soxr.resample(heard, spoken.rate_hz, rate)
    return resampled
