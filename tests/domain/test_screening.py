"""Stories of a phone whose answer counts once it is known not to be a machine's.

The phone answers in second 10; what is heard on it is told in milliseconds from then on.
"""

from __future__ import annotations

import pytest
from call_disorder import at
from destination_stories import CALLER, PROMPTS, TERMS, news, phone

from sipcore.domain.answering import PLAYOUT_SECONDS
from sipcore.domain.call import Call
from sipcore.domain.call_transitions import CallState
from sipcore.domain.causes import NORMAL_CLEARING, WITHDRAWN, Disposition, Outcome
from sipcore.domain.commands import (
    BridgeLegs,
    Command,
    HangUpLeg,
    ListenForSpeech,
    PlaceLeg,
    PlayAudio,
    StopListening,
    StopPlaying,
)
from sipcore.domain.confirmation import ConfirmedParty
from sipcore.domain.events import (
    BeepHeard,
    DigitPressed,
    Event,
    LegAnswered,
    LegEnded,
    LegRang,
    PlaybackFinished,
    SpeechStarted,
    SpeechStopped,
)
from sipcore.domain.machine_detection import DetectionParameters, MachineAction, MachineDetection
from sipcore.domain.party import NewsKind
from sipcore.domain.screening import REPORT_SECONDS, ScreenedParty

LEG = "customer-leg"
ANNOUNCEMENT = "/audio/call-us-back.wav"
ANSWERED_AT = 10.0
NOT_TAKEN = Outcome(Disposition.NO_ANSWER, NORMAL_CLEARING)

PARAMETERS = DetectionParameters(
    initial_silence_ms=2500, greeting_ms=1500, after_greeting_silence_ms=800, total_ms=3800, min_word_ms=100
)
HUMAN = (SpeechStarted(LEG, 400), SpeechStopped(LEG, 900))
"""A short word, and silence."""
MACHINE = (SpeechStarted(LEG, 300),)
"""Somebody who talks on."""


def listening(action: MachineAction = MachineAction.HANG_UP) -> ScreenedParty:
    party = ScreenedParty(phone(LEG), MachineDetection(PARAMETERS, action), ANNOUNCEMENT)
    party.start(0)
    party.feed(LegRang(LEG, 180), 1)
    assert news(party) == [NewsKind.RANG]
    assert party.feed(LegAnswered(LEG), ANSWERED_AT) == [ListenForSpeech(LEG)]
    assert news(party) == []
    return party


def hear(party: ScreenedParty, *events: SpeechStarted | SpeechStopped | BeepHeard) -> list[Command]:
    """Let something be heard, reported as late as it may be."""
    return [
        command
        for event in events
        for command in party.feed(event, ANSWERED_AT + event.at_ms / 1000 + REPORT_SECONDS - 0.001)
    ]


def wait(party: ScreenedParty) -> list[Command]:
    """Let nothing more be heard until the next deadline."""
    deadline = party.next_deadline()
    assert deadline is not None
    assert party.on_deadline(deadline - 0.001) == []
    return party.on_deadline(deadline)


def answered_by(party: ScreenedParty) -> str | None:
    (leg,) = party.records(at)
    return leg.answered_by


