"""What far ends do in the fake: scripts for the legs that we place, and what became of each leg."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sipcore.domain.commands import EchoLeg, PlaceLeg, PlayAudio, PlayTone
from sipcore.domain.slots import Slots

_OK = 200


class OnCancel(StrEnum):
    """What a far end does about our CANCEL.

    Attributes:
        TERMINATE: it answers the INVITE with 487.
        ANSWER: it has answered meanwhile, so that the leg is up and its worker sends BYE (RFC 3261 section 9.1).
        IGNORE: it says nothing, so the leg keeps its slot until `time_out`.
    """

    TERMINATE = "terminate"
    ANSWER = "answer"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Script:
    """What a far end does from our INVITE on.

    Attributes:
        rings: statuses of its provisional responses, in order.
        early_media: whether the last of them carries SDP.
        final: the final status that follows at once; None: it waits for `answer`, `reject` or our CANCEL.
        reason: phrase of the final status.
        q850_cause: of a `Reason` header in a refusal, or None.
        on_cancel: what it does about our CANCEL.
    """

    rings: tuple[int, ...] = (180,)
    early_media: bool = False
    final: int | None = None
    reason: str = ""
    q850_cause: int | None = None
    on_cancel: OnCancel = OnCancel.TERMINATE


ANSWERS = Script(final=_OK)
"""Rings and answers."""
RINGS = Script()
"""Rings for ever."""
SILENT = Script(rings=(), on_cancel=OnCancel.IGNORE)
"""Says nothing, whatever comes."""
EARLY_MEDIA = Script(rings=(183,), early_media=True)
"""Sends audio before it answers, and waits."""
EARLY_MEDIA_THEN_ANSWERS = Script(rings=(183,), early_media=True, final=_OK)
"""Sends audio before it answers."""
ANSWERS_LATE = Script(on_cancel=OnCancel.ANSWER)
"""Rings until we give up, and answers just then."""


def refuses(sip_code: int, reason: str = "", *, rings: tuple[int, ...] = (), q850_cause: int | None = None) -> Script:
    """Make the script of a far end that refuses, after ringing when `rings` says so."""
    return Script(rings=rings, final=sip_code, reason=reason, q850_cause=q850_cause)


class FarEnd(StrEnum):
    """How far the dialog of a leg has come, as its far end sees it.

    Attributes:
        CALLED: it has our INVITE.
        CALLING: we have its INVITE.
        UP: the INVITE is answered.
        OVER: it is in no call any more.
    """

    CALLED = "called"
    CALLING = "calling"
    UP = "up"
    OVER = "over"


@dataclass(slots=True)
class FakeLeg:
    """One leg and its far end.

    Attributes:
        uid: its UniqueID.
        slots: where.
        script: what its far end does.
        placed: the command that placed it; None: its far end called us.
        far_end: how far its far end has come.
        hung_up: True once it was ordered to end.
        ended: True once its end was reported; its slot is free then.
        digits: what was sent to it.
        answers: statuses that it got to its own INVITE.
        playing: what is played to it, or None.
        recordings: ids of the recordings that go on.
        listening: True while its speech is reported.
    """

    uid: str
    slots: Slots
    script: Script
    placed: PlaceLeg | None = None
    far_end: FarEnd = FarEnd.CALLED
    hung_up: bool = False
    ended: bool = False
    digits: str = ""
    answers: list[int] = field(default_factory=list)
    playing: PlayAudio | PlayTone | EchoLeg | None = None
    recordings: list[str] = field(default_factory=list)
    listening: bool = False

    @property
    def place(self) -> PlaceLeg:
        """The command that placed it.

        Raises:
            LookupError: nobody did: its far end called us.
        """
        if self.placed is None:
            raise LookupError(f"leg {self.uid} came in")
        return self.placed
