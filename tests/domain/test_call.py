"""Stories of a call: what happens on its legs, and what it wants done.

Time is a number of seconds; every story starts at 0.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from call_stories import (
    BUSY_TONE,
    CONGESTION_TONE,
    ONE,
    PLAN1,
    PLAN2,
    RINGBACK,
    TERMS,
    TWO,
    joined,
    new_call,
    releasing,
    ringing_first,
    ringing_second,
    telling,
)

from sipcore.domain.call import TELL_SECONDS, Call
from sipcore.domain.call_terms import CallTerms
from sipcore.domain.call_transitions import CallState
from sipcore.domain.causes import NO_SUCH_EXTENSION
from sipcore.domain.commands import (
    BridgeLegs,
    HangUpLeg,
    PassAudio,
    PlaceLeg,
    PlayAudio,
    ReportFirstStage,
    SendDigit,
    StopPlaying,
)
from sipcore.domain.events import (
    DigitPressed,
    LegAnswered,
    LegEarlyMediaStarted,
    LegEnded,
    LegPlaced,
    LegRang,
    PlaybackFinished,
    WorkerLost,
)
from sipcore.domain.leg_party import RELEASE_SECONDS
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.phone import PhoneParty


class TestTwoPhonesTalk:
    def test_the_first_phone_is_rung_at_the_start(self) -> None:
        call = new_call()
        assert call.state is CallState.ACCEPTED
        assert call.start(0) == [PlaceLeg(ONE, PLAN1)]
        assert call.state is CallState.RINGING_FIRST
        assert call.uids == (ONE, TWO)

    def test_ringing_asks_for_nothing(self) -> None:
        call = new_call()
        call.start(0)
        assert call.feed(LegPlaced(ONE), 0) == []
        assert call.feed(LegRang(ONE, 180), 1) == []
        assert call.feed(LegRang(ONE, 183), 2) == []
        assert call.feed(LegEarlyMediaStarted(ONE), 2) == []
        assert call.feed(DigitPressed(ONE, "1"), 3) == []

    def test_the_second_phone_is_rung_when_the_first_answers(self) -> None:
        call = ringing_first()
        assert call.feed(LegAnswered(ONE), 5) == [PlaceLeg(TWO, PLAN2), RINGBACK, ReportFirstStage(None)]

    def test_their_audio_is_joined_when_the_second_answers(self) -> None:
        call = ringing_second()
        assert call.feed(LegAnswered(TWO), 10) == [StopPlaying(ONE), BridgeLegs(ONE, TWO)]
        assert call.state is CallState.JOINED

    def test_a_phone_that_answers_without_ringing_is_answered_all_the_same(self) -> None:
        call = new_call()
        call.start(0)
        assert ReportFirstStage(None) in call.feed(LegAnswered(ONE), 1)
        assert call.feed(LegAnswered(TWO), 2) == [StopPlaying(ONE), BridgeLegs(ONE, TWO)]

    @pytest.mark.parametrize(("leaver", "other"), [(ONE, TWO), (TWO, ONE)])
    def test_either_side_that_hangs_up_ends_the_other(self, leaver: str, other: str) -> None:
        call = joined()
        assert call.feed(LegEnded(leaver, 200), 60) == [HangUpLeg(other)]
        assert call.state is CallState.RELEASING
        assert call.feed(LegEnded(other, 200, ended_by="local"), 60.1) == []
        assert call.ended
        assert call.next_deadline() is None

    def test_both_that_hang_up_at_once_end_the_call(self) -> None:
        call = joined()
        assert call.feed(LegEnded(ONE, 200), 60) == [HangUpLeg(TWO)]
        assert call.feed(LegEnded(TWO, 200, ended_by="remote"), 60) == []
        assert call.ended

    @pytest.mark.parametrize(("sender", "receiver"), [(ONE, TWO), (TWO, ONE)])
    def test_digits_cross_the_bridge_both_ways(self, sender: str, receiver: str) -> None:
        call = joined()
        assert call.feed(DigitPressed(sender, "5", 160), 20) == [SendDigit(receiver, "5", 160)]
        assert call.feed(DigitPressed(sender, "#"), 21) == [SendDigit(receiver, "#", 0)]

    def test_early_media_replaces_the_ringback_tone(self) -> None:
        call = ringing_second()
        assert call.feed(LegEarlyMediaStarted(TWO), 7) == [StopPlaying(ONE), PassAudio(TWO, ONE)]
        assert call.feed(LegAnswered(TWO), 10) == [StopPlaying(ONE), BridgeLegs(ONE, TWO)]

    def test_a_phone_that_fails_after_early_media_is_told_by_a_tone(self) -> None:
        call = ringing_second()
        call.feed(LegEarlyMediaStarted(TWO), 7)
        assert call.feed(LegEnded(TWO, 486), 8) == [StopPlaying(ONE), BUSY_TONE]

    def test_digits_before_anybody_is_there_to_hear_them_go_nowhere(self) -> None:
        assert ringing_second().feed(DigitPressed(ONE, "1"), 7) == []
        assert ringing_second().feed(DigitPressed(TWO, "1"), 7) == []
        assert telling().feed(DigitPressed(ONE, "1"), 9) == []


class TestTheFirstPhoneFails:
    @pytest.mark.parametrize(
        ("sip_code", "reason"),
        [(486, "Busy"), (603, "Busy"), (404, "Not connected"), (480, "No answer"), (408, "No answer")],
    )
    def test_the_asker_is_told_why_and_the_call_is_over(self, sip_code: int, reason: str) -> None:
        call = ringing_first()
        assert call.feed(LegEnded(ONE, sip_code), 3) == [ReportFirstStage(reason)]
        assert call.ended
        assert call.next_deadline() is None

    @pytest.mark.parametrize(("sip_code", "reason"), [(480, "Not connected"), (408, "Unreachable")])
    def test_silence_without_ringing_is_another_reason(self, sip_code: int, reason: str) -> None:
        call = new_call()
        call.start(0)
        assert call.feed(LegEnded(ONE, sip_code, ended_by="network"), 3) == [ReportFirstStage(reason)]
        assert call.ended

    def test_it_is_cancelled_when_its_time_is_up(self) -> None:
        call = ringing_first()
        assert call.next_deadline() == 20
        assert call.on_deadline(19.9) == []
        assert call.on_deadline(20) == [HangUpLeg(ONE), ReportFirstStage("No answer")]
        assert not call.ended
        assert call.feed(LegEnded(ONE, 487, ended_by="local"), 20.1) == []
        assert call.ended

    def test_a_200_that_crosses_our_cancel_is_ended_by_bye(self) -> None:
        call = ringing_first()
        call.on_deadline(20)
        assert call.feed(LegAnswered(ONE), 20.05) == [HangUpLeg(ONE)]
        assert call.feed(LegEnded(ONE, 200, ended_by="local"), 20.1) == []
        assert call.ended

    def test_a_phone_that_never_answers_our_cancel_is_given_up(self) -> None:
        call = ringing_first()
        call.on_deadline(20)
        assert call.next_deadline() == 20 + RELEASE_SECONDS
        assert call.on_deadline(20 + RELEASE_SECONDS) == []
        assert call.ended
        assert call.feed(LegAnswered(ONE), 70) == [HangUpLeg(ONE)]
        assert call.feed(LegEnded(ONE, 200, ended_by="local"), 71) == []

    def test_a_destination_that_does_not_exist_fails_at_once_and_nothing_is_sent(self) -> None:
        call = Call(TERMS, NowhereParty(ONE, "199", NO_SUCH_EXTENSION), PhoneParty(TWO, PLAN2, 60))
        assert call.start(0) == [ReportFirstStage("Not connected")]
        assert call.ended


class TestTheSecondPhoneFails:
    @pytest.mark.parametrize("sip_code", [486, 600, 603, 607])
    def test_a_busy_phone_is_told_by_the_busy_tone(self, sip_code: int) -> None:
        assert ringing_second().feed(LegEnded(TWO, sip_code), 8) == [StopPlaying(ONE), BUSY_TONE]

    @pytest.mark.parametrize("sip_code", [302, 404, 408, 480, 488, 503])
    def test_any_other_failure_is_told_by_the_congestion_tone(self, sip_code: int) -> None:
        assert ringing_second().feed(LegEnded(TWO, sip_code), 8) == [StopPlaying(ONE), CONGESTION_TONE]

    def test_the_caller_is_released_after_the_tone(self) -> None:
        call = telling()
        assert TELL_SECONDS < 5
        assert call.next_deadline() == 8 + TELL_SECONDS
        assert call.on_deadline(8 + TELL_SECONDS) == [HangUpLeg(ONE)]
        assert call.feed(LegEnded(ONE, 200, ended_by="local"), 12.1) == []
        assert call.ended

    def test_the_reason_is_spoken_before_the_tone_where_there_is_a_recording_of_it(self) -> None:
        call, said = speaking()
        assert said == PlayAudio(ONE, said.playback, ("/prompts/busy.wav",))
        assert call.feed(PlaybackFinished(ONE, said.playback), 7) == [BUSY_TONE]

    def test_the_end_of_the_spoken_reason_may_cross_the_release(self) -> None:
        call, said = speaking()
        call.hang_up("request", 7)
        assert call.feed(PlaybackFinished(ONE, said.playback), 7.1) == []

    def test_the_caller_may_leave_during_the_tone(self) -> None:
        call = telling()
        assert call.feed(LegEnded(ONE, 200), 9) == []
        assert call.ended

    def test_a_phone_that_nobody_answers_is_cancelled_and_told(self) -> None:
        call = ringing_second()
        assert call.next_deadline() == 65
        assert call.on_deadline(65) == [HangUpLeg(TWO), StopPlaying(ONE), CONGESTION_TONE]
        assert call.feed(LegEnded(TWO, 487, ended_by="local"), 65.1) == []
        assert call.on_deadline(65 + TELL_SECONDS) == [HangUpLeg(ONE)]
        assert call.feed(LegEnded(ONE, 200, ended_by="local"), 70) == []
        assert call.ended

    def test_a_200_that_crosses_our_cancel_is_ended_and_not_joined(self) -> None:
        call = ringing_second()
        call.on_deadline(65)
        assert call.feed(LegAnswered(TWO), 65.05) == [HangUpLeg(TWO)]
        assert call.state is CallState.TELLING

    def test_a_destination_that_does_not_exist_is_told_as_soon_as_the_first_answers(self) -> None:
        call = Call(TERMS, PhoneParty(ONE, PLAN1, 20), NowhereParty(TWO, "199", NO_SUCH_EXTENSION))
        call.start(0)
        commands = call.feed(LegAnswered(ONE), 5)
        assert commands == [ReportFirstStage(None), StopPlaying(ONE), CONGESTION_TONE]
        assert call.state is CallState.TELLING
        assert call.on_deadline(5 + TELL_SECONDS) == [HangUpLeg(ONE)]

    def test_the_caller_who_leaves_while_it_rings_ends_it(self) -> None:
        call = ringing_second()
        assert call.feed(LegEnded(ONE, 200), 7) == [HangUpLeg(TWO)]
        assert call.feed(LegAnswered(TWO), 7.1) == [HangUpLeg(TWO)]
        assert call.feed(LegEnded(TWO, 200, ended_by="local"), 7.2) == []
        assert call.ended


def speaking() -> tuple[Call, PlayAudio]:
    """A call that says that party 2 is busy, and what it plays."""
    terms = replace(TERMS, prompts={"busy": "/prompts/busy.wav"})
    call = Call(terms, PhoneParty(ONE, PLAN1, 20), PhoneParty(TWO, PLAN2, 60))
    call.start(0)
    call.feed(LegAnswered(ONE), 5)
    (_, said) = call.feed(LegEnded(TWO, 486), 6)
    assert isinstance(said, PlayAudio)
    return call, said


class TestTheCallIsEndedFromOutside:
    def test_before_it_started_nothing_is_left_to_ring(self) -> None:
        call = new_call()
        assert call.hang_up("request", 0) == [ReportFirstStage("Unreachable")]
        assert call.ended
        assert call.start(0) == []
        assert call.ended

    def test_while_the_first_rings(self) -> None:
        call = ringing_first()
        assert call.hang_up("request", 3) == [ReportFirstStage("Unreachable"), HangUpLeg(ONE)]
        assert call.feed(LegEnded(ONE, 487, ended_by="local"), 3.1) == []
        assert call.ended

    def test_while_the_second_rings(self) -> None:
        assert ringing_second().hang_up("request", 7) == [HangUpLeg(ONE), HangUpLeg(TWO)]

    def test_while_both_talk(self) -> None:
        call = joined()
        assert call.hang_up("shutdown", 20) == [HangUpLeg(ONE), HangUpLeg(TWO)]
        assert call.feed(LegEnded(TWO, 200, ended_by="local"), 20.1) == []
        assert not call.ended
        assert call.feed(LegEnded(ONE, 200, ended_by="local"), 20.2) == []
        assert call.ended

    def test_while_the_tone_tells_why(self) -> None:
        assert telling().hang_up("request", 9) == [HangUpLeg(ONE)]

    def test_while_a_cancelled_second_phone_is_still_on_its_way_out(self) -> None:
        call = ringing_second()
        call.on_deadline(65)
        assert call.hang_up("request", 66) == [HangUpLeg(ONE)]
        assert call.feed(LegEnded(ONE, 200, ended_by="local"), 66.1) == []
        assert not call.ended
        assert call.feed(LegEnded(TWO, 487, ended_by="local"), 66.2) == []
        assert call.ended

    def test_while_it_is_being_released_or_over_nothing_is_left_to_do(self) -> None:
        call = releasing()
        assert call.hang_up("request", 61) == []
        call.feed(LegEnded(ONE, 200, ended_by="local"), 62)
        assert call.hang_up("request", 63) == []

    def test_it_may_last_max_seconds_after_the_first_answer(self) -> None:
        call = joined()
        assert call.next_deadline() == 5 + TERMS.max_seconds
        assert call.on_deadline(3604.9) == []
        assert call.on_deadline(3605) == [HangUpLeg(ONE), HangUpLeg(TWO)]

    def test_max_seconds_count_while_the_second_rings_too(self) -> None:
        terms = CallTerms("c" * 32, "acme", "alice", "101", "102", None, TERMS.accepted_at, "US", max_seconds=30)
        call = Call(terms, PhoneParty(ONE, PLAN1, 20), PhoneParty(TWO, PLAN2, 60))
        call.start(0)
        call.feed(LegAnswered(ONE), 5)
        assert call.next_deadline() == 35
        assert call.on_deadline(35) == [HangUpLeg(ONE), HangUpLeg(TWO)]


class TestTheWorkerDies:
    def test_before_anything_was_placed_nothing_is_lost(self) -> None:
        call = new_call()
        assert call.feed(WorkerLost((ONE, TWO)), 0) == []
        assert call.state is CallState.ACCEPTED

    def test_while_the_first_rings(self) -> None:
        call = ringing_first()
        assert call.feed(WorkerLost((ONE,)), 3) == [ReportFirstStage("Unreachable")]
        assert call.ended

    def test_while_the_second_rings(self) -> None:
        call = ringing_second()
        assert call.feed(WorkerLost((ONE, TWO)), 7) == []
        assert call.ended

    def test_while_both_talk(self) -> None:
        call = joined()
        assert call.feed(WorkerLost((ONE, TWO)), 20) == []
        assert call.ended

    def test_with_one_leg_alone_the_other_is_released(self) -> None:
        assert joined().feed(WorkerLost((TWO,)), 20) == [HangUpLeg(ONE)]
        assert ringing_second().feed(WorkerLost((ONE,)), 7) == [HangUpLeg(TWO)]
        assert ringing_second().feed(WorkerLost((TWO,)), 7) == [StopPlaying(ONE), CONGESTION_TONE]

    def test_while_the_tone_tells_why(self) -> None:
        call = telling()
        assert call.feed(WorkerLost((ONE, TWO)), 9) == []
        assert call.ended

    def test_while_the_call_is_being_released(self) -> None:
        call = releasing()
        assert call.feed(WorkerLost((ONE, TWO)), 61) == []
        assert call.ended

    def test_after_the_call_nothing_changes(self) -> None:
        call = releasing()
        call.feed(LegEnded(ONE, 200, ended_by="local"), 61)
        assert call.feed(WorkerLost((ONE, TWO)), 62) == []
        assert call.ended


class TestWhatComesLate:
    def test_events_of_other_calls_are_not_ours(self) -> None:
        call = joined()
        assert call.feed(LegEnded("somebody-else", 200), 20) == []
        assert call.feed(WorkerLost(("somebody-else",)), 20) == []
        assert call.state is CallState.JOINED

    def test_a_retransmitted_answer_joins_nothing_twice(self) -> None:
        call = joined()
        assert call.feed(LegAnswered(TWO), 10.5) == []
        assert call.feed(LegAnswered(ONE), 10.5) == []

    def test_ringing_and_early_media_of_another_fork_after_the_answer_change_nothing(self) -> None:
        call = joined()
        assert call.feed(LegRang(TWO, 180), 11) == []
        assert call.feed(LegEarlyMediaStarted(TWO), 11) == []
        assert call.state is CallState.JOINED

    @pytest.mark.parametrize(
        "event",
        [
            LegPlaced(ONE),
            LegRang(ONE, 180),
            LegEarlyMediaStarted(ONE),
            DigitPressed(ONE, "1"),
            LegEnded(ONE, 200),
            LegEnded(TWO, 481, ended_by="network"),
        ],
    )
    def test_nothing_late_wakes_a_call_that_is_over(self, event: LegPlaced | LegEnded) -> None:
        call = releasing()
        call.feed(LegEnded(ONE, 200, ended_by="local"), 61)
        assert call.feed(event, 62) == []
        assert call.ended

    def test_digits_during_the_release_go_nowhere(self) -> None:
        call = releasing()
        assert call.feed(DigitPressed(ONE, "1"), 60.5) == []
        assert call.feed(DigitPressed(TWO, "1"), 60.5) == []
