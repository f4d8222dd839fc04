"""The settings: every table and key of the TOML file, with its default and its limits.

Attributes are named as their keys. Keys that were left out have their default; unknown keys are errors. What one key
says about another table (references, loops) is checked by `config.references`. Secrets are `SecretStr`.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator

from config.calling_hours import CallingHoursSettings
from config.edge.settings import EdgeSettings
from config.logins import ApiKeySettings, UserSettings
from config.metrics import MetricsSettings
from config.recording import RecordingSettings
from config.schedule import ScheduleSettings
from config.secret import Database, PhoneSecret, Secret
from config.table import Table
from config.values import (
    E164,
    AudioFile,
    ContactAddress,
    Country,
    Digit,
    Folder,
    IdentityHeaders,
    Language,
    ListenAddress,
    Name,
    Networks,
    Number,
    Numbers,
    OwnAddress,
    PeerAddress,
    PortRange,
    Prefixes,
    PromptFolder,
    ServiceAddress,
    Shapes,
    SipUser,
    Target,
    Targets,
    Text,
    TimeZone,
    UnixUser,
    expected,
    refused,
)
from config.webhook import WebhookSettings
from sipcore.domain.directory import AppKind, NumberFormat, Transport
from sipcore.domain.machine_detection import (
    BeepParameters,
    DetectionParameters,
    MachineAction,
    MachineDetection,
)

RTP_PORTS_PER_SIP_PORT = 16
"""A worker's four legs take two ports each (RTP and RTCP), and as many again while closed ones linger."""

APPS_WITH_AUDIO = ("music", "hold", "voicemail")
"""Kinds of app that play a file of the organisation's own: music, or a voicemail box's greeting."""
_Strategy = Literal["ring_all", "linear", "round_robin", "longest_idle", "random"]
Seconds = Annotated[int, Field(ge=1, le=604_800)]
RingSeconds = Annotated[int, Field(ge=1, le=300)]


class ServerSettings(Table):
    """`[server]`: the HTTP side."""

    listen: ListenAddress = ("127.0.0.1", 8080)
    access_log: bool = True

    @property
    def listen_host(self) -> str:
        """Host name, IPv4 or IPv6 address (without brackets) to listen on."""
        return self.listen[0]

    @property
    def listen_port(self) -> int:
        """TCP port to listen on; 0 lets the system choose."""
        return self.listen[1]


class StorageSettings(Table):
    """`[storage]`: relative paths start at the current working directory."""

    database: Database = SecretStr("sqlite:///var/click2call.db")
    recordings: Folder = Path("var/recordings")
    spool: Folder = Path("var/spool")
    event_days: int = Field(default=7, ge=1, le=3650)
    ladder_days: int = Field(default=7, ge=1, le=3650)


class LogSettings(Table):
    """`[log]`."""

    format: Literal["console", "json"] = "console"
    level: Literal["debug", "info", "warning", "error"] = "info"


class SipSettings(Table):
    """`[sip]`: addresses and worker processes."""

    address: OwnAddress = "127.0.0.1"
    ports: PortRange = range(15060, 15100)
    rtp_ports: PortRange = Field(default=range(20000, 21000), validate_default=True)
    max_call_seconds: Seconds = 14_400
    ring_seconds: Seconds = 120
    warm_workers: int = Field(default=2, ge=0, le=1000)
    idle_worker_seconds: Seconds = 60
    allowed_peers: Networks = ()
    user: UnixUser = "nobody"

    @field_validator("rtp_ports")
    @classmethod
    def _rtp_ports_suffice(cls, rtp: range, info: ValidationInfo) -> range:
        if rtp.start % 2:
            raise expected("a range that begins with an even port (RFC 3550 section 11)")
        ports: range | None = info.data.get("ports")
        if ports is None:
            return rtp
        if rtp.start < ports.stop and ports.start < rtp.stop:
            raise expected(f"a range that does not overlap sip.ports ({ports.start}-{ports.stop - 1})")
        needed = RTP_PORTS_PER_SIP_PORT * len(ports)
        if len(rtp) < needed:
            raise expected(f"{needed} ports or more ({RTP_PORTS_PER_SIP_PORT} for each of the {len(ports)} SIP ports)")
        return rtp


class TrunkSettings(Table):
    """`[trunks.NAME]`: a SIP trunk or a PBX."""

    proxy: PeerAddress
    registrar: PeerAddress | None = None
    username: SipUser | None = None
    password: Secret | None = None
    realm: Text = "*"
    transport: Transport = "udp"
    number_format: NumberFormat = "plus_e164"
    identity: IdentityHeaders = ("from", "p-asserted-identity")
    register_seconds: int = Field(default=300, ge=5, le=86_400)
    any_caller_id: bool = True

    @field_validator("transport", mode="before")
    @classmethod
    def _no_tls_yet(cls, value: object) -> object:
        if value == "tls":
            # The library's TLS would look the trunk's name up itself, and stall a worker's calls while it does.
            raise refused('expected "udp" or "tcp"; for TLS put a SIP proxy on this machine in front of the trunk')
        return value

    @model_validator(mode="after")
    def _username_is_there(self) -> Self:
        if self.username is None and self.password is not None:
            raise refused("expected `username` beside `password`")
        if self.username is None and self.registrar is not None:
            raise refused("expected `username` beside `registrar`: it is the name that is registered")
        return self


