"""Records as files: one line of CSV, or of JSON, for each call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import msgspec

from api.handlers.records import record_as_json
from api.spreadsheet import CONTENT_TYPE, Cell, csv_text
from sipcore.domain.causes import Disposition
from sipcore.domain.public_events import written_time
from sipcore.domain.quality import LegQuality
from sipcore.domain.record import CallRecord, LegRecord


def _seconds_joined(call: CallRecord) -> float | None:
    if call.joined_at is None or call.ended_at is None:
        return None
    return round((call.ended_at - call.joined_at).total_seconds(), 3)


_OF_CALL: Final[dict[str, Callable[[CallRecord], Cell]]] = {
    "id": lambda call: call.id,
    "accepted_at": lambda call: written_time(call.accepted_at),
    "joined_at": lambda call: written_time(call.joined_at),
    "ended_at": lambda call: written_time(call.ended_at),
    "talk_seconds": _seconds_joined,
    "direction": lambda call: call.direction,
    "user": lambda call: call.user,
    "dial1": lambda call: call.dial1,
    "dial2": lambda call: call.dial2,
    "set_cid": lambda call: call.set_cid,
    "disposition": lambda call: call.disposition,
    "ended_by": lambda call: call.ended_by,
    "reference": lambda call: call.reference,
    "batch_id": lambda call: call.batch_id,
    "recording_id": lambda call: call.recording_id,
    "recording_state": lambda call: call.recording_state,
    "legs": lambda call: len(call.legs),
}
_OF_LEG: Final[dict[str, Callable[[LegRecord], Cell]]] = {
    "uid": lambda leg: leg.uid,
    "number": lambda leg: leg.number,
    "extension": lambda leg: leg.extension,
    "disposition": lambda leg: leg.disposition,
    "sip_code": lambda leg: leg.sip_code,
    "cause": lambda leg: leg.cause,
    "ended_by": lambda leg: leg.ended_by,
    "answered_by": lambda leg: leg.answered_by,
    "placed_at": lambda leg: written_time(leg.placed_at),
    "ringing_at": lambda leg: written_time(leg.ringing_at),
    "answered_at": lambda leg: written_time(leg.answered_at),
    "ended_at": lambda leg: written_time(leg.ended_at),
}
_OF_QUALITY: Final[dict[str, Callable[[LegQuality], Cell]]] = {
    "codec": lambda quality: quality.codec,
    "round_trip_ms": lambda quality: quality.round_trip_ms,
    "received_packets": lambda quality: quality.received.packets,
    "received_lost": lambda quality: quality.received.lost,
    "received_jitter_ms": lambda quality: quality.received.jitter_ms,
    "received_mos": lambda quality: quality.received.mos,
    "sent_packets": lambda quality: quality.sent.packets,
    "sent_lost": lambda quality: quality.sent.lost,
    "sent_jitter_ms": lambda quality: quality.sent.jitter_ms,
    "sent_mos": lambda quality: quality.sent.mos,
}
_PARTIES: Final = ("dial1", "dial2")
COLUMNS: Final = (*_OF_CALL, *(f"{party}_{name}" for party in _PARTIES for name in (*_OF_LEG, *_OF_QUALITY)))


class FileFormat(NamedTuple):
    """One way to write a file of records.

    Attributes:
        extension: of the file's name.
        content_type: for HTTP.
        head: what the file begins with.
        lines: writes some records.
    """

    extension: str
    content_type: str
    head: str
    lines: Callable[[Iterable[CallRecord]], str]


def _csv_lines(records: Iterable[CallRecord]) -> str:
    return csv_text(_row(record) for record in records)


def _leg_of(record: CallRecord, party: str) -> LegRecord | None:
    """Choose the leg that a party's columns are about: the one that was answered, else the last that was rung."""
    of_party = [leg for leg in record.legs if leg.party == party]
    answered = [leg for leg in of_party if leg.disposition is Disposition.ANSWERED]
    found = answered or of_party
    return found[-1] if found else None


def _row(record: CallRecord) -> list[Cell]:
    cells = [read(record) for read in _OF_CALL.values()]
    for party in _PARTIES:
        leg = _leg_of(record, party)
        cells += [None if leg is None else read(leg) for read in _OF_LEG.values()]
        quality = None if leg is None else leg.quality
        cells += [None if quality is None else of(quality) for of in _OF_QUALITY.values()]
    return cells


def _json_lines(records: Iterable[CallRecord]) -> str:
    return "".join(f"{msgspec.json.encode(record_as_json(record)).decode()}\n" for record in records)


CSV: Final = FileFormat("csv", CONTENT_TYPE, csv_text([COLUMNS]), _csv_lines)
JSON_LINES: Final = FileFormat("jsonl", "application/jsonl; charset=utf-8", "", _json_lines)
