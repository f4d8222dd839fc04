"""From what a request names to a destination of its organisation, or a precise refusal."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from sipcore.domain.directory import (
    Announcement,
    App,
    Extension,
    Ivr,
    Organisation,
    Queue,
    RingGroup,
    SipAddress,
)
from sipcore.domain.errors import NotAllowedError, ParameterError

MAX_DIGITS = 32
_DIGITS = re.compile(r"[0-9*#+]{1,32}")
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
    rings: ClassVar[bool] = True
    serves_many: ClassVar[bool] = False

    @property
    def number(self) -> str:
        """What the other party may see as its number."""
        return self.extension.number


@dataclass(frozen=True, slots=True)
class ExternalDestination:
    """A number of the outside world, E.164."""

    number: str
    rings: ClassVar[bool] = True
    serves_many: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class NamedDestination:
    """A SIP address that the settings name."""

    name: str
    address: SipAddress
    rings: ClassVar[bool] = True
    serves_many: ClassVar[bool] = False

    @property
    def number(self) -> str:
        """What the other party may see as its number."""
        return self.address.user


@dataclass(frozen=True, slots=True)
class UnknownExtension:
    """Digits that are nobody's: the call is accepted and ends as `Not connected`, and no packet is sent."""

    number: str
    rings: ClassVar[bool] = True
    serves_many: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class RingGroupDestination:
    """Several phones behind one number."""

    group: RingGroup
    rings: ClassVar[bool] = True
    serves_many: ClassVar[bool] = False

    @property
    def number(self) -> str:
        """Its internal number."""
        return self.group.number


@dataclass(frozen=True, slots=True)
class QueueDestination:
    """A queue: whoever reaches it waits for a free agent."""

    queue: Queue
    rings: ClassVar[bool] = True
    serves_many: ClassVar[bool] = True

    @property
    def number(self) -> str:
        """Its internal number."""
        return self.queue.number


@dataclass(frozen=True, slots=True)
class IvrDestination:
    """A menu."""

    ivr: Ivr
    rings: ClassVar[bool] = False
    serves_many: ClassVar[bool] = True

    @property
    def number(self) -> str:
        """Its internal number."""
        return self.ivr.number


@dataclass(frozen=True, slots=True)
class AnnouncementDestination:
    """An audio file that is played."""

    announcement: Announcement
    rings: ClassVar[bool] = False
    serves_many: ClassVar[bool] = True

    @property
    def number(self) -> str:
        """Its internal number."""
        return self.announcement.number


@dataclass(frozen=True, slots=True)
class AppDestination:
    """Something built in."""

    app: App
    rings: ClassVar[bool] = False
    serves_many: ClassVar[bool] = True

    @property
    def number(self) -> str:
        """Its internal number."""
        return self.app.number


Destination = (
    ExtensionDestination
    | ExternalDestination
    | NamedDestination
    | UnknownExtension
    | RingGroupDestination
    | QueueDestination
    | IvrDestination
    | AnnouncementDestination
    | AppDestination
)
"""What `dial1` and `dial2` can name.

`rings`: it has phones of its own, so that somebody is there whatever the other destination is. `serves_many`: it can be
dial2 of many numbers at once.
"""


def queue_number(destination: Destination) -> str | None:
    """Return the number of the queue that a destination is, or None."""
    return destination.number if isinstance(destination, QueueDestination) else None


def begins_a_number(digits: str, shape: str) -> bool:
    """Tell whether digits are the beginning of a number of this shape, or the whole of it: `x` is any digit."""
    return len(digits) <= len(shape) and all(
        digit in "0123456789" if wanted == "x" else digit == wanted
        for digit, wanted in zip(digits, shape, strict=False)
    )


def has_shape(number: str, shape: str) -> bool:
    """Tell whether a number has this shape: digits, and `x` for any digit."""
    return len(number) == len(shape) and begins_a_number(number, shape)


