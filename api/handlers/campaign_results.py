"""`/api/v1/campaigns/ID/results.csv`: what became of each number, written as it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator

from api.handlers.file import FileHandler
from api.spreadsheet import CONTENT_TYPE, Cell, csv_text
from sipcore.domain.campaign import Campaign, CampaignNumber
from sipcore.domain.public_events import written_time
from sipcore.service.authentication import Authenticator
from sipcore.service.campaigns import Campaigns

COLUMNS = (
    "number", "reference", "state", "outcome", "attempts", "last_attempt_at", "next_at", "record_id", "reason",
)  # fmt: skip


class CampaignResultsHandler(FileHandler):
    """The results of one campaign of the caller's organisation."""

    def initialize(self, authenticator: Authenticator, campaigns: Campaigns) -> None:
        """Take over what the routes give to every request."""
        self._authenticator = authenticator
        self._campaigns = campaigns

    async def answer(self, organisation: str) -> object:
        """Return the campaign, or None when the organisation has none of this id."""
        return await self._campaigns.get(organisation, self.path_args[0])

    async def show(self, found: Campaign) -> None:
        """Write the results, block after block."""
        await self.send_file("results", f"campaign-{found.id}.csv", CONTENT_TYPE, self._pieces(found.id))

    async def _pieces(self, campaign_id: str) -> AsyncIterator[str]:
        yield csv_text([COLUMNS])
        async for block in self._campaigns.results(campaign_id):
            yield csv_text(map(_cells, block))


def _cells(number: CampaignNumber) -> tuple[Cell, ...]:
    last = number.attempts[-1] if number.attempts else None
    return (
        number.number,
        number.reference,
        number.state,
        number.outcome,
        len(number.attempts),
        None if last is None else written_time(last.begun_at),
        written_time(number.next_at),
        None if last is None else last.record_id,
        number.reason,
    )
