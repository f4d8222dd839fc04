"""Stories of a phone whose answer counts once 1 was pressed."""

from __future__ import annotations

import pytest
from call_disorder import at
from destination_stories import CALLER, PROMPTS, TERMS, news, phone

from sipcore.domain.call import Call
from sipcore.domain.call_transitions import CallState
from sipcore.domain.causes import NORMAL_CLEARING, WITHDRAWN, WORKER_DIED, Disposition, Outcome
from sipcore.domain.commands import BridgeLegs, Command, HangUpLeg, PlaceLeg, PlayAudio, PlayTone, StopPlaying
from sipcore.domain.confirmation import ASK_TIMES, CONFIRM_SECONDS, PAUSE_SECONDS, ConfirmedParty
from sipcore.domain.events import (
    DigitPressed,
    LegAnswered,
    LegEarlyMediaStarted,
    LegEnded,
    LegRang,
    PlaybackFinished,
    WorkerLost,
)
from sipcore.domain.party import News, NewsKind
from sipcore.domain.tones import ToneKind, tone

LEG = "agent-leg"
PRESS_1 = PROMPTS["press_1_to_accept"]


def asking() -> tuple[ConfirmedParty, PlayAudio]:
    """A phone that answered in second 5 and is asked."""
    party = ConfirmedParty(phone(LEG), PROMPTS)
    party.start(0)
    party.feed(LegRang(LEG, 180), 1)
    assert news(party) == [NewsKind.RANG]
    (play,) = party.feed(LegAnswered(LEG), 5)
    assert isinstance(play, PlayAudio)
    return party, play


def test_whoever_waits_hears_ringback_and_no_early_media_of_it() -> None:
    party = ConfirmedParty(phone(LEG), PROMPTS)
    placed, ringback = party.start(0, CALLER)
    assert isinstance(placed, PlaceLeg)
    assert ringback == PlayTone(CALLER, tone(ToneKind.RINGBACK, "US"))
    assert party.feed(LegEarlyMediaStarted(LEG), 1) == []
    assert party.feed(LegRang(LEG, 183), 1) == []
    assert news(party) == [NewsKind.RANG]


class TestItIsAccepted:
    def test_by_the_key_1(self) -> None:
        party, play = asking()
        assert (play.leg, play.files) == (LEG, (PRESS_1,))
        assert news(party) == []
        assert party.feed(DigitPressed(LEG, "1"), 7) == [StopPlaying(LEG)]
        assert news(party) == [NewsKind.ANSWERED]
        assert party.next_deadline() is None

    def test_and_then_it_is_a_phone_like_any_other(self) -> None:
        party, play = asking()
        party.feed(DigitPressed(LEG, "1"), 7)
        party.take_news()
        assert party.join(CALLER, 7) == [StopPlaying(CALLER), BridgeLegs(CALLER, LEG)]
        assert party.feed(PlaybackFinished(LEG, play.playback), 7.1) == [], "an end that crossed the key"
        party.feed(DigitPressed(LEG, "1", 90), 8)
        assert party.take_news() == [News(NewsKind.DIGIT, "1", 90)]
        party.feed(LegEnded(LEG, 200), 60)
        assert news(party) == [NewsKind.LEFT]
        assert party.outcome == Outcome(Disposition.ANSWERED, NORMAL_CLEARING)

    def test_but_by_no_other_key(self) -> None:
        party, _ = asking()
        for key in "023456789*#":
            assert party.feed(DigitPressed(LEG, key), 7) == []
        assert news(party) == []


