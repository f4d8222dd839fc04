"""The parameter reader on its own: what it takes, and that order and case do not matter."""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.bodies import read_query
from api.parameters import MAX_NUMBERS, NAMES, DialupParameters, Pair, answer_format, read_parameters
from sipcore.domain.errors import ParameterError

GOOD = {"user": "alice", "pass": "s3cret", "org": "acme", "dial1": "101", "dial2": "102"}
OPTIONAL = {"Response": "yes", "showUID": "Yes", "RFormat": "XML", "SetCID": "+12025550100", "Timeout": "7"}
SAFE = re.compile(
    r"(?:(?:ext|group|queue|ivr|msg|app|tel):)?[0-9*#+]{1,32}|sip:[A-Za-z0-9._-]{1,64}", re.IGNORECASE | re.ASCII
)


def pairs(values, *, plus_lost=False):
    return [Pair(name, value, plus_lost) for name, value in values.items()]


def mixed_case(data, name):
    return "".join(data.draw(st.sampled_from((letter.lower(), letter.upper()))) for letter in name)


def read(**changed):
    return read_parameters(pairs(GOOD | changed))


def read_or_refused(sent):
    """Return the parameters, or the name that the refusal tells."""
    try:
        return read_parameters(sent)
    except ParameterError as error:
        return error.parameter


@given(st.permutations(list((GOOD | OPTIONAL).items())), st.data())
def test_order_and_case_of_names_do_not_matter(items, data):
    sent: list[Pair] = []
    read_query("&".join(f"{mixed_case(data, name)}={quote(value)}" for name, value in items), sent)
    assert read_parameters(sent) == DialupParameters(
        "alice", "s3cret", "acme", ("101",), "102", "+12025550100", 7, wait=True, show_uids=True
    )
    assert answer_format(sent) == "xml"


@given(
    st.sampled_from(("dial1", "dial2", "SetCID")),
    st.text()
    | st.from_regex(SAFE, fullmatch=True)
    | st.text(alphabet="0123456789*#+ ,;:telsipxK\u017f\r\n", max_size=40),
    st.booleans(),
)
def test_nothing_outside_the_alphabet_is_ever_accepted(name, value, plus_lost):
    outcome = read_or_refused(pairs(GOOD | {name: value}, plus_lost=plus_lost))
    if isinstance(outcome, DialupParameters):
        got = {"dial1": outcome.dial1, "dial2": [outcome.dial2], "SetCID": [outcome.set_cid]}[name]
        assert all(SAFE.fullmatch(text) for text in got)
        assert name != "SetCID" or ":" not in got[0]
    else:
        assert outcome == name


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.text(), st.booleans())))
def test_whatever_is_sent_is_read_or_refused_by_a_name_of_the_contract(sent):
    outcome = read_or_refused([Pair(*pair) for pair in sent])
    assert isinstance(outcome, DialupParameters) or outcome in NAMES


@pytest.mark.parametrize(
    "value",
    ["101", "*43", "#", "+12025550123", "ext:101", "TEL:+1", "group:600", "queue:7", "ivr:9", "msg:8", "app:*43",
     "sip:front.desk-1_x", "1" * 32],
)  # fmt: skip
def test_every_shape_of_a_destination_is_read_as_given(value):
    assert (read(dial1=value).dial1, read(dial2=value).dial2) == ((value,), value)


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [(" 12025550123", "+12025550123"), ("tel: 12025550123", "tel:+12025550123"), ("+1202", "+1202"), ("101", "101")],
)
def test_a_plus_that_form_encoding_lost_is_restored(sent, read_as):
    got = read_parameters(pairs(GOOD | {"dial1": sent, "dial2": sent}, plus_lost=True))
    assert (got.dial1, got.dial2) == ((read_as,), read_as)
    assert read_parameters(pairs(GOOD | {"SetCID": " 1202"}, plus_lost=True)).set_cid == "+1202"


def test_a_plus_of_an_offset_that_form_encoding_lost_is_restored():
    future = GOOD | {"Date": "2026-12-24T09:00:00 01:00", "Maxretry": "0", "Retrytime": "10", "ident": "secret"}
    restored, sent = (read_parameters(pairs(future, plus_lost=lost)).future for lost in (True, False))
    assert restored is not None
    assert restored.date == "2026-12-24T09:00:00+01:00"
    assert sent is not None
    assert sent.date == "2026-12-24T09:00:00 01:00"


