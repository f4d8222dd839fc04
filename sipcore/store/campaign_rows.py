"""Between campaigns and their rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from sipcore.domain.attempt import AttemptSource
from sipcore.domain.campaign import (
    Campaign,
    CampaignNumber,
    CampaignNumberState,
    CampaignState,
    CampaignTerms,
    RetryRules,
    position_of,
)
from sipcore.domain.causes import Disposition
from sipcore.domain.retry import RetryPolicy
from sipcore.domain.schedule import MadeAttempt
from sipcore.store.campaign_schema import campaign_counts, campaigns
from sipcore.store.schema import attempts

Row = dict[str, Any]


def to_row(campaign: Campaign) -> Row:
    """Make the row of a new campaign."""
    terms = campaign.terms
    return {
        "id": campaign.id,
        "organisation": campaign.organisation,
        "user": campaign.user,
        "created_at": campaign.created_at,
        "name": terms.name,
        "dial2": terms.dial2,
        "set_cid": terms.set_cid,
        "ring_seconds": terms.ring_seconds,
        "hours": None if terms.hours is None else dict(terms.hours),
        "concurrency": terms.concurrency,
        "calls_per_second": terms.calls_per_second,
        "retries": {outcome: [rule.retries, rule.seconds] for outcome, rule in terms.retry.by_outcome.items()},
        "max_attempts": terms.retry.max_attempts,
        "state": campaign.state,
        "numbers": 0,
        "refused": 0,
    }


def rules_of(row: sa.Row[Any]) -> RetryRules:
    """Read what follows an attempt."""
    by_outcome = {Disposition(outcome): RetryPolicy(*rule) for outcome, rule in row.retries.items()}
    return RetryRules(by_outcome, row.max_attempts)


def to_campaign(row: sa.Row[Any], counts: Mapping[str, int]) -> Campaign:
    """Build a campaign."""
    return Campaign(
        id=row.id,
        organisation=row.organisation,
        user=row.user,
        created_at=row.created_at,
        terms=CampaignTerms(
            name=row.name,
            dial2=row.dial2,
            set_cid=row.set_cid,
            ring_seconds=row.ring_seconds,
            hours=row.hours,
            concurrency=row.concurrency,
            calls_per_second=row.calls_per_second,
            retry=rules_of(row),
        ),
        state=CampaignState(row.state),
        refused=row.refused,
        started_at=row.started_at,
        ended_at=row.ended_at,
        counts=counts,
    )


def counts_of(ids: Sequence[str]) -> sa.Select[Any]:
    """Select how the numbers of some campaigns stand."""
    columns = campaign_counts.c
    return sa.select(columns.campaign_id, columns.state, columns.count).where(columns.campaign_id.in_(ids))


def to_counts(rows: Iterable[Sequence[Any]]) -> Mapping[str, Mapping[str, int]]:
    """Build counts by campaign from the rows of `counts_of`."""
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for campaign_id, state, count in rows:
        counts[campaign_id][state] = count
    return counts


def attempts_of(source_ids: Sequence[str]) -> sa.Select[Any]:
    """Select the attempts of some numbers."""
    return (
        sa.select(attempts)
        .where(attempts.c.source == AttemptSource.CAMPAIGN, attempts.c.source_id.in_(source_ids))
        .order_by(attempts.c.source_id, attempts.c.number)
    )


def to_numbers(rows: Sequence[sa.Row[Any]], made: Iterable[sa.Row[Any]]) -> tuple[CampaignNumber, ...]:
    """Build numbers from their rows and from those of their attempts."""
    by_position: dict[int, list[MadeAttempt]] = defaultdict(list)
    for attempt in made:
        _, position = position_of(attempt.source_id)
        by_position[position].append(MadeAttempt(attempt.number, attempt.id, attempt.begun_at, attempt.outcome))
    return tuple(
        CampaignNumber(
            position=row.position,
            number=row.number,
            reference=row.reference,
            state=CampaignNumberState(row.state),
            next_at=row.next_at,
            reason=row.reason,
            attempts=tuple(by_position[row.position]),
        )
        for row in rows
    )


def newest_campaigns(organisation: str) -> sa.Select[Any]:
    """Select an organisation's campaigns, newest first."""
    columns = campaigns.c
    mine = sa.select(campaigns).where(columns.organisation == organisation)
    return mine.order_by(columns.created_at.desc(), columns.id.desc())
