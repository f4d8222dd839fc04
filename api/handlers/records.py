"""`/api/v1/records`: what became of the organisation's calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from api.handlers.resource import ResourceHandler
from api.record_filter import RecordQuery, read_values, record_filter
from sipcore.domain.public_events import written_time
from sipcore.domain.record import CallRecord, LegRecord, RecordFilter, RecordPage
from sipcore.service.authentication import Authenticator
from sipcore.service.store import RecordStore

LiveRecord = Callable[[str, str], CallRecord | None]
"""From an organisation's name and a record's id or a leg's UniqueID to a call in progress, or None."""
PAGE_RECORDS: Final = 50


class RecordSearch:
    """Finds records, those of calls in progress as they are now.

    Args:
        store: has all of them.
        live_record: finds those of calls in progress.
    """

    def __init__(self, store: RecordStore, live_record: LiveRecord) -> None:
        self._store = store
        self._live_record = live_record

    async def page(
        self, organisation: str, wanted: RecordFilter, cursor: str | None, limit: int = PAGE_RECORDS
    ) -> RecordPage:
        """Return a page.

        Raises:
            ParameterError: the cursor is none of ours.
            StoreUnavailableError: the database does not answer.
        """
        # A call in progress is looked up before the database: read after it, it may have ended in between.
        if wanted.uid is not None and wanted == RecordFilter(uid=wanted.uid) and cursor is None:
            live = self._live_record(organisation, wanted.uid)
            if live is not None:
                return RecordPage((live,), None)
        page = await self._store.find(organisation, wanted, cursor=cursor, limit=limit)
        return RecordPage(tuple(self._freshest(record) for record in page.items), page.next)

    async def one(self, organisation: str, record_id: str) -> CallRecord | None:
        """Return the record with an id, or None when the organisation has none.

        Raises:
            StoreUnavailableError: the call is not in progress, and the database does not answer.
        """
        return self.live(organisation, record_id) or await self._store.get(organisation, record_id)

    def live(self, organisation: str, record_id: str) -> CallRecord | None:
        """Return the record of the call in progress with an id, or None."""
        live = self._live_record(organisation, record_id)
        # The lookup of calls in progress takes UniqueIDs too; this one is for ids alone.
        return live if live is not None and live.id == record_id else None

    def _freshest(self, record: CallRecord) -> CallRecord:
        if record.ended_at is not None:
            return record
        return self._live_record(record.organisation, record.id) or record


class RecordsHandler(ResourceHandler):
    """The records of the caller's organisation, newest first, a page at a time."""

    def initialize(self, authenticator: Authenticator, store: RecordStore, live_record: LiveRecord) -> None:
        """Take over what the routes give to every request."""
        self._authenticator = authenticator
        self._search = RecordSearch(store, live_record)

    async def answer(self, organisation: str) -> object:
        """Return the page that the filters select."""
        given = {name: self.get_query_arguments(name, strip=False) for name in self.request.query_arguments}
        values = read_values(given, RecordQuery)
        page = await self._search.page(organisation, record_filter(values), values.get("cursor"))
        return {"items": [record_as_json(record) for record in page.items], "next": page.next}


class RecordHandler(ResourceHandler):
    """One record of the caller's organisation."""

    def initialize(self, authenticator: Authenticator, store: RecordStore, live_record: LiveRecord) -> None:
        """Take over what the routes give to every request."""
        self._authenticator = authenticator
        self._search = RecordSearch(store, live_record)

    async def answer(self, organisation: str) -> object:
        """Return the record, or None when the organisation has none of this id."""
        found = await self._search.one(organisation, self.path_args[0])
        return None if found is None else record_as_json(found)


def record_as_json(record: CallRecord) -> dict[str, object]:
    """Return a record as the JSON API shows it."""
    return {
        "id": record.id,
        "user": record.user,
        "accepted_at": written_time(record.accepted_at),
        "joined_at": written_time(record.joined_at),
        "ended_at": written_time(record.ended_at),
        "dial1": record.dial1,
        "dial2": record.dial2,
        "set_cid": record.set_cid,
        "disposition": record.disposition,
        "ended_by": record.ended_by,
        "recording_id": record.recording_id,
        "recording_state": record.recording_state,
        "batch_id": record.batch_id,
        "reference": record.reference,
        "direction": record.direction,
        "legs": [_leg_as_json(leg) for leg in record.legs],
    }


def _leg_as_json(leg: LegRecord) -> dict[str, object]:
    return {
        "uid": leg.uid,
        "number": leg.number,
        "disposition": leg.disposition,
        "sip_code": leg.sip_code,
        "cause": leg.cause,
        "ended_by": leg.ended_by,
        "party": leg.party,
        "answered_by": leg.answered_by,
        "extension": leg.extension,
        "placed_at": written_time(leg.placed_at),
        "ringing_at": written_time(leg.ringing_at),
        "answered_at": written_time(leg.answered_at),
        "ended_at": written_time(leg.ended_at),
        "quality": None if leg.quality is None else asdict(leg.quality),
    }