class TestAPerson:
    def test_is_joined_after_a_word_and_a_little_silence(self) -> None:
        party = listening()
        assert hear(party, *HUMAN) == []
        assert party.next_deadline() == pytest.approx(ANSWERED_AT + 1.7 + REPORT_SECONDS)
        assert wait(party) == [StopListening(LEG)]
        assert news(party) == [NewsKind.ANSWERED]
        assert answered_by(party) == "human"
        assert party.next_deadline() is None

    def test_is_a_phone_like_any_other_from_then_on(self) -> None:
        party = listening()
        hear(party, *HUMAN)
        wait(party)
        party.take_news()
        late: list[Event] = [SpeechStarted(LEG, 1690), BeepHeard(LEG, 1690), PlaybackFinished(LEG, "another's")]
        assert [party.feed(event, 11.9) for event in late] == [[], [], []]
        assert party.join(CALLER, 12) == [StopPlaying(CALLER), BridgeLegs(CALLER, LEG)]
        party.feed(DigitPressed(LEG, "1"), 13)
        party.feed(LegEnded(LEG, 200), 60)
        assert news(party) == [NewsKind.DIGIT, NewsKind.LEFT]
        assert party.outcome == Outcome(Disposition.ANSWERED, NORMAL_CLEARING)

    def test_who_says_nothing_is_unknown_and_joined_all_the_same(self) -> None:
        party = listening()
        assert wait(party) == [StopListening(LEG)]
        assert news(party) == [NewsKind.ANSWERED]
        assert answered_by(party) == "unknown"

    def test_is_decided_on_within_four_seconds_whatever_is_heard(self) -> None:
        party = ScreenedParty(phone(LEG), MachineDetection())
        party.start(0)
        party.feed(LegAnswered(LEG), ANSWERED_AT)
        heard = 0
        while news(party) == []:
            heard += 300
            hear(party, SpeechStarted(LEG, heard), SpeechStopped(LEG, heard + 60))
            deadline = party.next_deadline()
            assert deadline is None or deadline < ANSWERED_AT + 4
        assert answered_by(party) is not None

    def test_whose_word_ended_just_in_time_is_not_taken_for_a_machine_by_the_clock(self) -> None:
        party = listening()
        hear(party, SpeechStarted(LEG, 300))
        assert party.on_deadline(ANSWERED_AT + 1.81) == []
        assert hear(party, SpeechStopped(LEG, 1790)) == []
        wait(party)
        assert answered_by(party) == "human"


class TestAMachine:
    def test_is_hung_up_on(self) -> None:
        party = listening()
        hear(party, *MACHINE)
        assert wait(party) == [StopListening(LEG), HangUpLeg(LEG)]
        assert news(party) == [NewsKind.FAILED]
        assert party.outcome == NOT_TAKEN
        assert answered_by(party) == "machine"
        assert not party.released
        party.feed(LegEnded(LEG, 200, ended_by="local"), 13)
        assert party.released

    def test_is_joined_where_that_is_wanted(self) -> None:
        party = listening(MachineAction.CONTINUE)
        hear(party, *MACHINE)
        assert wait(party) == [StopListening(LEG)]
        assert news(party) == [NewsKind.ANSWERED]
        assert answered_by(party) == "machine"

    def test_is_known_by_its_beep(self) -> None:
        party = listening()
        assert hear(party, BeepHeard(LEG, 700)) == [StopListening(LEG), HangUpLeg(LEG)]
        assert answered_by(party) == "machine"


class TestAMachineThatIsToldSomething:
    def test_hears_it_after_its_beep(self) -> None:
        party = listening(MachineAction.ANNOUNCE)
        hear(party, *MACHINE)
        assert wait(party) == [], "it is a machine, and has not beeped yet"
        assert answered_by(party) == "machine"
        hear(party, SpeechStopped(LEG, 6000))
        (stop, play) = hear(party, BeepHeard(LEG, 7000))
        assert stop == StopListening(LEG)
        assert isinstance(play, PlayAudio)
        assert (play.leg, play.files) == (LEG, (ANNOUNCEMENT,))
        assert news(party) == []
        assert party.feed(PlaybackFinished(LEG, play.playback), 25) == []
        assert party.next_deadline() == 25 + PLAYOUT_SECONDS
        assert wait(party) == [HangUpLeg(LEG)]
        assert news(party) == [NewsKind.FAILED]
        assert party.outcome == NOT_TAKEN

    def test_is_left_when_that_takes_too_long(self) -> None:
        party = listening(MachineAction.ANNOUNCE)
        hear(party, BeepHeard(LEG, 700))
        assert wait(party) == [HangUpLeg(LEG)]
        assert news(party) == [NewsKind.FAILED]

    def test_hears_it_at_once_when_the_beep_was_what_told(self) -> None:
        party = listening(MachineAction.ANNOUNCE)
        (_, play) = hear(party, BeepHeard(LEG, 700))
        assert isinstance(play, PlayAudio)

    def test_hears_it_when_it_is_silent_for_long(self) -> None:
        party = listening(MachineAction.ANNOUNCE)
        hear(party, *MACHINE)
        wait(party)
        hear(party, SpeechStopped(LEG, 6000))
        assert party.next_deadline() == pytest.approx(ANSWERED_AT + 10 + REPORT_SECONDS)
        (_, play) = wait(party)
        assert isinstance(play, PlayAudio)

    def test_and_what_is_heard_meanwhile_changes_nothing(self) -> None:
        party = listening(MachineAction.ANNOUNCE)
        (_, play) = hear(party, BeepHeard(LEG, 700))
        assert hear(party, BeepHeard(LEG, 900), SpeechStarted(LEG, 950)) == []
        assert party.feed(PlaybackFinished(LEG, "another's"), 12) == []
        assert party.feed(PlaybackFinished(LEG, play.playback), 25) == []
        assert party.next_deadline() == 25 + PLAYOUT_SECONDS
        assert wait(party) == [HangUpLeg(LEG)]


