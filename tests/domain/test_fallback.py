"""A party that is tried first, and the one that follows it: an agent who called last, and the number's own route."""

from __future__ import annotations

from call_disorder import at
from destination_stories import news, phone

from sipcore.domain.causes import NO_SUCH_EXTENSION, OWN_TIMEOUT, WITHDRAWN, Disposition
from sipcore.domain.commands import BridgeLegs, Command, HangUpLeg, PlaceLeg, PlayTone, StopPlaying
from sipcore.domain.events import DigitPressed, LegAnswered, LegEnded, LegRang, WorkerLost
from sipcore.domain.fallback import FallbackParty
from sipcore.domain.leg_party import RELEASE_SECONDS
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.party import NewsKind, Party
from sipcore.domain.tones import ToneKind, tone

FIRST, THEN, LISTENER = "first-leg", "then-leg", "waiting-leg"
RINGBACK = PlayTone(LISTENER, tone(ToneKind.RINGBACK, "US"))


def fallback(then: Party | None = None) -> FallbackParty:
    return FallbackParty(phone(FIRST, "101"), lambda: then or phone(THEN, "102"))


def ringing() -> FallbackParty:
    party = fallback()
    party.start(0, LISTENER)
    party.feed(LegRang(FIRST, 180), 1)
    party.take_news()
    return party


def ringing_then() -> FallbackParty:
    """The first was busy in second 2."""
    party = ringing()
    party.feed(LegEnded(FIRST, 486), 2)
    return party


def placed(commands: list[Command]) -> list[str]:
    return [command.leg for command in commands if isinstance(command, PlaceLeg)]


def test_the_first_is_rung_alone() -> None:
    party = fallback()
    assert placed(party.start(0, LISTENER)) == [FIRST]
    assert (party.uid, party.leg, party.outcome) == (FIRST, FIRST, None)
    assert [leg.uid for leg in party.records(at)] == [FIRST]


def test_it_is_the_first_when_that_answers() -> None:
    party = ringing()
    party.feed(LegAnswered(FIRST), 3)
    assert news(party) == [NewsKind.ANSWERED]
    assert party.join(LISTENER, 3) == [StopPlaying(LISTENER), BridgeLegs(LISTENER, FIRST)]
    party.feed(LegEnded(FIRST, 200), 60)
    assert news(party) == [NewsKind.LEFT]
    assert party.released


def test_the_one_that_follows_is_rung_for_the_same_listener_when_the_first_has_failed() -> None:
    commands = ringing().feed(LegEnded(FIRST, 486), 2)
    assert placed(commands) == [THEN]
    assert commands[1:] == [RINGBACK]


def test_a_failure_of_the_first_is_no_news() -> None:
    party = ringing_then()
    assert news(party) == []
    assert (party.leg, party.outcome) == (THEN, None)


def test_one_that_does_not_answer_in_time_is_let_go_while_the_next_one_rings() -> None:
    party = ringing()
    commands = party.on_deadline(20)
    assert commands[0] == HangUpLeg(FIRST)
    assert placed(commands) == [THEN]
    assert party.feed(LegAnswered(FIRST), 20.1) == [HangUpLeg(FIRST)]
    party.feed(LegAnswered(THEN), 25)
    assert news(party) == [NewsKind.ANSWERED]
    assert party.leg == THEN
    assert party.next_deadline() == 20 + RELEASE_SECONDS
    assert not party.released


def test_it_is_released_when_both_are() -> None:
    party = ringing()
    party.on_deadline(20)
    assert party.withdraw(21) == [HangUpLeg(THEN)]
    party.feed(LegEnded(THEN, 487, ended_by="local"), 22)
    assert not party.released
    party.on_deadline(20 + RELEASE_SECONDS)
    assert party.released
    assert party.next_deadline() is None


def test_it_fails_as_the_one_that_follows_does() -> None:
    party = ringing_then()
    assert party.on_deadline(22) == [HangUpLeg(THEN)]
    assert news(party) == [NewsKind.FAILED]
    assert party.outcome == OWN_TIMEOUT


def test_it_fails_at_once_when_the_one_that_follows_does_not_exist() -> None:
    party = fallback(NowhereParty(THEN, "199", NO_SUCH_EXTENSION))
    party.start(0, LISTENER)
    assert party.feed(LegEnded(FIRST, 486), 2) == []
    assert news(party) == [NewsKind.FAILED]
    assert party.outcome == NO_SUCH_EXTENSION


def test_nothing_follows_a_first_that_is_withdrawn() -> None:
    party = ringing()
    assert party.withdraw(3, "why") == [HangUpLeg(FIRST, "why")]
    assert party.feed(LegEnded(FIRST, 487, ended_by="local"), 3.1) == []
    assert party.outcome == WITHDRAWN
    assert party.released


def test_nothing_follows_when_the_one_who_waits_is_lost_with_the_first() -> None:
    party = ringing()
    assert party.feed(WorkerLost((LISTENER, FIRST)), 3) == []
    assert party.released


def test_one_follows_when_only_the_firsts_worker_is_lost() -> None:
    assert placed(ringing().feed(WorkerLost((FIRST,)), 3)) == [THEN]


def test_keys_go_to_and_come_from_the_one_who_answered() -> None:
    party = ringing_then()
    party.feed(LegAnswered(THEN), 3)
    party.take_news()
    party.feed(DigitPressed(THEN, "5", 100), 4)
    assert news(party) == [NewsKind.DIGIT]


def test_both_have_records() -> None:
    party = ringing_then()
    party.feed(LegAnswered(THEN), 3)
    party.feed(LegEnded(THEN, 200), 9)
    assert [(leg.uid, leg.number, leg.disposition) for leg in party.records(at)] == [
        (FIRST, "101", Disposition.BUSY),
        (THEN, "102", Disposition.ANSWERED),
    ]
