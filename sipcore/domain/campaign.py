"""A campaign: a list of numbers that are dialled within their calling hours, and what those who answer reach.

All times are aware datetimes in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sipcore.domain.causes import Disposition
from sipcore.domain.errors import CampaignStateError, ParameterError
from sipcore.domain.retry import LONGEST_SECONDS, MAX_RETRIES, SHORTEST_SECONDS, GiveUp, RetryAt, RetryPolicy
from sipcore.domain.schedule import MadeAttempt

MAX_NUMBERS = 1_000_000
"""Numbers in one campaign."""
MAX_CONCURRENCY = 10_000
MAX_CALLS_PER_SECOND = 1000.0
MAX_NAME_CHARACTERS = 128
DEFAULT_CONCURRENCY = 10
DEFAULT_CALLS_PER_SECOND = 1.0
DEFAULT_MAX_ATTEMPTS = 10
_RATE_SLICE_SECONDS = 0.1
"""How much of a second's numbers are dialled together where there are many."""


class CampaignState(StrEnum):
    """How a campaign stands. FINISHED: nothing is left of it. STOPPED: what waited is never dialled."""

    DRAFT = "draft"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    FINISHED = "finished"


class CampaignAction(StrEnum):
    """What may be done with a campaign."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


class CampaignNumberState(StrEnum):
    """How one number of a campaign stands.

    WAITING: for its turn, or for its next attempt. CANCELLED: hung up before it was answered. DO_NOT_CALL: it was on
    the list when its turn came. REFUSED: it could not be dialled any more, as settings had changed.
    """

    WAITING = "waiting"
    DIALLING = "dialling"
    ANSWERED = "answered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DO_NOT_CALL = "do_not_call"
    REFUSED = "refused"


OPEN = (CampaignState.DRAFT, CampaignState.RUNNING, CampaignState.PAUSED)
"""States in which numbers may be added."""

_RUNNING, _PAUSED = CampaignState.RUNNING, CampaignState.PAUSED
_TABLE: Mapping[tuple[CampaignState, CampaignAction], CampaignState] = {
    (CampaignState.DRAFT, CampaignAction.START): _RUNNING,
    (CampaignState.DRAFT, CampaignAction.STOP): CampaignState.STOPPED,
    (_RUNNING, CampaignAction.START): _RUNNING,
    (_RUNNING, CampaignAction.RESUME): _RUNNING,
    (_RUNNING, CampaignAction.PAUSE): _PAUSED,
    (_RUNNING, CampaignAction.STOP): CampaignState.STOPPED,
    (_PAUSED, CampaignAction.PAUSE): _PAUSED,
    (_PAUSED, CampaignAction.RESUME): _RUNNING,
    (_PAUSED, CampaignAction.STOP): CampaignState.STOPPED,
    (CampaignState.STOPPED, CampaignAction.STOP): CampaignState.STOPPED,
}


def state_after(state: CampaignState, action: CampaignAction) -> CampaignState:
    """Return the state that an action leads to; doing it again changes nothing.

    Raises:
        CampaignStateError: it cannot be done in this state.
    """
    try:
        return _TABLE[state, action]
    except KeyError:
        raise CampaignStateError(f"a campaign that is {state} cannot {action}") from None


def is_over(state: CampaignState, waiting: int, dialling: int) -> bool:
    """Tell whether nothing of a campaign is left to be dialled, and no call of it in progress.

    Args:
        state: of the campaign.
        waiting: how many of its numbers wait.
        dialling: how many of them are being called.
    """
    if dialling or state in {CampaignState.DRAFT, CampaignState.FINISHED}:
        return False
    return state is CampaignState.STOPPED or waiting == 0


INTERRUPTED_AGAIN = RetryPolicy(1, 60)
"""What follows an attempt that the server's own end interrupted, when the campaign says nothing of it."""


@dataclass(frozen=True, slots=True)
class RetryRules:
    """What follows an attempt, by its outcome.

    Attributes:
        by_outcome: an outcome that has no rule is not tried again, but for `interrupted`: `INTERRUPTED_AGAIN`.
        max_attempts: of one number, for whatever reasons, 1 to `MAX_RETRIES` + 1.
    """

    by_outcome: Mapping[Disposition, RetryPolicy] = field(default_factory=dict)
    max_attempts: int = DEFAULT_MAX_ATTEMPTS

    def check(self) -> None:
        """Check that everything is in its range.

        Raises:
            ParameterError: something is not; the error names the member.
        """
        if not 1 <= self.max_attempts <= MAX_RETRIES + 1:
            raise ParameterError("max_attempts", f"must be 1 to {MAX_RETRIES + 1}")
        for outcome, policy in self.by_outcome.items():
            if outcome not in RETRIED:
                raise ParameterError("retries", f"{outcome} is never tried again; give {', '.join(RETRIED)}")
            if not 0 <= policy.retries <= MAX_RETRIES:
                raise ParameterError(f"retries.{outcome}.retries", f"must be 0 to {MAX_RETRIES}")
            if not SHORTEST_SECONDS <= policy.seconds <= LONGEST_SECONDS:
                raise ParameterError(f"retries.{outcome}.after", f"must be {SHORTEST_SECONDS} to {LONGEST_SECONDS} s")

    def after(self, attempt: int, alike: int, outcome: Disposition, now: datetime) -> RetryAt | GiveUp:
        """Decide what follows an attempt.

        Args:
            attempt: its number, 1 for the first.
            alike: how many attempts of the number had this outcome, this one included.
            outcome: what it came to.
            now: when it ended.
        """
        rule = self.by_outcome.get(outcome)
        if rule is None and outcome is Disposition.INTERRUPTED:
            rule = INTERRUPTED_AGAIN
        if rule is None:
            return GiveUp(spent=False)
        return rule.after(alike, outcome, now) if attempt < self.max_attempts else GiveUp(spent=True)


