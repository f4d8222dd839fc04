"""Stories of what is built in: echo test, music, clock, conference room, voicemail box."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from call_disorder import at
from destination_stories import BEEP, CALLER, GOODBYE, PARTY, PROMPTS, Ear, begun, call_from, call_to, news

from sipcore.domain.answering import PLAYOUT_SECONDS
from sipcore.domain.apps import APPS, CLOCK_SECONDS, CLOCK_TIMES, AppParty, AppSurroundings
from sipcore.domain.causes import NO_SUCH_EXTENSION, Disposition
from sipcore.domain.commands import (
    EchoLeg,
    HangUpLeg,
    JoinRoom,
    PlayAudio,
    StartRecording,
    StopPlaying,
    StopRecording,
)
from sipcore.domain.directory import App, AppKind
from sipcore.domain.events import DigitPressed, LegAnswered, LegEnded, PlaybackFinished, RecordingFinished
from sipcore.domain.fallback import FallbackParty
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.party import NewsKind

NEW_YORK = ZoneInfo("America/New_York")
RECORDING = "f" * 32
MUSIC = PROMPTS["music"]
GREETING = PROMPTS["please_leave_a_message"]


def local_time(now: float) -> datetime:
    return (at(0) + timedelta(hours=7, minutes=5, seconds=now)).astimezone(NEW_YORK)


AROUND = AppSurroundings("acme", PROMPTS, local_time, lambda: RECORDING)


def app(kind: AppKind, audio: str | None = None) -> App:
    return App(kind, "500", kind, audio, max_seconds=60)


def party(kind: AppKind, audio: str | None = None) -> AppParty:
    return APPS[kind](PARTY, app(kind, audio), AROUND)


def test_every_kind_that_the_settings_know_has_a_party() -> None:
    assert set(APPS) == set(get_args(AppKind))


@pytest.mark.parametrize("kind", get_args(AppKind))
def test_each_is_there_until_the_other_side_leaves(kind: AppKind) -> None:
    one = party(kind)
    begun(one)
    for key in "123#*0":
        one.press(key, 100, 1)
    assert NewsKind.LEFT not in news(one) or kind == "voicemail"
    assert one.withdraw(9) == []
    assert one.released
    (record,) = one.records(at)
    assert (record.uid, record.number, record.disposition) == (PARTY, "500", Disposition.ANSWERED)
    assert (record.answered_at, record.ended_at) == (at(0), at(9))
    assert one.next_deadline() is None
    assert one.press("#", 100, 10) == []


class TestEcho:
    def test_the_leg_hears_itself(self) -> None:
        assert begun(party("echo")) == [StopPlaying(CALLER), EchoLeg(CALLER)]


class TestMusic:
    @pytest.mark.parametrize("kind", ["music", "hold"])
    def test_it_plays_for_ever(self, kind: AppKind) -> None:
        (play,) = begun(party(kind))
        assert play == PlayAudio(CALLER, f"{PARTY} 1", (MUSIC,), loop=True)

    @pytest.mark.parametrize("kind", ["music", "hold"])
    def test_it_plays_its_own_file_where_it_has_one(self, kind: AppKind) -> None:
        assert begun(party(kind, "/audio/jazz.wav")) == [
            PlayAudio(CALLER, f"{PARTY} 1", ("/audio/jazz.wav",), loop=True)
        ]

    def test_it_leaves_when_there_is_nothing_to_play(self) -> None:
        silent = APPS["music"](PARTY, app("music"), replace(AROUND, prompts={}))
        assert begun(silent) == []
        assert news(silent) == [NewsKind.LEFT]

    def test_it_does_so_as_the_one_that_is_rung_instead_of_another_too(self) -> None:
        silent = APPS["music"](PARTY, app("music"), replace(AROUND, prompts={}))
        instead = FallbackParty(NowhereParty("first", "199", NO_SUCH_EXTENSION), lambda: silent)
        assert begun(instead) == []
        assert news(instead) == [NewsKind.LEFT]


class TestClock:
    def test_it_tells_the_organisations_time_before_a_beep(self) -> None:
        heard = Ear(party("clock")).hears(begun(party("clock")))
        names = ["the_time_is", "number_2", "oh", "number_5", "p_m", "beep"]
        assert heard == [PROMPTS[name] for name in names], "19:05 UTC is 14:05 in New York in winter"

    def test_again_and_again_and_then_it_leaves(self) -> None:
        clock = party("clock")
        ear = Ear(clock)
        ear.hears(begun(clock))
        for turn in range(1, CLOCK_TIMES):
            assert ear.to_the_end((turn - 1) * CLOCK_SECONDS + 4) == []
            assert clock.next_deadline() == turn * CLOCK_SECONDS
            assert ear.hears(clock.on_deadline(turn * CLOCK_SECONDS))[0] == PROMPTS["the_time_is"]
        ear.hears_the_last_of_it(CLOCK_TIMES * CLOCK_SECONDS)

    def test_with_the_time_that_it_is_by_then(self) -> None:
        clock = party("clock")
        ear = Ear(clock)
        ear.hears(begun(clock))
        ear.to_the_end(4)
        assert PROMPTS["number_6"] in ear.hears(clock.on_deadline(60))


class TestConference:
    def test_the_leg_joins_the_organisations_room_of_that_number_after_a_beep(self) -> None:
        room = party("conference")
        ear = Ear(room)
        assert ear.hears(begun(room)) == [BEEP]
        assert ear.to_the_end(1) == [StopPlaying(CALLER), JoinRoom(CALLER, "acme/500")]
        assert ear.to_the_end(2) == []
        assert room.next_deadline() is None

    def test_two_organisations_with_the_same_number_have_two_rooms(self) -> None:
        other = APPS["conference"](PARTY, app("conference"), replace(AROUND, organisation="globex", prompts={}))
        assert begun(other) == [StopPlaying(CALLER), JoinRoom(CALLER, "globex/500")]


class TestVoicemail:
    def test_it_records_after_the_greeting_and_the_beep(self) -> None:
        box = party("voicemail")
        ear = Ear(box)
        assert ear.hears(begun(box)) == [GREETING, BEEP]
        assert box.recording_id is None
        assert ear.to_the_end(5) == [StartRecording(CALLER, RECORDING)]
        assert box.recording_id == RECORDING

    def test_it_greets_with_its_own_file_where_it_has_one(self) -> None:
        assert Ear(party("voicemail")).hears(begun(party("voicemail", "/audio/hi.wav"))) == ["/audio/hi.wav", BEEP]

    def test_the_hash_key_skips_the_greeting(self) -> None:
        box = party("voicemail")
        ear = Ear(box)
        ear.hears(begun(box))
        assert ear.press("5", 1) == []
        commands = ear.press("#", 1)
        late = ear.playback
        assert commands[0] == StopPlaying(CALLER)
        assert ear.hears(commands) == [BEEP]
        assert box.feed(PlaybackFinished(CALLER, late), 1.1) == [], "the end of the greeting that crossed the key"
        assert ear.to_the_end(2) == [StartRecording(CALLER, RECORDING)]

    def test_the_hash_key_ends_the_recording(self) -> None:
        box, ear = recording()
        assert ear.press("5", 10) == [], "any other key is a part of what is said"
        commands = ear.press("#", 12)
        assert commands[0] == StopRecording(CALLER, RECORDING)
        assert ear.hears(commands) == [GOODBYE]
        assert box.next_deadline() is None
        assert box.feed(RecordingFinished(CALLER, RECORDING, 7.0), 12.1) == []
        assert ear.press("#", 12.5) == []
        ear.hears_the_last_of_it(14)

    def test_so_does_its_length(self) -> None:
        box, ear = recording()
        assert box.next_deadline() == 5 + 60
        commands = box.on_deadline(5 + 60)
        assert commands[0] == StopRecording(CALLER, RECORDING)
        assert ear.hears(commands) == [GOODBYE]
        assert box.next_deadline() is None

    def test_the_record_of_the_call_names_the_recording(self) -> None:
        call = call_to(party("voicemail"))
        (play,) = [command for command in call.feed(LegAnswered(CALLER), 1) if isinstance(command, PlayAudio)]
        assert call.record(at).recording_id is None
        assert call.feed(PlaybackFinished(CALLER, play.playback), 6) == [StartRecording(CALLER, RECORDING)]
        assert call.record(at).recording_state == "recording"
        call.feed(LegEnded(CALLER, 200), 9)
        assert call.ended
        assert call.record(at).recording_id == RECORDING

    def test_as_dial1_it_records_dial2(self) -> None:
        call = call_from(party("voicemail"))
        call.start(0)
        (play,) = [command for command in call.feed(LegAnswered(CALLER), 3) if isinstance(command, PlayAudio)]
        assert call.feed(PlaybackFinished(CALLER, play.playback), 6) == [StartRecording(CALLER, RECORDING)]
        (stop, goodbye) = call.feed(DigitPressed(CALLER, "#"), 8)
        assert stop == StopRecording(CALLER, RECORDING)
        assert isinstance(goodbye, PlayAudio)
        assert call.record(at).recording_id == RECORDING
        assert call.feed(PlaybackFinished(CALLER, goodbye.playback), 9) == []
        assert call.on_deadline(9 + PLAYOUT_SECONDS) == [HangUpLeg(CALLER)]


def recording() -> tuple[AppParty, Ear]:
    """A voicemail box that records since second 5."""
    box = party("voicemail")
    ear = Ear(box)
    ear.hears(begun(box))
    ear.to_the_end(5)
    return box, ear
