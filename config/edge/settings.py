"""`[edge]`: the SIP proxy that stands in front of the nodes."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from config.table import Table
from config.values import EdgeAddress, HostName, Nodes, refused


class EdgeSettings(Table):
    """Where it is, which nodes stand behind it, and how often it asks them whether they are there."""

    address: EdgeAddress
    domain: HostName | None = None
    nodes: Annotated[Nodes, Field(min_length=1)]
    ping_seconds: int = Field(default=2, ge=1, le=60)
    processes: int = Field(default=1, ge=1, le=64)

    @model_validator(mode="after")
    def _addresses_differ(self) -> Self:
        for place, node in enumerate(self.nodes):
            if node.address == self.address.host and self.address.port in node.ports:
                raise refused(f"expected `address` on a port of its own: {self.address.port} is one of nodes[{place}]")
            for before, other in enumerate(self.nodes[:place]):
                if node.address == other.address and set(node.ports) & set(other.ports):
                    raise refused(f"expected nodes[{before}] and nodes[{place}] on ports of their own")
        return self

    @property
    def realm(self) -> str:
        """The domain of the phones' addresses, and the realm of their credentials (RFC 3261 section 22.1)."""
        return self.domain or self.address.host
