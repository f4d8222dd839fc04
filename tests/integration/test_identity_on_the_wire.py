"""The contract's "Caller identity", row by row, as the peers of both legs receive it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from server import Server
from testbed import scenarios
from testbed.process import wait_until
from testbed.sipp import Sipp, SipTrace

CUSTOMER = "+13125550142"
OTHER_CUSTOMER = "+14155550143"
ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'
IDENTITY_HEADERS = ("P-Asserted-Identity", "Remote-Party-ID", "Privacy")
AGENTS_NUMBER, HOUSE_NUMBER, OTHER_OWN_NUMBER, THIRD_AGENTS_NUMBER = (
    "+12025550101", "+12025550100", "+12025550199", "+12025550103",
)  # fmt: skip

ORGANISATION = """
[trunks.{name}]
proxy = "sip:127.0.0.1:{trunk}"
username = "trunkuser"
password = "trunkpass"
{keys}
[orgs.{name}]
country = "US"
trunk = "{name}"
caller_id = "+12025550100"
caller_ids = ["+12025550199", "+442079460018"]
[orgs.{name}.users.alice]
password = "s3cret"
[orgs.{name}.extensions.101]
contact = "sip:101@127.0.0.1:{phones}"
caller_id = "+12025550101"
[orgs.{name}.extensions.102]
contact = "sip:102@127.0.0.1:{phones}"
[orgs.{name}.extensions.103]
caller_id = "+12025550103"
"""
# Each organisation has the trunk of its name, with these keys.
TRUNKS = {
    "acme": "",
    "own_numbers_only": "any_caller_id = false",
    "from_only": 'identity = ["from"]',
    "asserted_only": 'identity = ["p-asserted-identity"]',
    "remote_party": 'identity = ["from", "remote-party-id"]',
    "all_shown": 'identity = ["from", "p-asserted-identity", "remote-party-id"]',
    "all_withheld": 'identity = ["from", "p-asserted-identity", "remote-party-id", "privacy"]',
    "withheld": 'identity = ["p-asserted-identity", "remote-party-id", "privacy"]',
    "digits_only": 'number_format = "e164"',
}


@dataclass(frozen=True)
class Bed:
    """The server, one peer for all phones and one for all trunks; both answer, and phones hang up a moment later."""

    server: Server
    phones: Sipp
    trunk: Sipp

    def click(self, dial1: str, dial2: str, set_cid: str | None = None, org: str = "acme") -> tuple[SipTrace, SipTrace]:
        """Return the INVITEs of leg 1 and leg 2."""
        answer = self.server.dial(dial1, dial2, org=org, SetCID=set_cid)
        assert answer.json()["status"] == "ok", answer
        return self._invite(answer.json()["dial1"]), self._invite(answer.json()["dial2"])

    def _invite(self, uid: str) -> SipTrace:
        return wait_until(
            lambda: next((trace for trace in self._invites() if trace.header("Call-ID") == uid), None),
            10.0,
            lambda: f"no INVITE {uid}",
        )

    def _invites(self) -> list[SipTrace]:
        return [*self.phones.received("INVITE"), *self.trunk.received("INVITE")]


def shown(invite: SipTrace) -> str:
    """Return From without its tag."""
    return (invite.header("From") or "").partition(";tag=")[0]


def caller(number: str) -> str:
    return f"<sip:{number}@127.0.0.1>"


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with ExitStack() as stack:
        phones = stack.enter_context(Sipp(scenarios.answer(bye_after=300)))
        trunk = stack.enter_context(Sipp("answer"))
        tables = "".join(
            ORGANISATION.format(name=name, keys=keys, trunk=trunk.port, phones=phones.port)
            for name, keys in TRUNKS.items()
        )
        folder: Path = tmp_path_factory.mktemp("server")
        # Room for every call that has not ended when the next one is placed.
        yield Bed(stack.enter_context(Server(folder, tables, sip_ports=32)), phones, trunk)


# -- who each leg shows


@pytest.mark.parametrize(
    ("dial1", "dial2", "leg1", "leg2"),
    [
        pytest.param("101", CUSTOMER, CUSTOMER, AGENTS_NUMBER, id="agent with a number, customer"),
        pytest.param("102", CUSTOMER, CUSTOMER, HOUSE_NUMBER, id="agent without a number, customer"),
        pytest.param("103", CUSTOMER, CUSTOMER, THIRD_AGENTS_NUMBER, id="agent behind the trunk, customer"),
        pytest.param("101", "3125550142", CUSTOMER, AGENTS_NUMBER, id="agent, customer in national digits"),
        pytest.param("101", "102", "102", AGENTS_NUMBER, id="agent, colleague"),
        pytest.param(CUSTOMER, "101", "101", HOUSE_NUMBER, id="customer, agent"),
        pytest.param(CUSTOMER, OTHER_CUSTOMER, OTHER_CUSTOMER, HOUSE_NUMBER, id="both outside"),
    ],
)
def test_without_set_cid_leg_1_shows_the_other_party_and_leg_2_the_agent_or_the_house(
    bed: Bed, dial1: str, dial2: str, leg1: str, leg2: str
) -> None:
    first, second = bed.click(dial1, dial2)
    assert (shown(first), shown(second)) == (caller(leg1), caller(leg2))


@pytest.mark.parametrize(
    ("set_cid", "number"),
    [
        pytest.param("+12025550199", OTHER_OWN_NUMBER, id="E.164"),
        pytest.param("2025550199", OTHER_OWN_NUMBER, id="national"),
        pytest.param("+442079460018", "+442079460018", id="another country's"),
        pytest.param("011442079460018", "+442079460018", id="with the call prefix"),
        pytest.param(HOUSE_NUMBER, HOUSE_NUMBER, id="the organisation's first"),
        pytest.param(THIRD_AGENTS_NUMBER, THIRD_AGENTS_NUMBER, id="another agent's"),
    ],
)
@pytest.mark.parametrize(("dial1", "dial2"), [("101", CUSTOMER), (CUSTOMER, "101"), ("101", "102")])
def test_a_verified_number_is_shown_by_both_legs(bed: Bed, dial1: str, dial2: str, set_cid: str, number: str) -> None:
    first, second = bed.click(dial1, dial2, set_cid)
    assert (shown(first), shown(second)) == (caller(number), caller(number))


@pytest.mark.parametrize(
    ("dial1", "dial2", "set_cid", "leg1", "leg2"),
    [
        pytest.param("101", "102", "103", "103", "103", id="both inside"),
        pytest.param("101", CUSTOMER, "101", "101", AGENTS_NUMBER, id="the agent's own, customer"),
        pytest.param("101", CUSTOMER, "103", "103", THIRD_AGENTS_NUMBER, id="another's, customer"),
        pytest.param(CUSTOMER, "101", "103", "103", "103", id="customer, agent"),
        pytest.param(CUSTOMER, OTHER_CUSTOMER, "101", "101", AGENTS_NUMBER, id="both outside"),
        pytest.param(CUSTOMER, OTHER_CUSTOMER, "102", "102", HOUSE_NUMBER, id="both outside, one without a number"),
    ],
)
def test_an_extension_is_shown_inside_and_its_number_outside(
    bed: Bed, dial1: str, dial2: str, set_cid: str, leg1: str, leg2: str
) -> None:
    first, second = bed.click(dial1, dial2, set_cid)
    assert (shown(first), shown(second)) == (caller(leg1), caller(leg2))


@pytest.mark.parametrize(
    ("set_cid", "status"),
    [(CUSTOMER, 403), ("3125550142", 403), ("199", 403), ("+12025550198", 403), ("1@2", 400), ("1%0d%0aX: 1", 400)],
)
@pytest.mark.parametrize(("dial1", "dial2"), [("101", CUSTOMER), (CUSTOMER, "101")])
def test_a_number_of_others_is_refused_and_no_packet_leaves(
    bed: Bed, dial1: str, dial2: str, set_cid: str, status: int
) -> None:
    answer = bed.server.dial(dial1, dial2, SetCID=set_cid)
    assert answer.status == status
    assert (answer.json()["status"], answer.json()["parameter"]) == ("error", "SetCID")
    # The UniqueIDs of all that the peers were sent are of calls that were accepted.
    bed.click(dial1, dial2)
    accepted = {uid for line in bed.server.log_lines("call accepted") for uid in (line["uid1"], line["uid2"])}
    assert set(bed.phones.calls()) | set(bed.trunk.calls()) <= accepted


# -- which headers carry it


@pytest.mark.parametrize(
    ("org", "from_", "headers"),
    [
        ("acme", caller(AGENTS_NUMBER), {"P-Asserted-Identity": caller(AGENTS_NUMBER)}),
        ("from_only", caller(AGENTS_NUMBER), {}),
        ("asserted_only", caller("trunkuser"), {"P-Asserted-Identity": caller(AGENTS_NUMBER)}),
        (
            "remote_party",
            caller(AGENTS_NUMBER),
            {"Remote-Party-ID": f"{caller(AGENTS_NUMBER)};party=calling;screen=yes;privacy=off"},
        ),
        (
            "all_shown",
            caller(AGENTS_NUMBER),
            {
                "P-Asserted-Identity": caller(AGENTS_NUMBER),
                "Remote-Party-ID": f"{caller(AGENTS_NUMBER)};party=calling;screen=yes;privacy=off",
            },
        ),
        (
            "all_withheld",
            caller(AGENTS_NUMBER),
            {
                "P-Asserted-Identity": caller(AGENTS_NUMBER),
                "Remote-Party-ID": f"{caller(AGENTS_NUMBER)};party=calling;screen=yes;privacy=full",
                "Privacy": "id",
            },
        ),
        (
            "withheld",
            ANONYMOUS,
            {
                "P-Asserted-Identity": caller(AGENTS_NUMBER),
                "Remote-Party-ID": f"{caller(AGENTS_NUMBER)};party=calling;screen=yes;privacy=full",
                "Privacy": "id",
            },
        ),
        ("digits_only", caller("12025550101"), {"P-Asserted-Identity": caller("12025550101")}),
    ],
)
def test_a_trunk_gets_the_headers_of_its_settings(bed: Bed, org: str, from_: str, headers: dict[str, str]) -> None:
    _, invite = bed.click("101", CUSTOMER, org=org)
    assert shown(invite) == from_
    found = {name: value for name in IDENTITY_HEADERS for value in invite.headers(name)}
    assert found == headers


def test_leg_1_through_a_trunk_carries_them_too(bed: Bed) -> None:
    invite, _ = bed.click(CUSTOMER, OTHER_CUSTOMER, org="all_shown")
    assert shown(invite) == caller(OTHER_CUSTOMER)
    assert invite.header("P-Asserted-Identity") == caller(OTHER_CUSTOMER)
    assert (invite.header("Remote-Party-ID") or "").startswith(caller(OTHER_CUSTOMER))


def test_a_phone_gets_from_alone(bed: Bed) -> None:
    invite, _ = bed.click("101", CUSTOMER, org="all_withheld")
    assert shown(invite) == caller(CUSTOMER)
    assert [name for name in IDENTITY_HEADERS if invite.headers(name)] == []


# -- a trunk that takes own numbers only


@pytest.mark.parametrize("dial2", ["101", OTHER_CUSTOMER])
def test_leg_1_shows_the_house_where_the_trunk_takes_own_numbers_only(bed: Bed, dial2: str) -> None:
    invite, _ = bed.click(CUSTOMER, dial2, org="own_numbers_only")
    assert shown(invite) == caller(HOUSE_NUMBER)
    assert invite.header("P-Asserted-Identity") == caller(HOUSE_NUMBER)


def test_such_a_trunk_takes_set_cid_and_a_phone_sees_the_other_party(bed: Bed) -> None:
    first, second = bed.click(CUSTOMER, "101", OTHER_OWN_NUMBER, org="own_numbers_only")
    assert (shown(first), shown(second)) == (caller(OTHER_OWN_NUMBER), caller(OTHER_OWN_NUMBER))
    first, second = bed.click("101", CUSTOMER, org="own_numbers_only")
    assert (shown(first), shown(second)) == (caller(CUSTOMER), caller(AGENTS_NUMBER))
