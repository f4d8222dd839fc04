"""What an organisation can see of the settings, and how it stands now: extensions, the trunk, limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from api.models import ExtensionPage, ExtensionState, LimitStatus, TrunkPage
from api.operations import Asked, Operation
from api.resources.calls import LiveRecords
from sipcore.domain.directory import Extension, Organisation, Scope
from sipcore.domain.public_events import written_time
from sipcore.domain.registration import TrunkState
from sipcore.service.calls import LiveDirectory
from sipcore.service.queue_board import QueueBoard


class SurroundingsResource:
    """Extensions, trunks and limits.

    Args:
        directory: the settings in force.
        queues: know which lines are in a call.
        trunk_states: tells how each trunk's registration stands.
        live_records: finds all calls in progress of an organisation.
    """

    def __init__(
        self,
        directory: LiveDirectory,
        queues: QueueBoard,
        trunk_states: Callable[[], Sequence[TrunkState]],
        live_records: LiveRecords,
    ) -> None:
        self._directory = directory
        self._queues = queues
        self._trunk_states = trunk_states
        self._live_records = live_records

    def operations(self) -> list[Operation]:
        """Return what can be done."""
        return [
            Operation(
                name="listExtensions", method="GET", path="/api/v1/extensions", tag="extensions", scope=Scope.READ,
                summary="All extensions of the settings, by number", answer=ExtensionPage, act=self.extensions,
            ),
            Operation(
                name="getExtension", method="GET", path="/api/v1/extensions/{number}", tag="extensions",
                scope=Scope.READ, summary="An extension now", answer=ExtensionState, act=self.extension,
            ),
            Operation(
                name="listTrunks", method="GET", path="/api/v1/trunks", tag="trunks", scope=Scope.READ,
                summary="The organisation's trunk, and where its registration stands",
                answer=TrunkPage, act=self.trunks,
            ),
            Operation(
                name="getLimits", method="GET", path="/api/v1/limits", tag="limits", scope=Scope.READ,
                summary="The organisation's limits, and what it uses of them", answer=LimitStatus, act=self.limits,
            ),
        ]  # fmt: skip

    async def extensions(self, asked: Asked[None, None]) -> object:
        """Return them all."""
        organisation = self._organisation(asked)
        numbers = sorted(organisation.extensions)
        return {"items": [self._as_json(organisation.name, organisation.extensions[number]) for number in numbers]}

    async def extension(self, asked: Asked[None, None]) -> object:
        """Return one."""
        organisation = self._organisation(asked)
        found = organisation.extensions.get(asked.path["number"])
        return None if found is None else self._as_json(organisation.name, found)

    async def trunks(self, asked: Asked[None, None]) -> object:
        """Return the organisation's own."""
        name = self._organisation(asked).trunk
        return {
            "items": [
                {"name": state.trunk, "state": state.state, "sip_code": state.sip_code, "text": state.text}
                for state in self._trunk_states()
                if state.trunk == name
            ]
        }

    async def limits(self, asked: Asked[None, None]) -> object:
        """Return them."""
        organisation = self._organisation(asked)
        return {
            "max_calls": organisation.max_calls,
            "calls_in_progress": len(self._live_records(organisation.name)),
            "calls_per_second": organisation.calls_per_second,
        }

    def _organisation(self, asked: Asked[None, None]) -> Organisation:
        # Credentials may have been verified just before a reload.
        return self._directory.current.organisations.get(asked.organisation) or Organisation(asked.organisation)

    def _as_json(self, organisation: str, extension: Extension) -> dict[str, object]:
        since = self._queues.busy_since(organisation, extension.number)
        return {
            "number": extension.number,
            "caller_id": extension.caller_id,
            "state": "free" if since is None else "busy",
            "since": None if since is None else written_time(self._queues.at(since)),
        }
