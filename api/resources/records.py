"""`/api/v1/records`: what became of calls, and the SIP messages of their legs."""

from __future__ import annotations

from api.handlers.ladders import LadderHandler
from api.handlers.record_files import RecordFileHandler
from api.handlers.records import LiveRecord, RecordHandler, RecordsHandler
from api.models import Ladder, Record, RecordPage
from api.operations import Operation
from api.record_filter import RecordFileQuery, RecordQuery
from api.record_rows import CSV, JSON_LINES
from sipcore.domain.directory import Scope
from sipcore.service.authentication import Authenticator
from sipcore.service.ladders import LadderStore
from sipcore.service.store import RecordStore


class RecordsResource:
    """The organisation's records.

    Args:
        store: keeps them.
        ladders: keeps the SIP messages of their legs.
        live_record: finds a call in progress by organisation and record id or UniqueID.
        authenticator: knows who is asking.
    """

    def __init__(
        self, store: RecordStore, ladders: LadderStore, live_record: LiveRecord, authenticator: Authenticator
    ) -> None:
        self._of_records = {"authenticator": authenticator, "store": store, "live_record": live_record}
        self._of_ladders = {**self._of_records, "ladders": ladders}

    def operations(self) -> list[Operation]:
        """Return what can be done."""
        return [
            Operation(
                name="listRecords", method="GET", path="/api/v1/records", tag="records", scope=Scope.READ,
                summary="The records of calls, newest first, a page at a time", query=RecordQuery, answer=RecordPage,
                handler=(RecordsHandler, self._of_records),
            ),
            *(
                Operation(
                    name=name, method="GET", path=f"/api/v1/records.{form.extension}", tag="records", scope=Scope.READ,
                    summary=f"All records that the filters select, as {kind}", query=RecordFileQuery,
                    media=(form.content_type,), handler=(RecordFileHandler, {**self._of_records, "form": form}),
                )
                for name, kind, form in (("exportCsv", "CSV", CSV), ("exportJsonLines", "JSON lines", JSON_LINES))
            ),
            Operation(
                name="getRecord", method="GET", path="/api/v1/records/{id}", tag="records", scope=Scope.READ,
                summary="The record of a call", answer=Record, handler=(RecordHandler, self._of_records),
            ),
            *self._operations_on_ladders(),
        ]  # fmt: skip

    def _operations_on_ladders(self) -> list[Operation]:
        return [
            Operation(
                name="getLadder", method="GET", path="/api/v1/records/{id}/ladder", tag="records", scope=Scope.READ,
                summary="The SIP messages of a call's legs; drawn in text when that is what is accepted", answer=Ladder,
                media=("text/plain",), handler=(LadderHandler, self._of_ladders),
            ),
            Operation(
                name="drawLadder", method="GET", path="/api/v1/records/{id}/ladder.txt", tag="records",
                scope=Scope.READ,
                summary="The SIP messages of a call's legs, drawn in text", media=("text/plain",),
                handler=(LadderHandler, {**self._of_ladders, "drawn": True}),
            ),
        ]  # fmt: skip
