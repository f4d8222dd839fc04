"""Stories of a call whose parties change: leg 2 is transferred, a third party comes and goes."""

from __future__ import annotations

import pytest
from call_disorder import at
from call_stories import BUSY_TONE, ONE, PLAN1, PLAN2, RINGBACK, TERMS, TWO, joined, new_call, ringing_second, telling
from test_apps import AROUND, app

from sipcore.domain.apps import AppParty, ConferenceParty, EchoParty, VoicemailParty
from sipcore.domain.call import Call
from sipcore.domain.call_transitions import CallState
from sipcore.domain.causes import NO_SUCH_EXTENSION, Disposition
from sipcore.domain.commands import (
    BridgeLegs,
    HangUpLeg,
    JoinRoom,
    LeaveRoom,
    PlaceLeg,
    SendDigit,
    StopPlaying,
    StopRecording,
)
from sipcore.domain.errors import CallStateError
from sipcore.domain.events import DigitPressed, JoinFailed, LegAnswered, LegEnded, LegRang, PlaybackFinished, WorkerLost
from sipcore.domain.hunt import HuntParty
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.phone import PhoneParty
from sipcore.domain.role import Role

THREE, FOUR = "leg-3", "leg-4"
ROOM = f"call {TERMS.id}"


def phone(leg: str = THREE) -> PhoneParty:
    return PhoneParty(leg, PLAN2, 60)


def transferred() -> Call:
    """Somebody else is rung in place of party 2 since second 20."""
    call = joined()
    call.transfer(phone(), "", 20)
    return call


def three() -> Call:
    """A third party was rung in second 20 and answered in second 25."""
    call = joined()
    call.join_third(phone(), "", 20)
    call.feed(LegAnswered(THREE), 25)
    return call


def with_app(party: AppParty) -> Call:
    """Party 1 is joined with something built in."""
    call = Call(TERMS, PhoneParty(ONE, PLAN1, 20), party)
    call.start(0)
    call.feed(LegAnswered(ONE), 5)
    return call


