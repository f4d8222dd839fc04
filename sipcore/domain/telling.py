"""Telling a caller why the other side was not reached: spoken, then as a tone (ITU-T E.180)."""

from __future__ import annotations

from collections.abc import Mapping

from sipcore.domain.causes import Disposition
from sipcore.domain.commands import Command, PlayAudio, PlayTone, StopPlaying
from sipcore.domain.events import PlaybackFinished
from sipcore.domain.tones import ToneKind, tone

TELL_SECONDS = 4.0
"""How long somebody hears why the other side was not reached."""

_PROMPTS: dict[Disposition, str] = {
    Disposition.BUSY: "busy",
    Disposition.NO_ANSWER: "no_answer",
    Disposition.NOT_CONNECTED: "not_connected",
}
"""Everything else is `unreachable`."""


class Telling:
    """What one leg hears about a failure, until somebody ends it.

    Args:
        leg: who hears it.
        disposition: why.
        country: whose tone it is (ISO 3166-1 alpha-2).
        prompts: audio files of the organisation's prompts by name; the tone alone when the reason is not among them.
    """

    def __init__(self, leg: str, disposition: Disposition, country: str, prompts: Mapping[str, str]) -> None:
        self._leg = leg
        self._playback = f"why {leg}"
        self._file = prompts.get(_PROMPTS.get(disposition, "unreachable"))
        kind = ToneKind.BUSY if disposition is Disposition.BUSY else ToneKind.CONGESTION
        self._tone = PlayTone(leg, tone(kind, country))

    def start(self) -> list[Command]:
        """Begin, in place of what the leg hears."""
        if self._file is None:
            return [StopPlaying(self._leg), self._tone]
        return [StopPlaying(self._leg), PlayAudio(self._leg, self._playback, (self._file,))]

    def feed(self, event: PlaybackFinished) -> list[Command]:
        """Go on with the tone when everything is said."""
        return [self._tone] if event.playback == self._playback else []
