"""What the record of a call says at each stage of its life."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from call_stories import (
    ONE,
    PLAN2,
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
from sipcore.domain.causes import NO_SUCH_EXTENSION, Disposition
from sipcore.domain.events import LegAnswered, LegEnded, LegPlaced, LegRang, WorkerLost
from sipcore.domain.leg_party import RELEASE_SECONDS
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.phone import PhoneParty
from sipcore.domain.quality import LegQuality, StreamQuality
from sipcore.domain.record import CallRecord, LegRecord

SECOND_0 = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return SECOND_0 + timedelta(seconds=seconds)


def summary(call: Call) -> tuple[Disposition | None, str | None]:
    record = call.record(at)
    return record.disposition, record.ended_by


def test_at_acceptance_it_says_who_asked_for_what() -> None:
    assert new_call().record(at) == CallRecord(
        id="c" * 32,
        organisation="acme",
        user="alice",
        dial1="101",
        dial2="2025550123",
        set_cid=None,
        accepted_at=TERMS.accepted_at,
        legs=(LegRecord(ONE, "101"), LegRecord(TWO, "+12025550123", party="dial2")),
    )


def test_a_call_in_progress_has_no_end() -> None:
    for call in (ringing_first(), ringing_second(), joined(), telling(), releasing()):
        record = call.record(at)
        assert (record.disposition, record.ended_by, record.ended_at) == (None, None, None)


def test_an_answered_call_tells_every_step() -> None:
    call = joined()
    call.feed(LegEnded(TWO, 200, ended_by="remote", q850_cause=16), 60)
    call.feed(LegEnded(ONE, 200, ended_by="local"), 61)
    assert call.record(at) == CallRecord(
        id="c" * 32,
        organisation="acme",
        user="alice",
        dial1="101",
        dial2="2025550123",
        set_cid=None,
        accepted_at=TERMS.accepted_at,
        joined_at=at(10),
        ended_at=at(61),
        disposition=Disposition.ANSWERED,
        ended_by="dial2",
        legs=(
            LegRecord(
                uid=ONE,
                number="101",
                disposition=Disposition.ANSWERED,
                sip_code=200,
                cause=16,
                ended_by="local",
                placed_at=at(0),
                ringing_at=at(1),
                answered_at=at(5),
                ended_at=at(61),
            ),
            LegRecord(
                uid=TWO,
                number="+12025550123",
                disposition=Disposition.ANSWERED,
                sip_code=200,
                cause=16,
                ended_by="remote",
                placed_at=at(5),
                ringing_at=at(6),
                answered_at=at(10),
                ended_at=at(60),
                party="dial2",
            ),
        ),
    )


def test_a_busy_first_phone() -> None:
    call = ringing_first()
    call.feed(LegEnded(ONE, 486), 3)
    record = call.record(at)
    assert summary(call) == (Disposition.BUSY, "dial1")
    assert record.ended_at == at(3)
    assert record.joined_at is None
    assert record.legs[0] == LegRecord(
        uid=ONE,
        number="101",
        disposition=Disposition.BUSY,
        sip_code=486,
        cause=17,
        ended_by="remote",
        placed_at=at(0),
        ringing_at=at(1),
        ended_at=at(3),
    )
    assert record.legs[1] == LegRecord(TWO, "+12025550123", party="dial2")


def test_a_first_phone_that_nobody_answers() -> None:
    call = ringing_first()
    call.on_deadline(20)
    call.feed(LegEnded(ONE, 487, ended_by="local"), 20.5)
    assert summary(call) == (Disposition.NO_ANSWER, "dial1")
    leg = call.record(at).legs[0]
    assert (leg.disposition, leg.sip_code, leg.cause, leg.ended_by) == (Disposition.NO_ANSWER, 487, 19, "local")
    assert leg.ended_at == at(20.5)


def test_a_phone_whose_200_crossed_our_cancel_was_not_answered() -> None:
    call = ringing_first()
    call.on_deadline(20)
    call.feed(LegAnswered(ONE), 20.1)
    call.feed(LegEnded(ONE, 200, ended_by="local"), 20.2)
    leg = call.record(at).legs[0]
    assert (leg.disposition, leg.answered_at) == (Disposition.NO_ANSWER, None)


def test_a_phone_that_never_confirmed_our_cancel_was_lost_to_the_network() -> None:
    call = ringing_first()
    call.on_deadline(20)
    call.on_deadline(20 + RELEASE_SECONDS)
    leg = call.record(at).legs[0]
    assert (leg.disposition, leg.sip_code, leg.ended_by) == (Disposition.NO_ANSWER, None, "network")
    assert call.record(at).ended_at == leg.ended_at == at(20 + RELEASE_SECONDS)


@pytest.mark.parametrize(
    ("sip_code", "disposition"),
    [(486, Disposition.BUSY), (404, Disposition.NOT_CONNECTED), (480, Disposition.NO_ANSWER)],
)
def test_a_second_phone_that_fails_gives_the_call_its_disposition(sip_code: int, disposition: Disposition) -> None:
    call = ringing_second()
    call.feed(LegEnded(TWO, sip_code), 8)
    call.on_deadline(8 + TELL_SECONDS)
    call.feed(LegEnded(ONE, 200, ended_by="local"), 13)
    assert summary(call) == (disposition, "dial2")
    first, second = call.record(at).legs
    assert (first.disposition, first.cause) == (Disposition.ANSWERED, 16)
    assert (second.disposition, second.sip_code, second.ended_at) == (disposition, sip_code, at(8))


def test_leaving_during_the_tone_changes_neither_disposition_nor_who_ended_it() -> None:
    call = telling()
    call.feed(LegEnded(ONE, 200), 9)
    assert summary(call) == (Disposition.BUSY, "dial2")


def test_hanging_up_during_the_tone_changes_neither() -> None:
    call = telling()
    call.hang_up("request", 9)
    call.feed(LegEnded(ONE, 200, ended_by="local"), 9.1)
    assert summary(call) == (Disposition.BUSY, "dial2")


def test_a_caller_who_leaves_while_the_second_rings_cancels_the_call() -> None:
    call = ringing_second()
    call.feed(LegEnded(ONE, 200), 7)
    call.feed(LegEnded(TWO, 487, ended_by="local"), 7.1)
    assert summary(call) == (Disposition.CANCELLED, "dial1")
    second = call.record(at).legs[1]
    assert (second.disposition, second.sip_code, second.cause) == (Disposition.CANCELLED, 487, 16)


@pytest.mark.parametrize("by", ["request", "shutdown"])
@pytest.mark.parametrize(
    ("build", "legs", "disposition"),
    [
        (ringing_first, (ONE,), Disposition.CANCELLED),
        (ringing_second, (ONE, TWO), Disposition.CANCELLED),
        (joined, (ONE, TWO), Disposition.ANSWERED),
    ],
)
def test_a_call_hung_up_from_outside_says_by_whom(
    build: Callable[[], Call], legs: tuple[str, ...], disposition: Disposition, by: str
) -> None:
    call = build()
    call.hang_up(by, 20)
    for leg in legs:
        call.feed(LegEnded(leg, 487, ended_by="local"), 21)
    assert summary(call) == (disposition, by)


def test_hanging_up_what_is_over_leaves_the_record_as_it_is() -> None:
    call = releasing()
    call.feed(LegEnded(ONE, 200, ended_by="local"), 61)
    final = call.record(at)
    call.hang_up("request", 90)
    assert call.record(at) == final


def test_a_call_that_reached_its_limit_says_so() -> None:
    call = joined()
    call.on_deadline(5 + TERMS.max_seconds)
    call.feed(LegEnded(ONE, 200, ended_by="local"), 3606)
    call.feed(LegEnded(TWO, 200, ended_by="local"), 3606)
    assert summary(call) == (Disposition.ANSWERED, "limit")


@pytest.mark.parametrize(
    ("build", "legs"), [(ringing_first, (ONE,)), (ringing_second, (ONE, TWO)), (joined, (ONE, TWO))]
)
def test_a_call_whose_worker_died_is_interrupted(build: Callable[[], Call], legs: tuple[str, ...]) -> None:
    call = build()
    call.feed(WorkerLost(legs), 30)
    assert summary(call) == (Disposition.INTERRUPTED, "worker")
    for leg in call.record(at).legs:
        if leg.placed_at is not None:
            assert (leg.cause, leg.ended_by, leg.ended_at) == (38, "network", at(30))
            assert leg.disposition is (Disposition.ANSWERED if leg.answered_at else Disposition.INTERRUPTED)


def test_the_loss_of_a_worker_that_carried_no_leg_of_the_call_yet_ends_nothing() -> None:
    call = ringing_first()
    call.feed(WorkerLost((TWO,)), 2)
    call.feed(LegAnswered(ONE), 5)
    call.feed(LegAnswered(TWO), 10)
    call.feed(LegEnded(TWO, 200), 60)
    call.feed(LegEnded(ONE, 200, ended_by="local"), 60)
    assert summary(call) == (Disposition.ANSWERED, "dial2")


def test_an_invite_that_is_sent_again_keeps_the_time_of_the_first() -> None:
    # A redirect that is followed after ringing, or an INVITE with credentials after 401.
    call = ringing_first()
    call.feed(LegPlaced(ONE), 3)
    call.feed(LegRang(ONE, 180), 4)
    leg = call.record(at).legs[0]
    assert (leg.placed_at, leg.ringing_at) == (at(0), at(1))


def test_a_destination_that_does_not_exist_was_never_dialled() -> None:
    call = Call(TERMS, NowhereParty(ONE, "199", NO_SUCH_EXTENSION), PhoneParty(TWO, PLAN2, 60))
    assert call.record(at).legs[0] == LegRecord(ONE, "199")
    call.start(2)
    assert summary(call) == (Disposition.NOT_CONNECTED, "dial1")
    assert call.record(at).legs[0] == LegRecord(
        uid=ONE, number="199", disposition=Disposition.NOT_CONNECTED, cause=1, ended_by="local", ended_at=at(2)
    )


@pytest.mark.parametrize(("line", "extension"), [("101", "101"), ("+12025550123", None), ("", None)])
def test_a_leg_of_an_extension_says_whose_it_is_whatever_its_contact_is_called(
    line: str, extension: str | None
) -> None:
    phone = PhoneParty(ONE, replace(PLAN2, user="bob", line=line), ring_seconds=20)
    assert [(leg.number, leg.extension) for leg in phone.records(at)] == [("bob", extension)]


def test_how_a_legs_audio_was_is_told_with_its_end() -> None:
    audio = StreamQuality(100, 1, 2.0, 4.2)
    quality = LegQuality("PCMU", 20.0, audio, audio)
    call = joined()
    call.feed(LegEnded(ONE, 200, quality=quality), 60)
    assert [leg.quality for leg in call.record(at).legs] == [quality, None]
    call.feed(LegEnded(TWO, 200, ended_by="local", quality=quality), 61)
    assert [leg.quality for leg in call.record(at).legs] == [quality, quality]
