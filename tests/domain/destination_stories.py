"""What the tests of menus, announcements and apps share: a leg that hears them, their prompts, and whom they lead to.

Time is a number of seconds; every story starts at 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import call_stories

from sipcore.domain.answering import PLAYOUT_SECONDS
from sipcore.domain.call import Call
from sipcore.domain.causes import NO_SUCH_EXTENSION
from sipcore.domain.commands import Command, LegPlan, PlayAudio
from sipcore.domain.directory import SipHost
from sipcore.domain.events import LegPlaced, PlaybackFinished
from sipcore.domain.nowhere import NowhereParty
from sipcore.domain.onward import WayOn
from sipcore.domain.party import NewsKind, Party
from sipcore.domain.phone import PhoneParty
from sipcore.domain.prompts import ALL_PROMPTS, Prompt

CALLER = "caller-leg"
PARTY = "party-uid"
PROMPTS = {name: f"/prompts/{name}.wav" for name in ALL_PROMPTS}
BEEP, GOODBYE, INVALID = (PROMPTS[name] for name in (Prompt.BEEP, Prompt.GOODBYE, Prompt.INVALID_CHOICE))
TERMS = replace(call_stories.TERMS, prompts=PROMPTS)


def plan(number: str) -> LegPlan:
    return LegPlan(user=number, at=SipHost("127.0.0.1", 25061), trunk=None, from_uri="<sip:1@127.0.0.1>")


def phone(leg: str, number: str = "101") -> PhoneParty:
    return PhoneParty(leg, plan(number), ring_seconds=20)


@dataclass
class Targets:
    """Makes phones, and keeps which numbers were asked for; `199` is nobody's."""

    dialled: list[str] = field(default_factory=list)

    def make(self, number: str) -> Party:
        self.dialled.append(number)
        uid = f"target-{len(self.dialled)}"
        return NowhereParty(uid, number, NO_SUCH_EXTENSION) if number == "199" else phone(uid, number)

    @property
    def way(self) -> WayOn:
        return WayOn(self.make, "US", PROMPTS)


def news(party: Party) -> list[NewsKind]:
    return [item.kind for item in party.take_news()]


def begun(party: Party) -> list[Command]:
    """Answer a party and join it with the caller in second 0."""
    assert party.start(0, CALLER) == []
    assert news(party) == [NewsKind.ANSWERED]
    return party.join(CALLER, 0)


def files(commands: list[Command]) -> list[str]:
    """The files that are played by the commands."""
    return [file for command in commands if isinstance(command, PlayAudio) for file in command.files]


class Ear:
    """The caller's end of a party: remembers what is played, and can tell that it has come to its end."""

    def __init__(self, party: Party) -> None:
        self.party = party
        self.playback = ""

    def hears(self, commands: list[Command]) -> list[str]:
        for command in commands:
            if isinstance(command, PlayAudio):
                assert command.leg == CALLER
                assert command.playback != self.playback
                self.playback = command.playback
        return files(commands)

    def press(self, keys: str, now: float) -> list[Command]:
        return [command for key in keys for command in self.party.press(key, 100, now)]

    def hears_the_last_of_it(self, now: float) -> None:
        """Let what is played come to its end, after which the party leaves: not before the end has been heard."""
        assert self.to_the_end(now) == []
        assert news(self.party) == []
        assert self.press("0123456789*#", now) == []
        assert self.party.next_deadline() == now + PLAYOUT_SECONDS
        assert self.party.on_deadline(now + PLAYOUT_SECONDS) == []
        assert news(self.party) == [NewsKind.LEFT]
        assert self.party.next_deadline() is None

    def to_the_end(self, now: float) -> list[Command]:
        """Let what is played come to its end."""
        return self.party.feed(PlaybackFinished(CALLER, self.playback), now)


def call_to(party: Party) -> Call:
    """A call whose caller has answered, with the party as dial2."""
    call = Call(TERMS, phone(CALLER), party)
    call.start(0)
    call.feed(LegPlaced(CALLER), 0)
    return call


def call_from(party: Party) -> Call:
    """A call with the party as dial1; dial2 is the caller's phone, which rings."""
    return Call(TERMS, party, phone(CALLER))
