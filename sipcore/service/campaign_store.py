"""What the service knows of campaigns in the database. `sipcore.store.campaigns` implements it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from sipcore.domain.campaign import (
    BarredNumber,
    Campaign,
    CampaignAction,
    CampaignNumber,
    CampaignNumberState,
    CampaignPage,
    CampaignState,
    ClaimedNumber,
    DueNumber,
    ListedNumber,
    RefusedLine,
)


class CampaignListStore(Protocol):
    """Keeps campaigns as they are asked for. Every method raises `StoreUnavailableError` when nobody answers."""

    async def create(self, campaign: Campaign) -> None:
        """Write a campaign without numbers."""
        ...

    async def add(
        self, campaign: Campaign, numbers: Sequence[ListedNumber], refused: Sequence[RefusedLine]
    ) -> tuple[int, tuple[RefusedLine, ...]]:
        """Write lines of a list; return how many numbers were accepted, and all lines that were refused.

        Raises:
            CampaignStateError: the campaign takes no numbers any more.
        """
        ...

    async def act(self, organisation: str, campaign_id: str, action: CampaignAction, now: datetime) -> None:
        """Start, pause, resume or stop a campaign that there is.

        Raises:
            CampaignStateError: it is not in a state for that.
        """
        ...

    async def get(self, organisation: str, campaign_id: str) -> Campaign | None:
        """Read one of the organisation, or None."""
        ...

    async def find(self, organisation: str, *, cursor: str | None = None, limit: int = 50) -> CampaignPage:
        """Read a page of the organisation's, newest first.

        Raises:
            ParameterError: the cursor is none of ours.
        """
        ...

    async def numbers(
        self, campaign_id: str, state: CampaignNumberState | None, after: int, limit: int
    ) -> tuple[CampaignNumber, ...]:
        """Read numbers behind a position, in their order, all or those that stand so."""
        ...

    async def refusals(self, campaign_id: str, after: int, limit: int) -> tuple[tuple[int, RefusedLine], ...]:
        """Read refused lines behind a place, each with its place."""
        ...

    async def bar(self, organisation: str, numbers: Sequence[str], by: str, now: datetime) -> None:
        """Add numbers (E.164) to the organisation's do-not-call list."""
        ...

    async def allow(self, organisation: str, number: str) -> bool:
        """Take a number from that list; False: it was not there."""
        ...

    async def barred(self, organisation: str, after: str, limit: int) -> tuple[BarredNumber, ...]:
        """Read numbers of that list behind one, in their order."""
        ...


class CampaignDialStore(Protocol):
    """Keeps campaigns as they are dialled. Every method raises `StoreUnavailableError`, as above.

    Attributes:
        on_due: called when something may be due earlier than it was, or when a call of a campaign is over.
    """

    on_due: Callable[[], None]

    async def running(self) -> tuple[Campaign, ...]:
        """Read the campaigns that run, of all organisations, without their counts."""
        ...

    async def state(self, campaign_id: str) -> CampaignState | None:
        """Read how a campaign stands, or None: there is none of this id."""
        ...

    async def due(self, campaign_id: str, limit: int) -> tuple[DueNumber, ...]:
        """Read numbers that nobody has claimed, those that are due first."""
        ...

    async def defer(self, campaign_id: str, until: Mapping[int, datetime]) -> None:
        """Put numbers off, by position, that nobody has claimed."""
        ...

    async def calls_elsewhere(self, organisation: str, dial2: str, node: str) -> int:
        """Count the calls to a destination that other nodes carry, or have left and nobody has settled yet."""
        ...

    async def claim(
        self, campaign_id: str, node: str, now: datetime, limit: int
    ) -> tuple[list[ClaimedNumber], datetime | None]:
        """Claim numbers that are due; return them, and when the pace allows the next ones, if it is that."""
        ...

    async def give_back(self, number: ClaimedNumber, node: str, next_at: datetime) -> None:
        """Give a claimed number back that was not dialled."""
        ...

    async def release(self, node: str) -> None:
        """Give everything back that a node has claimed and not dialled."""
        ...

    async def refuse(
        self, number: ClaimedNumber, node: str, state: CampaignNumberState, reason: str, now: datetime
    ) -> None:
        """Note why a claimed number is not dialled, ever."""
        ...
