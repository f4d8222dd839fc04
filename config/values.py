"""The kinds of value that settings hold: each parses a TOML string and says what it expected instead.

Errors are pydantic errors of two types, which `config.problems` words for people: `expected` (it appends what was
found, unless the key is a secret) and `refused` (a whole sentence that never shows the value).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import phonenumbers
from pydantic import AfterValidator, PlainValidator, Strict, ValidationInfo
from pydantic_core import PydanticCustomError, PydanticKnownError

from config.origin import origin_of
from sipcore.domain.directory import IdentityHeader, SipAddress, SipHost
from sipcore.domain.errors import AudioFileError
from sipcore.domain.public_events import EventType

Parsed = TypeVar("Parsed")

SIP_PORT = 5060
"""Default port of a `sip:` address over UDP and TCP (RFC 3261 section 19.1.2)."""
LAST_PORT = 65535

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_NUMBER = re.compile(r"[0-9*#]{1,32}")
_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_E164_PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")
_DIGIT = re.compile(r"[0-9*#]")
_FEATURE_CODE = re.compile(r"(?:[0-9*#]{2,8})?")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")
_SHAPE = re.compile(r"[0-9x*#]{1,32}")
_SSL_MODES = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}
"""As libpq's parameter of the same name."""
_PORT_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+)):([0-9]{1,5})")
_SIP_ADDRESS = re.compile(r"sip:(?:([^@]*)@)?([^:@]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
# RFC 3261 section 25.1 `user`, without what needs escaping and without `;` and `?`, which some parsers take for
# the beginning of parameters and headers.
_SIP_USER = re.compile(r"[A-Za-z0-9*+._!~$&'()=,/-]{1,64}")
_HOST_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"(?:{_HOST_LABEL}\.)*(?=[^.]*[A-Za-z]){_HOST_LABEL}")
_UNIX_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def expected(what: str) -> PydanticCustomError:
    """Make the error `expected <what>, got <the value>`."""
    return PydanticCustomError("expected", "{what}", {"what": what})


def refused(sentence: str) -> PydanticCustomError:
    """Make an error whose whole text is `sentence`; the value is not shown."""
    return PydanticCustomError("refused", "{sentence}", {"sentence": sentence})


