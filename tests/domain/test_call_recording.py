"""The recording of a call: when it begins, what pauses and ends it, and which keys the other party hears.

Time is a number of seconds; every story starts at 0.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from call_disorder import Disorder, at
from call_stories import ONE, TERMS, TWO
from destination_stories import Targets, plan
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from sipcore.domain.call import Call
from sipcore.domain.call_recording import CallRecording, RecordingAction
from sipcore.domain.commands import (
    BridgeLegs,
    CloseRecording,
    Command,
    JoinRoom,
    PlayAudio,
    SendDigit,
    StartRecording,
    StopPlaying,
    StopRecording,
)
from sipcore.domain.directory import Ivr, RecordingRules
from sipcore.domain.errors import CallStateError, NotRecordedError
from sipcore.domain.events import DigitPressed, LegAnswered, LegEnded, PlaybackFinished
from sipcore.domain.feature_codes import NEXT_KEY_SECONDS
from sipcore.domain.hunt import HuntParty
from sipcore.domain.ivr import IvrParty
from sipcore.domain.party import Party
from sipcore.domain.phone import PhoneParty
from sipcore.domain.recording import Channel
from sipcore.domain.recording_policy import Owner
from sipcore.domain.role import Role

NOTICE = ("/prompts/recorded_notice.wav",)
RECORDING = "id-1"
LEFT = StartRecording(ONE, "id-2", RECORDING, Channel.LEFT, "101")
RIGHT = StartRecording(TWO, "id-3", RECORDING, Channel.RIGHT, "101")
JOIN = BridgeLegs(ONE, TWO)


def owner_101(line1: str, line2: str) -> Owner | None:
    """The agent is 101, on whichever side; calls without that one are not recorded."""
    if line1 == "101":
        return Owner("101", Role.FIRST)
    return Owner("101", Role.SECOND) if line2 == "101" else None


def phone(leg: str, line: str) -> PhoneParty:
    return PhoneParty(leg, replace(plan(line), line=line), 20)


def recorder(rules: RecordingRules) -> CallRecording:
    ids = itertools.count(1)
    return CallRecording(owner_101, rules, NOTICE, lambda: f"id-{next(ids)}")


def call_of(line1: str = "101", line2: str = "+12025550123", second: Party | None = None, **rules: object) -> Call:
    recording = recorder(RecordingRules(**rules))  # type: ignore[arg-type]
    return Call(TERMS, phone(ONE, line1), second or phone(TWO, line2), recording)


def answered(call: Call, leg: str = TWO) -> list[Command]:
    """Bring a call to the answer of its second leg in second 10; return what follows from that."""
    call.start(0)
    call.feed(LegAnswered(ONE), 5)
    return call.feed(LegAnswered(leg), 10)


def joined(**rules: object) -> Call:
    call = call_of(**rules)  # type: ignore[arg-type]
    answered(call)
    return call


def press(call: Call, keys: str, now: float, leg: str = ONE) -> list[Command]:
    return [command for key in keys for command in call.feed(DigitPressed(leg, key, 100), now)]


def heard(keys: str, leg: str = TWO) -> list[SendDigit]:
    return [SendDigit(leg, key, 100) for key in keys]


def test_both_legs_are_recorded_from_their_join_on_leg_1_to_the_left() -> None:
    call = call_of()
    assert answered(call) == [StopPlaying(ONE), JOIN, LEFT, RIGHT]
    assert call.record(at).recording_id == RECORDING


def test_a_call_that_nobody_owns_is_not_recorded() -> None:
    call = call_of("102")
    assert answered(call) == [StopPlaying(ONE), JOIN]
    assert call.record(at).recording_id is None
    with pytest.raises(NotRecordedError):
        call.change_recording(RecordingAction.PAUSE)


def test_nothing_is_recorded_before_the_join() -> None:
    call = call_of()
    commands = [*call.start(0), *call.feed(LegAnswered(ONE), 5)]
    assert not any(isinstance(command, StartRecording) for command in commands)
    assert call.record(at).recording_id is None


def test_a_setting_records_leg_1_from_its_answer_on() -> None:
    call = call_of(start="answered")
    call.start(0)
    assert LEFT in call.feed(LegAnswered(ONE), 5)
    assert call.feed(LegAnswered(TWO), 10) == [StopPlaying(ONE), JOIN, RIGHT]


def test_from_the_answer_on_a_caller_outside_is_recorded_for_the_phone_that_rings() -> None:
    call = call_of("+12025550123", "101", start="answered")
    call.start(0)
    assert LEFT in call.feed(LegAnswered(ONE), 5)


def group(*lines: str) -> HuntParty:
    members: list[Party] = [phone(f"member-{line}", line) for line in lines]
    return HuntParty("group", "600", members, at_once=True, total_seconds=60, country="US")


def test_whoever_answers_in_a_group_is_the_owner() -> None:
    right = StartRecording("member-101", "id-3", RECORDING, Channel.RIGHT, "101")
    assert right in answered(call_of("+12025550123", second=group("102", "101")), "member-101")
    call = call_of("+12025550123", second=group("102", "101"))
    assert not any(isinstance(command, StartRecording) for command in answered(call, "member-102"))


def test_with_a_group_that_may_be_anybodys_recording_waits_for_the_join() -> None:
    call = call_of("+12025550123", second=group("101", "102"), start="answered")
    call.start(0)
    assert not any(isinstance(command, StartRecording) for command in call.feed(LegAnswered(ONE), 5))
    assert LEFT in call.feed(LegAnswered("member-101"), 10)


def test_a_menu_is_not_recorded_and_whom_it_leads_to_is() -> None:
    menu = Ivr("900", "/menu.wav", {"1": "102"})
    call = call_of(second=IvrParty("menu", menu, Targets().way, {}, ()))
    call.start(0)
    commands = call.feed(LegAnswered(ONE), 5)
    commands += press(call, "1", 6)
    assert not any(isinstance(command, StartRecording) for command in commands)
    started = [command for command in call.feed(LegAnswered("target-1"), 9) if isinstance(command, StartRecording)]
    assert started == [LEFT, replace(RIGHT, leg="target-1")]


def test_a_notice_is_heard_by_both_before_they_are_joined_and_recorded() -> None:
    call = call_of(notice=True)
    told = [PlayAudio(ONE, f"notice {ONE}", NOTICE), PlayAudio(TWO, f"notice {TWO}", NOTICE)]
    assert answered(call) in ([StopPlaying(ONE), *told], [StopPlaying(ONE), *reversed(told)])
    with pytest.raises(NotRecordedError):
        call.change_recording(RecordingAction.STOP)
    assert call.feed(PlaybackFinished(TWO, f"notice {TWO}"), 12) == []
    assert call.feed(PlaybackFinished(ONE, f"notice {ONE}"), 12) == [JOIN, LEFT, RIGHT]


def test_whoever_takes_anothers_place_during_the_notice_hears_it_too() -> None:
    recording = recorder(RecordingRules(notice=True))
    parties: dict[Role, Party] = {Role.FIRST: phone(ONE, "101"), Role.SECOND: group("102", "103")}
    for party in parties.values():
        recording.watch(party.start(0), parties)
    recording.watch([BridgeLegs(ONE, "member-102")], parties)
    anew = recording.watch([BridgeLegs(ONE, "member-103")], parties)
    assert {command.leg for command in anew if isinstance(command, PlayAudio)} == {ONE, "member-103"}
    assert recording.feed(PlaybackFinished("member-103", "notice member-103")) == []
    started = recording.feed(PlaybackFinished(ONE, f"notice {ONE}"))
    assert started == [BridgeLegs(ONE, "member-103"), LEFT, replace(RIGHT, leg="member-103")]


def test_with_a_notice_nothing_is_recorded_from_the_answer_on() -> None:
    call = call_of(notice=True, start="answered")
    call.start(0)
    assert not any(isinstance(command, StartRecording) for command in call.feed(LegAnswered(ONE), 5))


def test_a_call_that_ends_during_the_notice_is_not_joined_after_it() -> None:
    call = joined(notice=True)
    call.feed(LegEnded(TWO, 200), 11)
    assert call.feed(PlaybackFinished(ONE, f"notice {ONE}"), 12) == []
    assert call.feed(PlaybackFinished(TWO, f"notice {TWO}"), 12) == []


def test_a_pause_ends_what_is_recorded_and_going_on_begins_anew() -> None:
    call = joined()
    assert call.change_recording(RecordingAction.PAUSE) == [StopRecording(ONE, "id-2"), StopRecording(TWO, "id-3")]
    assert call.change_recording(RecordingAction.PAUSE) == []
    assert call.change_recording(RecordingAction.RESUME) == [
        replace(LEFT, recording="id-4"),
        replace(RIGHT, recording="id-5"),
    ]
    assert call.change_recording(RecordingAction.RESUME) == []


@pytest.mark.parametrize("paused", [False, True])
def test_a_stop_is_final(*, paused: bool) -> None:
    call = joined()
    stopped: list[Command] = [StopRecording(ONE, "id-2"), StopRecording(TWO, "id-3")]
    if paused:
        call.change_recording(RecordingAction.PAUSE)
        stopped = []
    assert call.change_recording(RecordingAction.STOP) == [*stopped, CloseRecording(RECORDING)]
    assert call.change_recording(RecordingAction.STOP) == []
    for action in (RecordingAction.PAUSE, RecordingAction.RESUME):
        with pytest.raises(NotRecordedError):
            call.change_recording(action)
    assert call.record(at).recording_id == RECORDING


def test_nothing_is_done_to_the_recording_of_a_call_that_is_over() -> None:
    call = joined()
    call.feed(LegEnded(TWO, 200), 60)
    with pytest.raises(NotRecordedError):
        call.change_recording(RecordingAction.PAUSE)


def test_the_agents_code_pauses_and_resumes_and_the_other_one_does_not_hear_it() -> None:
    call = joined()
    assert press(call, "*1", 20) == [StopRecording(ONE, "id-2"), StopRecording(TWO, "id-3")]
    assert press(call, "*1", 30) == [replace(LEFT, recording="id-4"), replace(RIGHT, recording="id-5")]


def test_a_code_of_its_own_stops_it() -> None:
    call = joined(stop_code="*0")
    assert press(call, "*0", 20) == [StopRecording(ONE, "id-2"), StopRecording(TWO, "id-3"), CloseRecording(RECORDING)]
    assert press(call, "*1", 30) == heard("*1"), "nothing is left to be paused"


def test_the_other_partys_keys_are_no_codes() -> None:
    assert press(joined(), "*1", 20, TWO) == heard("*1", ONE)


def test_the_agent_may_be_on_leg_2() -> None:
    call = call_of("+12025550123", "101")
    answered(call)
    assert press(call, "*1", 20) == heard("*1")
    assert press(call, "*1", 20, TWO) == [StopRecording(ONE, "id-2"), StopRecording(TWO, "id-3")]


def test_all_other_keys_are_passed_on_in_order() -> None:
    call = joined(pause_code="**1")
    assert press(call, "5", 20) == heard("5")
    assert press(call, "*", 21) == []
    assert press(call, "7", 21) == heard("*7")
    assert press(call, "***", 22) == heard("*"), "the last two may still become the code"
    assert press(call, "1", 22) == [StopRecording(ONE, "id-2"), StopRecording(TWO, "id-3")]


def test_the_beginning_of_a_code_is_passed_on_after_a_while() -> None:
    call = joined()
    assert press(call, "*", 20) == []
    assert call.next_deadline() == 20 + NEXT_KEY_SECONDS
    assert call.on_deadline(20 + NEXT_KEY_SECONDS) == heard("*")
    assert press(call, "1", 23) == heard("1")


def test_keys_that_are_held_back_when_the_other_one_leaves_are_heard_by_nobody() -> None:
    call = joined()
    press(call, "*", 20)
    call.feed(LegEnded(TWO, 200), 20.5)
    assert call.on_deadline(20 + NEXT_KEY_SECONDS) == []


def test_without_codes_and_in_calls_that_are_not_recorded_every_key_is_passed_on() -> None:
    assert press(joined(pause_code=""), "*1", 20) == heard("*1")
    call = call_of("102")
    answered(call)
    assert press(call, "*1", 20) == heard("*1")


class RecordedCallUnderDisorder(Disorder):
    """Whatever happens to a recorded call: only legs that are there are recorded, each of them once at a time."""

    @initialize(
        start=st.sampled_from(["joined", "answered"]), notice=st.booleans(), agent=st.sampled_from(["101", "102"])
    )
    def accept(self, start: str, agent: str, *, notice: bool) -> None:
        self.call = call_of("102", agent, start=start, notice=notice)
        self.takes: dict[str, str] = {}
        self.closed = False

    @precondition(lambda self: self.placed)
    @rule(action=st.sampled_from(RecordingAction))
    def change(self, action: RecordingAction) -> None:
        try:
            self.carry_out(self.call.change_recording(action))
        except NotRecordedError:
            return

    @rule(leg=st.sampled_from([ONE, TWO]))
    def finish_the_notice(self, leg: str) -> None:
        if leg not in self.gone | self.hung_up and leg in self.answered:
            self.happen(PlaybackFinished(leg, f"notice {leg}"))

    def look_at(self, command: Command) -> None:
        if isinstance(command, StartRecording):
            assert command.leg not in self.takes
            assert not self.closed
            self.takes[command.leg] = command.recording
        elif isinstance(command, StopRecording):
            assert self.takes.pop(command.leg) == command.recording
        elif isinstance(command, CloseRecording):
            assert not self.takes
            self.closed = True


TestRecordedCallUnderDisorder = RecordedCallUnderDisorder.TestCase
TestRecordedCallUnderDisorder.settings = settings(max_examples=50, stateful_step_count=25)


THREE = "leg-3"
OF_THREE = StartRecording(THREE, "id-4", RECORDING, Channel.RIGHT, "101")


class TestWhenPartiesChange:
    def test_it_goes_on_with_whom_leg_2_was_transferred_to(self) -> None:
        call = joined()
        call.transfer(phone(THREE, "+12025550124"), "", 20)
        assert call.feed(LegAnswered(THREE), 25) == [StopPlaying(ONE), BridgeLegs(ONE, THREE), OF_THREE]
        assert call.change_recording(RecordingAction.PAUSE) == [
            StopRecording(ONE, "id-2"),
            StopRecording(THREE, "id-4"),
        ]

    def test_one_that_is_paused_stays_so(self) -> None:
        call = joined()
        call.change_recording(RecordingAction.PAUSE)
        call.transfer(phone(THREE, "+12025550124"), "", 20)
        assert call.feed(LegAnswered(THREE), 25)[-1] == BridgeLegs(ONE, THREE)
        resumed = call.change_recording(RecordingAction.RESUME)
        assert [(take.leg, take.channel) for take in resumed] == [(ONE, Channel.LEFT), (THREE, Channel.RIGHT)]

    def test_a_call_becomes_recorded_when_it_is_transferred_to_an_agent(self) -> None:
        call = call_of("+12025550123", "102")
        assert answered(call)[-1] == JOIN
        call.transfer(phone(THREE, "101"), "", 20)
        assert [type(command) for command in call.feed(LegAnswered(THREE), 25)[2:]] == [StartRecording, StartRecording]

    def test_the_codes_of_an_agent_who_was_transferred_away_are_nobodys(self) -> None:
        call = call_of("+12025550123", "101")
        answered(call)
        call.transfer(phone(THREE, "+12025550124"), "", 20)
        call.feed(LegAnswered(THREE), 25)
        assert press(call, "*1", 30, THREE) == heard("*1", ONE)

    def test_a_third_is_heard_beside_leg_2(self) -> None:
        call = joined()
        call.join_third(phone(THREE, "+12025550124"), "", 20)
        assert call.feed(LegAnswered(THREE), 25)[-1] == OF_THREE
        call.feed(LegEnded(THREE, 200), 30)
        assert call.change_recording(RecordingAction.PAUSE) == [StopRecording(ONE, "id-2"), StopRecording(TWO, "id-3")]

    @pytest.mark.parametrize("third", [False, True])
    def test_who_comes_later_hears_the_notice_before_anybody_hears_them(self, third: bool) -> None:
        call = joined(notice=True)
        for leg in (ONE, TWO):
            call.feed(PlaybackFinished(leg, f"notice {leg}"), 13)
        (call.join_third if third else call.transfer)(phone(THREE, "+12025550124"), "", 20)
        told = call.feed(LegAnswered(THREE), 25)
        assert told[-1] == PlayAudio(THREE, f"notice {THREE}", NOTICE)
        assert not [command for command in told if isinstance(command, BridgeLegs | JoinRoom)]
        heard_by_three = call.feed(PlaybackFinished(THREE, f"notice {THREE}"), 28)
        joins = [JoinRoom(leg, f"call {TERMS.id}") for leg in (ONE, TWO, THREE)] if third else [BridgeLegs(ONE, THREE)]
        assert heard_by_three == [*joins, OF_THREE]

    def test_a_third_comes_once_the_two_have_heard_the_notice(self) -> None:
        with pytest.raises(CallStateError):
            joined(notice=True).join_third(phone(THREE, "+12025550124"), "", 20)

    def test_the_third_is_joined_with_the_one_who_stayed_while_it_heard_the_notice(self) -> None:
        call = joined(notice=True)
        for leg in (ONE, TWO):
            call.feed(PlaybackFinished(leg, f"notice {leg}"), 13)
        call.join_third(phone(THREE, "+12025550124"), "", 20)
        call.feed(LegAnswered(THREE), 25)
        call.feed(LegEnded(ONE, 200), 26)
        told = call.feed(PlaybackFinished(THREE, f"notice {THREE}"), 28)
        assert told[:2] == [JoinRoom(TWO, f"call {TERMS.id}"), JoinRoom(THREE, f"call {TERMS.id}")]
