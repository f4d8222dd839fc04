"""`/api/v1/records/ID/ladder`: the SIP messages of a call's legs, as JSON or drawn in text."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from api.handlers.records import LiveRecord, RecordSearch
from api.handlers.resource import ResourceHandler
from sipcore.domain.ladder import LegLadder, Rung
from sipcore.domain.ladder_drawing import draw
from sipcore.domain.public_events import written_time
from sipcore.domain.record import CallRecord
from sipcore.service.authentication import Authenticator
from sipcore.service.ladders import LadderStore
from sipcore.service.store import RecordStore


class LadderHandler(ResourceHandler):
    """The ladder of one call of the caller's organisation, also while it goes on."""

    def initialize(
        self,
        authenticator: Authenticator,
        store: RecordStore,
        live_record: LiveRecord,
        ladders: LadderStore,
        *,
        drawn: bool = False,
    ) -> None:
        """Take over what the routes give to every request."""
        self._authenticator = authenticator
        self._search = RecordSearch(store, live_record)
        self._ladders = ladders
        self._drawn = drawn

    async def answer(self, organisation: str) -> object:
        """Return the record and its ladder, or None when there is none of this id or no ladder is kept."""
        record_id = self.path_args[0]
        live = self._search.live(organisation, record_id)
        if live is not None:
            return live, live.ladder
        record = await self._search.one(organisation, record_id)
        ladder = () if record is None else await self._ladders.of(organisation, record_id)
        return (record, ladder) if ladder else None

    async def show(self, found: Any) -> None:
        """Draw it where that is what the path or the caller wants, else write JSON."""
        record, ladder = found
        if self._drawn or _wants_text(self.request.headers.get("Accept", "")):
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.finish(draw(record, ladder))
        else:
            await super().show(_as_json(record, ladder))


def _wants_text(accept: str) -> bool:
    """Tell whether text comes before JSON among what is accepted; weights are not looked at."""
    kinds = [kind.partition(";")[0].strip().lower() for kind in accept.split(",")]
    return "text/plain" in kinds and "application/json" not in kinds[: kinds.index("text/plain")]


def _as_json(record: CallRecord, ladder: tuple[LegLadder, ...]) -> dict[str, object]:
    of_uid = {leg.uid: leg.rungs for leg in ladder}
    legs = [
        {
            "uid": leg.uid,
            "number": leg.number,
            "party": leg.party,
            "messages": [_message(record, rung) for rung in of_uid[leg.uid]],
        }
        for leg in record.legs
        if leg.uid in of_uid
    ]
    return {"record_id": record.id, "legs": legs}


def _message(record: CallRecord, rung: Rung) -> dict[str, object]:
    return {
        "at": written_time(record.accepted_at + timedelta(seconds=rung.at)),
        "direction": "sent" if rung.sent else "received",
        "method": rung.method,
        "code": rung.code,
        "cseq": rung.cseq,
    }
