"""Who answered, told by what was heard and when; time moves by hand."""

from hypothesis import given
from hypothesis import strategies as st

from sipcore.domain.machine_detection import (
    VERDICTS,
    BeepParameters,
    BeepWait,
    Cue,
    Decision,
    DetectionParameters,
    MachineDetector,
    Reason,
    Verdict,
)

PARAMETERS = DetectionParameters(
    initial_silence_ms=2500,
    greeting_ms=1500,
    after_greeting_silence_ms=800,
    total_ms=3800,
    min_word_ms=100,
    between_words_silence_ms=50,
    maximum_words=3,
)
LATE = 60_000


def after(*spoken, parameters=PARAMETERS):
    """A detector that heard speech in these stretches; the last may be without an end."""
    detector = MachineDetector(parameters)
    for begin, *end in spoken:
        detector.speech_started(begin)
        for moment in end:
            detector.speech_stopped(moment)
    return detector


def decided(detector):
    """What it decides when nothing more is heard: exactly at its deadline, and not a moment earlier."""
    deadline = detector.next_deadline()
    assert detector.at(deadline - 1) is None
    decision = detector.at(deadline)
    assert decision.at_ms == deadline
    assert detector.next_deadline() is None
    return decision.verdict, decision.reason, decision.at_ms


def test_a_word_and_silence_is_a_human():
    assert decided(after((300, 800))) == (Verdict.HUMAN, Reason.SILENCE_AFTER_GREETING, 1600)


def test_silence_alone_is_nobody_knows_who():
    assert decided(after()) == (Verdict.UNKNOWN, Reason.INITIAL_SILENCE, 2500)


def test_whoever_talks_on_is_a_machine():
    assert decided(after((400,))) == (Verdict.MACHINE, Reason.LONG_GREETING, 1900)


def test_pauses_between_words_are_no_part_of_the_greeting():
    assert decided(after((400, 1400), (1900,))) == (Verdict.MACHINE, Reason.LONG_GREETING, 2400)


def test_more_words_than_people_say_are_a_machine():
    assert decided(after((0, 200), (400, 600), (800, 1000), (1200,))) == (Verdict.MACHINE, Reason.WORDS, 1300)


def test_a_gap_too_short_to_part_words_parts_none():
    assert decided(after((0, 200), (240, 400), (440, 600), (640, 800)))[0] is Verdict.HUMAN
    detector = after((0, 200), (240, 400), (440, 600), (640, 800), (1200,))
    assert decided(detector) == (Verdict.MACHINE, Reason.LONG_GREETING, 1200 + 1500 - 680)


def test_a_sound_that_belongs_to_the_last_word_allowed_is_not_one_too_many():
    detector = after((0, 200), (400, 600), (800, 1000), (1040,))
    assert decided(detector) == (Verdict.MACHINE, Reason.LONG_GREETING, 1940)


def test_a_click_does_not_make_a_greeting_long():
    assert after((0, 1490), (1600,)).next_deadline() == 1700


def test_a_click_is_no_word():
    assert decided(after((500, 590))) == (Verdict.UNKNOWN, Reason.INITIAL_SILENCE, 2500)


def test_a_click_after_the_greeting_does_not_begin_its_silence_anew():
    assert decided(after((300, 800), (1300, 1380))) == (Verdict.HUMAN, Reason.SILENCE_AFTER_GREETING, 1600)


def test_a_sound_that_may_become_a_word_in_time_is_waited_for():
    assert after((300, 800), (1490,)).next_deadline() == 1490 + 1500 - 500


def test_a_sound_that_cannot_become_a_word_in_time_is_not_waited_for():
    assert after((300, 800), (1510,)).next_deadline() == 1600


def test_a_short_sound_right_after_a_word_belongs_to_it():
    assert decided(after((300, 800), (840, 900))) == (Verdict.HUMAN, Reason.SILENCE_AFTER_GREETING, 1700)


def test_a_beep_is_a_machine():
    detector = after((300, 800))
    assert detector.beep(1200) == Decision(Verdict.MACHINE, Reason.BEEP, 1200)


def test_speech_that_never_settles_is_unknown_at_the_total():
    slow = DetectionParameters(total_ms=3800, greeting_ms=3000, after_greeting_silence_ms=2000, maximum_words=9)
    assert decided(after((1500, 2000), (2500,), parameters=slow)) == (Verdict.UNKNOWN, Reason.TOTAL, 3800)


