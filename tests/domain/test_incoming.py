"""The party that called us, on its own and in a call: when it is answered, refused or released, and its record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from call_disorder import at
from destination_stories import TERMS, Targets, news, phone

from sipcore.domain.announcement import AnnouncementParty
from sipcore.domain.call import Call
from sipcore.domain.call_transitions import CallState
from sipcore.domain.causes import WITHDRAWN, WORKER_DIED, Disposition, Outcome
from sipcore.domain.commands import (
    AnswerLeg,
    BridgeLegs,
    HangUpLeg,
    PassAudio,
    PlaceLeg,
    PlayAudio,
    PlayTone,
    ReportFirstStage,
    SendDigit,
    StopPlaying,
)
from sipcore.domain.directory import Announcement
from sipcore.domain.events import (
    DigitPressed,
    EndedBy,
    Event,
    LegAnswered,
    LegEarlyMediaStarted,
    LegEnded,
    LegPlaced,
    LegRang,
    WorkerLost,
)
from sipcore.domain.incoming import REFUSALS, IncomingParty, IncomingState
from sipcore.domain.leg_party import RELEASE_SECONDS
from sipcore.domain.party import News, NewsKind, Party
from sipcore.domain.tones import ToneKind, tone

LEG, AGENT = "their-call-id", "agent-leg"
CALLER, CALLED = "+12025550123", "+12025550100"
ANSWERED, BUSY = Outcome(Disposition.ANSWERED, 16), Outcome(Disposition.BUSY, 17)
EVERY_EVENT: tuple[Event, ...] = (DigitPressed(LEG, "1"), LegAnswered(LEG), LegEnded(LEG, 200), WorkerLost((LEG,)))


def arrived() -> IncomingParty:
    return IncomingParty(LEG, CALLER)


def waiting() -> IncomingParty:
    party = arrived()
    party.start(0)
    party.take_news()
    return party


def up() -> IncomingParty:
    party = waiting()
    party.accept(5)
    party.feed(LegAnswered(LEG), 5.1)
    return party


def refused() -> IncomingParty:
    party = waiting()
    party.refuse(BUSY, 5)
    return party


def withdrawing() -> IncomingParty:
    party = up()
    party.withdraw(10)
    return party


def over() -> IncomingParty:
    party = up()
    party.feed(LegEnded(LEG, 200), 10)
    party.take_news()
    return party


class TestOnItsOwn:
    def test_it_hears_that_it_rings_and_counts_as_answered_for_its_call(self) -> None:
        party = arrived()
        assert party.start(0) == [AnswerLeg(LEG, 180)]
        assert news(party) == [NewsKind.ANSWERED]
        assert (party.leg, party.up, party.released, party.contest_legs) == (LEG, False, False, 0)

    def test_it_is_answered_once(self) -> None:
        party = waiting()
        assert party.accept(5) == [AnswerLeg(LEG, 200)]
        assert party.up
        assert party.accept(6) == []
        assert party.feed(LegAnswered(LEG), 6) == []

    def test_it_is_up_when_whoever_it_waits_for_has_it_answered(self) -> None:
        party = waiting()
        assert party.feed(LegAnswered(LEG), 2) == []
        assert party.up
        assert party.accept(5) == []
        assert party.records(at)[0].answered_at == at(2)

    @pytest.mark.parametrize("disposition", [one for one in Disposition if one is not Disposition.ANSWERED])
    def test_it_is_refused_with_the_status_that_tells_why(self, disposition: Disposition) -> None:
        party = waiting()
        status = {"busy": 486, "no_answer": 480, "not_connected": 404, "unreachable": 503, "cancelled": 480}
        assert party.refuse(Outcome(disposition, 1), 5) == [AnswerLeg(LEG, status.get(disposition, 503))]
        assert disposition in REFUSALS
        assert not party.released

    def test_whom_nobody_needs_any_more_is_told_to_try_again_before_the_answer_and_hung_up_after_it(self) -> None:
        assert waiting().withdraw(5) == [AnswerLeg(LEG, 480)]
        assert up().withdraw(6, "why") == [HangUpLeg(LEG, "why")]
        assert up().refuse(BUSY, 6) == [HangUpLeg(LEG)]
        for party in (refused(), withdrawing(), over()):
            assert party.withdraw(11) == []

    def test_an_answer_that_was_sent_before_we_refused_is_ended(self) -> None:
        party = refused()
        assert party.feed(LegAnswered(LEG), 5.1) == [HangUpLeg(LEG)]
        assert not party.released
        assert party.feed(LegEnded(LEG, 200, ended_by="local"), 5.2) == []
        assert party.released

    def test_a_caller_that_gives_up_has_left(self) -> None:
        party = waiting()
        assert party.feed(LegEnded(LEG, 487), 3) == []
        assert news(party) == [NewsKind.LEFT]
        assert (party.outcome, party.released) == (WITHDRAWN, True)

    def test_a_caller_that_hangs_up_has_left_with_its_own_cause(self) -> None:
        party = up()
        party.feed(LegEnded(LEG, 200, q850_cause=31), 60)
        assert news(party) == [NewsKind.LEFT]
        assert party.outcome == Outcome(Disposition.ANSWERED, 31)

    @pytest.mark.parametrize(
        ("builder", "told", "outcome"),
        [
            (waiting, [NewsKind.LEFT], WORKER_DIED),
            (up, [NewsKind.LEFT], Outcome(Disposition.ANSWERED, 38)),
            (refused, [], BUSY),
            (withdrawing, [], ANSWERED),
            (over, [], ANSWERED),
        ],
    )
    def test_the_loss_of_its_worker_is_its_end(
        self, builder: Callable[[], IncomingParty], told: list[NewsKind], outcome: Outcome
    ) -> None:
        party = builder()
        assert party.feed(WorkerLost((LEG,)), 30) == []
        assert (news(party), party.outcome, party.released) == (told, outcome, True)

    def test_keys_are_news_only_while_it_is_up(self) -> None:
        for builder in (waiting, refused, withdrawing, over):
            party = builder()
            assert party.feed(DigitPressed(LEG, "5", 160), 6) == []
            assert party.take_news() == []
        party = up()
        party.feed(DigitPressed(LEG, "5", 160), 6)
        assert party.take_news() == [News(NewsKind.DIGIT, "5", 160)]

    def test_it_can_be_talked_to(self) -> None:
        assert up().join(AGENT, 6) == [StopPlaying(AGENT), BridgeLegs(AGENT, LEG)]
        assert up().press("7", 80, 6) == [SendDigit(LEG, "7", 80)]

    def test_a_release_that_is_never_confirmed_is_given_up(self) -> None:
        for party, since in ((refused(), 5), (withdrawing(), 10)):
            assert party.next_deadline() == since + RELEASE_SECONDS
            assert party.on_deadline(since + RELEASE_SECONDS - 0.1) == []
            assert not party.released
            assert party.on_deadline(since + RELEASE_SECONDS) == []
            assert party.released
            assert party.records(at)[0].ended_by == "network"
            assert party.next_deadline() is None

    @pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: type(event).__name__)
    @pytest.mark.parametrize("builder", [waiting, up, refused, withdrawing, over])
    def test_nothing_that_its_far_end_does_is_impossible(
        self, builder: Callable[[], IncomingParty], event: Event
    ) -> None:
        party = builder()
        party.feed(event, 11)
        party.feed(LegEnded(LEG, 200), 12)
        assert party.released

    @pytest.mark.parametrize(
        ("builder", "sip_code", "ended_by", "recorded", "by"),
        [
            (waiting, 487, "remote", 487, "remote"),
            (up, 200, "remote", 200, "remote"),
            (refused, 486, "local", 486, "local"),
            (withdrawing, 200, "local", 200, "local"),
        ],
    )
    def test_its_record_tells_its_steps_and_its_final_status(
        self, builder: Callable[[], IncomingParty], sip_code: int, ended_by: EndedBy, recorded: int, by: str
    ) -> None:
        party = builder()
        answered = at(5) if party.state is not IncomingState.WAITING and party.outcome != BUSY else None
        party.feed(LegEnded(LEG, sip_code, ended_by=ended_by), 20)
        (leg,) = party.records(at)
        assert (leg.uid, leg.number, leg.sip_code, leg.ended_by) == (LEG, CALLER, recorded, by)
        assert (leg.placed_at, leg.ringing_at, leg.answered_at, leg.ended_at) == (at(0), at(0), answered, at(20))


TERMS_IN = replace(TERMS, dial1=CALLER, dial2=CALLED, direction="inbound")


def call_to(called: Party) -> Call:
    call = Call(TERMS_IN, arrived(), called)
    call.start(0)
    return call


def ringing() -> Call:
    """The agent's phone has rung since second 1."""
    call = call_to(phone(AGENT))
    call.feed(LegPlaced(AGENT), 0)
    call.feed(LegRang(AGENT, 180), 1)
    return call


