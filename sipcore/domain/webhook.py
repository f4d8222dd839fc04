"""Webhooks: whom to tell, how a delivery is signed, when it is tried again, and which addresses it may go to."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass, field

CONNECT_SECONDS = 5.0
"""How long looking up, connecting and the TLS handshake may take."""
TOTAL_SECONDS = 15.0
"""How long a delivery may take from its begin to the end of the answer."""

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")
"""RFC 4291 section 2.5.5.1; `::` and `::1` are in it and mean themselves."""
_REACHABLE_INSIDE = (
    *(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")),
    *(ipaddress.ip_network(text) for text in ("127.0.0.0/8", "169.254.0.0/16", "fc00::/7", "fe80::/10", "::1/128")),
)
"""Private (RFC 1918, RFC 6598, RFC 4193), loopback and link-local networks: `allow_private` opens these."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address of an organisation's own that is told of events.

    Attributes:
        name: as the settings call it.
        url: http or https.
        secret: signs the deliveries.
        types: which events it is told; empty: all.
        allow_private: whether it may be in a private, loopback or link-local network.
    """

    name: str
    url: str
    secret: str = field(repr=False)
    types: frozenset[str] = frozenset()
    allow_private: bool = False

    def wants(self, event_type: str) -> bool:
        """Tell whether it is told events of a type."""
        return not self.types or event_type in self.types


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an attempt to deliver went.

    Attributes:
        status: HTTP status of the answer, None when there was none.
        problem: why there was none, in words, or empty.
    """

    status: int | None
    problem: str = ""

    @property
    def delivered(self) -> bool:
        """True when the receiver has taken the event (any 2xx)."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 - the class of RFC 9110 section 15.3

    @property
    def gone(self) -> bool:
        """True when the receiver wants no more (410 Gone)."""
        return self.status == 410  # noqa: PLR2004 - RFC 9110 section 15.5.11


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at this time (seconds)."""

    moment: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not try again."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a delivery that failed is tried again.

    Attributes:
        first_seconds: pause after the first failure; it doubles with each further one.
        longest_seconds: the longest pause.
        jitter: by which share of itself a pause is shortened at most, so that many do not come back at once.
        give_up_seconds: how old an event may become.
    """

    first_seconds: float = 1.0
    longest_seconds: float = 900.0
    jitter: float = 0.25
    give_up_seconds: float = 86_400.0

    def after(self, failures: int, stored_at: float, now: float, chance: float) -> RetryAt | GiveUp:
        """Decide what follows a failure.

        Args:
            failures: how many there were in a row, this one included.
            stored_at: when the event was stored.
            now: the time, on the same clock as `stored_at`.
            chance: a random number from 0 to 1.
        """
        doublings = min(failures - 1, 32)
        pause = min(self.first_seconds * 2.0**doublings, self.longest_seconds)
        moment = now + pause * (1.0 - self.jitter * chance)
        return GiveUp() if moment - stored_at > self.give_up_seconds else RetryAt(moment)


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """Sign a delivery: HMAC-SHA256 (RFC 2104) over time stamp, a dot, and body.

    Args:
        secret: of the webhook.
        timestamp: when it is sent, whole seconds since 1970; a receiver refuses what is old.
        body: exactly as it is sent.

    Returns:
        The value of the header `Click2Call-Signature`.
    """
    digest = hmac.new(secret.encode(), str(timestamp).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def refusal(address: str, *, allow_private: bool) -> str | None:
    """Tell why nothing is sent to an IP address, or None when it is in order.

    An IPv6 address that stands for an IPv4 one (mapped, compatible, NAT64, 6to4) is judged as that.

    Args:
        address: IPv4 or IPv6, in text; an IPv6 zone is left out of account.
        allow_private: as in `Webhook`.
    """
    ip = _meant(ipaddress.ip_address(address.partition("%")[0]))
    if any(ip.version == network.version and ip in network for network in _REACHABLE_INSIDE):
        return None if allow_private else f"{address} is in a private network; allow_private would allow it"
    if ip.is_multicast or not ip.is_global:
        return f"{address} is no address of a single host on the Internet"
    return None


def _meant(ip: IpAddress) -> IpAddress:
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    if ip in _NAT64 or (ip in _COMPATIBLE and int(ip) > 1):
        return ipaddress.IPv4Address(ip.packed[-4:])
    return ip.ipv4_mapped or ip.sixtofour or ip