class TestTransfer:
    def test_leg_1_hears_ringback_while_leg_2_is_released_and_the_other_is_rung(self) -> None:
        assert joined().transfer(phone(), "", 20) == [
            StopPlaying(ONE),
            HangUpLeg(TWO),
            PlaceLeg(THREE, PLAN2),
            RINGBACK,
        ]

    def test_who_answers_is_joined_and_sent_what_was_wanted(self) -> None:
        call = joined()
        call.transfer(phone(), "5", 20)
        call.feed(LegRang(THREE, 180), 21)
        assert call.feed(LegAnswered(THREE), 25) == [StopPlaying(ONE), BridgeLegs(ONE, THREE), SendDigit(THREE, "5")]
        assert call.state is CallState.JOINED

    def test_the_record_tells_of_both_legs_and_when_the_call_was_joined_first(self) -> None:
        call = transferred()
        call.feed(LegAnswered(THREE), 25)
        call.feed(LegEnded(TWO, 200), 25)
        call.feed(LegEnded(THREE, 200), 60)
        call.feed(LegEnded(ONE, 200), 60)
        record = call.record(at)
        assert [(leg.uid, leg.party, leg.ended_by) for leg in record.legs] == [
            (ONE, "dial1", "local"), (TWO, "dial2", "local"), (THREE, "dial2", "remote"),
        ]  # fmt: skip
        assert (record.joined_at, record.disposition, record.ended_by) == (at(10), Disposition.ANSWERED, "dial2")

    def test_leg_1_is_told_why_nobody_answered(self) -> None:
        call = transferred()
        assert call.feed(LegEnded(THREE, 486), 22) == [StopPlaying(ONE), BUSY_TONE]
        assert call.state is CallState.TELLING
        call.feed(LegEnded(ONE, 200), 23)
        call.feed(LegEnded(TWO, 200), 23)
        record = call.record(at)
        assert (record.disposition, record.ended_by) == (Disposition.ANSWERED, "dial2")
        assert record.legs[2].disposition is Disposition.BUSY

    def test_a_number_that_is_nobodys_fails_at_once(self) -> None:
        call = joined()
        call.transfer(NowhereParty(THREE, "199", NO_SUCH_EXTENSION), "", 20)
        assert call.state is CallState.TELLING

    def test_the_end_of_the_old_leg_ends_nothing_else(self) -> None:
        call = transferred()
        assert call.feed(LegEnded(TWO, 200), 20.1) == []
        assert call.state is CallState.RINGING_SECOND

    def test_leg_1_that_hangs_up_ends_all(self) -> None:
        assert transferred().feed(LegEnded(ONE, 200), 22) == [HangUpLeg(THREE)]

    def test_it_does_not_make_the_call_longer(self) -> None:
        call = transferred()
        call.feed(LegEnded(TWO, 200), 21)
        call.feed(LegAnswered(THREE), 25)
        assert call.next_deadline() == 5 + TERMS.max_seconds

    def test_it_can_be_done_again(self) -> None:
        call = transferred()
        call.feed(LegAnswered(THREE), 25)
        assert HangUpLeg(THREE) in call.transfer(phone(FOUR), "", 30)
        assert call.feed(LegAnswered(FOUR), 35)[-1] == BridgeLegs(ONE, FOUR)

    @pytest.mark.parametrize("call", [new_call(), ringing_second(), telling(), transferred(), three()])
    def test_it_takes_two_that_are_joined_and_nobody_else(self, call: Call) -> None:
        with pytest.raises(CallStateError):
            call.transfer(phone(FOUR), "", 40)

    def test_what_party_2_did_to_leg_1_ends_with_it(self) -> None:
        echo = with_app(EchoParty(TWO, app("echo"), AROUND))
        assert echo.transfer(phone(), "", 20)[0] == StopPlaying(ONE)
        room = with_app(ConferenceParty(TWO, app("conference"), AROUND))
        room.feed(PlaybackFinished(ONE, f"{TWO} 1"), 6)
        assert room.transfer(phone(), "", 20)[0] == LeaveRoom(ONE)
        box = with_app(VoicemailParty(TWO, app("voicemail"), AROUND))
        box.feed(PlaybackFinished(ONE, f"{TWO} 1"), 6)
        assert isinstance(box.transfer(phone(), "", 20)[0], StopRecording)


