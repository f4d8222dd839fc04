"""The numbering plans as dialled: any text to E.164, and E.164 to what is dialled inside a country."""

from __future__ import annotations

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipcore.domain.dialplan import NumberPlan
from sipcore.service import numbers as numbers_module
from sipcore.service.numbers import PhoneNumberPlan, Place, place

PLAN: NumberPlan = PhoneNumberPlan()


@pytest.mark.parametrize(
    ("text", "country", "number"),
    [
        pytest.param("+12025550123", "US", "+12025550123", id="international"),
        pytest.param("2025550123", "US", "+12025550123", id="national US"),
        pytest.param("12025550123", "US", "+12025550123", id="US with its national prefix"),
        pytest.param("011442079460018", "US", "+442079460018", id="US international call prefix"),
        pytest.param("02079460018", "GB", "+442079460018", id="national GB"),
        pytest.param("0012025550123", "GB", "+12025550123", id="GB international call prefix"),
        pytest.param("+4402079460018", "GB", "+442079460018", id="national prefix left in"),
        pytest.param("0230000000", "IT", "+390230000000", id="the zero is part of an Italian number"),
        pytest.param("+442079460018", "US", "+442079460018", id="country code of another country"),
        pytest.param("+12005550123", "US", "+12005550123", id="possible, though no range in use"),
    ],
)
def test_a_number_is_understood_as_the_country_dials_it(text: str, country: str, number: str) -> None:
    assert PLAN.e164(text, country) == number


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("+", id="plus alone"),
        pytest.param("101", id="too short"),
        pytest.param("911", id="emergency number"),
        pytest.param("5550123", id="local number without area code"),
        pytest.param("+1202555012", id="one digit short"),
        pytest.param("+120255501234", id="one digit long"),
        pytest.param("+999123456789", id="country code of nobody"),
        pytest.param("1" * 32, id="32 digits"),
        pytest.param("1" * 300, id="300 digits"),
        pytest.param("+1 202 555 0123", id="blanks"),
        pytest.param("202-555-0123", id="hyphens"),
        pytest.param("2025550123\n", id="newline"),
        pytest.param("202555CALL", id="letters of the dial"),
        pytest.param("2025550123;ext=5", id="extension"),
        pytest.param("tel:+12025550123", id="tel URI"),
        pytest.param("\u0662\u0660\u0662\u0665\u0665\u0665\u0660\u0661\u0662\u0663", id="Arabic-Indic digits"),
        pytest.param("\uff0b12025550123", id="full-width plus"),
        pytest.param("2025550123*", id="star"),
        pytest.param("++12025550123", id="two plus signs"),
        pytest.param("1202+5550123", id="plus inside"),
    ],
)
def test_what_cannot_be_a_number_is_none(text: str) -> None:
    assert PLAN.e164(text, "US") is None


def test_a_country_that_nobody_knows_has_no_national_numbers() -> None:
    assert PLAN.e164("2025550123", "XX") is None
    assert PLAN.e164("+12025550123", "XX") == "+12025550123"


def parsed_by_the_library(text: str) -> str | None:
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@given(
    st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)) | st.integers(0, 999),
    st.text(alphabet="0123456789", max_size=18),
)
@settings(max_examples=500)
def test_a_number_with_its_country_code_is_what_the_library_says(country_code: int, rest: str) -> None:
    text = f"+{country_code}{rest}"
    assert PLAN.e164(text, "US") == parsed_by_the_library(text)


@pytest.mark.parametrize("country_code", sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE))
def test_every_countrys_own_examples_are_what_the_library_says(country_code: int) -> None:
    for country in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[country_code]:
        for kind in phonenumbers.PhoneNumberType.values():
            example = (
                phonenumbers.example_number_for_non_geo_entity(country_code)
                if country == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY
                else phonenumbers.example_number_for_type(country, kind)
            )
            if example is None:
                continue
            digits = phonenumbers.national_significant_number(example)
            for text in (f"+{country_code}{digits}", f"+{country_code}0{digits}", f"+{country_code}1{digits}"):
                assert PLAN.e164(text, "US") == parsed_by_the_library(text)


