"""What is wanted of a call that another node carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sipcore.service.nodes import Nodes

Act = Callable[[str, str], object]
"""Does what is wanted of something of an organisation's, by its id, if this node carries it."""
PassOn = Callable[[str, str], Awaitable[None]]
"""Passes that on to the other nodes; see `Errand.pass_on`."""


class Errand:
    """One kind of thing that is wanted: passed on to all other nodes, and done by the one that carries it.

    Args:
        nodes: the other nodes.
        topic: a word for it.
        act: does here what other nodes pass on.
    """

    def __init__(self, nodes: Nodes, topic: str, act: Act) -> None:
        self._nodes = nodes
        self._topic = topic
        self._act = act
        nodes.listen(topic, self._hear)

    async def pass_on(self, organisation: str, what: str) -> None:
        """Have it done by the node that carries it, if there is one.

        Args:
            organisation: whose it is.
            what: its id.

        Raises:
            StoreUnavailableError: nobody was told.
        """
        await self._nodes.tell(self._topic, f"{what} {organisation}")

    def _hear(self, text: str) -> None:
        what, _, organisation = text.partition(" ")
        self._act(organisation, what)
