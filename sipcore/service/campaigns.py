"""Campaigns and do-not-call lists as organisations see them. The dialler dials them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime

import structlog

from sipcore.domain.calling_hours import HoursByCountry
from sipcore.domain.campaign import (
    OPEN,
    BarredNumber,
    Campaign,
    CampaignAction,
    CampaignNumber,
    CampaignNumberState,
    CampaignPage,
    CampaignTerms,
    RefusedLine,
)
from sipcore.domain.dialplan import Destination, NumberPlan, resolve_many
from sipcore.domain.directory import Organisation
from sipcore.domain.errors import CampaignStateError
from sipcore.domain.identity import callers
from sipcore.domain.number_file import ListFormat
from sipcore.service.calls import LiveDirectory
from sipcore.service.campaign_store import CampaignListStore
from sipcore.service.number_upload import CampaignUpload, DoNotCallUpload, barrable
from sipcore.service.numbers import COUNTRIES
from sipcore.service.scheduler import utc_now

EXPORTED_TOGETHER = 500
"""Numbers that an export reads at once."""

_log = structlog.get_logger(__name__)


class Campaigns:
    """Campaigns and do-not-call lists of all organisations.

    Every method raises `StoreUnavailableError` when the database does not answer; then nothing was done.

    Args:
        store: keeps them.
        directory: organisations in force.
        numbers: the world's numbering plans.
        now: the present (aware).
    """

    def __init__(
        self,
        store: CampaignListStore,
        directory: LiveDirectory,
        numbers: NumberPlan,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._directory = directory
        self._numbers = numbers
        self._now = now

    async def create(
        self, organisation: str, user: str, terms: CampaignTerms, campaign_id: str | None = None
    ) -> Campaign:
        """Make a campaign, without numbers and not started.

        Args:
            organisation: whose it is.
            user: who asks.
            terms: how it dials.
            campaign_id: id that it was given already, or None.

        Raises:
            ParameterError: something of its terms is wrong; the error names the member.
            NotAllowedError: the caller identity is not allowed to the organisation.
        """
        self._check(terms, self._directory.organisation(organisation))
        counts = {str(state): 0 for state in CampaignNumberState}
        campaign = Campaign(campaign_id or uuid.uuid4().hex, organisation, user, self._now(), terms, counts=counts)
        await self._store.create(campaign)
        _log.info("campaign created", campaign=campaign.id, organisation=organisation, user=user, dial2=terms.dial2)
        return campaign

    async def get(self, organisation: str, campaign_id: str) -> Campaign | None:
        """Tell how one stands; None: the organisation has none of this id."""
        return await self._store.get(organisation, campaign_id)

    async def find(self, organisation: str, cursor: str | None = None) -> CampaignPage:
        """Read a page of the organisation's, newest first.

        Raises:
            ParameterError: the cursor is none of ours.
        """
        return await self._store.find(organisation, cursor=cursor)

    async def act(self, organisation: str, campaign_id: str, action: CampaignAction) -> Campaign | None:
        """Start, pause, resume or stop one, and tell how it stands; None: the organisation has none of this id.

        Raises:
            CampaignStateError: it is not in a state for that.
        """
        if await self._store.get(organisation, campaign_id) is None:
            return None
        await self._store.act(organisation, campaign_id, action, self._now())
        _log.info("campaign told", campaign=campaign_id, organisation=organisation, action=action)
        return await self._store.get(organisation, campaign_id)

    async def upload(self, organisation: str, campaign_id: str, file_format: ListFormat) -> CampaignUpload | None:
        """Begin to take a list of numbers; None: the organisation has no campaign of this id.

        Raises:
            CampaignStateError: it takes no numbers any more.
        """
        campaign = await self._store.get(organisation, campaign_id)
        if campaign is None:
            return None
        if campaign.state not in OPEN:
            raise CampaignStateError(f"a campaign that is {campaign.state} takes no numbers")
        mine = self._directory.organisation(organisation)
        return CampaignUpload(campaign, mine, self._numbers, self._store, file_format, self._now())

    async def numbers(
        self, organisation: str, campaign_id: str, state: CampaignNumberState | None, after: int, limit: int
    ) -> tuple[CampaignNumber, ...] | None:
        """Read numbers behind a position, in their order; None: the organisation has no campaign of this id."""
        if await self._store.get(organisation, campaign_id) is None:
            return None
        return await self._store.numbers(campaign_id, state, after, limit)

    async def refusals(
        self, organisation: str, campaign_id: str, after: int, limit: int
    ) -> tuple[tuple[int, RefusedLine], ...] | None:
        """Read refused lines behind a place, each with its place; None: there is no campaign of this id."""
        if await self._store.get(organisation, campaign_id) is None:
            return None
        return await self._store.refusals(campaign_id, after, limit)

    async def results(self, campaign_id: str) -> AsyncIterator[Sequence[CampaignNumber]]:
        """Read all numbers of a campaign that there is, block by block."""
        after = 0
        while block := await self._store.numbers(campaign_id, None, after, EXPORTED_TOGETHER):
            yield block
            after = block[-1].position

    async def bar(self, organisation: str, user: str, numbers: Sequence[str]) -> list[str]:
        """Add numbers to the organisation's do-not-call list; return their E.164 forms.

        Raises:
            ParameterError: one, which it names, is no telephone number; none was added.
        """
        mine = self._directory.organisation(organisation)
        barred = [barrable(each, mine, self._numbers, f"numbers.{place}") for place, each in enumerate(numbers)]
        await self._store.bar(organisation, barred, user, self._now())
        return barred

    async def allow(self, organisation: str, number: str) -> bool:
        """Take a number from that list; False: it was not there.

        Raises:
            ParameterError: it is no telephone number.
        """
        return await self._store.allow(
            organisation, barrable(number, self._directory.organisation(organisation), self._numbers)
        )

    async def barred(self, organisation: str, after: str, limit: int) -> tuple[BarredNumber, ...]:
        """Read numbers of that list behind one, in their order."""
        return await self._store.barred(organisation, after, limit)

    def bar_list(self, organisation: str, user: str, file_format: ListFormat) -> DoNotCallUpload:
        """Begin to take a list of numbers for that list."""
        mine = self._directory.organisation(organisation)
        return DoNotCallUpload(mine, user, self._numbers, self._store, file_format, self._now())

    def _check(self, terms: CampaignTerms, organisation: Organisation) -> None:
        terms.check()
        if terms.hours is not None:
            HoursByCountry.parse(terms.hours, "hours", COUNTRIES)
        reached(terms, organisation, self._numbers)


def reached(terms: CampaignTerms, organisation: Organisation, numbers: NumberPlan) -> Destination:
    """Return what those who answer reach, and are shown as the terms have it.

    Raises:
        ParameterError: there is no such thing in the settings.
        NotAllowedError: the caller identity is not allowed to the organisation.
    """
    second = resolve_many(terms.dial2, organisation, numbers, parameter="dial2")
    if terms.set_cid is not None:
        # A caller identity that is given does not depend on who is called.
        callers(organisation, second, second, terms.set_cid, numbers)
    return second