class TestItEndsBefore:
    def test_the_decision(self) -> None:
        party = listening()
        party.feed(LegEnded(LEG, 200), 10.5)
        assert news(party) == [NewsKind.FAILED]
        assert party.outcome == NOT_TAKEN
        assert answered_by(party) is None
        assert party.next_deadline() is None

    def test_the_decision_as_nobody_wants_it_any_more(self) -> None:
        party = listening()
        assert party.withdraw(10.5) == [HangUpLeg(LEG)]
        assert party.outcome == WITHDRAWN
        assert hear(party, *MACHINE) == []

    def test_what_it_is_told_is_over(self) -> None:
        party = listening(MachineAction.ANNOUNCE)
        hear(party, BeepHeard(LEG, 700))
        party.feed(LegEnded(LEG, 200), 12)
        assert news(party) == [NewsKind.FAILED]


class TestInACall:
    def test_the_other_side_hears_it_ring_until_it_is_decided(self) -> None:
        call = ringing(MachineAction.HANG_UP)
        assert call.feed(LegAnswered(LEG), ANSWERED_AT) == [ListenForSpeech(LEG)]
        assert call.state is CallState.RINGING_SECOND
        for event in HUMAN:
            call.feed(event, 11.1)
        deadline = call.next_deadline()
        assert deadline is not None
        assert call.on_deadline(deadline) == [StopListening(LEG), StopPlaying(CALLER), BridgeLegs(CALLER, LEG)]

    def test_as_dial1_a_machine_fails_the_call(self) -> None:
        call = Call(TERMS, ScreenedParty(phone(LEG), MachineDetection()), phone(CALLER))
        call.start(0)
        call.feed(LegAnswered(LEG), ANSWERED_AT)
        commands = call.feed(BeepHeard(LEG, 700), 11)
        assert HangUpLeg(LEG) in commands
        assert not any(isinstance(command, PlaceLeg) for command in commands)
        call.feed(LegEnded(LEG, 200, ended_by="local"), 11.1)
        record = call.record(at)
        assert record.disposition is Disposition.NO_ANSWER
        assert record.legs[0].answered_by == "machine"

    def test_the_caller_hears_that_nobody_answered(self) -> None:
        call = ringing(MachineAction.HANG_UP)
        call.feed(LegAnswered(LEG), ANSWERED_AT)
        commands = call.feed(BeepHeard(LEG, 700), 11)
        assert any(isinstance(command, PlayAudio) and command.files == (PROMPTS["no_answer"],) for command in commands)

    def test_a_person_may_be_asked_to_confirm_after_that(self) -> None:
        party = ConfirmedParty(ScreenedParty(phone(LEG), MachineDetection()), PROMPTS)
        party.start(0)
        party.feed(LegAnswered(LEG), ANSWERED_AT)
        for event in HUMAN:
            party.feed(event, 11.1)
        deadline = party.next_deadline()
        assert deadline is not None
        (stop, ask) = party.on_deadline(deadline)
        assert stop == StopListening(LEG)
        assert isinstance(ask, PlayAudio)
        assert news(party) == []
        party.feed(DigitPressed(LEG, "1"), 14)
        assert news(party) == [NewsKind.ANSWERED]


def ringing(action: MachineAction) -> Call:
    """A call whose dial2 is screened and rings."""
    call = Call(TERMS, phone(CALLER), ScreenedParty(phone(LEG), MachineDetection(PARAMETERS, action), ANNOUNCEMENT))
    call.start(0)
    call.feed(LegAnswered(CALLER), 1)
    call.feed(LegRang(LEG, 180), 2)
    return call
