"""What a request's dial1 or dial2 names, or the precise refusal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipcore.domain.dialplan import (
    AnnouncementDestination,
    AppDestination,
    Destination,
    ExtensionDestination,
    ExternalDestination,
    IvrDestination,
    NamedDestination,
    QueueDestination,
    RingGroupDestination,
    UnknownExtension,
    resolve,
)
from sipcore.domain.directory import (
    Announcement,
    App,
    Extension,
    Ivr,
    Organisation,
    Queue,
    RingGroup,
    SipAddress,
    SipHost,
)
from sipcore.domain.errors import NotAllowedError, ParameterError
from sipcore.service.numbers import PhoneNumberPlan

NUMBERS = PhoneNumberPlan()
EXT101 = Extension("101", contact=SipAddress("101", SipHost("127.0.0.1", 25061)))
EXT_LIKE_A_NUMBER = Extension("2025550199")
DOOR = SipAddress("door", SipHost("192.0.2.7", 5060))
GROUP = RingGroup("600", ("101",))
QUEUE = Queue("700", ("101",))
NOTICE = Announcement("800", "notice.wav")
MENU = Ivr("900", "menu.wav", {"1": "600"})
ECHO = App("echo", "*43", "echo")
ACME = Organisation(
    name="acme",
    country="US",
    trunk="main",
    extensions={"101": EXT101, "2025550199": EXT_LIKE_A_NUMBER},
    sip_addresses={"front-door": DOOR},
    ring_groups={"600": GROUP},
    queues={"700": QUEUE},
    announcements={"800": NOTICE},
    ivrs={"900": MENU},
    apps={"*43": ECHO},
)
BEHIND_A_PBX = Organisation(name="pbx", country="US", trunk="main", internal_numbers=("1xx", "7*x"))
WITHOUT_TRUNK = Organisation(name="small", country="US", extensions={"101": EXT101})
RESTRICTED = Organisation(name="careful", country="US", trunk="main", allowed_prefixes=("+1", "+44"))


def find(text: str, organisation: Organisation = ACME) -> Destination:
    return resolve(text, organisation, NUMBERS, parameter="dial1")


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        pytest.param("101", ExtensionDestination(EXT101), id="extension"),
        pytest.param("ext:101", ExtensionDestination(EXT101), id="extension by prefix"),
        pytest.param("EXT:101", ExtensionDestination(EXT101), id="prefix in any case"),
        pytest.param("2025550199", ExtensionDestination(EXT_LIKE_A_NUMBER), id="own numbering comes first"),
        pytest.param("tel:2025550199", ExternalDestination("+12025550199"), id="tel: passes the own numbering by"),
        pytest.param("+12025550123", ExternalDestination("+12025550123"), id="international"),
        pytest.param("2025550123", ExternalDestination("+12025550123"), id="national"),
        pytest.param("011442079460018", ExternalDestination("+442079460018"), id="international call prefix"),
        pytest.param("tel:+442079460018", ExternalDestination("+442079460018"), id="international by prefix"),
        pytest.param("sip:front-door", NamedDestination("front-door", DOOR), id="name from the settings"),
        pytest.param("SIP:front-door", NamedDestination("front-door", DOOR), id="name with the prefix in capitals"),
        pytest.param("199", UnknownExtension("199"), id="nobody's digits"),
        pytest.param("*99", UnknownExtension("*99"), id="nobody's feature code"),
        pytest.param("ext:199", UnknownExtension("199"), id="nobody's extension"),
        pytest.param("ext:2025550123", UnknownExtension("2025550123"), id="ext: never goes outside"),
    ],
)
def test_a_destination_is_found(text: str, destination: Destination) -> None:
    assert find(text) == destination


@pytest.mark.parametrize(
    ("destination", "number"),
    [("101", "101"), ("2025550123", "+12025550123"), ("sip:front-door", "door"), ("199", "199")],
)
def test_a_destination_has_a_number_to_show(destination: str, number: str) -> None:
    assert find(destination).number == number


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("1" * 33, id="33 digits"),
        pytest.param("1" * 10_000, id="10 kB"),
        pytest.param("101 ", id="blank"),
        pytest.param("101\r\nX-Evil: 1", id="CR LF"),
        pytest.param("101\n", id="newline at the end"),
        pytest.param("101\0", id="NUL"),
        pytest.param("101%0d%0a", id="escaped CR LF"),
        pytest.param("101?X-Evil=1", id="URI header"),
        pytest.param("900@192.0.2.1:5060", id="host"),
        pytest.param("101;transport=tcp", id="URI parameter"),
        pytest.param('"101"', id="quotes"),
        pytest.param("<101>", id="angle brackets"),
        pytest.param("\u0661\u0660\u0661", id="Arabic-Indic digits"),
        pytest.param("\uff11\uff10\uff11", id="full-width digits"),
        pytest.param("alice", id="letters"),
        pytest.param("ext:", id="prefix alone"),
        pytest.param("ext:101:", id="second colon"),
        pytest.param("tel:abc", id="tel: with letters"),
        pytest.param("sip:101@192.0.2.1", id="raw SIP address"),
        pytest.param("sip:", id="sip: alone"),
        pytest.param("sip:" + "a" * 65, id="name of 65 letters"),
        pytest.param("sip:front-door\n", id="name with a newline"),
        pytest.param("sip:back-door", id="name that is not configured"),
        pytest.param("sips:front-door", id="unknown prefix"),
        pytest.param("http://192.0.2.1/", id="URL"),
        pytest.param("tel:101", id="tel: with what is no number"),
        pytest.param("+1", id="plus and too few digits"),
        pytest.param("+1*2#", id="plus and signs"),
        pytest.param("1+2025550123", id="plus inside"),
    ],
)
def test_anything_else_is_refused_with_the_parameters_name(text: str) -> None:
    with pytest.raises(ParameterError) as raised:
        find(text)
    assert raised.value.http_status == 400
    assert raised.value.parameter == "dial1"
    assert raised.value.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("101@192.0.2.1", "only 0-9 * # + are allowed, 1 to 32 of them"),
        ("sip:101@192.0.2.1", "sip: is followed by a name from the settings, never by an address"),
        ("sip:front-door\n", "sip: is followed by a name from the settings, never by an address"),
        ("sip:back-door", "no SIP address of this name is configured"),
        ("sips:101", "unknown prefix; ext:, group:, queue:, ivr:, msg:, app:, tel: and sip: are known"),
        ("tel:101", "not a telephone number: give + and digits, or the national digits"),
    ],
)
def test_a_refusal_says_what_was_wrong(text: str, reason: str) -> None:
    with pytest.raises(ParameterError) as raised:
        find(text)
    assert raised.value.reason == reason


@pytest.mark.parametrize(
    ("text", "destination"),
    [
        ("600", RingGroupDestination(GROUP)),
        ("700", QueueDestination(QUEUE)),
        ("800", AnnouncementDestination(NOTICE)),
        ("900", IvrDestination(MENU)),
        ("*43", AppDestination(ECHO)),
        ("group:600", RingGroupDestination(GROUP)),
        ("Queue:700", QueueDestination(QUEUE)),
        ("msg:800", AnnouncementDestination(NOTICE)),
        ("ivr:900", IvrDestination(MENU)),
        ("app:*43", AppDestination(ECHO)),
    ],
)
def test_what_is_no_phone_is_found_by_its_number(text: str, destination: Destination) -> None:
    found = find(text)
    assert found == destination
    assert found.number == text.rpartition(":")[2]


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("group:101", "ring group"),
        ("queue:600", "queue"),
        ("ivr:1", "IVR"),
        ("msg:9", "announcement"),
        ("app:5", "app"),
    ],
)
def test_a_prefix_of_a_kind_that_has_no_such_number_is_refused(text: str, called: str) -> None:
    with pytest.raises(ParameterError, match=f"dial1: the organisation has no {called} of this number") as raised:
        find(text)
    assert raised.value.http_status == 400


@pytest.mark.parametrize("number", ["100", "199", "7*0"])
def test_digits_of_an_internal_shape_are_numbers_of_the_pbx(number: str) -> None:
    assert find(number, BEHIND_A_PBX) == ExtensionDestination(Extension(number))


@pytest.mark.parametrize("number", ["1000", "10", "7*#", "200", "71*"])
def test_digits_of_another_shape_are_not(number: str) -> None:
    assert find(number, BEHIND_A_PBX) == UnknownExtension(number)


def test_what_the_settings_name_comes_before_what_only_looks_like_a_number_of_the_pbx() -> None:
    group = RingGroup("100", ("101",))
    both = replace(BEHIND_A_PBX, ring_groups={"100": group}, extensions={"101": Extension("101", record=True)})
    assert find("100", both) == RingGroupDestination(group)
    assert find("101", both) == ExtensionDestination(Extension("101", record=True))
    assert find("ext:100", both) == ExtensionDestination(Extension("100"))


def test_32_digits_are_still_looked_up() -> None:
    assert find("9" * 32) == UnknownExtension("9" * 32)


@pytest.mark.parametrize("text", ["+12025550123", "2025550123", "tel:+442079460018"])
def test_an_allowed_prefix_may_be_dialled(text: str) -> None:
    assert isinstance(find(text, RESTRICTED), ExternalDestination)


@pytest.mark.parametrize("text", ["+33123456789", "01133123456789", "tel:+33123456789"])
def test_another_prefix_may_not(text: str) -> None:
    with pytest.raises(NotAllowedError, match="dial1: the organisation may not dial this number") as raised:
        find(text, RESTRICTED)
    assert raised.value.http_status == 403


def test_without_a_trunk_nothing_outside_is_dialled() -> None:
    assert find("101", WITHOUT_TRUNK) == ExtensionDestination(EXT101)
    with pytest.raises(NotAllowedError, match="no trunk for external numbers"):
        find("+12025550123", WITHOUT_TRUNK)
