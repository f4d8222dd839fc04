"""Campaigns and do-not-call lists in the database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

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
from sipcore.store import campaign_dialling, campaign_requests, campaign_rows
from sipcore.store.campaign_dialling import Claim, Giving, Key
from sipcore.store.campaign_requests import Act, Barring, Block
from sipcore.store.campaign_schema import (
    WAITS_UNCLAIMED,
    campaign_numbers,
    campaign_refusals,
    campaigns,
    do_not_call,
)
from sipcore.store.cursor import page_of, position_of
from sipcore.store.events import Read, SqlEventStore
from sipcore.store.schema import calls
from sipcore.store.writer import Writer

_C, _N, _R, _D = campaigns.c, campaign_numbers.c, campaign_refusals.c, do_not_call.c


class SqlCampaignStore:
    """Campaigns beside the records, in the same database. Attempts are written with their calls' records.

    Every method raises `StoreUnavailableError` when the database does not answer; then nothing was written.

    Args:
        writer: of the database.
        read: reads from it.
        events: is told that events were stored.

    Attributes:
        on_due: called when something may be due earlier than it was, or when a call of a campaign is over.
    """

    def __init__(self, writer: Writer, read: Read, events: SqlEventStore) -> None:
        self._writer = writer
        self._read = read
        self._events = events
        self.on_due: Callable[[], None] = lambda: None

    # -- campaigns as they are asked for

    async def create(self, campaign: Campaign) -> None:
        """Write a campaign without numbers."""
        await self._writer.write(campaign_requests.create, campaign)
        self._events.on_stored()

    async def add(
        self, campaign: Campaign, numbers: Sequence[ListedNumber], refused: Sequence[RefusedLine]
    ) -> tuple[int, tuple[RefusedLine, ...]]:
        """Write lines of a list: numbers that may be dialled, and lines that were refused already.

        Returns:
            How many numbers were accepted, and all lines that were refused.

        Raises:
            CampaignStateError: the campaign takes no numbers any more.
        """
        block = Block(campaign.id, campaign.organisation, numbers, refused)
        result = await self._writer.write(campaign_requests.add, block)
        self.on_due()
        return result

    async def act(self, organisation: str, campaign_id: str, action: CampaignAction, now: datetime) -> None:
        """Start, pause, resume or stop a campaign of the organisation, which has one of this id.

        Raises:
            CampaignStateError: it is not in a state for that.
        """
        await self._writer.write(campaign_requests.act, Act(campaign_id, organisation, action, now))
        self._events.on_stored()
        self.on_due()

    async def get(self, organisation: str, campaign_id: str) -> Campaign | None:
        """Read one of the organisation, or None."""
        wanted = sa.select(campaigns).where(_C.organisation == organisation, _C.id == campaign_id)
        found = await self._campaigns(wanted)
        return found[0] if found else None

    async def find(self, organisation: str, *, cursor: str | None = None, limit: int = 50) -> CampaignPage:
        """Read a page of the organisation's, newest first.

        Raises:
            ParameterError: the cursor is none of ours.
        """
        newest, after = campaign_rows.newest_campaigns(organisation), position_of(cursor)
        if after is not None:
            newest = newest.where(after.behind(_C.created_at, _C.id))
        found = await self._campaigns(newest.limit(limit + 1))
        return CampaignPage(*page_of(found, limit, lambda campaign: (campaign.created_at, campaign.id)))

    async def numbers(
        self, campaign_id: str, state: CampaignNumberState | None, after: int, limit: int
    ) -> tuple[CampaignNumber, ...]:
        """Read numbers of a campaign in their order, with their attempts.

        Args:
            campaign_id: of the campaign.
            state: only those that stand so; None: all.
            after: position of the last one that was read before, or 0.
            limit: most numbers.
        """
        wanted = sa.select(campaign_numbers).where(_N.campaign_id == campaign_id, _N.position > after)
        if state is not None:
            wanted = wanted.where(_N.state == state)
        rows = await self._read(wanted.order_by(_N.position).limit(limit))
        tried = [f"{campaign_id}:{row.position}" for row in rows if row.attempts]
        return campaign_rows.to_numbers(rows, await self._read(campaign_rows.attempts_of(tried)) if tried else ())

    async def refusals(self, campaign_id: str, after: int, limit: int) -> tuple[tuple[int, RefusedLine], ...]:
        """Read lines of a campaign's lists that were refused, each with its place among them.

        Args:
            campaign_id: of the campaign.
            after: place of the last one that was read before, or 0.
            limit: most lines.
        """
        columns = sa.select(_R.position, _R.line, _R.text, _R.reason)
        wanted = columns.where(_R.campaign_id == campaign_id, _R.position > after).order_by(_R.position)
        rows = await self._read(wanted.limit(limit))
        return tuple((row.position, RefusedLine(row.line, row.text, row.reason)) for row in rows)

    # -- campaigns as they are dialled

    async def running(self) -> tuple[Campaign, ...]:
        """Read the campaigns that run, of all organisations, without their counts."""
        rows = await self._read(sa.select(campaigns).where(_C.state == CampaignState.RUNNING).order_by(_C.id))
        return tuple(campaign_rows.to_campaign(row, {}) for row in rows)

    async def state(self, campaign_id: str) -> CampaignState | None:
        """Read how a campaign stands, or None: there is none of this id."""
        rows = await self._read(sa.select(_C.state).where(_C.id == campaign_id))
        return CampaignState(rows[0][0]) if rows else None

    async def due(self, campaign_id: str, limit: int) -> tuple[DueNumber, ...]:
        """Read numbers of a campaign that nobody has claimed, those that are due first."""
        wanted = (
            sa.select(_N.position, _N.number, _N.next_at)
            .where(_N.campaign_id == campaign_id, WAITS_UNCLAIMED)
            .order_by(_N.next_at, _N.position)
            .limit(limit)
        )
        return tuple(DueNumber(row.position, row.number, row.next_at) for row in await self._read(wanted))

    async def defer(self, campaign_id: str, until: Mapping[int, datetime]) -> None:
        """Put numbers off, by position, that nobody has claimed."""
        deferred: Mapping[Key, datetime] = {(campaign_id, position): moment for position, moment in until.items()}
        await self._writer.write(campaign_dialling.defer, deferred)

    async def calls_elsewhere(self, organisation: str, dial2: str, node: str) -> int:
        """Count the calls to a destination that other nodes carry, or have left and nobody has settled yet."""
        of_others = sa.select(sa.func.count()).where(
            calls.c.ended_at.is_(None),
            calls.c.organisation == organisation,
            calls.c.dial2 == dial2,
            calls.c.node != node,
        )
        return int((await self._read(of_others))[0][0])

    async def claim(
        self, campaign_id: str, node: str, now: datetime, limit: int
    ) -> tuple[list[ClaimedNumber], datetime | None]:
        """Claim numbers that are due, as many as pace and concurrency of the campaign allow.

        Returns:
            The numbers, and when the pace allows the next ones; None: it is not the pace that is waited for.
        """
        return await self._writer.write(campaign_dialling.claim, Claim(campaign_id, node, now, limit))

    async def give_back(self, number: ClaimedNumber, node: str, next_at: datetime) -> None:
        """Give a claimed number back that was not dialled.

        Args:
            number: which.
            node: that has claimed it.
            next_at: when it may be dialled.
        """
        await self._writer.write(campaign_dialling.give_back, Giving((number.campaign, number.position), node, next_at))

    async def release(self, node: str) -> None:
        """Give everything back that a node has claimed and not dialled; it is dialling nothing now."""
        await self._writer.write(campaign_dialling.release, node)

    async def refuse(
        self, number: ClaimedNumber, node: str, state: CampaignNumberState, reason: str, now: datetime
    ) -> None:
        """Note why a claimed number is not dialled, ever."""
        key = number.campaign, number.position
        await self._writer.write(campaign_dialling.give_back, Giving(key, node, None, state, reason, now))
        self._events.on_stored()

    # -- do-not-call lists

    async def bar(self, organisation: str, numbers: Sequence[str], by: str, now: datetime) -> None:
        """Add numbers (E.164) to the organisation's list; those that are there stay as they are."""
        await self._writer.write(campaign_requests.bar, Barring(organisation, numbers, by, now))

    async def allow(self, organisation: str, number: str) -> bool:
        """Take a number from the organisation's list; False: it was not there."""
        return bool(await self._writer.write(campaign_requests.allow, (organisation, number)))

    async def barred(self, organisation: str, after: str, limit: int) -> tuple[BarredNumber, ...]:
        """Read numbers of the organisation's list in their order.

        Args:
            organisation: whose list.
            after: the last one that was read before, or empty.
            limit: most numbers.
        """
        columns = sa.select(_D.number, _D.added_at, _D.added_by)
        wanted = columns.where(_D.organisation == organisation, _D.number > after).order_by(_D.number).limit(limit)
        return tuple(BarredNumber(row.number, row.added_at, row.added_by) for row in await self._read(wanted))

    async def _campaigns(self, wanted: sa.Select[Any]) -> tuple[Campaign, ...]:
        rows = await self._read(wanted)
        counts = campaign_rows.to_counts(await self._read(campaign_rows.counts_of([row.id for row in rows])))
        return tuple(campaign_rows.to_campaign(row, counts.get(row.id, {})) for row in rows)
