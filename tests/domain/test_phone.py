"""The party that is one phone, on its own: its commands, its news to the call, and its record."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from sipcore.domain.causes import NO_SUCH_EXTENSION, OWN_TIMEOUT, WITHDRAWN, WORKER_DIED, Disposition, Outcome
from sipcore.domain.commands import HangUpLeg, LegPlan, PlaceLeg
from sipcore.domain.directory import SipHost
from sipcore.domain.errors import InvalidTransitionError
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
from sipcore.domain.leg_party import RELEASE_SECONDS
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.party import News, NewsKind, Party
from sipcore.domain.phone import PhoneParty, PhoneState

LEG = "leg-1"
PLAN = LegPlan(user="101", at=SipHost("127.0.0.1", 25061), trunk=None, from_uri="<sip:1@127.0.0.1>")
ANSWERED = Outcome(Disposition.ANSWERED, 16)
EVERY_EVENT: tuple[Event, ...] = (
    LegPlaced(LEG),
    LegRang(LEG, 180),
    LegEarlyMediaStarted(LEG),
    LegAnswered(LEG),
    DigitPressed(LEG, "1"),
    LegEnded(LEG, 200),
    WorkerLost((LEG,)),
)


def at(seconds: float) -> datetime:
    return datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=seconds)


def idle() -> PhoneParty:
    return PhoneParty(LEG, PLAN, ring_seconds=20)


def calling() -> PhoneParty:
    phone = idle()
    phone.start(0)
    return phone


def ringing() -> PhoneParty:
    phone = calling()
    phone.feed(LegRang(LEG, 180), 1)
    phone.take_news()
    return phone


def up() -> PhoneParty:
    phone = ringing()
    phone.feed(LegAnswered(LEG), 5)
    phone.take_news()
    return phone


def withdrawing() -> PhoneParty:
    phone = up()
    phone.withdraw(10)
    return phone


def over() -> PhoneParty:
    phone = up()
    phone.feed(LegEnded(LEG, 200), 10)
    phone.take_news()
    return phone


def kinds(party: Party) -> list[NewsKind]:
    return [news.kind for news in party.take_news()]


def test_it_is_rung_by_one_invite() -> None:
    phone = idle()
    assert phone.released
    assert phone.start(0) == [PlaceLeg(LEG, PLAN)]
    assert not phone.released
    assert phone.next_deadline() == 20


def test_it_tells_that_it_rang_once() -> None:
    phone = calling()
    for sip_code in (180, 183, 180):
        assert phone.feed(LegRang(LEG, sip_code), 1) == []
    assert kinds(phone) == [NewsKind.RANG]


def test_news_is_given_once() -> None:
    phone = calling()
    phone.feed(LegRang(LEG, 180), 1)
    phone.feed(LegEarlyMediaStarted(LEG), 1)
    phone.feed(LegAnswered(LEG), 2)
    assert kinds(phone) == [NewsKind.RANG, NewsKind.ANSWERED]
    assert kinds(phone) == []


def test_the_answer_ends_the_ringing_time() -> None:
    phone = up()
    assert phone.next_deadline() is None
    assert phone.on_deadline(1000) == []
    assert phone.state is PhoneState.UP


def test_a_digit_is_news_only_while_it_is_up() -> None:
    for phone in (calling(), ringing(), withdrawing(), over()):
        assert phone.feed(DigitPressed(LEG, "5", 160), 6) == []
        assert kinds(phone) == []
    phone = up()
    phone.feed(DigitPressed(LEG, "5", 160), 6)
    assert phone.take_news() == [News(NewsKind.DIGIT, "5", 160)]


@pytest.mark.parametrize(
    ("rang", "outcome"),
    [(False, Outcome(Disposition.NOT_CONNECTED, 18)), (True, Outcome(Disposition.NO_ANSWER, 19))],
)
def test_whether_it_rang_decides_what_480_means(rang: bool, outcome: Outcome) -> None:
    phone = ringing() if rang else calling()
    assert phone.feed(LegEnded(LEG, 480), 3) == []
    assert kinds(phone) == [NewsKind.FAILED]
    assert phone.outcome == outcome
    assert phone.released


def test_the_far_ends_own_cause_is_kept() -> None:
    phone = ringing()
    phone.feed(LegEnded(LEG, 503, q850_cause=34), 3)
    assert phone.outcome == Outcome(Disposition.UNREACHABLE, 34)


def test_a_phone_that_hangs_up_has_left() -> None:
    phone = up()
    assert phone.feed(LegEnded(LEG, 200, q850_cause=31), 60) == []
    assert kinds(phone) == [NewsKind.LEFT]
    assert phone.outcome == Outcome(Disposition.ANSWERED, 31)


def test_its_ringing_time_ends_by_cancel_and_failure() -> None:
    phone = ringing()
    assert phone.on_deadline(19.99) == []
    assert phone.on_deadline(20) == [HangUpLeg(LEG)]
    assert kinds(phone) == [NewsKind.FAILED]
    assert phone.outcome == OWN_TIMEOUT
    assert phone.next_deadline() == 20 + RELEASE_SECONDS


@pytest.mark.parametrize(("sip_code", "ended_by"), [(487, "local"), (486, "remote"), (200, "local"), (408, "network")])
def test_whatever_ends_a_cancelled_leg_it_stays_our_own_timeout(sip_code: int, ended_by: EndedBy) -> None:
    phone = ringing()
    phone.on_deadline(20)
    phone.feed(LegEnded(LEG, sip_code, ended_by=ended_by), 20.1)
    assert phone.released
    assert phone.outcome == OWN_TIMEOUT


def test_a_release_that_is_never_confirmed_is_given_up() -> None:
    phone = withdrawing()
    assert RELEASE_SECONDS > 32, "RFC 3261 timers B and F run 32 s"
    assert phone.on_deadline(10 + RELEASE_SECONDS - 0.1) == []
    assert not phone.released
    assert phone.on_deadline(10 + RELEASE_SECONDS) == []
    assert phone.released
    assert phone.records(at)[0].ended_by == "network"


def test_withdrawing_ends_whatever_leg_there_is_once() -> None:
    for build, outcome in ((calling, WITHDRAWN), (ringing, WITHDRAWN), (up, ANSWERED)):
        phone = build()
        assert phone.withdraw(7) == [HangUpLeg(LEG)]
        assert phone.withdraw(8) == []
        assert phone.next_deadline() == 7 + RELEASE_SECONDS
        assert phone.outcome == outcome
        assert kinds(phone) == []


def test_withdrawing_where_there_is_no_leg_does_nothing() -> None:
    for phone in (idle(), over()):
        assert phone.withdraw(7) == []
        assert phone.released


def test_an_answer_after_our_cancel_is_ended() -> None:
    phone = ringing()
    phone.withdraw(7)
    assert phone.feed(LegAnswered(LEG), 7.1) == [HangUpLeg(LEG)]
    assert phone.state is PhoneState.WITHDRAWING
    assert phone.records(at)[0].answered_at is None
    assert phone.outcome == WITHDRAWN


def test_an_answer_after_it_was_given_up_is_ended() -> None:
    phone = ringing()
    phone.withdraw(7)
    phone.on_deadline(7 + RELEASE_SECONDS)
    assert phone.feed(LegAnswered(LEG), 60) == [HangUpLeg(LEG)]
    assert phone.released


@pytest.mark.parametrize(
    ("builder", "news", "outcome"),
    [
        (calling, [NewsKind.FAILED], WORKER_DIED),
        (ringing, [NewsKind.FAILED], WORKER_DIED),
        (up, [NewsKind.LEFT], Outcome(Disposition.ANSWERED, 38)),
        (withdrawing, [], ANSWERED),
        (over, [], ANSWERED),
    ],
)
def test_the_loss_of_its_worker_is_the_end_of_the_leg(
    builder: Callable[[], PhoneParty], news: list[NewsKind], outcome: Outcome
) -> None:
    phone = builder()
    assert phone.feed(WorkerLost((LEG,)), 30) == []
    assert kinds(phone) == news
    assert phone.outcome == outcome
    assert phone.released


def test_the_loss_of_a_worker_is_nothing_to_a_phone_that_was_not_rung() -> None:
    phone = idle()
    assert phone.feed(WorkerLost((LEG,)), 0) == []
    assert kinds(phone) == []
    assert phone.outcome is None
    assert phone.start(1) == [PlaceLeg(LEG, PLAN)]


@pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("builder", [calling, ringing, up, withdrawing, over])
def test_no_event_is_impossible_once_the_invite_is_out(builder: Callable[[], PhoneParty], event: Event) -> None:
    phone = builder()
    phone.feed(event, 11)
    assert phone.feed(LegEnded(LEG, 200), 12) == []
    assert phone.released


@pytest.mark.parametrize("event", EVERY_EVENT[:-1], ids=lambda event: type(event).__name__)
def test_every_event_of_a_leg_is_impossible_before_the_invite(event: Event) -> None:
    with pytest.raises(InvalidTransitionError, match="state idle cannot take"):
        idle().feed(event, 0)


def test_its_record_follows_its_steps() -> None:
    phone = idle()
    assert (phone.records(at)[0].uid, phone.records(at)[0].number) == (LEG, "101")
    assert phone.records(at)[0].extension is None
    phone.start(0)
    assert phone.records(at)[0].placed_at is None
    phone.feed(LegPlaced(LEG), 0.5)
    assert phone.records(at)[0].placed_at == at(0.5)
    phone.feed(LegRang(LEG, 180), 1)
    phone.feed(LegRang(LEG, 180), 3)
    assert phone.records(at)[0].ringing_at == at(1)
    phone.feed(LegAnswered(LEG), 5)
    phone.feed(LegAnswered(LEG), 5.5)
    assert (phone.records(at)[0].answered_at, phone.records(at)[0].sip_code) == (at(5), 200)
    phone.feed(LegEnded(LEG, 200), 60)
    phone.feed(LegEnded(LEG, 481), 61)
    record = phone.records(at)[0]
    assert (record.ended_at, record.ended_by, record.sip_code) == (at(60), "remote", 200)
    assert (record.disposition, record.cause) == (Disposition.ANSWERED, 16)


def test_an_answered_leg_keeps_its_200_whatever_our_bye_is_answered_with() -> None:
    phone = withdrawing()
    phone.feed(LegEnded(LEG, 481, ended_by="local"), 10.1)
    assert phone.records(at)[0].sip_code == 200


def test_a_leg_whose_placing_is_told_after_our_cancel_was_placed_all_the_same() -> None:
    phone = calling()
    phone.withdraw(1)
    phone.feed(LegPlaced(LEG), 1.1)
    assert phone.records(at)[0].placed_at == at(1.1)


class TestNowhere:
    def test_it_fails_as_soon_as_it_is_rung_and_sends_nothing(self) -> None:
        party: Party = NowhereParty(LEG, "199", NO_SUCH_EXTENSION)
        assert party.outcome is None
        assert party.start(3) == []
        assert kinds(party) == [NewsKind.FAILED]
        assert party.outcome == NO_SUCH_EXTENSION
        assert party.released

    def test_nothing_happens_to_it(self) -> None:
        party = NowhereParty(LEG, "199", NO_SUCH_EXTENSION)
        party.start(3)
        party.take_news()
        assert party.withdraw(4) == []
        assert party.next_deadline() is None
        assert party.on_deadline(4) == []
        for event in EVERY_EVENT:
            assert party.feed(event, 5) == []
        assert party.take_news() == []
        assert party.released
