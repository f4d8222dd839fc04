"""The party that is a ring group, on its own and in a call: whom it rings, whom it lets go, what it tells."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from call_disorder import at
from call_stories import CONGESTION_TONE, ONE, RINGBACK, TERMS
from destination_stories import news, phone

from sipcore.domain.call import Call
from sipcore.domain.call_transitions import CallState
from sipcore.domain.causes import NO_SUCH_EXTENSION, OWN_TIMEOUT, WITHDRAWN, WORKER_DIED, Disposition, Outcome
from sipcore.domain.commands import (
    BridgeLegs,
    Command,
    HangUpLeg,
    PlaceLeg,
    PlayTone,
    ReportFirstStage,
    SendDigit,
    StopPlaying,
)
from sipcore.domain.events import DigitPressed, LegAnswered, LegEnded, LegPlaced, LegRang, WorkerLost
from sipcore.domain.first_taken import COMPLETED_ELSEWHERE
from sipcore.domain.hunt import HuntParty
from sipcore.domain.leg_party import RELEASE_SECONDS
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.party import NewsKind, Party
from sipcore.domain.tones import ToneKind, tone

A, B, C = "member-a", "member-b", "member-c"
"""Legs of the members; the group's own UniqueID is that of the first."""
LISTENER = "waiting-leg"
WAITING_TONE = PlayTone(LISTENER, tone(ToneKind.RINGBACK, "US"))
TOTAL = 50.0


def nobody(uid: str) -> NowhereParty:
    return NowhereParty(uid, "199", NO_SUCH_EXTENSION)


def group(*members: Party, at_once: bool = True, total_seconds: float = TOTAL) -> HuntParty:
    uid = members[0].uid if members else A
    return HuntParty(uid, "600", members, at_once=at_once, total_seconds=total_seconds, country="US")


def three(*, at_once: bool = True) -> HuntParty:
    return group(phone(A, "101"), phone(B, "102"), phone(C, "103"), at_once=at_once)


def ringing(*, at_once: bool = True) -> HuntParty:
    party = three(at_once=at_once)
    party.start(0)
    party.feed(LegPlaced(A), 0)
    return party


def won_by_b() -> HuntParty:
    """B answered in second 5."""
    party = ringing()
    party.feed(LegAnswered(B), 5)
    party.take_news()
    return party


def placed(commands: Sequence[Command]) -> list[str]:
    return [command.leg for command in commands if isinstance(command, PlaceLeg)]


class TestAllAtOnce:
    def test_everybody_is_rung_at_the_start(self) -> None:
        party = three()
        assert placed(party.start(0)) == [A, B, C]
        assert (party.leg, party.up, party.outcome, party.released) == (None, False, None, False)

    def test_whoever_waits_hears_ringback_once(self) -> None:
        commands = three().start(0, LISTENER)
        assert placed(commands) == [A, B, C]
        assert commands[3:] == [WAITING_TONE]

    def test_it_rings_as_soon_as_one_of_them_does_and_says_so_once(self) -> None:
        party = ringing()
        for leg in (B, A, B):
            assert party.feed(LegRang(leg, 180), 1) == []
        assert news(party) == [NewsKind.RANG]

    def test_the_first_who_answers_is_taken_and_the_others_are_told_why_they_stop(self) -> None:
        party = ringing()
        assert party.feed(LegAnswered(B), 5) == [HangUpLeg(A, COMPLETED_ELSEWHERE), HangUpLeg(C, COMPLETED_ELSEWHERE)]
        assert news(party) == [NewsKind.ANSWERED]
        assert (party.leg, party.up) == (B, True)
        assert party.join(LISTENER, 5) == [StopPlaying(LISTENER), BridgeLegs(LISTENER, B)]

    def test_another_who_answers_in_the_same_moment_is_hung_up(self) -> None:
        party = won_by_b()
        assert party.feed(LegAnswered(C), 5) == [HangUpLeg(C)]
        assert news(party) == []
        assert party.leg == B

    def test_whatever_the_losers_still_do_is_no_news(self) -> None:
        party = won_by_b()
        for event in (LegRang(A, 180), LegEnded(A, 487, ended_by="local"), WorkerLost((C,))):
            assert party.feed(event, 6) == []
        assert news(party) == []
        assert (party.leg, party.up, party.outcome) == (B, True, None)

    def test_those_who_are_busy_or_unreachable_are_passed_over(self) -> None:
        party = ringing()
        assert party.feed(LegEnded(A, 486), 1) == []
        assert party.feed(LegEnded(B, 503), 2) == []
        assert news(party) == []
        assert party.feed(LegAnswered(C), 3) == []
        assert news(party) == [NewsKind.ANSWERED]

    @pytest.mark.parametrize(
        ("codes", "outcome"),
        [
            ((486, 404, 503), Disposition.BUSY),
            ((503, 404, 503), Disposition.NOT_CONNECTED),
            ((500, 503, 488), Disposition.UNREACHABLE),
        ],
    )
    def test_when_nobody_can_be_had_it_fails_with_what_says_most(
        self, codes: tuple[int, ...], outcome: Disposition
    ) -> None:
        party = ringing()
        for leg, code in zip((A, B, C), codes, strict=True):
            party.feed(LegEnded(leg, code), 1)
        assert news(party) == [NewsKind.FAILED]
        assert party.outcome is not None
        assert party.outcome.disposition is outcome
        assert party.released

    def test_one_that_rang_in_vain_says_more_than_one_that_was_busy(self) -> None:
        party = ringing()
        party.feed(LegEnded(A, 486), 1)
        party.feed(LegEnded(B, 486), 1)
        assert party.on_deadline(20) == [HangUpLeg(C)]
        assert news(party) == [NewsKind.FAILED]
        assert party.outcome == OWN_TIMEOUT

    def test_when_all_are_lost_with_their_workers_it_is(self) -> None:
        party = ringing()
        party.feed(WorkerLost((A, B, C)), 3)
        assert news(party) == [NewsKind.FAILED]
        assert party.outcome == WORKER_DIED

    def test_its_time_ends_the_ringing(self) -> None:
        party = group(phone(A), phone(B), total_seconds=15)
        party.start(0)
        assert party.next_deadline() == 15
        assert party.on_deadline(14.9) == []
        assert party.on_deadline(15) == [HangUpLeg(A), HangUpLeg(B)]
        assert news(party) == [NewsKind.FAILED]
        assert party.outcome == OWN_TIMEOUT

    def test_it_asks_for_a_slot_for_each(self) -> None:
        assert three().contest_legs == 3
        assert group(phone(A), three(), three(at_once=False)).contest_legs == 1 + 3 + 2


