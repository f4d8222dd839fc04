"""`/api/v1/records.csv` and `/api/v1/records.jsonl`: all records that the filters select, as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

from api.handlers.file import FileHandler
from api.handlers.records import LiveRecord, RecordSearch
from api.record_filter import RecordFileQuery, read_values, record_filter
from api.record_rows import FileFormat
from sipcore.domain.record import RecordFilter, RecordPage
from sipcore.service.authentication import Authenticator
from sipcore.service.store import RecordStore

_AT_ONCE: Final = 50
"""Records that are read, and written, at once: between two of these pages calls have their turn."""


class RecordFileHandler(FileHandler):
    """The records of the caller's organisation, newest first, as one file; they are read a page at a time."""

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
        name = f"records-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{self._form.extension}"
        await self.send_file("records", name, self._form.content_type, self._pieces(*found))

    async def _pieces(self, organisation: str, wanted: RecordFilter, page: RecordPage) -> AsyncIterator[str]:
        yield self._form.head
        yield self._form.lines(page.items)
        while page.next is not None:
            page = await self._search.page(organisation, wanted, page.next, _AT_ONCE)
            yield self._form.lines(page.items)