class TestAThirdParty:
    def test_is_rung_while_the_two_talk_on(self) -> None:
        call = joined()
        assert call.join_third(phone(), "", 20) == [PlaceLeg(THREE, PLAN2)]
        assert call.feed(LegRang(THREE, 180), 21) == []
        assert call.feed(DigitPressed(ONE, "1"), 22) == [SendDigit(TWO, "1")]

    def test_hears_both_and_is_heard_by_both_when_it_answers(self) -> None:
        call = joined()
        call.join_third(phone(), "9", 20)
        assert call.feed(LegAnswered(THREE), 25) == [
            JoinRoom(ONE, ROOM), JoinRoom(TWO, ROOM), JoinRoom(THREE, ROOM), SendDigit(THREE, "9"),
        ]  # fmt: skip

    def test_that_does_not_answer_changes_nothing(self) -> None:
        call = joined()
        call.join_third(phone(), "", 20)
        assert call.feed(LegEnded(THREE, 486), 22) == []
        assert call.state is CallState.JOINED
        call.join_third(phone(FOUR), "", 30)

    def test_that_leaves_does_not_end_the_call(self) -> None:
        call = three()
        assert call.feed(LegEnded(THREE, 200), 40) == []
        assert call.feed(LegEnded(ONE, 200), 50) == [HangUpLeg(TWO)]

    @pytest.mark.parametrize(("leaves", "stays", "place"), [(ONE, TWO, "dial1"), (TWO, ONE, "dial2")])
    def test_goes_on_talking_with_whoever_stays(self, leaves: str, stays: str, place: str) -> None:
        call = three()
        assert call.feed(LegEnded(leaves, 200), 40) == []
        assert call.feed(DigitPressed(THREE, "1"), 41) == [SendDigit(stays, "1")]
        assert call.feed(LegEnded(THREE, 200), 50) == [HangUpLeg(stays)]
        call.feed(LegEnded(stays, 200), 50)
        record = call.record(at)
        assert (record.ended_by, {leg.uid: leg.party for leg in record.legs}[leaves]) == ("third", place)
        assert record.legs[-1].party == "third"

    def test_whose_worker_dies_together_with_a_legs_leaves_the_call_to_nobody(self) -> None:
        assert three().feed(WorkerLost((TWO, THREE)), 40) == [HangUpLeg(ONE)]

    def test_is_left_alone_when_the_worker_of_both_legs_dies_whatever_they_are(self) -> None:
        group = HuntParty(TWO, "600", [phone(TWO)], at_once=True, total_seconds=20, country="US")
        call = Call(TERMS, PhoneParty(ONE, PLAN1, 20), group)
        call.start(0)
        call.feed(LegAnswered(ONE), 5)
        call.feed(LegAnswered(TWO), 10)
        call.join_third(phone(), "", 20)
        call.feed(LegAnswered(THREE), 25)
        assert call.feed(WorkerLost((ONE, TWO)), 40) == [HangUpLeg(THREE)]

    def test_that_rings_is_let_go_when_one_of_the_two_leaves(self) -> None:
        call = joined()
        call.join_third(phone(), "", 20)
        assert set(call.feed(LegEnded(TWO, 200), 22)) == {HangUpLeg(ONE), HangUpLeg(THREE)}

    def test_hears_keys_as_the_others_do(self) -> None:
        assert three().feed(DigitPressed(TWO, "7"), 30) == [SendDigit(ONE, "7"), SendDigit(THREE, "7")]
        assert three().send_digits(Role.THIRD, "8", 30) == [SendDigit(THREE, "8")]

    def test_that_cannot_be_joined_leaves_alone(self) -> None:
        call = three()
        assert call.feed(JoinFailed(THREE), 26) == [HangUpLeg(THREE)]
        assert call.state is CallState.JOINED
        assert call.feed(JoinFailed(THREE), 26) == []
        assert set(call.feed(JoinFailed(ONE), 27)) == {HangUpLeg(ONE), HangUpLeg(TWO)}

    def test_in_whose_place_a_menu_answers_is_none(self) -> None:
        call = joined()
        echo = EchoParty("menu", app("echo"), AROUND)
        group = HuntParty("menu", "600", [echo], at_once=True, total_seconds=20, country="US")
        assert call.join_third(group, "", 20) == []
        assert call.state is CallState.JOINED
        call.join_third(phone(), "", 21)

    @pytest.mark.parametrize("call", [new_call(), ringing_second(), telling(), transferred(), three()])
    def test_takes_two_that_are_joined_and_nobody_else(self, call: Call) -> None:
        with pytest.raises(CallStateError):
            call.join_third(phone(FOUR), "", 40)

    def test_takes_two_phones(self) -> None:
        with pytest.raises(CallStateError):
            with_app(EchoParty(TWO, app("echo"), AROUND)).join_third(phone(), "", 20)

    def test_that_was_there_leaves_a_room_that_leg_1_leaves_with_a_transfer(self) -> None:
        call = three()
        call.feed(LegEnded(THREE, 200), 40)
        assert call.transfer(phone(FOUR), "", 50)[:2] == [LeaveRoom(ONE), StopPlaying(ONE)]
        assert call.feed(LegAnswered(FOUR), 55)[-1] == BridgeLegs(ONE, FOUR)