RETRIED = (
    Disposition.BUSY,
    Disposition.NO_ANSWER,
    Disposition.NOT_CONNECTED,
    Disposition.UNREACHABLE,
    Disposition.INTERRUPTED,
)
"""Outcomes that may be tried again."""


@dataclass(frozen=True, slots=True)
class CampaignTerms:
    """What a campaign is to do.

    Attributes:
        name: for people.
        dial2: what those who answer reach: an announcement, IVR, queue or app of the organisation.
        set_cid: caller identity, as in a request, or None.
        ring_seconds: how long a number may ring, 1 to 300.
        hours: calling hours by country as texts (`HoursByCountry`), or None: the organisation's.
        concurrency: calls in progress at once, on all nodes together.
        calls_per_second: calls begun in a second, on all nodes together.
        retry: what follows an attempt.
    """

    name: str
    dial2: str
    set_cid: str | None
    ring_seconds: int
    hours: Mapping[str, str] | None
    concurrency: int
    calls_per_second: float
    retry: RetryRules

    def check(self) -> None:
        """Check that everything is in its range.

        Raises:
            ParameterError: something is not; the error names the member.
        """
        if not (self.name.isprintable() and 1 <= len(self.name) <= MAX_NAME_CHARACTERS):
            raise ParameterError("name", f"must be 1 to {MAX_NAME_CHARACTERS} printable characters")
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise ParameterError("concurrency", f"must be 1 to {MAX_CONCURRENCY}")
        if not 0 < self.calls_per_second <= MAX_CALLS_PER_SECOND:
            raise ParameterError("calls_per_second", f"must be more than 0, and {MAX_CALLS_PER_SECOND:g} at most")
        self.retry.check()

    @property
    def together(self) -> int:
        """How many numbers are dialled at the same moment, so that the pace is kept with few looks at the database."""
        return max(1, round(self.calls_per_second * _RATE_SLICE_SECONDS))


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as it is kept.

    Attributes:
        id: 32 hex digits.
        organisation, user: who asked for it.
        created_at: when.
        terms: what it is to do.
        state: how it stands.
        refused: how many lines of its lists were refused.
        started_at, ended_at: when it did, or None.
        counts: how many of its numbers stand how; those that are missing: none.
    """

    id: str
    organisation: str
    user: str
    created_at: datetime
    terms: CampaignTerms
    state: CampaignState = CampaignState.DRAFT
    refused: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListedNumber:
    """A number of a list that is accepted into a campaign.

    Attributes:
        line: of the list, 1 for the first.
        number: as it is dialled: E.164, or an extension.
        reference: the client's own name for it, or None.
        next_at: when it may be dialled first.
    """

    line: int
    number: str
    reference: str | None
    next_at: datetime


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line of a list that was not accepted.

    Attributes:
        line: 1 for the first of the list.
        text: its beginning.
        reason: why, for people.
    """

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class CampaignNumber:
    """One number of a campaign.

    Attributes:
        position: its place in the campaign; some may be missing.
        number, reference: as in `ListedNumber`.
        state: how it stands.
        next_at: when it is dialled next at the earliest; None unless it waits.
        reason: why it was refused, or None.
        attempts: those made so far, in order.
    """

    position: int
    number: str
    reference: str | None
    state: CampaignNumberState
    next_at: datetime | None
    reason: str | None
    attempts: tuple[MadeAttempt, ...] = ()

    @property
    def outcome(self) -> Disposition | None:
        """What its last attempt came to, or None."""
        return self.attempts[-1].outcome if self.attempts else None


@dataclass(frozen=True, slots=True)
class ClaimedNumber:
    """A number that a node has claimed to dial it now.

    Attributes:
        campaign: id of its campaign.
        position, number, reference: as in `CampaignNumber`.
        attempts: how many were made before.
    """

    campaign: str
    position: int
    number: str
    reference: str | None
    attempts: int

    @property
    def source_id(self) -> str:
        """What an attempt of it is one try of."""
        return f"{self.campaign}:{self.position}"


@dataclass(frozen=True, slots=True)
class DueNumber:
    """A number that nobody has claimed yet.

    Attributes:
        position, number: as in `CampaignNumber`.
        next_at: when it may be dialled.
    """

    position: int
    number: str
    next_at: datetime


@dataclass(frozen=True, slots=True)
class CampaignPage:
    """One page of campaigns, newest first.

    Attributes:
        items: at most the limit that was asked for.
        next: cursor of the next page, opaque, or None at the end.
    """

    items: tuple[Campaign, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class BarredNumber:
    """A number of a do-not-call list.

    Attributes:
        number: E.164.
        added_at: when it was added first.
        added_by: the user or API key that did.
    """

    number: str
    added_at: datetime
    added_by: str


def position_of(source_id: str) -> tuple[str, int]:
    """Return campaign and position of what an attempt is one try of."""
    campaign, _, position = source_id.partition(":")
    return campaign, int(position)
