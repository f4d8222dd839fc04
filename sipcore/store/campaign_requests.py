"""Campaigns as they are made, given numbers, started, paused and stopped; the do-not-call lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from sipcore.domain import campaign_events
from sipcore.domain.campaign import (
    MAX_NUMBERS,
    OPEN,
    Campaign,
    CampaignAction,
    CampaignNumberState,
    CampaignState,
    ListedNumber,
    RefusedLine,
    is_over,
    state_after,
)
from sipcore.domain.errors import CampaignStateError
from sipcore.store import outbox
from sipcore.store.campaign_rows import counts_of, to_campaign, to_counts, to_row
from sipcore.store.campaign_schema import (
    campaign_counts,
    campaign_numbers,
    campaign_refusals,
    campaigns,
    do_not_call,
)
from sipcore.store.notices import CAMPAIGNS_DUE, notify

_C, _N, _D = campaigns.c, campaign_numbers.c, do_not_call.c
_COUNT = (
    sa.update(campaign_counts)
    .where(campaign_counts.c.campaign_id == sa.bindparam("of"), campaign_counts.c.state == sa.bindparam("in_state"))
    .values(count=campaign_counts.c.count + sa.bindparam("more"))
)
_TOTAL = sa.select(campaign_counts.c.count.label("count_")).where(campaign_counts.c.campaign_id == sa.bindparam("of"))
_LISTED = "is in the campaign already"
_ADD_NUMBERS: Mapping[str, Any] = {
    "sqlite": sqlite.insert(campaign_numbers).on_conflict_do_nothing().returning(_N.number),
    "postgresql": postgresql.insert(campaign_numbers).on_conflict_do_nothing().returning(_N.number),
}
_ADD_BARRED: Mapping[str, Any] = {
    "sqlite": sqlite.insert(do_not_call).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(do_not_call).on_conflict_do_nothing(),
}


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of a list.

    Attributes:
        campaign: id of the campaign.
        organisation: whose it is.
        numbers: those that may be dialled.
        refused: those that may not.
    """

    campaign: str
    organisation: str
    numbers: Sequence[ListedNumber]
    refused: Sequence[RefusedLine]


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody wants of a campaign.

    Attributes:
        campaign: its id.
        organisation: whose it is.
        action: what.
        now: the present.
    """

    campaign: str
    organisation: str
    action: CampaignAction
    now: datetime


def create(connection: sa.Connection, created: Sequence[Campaign]) -> None:
    """Insert campaigns without numbers."""
    connection.execute(sa.insert(campaigns), [to_row(campaign) for campaign in created])
    counts = [{"campaign_id": each.id, "state": state, "count": 0} for each in created for state in CampaignNumberState]
    connection.execute(sa.insert(campaign_counts), counts)
    outbox.put(connection, (campaign_events.entered(each, each.state, each.created_at) for each in created))


def lock(connection: sa.Connection, ids: Sequence[str]) -> dict[str, sa.Row[Any]]:
    """Lock campaigns before anything of theirs is changed, so that no two transactions wait for each other."""
    headers = sa.select(campaigns).where(_C.id.in_(ids)).order_by(_C.id).with_for_update()
    return {row.id: row for row in connection.execute(headers)}


def read(connection: sa.Connection, header: sa.Row[Any]) -> Campaign:
    """Build a campaign with its counts as they are in this transaction."""
    return to_campaign(header, to_counts(connection.execute(counts_of([header.id])).all()).get(header.id, {}))


def count(connection: sa.Connection, campaign_id: str, changes: Mapping[str, int]) -> None:
    """Change how many numbers stand how; the campaign is locked."""
    rows = [{"of": campaign_id, "in_state": state, "more": more} for state, more in changes.items() if more]
    if rows:
        connection.execute(_COUNT, rows)


def add(connection: sa.Connection, blocks: Sequence[Block]) -> tuple[int, tuple[RefusedLine, ...]]:
    """Insert numbers, each once in a campaign, and keep what is refused.

    Returns:
        How many were inserted, and all lines of the block that were refused.

    Raises:
        CampaignStateError: nothing can be added to the campaign any more.
        ValueError: two blocks came at once; each has a result of its own, so they are to be written one by one.
    """
    (block,) = blocks
    header = lock(connection, [block.campaign])[block.campaign]
    if header.state not in OPEN:
        raise CampaignStateError(f"a campaign that is {header.state} takes no numbers")
    room = MAX_NUMBERS - sum(row.count_ for row in connection.execute(_TOTAL, {"of": block.campaign}))
    barred_ones = barred(connection, block.organisation, [each.number for each in block.numbers])
    wanted: dict[str, ListedNumber] = {}
    refused = [*block.refused]
    for each in block.numbers:
        reason = None
        if each.number in barred_ones:
            reason = "is on the do-not-call list"
        elif each.number in wanted:
            reason = _LISTED
        elif len(wanted) >= room:
            reason = f"the campaign has {MAX_NUMBERS} numbers, which is the most"
        if reason is None:
            wanted[each.number] = each
        else:
            refused.append(RefusedLine(each.line, each.number, reason))
    added = _insert(connection, block.campaign, [*wanted.values()], header.numbers)
    refused += [RefusedLine(each.line, each.number, _LISTED) for each in wanted.values() if each.number not in added]
    refused.sort(key=lambda each: each.line)
    if refused:
        told = [
            {"campaign_id": block.campaign, "position": position, **asdict(each)}
            for position, each in enumerate(refused, start=header.refused + 1)
        ]
        connection.execute(sa.insert(campaign_refusals), told)
    totals = {"numbers": header.numbers + len(wanted), "refused": header.refused + len(refused)}
    connection.execute(sa.update(campaigns).where(_C.id == block.campaign).values(totals))
    if added and header.state == CampaignState.RUNNING:
        notify(connection, CAMPAIGNS_DUE)
    return len(added), tuple(refused)


def _insert(connection: sa.Connection, campaign_id: str, numbers: Sequence[ListedNumber], behind: int) -> set[str]:
    """Insert numbers behind a position, but for those that the campaign has; return those that were inserted.

    The unique index says which it has: for a question PostgreSQL would choose another index until it knows the table.
    """
    rows = [
        {
            "campaign_id": campaign_id,
            "position": position,
            "number": each.number,
            "reference": each.reference,
            "state": CampaignNumberState.WAITING,
            "next_at": each.next_at,
            "attempts": 0,
        }
        for position, each in enumerate(numbers, start=behind + 1)
    ]
    if not rows:
        return set()
    added = set(connection.execute(_ADD_NUMBERS[connection.dialect.name], rows).scalars())
    count(connection, campaign_id, {CampaignNumberState.WAITING: len(added)})
    return added


def act(connection: sa.Connection, acts: Sequence[Act]) -> None:
    """Start, pause, resume or stop campaigns.

    Raises:
        CampaignStateError: one is not in a state for it.
    """
    for wanted in acts:
        header = lock(connection, [wanted.campaign])[wanted.campaign]
        state = state_after(CampaignState(header.state), wanted.action)
        if state == header.state:
            continue
        if wanted.action is CampaignAction.START and header.numbers == 0:
            raise CampaignStateError("a campaign without numbers cannot start")
        values: dict[str, Any] = {"state": state}
        if header.started_at is None and state is CampaignState.RUNNING:
            values["started_at"] = wanted.now
        connection.execute(sa.update(campaigns).where(_C.id == wanted.campaign).values(values))
        notify(connection, CAMPAIGNS_DUE)
        outbox.put(connection, [campaign_events.entered(read(connection, header), state, wanted.now)])
        end_those_over(connection, {wanted.campaign: wanted.now})


def end_those_over(connection: sa.Connection, may_be_over: Mapping[str, datetime]) -> None:
    """End the campaigns of which nothing is left, and tell of it; they are locked.

    Args:
        connection: in a transaction.
        may_be_over: their ids, and when each was over if it is.
    """
    for header in lock(connection, [*may_be_over]).values():
        campaign = read(connection, header)
        counts = Counter(campaign.counts)
        waiting, dialling = counts[CampaignNumberState.WAITING], counts[CampaignNumberState.DIALLING]
        if campaign.ended_at is not None or not is_over(campaign.state, waiting, dialling):
            continue
        time = may_be_over[campaign.id]
        state = campaign.state if campaign.state is CampaignState.STOPPED else CampaignState.FINISHED
        connection.execute(sa.update(campaigns).where(_C.id == campaign.id).values(state=state, ended_at=time))
        outbox.put(connection, [campaign_events.ended(replace(campaign, state=state), time)])


@dataclass(frozen=True, slots=True)
class Barring:
    """Numbers for an organisation's do-not-call list.

    Attributes:
        organisation: whose list.
        numbers: E.164.
        by: name of who adds them.
        now: the present.
    """

    organisation: str
    numbers: Sequence[str]
    by: str
    now: datetime


def barred(connection: sa.Connection, organisation: str, numbers: Sequence[str]) -> set[str]:
    """Return those numbers that an organisation's campaigns never dial."""
    listed = sa.select(_D.number).where(_D.organisation == organisation, _D.number.in_(numbers))
    return set(connection.execute(listed).scalars())


def bar(connection: sa.Connection, barrings: Sequence[Barring]) -> None:
    """Add numbers to do-not-call lists; those that are there stay as they are."""
    rows = [
        {"organisation": each.organisation, "number": number, "added_at": each.now, "added_by": each.by}
        for each in barrings
        for number in each.numbers
    ]
    connection.execute(_ADD_BARRED[connection.dialect.name], rows)


def allow(connection: sa.Connection, allowed: Sequence[tuple[str, str]]) -> int:
    """Take a number (organisation, number) from the list; return how many there were.

    Raises:
        ValueError: two came at once; each has a result of its own.
    """
    ((organisation, number),) = allowed
    return connection.execute(
        sa.delete(do_not_call).where(_D.organisation == organisation, _D.number == number)
    ).rowcount
