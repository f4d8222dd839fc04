"""The parameters of `dialup`: what they are called, what shape they have, and what is said when they are wrong.

Everything here depends on the request alone, never on the organisation, so it may be told to anybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from sipcore.domain.errors import ParameterError
from sipcore.domain.idempotency import checked_key
from sipcore.service.calls import DEFAULT_RING_SECONDS

Format = Literal["text", "html", "xml", "json"]
FORMATS: tuple[Format, ...] = ("text", "html", "xml", "json")
NAMES = (
    "user", "pass", "org", "dial1", "dial2", "Response", "showUID", "RFormat", "SetCID", "Timeout", "Date", "Maxretry",
    "Retrytime", "ident", "reqid",
)  # fmt: skip
"""Every name of the contract, as it spells them."""
MAX_NUMBERS = 1000
"""Most numbers in dial1."""
MAX_TEXT = 256
"""Longest user, password and organisation, in characters."""

_SPELLED = {name.lower(): name for name in NAMES}
_FUTURE_CALL = ("Date", "Maxretry", "Retrytime", "ident")
_LOGIN = ("user", "pass")
_WITH_A_NUMBER = {"dial1", "dial2", "SetCID"}
_DESTINATION = re.compile(
    r"(?:(?:ext|group|queue|ivr|msg|app|tel):)?[0-9*#+]{1,32}|sip:[A-Za-z0-9._-]{1,64}", re.IGNORECASE | re.ASCII
)
_DESTINATIONS_APART = re.compile(r"[,;\r\n]")
_LINE_END = re.compile(r"[\r\n]")
_CALLER_IDENTITY = re.compile(r"[0-9*#+]{1,32}")
_LOST_PLUS = re.compile(r"\A((?:[A-Za-z]{2,5}:)?) (?=[0-9])")
_LOST_PLUS_OF_OFFSET = re.compile(r" (?=[0-9]{2}:[0-9]{2}\Z)", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,3}")
_WHOLE_NUMBER = re.compile(r"[0-9]{1,6}")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DESTINATION_SHAPE = (
    "must be 1 to 32 of 0-9 * # +, after an optional ext: group: queue: ivr: msg: app: or tel:, or sip: and a name "
    "of the settings"
)


class Pair(NamedTuple):
    """One parameter of a request, as decoded.

    Attributes:
        name: as the contract spells it, however the request does (`spelled`).
        value: its text.
        plus_lost: True when it was form-encoded, where a `+` that was not escaped arrives as a space.
    """

    name: str
    value: str
    plus_lost: bool = False


@dataclass(frozen=True, slots=True)
class FutureParameters:
    """What makes a request one for a future call.

    Attributes:
        date: as given.
        retries, retry_seconds: whole numbers.
        ident: of the organisation, as given.
    """

    date: str
    retries: int
    retry_seconds: int
    ident: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DialupParameters:
    """What a well-formed `dialup` request asks for.

    Attributes:
        user, password, organisation: credentials as given, None when they were not.
        dial1: destinations in the shape that the contract allows, 1 to `MAX_NUMBERS`, as often as they are given.
        dial2: the same, one.
        set_cid: caller identity in the shape that the contract allows, or None.
        ring_seconds: how long destination 1 may ring, 1 to 300.
        wait: whether the answer waits for the first stage (`Response=yes`).
        show_uids: whether the answer tells the UniqueIDs (`showUID=yes`).
        future: when it is dialled, and how often; None: now.
        request_id: names the request, so that it may be sent again (`reqid`), or None.
    """

    user: str | None
    password: str | None = field(repr=False)
    organisation: str | None
    dial1: tuple[str, ...]
    dial2: str
    set_cid: str | None
    ring_seconds: int
    wait: bool
    show_uids: bool
    future: FutureParameters | None = None
    request_id: str | None = None


def spelled(name: str) -> str | None:
    """Return a parameter's name as the contract spells it, or None for a name that the contract does not know."""
    return _SPELLED.get(name.lower())


def answer_format(pairs: Iterable[Pair]) -> Format:
    """Return the format for an answer to these parameters, however wrong they are: the first valid RFormat, or text."""
    for pair in pairs:
        if pair.name == "RFormat" and (wanted := pair.value.lower()) in FORMATS:
            return wanted
    return "text"


def read_parameters(
    pairs: Iterable[Pair], *, login_needed: bool = True, organisation_needed: bool = True
) -> DialupParameters:
    """Read the parameters of a request, in any order.

    Args:
        pairs: all that the request gave, in its order.
        login_needed: whether user and pass are mandatory, because nothing else tells who is asking. A request that
            gives no credentials whatsoever passes: that is for the authentication to refuse, with a challenge. A
            future call needs none: its ident tells.
        organisation_needed: whether org is mandatory, because nothing else tells it.

    Raises:
        ParameterError: one is missing, malformed, or contradicts another one.
    """
    given, destinations = _sorted_out(pairs)
    if not given.keys().isdisjoint(_FUTURE_CALL) and given.keys().isdisjoint(_LOGIN):
        # Its ident tells who is asking.
        login_needed = False
    _require(given, login_needed=login_needed, organisation_needed=organisation_needed)
    future = _future_call(given)
    show_uids, wait = _yes(given, "showUID"), _yes(given, "Response")
    if "RFormat" in given and given["RFormat"].lower() not in FORMATS:
        raise ParameterError("RFormat", f"must be one of {', '.join(FORMATS)}")
    if show_uids and not wait:
        raise ParameterError("showUID", "needs Response=yes")
    return DialupParameters(
        user=_text(given, "user"),
        password=_text(given, "pass"),
        organisation=_text(given, "org"),
        dial1=_first_destinations(destinations),
        dial2=_destination("dial2", given["dial2"]),
        set_cid=_caller_identity(given),
        ring_seconds=_ring_seconds(given),
        wait=wait,
        show_uids=show_uids,
        future=future,
        request_id=checked_key("reqid", given["reqid"]) if "reqid" in given else None,
    )


