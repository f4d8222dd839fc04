"""Host names to IPv4 addresses, in the parent: a blocking look-up would stall a worker and its calls."""

from __future__ import annotations

import asyncio
import ipaddress
import math
import socket
import time

_KEEP_SECONDS = 60.0


class Resolver:
    """Looks names up and remembers the answers for a minute."""

    def __init__(self) -> None:
        self._cache: dict[str, tuple[str, float]] = {}

    def known(self, host: str) -> str | None:
        """Return the address of a host without a look-up, or None when one is needed."""
        address, until = self._cache.get(host, ("", 0.0))
        if until > time.monotonic():
            return address
        try:
            address = str(ipaddress.IPv4Address(host))
        except ValueError:
            return None
        self._cache[host] = (address, math.inf)
        return address

    async def resolve(self, host: str) -> str | None:
        """Return the first IPv4 address of a host, or None when it has none."""
        address = self.known(host)
        if address is not None:
            return address
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_DGRAM)
        except OSError:
            return None
        address = str(found[0][4][0])
        self._cache[host] = (address, time.monotonic() + _KEEP_SECONDS)
        return address
