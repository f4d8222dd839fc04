"""Stories of a menu: what it plays, which keys it takes, and where they lead."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import pytest
from call_disorder import at
from destination_stories import (
    CALLER,
    GOODBYE,
    INVALID,
    PARTY,
    PROMPTS,
    Ear,
    Targets,
    begun,
    call_from,
    call_to,
    files,
    news,
)

from sipcore.domain.answering import PLAYOUT_SECONDS
from sipcore.domain.apps import APPS, AppSurroundings
from sipcore.domain.call import CallState
from sipcore.domain.causes import NORMAL_CLEARING, Disposition, Outcome
from sipcore.domain.commands import (
    BridgeLegs,
    HangUpLeg,
    PlaceLeg,
    PlayTone,
    ReportFirstStage,
    SendDigit,
    StartRecording,
    StopPlaying,
)
from sipcore.domain.directory import App, Ivr
from sipcore.domain.errors import InvalidTransitionError
from sipcore.domain.events import DigitPressed, LegAnswered, LegEnded, PlaybackFinished, WorkerLost
from sipcore.domain.ivr import INTER_DIGIT_SECONDS, IvrParty, IvrState
from sipcore.domain.onward import WayOn
from sipcore.domain.party import News, NewsKind
from sipcore.domain.telling import TELL_SECONDS
from sipcore.domain.tones import ToneKind, tone

RECORDING = "f" * 32
MENU = "/audio/menu.wav"
IVR = Ivr("900", MENU, {"1": "600", "2": "199", "*": "700"}, timeout_seconds=5, repeats=2)
NO_MENUS: Mapping[str, Ivr] = {}
RINGBACK = PlayTone(CALLER, tone(ToneKind.RINGBACK, "US"))


class Menu:
    """A menu that the caller has reached."""

    def __init__(
        self,
        ivr: Ivr = IVR,
        direct: Collection[str] = ("101", "1001", "250", "3xx"),
        menus: Mapping[str, Ivr] = NO_MENUS,
    ) -> None:
        self.targets = Targets()
        self.party = IvrParty(PARTY, ivr, self.targets.way, menus, direct)
        self.ear = Ear(self.party)
        assert self.ear.hears(begun(self.party)) == [ivr.prompt]

    def waiting(self) -> Menu:
        """The prompt has ended in second 3."""
        assert self.ear.to_the_end(3) == []
        return self


class TestAnOptionIsChosen:
    def test_after_the_prompt(self) -> None:
        menu = Menu().waiting()
        commands = menu.party.press("1", 100, 4)
        assert menu.targets.dialled == ["600"]
        assert [type(command) for command in commands] == [PlaceLeg, PlayTone]
        assert commands[1] == RINGBACK

    def test_while_the_prompt_is_played_and_ends_it(self) -> None:
        menu = Menu()
        assert menu.party.press("*", 100, 1)[0] == StopPlaying(CALLER)
        assert menu.targets.dialled == ["700"]
        assert menu.ear.to_the_end(1.1) == [], "an end that crossed the key"

    def test_but_not_while_the_prompt_is_played_where_barge_in_is_off(self) -> None:
        menu = Menu(replace(IVR, barge_in=False))
        assert menu.party.press("1", 100, 1) == []
        menu.waiting().party.press("1", 100, 4)
        assert menu.targets.dialled == ["600"]

    def test_and_the_leg_is_joined_with_whoever_answers(self) -> None:
        menu = Menu().waiting()
        menu.party.press("1", 100, 4)
        assert menu.party.owns("target-1")
        assert menu.party.feed(LegAnswered("target-1"), 6) == [StopPlaying(CALLER), BridgeLegs(CALLER, "target-1")]
        assert news(menu.party) == []

    def test_and_keys_go_both_ways_once_they_are_joined(self) -> None:
        menu = Menu().waiting()
        menu.party.press("1", 100, 4)
        assert menu.party.press("9", 100, 5) == [], "nobody is there yet"
        menu.party.feed(LegAnswered("target-1"), 6)
        assert menu.party.press("9", 100, 7) == [SendDigit("target-1", "9", 100)]
        menu.party.feed(DigitPressed("target-1", "5", 80), 8)
        assert menu.party.take_news() == [News(NewsKind.DIGIT, "5", 80)]

    def test_and_its_party_leaves_with_the_one_that_was_reached(self) -> None:
        menu = Menu().waiting()
        menu.party.press("1", 100, 4)
        menu.party.feed(LegAnswered("target-1"), 6)
        menu.party.feed(LegEnded("target-1", 200), 60)
        assert news(menu.party) == [NewsKind.LEFT]
        assert menu.party.outcome == Outcome(Disposition.ANSWERED, NORMAL_CLEARING)
        assert menu.party.released

    def test_that_is_another_menu_which_takes_its_place(self) -> None:
        other = Ivr("901", "/audio/other.wav", {"3": "102", "0": "900"}, repeats=0)
        menu = Menu(replace(IVR, options={"1": "901", "2": "101"}), menus={"900": IVR, "901": other}).waiting()
        assert menu.ear.hears(menu.party.press("1", 100, 4)) == ["/audio/other.wav"]
        assert menu.targets.dialled == []
        assert menu.ear.hears(menu.party.press("2", 100, 5)) == [INVALID], "it has options of its own"
        assert menu.ear.hears(menu.ear.to_the_end(6)) == [GOODBYE], "and repeats"

    def test_that_goes_back_and_forth_between_menus_at_will(self) -> None:
        first, second = replace(IVR, options={"1": "901"}), Ivr("901", "/audio/other.wav", {"0": "900", "3": "102"})
        menu = Menu(first, menus={"900": first, "901": second})
        for now in range(500):
            assert menu.ear.hears(menu.party.press("1", 100, now)) == ["/audio/other.wav"]
            assert menu.ear.hears(menu.party.press("0", 100, now)) == [MENU]
        menu.ear.press("13", 500)
        assert menu.targets.dialled == ["102"]

    def test_that_plays_the_menu_again(self) -> None:
        menu = Menu(replace(IVR, options={"9": "900"}, repeats=0), menus={"900": IVR})
        assert menu.ear.hears(menu.party.press("9", 100, 1)) == [MENU]

    def test_that_has_nothing_to_say(self) -> None:
        music = APPS["music"]("inner", App("music", "500", "music"), AppSurroundings("acme", {}, at, lambda: RECORDING))
        outer = IvrParty(PARTY, IVR, WayOn(lambda _number: music, "US", PROMPTS), {}, ())
        begun(outer)
        assert outer.press("1", 100, 1) == [StopPlaying(CALLER)]
        assert news(outer) == [NewsKind.LEFT]

    def test_that_is_a_voicemail_box_whose_recording_is_the_calls(self) -> None:
        around = AppSurroundings("acme", {}, at, lambda: RECORDING)
        box = APPS["voicemail"]("inner", App("voicemail", "500", "voicemail"), around)
        call = call_to(IvrParty(PARTY, IVR, WayOn(lambda _number: box, "US", PROMPTS), {}, ()))
        call.feed(LegAnswered(CALLER), 1)
        assert call.record(at).recording_id is None
        assert StartRecording(CALLER, RECORDING) in call.feed(DigitPressed(CALLER, "1"), 2)
        assert call.record(at).recording_id == RECORDING


class TestItIsWithdrawn:
    def test_while_it_waits_for_a_key(self) -> None:
        menu = Menu().waiting()
        assert menu.party.withdraw(4) == []
        assert menu.party.next_deadline() is None
        assert menu.party.press("1", 100, 5) == []

    def test_while_it_tells_why_nobody_was_reached(self) -> None:
        menu = Menu().waiting()
        menu.party.press("2", 100, 4)
        assert menu.party.withdraw(5) == []
        assert menu.party.next_deadline() is None
        assert menu.party.feed(PlaybackFinished(CALLER, f"why {CALLER}"), 6) == []

    def test_while_a_phone_rings(self) -> None:
        menu = Menu().waiting()
        menu.party.press("1", 100, 4)
        assert menu.party.withdraw(5, "why") == [HangUpLeg("target-1", "why")]
        assert not menu.party.released
        assert menu.party.feed(LegAnswered("target-1"), 5.1) == [HangUpLeg("target-1")]
        menu.party.feed(LegEnded("target-1", 200), 5.2)
        assert menu.party.released
        assert news(menu.party) == []


class TestNoChoiceIsMade:
    def test_the_prompt_is_played_again_and_then_the_menu_says_goodbye(self) -> None:
        menu = Menu()
        for start in (0, 10, 20):
            assert menu.ear.to_the_end(start + 3) == []
            assert menu.party.next_deadline() == start + 8
            assert menu.party.on_deadline(start + 7.9) == []
            heard = menu.ear.hears(menu.party.on_deadline(start + 8))
            assert heard == ([GOODBYE] if start == 20 else [MENU])
        menu.ear.hears_the_last_of_it(30)

    def test_a_wrong_key_is_told_and_counts_as_a_repeat(self) -> None:
        menu = Menu(replace(IVR, repeats=1)).waiting()
        assert menu.ear.hears(menu.party.press("7", 100, 4)) == [INVALID]
        assert menu.ear.press("1", 4.5) == [], "the rest of a wrong number chooses nothing"
        assert menu.ear.hears(menu.ear.to_the_end(6)) == [MENU]
        assert menu.ear.hears(menu.party.press("8", 100, 7)) == [INVALID]
        assert menu.ear.hears(menu.ear.to_the_end(8)) == [GOODBYE]
        assert menu.ear.press("1", 8.5) == []
        assert menu.targets.dialled == []

    def test_the_end_of_a_prompt_that_was_barged_into_is_not_the_end_of_the_next(self) -> None:
        menu = Menu()
        first = menu.ear.playback
        menu.ear.hears(menu.party.press("7", 100, 1))
        assert menu.party.feed(PlaybackFinished(CALLER, first), 1.1) == []
        assert menu.ear.hears(menu.ear.to_the_end(3)) == [MENU]

    def test_prompts_that_are_not_there_are_left_out(self) -> None:
        party = IvrParty(PARTY, replace(IVR, repeats=1), WayOn(Targets().make, "US", {}), {}, ())
        begun(party)
        assert files(party.press("7", 100, 1)) == [MENU]
        assert files(party.press("7", 100, 2)) == []
        party.on_deadline(2 + PLAYOUT_SECONDS)
        assert news(party) == [NewsKind.LEFT]


class TestWhomItLeadsToIsNotReached:
    def test_the_caller_hears_why_and_then_the_menu_again(self) -> None:
        menu = Menu().waiting()
        menu.party.press("1", 100, 4)
        assert files(menu.party.feed(LegEnded("target-1", 486), 6)) == [PROMPTS["busy"]]
        assert menu.party.press("1", 100, 7) == []
        assert menu.party.feed(PlaybackFinished(CALLER, f"why {CALLER}"), 8) == [
            PlayTone(CALLER, tone(ToneKind.BUSY, "US"))
        ]
        assert menu.ear.hears(menu.party.on_deadline(6 + TELL_SECONDS)) == [MENU]
        menu.party.press("1", 100, 12)
        assert menu.targets.dialled == ["600", "600"]

    def test_a_number_that_is_nobodys_is_told_at_once(self) -> None:
        menu = Menu().waiting()
        assert files(menu.party.press("2", 100, 4)) == [PROMPTS["not_connected"]]

    def test_that_counts_as_a_repeat(self) -> None:
        menu = Menu(replace(IVR, repeats=0)).waiting()
        menu.party.press("2", 100, 4)
        assert menu.ear.hears(menu.party.on_deadline(4 + TELL_SECONDS)) == [GOODBYE]

    def test_a_phone_that_is_still_being_released_does_not_hold_the_menu_up(self) -> None:
        menu = Menu().waiting()
        menu.party.press("1", 100, 4)
        assert menu.party.on_deadline(24)[0] == HangUpLeg("target-1")
        menu.party.on_deadline(24 + TELL_SECONDS)
        menu.party.press("1", 100, 30)
        menu.party.feed(LegEnded("target-1", 487), 31)
        menu.party.feed(LegAnswered("target-2"), 32)
        records = menu.party.records(at)
        assert [(leg.uid, leg.number) for leg in records] == [
            (PARTY, "900"),
            ("target-1", "600"),
            ("target-2", "600"),
        ]

    def test_nothing_is_said_to_a_leg_that_was_lost_with_the_phone(self) -> None:
        menu = Menu().waiting()
        menu.party.press("1", 100, 4)
        assert menu.party.feed(WorkerLost((CALLER, "target-1")), 5) == []
        assert menu.party.withdraw(5) == []
        assert menu.party.released


class TestANumberIsDialledDirectly:
    DIRECT = replace(IVR, direct_dial=True)

    def test_as_soon_as_it_can_be_no_other(self) -> None:
        menu = Menu(self.DIRECT).waiting()
        assert menu.ear.press("25", 4) == []
        assert menu.targets.dialled == []
        menu.party.press("0", 100, 4)
        assert menu.targets.dialled == ["250"]

    def test_that_begins_with_an_options_key(self) -> None:
        menu = Menu(self.DIRECT).waiting()
        menu.ear.press("101", 4)
        assert menu.targets.dialled == ["101"]

    def test_or_the_options_key_alone_after_a_while(self) -> None:
        menu = Menu(self.DIRECT).waiting()
        assert menu.party.press("1", 100, 4) == []
        assert menu.party.next_deadline() == 4 + INTER_DIGIT_SECONDS
        menu.party.on_deadline(4 + INTER_DIGIT_SECONDS)
        assert menu.targets.dialled == ["600"]

    def test_or_the_options_key_alone_with_the_end_sign(self) -> None:
        menu = Menu(self.DIRECT).waiting()
        menu.ear.press("1#", 4)
        assert menu.targets.dialled == ["600"]

    def test_each_digit_gives_the_next_one_time(self) -> None:
        menu = Menu(self.DIRECT).waiting()
        menu.party.press("1", 100, 4)
        menu.party.press("0", 100, 6)
        assert menu.party.next_deadline() == 6 + INTER_DIGIT_SECONDS

    def test_of_a_shape_that_belongs_to_a_pbx(self) -> None:
        menu = Menu(self.DIRECT).waiting()
        menu.ear.press("342", 4)
        assert menu.targets.dialled == ["342"]

    @pytest.mark.parametrize("keys", ["19", "3*", "100#", "2502", "A"])
    def test_but_only_one_that_there_is(self, keys: str) -> None:
        menu = Menu(replace(self.DIRECT, options={"1": "600"}), ("1001", "2503", "3xx")).waiting()
        assert menu.ear.hears(menu.ear.press(keys, 4)) == [INVALID]
        assert menu.targets.dialled == []

    def test_and_too_few_digits_are_a_wrong_choice(self) -> None:
        menu = Menu(self.DIRECT).waiting()
        menu.ear.press("25", 4)
        assert menu.ear.hears(menu.party.on_deadline(4 + INTER_DIGIT_SECONDS)) == [INVALID]
        assert menu.ear.hears(menu.ear.to_the_end(9)) == [MENU]
        menu.ear.press("101", 10)
        assert menu.targets.dialled == ["101"], "the wrong digits are forgotten"

    def test_with_a_hash_of_its_own(self) -> None:
        menu = Menu(self.DIRECT, ("*4#", "*43")).waiting()
        menu.ear.press("*4#", 4)
        assert menu.targets.dialled == ["*4#"]

    def test_unless_the_menu_does_not_allow_it(self) -> None:
        menu = Menu().waiting()
        menu.ear.press("101", 4)
        assert menu.targets.dialled == ["600"]


class TestInACall:
    def test_as_dial2_it_talks_to_dial1_and_leads_it_on(self) -> None:
        targets = Targets()
        call = call_to(IvrParty(PARTY, IVR, targets.way, {}, ()))
        commands = call.feed(LegAnswered(CALLER), 1)
        assert commands[0] == ReportFirstStage(None)
        assert files(commands) == [MENU]
        assert call.state is CallState.JOINED
        placed = call.feed(DigitPressed(CALLER, "1"), 2)
        assert PlaceLeg("target-1", targets_plan(placed)) in placed
        assert call.feed(LegAnswered("target-1"), 5)[-1] == BridgeLegs(CALLER, "target-1")
        assert call.feed(DigitPressed("target-1", "7"), 6) == [SendDigit(CALLER, "7", 0)]
        assert call.feed(LegEnded("target-1", 200), 60) == [HangUpLeg(CALLER)]
        assert call.feed(LegEnded(CALLER, 200, ended_by="local"), 60.1) == []
        record = call.record(at)
        assert (record.disposition, record.ended_by) == (Disposition.ANSWERED, "dial2")
        assert [(leg.party, leg.number, leg.disposition) for leg in record.legs] == [
            ("dial1", "101", Disposition.ANSWERED),
            ("dial2", "900", Disposition.ANSWERED),
            ("dial2", "600", Disposition.ANSWERED),
        ]

    def test_as_dial1_it_is_answered_at_once_and_talks_to_dial2(self) -> None:
        call = call_from(IvrParty(PARTY, IVR, Targets().way, {}, ()))
        assert [type(command) for command in call.start(0)] == [PlaceLeg, ReportFirstStage]
        assert files(call.feed(LegAnswered(CALLER), 3)) == [MENU]
        assert call.state is CallState.JOINED
        call.feed(DigitPressed(CALLER, "1"), 4)
        assert call.feed(LegEnded(CALLER, 200), 5) == [HangUpLeg("target-1")]
        assert not call.ended
        assert call.feed(LegEnded("target-1", 487, ended_by="local"), 5.1) == []
        assert call.ended

    def test_a_key_that_ends_it_ends_the_call(self) -> None:
        menu = replace(IVR, repeats=0)
        call = call_to(IvrParty(PARTY, menu, WayOn(Targets().make, "US", {}), {}, ()))
        call.feed(LegAnswered(CALLER), 1)
        assert call.feed(DigitPressed(CALLER, "7"), 2) == [StopPlaying(CALLER)]
        assert call.on_deadline(2 + PLAYOUT_SECONDS) == [HangUpLeg(CALLER)]


def targets_plan(commands: list[object]) -> object:
    return next(command.plan for command in commands if isinstance(command, PlaceLeg))


@pytest.mark.parametrize(
    ("bring", "state"),
    [
        (lambda menu: menu.party.next_deadline(), IvrState.PROMPTING),
        (lambda menu: menu.waiting(), IvrState.WAITING),
        (lambda menu: menu.party.press("7", 100, 1), IvrState.REJECTING),
        (lambda menu: menu.party.press("1", 100, 1), IvrState.LEADING),
    ],
)
def test_it_is_joined_once(bring: Callable[[Menu], object], state: IvrState) -> None:
    menu = Menu()
    bring(menu)
    assert menu.party.state is state
    with pytest.raises(InvalidTransitionError):
        menu.party.join(CALLER, 9)
