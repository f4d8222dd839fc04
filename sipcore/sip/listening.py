"""Hear on a leg when somebody speaks and when a beep ends: PCM frames in, events out, without pjsua2.

What is speech is the WebRTC project's decision (`webrtcvad`), smoothed. It takes tones for speech, so a steady tone is
recognised first and kept from it: ringback, busy and fax tones speak no word. The arithmetic is `map` over lists of
160 integers, which costs less than 0.1 ms a frame; numpy would add 11 MB to a worker.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from operator import add, mul
from typing import Protocol

from webrtcvad import Vad

from sipcore.domain.events import BeepHeard, SpeechStarted, SpeechStopped

SAMPLE_RATE = 8000
FRAME_MS = 20
FRAME_BYTES = 2 * SAMPLE_RATE * FRAME_MS // 1000
"""One frame: 16-bit mono PCM in the machine's byte order."""

Heard = SpeechStarted | SpeechStopped | BeepHeard

_VAD_MODE = 1
"""0 takes most for speech, 3 least; 2 and 3 miss quiet ends of words, 0 takes more background for speech."""
_VAD_SETTLING_FRAMES = 5
"""A fresh detector takes the line's noise for speech until it knows it."""
_FRAMES_TO_START = 3
_FRAMES_TO_STOP = 6
_FLOOR = 10**-5.2 * 32768**2 / 2 * FRAME_BYTES / 2
"""Sum of squares of a frame 52 dB below a full-scale sine; quieter ones are silence, whatever they sound like."""

_TONE_REST = 10**-1.5
"""How much of a frame's power may be no sine: -15 dB, the noise of a poor line."""
_PURE_APART = (4, 7)
"""Samples between those compared, so that two tones at once are seen not to be one."""
_TONE_DRIFT = 0.03
"""How far a tone's frequency may move: what noise does to it in a frame."""
_TONE_FRAMES = 5
"""After so long a tone the detector starts anew: it would take the silence that follows for speech's."""

BEEP_HZ = (500.0, 2600.0)
"""Where beeps lie: above the ringback, busy and dial tones of 350 to 480 Hz."""
_BEEP_POWER_DRIFT = 10**0.15
_BEEP_FRAMES = 7
"""140 ms whole, so at least 150 ms in all."""
_BEEP_FRAMES_MOST = 100
"""A tone of 2 s is reported before its end: a fax machine's."""


def _sine(samples: Sequence[int], apart: int) -> tuple[float, float]:
    """Fit a sine of the frequency f, which obeys x[n - apart] + x[n + apart] = 2 cos(2 pi f apart / rate) x[n].

    Returns:
        That factor, and how much noise a sine would need to look like this, as a share of its power.
    """
    middle = samples[apart:-apart]
    sides = list(map(add, samples, samples[2 * apart :]))
    power = sum(map(mul, middle, middle))
    if power == 0:
        return 0.0, 1.0
    factor = sum(map(mul, sides, middle)) / power
    rest = sum(map(mul, sides, sides)) - factor * factor * power
    return factor, rest / (power * (2 + factor * factor))


def _is_same_tone(one_hz: float, other_hz: float) -> bool:
    return one_hz > 0 and abs(one_hz - other_hz) <= _TONE_DRIFT * one_hz


class _SpeechDetector(Protocol):
    def is_speech(self, buf: bytes, sample_rate: int) -> bool: ...


def _speech_detector() -> _SpeechDetector:
    detector: _SpeechDetector = Vad(_VAD_MODE)
    return detector


class _Beeps:
    """Finds single tones that keep their frequency and level, and tells when one has ended."""

    def __init__(self) -> None:
        self._frames = 0
        self._hz = 0.0
        self._power = 0.0

    def feed(self, samples: Sequence[int], hz: float, power: float) -> bool:
        """Take a frame and its tone's frequency (0 without one); return True when a beep ended before it."""
        is_pure = BEEP_HZ[0] <= hz <= BEEP_HZ[1] and all(_sine(samples, apart)[1] < _TONE_REST for apart in _PURE_APART)
        goes_on = (
            is_pure
            and self._frames > 0
            and _is_same_tone(hz, self._hz)
            and 1 / _BEEP_POWER_DRIFT < power / self._power < _BEEP_POWER_DRIFT
        )
        self._power = power
        if goes_on:
            self._frames += 1
            return self._frames == _BEEP_FRAMES_MOST
        has_ended = _BEEP_FRAMES <= self._frames < _BEEP_FRAMES_MOST
        self._frames, self._hz = int(is_pure), hz
        return has_ended


class SpeechListener:
    """Listens to one leg, from its first frame on.

    Args:
        leg: UniqueID of the leg, for the events.
    """

    def __init__(self, leg: str) -> None:
        self._leg = leg
        self._now_ms = 0
        self._detector = _speech_detector()
        self._detector_frames = 0
        self._beeps = _Beeps()
        self._hz = 0.0
        self._tone_frames = 0
        self._speaks = False
        self._frames_otherwise = 0

    def feed(self, frame: bytes) -> list[Heard]:
        """Take the next 20 ms of the leg's audio and return what they tell.

        Args:
            frame: `FRAME_BYTES` of 16-bit mono PCM at 8000 Hz.

        Raises:
            ValueError: it has another length.
        """
        if len(frame) != FRAME_BYTES:
            raise ValueError(f"expected a frame of {FRAME_BYTES} bytes, got {len(frame)}")
        samples = array("h", frame).tolist()
        power = sum(map(mul, samples, samples))
        hz = self._tone_hz(samples, power)
        heard: list[Heard] = []
        if self._beeps.feed(samples, hz, power):
            heard.append(BeepHeard(self._leg, self._now_ms))
        heard += self._smoothed(self._is_speech(frame, power, hz))
        self._now_ms += FRAME_MS
        return heard

    def _tone_hz(self, samples: Sequence[int], power: int) -> float:
        """Frequency of the tone that the frame is, or 0."""
        if power <= _FLOOR:
            return 0.0
        factor, rest = _sine(samples, 1)
        if rest >= _TONE_REST or abs(factor) >= 2:  # noqa: PLR2004 - twice a cosine
            return 0.0
        return math.acos(factor / 2) * SAMPLE_RATE / (2 * math.pi)

    def _is_speech(self, frame: bytes, power: int, hz: float) -> bool:
        is_tone = _is_same_tone(hz, self._hz)
        self._hz = hz
        if is_tone:
            self._tone_frames += 1
            return False
        if self._tone_frames >= _TONE_FRAMES:
            self._detector, self._detector_frames = _speech_detector(), 0
        self._tone_frames = 0
        self._detector_frames += 1
        says_so = self._detector.is_speech(frame, SAMPLE_RATE)
        return says_so and power > _FLOOR and self._detector_frames > _VAD_SETTLING_FRAMES

    def _smoothed(self, is_speech: bool) -> list[Heard]:
        """Let speech begin and end only after some frames, and tell when the first of them was."""
        if is_speech == self._speaks:
            self._frames_otherwise = 0
            return []
        self._frames_otherwise += 1
        if self._frames_otherwise < (_FRAMES_TO_STOP if self._speaks else _FRAMES_TO_START):
            return []
        since_ms = self._now_ms - (self._frames_otherwise - 1) * FRAME_MS
        self._speaks, self._frames_otherwise = is_speech, 0
        return [SpeechStarted(self._leg, since_ms) if is_speech else SpeechStopped(self._leg, since_ms)]
