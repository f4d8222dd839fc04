"""Who may call whom, through what: organisations, users, extensions and trunks as the settings name them.

Frozen values: a reload of the settings makes a new `Directory`, and calls in progress keep the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from sipcore.domain.calling_hours import HoursByCountry
from sipcore.domain.machine_detection import MachineDetection
from sipcore.domain.recording import RecordingFormat
from sipcore.domain.webhook import Webhook

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
        outbound_proxy: the edge, through which everything goes to `proxy` (RFC 3261 section 8.1.2), or None.
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
    outbound_proxy: SipHost | None = None

    @property
    def next_hop(self) -> SipHost:
        """Where packets go."""
        return self.outbound_proxy or self.proxy


class Scope(StrEnum):
    """What credentials are good for: to place calls and change what is under way, to read, to give keys to others."""

    CALL = "call"
    READ = "read"
    ADMIN = "admin"


USUAL_SCOPES = frozenset({Scope.CALL, Scope.READ})


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may place calls: exactly one of `password` and `password_hash` (argon2) is set."""

    name: str
    password: str | None = field(default=None, repr=False)
    password_hash: str | None = field(default=None, repr=False)
    scopes: frozenset[Scope] = USUAL_SCOPES


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A Bearer key: `digest` is the SHA-256 of the key, in hex, so that the key itself is not kept."""

    name: str
    digest: str = field(repr=False)
    scopes: frozenset[Scope] = USUAL_SCOPES


@dataclass(frozen=True, slots=True)
class Extension:
    """An internal number.

    Attributes:
        number: its digits.
        contact: where its phone is, for one that registers its address at the edge; None when it is reached through the
            organisation's trunk (a PBX).
        caller_id: the E.164 number that it shows outside, or None for the organisation's.
        record: whether this agent's calls are recorded.
        confirm: whether whoever answers must press 1 before the call is joined.
        auto_answer: whether its phone is asked to answer leg 1 by itself.
    """

    number: str
    contact: SipAddress | None = None
    caller_id: str | None = None
    record: bool = False
    confirm: bool = False
    auto_answer: bool = False


@dataclass(frozen=True, slots=True)
class ExternalNumber:
    """What is special about an external number, E.164.

    Attributes:
        confirm: whether whoever answers must press 1 before the call is joined.
    """

    number: str
    confirm: bool = False


class HuntStrategy(StrEnum):
    """In which order the members of a ring group, or the free agents of a queue, are rung."""

    RING_ALL = "ring_all"
    LINEAR = "linear"
    ROUND_ROBIN = "round_robin"
    LONGEST_IDLE = "longest_idle"
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class RingGroup:
    """Several phones behind one number.

    Attributes:
        members: extensions, external numbers (E.164) and other groups, in order.
        ring_seconds: how long each member is rung.
        total_seconds: how long the whole group is rung.
    """

    number: str
    members: tuple[str, ...]
    strategy: HuntStrategy = HuntStrategy.RING_ALL
    ring_seconds: float = 20.0
    total_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Queue:
    """Callers who wait for free agents.

    Attributes:
        agents: extensions and external numbers (E.164), in order.
        ring_seconds: how long an agent is rung before the next one is tried.
        music: audio file that waiting callers hear.
        max_wait_seconds: how long a caller waits at most.
        max_waiting: how many callers wait at most, or None.
        then: number that is dialled for a caller whose wait is over, or None.
        position_seconds: how often a caller is told its position, or None: never.
        wrap_up_seconds: how long an agent stays busy after a call.
        pacing: calls to many numbers that are placed for each free agent.
    """

    number: str
    agents: tuple[str, ...]
    strategy: HuntStrategy = HuntStrategy.LONGEST_IDLE
    ring_seconds: float = 20.0
    music: str | None = None
    max_wait_seconds: float = 300.0
    max_waiting: int | None = None
    then: str | None = None
    position_seconds: float | None = None
    wrap_up_seconds: float = 0.0
    pacing: float = 1.0


@dataclass(frozen=True, slots=True)
class Announcement:
    """An audio file that is played to whoever is connected to it.

    Attributes:
        audio: the file, 16-bit mono WAV at 8000 Hz.
        repeats: how many times it is played.
        key: the key that leads on to `then`, or None.
        then: number that the key reaches, or None.
    """

    number: str
    audio: str
    repeats: int = 1
    key: str | None = None
    then: str | None = None


@dataclass(frozen=True, slots=True)
class Ivr:
    """A menu.

    Attributes:
        prompt: audio file, 16-bit mono WAV at 8000 Hz.
        options: from a key to the number that it reaches.
        timeout_seconds: how long it waits for a key after the prompt.
        repeats: how often the prompt is played again after no key or a wrong one, before the menu hangs up.
        barge_in: whether a key counts while the prompt is still played.
        direct_dial: whether an extension's number may be dialled in place of an option.
    """

    number: str
    prompt: str
    options: Mapping[str, str]
    timeout_seconds: float = 5.0
    repeats: int = 2
    barge_in: bool = True
    direct_dial: bool = False


AppKind = Literal["echo", "music", "conference", "clock", "hold", "voicemail"]


@dataclass(frozen=True, slots=True)
class App:
    """Something built in that a call can be connected to.

    Attributes:
        name: as the settings call it.
        number: its internal number.
        kind: what it does.
        audio: audio file of `music` and `hold`, greeting of `voicemail`; None: the one that is built in.
        max_seconds: length of a recording of `voicemail` at most.
    """

    name: str
    number: str
    kind: AppKind
    audio: str | None = None
    max_seconds: float = 180.0


@dataclass(frozen=True, slots=True)
class Inbound:
    """Where calls to the organisation's external numbers go.

    Attributes:
        routes: from an E.164 number to a number of the organisation, or an external one.
        last_agent: whether the extension that called this caller last is tried first.
    """

    routes: Mapping[str, str] = field(default_factory=dict)
    last_agent: bool = False


@dataclass(frozen=True, slots=True)
class RecordingRules:
    """How an organisation's calls are recorded.

    Attributes:
        format: of the files.
        start: `joined`, or `answered`: what leg 1 says is recorded from its answer on.
        notice: whether both parties hear that the call is recorded, before they are joined and anything is recorded.
        pause_code: keys with which the agent pauses the recording and resumes it, or empty.
        stop_code: keys with which the agent ends it, or empty.
        retention_days: after how many days a recording is deleted, or None: never.
    """

    format: RecordingFormat = RecordingFormat.WAV
    start: Literal["joined", "answered"] = "joined"
    notice: bool = False
    pause_code: str = "*1"
    stop_code: str = ""
    retention_days: int | None = None


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
        future_calls_need_user: whether the ident does not authorise them without a user or key.
        users, api_keys, extensions, sip_addresses: by name or number.
        ring_groups, queues, announcements, ivrs, apps, external_numbers: by number.
        inbound: where calls to its external numbers go.
        internal_numbers: shapes of numbers of the PBX behind the trunk: digits, and `x` for any digit.
        allowed_prefixes: E.164 prefixes that may be dialled; empty: all.
        max_calls: calls at once, or None.
        calls_per_second: calls started per second, or None.
        prompts: audio files of spoken prompts, 16-bit mono WAV at 8000 Hz, by the name of the prompt.
        machine_detection: what is done about answering machines at external numbers, or None.
        recording: how its calls are recorded.
        event_digits: whether events tell which key was pressed.
        webhooks: who is told of events, by name.
        calling_hours: when campaigns may call, by the country of the number.
    """

    name: str
    country: Country = "US"
    time_zone: str = "UTC"
    trunk: str | None = None
    caller_id: str | None = None
    caller_ids: tuple[str, ...] = ()
    ident: str | None = field(default=None, repr=False)
    future_calls_need_user: bool = False
    users: Mapping[str, User] = field(default_factory=dict)
    api_keys: Mapping[str, ApiKey] = field(default_factory=dict)
    extensions: Mapping[str, Extension] = field(default_factory=dict)
    external_numbers: Mapping[str, ExternalNumber] = field(default_factory=dict)
    sip_addresses: Mapping[str, SipAddress] = field(default_factory=dict)
    ring_groups: Mapping[str, RingGroup] = field(default_factory=dict)
    queues: Mapping[str, Queue] = field(default_factory=dict)
    announcements: Mapping[str, Announcement] = field(default_factory=dict)
    ivrs: Mapping[str, Ivr] = field(default_factory=dict)
    apps: Mapping[str, App] = field(default_factory=dict)
    inbound: Inbound = field(default_factory=Inbound)
    internal_numbers: tuple[str, ...] = ()
    allowed_prefixes: tuple[str, ...] = ()
    max_calls: int | None = None
    calls_per_second: float | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    machine_detection: MachineDetection | None = None
    recording: RecordingRules = field(default_factory=RecordingRules)
    event_digits: bool = False
    webhooks: Mapping[str, Webhook] = field(default_factory=dict)
    calling_hours: HoursByCountry = field(default_factory=HoursByCountry)


@dataclass(frozen=True, slots=True)
class Directory:
    """Everything that a call is looked up in.

    Attributes:
        organisations, trunks: by name.
        sip_address: the host part of From toward phones: our own IP address in SIP, or the edge's domain.
        edge: the SIP proxy in front of the nodes, or None.
    """

    organisations: Mapping[str, Organisation] = field(default_factory=dict)
    trunks: Mapping[str, Trunk] = field(default_factory=dict)
    sip_address: str = "127.0.0.1"
    edge: SipHost | None = None