class ExtensionSettings(Table):
    """`[orgs.ORG.extensions.NUMBER]`: a phone, or a number of the PBX behind the trunk."""

    contact: ContactAddress | None = None
    secret: PhoneSecret | None = None
    caller_id: E164 | None = None
    record: bool = False
    confirm: bool = False
    auto_answer: bool = False

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        if self.contact is not None and self.secret is not None:
            raise refused("expected `contact` or `secret`, not both: with a secret a phone is where it registered")
        return self


class ExternalNumberSettings(Table):
    """`[orgs.ORG.external_numbers."+NUMBER"]`: what is special about an external number."""

    confirm: bool = False


class RingGroupSettings(Table):
    """`[orgs.ORG.ring_groups.NUMBER]`."""

    members: Annotated[Targets, Field(min_length=1)]
    strategy: _Strategy = "ring_all"
    ring_seconds: RingSeconds = 20
    total_seconds: Seconds | None = None


class QueueSettings(Table):
    """`[orgs.ORG.queues.NUMBER]`."""

    agents: Annotated[Targets, Field(min_length=1)]
    strategy: _Strategy = "longest_idle"
    ring_seconds: RingSeconds = 20
    music: AudioFile | None = None
    max_wait_seconds: Seconds = 300
    max_waiting: int | None = Field(default=None, ge=1)
    then: Target | None = None
    position_seconds: int | None = Field(default=None, ge=5, le=3600)
    wrap_up_seconds: int = Field(default=0, ge=0, le=3600)
    pacing: float = Field(default=1.0, gt=0, le=10, allow_inf_nan=False)


class MessageSettings(Table):
    """`[orgs.ORG.messages.NUMBER]`: an announcement."""

    audio: AudioFile | None = None
    text: Text | None = None
    repeats: int = Field(default=1, ge=1, le=20)
    key: Digit | None = None
    then: Target | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.audio is None) == (self.text is None):
            raise refused("expected exactly one of `audio` and `text`")
        if self.key is not None and self.then is None:
            raise refused("expected `then` beside `key`: the number that the key reaches")
        if self.then is not None and self.key is None:
            raise refused("expected `key` beside `then`: the key that reaches it")
        return self


class IvrSettings(Table):
    """`[orgs.ORG.ivrs.NUMBER]`: a menu; `options` maps a key of the phone to the number that it reaches."""

    prompt: AudioFile
    options: Annotated[dict[Digit, Target], Field(min_length=1)]
    timeout_seconds: int = Field(default=5, ge=1, le=60)
    repeats: int = Field(default=2, ge=0, le=20)
    barge_in: bool = True
    direct_dial: bool = False


class AppSettings(Table):
    """`[orgs.ORG.apps.NAME]`."""

    number: Number
    kind: AppKind
    audio: AudioFile | None = None
    max_seconds: int = Field(default=180, ge=5, le=3600)

    @model_validator(mode="after")
    def _audio_is_played(self) -> Self:
        if self.audio is not None and self.kind not in APPS_WITH_AUDIO:
            raise refused(f"expected `audio` with the kinds {', '.join(APPS_WITH_AUDIO)} only")
        return self


_LISTEN = DetectionParameters()
_BEEP = BeepParameters()
_LONGEST_DECISION_MS = 4000
_LONGEST_TOTAL_MS = 3800
"""The decision is known at the server within 4 s of the answer."""
_Silence = Annotated[int, Field(ge=200, le=_LONGEST_DECISION_MS)]