def talking() -> Call:
    """The agent answered in second 5."""
    call = ringing()
    call.feed(LegAnswered(AGENT), 5)
    call.feed(LegAnswered(LEG), 5.1)
    return call


def ended_as(call: Call) -> tuple[Disposition | None, str | None]:
    assert call.ended
    record = call.record(at)
    return record.disposition, record.ended_by


class TestInACall:
    def test_whom_it_reaches_is_rung_at_once(self) -> None:
        call = Call(TERMS_IN, arrived(), phone(AGENT))
        commands = call.start(0)
        assert commands[0] == AnswerLeg(LEG, 180)
        assert [type(command) for command in commands[1:]] == [PlaceLeg, PlayTone, ReportFirstStage]
        assert commands[2] == PlayTone(LEG, tone(ToneKind.RINGBACK, "US"))

    def test_early_media_of_whom_it_reaches_is_let_through(self) -> None:
        assert ringing().feed(LegEarlyMediaStarted(AGENT), 2) == [StopPlaying(LEG), PassAudio(AGENT, LEG)]

    def test_it_is_answered_and_joined_when_the_other_side_answers(self) -> None:
        call = ringing()
        assert call.feed(LegAnswered(AGENT), 5) == [AnswerLeg(LEG, 200), StopPlaying(LEG), BridgeLegs(LEG, AGENT)]
        assert call.state is CallState.JOINED
        assert call.feed(LegAnswered(LEG), 5.1) == []

    def test_what_answers_by_itself_is_heard_once_the_caller_is_answered(self) -> None:
        notice = AnnouncementParty(AGENT, Announcement("800", "/notice.wav"), Targets().way)
        call = Call(TERMS_IN, arrived(), notice)
        commands = call.start(0)
        assert commands.index(AnswerLeg(LEG, 200)) < next(
            place for place, command in enumerate(commands) if isinstance(command, PlayAudio)
        )

    @pytest.mark.parametrize(
        ("sip_code", "status", "disposition"),
        [
            (486, 486, Disposition.BUSY),
            (404, 404, Disposition.NOT_CONNECTED),
            (480, 480, Disposition.NO_ANSWER),
            (500, 503, Disposition.UNREACHABLE),
        ],
    )
    def test_it_gets_the_status_that_tells_why_nobody_answered(
        self, sip_code: int, status: int, disposition: Disposition
    ) -> None:
        call = ringing()
        assert call.feed(LegEnded(AGENT, sip_code), 3) == [AnswerLeg(LEG, status)]
        call.feed(LegEnded(LEG, status, ended_by="local"), 3.1)
        assert ended_as(call) == (disposition, "dial2")

    def test_it_gets_480_when_nobody_answers_in_time(self) -> None:
        call = ringing()
        assert call.on_deadline(20) == [HangUpLeg(AGENT), AnswerLeg(LEG, 480)]
        call.feed(LegEnded(LEG, 480, ended_by="local"), 20.1)
        call.feed(LegEnded(AGENT, 487, ended_by="local"), 20.2)
        assert ended_as(call) == (Disposition.NO_ANSWER, "dial2")

    def test_it_gets_404_when_the_number_of_its_route_does_not_exist(self) -> None:
        call = Call(TERMS_IN, arrived(), Targets().make("199"))
        assert AnswerLeg(LEG, 404) in call.start(0)
        call.feed(LegEnded(LEG, 404, ended_by="local"), 0.1)
        assert ended_as(call) == (Disposition.NOT_CONNECTED, "dial2")

    def test_a_caller_that_gives_up_stops_the_ringing(self) -> None:
        call = ringing()
        assert call.feed(LegEnded(LEG, 487), 3) == [HangUpLeg(AGENT)]
        call.feed(LegEnded(AGENT, 487, ended_by="local"), 3.1)
        assert ended_as(call) == (Disposition.CANCELLED, "dial1")

    def test_a_caller_that_gives_up_before_the_call_began_rings_nobody(self) -> None:
        call = Call(TERMS_IN, arrived(), phone(AGENT))
        assert PlaceLeg not in [type(command) for command in call.feed(LegEnded(LEG, 487), 0)]
        assert ended_as(call) == (Disposition.CANCELLED, "dial1")
        assert call.start(0.1) == []

    @pytest.mark.parametrize(("by", "code"), [("request", 480), ("shutdown", 503), ("error", 503)])
    def test_a_caller_may_try_another_server_unless_the_end_was_requested(self, by: str, code: int) -> None:
        call = ringing()
        assert [command for command in call.hang_up(by, 3) if isinstance(command, AnswerLeg)] == [AnswerLeg(LEG, code)]
        call.feed(LegEnded(LEG, code, ended_by="local"), 3.1)
        call.feed(LegEnded(AGENT, 487, ended_by="local"), 3.1)
        assert ended_as(call) == (Disposition.CANCELLED, by)

    def test_a_call_that_is_ended_before_it_began_rings_nobody(self) -> None:
        call = Call(TERMS_IN, arrived(), phone(AGENT))
        assert AnswerLeg(LEG, 503) in call.hang_up("shutdown", 0)
        assert call.start(0.1) == []
        call.feed(LegEnded(LEG, 503, ended_by="local"), 0.2)
        assert ended_as(call) == (Disposition.CANCELLED, "shutdown")

    def test_a_worker_that_is_lost_before_the_call_began_is_to_blame(self) -> None:
        call = Call(TERMS_IN, arrived(), phone(AGENT))
        call.feed(WorkerLost((LEG,)), 0)
        assert ended_as(call) == (Disposition.INTERRUPTED, "worker")

    @pytest.mark.parametrize(("leaver", "other", "by"), [(LEG, AGENT, "dial1"), (AGENT, LEG, "dial2")])
    def test_either_side_that_hangs_up_ends_the_other(self, leaver: str, other: str, by: str) -> None:
        call = talking()
        assert call.feed(LegEnded(leaver, 200), 60) == [HangUpLeg(other)]
        call.feed(LegEnded(other, 200, ended_by="local"), 60.1)
        assert ended_as(call) == (Disposition.ANSWERED, by)

    def test_keys_cross_the_call(self) -> None:
        call = talking()
        assert call.feed(DigitPressed(LEG, "5", 160), 6) == [SendDigit(AGENT, "5", 160)]
        assert call.feed(DigitPressed(AGENT, "6", 90), 7) == [SendDigit(LEG, "6", 90)]

    @pytest.mark.parametrize(
        ("build", "lost", "commands"),
        [
            (ringing, (LEG,), [HangUpLeg(AGENT)]),
            (ringing, (AGENT,), [AnswerLeg(LEG, 503)]),
            (ringing, (LEG, AGENT), []),
            (talking, (LEG,), [HangUpLeg(AGENT)]),
            (talking, (AGENT,), [HangUpLeg(LEG)]),
            (talking, (LEG, AGENT), []),
        ],
    )
    def test_a_worker_that_is_lost_interrupts_it(
        self, build: Callable[[], Call], lost: tuple[str, ...], commands: list[object]
    ) -> None:
        call = build()
        assert call.feed(WorkerLost(lost), 7) == commands
        for leg in {LEG, AGENT} - set(lost):
            call.feed(LegEnded(leg, 487, ended_by="local"), 8)
        assert ended_as(call) == (Disposition.INTERRUPTED, "worker")

    def test_a_worker_that_is_lost_when_it_is_being_ended_is_not_to_blame(self) -> None:
        call = talking()
        call.hang_up("request", 7)
        call.feed(WorkerLost((LEG, AGENT)), 8)
        assert ended_as(call) == (Disposition.ANSWERED, "request")

    @pytest.mark.parametrize(("build", "command"), [(ringing, AnswerLeg(LEG, 480)), (talking, HangUpLeg(LEG))])
    def test_it_can_be_ended_from_outside(self, build: Callable[[], Call], command: object) -> None:
        assert build().hang_up("request", 7) == [command, HangUpLeg(AGENT)]

    def test_its_record_is_like_any_other(self) -> None:
        call = talking()
        call.feed(LegEnded(LEG, 200), 60)
        call.feed(LegEnded(AGENT, 200, ended_by="local"), 60)
        record = call.record(at)
        assert (record.direction, record.dial1, record.dial2, record.joined_at) == ("inbound", CALLER, CALLED, at(5))
        assert [(leg.uid, leg.party, leg.number) for leg in record.legs] == [
            (LEG, "dial1", CALLER),
            (AGENT, "dial2", "101"),
        ]
