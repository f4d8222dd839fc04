"""`/healthz` and `/readyz`: whether the process serves, and whether it can place calls."""

from __future__ import annotations

import asyncio
import http
import json
from collections.abc import Callable, Sequence

from api.handlers.base import Handler
from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.registration import TrunkState
from sipcore.service.store import RecordStore

DATABASE_SECONDS = 2.0
"""How long the database may take to answer before the server counts as not ready."""


class HealthHandler(Handler):
    """Answers 200 as long as the process serves at all."""

    allowed = ("GET", "HEAD")

    def get(self) -> None:
        """Say ok."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish("ok")

    head = get


class ReadinessHandler(Handler):
    """Answers 200 when database and workers are ready, else 503, and tells which is not; 503 too while it stops.

    The trunks' registrations are told but not counted: a trunk that is down is down for every node, and calls
    between phones go on without it.
    """

    allowed = ("GET", "HEAD")

    def initialize(
        self,
        store: RecordStore,
        workers_ready: Callable[[], bool],
        trunk_states: Callable[[], Sequence[TrunkState]],
        stopping: Callable[[], bool],
    ) -> None:
        """Take over what the routes give to every request."""
        self._store = store
        self._workers_ready = workers_ready
        self._trunk_states = trunk_states
        self._stopping = stopping

    async def get(self) -> None:
        """Ask the database, the workers and the trunks."""
        database, workers = await self._database_answers(), self._workers_ready()
        stopping = self._stopping()
        ready = database and workers and not stopping
        trunks = {
            state.trunk: {"state": state.state, "sip_code": state.sip_code, "text": state.text}
            for state in self._trunk_states()
        }
        self.set_status(http.HTTPStatus.OK if ready else http.HTTPStatus.SERVICE_UNAVAILABLE)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        told = {"ready": ready, "database": database, "workers": workers, "stopping": stopping, "trunks": trunks}
        self.finish(json.dumps(told))

    head = get

    async def _database_answers(self) -> bool:
        try:
            await asyncio.wait_for(self._store.ping(), DATABASE_SECONDS)
        except (StoreUnavailableError, TimeoutError):
            return False
        return True
