"""The party that is an announcement: it plays an audio file and hangs up, or leads on at the press of a key."""

from __future__ import annotations

from enum import StrEnum

from sipcore.domain.answering import Step
from sipcore.domain.commands import Command
from sipcore.domain.directory import Announcement
from sipcore.domain.onward import LeadingParty, WayOn

KEY_SECONDS = 5.0
"""How long the key is waited for after the end."""


class AnnouncementState(StrEnum):
    """Where the announcement stands."""

    IDLE = "idle"
    PLAYING = "playing"
    WAITING = "waiting"
    LEADING = "leading"


_TABLE: dict[tuple[AnnouncementState, Step], str] = {
    (AnnouncementState.IDLE, Step.JOINED): "_announce",
    (AnnouncementState.PLAYING, Step.PLAYED): "_wait",
    (AnnouncementState.PLAYING, Step.KEY): "_follow",
    (AnnouncementState.WAITING, Step.KEY): "_follow",
    (AnnouncementState.WAITING, Step.TIME_UP): "_leave",
    (AnnouncementState.LEADING, Step.CAME_BACK): "_leave",
}


class AnnouncementParty(LeadingParty[AnnouncementState]):
    """An announcement.

    Args:
        uid: its UniqueID; no leg has it.
        announcement: what it plays and where its key leads.
        way: what it takes to lead on.
    """

    def __init__(self, uid: str, announcement: Announcement, way: WayOn) -> None:
        super().__init__(uid, announcement.number, way, AnnouncementState.IDLE, _TABLE)
        self._announcement = announcement

    def _announce(self, now: float) -> list[Command]:
        self._enter(AnnouncementState.PLAYING, "joined")
        return self._play((self._announcement.audio,) * self._announcement.repeats, now)

    def _wait(self, now: float) -> list[Command]:
        if self._announcement.key is None:
            return self._leave_when_heard(now)
        self._deadline = now + KEY_SECONDS
        self._enter(AnnouncementState.WAITING, "played")
        return []

    def _follow(self, now: float, digit: str) -> list[Command]:
        if digit != self._announcement.key or self._announcement.then is None:
            return []
        self._deadline = None
        self._enter(AnnouncementState.LEADING, "key")
        return [*self._stop_playing(), *self._lead_on(self._announcement.then, now)]
