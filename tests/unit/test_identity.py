"""Who each leg shows as caller, and the INVITE that carries it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipcore.domain.commands import LegPlan
from sipcore.domain.dialplan import (
    Destination,
    ExtensionDestination,
    ExternalDestination,
    NamedDestination,
    UnknownExtension,
)
from sipcore.domain.directory import (
    Directory,
    Extension,
    IdentityHeader,
    NumberFormat,
    Organisation,
    SipAddress,
    SipHost,
    Trunk,
)
from sipcore.domain.errors import NotAllowedError, ParameterError
from sipcore.domain.identity import Callers, callers, plan_leg, trunk_number
from sipcore.service.numbers import PhoneNumberPlan

NUMBERS = PhoneNumberPlan()
PHONE = SipHost("127.0.0.1", 25061)
PROXY = SipHost("trunk.example", 5060, "tcp")
EXT101 = Extension("101", contact=SipAddress("101", PHONE), caller_id="+12025550101")
EXT102 = Extension("102", contact=SipAddress("102", PHONE))
PBX_EXT = Extension("103", caller_id="+12025550103")
ACME = Organisation(
    name="acme",
    country="US",
    trunk="main",
    caller_id="+12025550100",
    caller_ids=("+12025550199", "+442079460018"),
    extensions={"101": EXT101, "102": EXT102, "103": PBX_EXT},
)
MAIN = Trunk("main", PROXY, username="trunkuser", password="secret")
CUSTOMER = ExternalDestination("+13125550142")
OTHER_CUSTOMER = ExternalDestination("+14155550143")
AGENT, COLLEAGUE = ExtensionDestination(EXT101), ExtensionDestination(EXT102)
DOOR = NamedDestination("front-door", SipAddress("door", SipHost("192.0.2.7", 5060)))


def directory(trunk: Trunk = MAIN) -> Directory:
    return Directory(organisations={"acme": ACME}, trunks={"main": trunk}, sip_address="192.0.2.1")


def plan(destination: Destination, caller: str | None, trunk: Trunk = MAIN, *, foreign: bool = False) -> LegPlan:
    made = plan_leg(destination, caller, ACME, directory(trunk), NUMBERS, foreign=foreign)
    assert made is not None
    return made


class TestWhoIsShown:
    @pytest.mark.parametrize(
        ("first", "second", "set_cid", "leg1", "leg2"),
        [
            # Without SetCID: leg 1 sees the other party, leg 2 the agent's own number, else the organisation's.
            pytest.param(AGENT, CUSTOMER, None, "+13125550142", "+12025550101", id="agent, customer"),
            pytest.param(COLLEAGUE, CUSTOMER, None, "+13125550142", "+12025550100", id="agent without a number"),
            pytest.param(CUSTOMER, AGENT, None, "101", "+12025550100", id="customer, agent"),
            pytest.param(AGENT, COLLEAGUE, None, "102", "+12025550101", id="agent, colleague"),
            pytest.param(CUSTOMER, OTHER_CUSTOMER, None, "+14155550143", "+12025550100", id="both outside"),
            pytest.param(AGENT, DOOR, None, "door", "+12025550101", id="agent, named address"),
            pytest.param(AGENT, UnknownExtension("199"), None, "199", "+12025550101", id="agent, nobody"),
            # SetCID in E.164 or national digits: both legs carry it.
            pytest.param(AGENT, CUSTOMER, "+12025550199", "+12025550199", "+12025550199", id="E.164"),
            pytest.param(AGENT, CUSTOMER, "2025550199", "+12025550199", "+12025550199", id="national"),
            pytest.param(AGENT, CUSTOMER, "011442079460018", "+442079460018", "+442079460018", id="call prefix"),
            pytest.param(CUSTOMER, AGENT, "+12025550100", "+12025550100", "+12025550100", id="organisation's own"),
            pytest.param(AGENT, COLLEAGUE, "2025550199", "+12025550199", "+12025550199", id="number, both inside"),
            pytest.param(CUSTOMER, OTHER_CUSTOMER, "2025550199", "+12025550199", "+12025550199", id="number, outside"),
            pytest.param(AGENT, CUSTOMER, "+12025550103", "+12025550103", "+12025550103", id="another agent's number"),
            # SetCID is an extension: leg 1 sees it; a leg 2 that leaves the house sees that agent's number.
            pytest.param(AGENT, COLLEAGUE, "103", "103", "103", id="extension, both inside"),
            pytest.param(AGENT, CUSTOMER, "101", "101", "+12025550101", id="own extension, outside"),
            pytest.param(AGENT, CUSTOMER, "103", "103", "+12025550103", id="another extension, outside"),
            pytest.param(CUSTOMER, OTHER_CUSTOMER, "101", "101", "+12025550101", id="extension, both outside"),
            pytest.param(CUSTOMER, OTHER_CUSTOMER, "102", "102", "+12025550100", id="extension without a number"),
            pytest.param(CUSTOMER, AGENT, "101", "101", "101", id="extension, second inside"),
        ],
    )
    def test_each_leg_shows_its_caller(
        self, first: Destination, second: Destination, set_cid: str | None, leg1: str, leg2: str
    ) -> None:
        assert callers(ACME, first, second, set_cid, NUMBERS) == Callers(leg1, leg2)

    def test_an_organisation_without_numbers_shows_none_on_leg_2(self) -> None:
        bare = Organisation(name="bare", extensions={"102": EXT102})
        assert callers(bare, COLLEAGUE, CUSTOMER, None, NUMBERS) == Callers("+13125550142", None)

    @pytest.mark.parametrize("set_cid", ["+13125550142", "3125550142", "199", "911", "101*", "+1", "#101"])
    def test_a_number_that_is_not_the_organisations_is_not_allowed(self, set_cid: str) -> None:
        with pytest.raises(NotAllowedError, match="SetCID: neither a verified number") as raised:
            callers(ACME, AGENT, CUSTOMER, set_cid, NUMBERS)
        assert raised.value.http_status == 403
        assert raised.value.parameter == "SetCID"

    def test_a_number_of_nobody_is_not_allowed_where_the_organisation_has_none(self) -> None:
        bare = Organisation(name="bare", extensions={"102": EXT102})
        with pytest.raises(NotAllowedError):
            callers(bare, COLLEAGUE, CUSTOMER, "199", NUMBERS)

    @pytest.mark.parametrize(
        "set_cid",
        [
            "",
            " ",
            "alice",
            "101\r\nX: 1",
            "101\n",
            "1@2",
            "1;2",
            "1?2",
            '"1"',
            "<sip:1@2>",
            "\u0662\u0660\u0662",
            "1" * 33,
        ],
    )
    def test_what_is_no_number_at_all_is_a_bad_parameter(self, set_cid: str) -> None:
        with pytest.raises(ParameterError) as raised:
            callers(ACME, AGENT, CUSTOMER, set_cid, NUMBERS)
        assert raised.value.http_status == 400
        assert raised.value.parameter == "SetCID"


class TestWhereTheInviteGoes:
    def test_to_a_phones_contact_without_credentials(self) -> None:
        assert plan(AGENT, "+13125550142") == LegPlan(
            user="101", at=PHONE, trunk=None, from_uri="<sip:+13125550142@192.0.2.1>", line="101"
        )

    def test_to_a_named_address_without_credentials(self) -> None:
        assert plan(DOOR, None) == LegPlan(
            user="door", at=DOOR.address.at, trunk=None, from_uri='"Anonymous" <sip:anonymous@anonymous.invalid>'
        )

    def test_to_the_outside_through_the_trunk(self) -> None:
        assert plan(CUSTOMER, "+12025550101") == LegPlan(
            user="+13125550142",
            at=PROXY,
            trunk="main",
            from_uri="<sip:+12025550101@trunk.example>",
            headers=(("P-Asserted-Identity", "<sip:+12025550101@trunk.example>"),),
            line="+13125550142",
        )

    def test_to_an_extension_without_a_contact_through_the_trunk(self) -> None:
        made = plan(ExtensionDestination(PBX_EXT), "101")
        assert (made.user, made.trunk, made.from_uri) == ("103", "main", "<sip:101@trunk.example>")

    @pytest.mark.parametrize(
        ("destination", "organisation"),
        [
            pytest.param(UnknownExtension("199"), ACME, id="unknown extension"),
            pytest.param(ExtensionDestination(PBX_EXT), replace(ACME, trunk=None), id="no contact and no trunk"),
            pytest.param(CUSTOMER, replace(ACME, trunk="gone"), id="trunk that is not configured"),
        ],
    )
    def test_nowhere(self, destination: Destination, organisation: Organisation) -> None:
        assert plan_leg(destination, "+12025550100", organisation, directory(), NUMBERS) is None


class TestWhatATrunkIsShown:
    @pytest.mark.parametrize(
        ("number_format", "user", "caller"),
        [
            ("plus_e164", "+13125550142", "+442079460018"),
            ("e164", "13125550142", "442079460018"),
            ("national", "3125550142", "011442079460018"),
        ],
    )
    def test_numbers_are_written_in_its_format(self, number_format: NumberFormat, user: str, caller: str) -> None:
        made = plan(CUSTOMER, "+442079460018", replace(MAIN, number_format=number_format))
        assert made.user == user
        assert made.from_uri == f"<sip:{caller}@trunk.example>"
        assert made.headers == (("P-Asserted-Identity", f"<sip:{caller}@trunk.example>"),)

    @pytest.mark.parametrize("number_format", ["plus_e164", "e164", "national"])
    def test_an_extension_stays_as_it_is(self, number_format: NumberFormat) -> None:
        trunk = replace(MAIN, number_format=number_format)
        assert trunk_number("101", trunk, ACME, NUMBERS) == "101"

    def test_another_partys_number_where_it_takes_any(self) -> None:
        assert plan(CUSTOMER, "+14155550143", foreign=True).from_uri == "<sip:+14155550143@trunk.example>"

    def test_the_organisations_number_where_it_takes_own_numbers_only(self) -> None:
        strict = replace(MAIN, any_caller_id=False)
        made = plan(CUSTOMER, "+14155550143", strict, foreign=True)
        assert made.from_uri == "<sip:+12025550100@trunk.example>"
        assert made.headers == (("P-Asserted-Identity", "<sip:+12025550100@trunk.example>"),)

    def test_an_own_number_even_where_it_takes_own_numbers_only(self) -> None:
        strict = replace(MAIN, any_caller_id=False)
        assert plan(CUSTOMER, "+12025550101", strict).from_uri == "<sip:+12025550101@trunk.example>"

    def test_a_phone_sees_another_partys_number_whatever_the_trunk_takes(self) -> None:
        strict = replace(MAIN, any_caller_id=False)
        assert plan(AGENT, "+14155550143", strict, foreign=True).from_uri == "<sip:+14155550143@192.0.2.1>"


OWN_URI = "<sip:+12025550101@trunk.example>"
ACCOUNT = "<sip:trunkuser@trunk.example>"
ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'
PAI = ("P-Asserted-Identity", OWN_URI)
RPID = ("Remote-Party-ID", f"{OWN_URI};party=calling;screen=yes;privacy=off")
WITHHELD_RPID = ("Remote-Party-ID", f"{OWN_URI};party=calling;screen=yes;privacy=full")
PRIVACY = ("Privacy", "id")


class TestWhichHeadersCarryIt:
    @pytest.mark.parametrize(
        ("identity", "from_uri", "headers"),
        [
            ((), ACCOUNT, ()),
            (("from",), OWN_URI, ()),
            (("p-asserted-identity",), ACCOUNT, (PAI,)),
            (("remote-party-id",), ACCOUNT, (RPID,)),
            (("privacy",), ANONYMOUS, (PRIVACY,)),
            (("from", "p-asserted-identity"), OWN_URI, (PAI,)),
            (("from", "remote-party-id"), OWN_URI, (RPID,)),
            (("from", "privacy"), OWN_URI, (PRIVACY,)),
            (("p-asserted-identity", "remote-party-id"), ACCOUNT, (PAI, RPID)),
            (("p-asserted-identity", "privacy"), ANONYMOUS, (PAI, PRIVACY)),
            (("remote-party-id", "privacy"), ANONYMOUS, (WITHHELD_RPID, PRIVACY)),
            (("from", "p-asserted-identity", "remote-party-id"), OWN_URI, (PAI, RPID)),
            (("from", "p-asserted-identity", "privacy"), OWN_URI, (PAI, PRIVACY)),
            (("from", "remote-party-id", "privacy"), OWN_URI, (WITHHELD_RPID, PRIVACY)),
            (("p-asserted-identity", "remote-party-id", "privacy"), ANONYMOUS, (PAI, WITHHELD_RPID, PRIVACY)),
            (("from", "p-asserted-identity", "remote-party-id", "privacy"), OWN_URI, (PAI, WITHHELD_RPID, PRIVACY)),
        ],
    )
    def test_a_trunk_gets_the_headers_of_its_settings(
        self, identity: tuple[IdentityHeader, ...], from_uri: str, headers: tuple[tuple[str, str], ...]
    ) -> None:
        made = plan(CUSTOMER, "+12025550101", replace(MAIN, identity=identity))
        assert made.from_uri == from_uri
        assert made.headers == headers

    def test_a_trunk_without_a_user_gets_an_anonymous_from(self) -> None:
        nameless = replace(MAIN, username="", identity=("p-asserted-identity",))
        assert plan(CUSTOMER, "+12025550101", nameless).from_uri == ANONYMOUS

    def test_without_a_caller_the_account_is_shown_and_nothing_asserted(self) -> None:
        made = plan(CUSTOMER, None)
        assert (made.from_uri, made.headers) == (ACCOUNT, ())
        assert plan(CUSTOMER, None, replace(MAIN, username="")).from_uri == ANONYMOUS

    def test_a_phone_gets_from_alone_whatever_the_trunk_wants(self) -> None:
        everything = replace(MAIN, identity=("from", "p-asserted-identity", "remote-party-id", "privacy"))
        assert plan(AGENT, "+13125550142", everything).headers == ()

    def test_the_password_is_in_no_plan(self) -> None:
        assert "secret" not in repr(plan(CUSTOMER, "+12025550101"))
        assert "secret" not in repr(MAIN)
