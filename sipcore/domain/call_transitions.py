"""All transitions of a call, by its state, what a party tells, and the place that this party has."""

from __future__ import annotations

from enum import StrEnum

from sipcore.domain.machine import IGNORED
from sipcore.domain.party import NewsKind
from sipcore.domain.role import Role


class CallState(StrEnum):
    """Where the call stands."""

    ACCEPTED = "accepted"
    RINGING_FIRST = "ringing first"
    RINGING_SECOND = "ringing second"
    JOINED = "joined"
    TELLING = "telling"
    RELEASING = "releasing"
    ENDED = "ended"


TRANSITIONS: dict[tuple[CallState, NewsKind, Role], str] = {
    # Somebody who called us gave up while it was looked up whom they reach.
    (CallState.ACCEPTED, NewsKind.LEFT, Role.FIRST): "_caller_left",
    (CallState.RINGING_FIRST, NewsKind.RANG, Role.FIRST): IGNORED,
    (CallState.RINGING_FIRST, NewsKind.ANSWERED, Role.FIRST): "_ring_second",
    (CallState.RINGING_FIRST, NewsKind.FAILED, Role.FIRST): "_give_up",
    (CallState.RINGING_SECOND, NewsKind.RANG, Role.SECOND): IGNORED,
    (CallState.RINGING_SECOND, NewsKind.ANSWERED, Role.SECOND): "_join",
    (CallState.RINGING_SECOND, NewsKind.FAILED, Role.SECOND): "_tell_why",
    (CallState.RINGING_SECOND, NewsKind.LEFT, Role.FIRST): "_caller_left",
    # Party 1 presses keys before anybody is there to hear them.
    (CallState.RINGING_SECOND, NewsKind.DIGIT, Role.FIRST): IGNORED,
    (CallState.JOINED, NewsKind.LEFT, Role.FIRST): "_part",
    (CallState.JOINED, NewsKind.LEFT, Role.SECOND): "_part",
    (CallState.JOINED, NewsKind.DIGIT, Role.FIRST): "_relay_digit",
    (CallState.JOINED, NewsKind.DIGIT, Role.SECOND): "_relay_digit",
    (CallState.JOINED, NewsKind.RANG, Role.THIRD): IGNORED,
    (CallState.JOINED, NewsKind.ANSWERED, Role.THIRD): "_admit_third",
    (CallState.JOINED, NewsKind.FAILED, Role.THIRD): "_miss_third",
    (CallState.JOINED, NewsKind.LEFT, Role.THIRD): "_miss_third",
    (CallState.JOINED, NewsKind.DIGIT, Role.THIRD): "_relay_digit",
    (CallState.TELLING, NewsKind.LEFT, Role.FIRST): "_told",
    (CallState.TELLING, NewsKind.DIGIT, Role.FIRST): IGNORED,
}
