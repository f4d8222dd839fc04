"""The party that waits in a queue: what its caller hears, whom it rings, and what follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sipcore.domain.causes import NO_SUCH_EXTENSION, OWN_TIMEOUT, WITHDRAWN, Disposition
from sipcore.domain.commands import (
    AnswerLeg,
    BridgeLegs,
    Command,
    HangUpLeg,
    JoinQueue,
    LeaveQueue,
    LegPlan,
    PlaceLeg,
    PlayAudio,
    PlayTone,
    ReturnAgent,
    SendDigit,
    StopPlaying,
)
from sipcore.domain.directory import Queue, SipHost
from sipcore.domain.events import (
    AgentsOffered,
    DigitPressed,
    Event,
    LegAnswered,
    LegEnded,
    LegRang,
    PlaybackFinished,
    QueuePosition,
    WaitBegun,
    WaitRefused,
    WorkerLost,
)
from sipcore.domain.first_taken import COMPLETED_ELSEWHERE
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.party import News, NewsKind, Party
from sipcore.domain.phone import PhoneParty
from sipcore.domain.queue_party import QUEUE_FULL, QueueParty, WaitState, WaitTerms
from sipcore.domain.tones import ToneKind, tone

UID, CALLER = "uid-2", "leg-1"
QUEUE = Queue("700", ("101", "102"), ring_seconds=20, max_wait_seconds=300, music="/music.wav")
MUSIC = PlayAudio(CALLER, f"music {UID}", ("/music.wav",), loop=True)
RINGBACK = PlayTone(CALLER, tone(ToneKind.RINGBACK, "US"))
PROMPTS = {
    "you_are_number": "/you.wav",
    "in_the_queue": "/queue.wav",
    "music": "/built-in.wav",
    "number_2": "/2.wav",
    "number_10": "/10.wav",
    "hundred": "/hundred.wav",
}


def at(seconds: float) -> datetime:
    return datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=seconds)


class Phones:
    """Makes phones, whose legs are called by their numbers unless a UniqueID is asked for."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing
        self.made: list[tuple[str, str]] = []

    def __call__(self, number: str, uid: str | None) -> Party:
        leg = uid or f"leg-{len(self.made)}-{number}"
        self.made.append((number, leg))
        if number in self.missing:
            return NowhereParty(leg, number, NO_SUCH_EXTENSION)
        plan = LegPlan(user=number, at=SipHost("127.0.0.1", 25061), trunk=None, from_uri="<sip:1@127.0.0.1>")
        return PhoneParty(leg, plan, ring_seconds=20)


class Story:
    """A party that waits since second 0."""

    def __init__(self, *, listener: str | None = CALLER, missing: tuple[str, ...] = (), **changes: object) -> None:
        terms = {name: changes.pop(name) for name in ("prompts", "wait_seconds") if name in changes}
        queue = replace(QUEUE, **changes)
        self.phones = Phones(*missing)
        self.party = QueueParty(UID, WaitTerms(queue, "US", **terms), self.phones, self.phones)
        self.begun = self.party.start(0, listener)

    def happens(self, event: Event, now: float = 1) -> list[Command]:
        return self.party.feed(event, now)

    def offers(self, *agents: str, now: float = 1) -> list[Command]:
        return self.happens(AgentsOffered(UID, agents), now)

    def deadline(self) -> list[Command]:
        moment = self.party.next_deadline()
        assert moment is not None
        return self.party.on_deadline(moment)

    def news(self) -> list[NewsKind]:
        return [news.kind for news in self.party.take_news()]


def placed(commands: list[Command]) -> list[str]:
    return [command.leg for command in commands if isinstance(command, PlaceLeg)]


def answered() -> Story:
    """Agent 101 answered in second 5."""
    story = Story()
    story.offers("101")
    story.happens(LegAnswered(UID), 5)
    story.party.take_news()
    return story


def test_a_caller_is_answered_and_hears_the_queues_music_once_the_queue_has_taken_it() -> None:
    story = Story()
    assert story.begun == [JoinQueue(UID, "700")]
    assert story.happens(WaitBegun(UID)) == [AnswerLeg(CALLER), MUSIC]


def test_without_music_of_its_own_the_queue_plays_the_built_in_one() -> None:
    heard = Story(music=None, prompts=PROMPTS).happens(WaitBegun(UID))
    assert heard[1] == replace(MUSIC, files=("/built-in.wav",))


def test_without_any_music_a_caller_hears_ringback() -> None:
    assert Story(music=None).happens(WaitBegun(UID))[1] == RINGBACK


def test_an_agent_who_is_rung_first_keeps_nobody_waiting_audibly() -> None:
    story = Story(listener=None)
    assert story.begun == [JoinQueue(UID, "700", agent_first=True)]
    assert story.happens(WaitBegun(UID)) == []


def test_the_offered_agent_is_rung_with_the_uid_that_was_told_and_the_music_goes_on() -> None:
    story = Story()
    commands = story.offers("101")
    assert placed(commands) == [UID]
    assert len(commands) == 1
    story.happens(LegRang(UID, 180))
    assert story.news() == [NewsKind.RANG]


