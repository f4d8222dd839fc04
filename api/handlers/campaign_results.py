"""`/api/v1/campaigns/ID/results.csv`: what became of each number, written as it is read."""

from __future__ import annotations

import structlog
from tornado.iostream import StreamClosedError

from api.handlers.resource import ResourceHandler
from api.spreadsheet import CONTENT_TYPE, Cell, csv_text
from sipcore.domain.campaign import CampaignNumber
from sipcore.domain.directory import Scope
from sipcore.domain.errors import Click2CallError, StoreUnavailableError
from sipcore.domain.public_events import written_time
from sipcore.service.authentication import Authenticator
from sipcore.service.campaigns import Campaigns

COLUMNS = (
    "number", "reference", "state", "outcome", "attempts", "last_attempt_at", "next_at", "record_id", "reason",
)  # fmt: skip

_log = structlog.get_logger("http")


class CampaignResultsHandler(ResourceHandler):
    """The results of one campaign of the caller's organisation."""

    def initialize(self, authenticator: Authenticator, campaigns: Campaigns) -> None:
        """Take over what the routes give to every request."""
        self._authenticator = authenticator
        self._campaigns = campaigns

    async def get(self, *path: str) -> None:
        """Write them."""
        try:
            caller = await self.authenticate(Scope.READ)
            found = await self._campaigns.get(caller.organisation, path[0])
        except Click2CallError as error:
            self.refuse(error)
            return
        if found is None:
            self.refuse_unknown()
            return
        self.set_header("Content-Type", CONTENT_TYPE)
        self.set_header("Content-Disposition", f'attachment; filename="campaign-{found.id}.csv"')
        self.write(csv_text([COLUMNS]))
        try:
            async for block in self._campaigns.results(found.id):
                self.write(csv_text(map(_cells, block)))
                await self.flush()
        except StreamClosedError:
            return
        except StoreUnavailableError as error:
            # An answer that ends as it should would be taken for the whole.
            _log.error("export broken off", campaign=found.id, error=str(error))
            self.detach().close()
            return
        self.finish()


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
