"""A phone whose answer counts once somebody there has pressed 1, so that a voicemail box takes no call."""

from __future__ import annotations

from collections.abc import Mapping

from sipcore.domain.checked import CheckedParty
from sipcore.domain.commands import Command, PlayAudio, StopPlaying
from sipcore.domain.events import Event, PlaybackFinished
from sipcore.domain.party import News, Party
from sipcore.domain.prompts import Prompt

ACCEPT_KEY = "1"
CONFIRM_SECONDS = 15.0
"""How long the key is waited for in all."""
ASK_TIMES = 3
PAUSE_SECONDS = 3.0
"""Between one time of asking and the next."""


class ConfirmedParty(CheckedParty):
    """Whoever answers hears that 1 accepts the call; other keys change nothing.

    Args:
        inner: the phone.
        prompts: audio files of the organisation's prompts, by name.
    """

    def __init__(self, inner: Party, prompts: Mapping[str, str]) -> None:
        super().__init__(inner)
        self._file = prompts.get(Prompt.PRESS_1_TO_ACCEPT)
        self._asked = 0
        self._gives_up = 0.0

    @property
    def _playback(self) -> str:
        return f"confirm {self.uid} {self._asked}"

    def _start_check(self, now: float) -> list[Command]:
        self._gives_up = now + CONFIRM_SECONDS
        return self._ask()

    def _ask(self) -> list[Command]:
        self._deadline = self._gives_up
        self._asked += 1
        return [] if self._file is None else [PlayAudio(self._phone_leg, self._playback, (self._file,))]

    def _check(self, event: Event, now: float) -> list[Command]:
        if isinstance(event, PlaybackFinished) and event.playback == self._playback and self._asked < ASK_TIMES:
            self._deadline = min(now + PAUSE_SECONDS, self._gives_up)
        return []

    def _time_is_up(self, now: float) -> list[Command]:
        return self._refuse(now) if now >= self._gives_up else self._ask()

    def _key(self, news: News, _now: float) -> list[Command]:
        if news.digit != ACCEPT_KEY:
            return []
        self._accept()
        return [StopPlaying(self._phone_leg)]
