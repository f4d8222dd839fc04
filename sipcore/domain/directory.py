"""Who may call whom, through what: organisations, users, extensions and trunks as the settings name them.

Frozen values: a reload of the settings makes a new `Directory`, and calls in progress keep the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Transport = Literal["udp", "tcp"]
NumberFormat = Literal["plus_e164", "e164", "national"]
IdentityHeader = Literal["from", "p-asserted-identity", "remote-party-id", "privacy"]
Country = str
"""ISO 3166-1 alpha-2, upper case."""


@dataclass(frozen=True, slots=True)
class SipHost:
    """Where SIP messages go.

    Attributes:
        host: an IPv4 address or a host name.
        port: UDP or TCP port, 1 to 65535.
        transport: how they travel.
    """

    host: str
    port: int
    transport: Transport = "udp"


@dataclass(frozen=True, slots=True)
class SipAddress:
    """A phone or service that is called without a trunk and without credentials: `sip:user@host:port`."""

    user: str
    at: SipHost


@dataclass(frozen=True, slots=True)
class Trunk:
    """A SIP trunk or a PBX.

    Attributes:
        name: as the settings call it.
        proxy: where INVITEs go.
        registrar: where to register, or None.
        username, password: for digest authentication (RFC 8760 calls them userinfo); empty when the trunk asks none.
        realm: the realm that these credentials belong to, or `*` for whichever realm this trunk's own host names.
        number_format: how numbers are written toward it.
        identity: which headers carry the caller identity.
        register_seconds: the expiry asked for in REGISTER.
        any_caller_id: True when it takes caller numbers that are not the organisation's own, so that leg 1
            can show the other party's number.
    """

    name: str
    proxy: SipHost
    registrar: SipHost | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    realm: str = "*"
    number_format: NumberFormat = "plus_e164"
    identity: tuple[IdentityHeader, ...] = ("from", "p-asserted-identity")
    register_seconds: int = 300
    any_caller_id: bool = True


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may place calls: exactly one of `password` and `password_hash` (argon2) is set."""

    name: str
    password: str | None = field(default=None, repr=False)
    password_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A Bearer key: `digest` is the SHA-256 of the key, in hex, so that the key itself is not kept."""

    name: str
    digest: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Extension:
    """An internal number.

    Attributes:
        number: its digits.
        contact: where its phone is; None when it is reached through the organisation's trunk (a PBX).
        caller_id: the E.164 number that it shows outside, or None for the organisation's.
        record: whether this agent's calls are recorded.
    """

    number: str
    contact: SipAddress | None = None
    caller_id: str | None = None
    record: bool = False


@dataclass(frozen=True, slots=True)
class Organisation:
    """One tenant.

    Attributes:
        name: as requests name it.
        country: for national numbers and tones.
        time_zone: IANA name.
        trunk: name of its trunk, or None when it calls contacts only.
        caller_id: E.164 number shown to the outside, or None.
        caller_ids: further verified E.164 numbers.
        ident: secret of future calls, or None.
        users, api_keys, extensions, sip_addresses: by name or number.
        other_numbers: internal numbers of kinds that are not phones, number to kind
            (`ring group`, `queue`, `IVR`, `announcement`, `app`).
        allowed_prefixes: E.164 prefixes that may be dialled; empty: all.
        max_calls: calls at once, or None.
        calls_per_second: calls started per second, or None.
    """

    name: str
    country: Country = "US"
    time_zone: str = "UTC"
    trunk: str | None = None
    caller_id: str | None = None
    caller_ids: tuple[str, ...] = ()
    ident: str | None = field(default=None, repr=False)
    users: Mapping[str, User] = field(default_factory=dict)
    api_keys: Mapping[str, ApiKey] = field(default_factory=dict)
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    sip_addresses: Mapping[str, SipAddress] = field(default_factory=dict)
    other_numbers: Mapping[str, str] = field(default_factory=dict)
    allowed_prefixes: tuple[str, ...] = ()
    max_calls: int | None = None
    calls_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Directory:
    """Everything that a call is looked up in.

    Attributes:
        organisations, trunks: by name.
        sip_address: our own IP address in SIP, the host part of From toward plain contacts.
    """

    organisations: Mapping[str, Organisation] = field(default_factory=dict)
    trunks: Mapping[str, Trunk] = field(default_factory=dict)
    sip_address: str = "127.0.0.1"