class MachineDetectionSettings(Table):
    """`[orgs.ORG.machine_detection]`: whether a machine answered an external number, and what follows then."""

    enabled: bool = False
    action: Literal["hang_up", "continue", "announce"] = "hang_up"
    announcement: Number | None = None
    initial_silence_ms: _Silence = _LISTEN.initial_silence_ms
    greeting_ms: int = Field(default=_LISTEN.greeting_ms, ge=500, le=_LONGEST_DECISION_MS)
    after_greeting_silence_ms: _Silence = _LISTEN.after_greeting_silence_ms
    total_ms: int = Field(default=_LISTEN.total_ms, ge=1000, le=_LONGEST_TOTAL_MS)
    min_word_ms: int = Field(default=_LISTEN.min_word_ms, ge=20, le=500)
    between_words_silence_ms: int = Field(default=_LISTEN.between_words_silence_ms, ge=20, le=1000)
    maximum_words: int = Field(default=_LISTEN.maximum_words, ge=1, le=20)
    beep_silence_ms: int = Field(default=_BEEP.silence_ms, ge=1000, le=30_000)
    max_beep_seconds: int = Field(default=_BEEP.max_wait_ms // 1000, ge=1, le=300)

    @model_validator(mode="after")
    def _announces_something(self) -> Self:
        if self.action == "announce" and self.announcement is None:
            raise refused('expected `announcement` beside `action = "announce"`: the number of an announcement')
        return self

    @property
    def detection(self) -> MachineDetection | None:
        """What the domain makes of it; None when machines are not looked for."""
        if not self.enabled:
            return None
        keys = {field.name: getattr(self, field.name) for field in fields(DetectionParameters)}
        return MachineDetection(
            parameters=DetectionParameters(**keys),
            action=MachineAction(self.action),
            announcement=self.announcement,
            beep=BeepParameters(silence_ms=self.beep_silence_ms, max_wait_ms=1000 * self.max_beep_seconds),
        )


class InboundSettings(BaseModel):
    """`[orgs.ORG.inbound]`: from an external number of the organisation to where a call to it goes."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True, hide_input_in_errors=True)
    __pydantic_extra__: dict[E164, Target]

    last_agent: bool = False

    @property
    def routes(self) -> dict[str, str]:
        """From an E.164 number to a target."""
        return dict(self.__pydantic_extra__)


class OrganisationSettings(Table):
    """`[orgs.NAME]`: a tenant."""

    country: Country = "US"
    time_zone: TimeZone = "UTC"
    language: Language = "en"
    prompts: PromptFolder | None = None
    trunk: Name | None = None
    caller_id: E164 | None = None
    caller_ids: Numbers = ()
    ident: Secret | None = None
    schedule_require_user: bool | None = None
    calling_hours: CallingHoursSettings = Field(default_factory=dict)
    internal_numbers: Shapes = ()
    allowed_prefixes: Prefixes = ()
    max_calls: int | None = Field(default=None, ge=1)
    calls_per_second: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    users: dict[Name, UserSettings] = Field(default_factory=dict)
    api_keys: dict[Name, ApiKeySettings] = Field(default_factory=dict)
    sip_addresses: dict[Name, ServiceAddress] = Field(default_factory=dict)
    extensions: dict[Number, ExtensionSettings] = Field(default_factory=dict)
    external_numbers: dict[E164, ExternalNumberSettings] = Field(default_factory=dict)
    inbound: InboundSettings = Field(default_factory=lambda: InboundSettings.model_validate({}))
    ring_groups: dict[Number, RingGroupSettings] = Field(default_factory=dict)
    queues: dict[Number, QueueSettings] = Field(default_factory=dict)
    messages: dict[Number, MessageSettings] = Field(default_factory=dict)
    ivrs: dict[Number, IvrSettings] = Field(default_factory=dict)
    apps: dict[Name, AppSettings] = Field(default_factory=dict)
    event_digits: bool = False
    webhooks: dict[Name, WebhookSettings] = Field(default_factory=dict)
    machine_detection: MachineDetectionSettings = Field(default_factory=MachineDetectionSettings)
    recording: RecordingSettings = Field(default_factory=RecordingSettings)


KINDS: dict[str, str] = {
    "extensions": "extension",
    "ring_groups": "ring group",
    "queues": "queue",
    "messages": "announcement",
    "ivrs": "IVR",
    "apps": "app",
}
"""What each table of an organisation that gives out internal numbers holds. An app has its number in a key, the others
are named by it."""


class Settings(Table):
    """The whole file."""

    server: ServerSettings = Field(default_factory=ServerSettings)
    storage: StorageSettings = Field(default_factory=StorageSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    sip: SipSettings = Field(default_factory=SipSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    edge: EdgeSettings | None = None
    trunks: dict[Name, TrunkSettings] = Field(default_factory=dict)
    orgs: dict[Name, OrganisationSettings] = Field(default_factory=dict)

    @field_validator("trunks")
    @classmethod
    def _trunks_are_behind_the_edge(
        cls, trunks: dict[str, TrunkSettings], info: ValidationInfo
    ) -> dict[str, TrunkSettings]:
        edge: EdgeSettings | None = info.data.get("edge")
        if edge is None:
            return trunks
        for name, trunk in trunks.items():
            for key, at in (("proxy", trunk.proxy), ("registrar", trunk.registrar)):
                if at is not None and (at.host, at.port) == (edge.address.host, edge.address.port):
                    raise refused(
                        f"expected the trunk's own address as `{key}` of {name}, got that of the edge: "
                        "nodes send through the edge by themselves"
                    )
        return trunks

    @model_validator(mode="after")
    def _keys_tell_organisations_apart(self) -> Self:
        owners: dict[str, str] = {}
        for org_name, org in self.orgs.items():
            for name, api_key in org.api_keys.items():
                path = f"orgs.{org_name}.api_keys.{name}"
                other = owners.setdefault(api_key.digest, path)
                if other != path:
                    raise refused(f"expected different API keys in {other} and {path}: a key alone tells who asks")
        return self
