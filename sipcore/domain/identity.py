"""Caller identity: who each leg shows as caller, and the INVITE that carries it.

Everything that reaches a URI or a header is built here from checked digits and from the settings, so that
no text of a request can become SIP syntax.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from sipcore.domain.commands import LegPlan
from sipcore.domain.dialplan import (
    Destination,
    ExtensionDestination,
    ExternalDestination,
    NamedDestination,
    NumberPlan,
    UnknownExtension,
)
from sipcore.domain.directory import Directory, Organisation, SipAddress, Trunk
from sipcore.domain.errors import NotAllowedError, ParameterError

_URI_USER = re.compile(r"[0-9*#+]{1,32}")
_ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'
"""RFC 3323 section 4.1."""
AUTO_ANSWER: tuple[tuple[str, str], ...] = (
    ("Alert-Info", "<http://127.0.0.1>;info=alert-autoanswer;delay=0"),
    ("Call-Info", "<sip:127.0.0.1>;answer-after=0"),
    ("Answer-Mode", "Auto"),
)
"""What desk phones take for "open the loudspeaker": Alert-Info (Polycom, Yealink, Grandstream and others), Call-Info
(Snom, Cisco and others), Answer-Mode (RFC 5373)."""


PhoneDestination = ExtensionDestination | ExternalDestination | NamedDestination | UnknownExtension
"""Destinations that one INVITE reaches."""


@dataclass(frozen=True, slots=True)
class Callers:
    """The number that each leg shows as its caller; None: the trunk's own user, or anonymous."""

    leg1: str | None
    leg2: str | None


def callers(
    organisation: Organisation,
    first: Destination,
    second: Destination,
    set_cid: str | None,
    numbers: NumberPlan,
) -> Callers:
    """Decide who each leg shows as caller.

    With `set_cid` both legs carry it; an extension given as `set_cid` shows its own external number on a leg 2
    that leaves the house, as an extension means nothing there. Without it leg 1 shows the other party and leg 2 the
    agent's own `caller_id`, else the organisation's.

    Raises:
        ParameterError: `set_cid` is no number at all.
        NotAllowedError: `set_cid` is neither a verified number nor an extension of the organisation.
    """
    if set_cid is None:
        agent = first.extension.caller_id if isinstance(first, ExtensionDestination) else None
        outside_machine = isinstance(first, ExternalDestination) and not isinstance(second, PhoneDestination)
        # The number of a menu or queue means nothing outside.
        shown = organisation.caller_id if outside_machine else second.number
        return Callers(shown, agent or organisation.caller_id)
    extension = organisation.extensions.get(set_cid)
    if extension is not None:
        inside = isinstance(second, ExtensionDestination)
        return Callers(set_cid, set_cid if inside else extension.caller_id or organisation.caller_id)
    number = _verified_number(set_cid, organisation, numbers)
    return Callers(number, number)


def _verified_number(set_cid: str, organisation: Organisation, numbers: NumberPlan) -> str:
    if not _URI_USER.fullmatch(set_cid):
        raise ParameterError("SetCID", "give an E.164 number, a national number, or an extension")
    number = numbers.e164(set_cid, organisation.country)
    verified = {organisation.caller_id, *organisation.caller_ids}
    verified.update(extension.caller_id for extension in organisation.extensions.values())
    if number is None or number not in verified:
        raise NotAllowedError("SetCID", "neither a verified number nor an extension of the organisation")
    return number


def plan_leg(
    destination: PhoneDestination,
    caller: str | None,
    organisation: Organisation,
    directory: Directory,
    numbers: NumberPlan,
    *,
    foreign: bool = False,
    auto_answer: bool = False,
) -> LegPlan | None:
    """Make the INVITE of one leg.

    Args:
        destination: whom to ring.
        caller: the number to show, or None.
        organisation: whose call it is.
        directory: trunks and our own address.
        numbers: for the number format of the trunk.
        foreign: True when `caller` is the other party's number and not the organisation's own; a trunk
            that takes only own numbers then gets the organisation's.
        auto_answer: True when a phone that is set so shall answer by itself.

    Returns:
        None when the destination cannot be reached at all: an unknown extension, or one without a contact in an
        organisation without a trunk.
    """
    if isinstance(destination, UnknownExtension):
        return None
    if isinstance(destination, NamedDestination):
        return _to_contact(destination.address, caller, directory, line="")
    extra: tuple[tuple[str, str], ...] = ()
    if isinstance(destination, ExtensionDestination):
        if auto_answer and destination.extension.auto_answer:
            extra = AUTO_ANSWER
        contact = destination.extension.contact
        if contact is not None:
            plan = _to_contact(contact, caller, directory, line=destination.number)
            return replace(plan, headers=extra) if extra else plan
    trunk = directory.trunks.get(organisation.trunk) if organisation.trunk is not None else None
    if trunk is None:
        return None
    shown = caller if trunk.any_caller_id or not foreign else organisation.caller_id
    plan = _through_trunk(destination.number, shown, trunk, organisation, numbers)
    return replace(plan, headers=(*plan.headers, *extra)) if extra else plan


def _to_contact(contact: SipAddress, caller: str | None, directory: Directory, *, line: str) -> LegPlan:
    from_uri = _name_addr(caller, directory.sip_address) if caller else _ANONYMOUS
    return LegPlan(user=contact.user, at=contact.at, trunk=None, from_uri=from_uri, line=line)


def _name_addr(number: str, host: str) -> str:
    """Write a SIP URI in angle brackets; `#` is no character of a user part (RFC 3261 section 25.1)."""
    return f"<sip:{number.replace('#', '%23')}@{host}>"


def _through_trunk(
    number: str, caller: str | None, trunk: Trunk, organisation: Organisation, numbers: NumberPlan
) -> LegPlan:
    shown = None if caller is None else trunk_number(caller, trunk, organisation, numbers)
    return LegPlan(
        user=trunk_number(number, trunk, organisation, numbers),
        at=trunk.proxy,
        trunk=trunk.name,
        from_uri=_from_uri(shown, trunk),
        headers=_identity_headers(shown, trunk),
        line=number,
    )


def trunk_number(number: str, trunk: Trunk, organisation: Organisation, numbers: NumberPlan) -> str:
    """Write a number as the trunk wants it; digits that are not E.164 (an extension) stay as they are."""
    if not number.startswith("+"):
        return number
    if trunk.number_format == "plus_e164":
        return number
    if trunk.number_format == "e164":
        return number.removeprefix("+")
    return numbers.national(number, organisation.country)


def _from_uri(shown: str | None, trunk: Trunk) -> str:
    if shown is not None and "from" in trunk.identity:
        return _name_addr(shown, trunk.proxy.host)
    if trunk.username and "privacy" not in trunk.identity:
        return f"<sip:{trunk.username}@{trunk.proxy.host}>"
    return _ANONYMOUS


def _identity_headers(shown: str | None, trunk: Trunk) -> tuple[tuple[str, str], ...]:
    """RFC 3325 P-Asserted-Identity, draft-ietf-sip-privacy Remote-Party-ID, RFC 3323 Privacy."""
    if shown is None:
        return ()
    withheld = "privacy" in trunk.identity
    uri = _name_addr(shown, trunk.proxy.host)
    headers: list[tuple[str, str]] = []
    if "p-asserted-identity" in trunk.identity:
        headers.append(("P-Asserted-Identity", uri))
    if "remote-party-id" in trunk.identity:
        headers.append(("Remote-Party-ID", f"{uri};party=calling;screen=yes;privacy={'full' if withheld else 'off'}"))
    if withheld:
        headers.append(("Privacy", "id"))
    return tuple(headers)
