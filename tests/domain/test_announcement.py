"""Stories of an announcement: it plays, hangs up, or leads on at the press of its key."""

from __future__ import annotations

from dataclasses import replace

from call_disorder import at
from destination_stories import CALLER, PARTY, PROMPTS, Ear, Targets, begun, call_from, call_to, files, news

from sipcore.domain.announcement import KEY_SECONDS, AnnouncementParty
from sipcore.domain.answering import PLAYOUT_SECONDS
from sipcore.domain.causes import Disposition
from sipcore.domain.commands import BridgeLegs, HangUpLeg, PlayAudio, StopPlaying
from sipcore.domain.directory import Announcement
from sipcore.domain.events import DigitPressed, LegAnswered, LegEnded, PlaybackFinished
from sipcore.domain.party import NewsKind
from sipcore.domain.telling import TELL_SECONDS

NOTICE = "/audio/notice.wav"
PLAIN = Announcement("800", NOTICE)
WITH_KEY = Announcement("800", NOTICE, key="1", then="101")


class Notice:
    """An announcement that the caller hears."""

    def __init__(self, announcement: Announcement) -> None:
        self.targets = Targets()
        self.party = AnnouncementParty(PARTY, announcement, self.targets.way)
        self.ear = Ear(self.party)
        self.first = self.ear.hears(begun(self.party))


class TestWithoutAKey:
    def test_it_plays_its_file_and_leaves(self) -> None:
        notice = Notice(PLAIN)
        assert notice.first == [NOTICE]
        notice.ear.hears_the_last_of_it(8)

    def test_it_plays_it_as_often_as_it_should(self) -> None:
        assert Notice(replace(PLAIN, repeats=3)).first == [NOTICE] * 3

    def test_keys_change_nothing(self) -> None:
        notice = Notice(PLAIN)
        assert notice.ear.press("1#*", 2) == []
        assert notice.targets.dialled == []


class TestWithAKey:
    def test_it_leads_on_while_the_file_is_played(self) -> None:
        notice = Notice(WITH_KEY)
        assert notice.ear.press("2", 1) == []
        assert notice.ear.press("1", 2)[0] == StopPlaying(CALLER)
        assert notice.targets.dialled == ["101"]
        assert notice.ear.to_the_end(2.1) == [], "an end that crossed the key"
        assert notice.party.feed(LegAnswered("target-1"), 5) == [StopPlaying(CALLER), BridgeLegs(CALLER, "target-1")]
        notice.party.feed(LegEnded("target-1", 200), 60)
        assert news(notice.party) == [NewsKind.LEFT]

    def test_it_leads_on_for_a_while_after_the_end(self) -> None:
        notice = Notice(WITH_KEY)
        assert notice.ear.to_the_end(8) == []
        assert news(notice.party) == []
        notice.ear.press("1", 8 + KEY_SECONDS - 0.1)
        assert notice.targets.dialled == ["101"]
        assert notice.party.next_deadline() == 8 + KEY_SECONDS - 0.1 + 20, "the phone's ringing time is all there is"

    def test_it_leaves_when_the_key_is_not_pressed(self) -> None:
        notice = Notice(WITH_KEY)
        notice.ear.to_the_end(8)
        assert notice.party.next_deadline() == 8 + KEY_SECONDS
        notice.party.on_deadline(8 + KEY_SECONDS)
        assert news(notice.party) == [NewsKind.LEFT]

    def test_it_tells_why_nobody_was_reached_and_leaves(self) -> None:
        notice = Notice(WITH_KEY)
        notice.ear.press("1", 2)
        assert files(notice.party.feed(LegEnded("target-1", 503), 3)) == [PROMPTS["unreachable"]]
        assert news(notice.party) == []
        notice.party.on_deadline(3 + TELL_SECONDS)
        assert news(notice.party) == [NewsKind.LEFT]
        assert [leg.disposition for leg in notice.party.records(at)] == [Disposition.ANSWERED, Disposition.UNREACHABLE]


class TestInACall:
    def test_as_dial2_it_hangs_up_after_its_file(self) -> None:
        call = call_to(AnnouncementParty(PARTY, PLAIN, Targets().way))
        (play,) = [command for command in call.feed(LegAnswered(CALLER), 1) if isinstance(command, PlayAudio)]
        assert play.files == (NOTICE,)
        assert call.feed(PlaybackFinished(CALLER, play.playback), 9) == []
        assert call.on_deadline(9 + PLAYOUT_SECONDS) == [HangUpLeg(CALLER)]
        call.feed(LegEnded(CALLER, 200, ended_by="local"), 9.1)
        assert (call.record(at).disposition, call.record(at).ended_by) == (Disposition.ANSWERED, "dial2")

    def test_as_dial1_it_plays_to_dial2_and_leads_it_on(self) -> None:
        call = call_from(AnnouncementParty(PARTY, WITH_KEY, Targets().way))
        call.start(0)
        assert files(call.feed(LegAnswered(CALLER), 3)) == [NOTICE]
        call.feed(DigitPressed(CALLER, "1"), 4)
        assert call.feed(LegAnswered("target-1"), 6)[-1] == BridgeLegs(CALLER, "target-1")

    def test_a_caller_who_hangs_up_ends_it(self) -> None:
        call = call_to(AnnouncementParty(PARTY, WITH_KEY, Targets().way))
        call.feed(LegAnswered(CALLER), 1)
        assert call.feed(LegEnded(CALLER, 200), 2) == []
        assert call.ended

    def test_a_phone_that_is_not_reached_is_told_before_the_call_ends(self) -> None:
        call = call_to(AnnouncementParty(PARTY, WITH_KEY, Targets().way))
        call.feed(LegAnswered(CALLER), 1)
        call.feed(DigitPressed(CALLER, "1"), 2)
        assert files(call.feed(LegEnded("target-1", 486), 3)) == [PROMPTS["busy"]]
        assert call.on_deadline(3 + TELL_SECONDS) == [HangUpLeg(CALLER)]
