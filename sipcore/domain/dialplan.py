"""From what a request names to a destination of its organisation, or a precise refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from sipcore.domain.directory import Extension, Organisation, SipAddress
from sipcore.domain.errors import NotAllowedError, ParameterError

MAX_DIGITS = 32
_DIGITS = re.compile(r"[0-9*#+]{1,32}")
_PREFIX_KINDS = {"group": "ring group", "queue": "queue", "ivr": "IVR", "msg": "announcement", "app": "app"}
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class NumberPlan(Protocol):
    """Knows the world's numbering plans (ITU-T E.164)."""

    def e164(self, text: str, country: str) -> str | None:
        """Return `+` and digits for an international or national number, or None when it cannot be one."""
        ...

    def national(self, number: str, country: str) -> str:
        """Write an E.164 number as it is dialled inside a country: digits only."""
        ...


@dataclass(frozen=True, slots=True)
class ExtensionDestination:
    """An internal phone."""

    extension: Extension

    @property
    def number(self) -> str:
        """What the other party may see as its number."""
        return self.extension.number


@dataclass(frozen=True, slots=True)
class ExternalDestination:
    """A number of the outside world, E.164."""

    number: str


@dataclass(frozen=True, slots=True)
class NamedDestination:
    """A SIP address that the settings name."""

    name: str
    address: SipAddress

    @property
    def number(self) -> str:
        """What the other party may see as its number."""
        return self.address.user


@dataclass(frozen=True, slots=True)
class UnknownExtension:
    """Digits that are nobody's: the call is accepted and ends as `Not connected`, and no packet is sent."""

    number: str


Destination = ExtensionDestination | ExternalDestination | NamedDestination | UnknownExtension


def resolve(text: str, organisation: Organisation, numbers: NumberPlan, *, parameter: str) -> Destination:
    """Find what a request's `dial1` or `dial2` names.

    Digits are looked up in the organisation's own numbering first, else taken as an external number; a prefix
    (`ext:`, `tel:`, `sip:` and the names of kinds that are not phones) makes it explicit.

    Args:
        text: the destination as given.
        organisation: whose numbering counts.
        numbers: the world's numbering plans.
        parameter: name of the parameter, for the refusal.

    Raises:
        ParameterError: it is malformed, or of a kind that cannot be dialled.
        NotAllowedError: the organisation may not dial it.
    """
    prefix, colon, rest = text.partition(":")
    if not colon:
        return _by_digits(text, organisation, numbers, parameter)
    kind = prefix.lower()
    if kind == "sip":
        return _by_name(rest, organisation, parameter)
    digits = _checked_digits(rest, parameter)
    if kind == "ext":
        found = organisation.extensions.get(digits)
        return ExtensionDestination(found) if found else UnknownExtension(digits)
    if kind == "tel":
        return _external(digits, organisation, numbers, parameter)
    if kind in _PREFIX_KINDS:
        raise ParameterError(parameter, f"destinations of the kind {_PREFIX_KINDS[kind]} are not available yet")
    raise ParameterError(parameter, "unknown prefix; ext:, tel: and sip: are known")


def _by_digits(text: str, organisation: Organisation, numbers: NumberPlan, parameter: str) -> Destination:
    digits = _checked_digits(text, parameter)
    extension = organisation.extensions.get(digits)
    if extension is not None:
        return ExtensionDestination(extension)
    if digits in organisation.other_numbers:
        kind = organisation.other_numbers[digits]
        raise ParameterError(parameter, f"destinations of the kind {kind} are not available yet")
    if "+" not in digits and numbers.e164(digits, organisation.country) is None:
        return UnknownExtension(digits)
    return _external(digits, organisation, numbers, parameter)


def _external(digits: str, organisation: Organisation, numbers: NumberPlan, parameter: str) -> ExternalDestination:
    number = numbers.e164(digits, organisation.country)
    if number is None:
        raise ParameterError(parameter, "not a telephone number: give + and digits, or the national digits")
    if organisation.allowed_prefixes and not number.startswith(organisation.allowed_prefixes):
        raise NotAllowedError(parameter, "the organisation may not dial this number")
    if organisation.trunk is None:
        raise NotAllowedError(parameter, "the organisation has no trunk for external numbers")
    return ExternalDestination(number)


def _by_name(name: str, organisation: Organisation, parameter: str) -> NamedDestination:
    if not _NAME.fullmatch(name):
        raise ParameterError(parameter, "sip: is followed by a name from the settings, never by an address")
    address = organisation.sip_addresses.get(name)
    if address is None:
        raise ParameterError(parameter, "no SIP address of this name is configured")
    return NamedDestination(name, address)


def _checked_digits(text: str, parameter: str) -> str:
    if not _DIGITS.fullmatch(text):
        raise ParameterError(parameter, f"only 0-9 * # + are allowed, 1 to {MAX_DIGITS} of them")
    return text
