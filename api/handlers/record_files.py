"""`/api/v1/records.csv` and `/api/v1/records.jsonl`: all records that the filters select, as a file."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

import structlog
from tornado.iostream import StreamClosedError

from api.handlers.records import LiveRecord, RecordSearch
from api.handlers.resource import ResourceHandler
from api.record_filter import RecordFileQuery, read_values, record_filter
from api.record_rows import FileFormat
from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.record import RecordFilter, RecordPage
from sipcore.service.authentication import Authenticator
from sipcore.service.store import RecordStore

_log = structlog.get_logger("http")

_AT_ONCE: Final = 50
"""Records that are read, and written, at once: between two of these pages calls have their turn."""
STALLED_SECONDS: Final = 60.0
"""How long a reader may take none of what it was sent."""


class RecordFileHandler(ResourceHandler):
    """The records of the caller's organisation, newest first, as one file.

    They are read a page at a time, each when the one before has left for the reader: neither memory nor a transaction
    of the database is held for one that is slow.
    """

    def initialize(
        self, authenticator: Authenticator, store: RecordStore, live_record: LiveRecord, form: FileFormat
    ) -> None:
        """Take over what the routes give to every request."""
        self._authenticator = authenticator
        self._search = RecordSearch(store, live_record)
        self._form = form

    async def answer(self, organisation: str) -> object:
        """Return what is needed to go on, and the first page: with it, an error still has an answer of its own."""
        names = self.request.query_arguments
        given = {name: self.get_query_arguments(name, strip=False) for name in names}
        wanted = record_filter(read_values(given, RecordFileQuery))
        return organisation, wanted, await self._search.page(organisation, wanted, None, _AT_ONCE)

    async def show(self, found: tuple[str, RecordFilter, RecordPage]) -> None:
        """Write page after page."""
        organisation, wanted, page = found
        name = f"records-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{self._form.extension}"
        self.set_header("Content-Type", self._form.content_type)
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        self.write(self._form.head)
        try:
            await self._send(page)
            while page.next is not None:
                page = await self._search.page(organisation, wanted, page.next, _AT_ONCE)
                await self._send(page)
        except StreamClosedError:
            return  # whoever read has enough
        except (StoreUnavailableError, TimeoutError) as error:
            # Broken off without the last chunk, so that nobody takes it for a whole file.
            _log.warning("file of records broken off", organisation=organisation, reason=str(error) or "nobody reads")
            self.detach().close()
            return
        self.finish()

    async def _send(self, page: RecordPage) -> None:
        self.write(self._form.lines(page.items))
        await asyncio.wait_for(self.flush(), STALLED_SECONDS)
