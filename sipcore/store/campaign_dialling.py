"""Numbers of campaigns on their way: claimed when they are due, begun, settled, and over.

A campaign's row is locked before the rows of its numbers, always.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from sipcore.domain import campaign_events
from sipcore.domain.attempt import AttemptSource
from sipcore.domain.attempt_outcome import SettledAttempt
from sipcore.domain.campaign import CampaignNumberState, CampaignState, ClaimedNumber, position_of
from sipcore.domain.causes import Disposition
from sipcore.domain.errors import AttemptWithdrawnError, DoNotCallError
from sipcore.domain.record import CallRecord
from sipcore.domain.retry import RetryAt
from sipcore.store import outbox
from sipcore.store.campaign_requests import barred, count, end_those_over, lock
from sipcore.store.campaign_rows import rules_of
from sipcore.store.campaign_schema import WAITS_UNCLAIMED, campaign_counts, campaign_numbers, campaigns
from sipcore.store.schema import attempts

_C, _N = campaigns.c, campaign_numbers.c
_KEY = sa.tuple_(_N.campaign_id, _N.position)
_WAITING, _DIALLING = CampaignNumberState.WAITING, CampaignNumberState.DIALLING
_GIVEN_UP: Mapping[Disposition, CampaignNumberState] = {
    Disposition.ANSWERED: CampaignNumberState.ANSWERED,
    Disposition.CANCELLED: CampaignNumberState.CANCELLED,
}
"""How a number stands that is not tried again; failed after any other outcome."""

_DEFER = (
    sa.update(campaign_numbers)
    .where(_N.campaign_id == sa.bindparam("of"), _N.position == sa.bindparam("at"), WAITS_UNCLAIMED)
    .values(next_at=sa.bindparam("until"))
)

Key = tuple[str, int]
"""A campaign's id and a position in it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Numbers of a campaign that a node wants to dial now.

    Attributes:
        campaign: id of the campaign.
        node: which.
        now: the present.
        limit: most numbers.
    """

    campaign: str
    node: str
    now: datetime
    limit: int


@dataclass(frozen=True, slots=True)
class Giving:
    """A claimed number that its node does not dial.

    Attributes:
        key: which.
        node: that has claimed it.
        next_at: when it may be dialled, or None: never.
        state, reason, now: how and why it is over, and when; only when it is never dialled.
    """

    key: Key
    node: str
    next_at: datetime | None
    state: CampaignNumberState = _WAITING
    reason: str | None = None
    now: datetime | None = None


def claim(connection: sa.Connection, claims: Sequence[Claim]) -> tuple[list[ClaimedNumber], datetime | None]:
    """Claim numbers that are due, those that wait longest first, as many as pace and concurrency allow.

    Returns:
        The numbers, and when the pace allows the next ones; None: it is not the pace that is waited for.

    Raises:
        ValueError: two claims came at once; each has a result of its own, so they are to be made one by one.
    """
    (wanted,) = claims
    header = lock(connection, [wanted.campaign]).get(wanted.campaign)
    if header is None or header.state != CampaignState.RUNNING:
        return [], None
    if header.paced_until is not None and header.paced_until > wanted.now:
        return [], header.paced_until
    limit = min(wanted.limit, header.concurrency - _in_progress(connection, wanted.campaign))
    if limit < 1:
        return [], None
    due = (
        sa.select(_N.position, _N.number, _N.reference, _N.attempts)
        .where(_N.campaign_id == wanted.campaign, WAITS_UNCLAIMED, _N.next_at <= wanted.now)
        .order_by(_N.next_at, _N.position)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = [ClaimedNumber(wanted.campaign, *row) for row in connection.execute(due)]
    if not found:
        return [], None
    # SQLite locks nothing by reading: what another connection has claimed since is left to it.
    claimed = connection.execute(
        sa.update(campaign_numbers)
        .where(_N.campaign_id == wanted.campaign, _N.position.in_([each.position for each in found]), WAITS_UNCLAIMED)
        .values(claimed_by=wanted.node)
        .returning(_N.position)
    )
    mine = set(claimed.scalars())
    found = [each for each in found if each.position in mine]
    paced_until = wanted.now + timedelta(seconds=len(found) / header.calls_per_second)
    connection.execute(sa.update(campaigns).where(_C.id == wanted.campaign).values(paced_until=paced_until))
    return found, paced_until


def _in_progress(connection: sa.Connection, campaign_id: str) -> int:
    """Count the calls of a campaign on all nodes, and the numbers that are about to become some."""
    of_counts = campaign_counts.c
    dialling = sa.select(of_counts.count).where(of_counts.campaign_id == campaign_id, of_counts.state == _DIALLING)
    claimed = sa.select(sa.func.count()).where(
        _N.campaign_id == campaign_id, _N.claimed_by.is_not(None), _N.next_at.is_not(None)
    )
    return (connection.execute(dialling).scalar() or 0) + (connection.execute(claimed).scalar() or 0)


def begin(connection: sa.Connection, records: Iterable[CallRecord]) -> None:
    """Note that claimed numbers are being dialled.

    Raises:
        AttemptWithdrawnError: one is not this node's to dial as this attempt any more.
        DoNotCallError: one is on its organisation's list.
    """
    begun = {
        position_of(record.attempt.source_id): (record, record.attempt)
        for record in records
        if record.attempt is not None and record.attempt.source is AttemptSource.CAMPAIGN
    }
    if not begun:
        return
    (node,) = {attempt.node for _, attempt in begun.values()}
    headers = lock(connection, [*{campaign_id for campaign_id, _ in begun}])
    if {header.state for header in headers.values()} != {CampaignState.RUNNING}:
        raise AttemptWithdrawnError("the campaign was paused or stopped meanwhile")
    for organisation in {record.organisation for record, _ in begun.values()}:
        numbers = [record.dial1 for record, _ in begun.values() if record.organisation == organisation]
        if barred(connection, organisation, numbers):
            raise DoNotCallError("the number is on the do-not-call list")
    dialling = connection.execute(
        sa.update(campaign_numbers)
        .where(_KEY.in_([*begun]), _N.next_at.is_not(None), _N.claimed_by == node)
        .values(state=_DIALLING, next_at=None, attempts=_N.attempts + 1)
        .returning(_N.campaign_id, _N.position, _N.attempts)
    )
    made = {(row.campaign_id, row.position): row.attempts for row in dialling}
    if made != {key: attempt.number for key, (_, attempt) in begun.items()}:
        raise AttemptWithdrawnError("another node has the number")
    for campaign_id, numbers_begun in Counter(campaign_id for campaign_id, _ in begun).items():
        count(connection, campaign_id, {_WAITING: -numbers_begun, _DIALLING: numbers_begun})


def follow(connection: sa.Connection, settled: Iterable[SettledAttempt]) -> None:
    """Decide what follows attempts that are settled, and tell of it."""
    by_key = {position_of(each.source_id): each for each in settled if each.source is AttemptSource.CAMPAIGN}
    if not by_key:
        return
    headers = lock(connection, [*{campaign_id for campaign_id, _ in by_key}])
    alike = _outcomes(connection, by_key.values())
    changes: dict[str, Counter[str]] = defaultdict(Counter)
    ended_at: dict[str, datetime] = {}
    dialled = sa.select(_N.campaign_id, _N.position, _N.number).where(_KEY.in_([*by_key]), _N.state == _DIALLING)
    for campaign_id, position, number in connection.execute(dialled).all():
        attempt = by_key[campaign_id, position]
        same = alike[attempt.source_id, attempt.outcome]
        rules = rules_of(headers[campaign_id])
        decision = rules.after(attempt.number, same, attempt.outcome, attempt.settled_at)
        state, next_at = _GIVEN_UP.get(attempt.outcome, CampaignNumberState.FAILED), None
        if isinstance(decision, RetryAt):
            state, next_at = _WAITING, decision.when
        connection.execute(
            sa.update(campaign_numbers)
            .where(_N.campaign_id == campaign_id, _N.position == position)
            .values(state=state, next_at=next_at, claimed_by=None)
        )
        changes[campaign_id][state] += 1
        changes[campaign_id][_DIALLING] -= 1
        outbox.put(connection, [campaign_events.attempted(campaign_id, number, attempt, state, next_at)])
        ended_at[campaign_id] = max(ended_at.get(campaign_id, attempt.settled_at), attempt.settled_at)
    for campaign_id, changed in changes.items():
        count(connection, campaign_id, changed)
    end_those_over(connection, ended_at)


def _outcomes(connection: sa.Connection, settled: Iterable[SettledAttempt]) -> Counter[tuple[str, Disposition]]:
    """Count how many attempts of each number had which outcome."""
    columns = attempts.c
    counted = (
        sa.select(columns.source_id, columns.outcome, sa.func.count())
        .where(
            columns.source == AttemptSource.CAMPAIGN,
            columns.source_id.in_([each.source_id for each in settled]),
            columns.outcome.is_not(None),
        )
        .group_by(columns.source_id, columns.outcome)
    )
    return Counter({(source_id, outcome): number for source_id, outcome, number in connection.execute(counted)})


def give_back(connection: sa.Connection, given: Sequence[Giving]) -> None:
    """Give claimed numbers back that were not dialled, or note why they never are."""
    lock(connection, [*{each.key[0] for each in given}])
    ended_at: dict[str, datetime] = {}
    for each in given:
        campaign_id, position = each.key
        mine = _N.campaign_id == campaign_id, _N.position == position, _N.claimed_by == each.node
        values = {"claimed_by": None, "next_at": each.next_at, "state": each.state, "reason": each.reason}
        changed = sa.update(campaign_numbers).where(*mine, _N.next_at.is_not(None)).values(values)
        if connection.execute(changed).rowcount and each.now is not None:
            count(connection, campaign_id, {_WAITING: -1, each.state: 1})
            ended_at[campaign_id] = each.now
    end_those_over(connection, ended_at)


def release(connection: sa.Connection, nodes: Sequence[str]) -> None:
    """Give everything back that these nodes have claimed and not dialled; they are dialling nothing now."""
    release_all(connection, _N.claimed_by.in_(nodes))


def release_all(connection: sa.Connection, of_nodes: sa.ColumnElement[bool]) -> None:
    """Give everything back that some nodes have claimed and not dialled; none of them runs any more."""
    claimed = _N.claimed_by.is_not(None), _N.next_at.is_not(None), of_nodes
    connection.execute(sa.update(campaign_numbers).where(*claimed).values(claimed_by=None))


def defer(connection: sa.Connection, deferred: Sequence[Mapping[Key, datetime]]) -> None:
    """Put off numbers that nobody has claimed."""
    rows = [{"of": of, "at": at, "until": until} for group in deferred for (of, at), until in group.items()]
    connection.execute(_DEFER, rows)