class TestOneByOne:
    def test_each_is_rung_when_the_one_before_has_failed(self) -> None:
        party = three(at_once=False)
        assert placed(party.start(0)) == [A]
        assert placed(party.feed(LegEnded(A, 486), 1)) == [B]
        assert placed(party.feed(LegEnded(B, 404), 2)) == [C]
        party.feed(LegAnswered(C), 3)
        assert news(party) == [NewsKind.ANSWERED]

    def test_one_that_does_not_answer_in_its_time_is_let_go_and_the_next_is_rung(self) -> None:
        party = ringing(at_once=False)
        commands = party.on_deadline(20)
        assert commands[0] == HangUpLeg(A)
        assert placed(commands) == [B]
        assert party.next_deadline() == 40

    def test_an_answer_that_comes_too_late_is_hung_up_and_the_next_rings_on(self) -> None:
        party = ringing(at_once=False)
        party.on_deadline(20)
        assert party.feed(LegAnswered(A), 20.1) == [HangUpLeg(A)]
        assert news(party) == []
        party.feed(LegAnswered(B), 25)
        assert party.leg == B

    def test_a_worker_that_is_lost_takes_one_ring_only(self) -> None:
        assert placed(ringing(at_once=False).feed(WorkerLost((A,)), 3)) == [B]

    def test_nobody_is_rung_when_the_groups_time_is_up_with_the_members(self) -> None:
        party = group(phone(A), phone(B), phone(C), at_once=False, total_seconds=40)
        party.start(0)
        party.on_deadline(20)
        commands = party.on_deadline(40)
        assert commands == [HangUpLeg(B)]
        assert news(party) == [NewsKind.FAILED]
        assert party.outcome == OWN_TIMEOUT

    def test_nobody_is_rung_after_the_groups_time_when_the_timer_is_late(self) -> None:
        party = group(phone(A), phone(B), at_once=False, total_seconds=10)
        party.start(0)
        assert party.feed(LegEnded(A, 486), 10.01) == []
        assert party.on_deadline(10.02) == []
        assert news(party) == [NewsKind.FAILED]

    def test_nobody_is_rung_for_one_who_was_lost_with_a_members_worker(self) -> None:
        party = three(at_once=False)
        party.start(0, LISTENER)
        assert party.feed(WorkerLost((LISTENER, A)), 3) == []
        assert news(party) == []
        assert party.withdraw(3) == []
        assert party.released

    def test_the_last_one_may_still_be_let_go_while_the_next_one_rings(self) -> None:
        assert three(at_once=False).contest_legs == 2
        assert group(phone(A), three(), at_once=False).contest_legs == 1 + 3

    def test_whoever_waits_hears_ringback_also_when_the_first_does_not_exist(self) -> None:
        commands = group(nobody(A), phone(B), at_once=False).start(0, LISTENER)
        assert placed(commands) == [B]
        assert commands[1:] == [WAITING_TONE]


