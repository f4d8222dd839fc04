#!/usr/bin/env python3
"""How often machine detection is right on `testbed.greetings`: prints the figures of docs/machine-detection.md."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from testbed.answering import EXPECTED, Heard, announce, decide, hear
from testbed.greetings import Answerer, greetings

from sipcore.domain.machine_detection import BeepParameters, Cue, DetectionParameters, Verdict

BEEP_TOLERANCE_SECONDS = 0.06


def main() -> None:
    """Print the figures."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--errors", action="store_true", help="name the greetings that were taken wrongly")
    arguments.add_argument("--tune", action="store_true", help="search the parameters that do best on the tuning half")
    chosen = arguments.parse_args()
    started = time.process_time()
    made = list(greetings())
    made_at = time.process_time()
    heard = [hear(greeting) for greeting in made]
    frames = sum(len(each.told) for each in heard)
    print(f"{len(made)} greetings of {frames / 50:.0f} s in all, made in {made_at - started:.1f} s")
    print(f"listening: {(time.process_time() - made_at) / frames * 1e6:.0f} us of processor time for a frame of 20 ms")
    parameters = DetectionParameters()
    for held_out, half in ((False, "tuning half"), (True, "held-out half")):
        confusion(half, [each for each in heard if each.greeting.held_out is held_out], parameters)
    confusion("all", heard, parameters)
    times(heard, parameters)
    beeps(heard, parameters)
    if chosen.errors:
        errors(heard, parameters)
    if chosen.tune:
        tune([each for each in heard if not each.greeting.held_out])


def confusion(title: str, heard: Sequence[Heard], parameters: DetectionParameters) -> None:
    """Print what each kind of answerer was taken for."""
    counts = Counter((each.greeting.answerer, decide(each, parameters).verdict) for each in heard)
    print(f"\n{title:15}" + "".join(f"{verdict:>10}" for verdict in Verdict) + f"{'right':>10}")
    for answerer in Answerer:
        row = [counts[answerer, verdict] for verdict in Verdict]
        right = counts[answerer, EXPECTED[answerer]] / sum(row)
        print(f"{answerer:15}" + "".join(f"{count:10}" for count in row) + f"{right:10.0%}")


def times(heard: Sequence[Heard], parameters: DetectionParameters) -> None:
    """Print when decisions were there."""
    print(f"\n{'seconds':15}{'median':>10}{'95 %':>10}{'last':>10}")
    for verdict in Verdict:
        decisions = [decide(each, parameters) for each in heard]
        seconds = sorted(each.at_ms / 1000 for each in decisions if each.verdict is verdict)
        late = seconds[min(len(seconds) - 1, len(seconds) * 95 // 100)]
        print(f"{verdict:15}{statistics.median(seconds):10.2f}{late:10.2f}{seconds[-1]:10.2f}")


def beeps(heard: Sequence[Heard], parameters: DetectionParameters) -> None:
    """Print how many beeps of spoken greetings were found, and when announcements would begin."""
    spoken = [each for each in heard if each.greeting.is_spoken]
    right = wrong = 0
    for each in spoken:
        ends = each.greeting.beep_ends
        found = [beep for beep in each.beeps if ends is not None and abs(beep - ends) < BEEP_TOLERANCE_SECONDS]
        right += len(found)
        wrong += len(each.beeps) - len(found)
    there = sum(each.greeting.beep_ends is not None for each in spoken)
    print(
        f"\nbeeps: {right} of {there} found within {BEEP_TOLERANCE_SECONDS * 1000:.0f} ms of their end, {wrong} others"
    )
    machines = [each for each in spoken if decide(each, parameters).verdict is Verdict.MACHINE]
    for has_beep in (True, False):
        cues = Counter(
            cue_of(each, parameters) for each in machines if (each.greeting.beep_ends is not None) is has_beep
        )
        print(f"announcements, {'with' if has_beep else 'without'} a beep: {dict(cues)}")


def cue_of(heard: Heard, parameters: DetectionParameters) -> str:
    """Say why an announcement would begin, and whether into a greeting that is not over."""
    begins = announce(heard, parameters, BeepParameters())
    if begins is None:
        return "not in what was made"
    seconds, cue = begins
    return f"{cue}{' too early' if seconds < heard.greeting.ends and cue is not Cue.BEEP else ''}"


def errors(heard: Sequence[Heard], parameters: DetectionParameters) -> None:
    """Print what was taken wrongly."""
    print()
    for each in heard:
        decision = decide(each, parameters)
        if decision.verdict is not EXPECTED[each.greeting.answerer]:
            half = "held out" if each.greeting.held_out else "tuning"
            print(f"{each.greeting.name} ({half}): {decision.verdict}, {decision.reason}, {decision.at_ms} ms")


def candidates() -> Iterator[DetectionParameters]:
    """Parameters to try."""
    for greeting, silence, word, words in itertools.product(
        range(1500, 2800, 100), range(500, 1100, 100), (80, 100, 140), range(2, 6)
    ):
        yield replace(
            DetectionParameters(),
            greeting_ms=greeting,
            after_greeting_silence_ms=silence,
            min_word_ms=word,
            maximum_words=words,
        )


def tune(heard: Sequence[Heard]) -> None:
    """Print the parameters that do best: on average over the answerers, a person taken for a machine counting twice."""
    totals = Counter(each.greeting.answerer for each in heard)
    best = []
    for parameters in candidates():
        counts = Counter((each.greeting.answerer, decide(each, parameters).verdict) for each in heard)
        score = sum(counts[answerer, EXPECTED[answerer]] / totals[answerer] for answerer in Answerer)
        score -= counts[Answerer.HUMAN, Verdict.MACHINE] / totals[Answerer.HUMAN]
        best.append((score / len(totals), parameters))
    print()
    for score, parameters in sorted(best, key=lambda each: -each[0])[:10]:
        print(f"{score:.3f} {parameters}")


if __name__ == "__main__":
    main()
