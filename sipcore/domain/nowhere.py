"""The party that does not exist."""

from __future__ import annotations

from sipcore.domain.causes import Outcome
from sipcore.domain.commands import Command
from sipcore.domain.party import Clock, NewsKind, PartyBase
from sipcore.domain.record import LegRecord


class NowhereParty(PartyBase):
    """A destination that does not exist: it fails as soon as it is rung, and nothing is sent.

    Args:
        uid: UniqueID that it was given at acceptance.
        number: as it was given.
        outcome: how it fails.
    """

    def __init__(self, uid: str, number: str, outcome: Outcome) -> None:
        super().__init__(uid)
        self._number = number
        self._fails_with = outcome
        self._ended: float | None = None

    def start(self, now: float, listener: str | None = None) -> list[Command]:  # noqa: ARG002 - the parties' common shape
        """Fail."""
        self._outcome = self._fails_with
        self._ended = now
        self._tell(NewsKind.FAILED)
        return []

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell that it was never dialled."""
        if self._outcome is None:
            return (LegRecord(uid=self._uid, number=self._number),)
        record = LegRecord(
            uid=self._uid,
            number=self._number,
            disposition=self._outcome.disposition,
            cause=self._outcome.cause,
            ended_by="local",
            ended_at=None if self._ended is None else at(self._ended),
        )
        return (record,)
