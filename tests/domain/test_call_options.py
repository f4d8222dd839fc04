"""What may be wanted of a call beside its numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from call_stories import ONE, PLAN1, PLAN2, TERMS, TWO, joined, telling

from sipcore.domain.announcement import AnnouncementParty
from sipcore.domain.call import Call
from sipcore.domain.call_options import CallOptions, LegOptions
from sipcore.domain.commands import BridgeLegs, SendDigit
from sipcore.domain.directory import Announcement
from sipcore.domain.dtmf import SPACING_SECONDS, DigitSequence
from sipcore.domain.errors import CallStateError, ParameterError
from sipcore.domain.events import LegAnswered, LegEnded, LegPlaced
from sipcore.domain.onward import WayOn
from sipcore.domain.phone import PhoneParty
from sipcore.domain.role import Role

TOO_MANY = tuple((f"X-{number}", "1") for number in range(11))


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        "headers",
        [
            (("From", "<sip:1@a>"),),
            (("x-lower", "1"),),
            (("X-", "1"),),
            (("X-A:B", "1"),),
            (("X-A\r\nFrom", "1"),),
            (("X-" + "a" * 61, "1"),),
            (("X-Ä", "1"),),
            (("X-A", "1\r\nFrom: <sip:1@a>"),),
            (("X-A", "1\n"),),
            (("X-A", "\x00"),),
            (("X-A", "\udc80"),),
            (("X-A", ""),),
            (("X-A", " "),),
            (("X-A", "a" * 256),),
            (("X-A", "1"), ("X-a", "2")),
            TOO_MANY,
            tuple((f"X-{number}", "€" * 255) for number in range(3)),
        ],
    )
    def test_a_header_that_is_not_plain_is_refused(self, headers: tuple[tuple[str, str], ...]) -> None:
        with pytest.raises(ParameterError) as refused:
            CallOptions(leg2=LegOptions(headers)).check(60)
        assert refused.value.parameter == "leg2.headers"

    @pytest.mark.parametrize("digits", ["12x", "a", "W", "1\n", "٣", "1" * 65])
    def test_digits_that_no_phone_has_are_refused(self, digits: str) -> None:
        with pytest.raises(ParameterError) as refused:
            CallOptions(leg1=LegOptions(digits=digits)).check(60)
        assert refused.value.parameter == "leg1.digits"

    @pytest.mark.parametrize("seconds", [0, -1, 61])
    def test_a_length_beyond_the_settings_is_refused(self, seconds: int) -> None:
        with pytest.raises(ParameterError) as refused:
            CallOptions(max_seconds=seconds).check(60)
        assert refused.value.parameter == "max_seconds"

    @pytest.mark.parametrize("reference", ["", "a" * 129, "a\nb", "\x00"])
    def test_a_reference_that_cannot_be_printed_is_refused(self, reference: str) -> None:
        with pytest.raises(ParameterError) as refused:
            CallOptions(reference=reference).check(60)
        assert refused.value.parameter == "reference"

    def test_what_keeps_to_the_rules_is_taken(self) -> None:
        headers = (*TOO_MANY[:9], ("X-Note", 'Ünïcode; €, and "quotes"'))
        leg = LegOptions(headers, "0123456789*#ABCDw,")
        CallOptions(leg, leg, 60, "Order 7/ä").check(60)


def of(digits: str, now: float) -> DigitSequence:
    sequence = DigitSequence()
    sequence.add(digits, now)
    return sequence


class TestDigitsOnTheirWay:
    def test_they_are_sent_one_after_the_other_with_the_pauses_between(self) -> None:
        sequence, sent = of("1w2,,3", 10.0), []
        while (due := sequence.next_deadline()) is not None:
            now = due
            sent.append((now - 10, sequence.take(now)))
        pause1, pause2 = SPACING_SECONDS + 0.5, 2 * SPACING_SECONDS + 2.5
        assert [moment for moment in sent if moment[1]] == [(0, "1"), (pause1, "2"), (pause2, "3")]

    def test_a_late_timer_sends_no_two_at_once(self) -> None:
        sequence = of("12", 0)
        assert [sequence.take(5), sequence.take(5), sequence.next_deadline()] == ["1", "", 5 + SPACING_SECONDS]

    def test_more_digits_wait_for_those_that_are_there(self) -> None:
        sequence = of("1", 0)
        sequence.take(0)
        sequence.add("2", 0.1)
        assert [sequence.take(0.1), sequence.take(SPACING_SECONDS)] == ["", "2"]


class TestDigitsOfACall:
    def call(self, digits1: str, digits2: str) -> Call:
        terms = replace(TERMS, digits={Role.FIRST: digits1, Role.SECOND: digits2})
        call = Call(terms, PhoneParty(ONE, PLAN1, 20), PhoneParty(TWO, PLAN2, 60))
        call.start(0)
        call.feed(LegPlaced(ONE), 0)
        return call

    def test_leg_1_gets_its_digits_at_its_answer(self) -> None:
        call = self.call("12", "")
        assert call.feed(LegAnswered(ONE), 5)[-1] == SendDigit(ONE, "1")
        assert call.next_deadline() == 5 + SPACING_SECONDS
        assert call.on_deadline(5 + SPACING_SECONDS) == [SendDigit(ONE, "2")]

    def test_leg_2_is_joined_and_gets_its_digits_meanwhile(self) -> None:
        call = self.call("", "w7")
        assert not [command for command in call.feed(LegAnswered(ONE), 5) if isinstance(command, SendDigit)]
        assert call.feed(LegAnswered(TWO), 6)[-1] == BridgeLegs(ONE, TWO)
        assert call.on_deadline(6.5) == [SendDigit(TWO, "7")]

    def test_nothing_is_sent_once_the_call_is_being_released(self) -> None:
        call = self.call("123", "456")
        call.feed(LegAnswered(ONE), 5)
        call.feed(LegAnswered(TWO), 6)
        call.feed(LegEnded(TWO, 200), 6.1)
        assert not [command for command in call.on_deadline(7) if isinstance(command, SendDigit)]

    def test_an_announcement_takes_its_digits_as_keys_that_were_pressed(self) -> None:
        way = WayOn(lambda number: PhoneParty(number, PLAN2, 60), "US", {})
        said = AnnouncementParty(TWO, Announcement("800", "/a.wav", key="5", then="102"), way)
        call = Call(replace(TERMS, digits={Role.SECOND: "5"}), PhoneParty(ONE, PLAN1, 20), said)
        call.start(0)
        call.feed(LegPlaced(ONE), 0)
        call.feed(LegAnswered(ONE), 1)
        assert call.role_of("102") is Role.SECOND, "its key has led on"


class TestDigitsOnRequest:
    @pytest.mark.parametrize(("role", "leg"), [(Role.FIRST, ONE), (Role.SECOND, TWO)])
    def test_they_are_sent_to_the_leg_that_was_named(self, role: Role, leg: str) -> None:
        call = joined()
        assert call.send_digits(role, "9#", 20) == [SendDigit(leg, "9")]
        assert call.on_deadline(20 + SPACING_SECONDS) == [SendDigit(leg, "#")]

    def test_a_leg_that_is_not_there_takes_none(self) -> None:
        with pytest.raises(CallStateError):
            telling().send_digits(Role.SECOND, "9", 20)
        assert telling().send_digits(Role.FIRST, "9", 20) == [SendDigit(ONE, "9")]
