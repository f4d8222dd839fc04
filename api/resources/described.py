"""Operations that give something else than JSON as a whole, and so have handlers of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from api.handlers.events import EventSocketHandler, EventStreamHandler
from api.handlers.ladders import LadderHandler
from api.handlers.record_files import RecordFileHandler
from api.handlers.recordings import RecordingHandler
from api.handlers.records import RecordHandler, RecordsHandler
from api.models import Ladder, Query, Record, RecordPage
from api.operations import Operation
from api.record_filter import RecordFileQuery, RecordQuery
from api.record_rows import CSV, JSON_LINES
from sipcore.domain.directory import Scope
from sipcore.domain.public_events import EventType

_TYPE = f"({'|'.join(EventType)})"
_AUDIO = ("audio/wav", "audio/flac", "audio/ogg")


class EventQuery(Query):
    """Which events."""

    after: Annotated[
        str | None, Field(description="id of the last event that is known", pattern="^[0-7][0-9a-f]{15}$")
    ] = None
    types: Annotated[
        str | None,
        Field(description="some types, separated by commas; without it all", pattern=f"^{_TYPE}(,{_TYPE})*$"),
    ] = None


def described_operations(
    records: Mapping[str, Any], ladders: Mapping[str, Any], recordings: Mapping[str, Any], events: Mapping[str, Any]
) -> list[Operation]:
    """Return them.

    Args:
        records: arguments of its handlers.
        ladders: arguments of its handlers.
        recordings: arguments of its handlers.
        events: arguments of its handlers.
    """
    return [
        Operation(
            name="listRecords", method="GET", path="/api/v1/records", tag="records", scope=Scope.READ,
            summary="The records of calls, newest first, a page at a time", query=RecordQuery, answer=RecordPage,
            handler=(RecordsHandler, records),
        ),
        *(
            Operation(
                name=name, method="GET", path=f"/api/v1/records.{form.extension}", tag="records", scope=Scope.READ,
                summary=f"All records that the filters select, as {kind}", query=RecordFileQuery,
                media=(form.content_type,),
                handler=(RecordFileHandler, {**records, "form": form}),
            )
            for name, kind, form in (("exportCsv", "CSV", CSV), ("exportJsonLines", "JSON lines", JSON_LINES))
        ),
        Operation(
            name="getRecord", method="GET", path="/api/v1/records/{id}", tag="records", scope=Scope.READ,
            summary="The record of a call", answer=Record,
            handler=(RecordHandler, records),
        ),
        Operation(
            name="getLadder", method="GET", path="/api/v1/records/{id}/ladder", tag="records", scope=Scope.READ,
            summary="The SIP messages of a call's legs; drawn in text when that is what is accepted", answer=Ladder,
            media=("text/plain",), handler=(LadderHandler, ladders),
        ),
        Operation(
            name="drawLadder", method="GET", path="/api/v1/records/{id}/ladder.txt", tag="records", scope=Scope.READ,
            summary="The SIP messages of a call's legs, drawn in text", media=("text/plain",),
            handler=(LadderHandler, {**ladders, "drawn": True}),
        ),
        Operation(
            name="getRecording", method="GET", path="/api/v1/recordings/{id}", tag="recordings", scope=Scope.READ,
            summary="The audio of a recording, or the part of it that a Range header asks for",
            media=_AUDIO, in_parts=True, problems=frozenset({409, 416}), handler=(RecordingHandler, recordings),
        ),
        Operation(
            name="deleteRecording", method="DELETE", path="/api/v1/recordings/{id}", tag="recordings",
            scope=Scope.CALL, summary="Delete the audio of a recording", status=204,
            problems=frozenset({409}), handler=(RecordingHandler, recordings),
        ),
        Operation(
            name="followEvents", method="GET", path="/api/v1/events", tag="events", scope=Scope.READ,
            summary="Events as they happen (server-sent events)", query=EventQuery, media=("text/event-stream",),
            problems=frozenset({410}), handler=(EventStreamHandler, events),
        ),
        Operation(
            name="followEventsOverWebSocket", method="GET", path="/api/v1/events/ws", tag="events", scope=Scope.READ,
            summary="Events as they happen (WebSocket)", query=EventQuery, status=101,
            problems=frozenset({410, 426}), handler=(EventSocketHandler, events),
        ),
    ]  # fmt: skip