class TestItIsNotAccepted:
    def test_when_nobody_presses_anything(self) -> None:
        party, play = asking()
        asked = {play.playback}
        for turn in range(1, ASK_TIMES + 1):
            answered_at = 5 + (turn - 1) * (1.5 + PAUSE_SECONDS)
            assert party.feed(PlaybackFinished(LEG, play.playback), answered_at + 1.5) == []
            deadline = party.next_deadline()
            assert deadline is not None
            commands = party.on_deadline(deadline)
            if turn < ASK_TIMES:
                (play,) = commands
                assert isinstance(play, PlayAudio)
                assert (deadline, play.files) == (answered_at + 1.5 + PAUSE_SECONDS, (PRESS_1,))
                asked.add(play.playback)
        assert len(asked) == ASK_TIMES
        assert (deadline, commands) == (5 + CONFIRM_SECONDS, [HangUpLeg(LEG)])
        assert news(party) == [NewsKind.FAILED]
        assert party.outcome == Outcome(Disposition.NO_ANSWER, NORMAL_CLEARING)
        assert not party.released
        party.feed(LegEnded(LEG, 200, ended_by="local"), 20.1)
        assert party.released
        assert news(party) == []

    def test_and_the_end_of_what_somebody_else_hears_is_not_the_end_of_the_question(self) -> None:
        party, _ = asking()
        assert party.feed(PlaybackFinished(LEG, "another's"), 6) == []
        assert party.next_deadline() == 5 + CONFIRM_SECONDS

    def test_when_it_takes_too_long_to_say(self) -> None:
        party, _ = asking()
        assert party.next_deadline() == 5 + CONFIRM_SECONDS
        assert party.on_deadline(5 + CONFIRM_SECONDS) == [HangUpLeg(LEG)]
        assert party.feed(DigitPressed(LEG, "1"), 20.1) == []
        assert news(party) == [NewsKind.FAILED]

    def test_when_whoever_answered_hangs_up(self) -> None:
        party, _ = asking()
        assert party.feed(LegEnded(LEG, 200), 6) == []
        assert news(party) == [NewsKind.FAILED]
        assert party.outcome == Outcome(Disposition.NO_ANSWER, NORMAL_CLEARING)
        assert party.released
        assert party.next_deadline() is None

    def test_when_the_worker_dies(self) -> None:
        party, _ = asking()
        party.feed(WorkerLost((LEG,)), 6)
        assert news(party) == [NewsKind.FAILED]
        assert party.outcome == WORKER_DIED

    def test_when_it_is_withdrawn(self) -> None:
        party, _ = asking()
        assert party.withdraw(6, "why") == [HangUpLeg(LEG, "why")]
        assert party.outcome == WITHDRAWN
        assert party.on_deadline(5 + CONFIRM_SECONDS) == []
        assert party.feed(LegEnded(LEG, 200, ended_by="local"), 6.1) == []
        assert news(party) == []

    @pytest.mark.parametrize(("sip_code", "disposition"), [(486, "busy"), (404, "not_connected")])
    def test_when_it_does_not_even_answer(self, sip_code: int, disposition: str) -> None:
        party = ConfirmedParty(phone(LEG), PROMPTS)
        party.start(0)
        party.feed(LegEnded(LEG, sip_code), 2)
        assert news(party) == [NewsKind.FAILED]
        assert party.outcome is not None
        assert party.outcome.disposition == disposition


class TestInACall:
    def test_the_other_side_hears_it_ring_until_it_is_accepted(self) -> None:
        call = Call(TERMS, phone(CALLER), ConfirmedParty(phone(LEG), PROMPTS))
        call.start(0)
        commands = call.feed(LegAnswered(CALLER), 1)
        assert PlayTone(CALLER, tone(ToneKind.RINGBACK, "US")) in commands
        assert not about(CALLER, call.feed(LegAnswered(LEG), 3))
        assert call.state is CallState.RINGING_SECOND
        assert call.feed(DigitPressed(LEG, "1"), 6) == [StopPlaying(LEG), StopPlaying(CALLER), BridgeLegs(CALLER, LEG)]

    def test_as_dial1_nobody_else_is_rung_before_it_is_accepted(self) -> None:
        call = Call(TERMS, ConfirmedParty(phone(LEG), PROMPTS), phone(CALLER))
        call.start(0)
        assert not any(isinstance(command, PlaceLeg) for command in call.feed(LegAnswered(LEG), 3))
        assert call.state is CallState.RINGING_FIRST
        assert any(isinstance(command, PlaceLeg) for command in call.feed(DigitPressed(LEG, "1"), 6))

    def test_a_call_that_nobody_accepts_was_not_answered(self) -> None:
        call = Call(TERMS, phone(CALLER), ConfirmedParty(phone(LEG), PROMPTS))
        call.start(0)
        call.feed(LegAnswered(CALLER), 1)
        call.feed(LegAnswered(LEG), 3)
        commands = call.on_deadline(3 + CONFIRM_SECONDS)
        assert commands[0] == HangUpLeg(LEG)
        assert any(isinstance(command, PlayAudio) and command.files == (PROMPTS["no_answer"],) for command in commands)
        call.feed(LegEnded(CALLER, 200), 19)
        call.feed(LegEnded(LEG, 200, ended_by="local"), 19)
        assert call.record(at).disposition is Disposition.NO_ANSWER
        assert call.record(at).joined_at is None


def about(leg: str, commands: list[Command]) -> list[Command]:
    return [command for command in commands if getattr(command, "leg", None) == leg]
