"""`/api/v1/batches`: how the organisation's requests for many numbers stand, and how they are cancelled."""

from __future__ import annotations

from typing import ClassVar

from api.handlers.resource import ResourceHandler
from sipcore.domain.batch import NumberState
from sipcore.domain.batch_record import BatchRecord, BatchReport, NumberResult
from sipcore.domain.public_events import written_time
from sipcore.service.authentication import Authenticator
from sipcore.service.batches import Batches

_SHOWN = [state for state in NumberState if state is not NumberState.STARTING]


class _BatchResource(ResourceHandler):
    def initialize(self, authenticator: Authenticator, batches: Batches) -> None:
        """Take over what the routes give to every request."""
        self._authenticator = authenticator
        self._batches = batches


class BatchesHandler(_BatchResource):
    """The batches of the caller's organisation, newest first, a page at a time."""

    async def answer(self, organisation: str) -> object:
        """Return the page."""
        page = await self._batches.find(organisation, self.get_query_argument("cursor", None))
        return {"items": [_record_as_json(batch) for batch in page.items], "next": page.next}


class BatchHandler(_BatchResource):
    """One batch of the caller's organisation; DELETE cancels it."""

    allowed: ClassVar[tuple[str, ...]] = ("GET", "DELETE")

    async def delete(self, *_path: str) -> None:
        """Cancel it, and answer how it stands."""
        await self.respond()

    async def answer(self, organisation: str) -> object:
        """Return the batch, or None when the organisation has none of this id."""
        act = self._batches.cancel if self.request.method == "DELETE" else self._batches.get
        report = await act(organisation, self.path_args[0])
        return None if report is None else _report_as_json(report)


def _record_as_json(batch: BatchRecord) -> dict[str, object]:
    return {
        "id": batch.id,
        "user": batch.user,
        "state": batch.state,
        "cancelled_by": batch.cancelled_by,
        "numbers": len(batch.numbers),
        "dial2": batch.dial2,
        "set_cid": batch.set_cid,
        "accepted_at": written_time(batch.accepted_at),
        "ended_at": written_time(batch.ended_at),
    }


def _report_as_json(report: BatchReport) -> dict[str, object]:
    return {
        **_record_as_json(report.record),
        "counts": {state: report.counts[state] for state in _SHOWN},
        "results": [_result_as_json(result) for result in report.results],
    }


def _result_as_json(result: NumberResult) -> dict[str, object]:
    return {
        "number": result.number,
        "status": result.status,
        "reason": result.reason,
        "uid1": result.uid1,
        "uid2": result.uid2,
        "record_id": result.record_id,
    }
