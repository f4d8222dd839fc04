"""`/api/v1/batches`: requests for many numbers, how they stand, and how they are cancelled."""

from __future__ import annotations

import http

from api.models import BatchPage, BatchReport, NewBatch, PageQuery
from api.operations import Asked, Operation
from sipcore.domain.batch import NumberState
from sipcore.domain.batch_record import BatchRecord, NumberResult
from sipcore.domain.batch_record import BatchReport as Report
from sipcore.domain.directory import Scope
from sipcore.domain.public_events import written_time
from sipcore.service.batches import Batches, BatchRequest

_SHOWN = [state for state in NumberState if state is not NumberState.STARTING]


class BatchesResource:
    """The organisation's batches.

    Args:
        batches: runs them.
    """

    def __init__(self, batches: Batches) -> None:
        self._batches = batches

    def operations(self) -> list[Operation]:
        """Return what can be done."""
        return [
            Operation(
                name="dialBatch", method="POST", path="/api/v1/batches", tag="batches", scope=Scope.CALL,
                summary="Ring many numbers; each that answers gets its own dial2",
                body=NewBatch, answer=BatchReport, status=http.HTTPStatus.CREATED,
                problems=frozenset({422, 429}), act=self.dial, again=self.get,
            ),
            Operation(
                name="listBatches", method="GET", path="/api/v1/batches", tag="batches", scope=Scope.READ,
                summary="The batches, newest first, a page at a time",
                query=PageQuery, answer=BatchPage, act=self.list,
            ),
            Operation(
                name="getBatch", method="GET", path="/api/v1/batches/{id}", tag="batches", scope=Scope.READ,
                summary="A batch and its numbers", answer=BatchReport, act=self.get,
            ),
            Operation(
                name="cancelBatch", method="DELETE", path="/api/v1/batches/{id}", tag="batches", scope=Scope.CALL,
                summary="Dial nothing more of a batch, whichever node dials it; one that has ended stays as it is",
                answer=BatchReport, act=self.cancel,
            ),
        ]  # fmt: skip

    async def dial(self, asked: Asked[None, NewBatch]) -> object:
        """Accept a batch, and tell how it stands."""
        body = asked.body
        live = await self._batches.dial(
            BatchRequest(
                organisation=asked.organisation,
                user=asked.caller.user,
                dial1=tuple(body.dial1),
                dial2=body.dial2,
                set_cid=body.set_cid,
                ring_seconds=body.ring_seconds,
                id=asked.made,
            )
        )
        return _report_as_json(live.report())

    async def list(self, asked: Asked[PageQuery, None]) -> object:
        """Return a page of them."""
        page = await self._batches.find(asked.organisation, asked.query.cursor)
        return {"items": [_record_as_json(batch) for batch in page.items], "next": page.next}

    async def get(self, asked: Asked[None, None]) -> object:
        """Return one."""
        report = await self._batches.get(asked.organisation, asked.path["id"])
        return None if report is None else _report_as_json(report)

    async def cancel(self, asked: Asked[None, None]) -> object:
        """Cancel one, and tell how it stands."""
        report = await self._batches.cancel(asked.organisation, asked.path["id"])
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


def _report_as_json(report: Report) -> dict[str, object]:
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