def test_an_agent_who_answers_ends_the_wait_and_is_joined() -> None:
    story = Story()
    story.offers("101")
    assert story.happens(LegAnswered(UID), 5) == [LeaveQueue(UID, "700", "101")]
    assert story.news() == [NewsKind.ANSWERED]
    assert (story.party.leg, story.party.up) == (UID, True)
    assert story.party.join(CALLER, 5) == [StopPlaying(CALLER), BridgeLegs(CALLER, UID)]
    assert story.party.next_deadline() is None


def test_the_first_of_several_who_answers_takes_the_call() -> None:
    story = Story()
    one, two = placed(story.offers("101", "102"))
    assert story.happens(LegAnswered(two), 5) == [LeaveQueue(UID, "700", "102"), HangUpLeg(one, COMPLETED_ELSEWHERE)]
    assert story.party.leg == two
    # The loser's 200 crosses our CANCEL, and is ended by itself.
    assert story.happens(LegAnswered(one), 5) == [HangUpLeg(one)]
    story.happens(LegEnded(one, 200), 6)
    assert story.news() == [NewsKind.ANSWERED]
    assert not story.party.released


@pytest.mark.parametrize(
    ("sip_code", "rang", "reached"), [(486, False, False), (404, False, False), (480, True, True), (408, True, True)]
)
def test_an_agent_who_does_not_take_the_call_is_returned_and_the_caller_waits_on(
    sip_code: int, *, rang: bool, reached: bool
) -> None:
    story = Story()
    story.offers("101")
    if rang:
        story.happens(LegRang(UID, 180))
    assert story.happens(LegEnded(UID, sip_code), 9) == [ReturnAgent(UID, "700", "101", reached=reached)]
    assert NewsKind.FAILED not in story.news()
    (second,) = placed(story.offers("102", now=9))
    assert second != UID
    assert story.happens(LegAnswered(second), 12) == [LeaveQueue(UID, "700", "102")]


def test_an_agent_who_does_not_answer_in_time_is_returned() -> None:
    story = Story()
    story.offers("101", now=0)
    assert story.deadline() == [HangUpLeg(UID), ReturnAgent(UID, "700", "101", reached=True)]


def test_an_agent_whose_worker_dies_is_returned() -> None:
    story = Story()
    story.offers("101")
    assert story.happens(WorkerLost((UID,))) == [ReturnAgent(UID, "700", "101")]


def test_the_position_is_spoken_and_the_music_goes_on_after_it() -> None:
    story = Story(prompts=PROMPTS)
    (spoken,) = story.happens(QueuePosition(UID, 210))
    assert isinstance(spoken, PlayAudio)
    assert spoken.files == ("/you.wav", "/2.wav", "/hundred.wav", "/10.wav", "/queue.wav")
    assert not spoken.loop
    assert story.happens(PlaybackFinished(CALLER, spoken.playback)) == [MUSIC]


def test_a_position_that_cannot_be_spoken_whole_is_not_spoken() -> None:
    story = Story(prompts={name: file for name, file in PROMPTS.items() if name != "in_the_queue"})
    assert story.happens(QueuePosition(UID, 2)) == []


def test_a_position_for_which_there_are_no_words_is_not_spoken() -> None:
    assert Story(prompts=PROMPTS).happens(QueuePosition(UID, 10_000)) == []


def test_the_end_of_somebody_elses_audio_starts_no_music() -> None:
    assert Story().happens(PlaybackFinished(CALLER, "why leg-1")) == []


def test_waiting_in_vain_ends_as_no_answer() -> None:
    story = Story()
    assert story.party.next_deadline() == 300
    assert story.deadline() == [LeaveQueue(UID, "700")]
    assert story.news() == [NewsKind.FAILED]
    assert story.party.outcome == OWN_TIMEOUT


def test_the_request_limits_the_wait_for_an_agent_who_is_rung_first() -> None:
    story = Story(listener=None, wait_seconds=25.0, then="800")
    story.offers("101", now=20)
    assert story.party.next_deadline() == 25
    assert story.deadline() == [LeaveQueue(UID, "700"), HangUpLeg(UID)]
    assert story.news() == [NewsKind.FAILED], "nothing follows where nobody waits"


def test_a_caller_waits_as_long_as_the_queue_says() -> None:
    assert Story(wait_seconds=25.0).party.next_deadline() == 300


def test_after_waiting_in_vain_the_caller_is_led_on() -> None:
    story = Story(then="103")
    commands = story.deadline()
    assert commands[:2] == [LeaveQueue(UID, "700"), StopPlaying(CALLER)]
    assert placed(commands) == [UID], "no agent had the UniqueID before"
    assert commands[-1] == RINGBACK
    story.happens(LegRang(UID, 180), 301)
    story.happens(LegAnswered(UID), 305)
    assert story.news() == [NewsKind.RANG, NewsKind.ANSWERED]
    assert story.party.join(CALLER, 305) == [StopPlaying(CALLER), BridgeLegs(CALLER, UID)]