@pytest.mark.parametrize("value", [" 12025550123", "tel: 12025550123"])
def test_a_space_that_was_really_sent_is_no_plus(value):
    with pytest.raises(ParameterError, match="dial2"):
        read(dial2=value)


@pytest.mark.parametrize("value", ["  1202", " *43", " ", "1 202", "tel:  1"])
def test_a_space_that_was_no_plus_is_refused(value):
    with pytest.raises(ParameterError, match="dial2"):
        read_parameters(pairs(GOOD | {"dial2": value}, plus_lost=True))


@pytest.mark.parametrize(
    ("sent", "read_as"),
    [
        ("101,102", ("101", "102")),
        ("101;ext:102\r\n+12025550123", ("101", "ext:102", "+12025550123")),
        ("101 , 102 ;\t103", ("101", "102", "103")),
        ("\r\n101,,102,\n", ("101", "102")),
        ("101,", ("101",)),
        ("101,101", ("101", "101")),
        (",".join(["101"] * MAX_NUMBERS), ("101",) * MAX_NUMBERS),
    ],
)
def test_dial1_names_several_numbers_however_they_are_set_apart(sent, read_as):
    assert read(dial1=sent).dial1 == read_as


def test_dial1_may_come_several_times():
    sent = [*pairs(GOOD), Pair("dial1", "103;104"), Pair("dial1", "101")]
    assert read_parameters(sent).dial1 == ("101", "103", "104")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("101,10x,103", "entry 2: must be"),
        ("101 102,103", "entry 1: must be"),
        (",;\n", "dial1: must be"),
        ("", "dial1: must be"),
        ("101 102", "dial1: must be"),
        (",".join(["101"] * (MAX_NUMBERS + 1)), "has 1001 numbers; at most 1000"),
    ],
)
def test_what_is_wrong_in_dial1_is_told_with_its_place(sent, told):
    with pytest.raises(ParameterError, match=f"dial1: .*{told}|{told}"):
        read(dial1=sent)


@pytest.mark.parametrize("value", ["1", "300", "020"])
def test_timeouts_from_1_to_300_are_read(value):
    assert read(Timeout=value).ring_seconds == int(value)


def test_optional_parameters_have_the_defaults_of_the_contract():
    got = read()
    assert (got.ring_seconds, got.wait, got.show_uids, got.set_cid) == (20, False, False, None)
    assert answer_format([]) == "text"


def test_a_name_given_twice_with_the_same_value_is_given_once():
    assert read_parameters([*pairs(GOOD), *pairs(GOOD)]) == read()


def test_unknown_names_are_ignored():
    sent: list[Pair] = []
    read_query("callback=x%0D%0A&extra&" + urlencode(GOOD), sent)
    assert read_parameters(sent) == read()


@pytest.mark.parametrize("show", ["yes", "YES"])
def test_show_uid_needs_response(show):
    with pytest.raises(ParameterError, match="showUID: needs Response=yes"):
        read(showUID=show, Response="no")


def test_without_any_credentials_nothing_is_missing_that_a_challenge_will_not_ask_for():
    bare = {"dial1": "101", "dial2": "102"}
    assert read_parameters(pairs(bare)).user is None
    with pytest.raises(ParameterError, match=r"user: is missing .also missing: pass, org, dial1"):
        read_parameters(pairs({"dial2": "102"}))


def test_what_an_authorization_header_tells_is_not_missing():
    bare = {"dial1": "101", "dial2": "102"}
    assert read_parameters(pairs(bare), login_needed=False, organisation_needed=False).organisation is None
    with pytest.raises(ParameterError, match="org: is missing"):
        read_parameters(pairs(bare), login_needed=False, organisation_needed=True)


def test_a_password_may_have_any_printable_character():
    secret = "päss?@;\"' +&=<日本>"
    assert read(**{"pass": secret}).password == secret


def test_a_password_is_not_shown_when_the_parameters_are_logged():
    assert "s3cret" not in repr(read())