@pytest.mark.parametrize("at_once", [True, False])
class TestWithoutAnybody:
    def test_a_group_of_numbers_that_do_not_exist_is_not_connected(self, at_once: bool) -> None:
        party = group(nobody(A), nobody(B), nobody(C), at_once=at_once)
        assert party.start(0, LISTENER) == []
        assert news(party) == [NewsKind.FAILED]
        assert party.outcome == NO_SUCH_EXTENSION
        assert party.next_deadline() is None
        assert party.released
        assert [leg.uid for leg in party.records(at)] == [A, B, C]

    def test_an_empty_group_is_not_connected(self, at_once: bool) -> None:
        party = group(at_once=at_once)
        assert party.start(0, LISTENER) == []
        assert news(party) == [NewsKind.FAILED]
        (record,) = party.records(at)
        assert (record.uid, record.number, record.disposition) == (A, "600", Disposition.NOT_CONNECTED)

    def test_numbers_that_do_not_exist_are_passed_over(self, at_once: bool) -> None:
        party = group(nobody(A), phone(B), nobody(C), at_once=at_once)
        assert placed(party.start(0)) == [B]
        assert news(party) == []
        party.feed(LegAnswered(B), 3)
        assert news(party) == [NewsKind.ANSWERED]


class TestGroupsInGroups:
    def test_the_first_who_answers_anywhere_is_taken_and_all_others_are_let_go(self) -> None:
        party = group(phone(A), group(phone(B), phone(C)))
        assert placed(party.start(0)) == [A, B, C]
        commands = party.feed(LegAnswered(C), 5)
        assert sorted(commands, key=str) == [HangUpLeg(A, COMPLETED_ELSEWHERE), HangUpLeg(B, COMPLETED_ELSEWHERE)]
        assert news(party) == [NewsKind.ANSWERED]
        assert party.leg == C

    def test_a_group_that_fails_is_a_member_that_fails(self) -> None:
        party = group(group(phone(A), phone(B)), phone(C), at_once=False)
        assert placed(party.start(0)) == [A, B]
        assert placed(party.feed(LegEnded(A, 486), 1)) == []
        assert placed(party.feed(LegEnded(B, 404), 1)) == [C]

    def test_a_group_in_turn_goes_on_inside_one_that_rings_at_once(self) -> None:
        party = group(phone(A), group(phone(B), phone(C), at_once=False))
        assert placed(party.start(0)) == [A, B]
        assert placed(party.feed(LegEnded(B, 486), 1)) == [C]
        party.feed(LegEnded(A, 486), 1)
        assert news(party) == []
        party.feed(LegAnswered(C), 2)
        assert news(party) == [NewsKind.ANSWERED]

    def test_a_key_pressed_by_whoever_answered_comes_through(self) -> None:
        party = group(phone(A), group(phone(B)))
        party.start(0)
        party.feed(LegAnswered(B), 5)
        party.take_news()
        party.feed(DigitPressed(B, "5", 160), 6)
        assert [(item.kind, item.digit, item.duration_ms) for item in party.take_news()] == [(NewsKind.DIGIT, "5", 160)]
        assert party.press("7", 80, 7) == [SendDigit(B, "7", 80)]


class TestItsEnd:
    def test_it_has_left_when_whoever_answered_hangs_up(self) -> None:
        party = won_by_b()
        assert party.feed(LegEnded(B, 200, q850_cause=31), 60) == []
        assert news(party) == [NewsKind.LEFT]
        assert party.outcome == Outcome(Disposition.ANSWERED, 31)

    def test_it_is_released_when_the_last_of_all_legs_is(self) -> None:
        party = won_by_b()
        assert party.withdraw(10) == [HangUpLeg(B)]
        for leg in (A, B):
            party.feed(LegEnded(leg, 487, ended_by="local"), 11)
            assert not party.released
        assert party.next_deadline() == 5 + RELEASE_SECONDS
        party.on_deadline(5 + RELEASE_SECONDS)
        assert party.released
        assert party.next_deadline() is None
        assert party.outcome == Outcome(Disposition.ANSWERED, 16)

    def test_withdrawing_lets_everybody_go(self) -> None:
        party = ringing()
        assert party.withdraw(3, "why") == [HangUpLeg(A, "why"), HangUpLeg(B, "why"), HangUpLeg(C, "why")]
        assert party.withdraw(4) == []
        assert party.outcome == WITHDRAWN
        assert party.feed(LegAnswered(A), 4) == [HangUpLeg(A)]
        assert news(party) == []

    def test_withdrawing_before_it_was_rung_changes_nothing(self) -> None:
        party = three()
        assert party.withdraw(3) == []
        assert party.outcome is None
        assert party.records(at)[0].disposition is None
        assert party.released


