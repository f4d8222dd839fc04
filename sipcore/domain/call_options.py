"""What may be wanted of a call beside its two numbers: header fields and digits per leg, a length, a reference."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sipcore.domain.dtmf import DIGITS, PAUSES
from sipcore.domain.errors import ParameterError

MAX_HEADERS = 10
MAX_HEADER_CHARACTERS = 255
MAX_HEADER_OCTETS = 2000
"""Names and values of a leg's headers in all: PJSIP sends no request of more than 4000 octets, with all the rest of an
INVITE and its credentials."""
MAX_DIGITS = 64
MAX_REFERENCE_CHARACTERS = 128

HEADER_NAME = "X-[A-Za-z0-9-]{1,60}"
"""Of the header fields that anybody may set: none of them means anything to SIP."""

Headers = tuple[tuple[str, str], ...]
"""Header names and values."""


@dataclass(frozen=True, slots=True)
class LegOptions:
    """What is wanted of one leg.

    Attributes:
        headers: go with its INVITE, and with that of every phone that is rung in its place: members, agents, whoever a
            menu leads to. Only names that begin with `X-`, so that none means anything to SIP.
        digits: are sent to whoever answers, as soon as they have: `0-9*#A-D`, and `w` and `,` for pauses.
    """

    headers: Headers = ()
    digits: str = ""

    def check(self, parameter: str) -> None:
        """Check it.

        Args:
            parameter: name of the leg in the request, for example `leg1`.

        Raises:
            ParameterError: it cannot be done.
        """
        if self.headers:
            check_headers(self.headers, f"{parameter}.headers")
        if self.digits:
            check_digits(self.digits, f"{parameter}.digits")


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What is wanted of one call.

    Attributes:
        leg1, leg2: of its legs.
        max_seconds: how long it may last once destination 1 has answered; None: as long as any.
        reference: the client's own name for it, kept in its record, or None.
        room_for_third: whether it keeps room for a third party from the start.
    """

    leg1: LegOptions = LegOptions()
    leg2: LegOptions = LegOptions()
    max_seconds: int | None = None
    reference: str | None = None
    room_for_third: bool = False

    def check(self, most_seconds: float) -> None:
        """Check it.

        Args:
            most_seconds: how long any call may last.

        Raises:
            ParameterError: it cannot be done; the error names the member.
        """
        self.leg1.check("leg1")
        self.leg2.check("leg2")
        if self.max_seconds is not None and not 1 <= self.max_seconds <= most_seconds:
            raise ParameterError("max_seconds", f"must be 1 to {most_seconds:.0f} (sip.max_call_seconds)")
        if self.reference is not None:
            check_reference(self.reference)


def check_reference(reference: str) -> None:
    """Check a client's own name for a call.

    Raises:
        ParameterError: it is none.
    """
    if not (reference.isprintable() and 1 <= len(reference) <= MAX_REFERENCE_CHARACTERS):
        raise ParameterError("reference", f"must be 1 to {MAX_REFERENCE_CHARACTERS} printable characters")


def check_headers(headers: Headers, parameter: str) -> None:
    """Check header fields that a leg is to carry.

    Raises:
        ParameterError: too many, a name that is not ours to give away or comes twice, or a value that is no header's.
    """
    if len(headers) > MAX_HEADERS:
        raise ParameterError(parameter, f"must be {MAX_HEADERS} at most")
    names = [name.lower() for name, _ in headers]
    for name, value in headers:
        if not re.fullmatch(HEADER_NAME, name):
            raise ParameterError(parameter, "a name must be X- and 1 to 60 letters, digits or hyphens")
        if names.count(name.lower()) > 1:
            raise ParameterError(parameter, f"{name} is given twice")
        if not (value.isprintable() and value.strip() and len(value) <= MAX_HEADER_CHARACTERS):
            raise ParameterError(parameter, f"{name} must be 1 to {MAX_HEADER_CHARACTERS} printable characters")
    if sum(len(f"{name}{value}".encode()) for name, value in headers) > MAX_HEADER_OCTETS:
        raise ParameterError(parameter, f"must be {MAX_HEADER_OCTETS} octets at most in all")


def check_digits(digits: str, parameter: str) -> None:
    """Check digits that are to be sent.

    Raises:
        ParameterError: they cannot be sent.
    """
    if not 1 <= len(digits) <= MAX_DIGITS or not set(digits) <= set(DIGITS) | set(PAUSES):
        raise ParameterError(parameter, f"must be 1 to {MAX_DIGITS} of 0-9 * # A-D, w (0.5 s) and , (1 s)")