def test_an_agent_who_is_being_rung_when_the_wait_is_over_is_released() -> None:
    story = Story(then="103", max_wait_seconds=10)
    story.offers("101")
    commands = story.deadline()
    assert commands[:2] == [LeaveQueue(UID, "700"), HangUpLeg(UID)]
    (led,) = placed(commands)
    assert led != UID
    story.happens(LegEnded(UID, 487), 11)
    assert story.happens(LegEnded(led, 486), 12) == []
    assert story.party.outcome is not None
    assert story.party.outcome.disposition is Disposition.BUSY
    assert story.news() == [NewsKind.FAILED]


def test_what_follows_may_fail_at_once() -> None:
    story = Story(then="199", missing=("199",))
    story.deadline()
    assert story.news() == [NewsKind.FAILED]
    assert story.party.outcome == NO_SUCH_EXTENSION


def test_a_full_queue_is_busy() -> None:
    story = Story()
    story.happens(WaitRefused(UID))
    assert story.news() == [NewsKind.FAILED]
    assert story.party.outcome == QUEUE_FULL


def test_a_full_queue_leads_on_too() -> None:
    story = Story(then="103")
    assert placed(story.happens(WaitRefused(UID))) == [UID]
    assert story.news() == []


def test_a_queue_without_agents_is_not_connected() -> None:
    story = Story(agents=())
    assert story.news() == [NewsKind.FAILED]
    assert story.party.outcome == NO_SUCH_EXTENSION
    assert not any(isinstance(command, AnswerLeg | JoinQueue) for command in story.begun)


def test_a_queue_whose_agents_do_not_exist_is_not_connected() -> None:
    story = Story(missing=("101", "102"))
    assert story.offers("101") == [ReturnAgent(UID, "700", "101")]
    assert story.news() == []
    assert story.offers("102") == [LeaveQueue(UID, "700")]
    assert story.news() == [NewsKind.FAILED]
    assert story.party.outcome == NO_SUCH_EXTENSION


def test_a_caller_who_leaves_is_taken_out_and_the_agent_released() -> None:
    story = Story()
    story.offers("101")
    assert story.party.withdraw(4) == [LeaveQueue(UID, "700"), HangUpLeg(UID)]
    assert story.party.outcome == WITHDRAWN
    assert not story.party.released
    story.happens(LegEnded(UID, 487), 5)
    assert story.party.released
    assert story.party.withdraw(6) == [], "the queue is left once"


@pytest.mark.parametrize(
    "bring",
    [
        lambda story: story.party.withdraw(4),
        lambda story: story.deadline(),
        lambda story: story.happens(WaitRefused(UID)),
    ],
    ids=["left", "waited in vain", "refused"],
)
def test_what_crosses_the_end_of_the_wait_changes_nothing(bring: Callable[[Story], object]) -> None:
    for story in (Story(prompts=PROMPTS), Story(prompts=PROMPTS, then="103")):
        bring(story)
        state = story.party.state
        for late in (AgentsOffered(UID, ("101",)), QueuePosition(UID, 1), WaitBegun(UID), WaitRefused(UID)):
            assert story.happens(late) == []
        assert story.happens(PlaybackFinished(CALLER, f"position {UID}")) == []
        assert story.party.state is state


def test_what_crosses_the_answer_changes_nothing() -> None:
    story = answered()
    for late in (AgentsOffered(UID, ("102",)), QueuePosition(UID, 1), WaitBegun(UID), WaitRefused(UID)):
        assert story.happens(late) == []
    assert story.party.state is WaitState.UP


def test_somebody_elses_ticket_is_nobody_of_ours() -> None:
    story = Story()
    for other in (AgentsOffered("uid-9", ("101",)), QueuePosition("uid-9", 1), WaitRefused("uid-9")):
        assert story.happens(other) == []


def test_keys_go_both_ways_once_an_agent_has_answered() -> None:
    story = answered()
    story.happens(DigitPressed(UID, "5", 120))
    assert story.party.take_news() == [News(NewsKind.DIGIT, "5", 120)]
    assert story.party.press("7", 80, 6) == [SendDigit(UID, "7", 80)]


def test_an_agent_who_hangs_up_has_left() -> None:
    story = answered()
    story.happens(LegEnded(UID, 200), 60)
    assert story.news() == [NewsKind.LEFT]
    assert story.party.outcome is not None
    assert story.party.outcome.disposition is Disposition.ANSWERED
    assert story.party.released


def test_the_record_has_every_agent_who_was_rung() -> None:
    story = Story()
    story.offers("101")
    story.happens(LegEnded(UID, 486), 3)
    (second,) = placed(story.offers("102", now=4))
    story.happens(LegAnswered(second), 8)
    legs = story.party.records(at)
    assert [(leg.uid, leg.number, leg.disposition) for leg in legs] == [
        (UID, "101", Disposition.BUSY),
        (second, "102", None),
    ]


def test_the_record_of_one_who_waited_in_vain_has_the_queue() -> None:
    story = Story()
    assert [(leg.uid, leg.number, leg.disposition) for leg in story.party.records(at)] == [(UID, "700", None)]
    story.deadline()
    (leg,) = story.party.records(at)
    assert (leg.uid, leg.number, leg.disposition) == (UID, "700", Disposition.NO_ANSWER)
