"""Calls that other nodes carry."""

from __future__ import annotations

from sipcore.service.calls import Calls
from sipcore.service.nodes import Nodes

_HANG_UP = "hang-up"


class CallsElsewhere:
    """Passes on to other nodes what is wanted of their calls, and does what they pass on of ours.

    Args:
        nodes: the other nodes.
        calls: of this node.
    """

    def __init__(self, nodes: Nodes, calls: Calls) -> None:
        self._nodes = nodes
        self._calls = calls
        nodes.listen(_HANG_UP, self._hang_up)

    async def hang_up(self, organisation: str, call_id: str) -> None:
        """Have a call ended by the node that carries it, if there is one.

        Raises:
            StoreUnavailableError: nobody was told.
        """
        await self._nodes.tell(_HANG_UP, f"{call_id} {organisation}")

    def _hang_up(self, text: str) -> None:
        call_id, _, organisation = text.partition(" ")
        self._calls.hang_up(organisation, call_id)