def _find_extension(number: str, organisation: Organisation) -> Destination | None:
    found = organisation.extensions.get(number)
    return None if found is None else ExtensionDestination(found)


def _find_at_the_pbx(number: str, organisation: Organisation) -> Destination | None:
    shaped = any(has_shape(number, shape) for shape in organisation.internal_numbers)
    return ExtensionDestination(Extension(number)) if shaped else None


def _find_group(number: str, organisation: Organisation) -> Destination | None:
    found = organisation.ring_groups.get(number)
    return None if found is None else RingGroupDestination(found)


def _find_queue(number: str, organisation: Organisation) -> Destination | None:
    found = organisation.queues.get(number)
    return None if found is None else QueueDestination(found)


def _find_ivr(number: str, organisation: Organisation) -> Destination | None:
    found = organisation.ivrs.get(number)
    return None if found is None else IvrDestination(found)


def _find_announcement(number: str, organisation: Organisation) -> Destination | None:
    found = organisation.announcements.get(number)
    return None if found is None else AnnouncementDestination(found)


def _find_app(number: str, organisation: Organisation) -> Destination | None:
    found = organisation.apps.get(number)
    return None if found is None else AppDestination(found)


_KINDS: dict[str, tuple[str, Callable[[str, Organisation], Destination | None]]] = {
    "group": ("ring group", _find_group),
    "queue": ("queue", _find_queue),
    "ivr": ("IVR", _find_ivr),
    "msg": ("announcement", _find_announcement),
    "app": ("app", _find_app),
}
"""By prefix: what it is called, and how one of it is found. Numbers are unique in an organisation."""
_BY_DIGITS = (_find_extension, *(find for _, find in _KINDS.values()), _find_at_the_pbx)
"""What the settings name comes before what only looks like a number of the PBX."""


def resolve_many(text: str, organisation: Organisation, numbers: NumberPlan, *, parameter: str) -> Destination:
    """Find what a text names, as `resolve` does; it has to be a destination that talks to many.

    Raises:
        ParameterError, NotAllowedError: as `resolve`, or it cannot talk to many.
    """
    destination = resolve(text, organisation, numbers, parameter=parameter)
    if not destination.serves_many:
        raise ParameterError(parameter, "must be one that talks to many: a message, IVR, queue or app")
    return destination


def resolve(text: str, organisation: Organisation, numbers: NumberPlan, *, parameter: str) -> Destination:
    """Find what a request's `dial1` or `dial2`, or a number of the settings, names.

    Digits are looked up in the organisation's own numbering first, else taken as an external number; a prefix
    (`ext:`, `group:`, `queue:`, `ivr:`, `msg:`, `app:`, `tel:`, `sip:`) makes it explicit.

    Args:
        text: the destination as given.
        organisation: whose numbering counts.
        numbers: the world's numbering plans.
        parameter: name of the parameter, for the refusal.

    Raises:
        ParameterError: it is malformed, or names nothing.
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
        return (
            _find_extension(digits, organisation) or _find_at_the_pbx(digits, organisation) or UnknownExtension(digits)
        )
    if kind == "tel":
        return _external(digits, organisation, numbers, parameter)
    if kind not in _KINDS:
        raise ParameterError(
            parameter, f"unknown prefix; ext:, {', '.join(f'{name}:' for name in _KINDS)}, tel: and sip: are known"
        )
    called, find = _KINDS[kind]
    found = find(digits, organisation)
    if found is None:
        raise ParameterError(parameter, f"the organisation has no {called} of this number")
    return found


def _by_digits(text: str, organisation: Organisation, numbers: NumberPlan, parameter: str) -> Destination:
    digits = _checked_digits(text, parameter)
    # No number of the settings has a `+`.
    if "+" not in digits:
        for find in _BY_DIGITS:
            found = find(digits, organisation)
            if found is not None:
                return found
        if numbers.e164(digits, organisation.country) is None:
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