@given(st.text(alphabet="0123456789+*# ;:@?\r\n\0a\u0663", max_size=40))
def test_whatever_comes_the_answer_is_e164_or_none(text: str) -> None:
    number = PLAN.e164(text, "US")
    if number is not None:
        assert set(text) <= set("0123456789+")
        assert number.startswith("+")
        assert number[1:].isascii()
        assert number[1:].isdigit()
        assert len(number) <= 16


@pytest.mark.parametrize(
    ("number", "country", "dialled"),
    [
        pytest.param("+12025550123", "US", "2025550123", id="US without 1"),
        pytest.param("+14165550123", "US", "4165550123", id="Canada shares the plan"),
        pytest.param("+442079460018", "GB", "02079460018", id="GB with 0"),
        pytest.param("+4930123456", "DE", "030123456", id="DE with 0"),
        pytest.param("+390230000000", "IT", "0230000000", id="IT keeps its own 0"),
        pytest.param("+34912345678", "ES", "912345678", id="ES has no national prefix"),
        pytest.param("+442079460018", "US", "011442079460018", id="abroad from US"),
        pytest.param("+12025550123", "GB", "0012025550123", id="abroad from GB"),
        pytest.param("+442079460018", "AU", "0011442079460018", id="abroad from AU"),
        pytest.param("+442079460018", "RU", "810442079460018", id="abroad from RU, tone not written"),
        pytest.param("+12025550123", "BR", "001212025550123", id="abroad from BR through a carrier"),
        pytest.param("+12025550123", "CV", "012025550123", id="a prefix of one digit"),
        pytest.param("+12025550123", "XX", "0012025550123", id="abroad from an unknown country"),
        pytest.param("+999123456789", "US", "011999123456789", id="a country code of nobody is abroad"),
    ],
)
def test_a_number_is_written_as_the_country_dials_it(number: str, country: str, dialled: str) -> None:
    assert PLAN.national(number, country) == dialled


@pytest.mark.parametrize("country", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_a_national_number_of_any_country_reads_back_as_itself(country: str) -> None:
    example = phonenumbers.example_number(country)
    assert example is not None
    number = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
    dialled = PLAN.national(number, country)
    assert dialled.isascii()
    assert dialled.isdigit()
    assert PLAN.e164(dialled, country) == number


def test_answers_are_kept_and_the_store_of_them_is_bounded() -> None:
    before = numbers_module._e164.cache_info().hits
    for _ in range(3):
        PLAN.e164("+12025550147", "US")
    assert numbers_module._e164.cache_info().hits >= before + 2
    for cached in (numbers_module._e164, numbers_module._national, numbers_module._call_prefix):
        assert cached.cache_info().maxsize


@pytest.mark.parametrize(
    ("number", "country", "zones"),
    [
        ("+12125550123", "US", {"America/New_York"}),
        ("+16045550123", "CA", {"America/Vancouver"}),
        ("+442079460018", "GB", {"Europe/London"}),
        ("+61412345678", "AU", {"Australia/Perth", "Australia/Sydney"}),
        ("+18005550123", "US", {"America/New_York", "Pacific/Honolulu"}),
        ("+447700900123", "GB", {"Europe/London"}),
    ],
)
def test_a_number_tells_its_country_and_every_time_zone_that_it_may_be_in(number, country, zones):
    where = place(number)
    assert where.country == country
    assert zones <= set(where.zones)
    assert len(zones) > 1 or len(where.zones) == 1 or number.startswith("+4477")


@pytest.mark.parametrize("number", ["+80012345678", "+99912345678", "+"])
def test_a_number_of_no_country_tells_none(number):
    assert place(number) == Place(None, ())
