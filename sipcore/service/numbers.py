"""The world's numbering plans, by the library phonenumbers (ITU-T E.164 and the national plans under it)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, PhoneNumber, PhoneNumberFormat, ValidationResult
from phonenumbers.timezone import UNKNOWN_TIMEZONE, time_zones_for_geographical_number, time_zones_for_number

COUNTRIES: Final = frozenset(phonenumbers.SUPPORTED_REGIONS)
"""Codes of all countries that there are (ISO 3166-1 alpha-2)."""
_CACHED_NUMBERS = 8192
"""How many answers are kept: parsing takes about 0.1 ms, and the same agents and trunks come again and again."""
_DIALLED = re.compile(r"\+?[0-9]+")
_NO_DIGIT = re.compile(r"[^0-9]")
_LONGEST_COUNTRY_CODE = 3
_LONGEST_CALL_PREFIX = 4
_PARSED_NUMBERS = 64
"""How many parsed numbers are kept: of one and the same it is asked first what it is, then where."""
_RECOMMENDED_CALL_PREFIX = "00"
"""ITU-T E.164 recommends it to all countries."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a number is, as far as it tells.

    Attributes:
        country: ISO 3166-1 alpha-2, or None: of no country, or not known.
        zones: IANA names of all time zones that it may be in; empty: not known.
    """

    country: str | None
    zones: tuple[str, ...]


class PhoneNumberPlan:
    """`sipcore.domain.dialplan.NumberPlan` for every country that phonenumbers knows.

    A number counts when its length is possible where it belongs. The tables of ranges in use lag behind reality, so
    they decide nothing. Answers are cached, as every call asks again for the same few numbers.
    """

    def e164(self, text: str, country: str) -> str | None:
        """Return `+` and digits for an international or national number.

        Args:
            text: `+` and digits, or the digits dialled inside `country`, its international call prefix included.
            country: ISO 3166-1 alpha-2, upper case.

        Returns:
            None when it cannot be a number: other characters than ASCII digits after an optional `+`, an unknown
            country code, a wrong length, or a local number without its area code.
        """
        return _e164(text, country)

    def national(self, number: str, country: str) -> str:
        """Write an E.164 number as it is dialled inside a country.

        Args:
            number: `+` and digits.
            country: ISO 3166-1 alpha-2, upper case.

        Returns:
            Digits only. For a number of the same country its national number, with the national prefix where one is
            dialled (`02079460018` in GB, `2025550123` in US); for any other the country's international call
            prefix and the number (`011442079460018` in US).
        """
        return _national(number, country)


def place(number: str) -> Place:
    """Tell where an E.164 number is. A mobile or a freephone number may be in any zone of its country.

    Args:
        number: `+` and digits.
    """
    parsed = _parsed_once(number, None)
    if parsed is None:
        return Place(None, ())
    country = phonenumbers.region_code_for_number(parsed) or phonenumbers.region_code_for_country_code(
        parsed.country_code or 0
    )
    zones = time_zones_for_number(parsed)
    if zones == (UNKNOWN_TIMEZONE,):
        # Not in the tables of ranges in use, which lag behind: its first digits tell.
        zones = time_zones_for_geographical_number(parsed)
    known = len(country) == len("US") and country.isalpha()
    return Place(country if known else None, () if zones == (UNKNOWN_TIMEZONE,) else tuple(zones))


@dataclass(frozen=True, slots=True)
class _Numbering:
    """The national numbers behind a country code.

    Attributes:
        lengths: how long one can be.
        prefix: what a number begins with that the parser may take the beginning off, or None.
    """

    lengths: frozenset[int]
    prefix: re.Pattern[str] | None


@lru_cache(maxsize=_CACHED_NUMBERS)
def _e164(text: str, country: str) -> str | None:
    if not _DIALLED.fullmatch(text):
        return None
    if text[0] == "+" and _is_whole(text):
        return text
    number = _parsed(text, country)
    if number is None:
        return None
    # is_possible_number() would also take a local number without its area code, which has no E.164 form.
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@lru_cache(maxsize=_CACHED_NUMBERS)
def _national(number: str, country: str) -> str:
    parsed = _parsed(number, country)
    if parsed is not None and parsed.country_code == phonenumbers.country_code_for_region(country):
        return _NO_DIGIT.sub("", phonenumbers.format_number(parsed, PhoneNumberFormat.NATIONAL))
    return _call_prefix(country) + number.removeprefix("+")


def _is_whole(text: str) -> bool:
    """Tell whether `+` and digits are a number in its E.164 form; False: the parser has to look at it.

    Most numbers are given so, and the phone of a click waits for two of them: the parser takes 65 us for each.
    """
    for end in range(2, _LONGEST_COUNTRY_CODE + 2):
        numbering = _numbering(text[1:end])
        if numbering is not None:
            number = text[end:]
            return len(number) in numbering.lengths and (
                numbering.prefix is None or numbering.prefix.match(number) is None
            )
    return False


@lru_cache(maxsize=2048)
def _numbering(country_code: str) -> _Numbering | None:
    """Look a country code up; None when there is no such, or it belongs to no country."""
    country = phonenumbers.region_code_for_country_code(int(country_code))
    metadata = PhoneMetadata.metadata_for_region(country)
    if country_code[0] == "0" or metadata is None or metadata.general_desc is None:
        return None
    prefix = metadata.national_prefix_for_parsing
    return _Numbering(frozenset(metadata.general_desc.possible_length), re.compile(prefix) if prefix else None)


def _parsed(text: str, country: str) -> PhoneNumber | None:
    return _parsed_once(text, None if text.startswith("+") else country)


@lru_cache(maxsize=_PARSED_NUMBERS)
def _parsed_once(text: str, country: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, country)
    except NumberParseException:
        return None


@lru_cache(maxsize=512)
def _call_prefix(country: str) -> str:
    """The digits before a country code. Where a carrier is chosen by them, every choice serves: the first is taken."""
    metadata = PhoneMetadata.metadata_for_region(country)
    if metadata is None or metadata.international_prefix is None:
        return _RECOMMENDED_CALL_PREFIX
    if metadata.preferred_international_prefix is not None:
        return _NO_DIGIT.sub("", metadata.preferred_international_prefix)
    pattern = re.compile(metadata.international_prefix)
    for length in range(1, _LONGEST_CALL_PREFIX + 1):
        for digits in product("0123456789", repeat=length):
            prefix = "".join(digits)
            if pattern.fullmatch(prefix):
                return prefix
    return _RECOMMENDED_CALL_PREFIX
