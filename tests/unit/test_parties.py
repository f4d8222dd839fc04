"""From a destination of the settings to the party that stands for it, seen by what that party does."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import get_args

import pytest
from call_disorder import at
from destination_stories import CALLER, PROMPTS, files

from sipcore.domain.answering import PLAYOUT_SECONDS
from sipcore.domain.commands import Command, EchoLeg, ListenForSpeech, PlaceLeg, PlayAudio, StartRecording
from sipcore.domain.dialplan import resolve
from sipcore.domain.directory import (
    Announcement,
    App,
    AppKind,
    Directory,
    Extension,
    ExternalNumber,
    HuntStrategy,
    Ivr,
    Organisation,
    Queue,
    RingGroup,
    SipAddress,
    SipHost,
    Trunk,
)
from sipcore.domain.events import AgentsOffered, BeepHeard, LegAnswered, PlaybackFinished
from sipcore.domain.machine_detection import MachineAction, MachineDetection
from sipcore.domain.parties import MAX_DEPTH, PartyMaker, Side, Surroundings
from sipcore.domain.party import NewsKind, Party
from sipcore.service.numbers import PhoneNumberPlan

UID = "uid-2"
RECORDING = "a" * 32
CUSTOMER, COLLEAGUE = "+12025550123", "+12025550124"
HOST = SipHost("127.0.0.1", 25061)
NUMBERS = PhoneNumberPlan()
ACME = Organisation(
    name="acme",
    trunk="main",
    extensions={
        "101": Extension("101", SipAddress("101", HOST)),
        "102": Extension("102", SipAddress("102", HOST), confirm=True),
    },
    external_numbers={COLLEAGUE: ExternalNumber(COLLEAGUE, confirm=True)},
    ring_groups={
        "600": RingGroup("600", ("101",), total_seconds=20),
        "601": RingGroup("601", ("101",), ring_seconds=90, total_seconds=90),
    },
    queues={"700": Queue("700", ("101",), max_wait_seconds=60, then="500")},
    announcements={"800": Announcement("800", "/audio/notice.wav", key="1", then="101")},
    ivrs={"900": Ivr("900", "/audio/menu.wav", {"1": "101", "9": "900"}, direct_dial=True)},
    apps={
        "500": App("box", "500", "voicemail"),
        **{f"*{index}": App(kind, f"*{index}", kind) for index, kind in enumerate(get_args(AppKind))},
    },
    internal_numbers=("3xx",),
    prompts=PROMPTS,
)


def local_time(now: float) -> datetime:
    return at(now)


def maker(organisation: Organisation = ACME, **side: object) -> PartyMaker:
    """A maker for a side of a call; `side` as in `Side`."""
    uids = (f"further-{number}" for number in count(1))
    around = Surroundings(
        organisation=organisation,
        directory=Directory({"acme": organisation}, {"main": Trunk("main", HOST)}),
        numbers=NUMBERS,
        new_uid=lambda: next(uids),
        order=lambda group: tuple(reversed(group.members)) if group.strategy is HuntStrategy.RANDOM else group.members,
        local_time=local_time,
        new_recording=lambda: RECORDING,
    )
    return PartyMaker(around, replace(Side(None, foreign=False, auto_answer=False, ring_seconds=30), **side))


def party_of(number: str, organisation: Organisation = ACME, **side: object) -> Party:
    return maker(organisation, **side).party(resolve(number, organisation, NUMBERS, parameter="dial2"), UID)


def kinds(party: Party) -> list[NewsKind]:
    return [news.kind for news in party.take_news()]


def begun(number: str, organisation: Organisation = ACME) -> tuple[Party, list[Command]]:
    """A party that answers by itself, joined with the caller."""
    party = party_of(number, organisation)
    party.start(0, CALLER)
    assert kinds(party) == [NewsKind.ANSWERED]
    return party, party.join(CALLER, 0)


def placed(commands: list[Command]) -> list[str]:
    return [command.plan.user for command in commands if isinstance(command, PlaceLeg)]


class TestAPhone:
    @pytest.mark.parametrize(
        ("number", "confirms"), [("101", False), ("102", True), (CUSTOMER, False), (COLLEAGUE, True)]
    )
    def test_is_asked_to_press_1_where_the_settings_say_so(self, number: str, confirms: bool) -> None:
        party = party_of(number)
        party.start(0)
        heard = files(party.feed(LegAnswered(UID), 3))
        assert heard == ([PROMPTS["press_1_to_accept"]] if confirms else [])
        assert (kinds(party) == [NewsKind.ANSWERED]) != confirms

    @pytest.mark.parametrize(("number", "listens"), [("101", False), (CUSTOMER, True), (COLLEAGUE, True)])
    def test_is_listened_to_when_it_is_outside_and_machines_are_looked_for(self, number: str, listens: bool) -> None:
        party = party_of(number, replace(ACME, machine_detection=MachineDetection()))
        party.start(0)
        assert (party.feed(LegAnswered(UID), 3) == [ListenForSpeech(UID)]) == listens
        assert kinds(party) == ([] if listens else [NewsKind.ANSWERED])

    def test_whose_machine_is_told_the_announcement_of_the_settings(self) -> None:
        detection = MachineDetection(action=MachineAction.ANNOUNCE, announcement="800")
        party = party_of(CUSTOMER, replace(ACME, machine_detection=detection))
        party.start(0)
        party.feed(LegAnswered(UID), 3)
        assert files(party.feed(BeepHeard(UID, 900), 4)) == ["/audio/notice.wav"]


class TestAMenu:
    def test_leads_to_its_options(self) -> None:
        party, heard = begun("900")
        assert files(heard) == ["/audio/menu.wav"]
        party.press("1", 100, 1)
        assert placed(party.on_deadline(4)) == ["101"], "101 and 102 begin with that key, too"

    @pytest.mark.parametrize(("keys", "dialled"), [("102", ["102"]), ("311", ["311"]), ("700", []), ("500", [])])
    def test_lets_extensions_be_dialled_and_those_of_the_pbx(self, keys: str, dialled: list[str]) -> None:
        party, _ = begun("900")
        commands = [command for key in keys for command in party.press(key, 100, 1)]
        assert placed(commands) == dialled

    def test_may_be_played_again_at_the_press_of_a_key_for_ever(self) -> None:
        party, _ = begun("900")
        for now in range(2 * MAX_DEPTH):
            assert files(party.press("9", 100, now)) == ["/audio/menu.wav"]


class TestDestinationsInEachOther:
    def test_are_told_to_be_unreachable_when_they_are_too_many(self) -> None:
        loop = Announcement("800", "/audio/notice.wav", key="1", then="800")
        party, _ = begun("800", replace(ACME, announcements={"800": loop}))
        for now in range(MAX_DEPTH):
            assert files(party.press("1", 100, now)) == ["/audio/notice.wav"]
        assert files(party.press("1", 100, MAX_DEPTH)) == [PROMPTS["unreachable"]]


class TestAnAnnouncement:
    def test_leads_to_the_number_of_its_key(self) -> None:
        party, heard = begun("800")
        assert files(heard) == ["/audio/notice.wav"]
        assert placed(party.press("1", 100, 1)) == ["101"]


class TestAnApp:
    @pytest.mark.parametrize("kind", get_args(AppKind))
    def test_of_every_kind_answers(self, kind: AppKind) -> None:
        number = next(app.number for app in ACME.apps.values() if app.name == kind)
        _, heard = begun(number)
        assert any(isinstance(command, PlayAudio | EchoLeg) for command in heard)

    def test_that_follows_a_wait_in_a_queue_keeps_its_recording(self) -> None:
        party = party_of("700")
        party.start(0, CALLER)
        party.on_deadline(60)
        assert kinds(party) == [NewsKind.ANSWERED]
        (greeting,) = (command for command in party.join(CALLER, 60) if isinstance(command, PlayAudio))
        assert party.feed(PlaybackFinished(CALLER, greeting.playback), 66) == [StartRecording(CALLER, RECORDING)]
        assert party.recording_id == RECORDING
        assert party.feed(AgentsOffered(UID, ("101",)), 67) == []

    def test_that_follows_a_wait_in_a_queue_may_leave_at_the_press_of_a_key(self) -> None:
        party = party_of("700", replace(ACME, prompts={}))
        party.start(0, CALLER)
        party.on_deadline(60)
        party.take_news()
        party.join(CALLER, 60)
        party.press("#", 100, 61)
        party.on_deadline(61 + PLAYOUT_SECONDS)
        assert kinds(party) == [NewsKind.LEFT]

    def test_that_follows_a_wait_in_a_queue_may_have_nothing_to_play(self) -> None:
        queue = replace(ACME.queues["700"], then="*1")
        party = party_of("700", replace(ACME, prompts={}, queues={"700": queue}))
        party.start(0, CALLER)
        party.on_deadline(60)
        party.take_news()
        party.join(CALLER, 60)
        assert kinds(party) == [NewsKind.LEFT]


@pytest.mark.parametrize(("number", "seconds"), [("600", 20), ("601", 30)])
def test_a_group_rings_no_longer_than_its_side_of_the_call_may(number: str, seconds: float) -> None:
    group = party_of(number)
    group.start(100)
    assert group.on_deadline(100 + seconds - 0.1) == []
    group.on_deadline(100 + seconds)
    assert NewsKind.FAILED in kinds(group)