def apart(dial1: str) -> list[str]:
    """Return the destinations that one text names, without the spaces and empty lines that people put between them.

    A line end that separates nothing is given back as it is, and so refused.
    """
    found = [entry for entry in (entry.strip(" \t") for entry in _DESTINATIONS_APART.split(dial1)) if entry]
    separates = len(found) > 1 or (len(found) == 1 and not _LINE_END.search(dial1) and found != [dial1.strip(" \t")])
    return found if separates else [dial1]


def checked_text(name: str, value: str) -> str:
    """Return a user, password or organisation name.

    Raises:
        ParameterError: it is empty, too long or has control characters.
    """
    if not value:
        raise ParameterError(name, "is empty")
    if len(value) > MAX_TEXT:
        raise ParameterError(name, f"is longer than {MAX_TEXT} characters")
    if _UNPRINTABLE.search(value):
        raise ParameterError(name, "has control characters")
    return value


def _sorted_out(pairs: Iterable[Pair]) -> tuple[dict[str, str], Iterable[str]]:
    """Return the parameters by their names, and every different dial1."""
    given: dict[str, str] = {}
    destinations: dict[str, None] = {}
    for name, read, plus_lost in pairs:
        value = _with_its_plus(name, read) if plus_lost and " " in read else read
        if name == "dial1":
            destinations[value] = None
        elif given.get(name, value) != value:
            raise ParameterError(name, "is given twice with different values")
        given[name] = value
    return given, destinations


def _with_its_plus(name: str, value: str) -> str:
    """Put the `+` back that form-encoding may have made a space of."""
    if name in _WITH_A_NUMBER:
        return _LOST_PLUS.sub(r"\1+", value)
    return _LOST_PLUS_OF_OFFSET.sub("+", value) if name == "Date" else value


def _require(given: dict[str, str], *, login_needed: bool, organisation_needed: bool) -> None:
    mandatory = (*(_LOGIN * login_needed), *(("org",) * organisation_needed), "dial1", "dial2")
    missing = [name for name in mandatory if name not in given]
    if not missing or (missing[:2] == [*_LOGIN] and "dial1" in given and "dial2" in given):
        return
    others = f" (also missing: {', '.join(missing[1:])})" if missing[1:] else ""
    raise ParameterError(missing[0], f"is missing{others}")


def _future_call(given: dict[str, str]) -> FutureParameters | None:
    missing = [name for name in _FUTURE_CALL if name not in given]
    if len(missing) == len(_FUTURE_CALL):
        return None
    if missing:
        others = f" (also missing: {', '.join(missing[1:])})" if missing[1:] else ""
        raise ParameterError(missing[0], f"is missing: a future call needs {', '.join(_FUTURE_CALL)}{others}")
    return FutureParameters(
        date=given["Date"],
        retries=_whole_number(given, "Maxretry"),
        retry_seconds=_whole_number(given, "Retrytime"),
        ident=checked_text("ident", given["ident"]),
    )


def _whole_number(given: dict[str, str], name: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(given[name]):
        raise ParameterError(name, "must be a whole number")
    return int(given[name])


def _yes(given: dict[str, str], name: str) -> bool:
    value = given.get(name, "no").lower()
    if value not in {"yes", "no"}:
        raise ParameterError(name, "must be yes or no")
    return value == "yes"


def _text(given: dict[str, str], name: str) -> str | None:
    return checked_text(name, given[name]) if name in given else None


def _destination(name: str, value: str) -> str:
    if not _DESTINATION.fullmatch(value):
        raise ParameterError(name, _DESTINATION_SHAPE)
    return value


def _first_destinations(values: Iterable[str]) -> tuple[str, ...]:
    entries = [entry for value in values for entry in apart(value)]
    if len(entries) > MAX_NUMBERS:
        raise ParameterError("dial1", f"has {len(entries)} numbers; at most {MAX_NUMBERS} are taken")
    for place, entry in enumerate(entries, start=1):
        if not _DESTINATION.fullmatch(entry):
            which = f"entry {place}: " if len(entries) > 1 else ""
            raise ParameterError("dial1", f"{which}{_DESTINATION_SHAPE}")
    return tuple(entries)


def _caller_identity(given: dict[str, str]) -> str | None:
    value = given.get("SetCID")
    if value is not None and not _CALLER_IDENTITY.fullmatch(value):
        raise ParameterError("SetCID", "must be a number or an extension: 1 to 32 of 0-9 * # +")
    return value


def _ring_seconds(given: dict[str, str]) -> int:
    value = given.get("Timeout")
    if value is None:
        return DEFAULT_RING_SECONDS
    if not _SECONDS.fullmatch(value) or not 1 <= int(value) <= 300:  # noqa: PLR2004 - the contract's own range
        raise ParameterError("Timeout", "must be a whole number of seconds from 1 to 300")
    return int(value)
