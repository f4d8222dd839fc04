"""Announcements to spoken mailbox greetings: never before the beep, and not for ever without one."""

from collections import Counter

import pytest
from testbed.answering import announce, decide, hear
from testbed.greetings import greetings

from sipcore.domain.machine_detection import BeepParameters, Cue, DetectionParameters, Verdict


@pytest.fixture(scope="module")
def spoken():
    return [hear(greeting) for greeting in greetings() if greeting.is_spoken]


def test_nearly_every_beep_is_heard_when_it_ends_and_next_to_nothing_else_is_taken_for_one(spoken):
    found, others, there = 0, 0, 0
    for heard in spoken:
        ends = heard.greeting.beep_ends
        right = [beep for beep in heard.beeps if ends is not None and abs(beep - ends) < 0.06]
        found, others, there = found + len(right), others + len(heard.beeps) - len(right), there + (ends is not None)
    assert there > 100
    assert found >= there - 4
    assert others <= 3


def test_announcements_begin_right_after_the_beep_or_in_the_silence_after_the_greeting(spoken):
    right, wrong = Counter(), []
    for heard in spoken:
        if decide(heard, DetectionParameters()).verdict is not Verdict.MACHINE:
            continue
        begins, cue = announce(heard, DetectionParameters(), BeepParameters())
        beep_ends = heard.greeting.beep_ends
        expected = (Cue.SILENCE, heard.greeting.ends + 4.1) if beep_ends is None else (Cue.BEEP, beep_ends)
        if (cue, begins) == (expected[0], pytest.approx(expected[1], abs=0.3)):
            right[cue] += 1
        else:
            wrong.append((heard.greeting.name, begins, cue))
    assert right[Cue.BEEP] > 100
    assert right[Cue.SILENCE] > 25
    assert len(wrong) <= 3, wrong