def _parsed_by(parse: Callable[[str], Parsed], kind: type[Parsed]) -> PlainValidator:
    """Let `parse` make the field's value from a string; what is of its kind already (a default) stays."""

    def validate(value: object) -> Parsed:
        if isinstance(value, kind):
            return value
        if not isinstance(value, str):
            raise PydanticKnownError("string_type")
        return parse(value)

    return PlainValidator(validate)


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def validate(value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise expected(what)
        return value

    return AfterValidator(validate)


def _header_safe(value: str) -> str:
    # What could end a header, a quoted string or a name-addr (RFC 3261 section 25.1) never gets near one.
    if not value or not value.isprintable() or set(value) & set('"<>'):
        raise expected("text without control characters, double quotes and angle brackets")
    return value


def _e164(value: str) -> str:
    what = 'an E.164 number such as "+12025550123"'
    if _E164.fullmatch(value) is None:
        raise expected(what)
    try:
        number = phonenumbers.parse(value)
    except phonenumbers.NumberParseException as error:
        raise expected(what) from error
    if not phonenumbers.is_possible_number(number):
        raise expected(f"{what}, of a length that its country has")
    return value


def is_e164(value: str) -> bool:
    """Tell whether a text is written as an E.164 number: `+` and 2 to 15 digits."""
    return _E164.fullmatch(value) is not None


def _target(value: str) -> str:
    if is_e164(value):
        return _e164(value)
    if _NUMBER.fullmatch(value) is None:
        raise expected('a number of the organisation or an E.164 number such as "+12025550123"')
    return value


def _country(value: str) -> str:
    if value not in phonenumbers.SUPPORTED_REGIONS:
        raise expected('a country code (ISO 3166-1 alpha-2, upper case) such as "US"')
    return value


def _time_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (
        ZoneInfoNotFoundError,
        ValueError,
        OSError,
    ) as error:  # OSError: in the package tzdata `America` is a folder
        raise expected('an IANA time zone such as "America/New_York"') from error
    return value


def _is_host(value: str) -> bool:
    return _is_ipv4(value) or (len(value) <= 253 and _HOST_NAME.fullmatch(value) is not None)  # noqa: PLR2004 RFC 1035


def _is_ipv4(value: str) -> bool:
    try:
        ipaddress.IPv4Address(value)
    except ValueError:
        return False
    return True


def _own_address(value: str) -> str:
    what = "the IPv4 address that phones and trunks reach this machine at"
    if not _is_ipv4(value):
        raise expected(what)
    address = ipaddress.IPv4Address(value)
    if address.is_unspecified or address.is_multicast:
        raise expected(f"{what}, one that can be written into SIP messages")
    return value


def _network(value: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(value)
    except ValueError as error:
        raise expected('an IPv4 address or network such as "192.0.2.7" or "192.0.2.0/24"') from error


def _port_range(value: str) -> range:
    match = _PORT_RANGE.fullmatch(value)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= LAST_PORT:
        raise expected(f'a range of ports between 1 and {LAST_PORT} such as "15060-15099"')
    return range(first, last + 1)


def _listen(value: str) -> tuple[str, int]:
    match = _LISTEN.fullmatch(value)
    if match is None or int(match[3]) > LAST_PORT or not (_is_host(match[2]) if match[2] else _is_ipv6(match[1])):
        raise expected('an address and port such as "127.0.0.1:8080"')
    return match[1] or match[2], int(match[3])


def _is_ipv6(value: str) -> bool:
    try:
        ipaddress.IPv6Address(value)
    except ValueError:
        return False
    return True


def _sip_address(value: str) -> SipAddress:
    if value.partition("@")[0].count(":") > 1 and "@" in value:
        raise refused("expected a SIP address without a password in it (a trunk has the key `password`)")
    if ";" in value and "transport=" in value.lower():
        raise expected("a SIP address without `;transport=`: the trunk's `transport` key sets it (phones: UDP)")
    if set(value) & set("?;"):
        raise expected('a SIP address without parameters (";") and headers ("?")')
    what = 'a SIP address such as "sip:101@192.0.2.7:5060" (`sip:` and an IPv4 address or a host name)'
    match = _SIP_ADDRESS.fullmatch(value)
    if match is None or not _is_host(match[2]):
        raise expected(what)
    port = int(match[3] or SIP_PORT)
    if not 1 <= port <= LAST_PORT:
        raise expected(f"{what}, with a port between 1 and {LAST_PORT}")
    if match[1] is not None and _SIP_USER.fullmatch(match[1]) is None:
        raise expected(f"{what}, with a user of letters, digits and *+._!~$&'()=,/-")
    return SipAddress(match[1] or "", SipHost(match[2], port))


def _sip_host(value: str) -> SipHost:
    address = _sip_address(value)
    if address.user:
        raise expected('a SIP address without a user, such as "sip:trunk.example:5060"')
    return address.at


def _edge_address(value: str) -> SipHost:
    at = _sip_host(value)
    if not _is_ipv4(at.host) or not at.host.strip("0."):
        raise expected('a SIP address of an IPv4 address of the edge\'s own, such as "sip:192.0.2.5:5060"')
    return at


@dataclass(frozen=True, slots=True)
class NodePorts:
    """Where the workers of a node are: its `sip.address` and `sip.ports`."""

    address: str
    ports: range


def _node(value: str) -> NodePorts:
    address, _, ports = value.partition(":")
    if not _is_ipv4(address):
        raise expected('the `sip.address` and `sip.ports` of a node, such as "192.0.2.11:15060-15099"')
    return NodePorts(address, _port_range(ports))


def _host_name(value: str) -> str:
    if not _is_host(value):
        raise expected('a host name or an IPv4 address, such as "sip.example.com"')
    return value


def _sip_service(value: str) -> SipAddress:
    address = _sip_address(value)
    if not address.user:
        raise expected('a SIP address with a user, such as "sip:desk@192.0.2.7:5060"')
    return address


def database_url(value: str) -> str:
    """Check a database URL: an SQLite file, or PostgreSQL with a host and a database name."""
    if not value.isprintable() or set(value) & set('"<>'):
        raise expected("a database URL without control characters, double quotes and angle brackets")
    if re.fullmatch(r"sqlite:///[^?#]+", value):
        return value
    try:
        url = urlsplit(value)
        usable = url.scheme == "postgresql" and bool(url.hostname) and len(url.path) > 1 and url.port != 0
        options = parse_qs(url.query, keep_blank_values=True, strict_parsing=bool(url.query))
    except ValueError:  # a broken port or bracket; the error would show the URL, so it is not kept as a cause
        usable = False
    if not usable or url.fragment:
        raise expected("sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME")
    if options.keys() - {"sslmode"} or not set(options.get("sslmode", [])) <= _SSL_MODES:
        raise expected(f"no option of a database but ?sslmode= with one of {', '.join(sorted(_SSL_MODES))}")
    return value


def webhook_url(value: str) -> str:
    """Check where events are sent: an http or https address, without user, password and fragment."""
    if not value.isascii() or not value.isprintable() or " " in value:
        raise expected("an address of printable ASCII characters without spaces")
    try:
        url = urlsplit(value)
        usable = url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0
    except ValueError:  # a broken port or bracket; the error would show the address
        usable = False
    if not usable:
        raise expected('an address such as "https://crm.example/click2call"')
    if "@" in url.netloc or url.fragment:
        raise expected("an address without user, password and fragment; deliveries are signed with `secret`")
    return value


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str):
        raise PydanticKnownError("string_type")
    return origin_of(info).resolve(_header_safe(value))


def _audio_file(value: object, info: ValidationInfo) -> Path:
    path = _path(value, info)
    audio = origin_of(info).audio
    if audio is not None:
        try:
            audio.converted(path)
        except AudioFileError as error:
            raise refused(f"expected an audio file; {error.path} {error.reason}") from error
    return path


def _folder(value: str) -> Path:
    return Path(_header_safe(value))


def _event_type(value: str) -> str:
    if value not in set(EventType):
        raise expected(f"one of {', '.join(EventType)}")
    return value


def _unique(values: tuple[Parsed, ...]) -> tuple[Parsed, ...]:
    if len(set(values)) != len(values):
        raise expected("an array without repetitions")
    return values


Name = Annotated[str, _matching(_NAME, "a name of 1 to 64 letters, digits, dots, hyphens and underscores")]
"""What organisations, users, trunks, keys and apps are called."""
Text = Annotated[str, AfterValidator(_header_safe)]
"""Free text of one line that is safe inside a SIP header."""
SipUser = Annotated[str, _matching(_SIP_USER, "1 to 64 letters, digits and *+._!~$&'()=,/-")]
"""User part of a SIP address."""
UnixUser = Annotated[str, _matching(_UNIX_USER, 'the name of a user of this machine such as "nobody"')]
Number = Annotated[str, _matching(_NUMBER, "1 to 32 of the characters 0-9, * and #")]
"""An internal number."""
Shape = Annotated[str, _matching(_SHAPE, 'the shape of a number such as "1xx": digits, * and #, x for any digit')]
"""What numbers of a PBX look like."""
Digit = Annotated[str, _matching(_DIGIT, "one of the keys 0-9, * and #")]
FeatureCode = Annotated[str, _matching(_FEATURE_CODE, "2 to 8 of the keys 0-9, * and #, or nothing")]
"""Keys that mean something during a call; empty: none do."""
E164 = Annotated[str, AfterValidator(_e164)]
E164Prefix = Annotated[str, _matching(_E164_PREFIX, 'the beginning of an E.164 number such as "+1202"')]
Target = Annotated[str, AfterValidator(_target)]
"""An internal number, or an external one in E.164."""
Language = Annotated[str, _matching(_LANGUAGE, 'a language tag (BCP 47) such as "en" or "pt-br"')]
Country = Annotated[str, AfterValidator(_country)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
OwnAddress = Annotated[str, AfterValidator(_own_address)]
Network = Annotated[ipaddress.IPv4Network, _parsed_by(_network, ipaddress.IPv4Network)]
PortRange = Annotated[range, _parsed_by(_port_range, range)]
ListenAddress = Annotated[tuple[str, int], _parsed_by(_listen, tuple)]
"""Host and port of a listening TCP socket; port 0 lets the system choose."""
ContactAddress = Annotated[SipAddress, _parsed_by(_sip_address, SipAddress)]
"""Where a phone is; an empty user stands for the extension's own number."""
ServiceAddress = Annotated[SipAddress, _parsed_by(_sip_service, SipAddress)]
"""A SIP address with a user."""
PeerAddress = Annotated[SipHost, _parsed_by(_sip_host, SipHost)]
"""A SIP address without a user: a proxy or registrar."""
EdgeAddress = Annotated[SipHost, _parsed_by(_edge_address, SipHost)]
NodeAddress = Annotated[NodePorts, _parsed_by(_node, NodePorts)]
HostName = Annotated[str, AfterValidator(_host_name)]
"""A host name or an IPv4 address."""
AudioFile = Annotated[Path, PlainValidator(_audio_file)]
"""A file, relative to the settings file."""
PromptFolder = Annotated[Path, PlainValidator(_path)]
"""A folder, relative to the settings file."""
Folder = Annotated[Path, _parsed_by(_folder, Path)]
"""A folder, relative to the current working directory."""

# TOML arrays arrive as lists, which strict mode would not take for tuples.
Nodes = Annotated[tuple[NodeAddress, ...], Strict(strict=False), AfterValidator(_unique)]
Numbers = Annotated[tuple[E164, ...], Strict(strict=False), AfterValidator(_unique)]
Prefixes = Annotated[tuple[E164Prefix, ...], Strict(strict=False), AfterValidator(_unique)]
Shapes = Annotated[tuple[Shape, ...], Strict(strict=False), AfterValidator(_unique)]
Targets = Annotated[tuple[Target, ...], Strict(strict=False), AfterValidator(_unique)]
Networks = Annotated[tuple[Network, ...], Strict(strict=False), AfterValidator(_unique)]
EventTypes = Annotated[
    tuple[Annotated[str, AfterValidator(_event_type)], ...], Strict(strict=False), AfterValidator(_unique)
]
IdentityHeaders = Annotated[tuple[IdentityHeader, ...], Strict(strict=False), AfterValidator(_unique)]