class TestItsRecords:
    def test_there_is_one_for_each_that_was_rung_and_the_groups_uid_is_the_first(self) -> None:
        party = won_by_b()
        party.feed(LegEnded(A, 487, ended_by="local"), 6)
        party.feed(LegEnded(B, 200), 60)
        party.feed(LegEnded(C, 487, ended_by="local"), 6)
        assert [(leg.uid, leg.number, leg.disposition) for leg in party.records(at)] == [
            (A, "101", Disposition.CANCELLED),
            (B, "102", Disposition.ANSWERED),
            (C, "103", Disposition.CANCELLED),
        ]

    def test_those_whose_turn_did_not_come_have_none(self) -> None:
        party = ringing(at_once=False)
        assert [leg.uid for leg in party.records(at)] == [A]
        party.feed(LegEnded(A, 486), 1)
        assert [leg.uid for leg in party.records(at)] == [A, B]

    def test_before_it_rings_there_is_one_for_the_group_itself(self) -> None:
        (record,) = three().records(at)
        assert (record.uid, record.number, record.disposition) == (A, "600", None)


def call_to_three() -> Call:
    """Party 1 answered in second 2, and the group rings."""
    call = Call(TERMS, phone(ONE), three())
    call.start(0)
    call.feed(LegAnswered(ONE), 2)
    return call


class TestAsDial2:
    def test_the_winner_is_joined_with_party_1(self) -> None:
        call = call_to_three()
        assert call.feed(LegAnswered(B), 5) == [
            HangUpLeg(A, COMPLETED_ELSEWHERE),
            HangUpLeg(C, COMPLETED_ELSEWHERE),
            StopPlaying(ONE),
            BridgeLegs(ONE, B),
        ]
        assert call.state is CallState.JOINED

    def test_party_1_is_told_when_nobody_answers(self) -> None:
        call = call_to_three()
        assert call.on_deadline(22) == [HangUpLeg(A), HangUpLeg(B), HangUpLeg(C), StopPlaying(ONE), CONGESTION_TONE]

    def test_the_call_is_over_when_the_losers_are(self) -> None:
        call = call_to_three()
        call.feed(LegAnswered(B), 5)
        assert call.feed(LegEnded(ONE, 200), 60) == [HangUpLeg(B)]
        call.feed(LegEnded(B, 200, ended_by="local"), 60.1)
        call.feed(LegEnded(A, 487, ended_by="local"), 60.2)
        assert not call.ended, "C has not answered our CANCEL yet"
        call.feed(LegEnded(C, 487, ended_by="local"), 60.3)
        assert call.ended

    def test_a_worker_that_only_a_loser_was_on_is_not_to_blame_for_the_end(self) -> None:
        call = call_to_three()
        call.feed(LegAnswered(B), 5)
        call.feed(WorkerLost((A, C)), 6)
        assert call.state is CallState.JOINED
        call.feed(LegEnded(ONE, 200), 60)
        call.feed(LegEnded(B, 200, ended_by="local"), 60)
        record = call.record(at)
        assert (record.disposition, record.ended_by) == (Disposition.ANSWERED, "dial1")

    def test_a_worker_that_a_ringing_member_was_on_is_not_to_blame_for_a_busy_group(self) -> None:
        call = call_to_three()
        call.feed(LegEnded(A, 486), 3)
        call.feed(LegEnded(B, 486), 3)
        call.feed(WorkerLost((C,)), 4)
        call.feed(LegEnded(ONE, 200), 5)
        record = call.record(at)
        assert (record.disposition, record.ended_by) == (Disposition.BUSY, "dial2")

    def test_the_winners_worker_is_to_blame_when_it_dies(self) -> None:
        call = call_to_three()
        call.feed(LegAnswered(B), 5)
        assert call.feed(WorkerLost((B,)), 6) == [HangUpLeg(ONE)]
        for leg in (ONE, A, C):
            call.feed(LegEnded(leg, 200, ended_by="local"), 7)
        record = call.record(at)
        assert (record.disposition, record.ended_by) == (Disposition.INTERRUPTED, "worker")


class TestAsDial1:
    def test_the_asker_is_told_ok_and_dial2_is_rung_when_somebody_answers(self) -> None:
        call = Call(TERMS, three(), phone("two"))
        assert placed(call.start(0)) == [A, B, C]
        commands = call.feed(LegAnswered(B), 5)
        assert placed(commands) == ["two"]
        assert commands[-1] == ReportFirstStage(None)
        assert PlayTone(B, RINGBACK.tone) in commands
        assert call.contest_legs == 3

    def test_the_asker_is_told_why_when_nobody_does(self) -> None:
        call = Call(TERMS, three(), phone("two"))
        call.start(0)
        for leg in (A, B):
            assert call.feed(LegEnded(leg, 486), 3) == []
        assert call.feed(LegEnded(C, 603), 4) == [ReportFirstStage("Busy")]
        assert call.ended
