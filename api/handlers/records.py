"""`/api/v1/records`: what became of the organisation's calls."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from api.handlers.resource import ResourceHandler
from sipcore.domain.causes import Disposition
from sipcore.domain.errors import ParameterError
from sipcore.domain.public_events import written_time
from sipcore.domain.record import CallRecord, LegRecord, RecordFilter
from sipcore.service.authentication import Authenticator
from sipcore.service.store import RecordStore

LiveRecord = Callable[[str, str], CallRecord | None]
"""From an organisation's name and a record's id or a leg's UniqueID to a call in progress, or None."""

_NAMES = ("uid", "number", "disposition", "batch", "since", "until", "cursor")
_TOKEN = re.compile(r"[\x21-\x7e]{1,256}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+ -]\d\d:\d\d)", re.ASCII)


class RecordsHandler(ResourceHandler):
    """The records of the caller's organisation, newest first, a page at a time."""

    def initialize(self, authenticator: Authenticator, store: RecordStore, live_record: LiveRecord) -> None:
        """Take over what the routes give to every request."""
        self._authenticator = authenticator
        self._store = store
        self._live_record = live_record

    async def answer(self, organisation: str) -> object:
        """Return the page that the filters select."""
        given = {name: self._filter(name) for name in _NAMES}
        wanted = RecordFilter(
            uid=given["uid"],
            number=given["number"],
            disposition=_disposition(given["disposition"]),
            batch=given["batch"],
            since=_moment("since", given["since"]),
            until=_moment("until", given["until"]),
        )
        # A call in progress is looked up before the database: read after it, it may have ended in between.
        if wanted.uid is not None and wanted == RecordFilter(uid=wanted.uid) and given["cursor"] is None:
            live = self._live_record(organisation, wanted.uid)
            if live is not None:
                return {"items": [record_as_json(live)], "next": None}
        page = await self._store.find(organisation, wanted, cursor=given["cursor"])
        return {"items": [record_as_json(self._freshest(record)) for record in page.items], "next": page.next}

    def _filter(self, name: str) -> str | None:
        """Return a filter's value; like every name of this server it may come twice with the same value only."""
        values = set(self.get_query_arguments(name, strip=False))
        if not values:
            return None
        if len(values) > 1:
            raise ParameterError(name, "is given twice with different values")
        value = values.pop()
        if name == "number" and value.startswith(" "):
            value = f"+{value[1:]}"  # a + that was not escaped in the query
        if name not in {"since", "until"} and not _TOKEN.fullmatch(value):
            raise ParameterError(name, "must be 1 to 256 printable ASCII characters without spaces")
        return value

    def _freshest(self, record: CallRecord) -> CallRecord:
        if record.ended_at is not None:
            return record
        return self._live_record(record.organisation, record.id) or record


class RecordHandler(ResourceHandler):
    """One record of the caller's organisation."""

    def initialize(self, authenticator: Authenticator, store: RecordStore, live_record: LiveRecord) -> None:
        """Take over what the routes give to every request."""
        self._authenticator = authenticator
        self._store = store
        self._live_record = live_record

    async def answer(self, organisation: str) -> object:
        """Return the record, or None when the organisation has none of this id."""
        record_id = self.path_args[0]
        live = self._live_record(organisation, record_id)
        # The lookup of calls in progress takes UniqueIDs too; this path is for ids alone.
        if live is not None and live.id == record_id:
            return record_as_json(live)
        stored = await self._store.get(organisation, record_id)
        return None if stored is None else record_as_json(stored)


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
        "placed_at": written_time(leg.placed_at),
        "ringing_at": written_time(leg.ringing_at),
        "answered_at": written_time(leg.answered_at),
        "ended_at": written_time(leg.ended_at),
        "quality": None if leg.quality is None else asdict(leg.quality),
    }


def _disposition(value: str | None) -> Disposition | None:
    if value is None:
        return None
    if value not in Disposition.__members__.values():
        raise ParameterError("disposition", f"must be one of {', '.join(Disposition)}")
    return Disposition(value)


def _moment(name: str, value: str | None) -> datetime | None:
    if value is None:
        return None
    problem = ParameterError(name, "must be a time as RFC 3339 writes it, for example 2026-01-31T08:00:00Z")
    if not _RFC3339.fullmatch(value):
        raise problem
    try:
        # A + that was not escaped in the query arrives as a space.
        return datetime.fromisoformat(value.upper().replace(" ", "+")).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise problem from error
