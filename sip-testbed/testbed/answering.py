"""Machine detection on greetings, as a call does it: each frame is listened to when it comes, and time moves on."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sipcore.domain.events import BeepHeard, SpeechStarted, SpeechStopped
from sipcore.domain.machine_detection import (
    BeepParameters,
    BeepWait,
    Cue,
    Decision,
    DetectionParameters,
    MachineDetector,
    Verdict,
)
from sipcore.sip.listening import FRAME_BYTES, FRAME_MS, SpeechListener
from testbed.greetings import Answerer, Greeting

EXPECTED = {Answerer.HUMAN: Verdict.HUMAN, Answerer.MACHINE: Verdict.MACHINE, Answerer.NOBODY: Verdict.UNKNOWN}

Event = SpeechStarted | SpeechStopped | BeepHeard


@dataclass(frozen=True, slots=True)
class Heard:
    """What the listener told of a greeting, at the end of which frame.

    Attributes:
        greeting: the greeting.
        told: milliseconds at which frames ended, and the events told then.
    """

    greeting: Greeting
    told: tuple[tuple[int, tuple[Event, ...]], ...]

    @property
    def beeps(self) -> list[float]:
        """Seconds in which beeps ended."""
        return [event.at_ms / 1000 for _, events in self.told for event in events if isinstance(event, BeepHeard)]


def hear(greeting: Greeting, seconds: float | None = None) -> Heard:
    """Listen to a greeting, or to so much of it."""
    listener = SpeechListener(greeting.name)
    frames = len(greeting.line) // FRAME_BYTES
    if seconds is not None:
        frames = min(frames, round(seconds * 1000) // FRAME_MS)
    told = []
    for index in range(frames):
        events = listener.feed(greeting.line[index * FRAME_BYTES : (index + 1) * FRAME_BYTES])
        told.append(((index + 1) * FRAME_MS, tuple(events)))
    return Heard(greeting, tuple(told))


def decide(heard: Heard, parameters: DetectionParameters) -> Decision:
    """Who answered; `at_ms` is when the decision was there, which is after the frame that told it."""
    return _decide(iter(heard.told), parameters)[1]


def announce(heard: Heard, parameters: DetectionParameters, beep: BeepParameters) -> tuple[float, Cue] | None:
    """Second in which an announcement would begin, and why; None when the greeting is over before."""
    frames = iter(heard.told)
    detector, decision = _decide(frames, parameters)
    wait = BeepWait(beep, detector, decision.at_ms)
    for now_ms, events in frames:
        for event in events:
            _tell(wait, event)
        if cue := wait.at(now_ms):
            return now_ms / 1000, cue
    return None


def _decide(
    frames: Iterator[tuple[int, tuple[Event, ...]]], parameters: DetectionParameters
) -> tuple[MachineDetector, Decision]:
    detector = MachineDetector(parameters)
    for now_ms, events in frames:
        for event in events:
            _tell(detector, event)
        if decision := detector.at(now_ms):
            return detector, Decision(decision.verdict, decision.reason, now_ms)
    raise ValueError("the greeting is shorter than the longest decision")


def _tell(machine: MachineDetector | BeepWait, event: Event) -> None:
    match event:
        case SpeechStarted():
            machine.speech_started(event.at_ms)
        case SpeechStopped():
            machine.speech_stopped(event.at_ms)
        case BeepHeard():
            machine.beep(event.at_ms)
