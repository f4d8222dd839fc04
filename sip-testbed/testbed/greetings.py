"""What is heard when people and machines answer: said by espeak-ng, on a telephone line with its noise and G.711.

Everything is drawn from a seed, so every run has the same calls.
"""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from testbed.audio import Samples, from_mu_law, mu_law, sine
from testbed.speech import Voice, speech

RATE = 8000
_TEXTS = Path(__file__).with_name("greetings.toml")
_BAND_HZ = (300.0, 3400.0)
_VARIANTS = ("m1", "m2", "m3", "m4", "m7", "f1", "f2", "f3", "f4", "f5")
_BEEPS_HZ = (520, 640, 850, 950, 1000, 1200, 1400, 2000)
CALLS_PER_TEXT = 6
_LISTENED_SECONDS = 6.0
_QUIET_SECONDS = 5.0
"""At least so much is heard of every call, and of the line after it."""


class Answerer(StrEnum):
    """Who or what answered."""

    HUMAN = "human"
    MACHINE = "machine"
    NOBODY = "nobody"
    """Silence or call progress tones, which tell neither a person nor a machine."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """One answered call.

    Attributes:
        name: unique; tells what is heard.
        answerer: who or what it is.
        line: 16-bit mono PCM at 8000 Hz, as it comes off the line.
        held_out: whether the detector's defaults were chosen without it.
        ends: second in which the last sound ends; only the line's noise follows.
        is_spoken: whether it is a person's or machine's greeting, and not tones or silence alone.
        beep_ends: second in which a spoken greeting's beep ends, or None when there is none.
    """

    name: str
    answerer: Answerer
    line: bytes
    held_out: bool
    ends: float
    is_spoken: bool = True
    beep_ends: float | None = None


def greetings(calls_per_text: int = CALLS_PER_TEXT) -> Iterator[Greeting]:
    """Make the calls; the first of each text are the same however many there are."""
    texts = tomllib.loads(_TEXTS.read_text(encoding="utf-8"))
    for number in range(calls_per_text):
        for language, text, held_out in _in_halves(texts["people"]):
            yield _person(language, text, number, held_out=held_out)
        for language, text, held_out in _in_halves(texts["machines"]):
            yield _machine(language, text, number, held_out=held_out)
    for index, (name, answerer, sound) in enumerate(_tones()):
        greeting = _on_the_line(name, answerer, sound, _dice(name), held_out=index % 2 == 1)
        yield replace(greeting, is_spoken=False)


def _in_halves(texts: list[tuple[str, str]]) -> Iterator[tuple[str, str, bool]]:
    """Hold out every second text in the order of their lengths, so that both halves are as hard."""
    for index, (language, text) in enumerate(sorted(texts, key=lambda each: len(each[1]))):
        yield language, text, index % 2 == 1


def _dice(name: str) -> np.random.Generator:
    return np.random.default_rng(list(name.encode()))


def _pause(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE))


def _voice(language: str, dice: np.random.Generator, words_per_minute: tuple[int, int]) -> Voice:
    return Voice(
        f"{language}+{dice.choice(_VARIANTS)}",
        words_per_minute=int(dice.integers(*words_per_minute)),
        pitch=int(dice.integers(30, 71)),
        intonation=int(dice.integers(40, 81)),
    )


def _said(text: str, voice: Voice, *, parted_by: str, pause: tuple[float, float], dice: np.random.Generator) -> Samples:
    parts: list[Samples] = []
    for part in text.split(parted_by):
        parts += [speech(part.strip(), voice, RATE), _pause(dice.uniform(*pause))]
    return np.concatenate(parts[:-1])


def _person(language: str, text: str, number: int, *, held_out: bool) -> Greeting:
    """A person says a few words, maybe late, maybe after a breath or a click, and waits."""
    name = f"person {number + 1}: {text}"
    dice = _dice(name)
    said = _said(text, _voice(language, dice, (140, 221)), parted_by="|", pause=(1.2, 2.0), dice=dice)
    before = _pause(dice.uniform(0.1, 0.6) if number % 2 == 0 else dice.uniform(0.3, 1.5))
    sounds = [before, said]
    if number % 2:
        sounds.insert(0, dice.choice([_breath, _click, _handset])(dice))
    return _on_the_line(name, Answerer.HUMAN, np.concatenate(sounds), dice, held_out=held_out)


def _machine(language: str, text: str, number: int, *, held_out: bool) -> Greeting:
    """A recording talks on, maybe over music, and most often beeps at the end."""
    name = f"machine {number + 1}: {text}"
    dice = _dice(name)
    said = _said(text, _voice(language, dice, (120, 181)), parted_by="~", pause=(0.3, 0.7), dice=dice)
    sounds = [_pause(dice.uniform(0.1, 1.2)), said]
    if number % 2 and dice.random() < 1 / 3:
        music = _music(len(said) / RATE + 2.0, dice)
        music[-len(said) :] += said
        sounds = [_pause(dice.uniform(0.1, 0.5)), music]
    beep_ends = None
    if dice.random() < 3 / 4:
        beep = sine(float(dice.choice(_BEEPS_HZ)), dice.uniform(0.2, 0.9), RATE, level_db=dice.uniform(-15, -6))
        sounds += [_pause(dice.uniform(0.3, 1.5)), beep]
        beep_ends = sum(map(len, sounds)) / RATE
    greeting = _on_the_line(name, Answerer.MACHINE, np.concatenate(sounds), dice, held_out=held_out)
    return replace(greeting, beep_ends=beep_ends)


def _breath(dice: np.random.Generator) -> Samples:
    """0.2 to 0.4 s of noise that swells and fades."""
    length = round(dice.uniform(0.2, 0.4) * RATE)
    breath: Samples = dice.normal(0, 0.02, length) * np.hanning(length)
    return breath


def _click(dice: np.random.Generator) -> Samples:
    """Something of 5 to 30 ms that is as loud as speech."""
    length = round(dice.uniform(0.005, 0.03) * RATE)
    click: Samples = dice.normal(0, 0.2, length) * np.exp(-np.arange(length) / (length / 4))
    return click


def _handset(dice: np.random.Generator) -> Samples:
    """Two clicks with a rustle between them, as when a phone is picked up."""
    return np.concatenate([_click(dice), _pause(dice.uniform(0.05, 0.2)), _breath(dice) / 2, _click(dice)])


def _music(seconds: float, dice: np.random.Generator) -> Samples:
    """Chords with a few overtones that fade, twice a second."""
    beats = []
    for _ in range(round(seconds * 2) + 1):
        root = 220 * 2 ** (dice.integers(0, 12) / 12)
        chord = sum(sine(root * step * n, 0.5, RATE, -26 - 6 * n) for step in (1, 1.26, 1.5) for n in (1, 2, 3))
        beats.append(chord * np.exp(-np.linspace(0, 2, RATE // 2)))
    return np.concatenate(beats)[: round(seconds * RATE)]


def _cadence(hz: Sequence[float], on: float, off: float, seconds: float = _LISTENED_SECONDS) -> Samples:
    burst: Samples = sum((sine(each, on, RATE, -16) for each in hz), start=np.zeros(round(on * RATE)))
    cycle = np.concatenate([burst, _pause(off)])
    return np.tile(cycle, int(seconds // (on + off)) + 1)


def _tones() -> Iterator[tuple[str, Answerer, Samples]]:
    """Lines on which nobody speaks."""
    special = np.concatenate([sine(hz, 0.33, RATE, -12) for hz in (950, 1400, 1800)])
    sentence = speech("The number you have dialed is not in service.", Voice("en-us+f2"), RATE)
    machine, nobody = Answerer.MACHINE, Answerer.NOBODY
    yield "silence", nobody, _pause(1)
    yield "silence, noisier", nobody, _pause(1)
    yield "fax calling (CNG)", machine, np.concatenate([_pause(0.4), _cadence([1100], 0.5, 3.0)])
    yield "fax answering (CED)", machine, np.concatenate([_pause(0.2), sine(2100, 3.0, RATE, -12)])
    yield "special information tones", machine, np.concatenate([_pause(0.3), special, sentence])
    yield "special information tones, later", machine, np.concatenate([_pause(1.2), special, sentence])
    yield "mailbox that only beeps", machine, np.concatenate([_pause(0.8), sine(1000, 0.4, RATE, -9)])
    yield "mailbox that only beeps, shortly", machine, np.concatenate([_pause(1.5), sine(1400, 0.2, RATE, -12)])
    yield "ringback, US", nobody, _cadence([440, 480], 2.0, 4.0)
    yield "ringback, DE", nobody, _cadence([425], 1.0, 4.0)
    yield "ringback, GB", nobody, _cadence([400, 450], 0.4, 0.2)
    yield "ringback, FR", nobody, _cadence([440], 1.5, 3.5)
    yield "busy, US", nobody, _cadence([480, 620], 0.5, 0.5)
    yield "busy, DE", nobody, _cadence([425], 0.48, 0.48)
    yield "congestion, US", nobody, _cadence([480, 620], 0.25, 0.25)
    yield "congestion, IT", nobody, _cadence([425], 0.2, 0.2)
    yield "dial tone, US", nobody, _cadence([350, 440], 6.0, 0.0)
    yield "dial tone, DE", nobody, _cadence([425], 6.0, 0.0)


def _on_the_line(
    name: str, answerer: Answerer, sound: Samples, dice: np.random.Generator, *, held_out: bool
) -> Greeting:
    """Send a sound over a line: its band, its loss, its noise, and G.711 mu-law."""
    ends = len(sound) / RATE
    seconds = math.ceil(max(_LISTENED_SECONDS, ends + _QUIET_SECONDS))  # whole ones are quick to transform
    samples = np.concatenate([sound, np.zeros(seconds * RATE - len(sound))])
    spectrum = np.fft.rfft(samples)
    hz = np.fft.rfftfreq(len(samples), 1 / RATE)
    spectrum[(hz < _BAND_HZ[0]) | (hz > _BAND_HZ[1])] = 0
    samples = np.fft.irfft(spectrum, len(samples)) * 10 ** (dice.uniform(-14, 0) / 20)
    samples += dice.normal(0, 10 ** (dice.uniform(-66, -44) / 20), len(samples))
    line = from_mu_law(mu_law(np.clip(samples, -1, 1)))
    return Greeting(name, answerer, (line * 32767).astype("<i2").tobytes(), held_out, ends)
