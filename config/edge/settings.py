"""`[edge]`: the SIP proxy that stands in front of the nodes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.table import Table
from config.values import EdgeAddress, HostName, Nodes


class EdgeSettings(Table):
    """Where it is, which nodes stand behind it, and how often it asks them whether they are there."""

    address: EdgeAddress
    domain: HostName | None = None
    nodes: Annotated[Nodes, Field(min_length=1)]
    ping_seconds: int = Field(default=2, ge=1, le=60)
    processes: int = Field(default=1, ge=1, le=64)

    @property
    def realm(self) -> str:
        """The domain of the phones' addresses, and the realm of their credentials (RFC 3261 section 22.1)."""
        return self.domain or self.address.host