def test_an_event_after_the_deadline_does_not_undo_what_was_due():
    detector = after((300, 800))
    assert detector.speech_started(1700) == Decision(Verdict.HUMAN, Reason.SILENCE_AFTER_GREETING, 1600)


def test_speech_that_is_reported_late_counts_from_when_it_began():
    detector = MachineDetector(PARAMETERS)
    assert detector.at(2450) is None
    assert detector.speech_started(2390) is None
    assert decided(detector)[1] is Reason.TOTAL


def test_a_decision_stands():
    detector = after((300, 800))
    human = detector.at(1600)
    assert detector.speech_started(1700) == detector.speech_stopped(5000) == detector.beep(6000) == human
    assert detector.at(LATE) == detector.decision == human


def test_a_stop_without_a_start_changes_nothing():
    detector = MachineDetector(PARAMETERS)
    assert detector.speech_stopped(500) is None
    assert detector.next_deadline() == 2500


def test_every_reason_tells_a_verdict():
    assert set(VERDICTS) == set(Reason)


@given(
    stops=st.lists(st.integers(0, 5000), max_size=20).map(sorted),
    late=st.integers(0, 300),
    parameters=st.builds(
        DetectionParameters,
        initial_silence_ms=st.integers(500, 4000),
        greeting_ms=st.integers(500, 4000),
        after_greeting_silence_ms=st.integers(200, 4000),
        total_ms=st.integers(1000, 4000),
        min_word_ms=st.integers(20, 500),
        between_words_silence_ms=st.integers(20, 1000),
        maximum_words=st.integers(1, 20),
    ),
)
def test_whatever_is_heard_there_is_one_decision_by_the_total(stops, late, parameters):
    detector = MachineDetector(parameters)
    decisions = []
    for index, moment in enumerate(stops):
        deadline = detector.next_deadline()
        assert (deadline is None) == (detector.decision is not None)
        assert deadline is None or deadline <= parameters.total_ms
        decisions.append((detector.speech_stopped if index % 2 else detector.speech_started)(moment))
        decisions.append(detector.at(moment + late))
    decisions.append(detector.at(parameters.total_ms))
    final = decisions[-1]
    assert final is not None
    assert final.at_ms <= parameters.total_ms
    assert set(decisions) <= {None, final}
    assert final.verdict is VERDICTS[final.reason]


WAIT = BeepParameters(silence_ms=4000, max_wait_ms=45_000)


def machine():
    detector = after((0,))
    detector.at(1500)
    assert detector.decision.verdict is Verdict.MACHINE
    return detector


def test_the_announcement_begins_when_the_beep_has_ended():
    wait = BeepWait(WAIT, machine(), 1500)
    assert wait.speech_stopped(5000) is None
    assert wait.beep(6200) is Cue.BEEP
    assert wait.next_deadline() is None


def test_pauses_of_the_greeting_are_no_cue():
    wait = BeepWait(WAIT, machine(), 1500)
    wait.speech_stopped(3000)
    assert wait.at(6999) is None
    wait.speech_started(6999)
    wait.speech_stopped(8000)
    assert wait.next_deadline() == 12_000
    assert wait.at(11_999) is None


def test_after_long_silence_it_is_spoken_without_a_beep():
    wait = BeepWait(WAIT, machine(), 1500)
    wait.speech_stopped(3000)
    assert wait.speech_started(7500) is Cue.SILENCE


def test_a_machine_that_talks_on_is_not_waited_for_endlessly():
    wait = BeepWait(WAIT, machine(), 1500)
    assert wait.next_deadline() == 46_500
    assert wait.at(46_499) is None
    assert wait.at(46_500) is Cue.WAITED


def test_the_wait_counts_silence_from_what_the_detector_heard():
    detector = after((0, 200), (400, 600), (800, 1000), (1200, 1700))
    assert detector.decision.reason is Reason.WORDS
    assert BeepWait(WAIT, detector, 1900).next_deadline() == 5700


def test_a_beep_that_told_the_machine_is_the_cue_as_well():
    detector = MachineDetector(PARAMETERS)
    detector.beep(900)
    assert BeepWait(WAIT, detector, 950).at(950) is Cue.BEEP


def test_a_cue_stands():
    wait = BeepWait(WAIT, machine(), 1500)
    wait.beep(3000)
    assert wait.speech_started(3100) is wait.speech_stopped(9000) is wait.at(LATE) is wait.beep(LATE) is Cue.BEEP


def test_decisions_are_made_in_less_than_four_seconds_as_shipped():
    assert DetectionParameters().total_ms < 4000
