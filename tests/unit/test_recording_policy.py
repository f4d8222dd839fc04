"""Every row of the contract's table of recordings, each column on its own, and what is in no row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipcore.domain.directory import Extension, Organisation
from sipcore.domain.recording_policy import Owner, owner_of
from sipcore.domain.role import Role
from sipcore.service.numbers import PhoneNumberPlan

AGENT, OTHER_AGENT = "101", "102"
NUMBERLESS = "103"
NOT_RECORDED = "104"
CUSTOMER, ANOTHER = "+12025550123", "+12025550124"
AGENTS_NUMBER, OTHERS_NUMBER = "+12025550101", "+12025550102"
HOUSE, VERIFIED = "+12025550100", "+12025550199"
ACME = Organisation(
    name="acme",
    country="US",
    trunk="main",
    caller_id=HOUSE,
    caller_ids=(VERIFIED,),
    internal_numbers=("2xx",),
    extensions={
        extension.number: extension
        for extension in (
            Extension(AGENT, caller_id=AGENTS_NUMBER, record=True),
            Extension(OTHER_AGENT, caller_id=OTHERS_NUMBER, record=True),
            Extension(NUMBERLESS, record=True),
            Extension(NOT_RECORDED, caller_id="+12025550104"),
        )
    },
)
ON_LEG_1 = Owner(AGENT, Role.FIRST)
ON_LEG_2 = Owner(AGENT, Role.SECOND)


def owner(line1: str, line2: str, set_cid: str | None = None, organisation: Organisation = ACME) -> Owner | None:
    return owner_of(line1, line2, set_cid, organisation, PhoneNumberPlan())


@pytest.mark.parametrize(
    ("line1", "line2", "expected"),
    [
        pytest.param(AGENT, CUSTOMER, ON_LEG_1, id="internal to external"),
        pytest.param(CUSTOMER, AGENT, ON_LEG_2, id="external to internal"),
        pytest.param(AGENT, OTHER_AGENT, ON_LEG_1, id="internal to internal"),
        pytest.param(AGENT, NOT_RECORDED, ON_LEG_1, id="internal to internal, the called one is not recorded"),
        pytest.param(AGENT, "", ON_LEG_1, id="internal to a named SIP address"),
        pytest.param(AGENT, "201", ON_LEG_1, id="internal to a number of the PBX"),
    ],
)
@pytest.mark.parametrize(
    "set_cid",
    [
        pytest.param(None, id="SetCID absent"),
        pytest.param(AGENT, id="the agent's own extension"),
        pytest.param(AGENTS_NUMBER, id="the agent's own number"),
        pytest.param("2025550101", id="the agent's own number as it is dialled"),
        pytest.param("12025550101", id="the agent's own number without its plus"),
    ],
)
def test_an_agents_call_is_recorded(line1: str, line2: str, set_cid: str | None, expected: Owner) -> None:
    assert owner(line1, line2, set_cid) == expected


@pytest.mark.parametrize(
    ("line1", "line2"),
    [
        pytest.param(AGENT, CUSTOMER, id="internal to external"),
        pytest.param(CUSTOMER, AGENT, id="external to internal"),
        pytest.param(AGENT, NUMBERLESS, id="internal to internal"),
    ],
)
@pytest.mark.parametrize(
    "set_cid",
    [
        pytest.param(OTHER_AGENT, id="another agent's extension"),
        pytest.param(OTHERS_NUMBER, id="another agent's number"),
        pytest.param(HOUSE, id="the organisation's number"),
        pytest.param(VERIFIED, id="another verified number"),
        pytest.param("999", id="no number"),
    ],
)
def test_with_any_other_caller_identity_an_agents_call_is_not_recorded(line1: str, line2: str, set_cid: str) -> None:
    assert owner(line1, line2, set_cid) is None


@pytest.mark.parametrize(
    ("line1", "line2"),
    [
        pytest.param(NOT_RECORDED, CUSTOMER, id="internal to external"),
        pytest.param(CUSTOMER, NOT_RECORDED, id="external to internal"),
        pytest.param(NOT_RECORDED, AGENT, id="internal to internal: the first one is the owner"),
        pytest.param("201", CUSTOMER, id="a number of the PBX to external"),
        pytest.param("201", AGENT, id="a number of the PBX to internal: it is the owner"),
    ],
)
def test_the_agents_own_setting_decides(line1: str, line2: str) -> None:
    assert owner(line1, line2) is None
    recorded = {
        **ACME.extensions,
        NOT_RECORDED: Extension(NOT_RECORDED, record=True),
        "201": Extension("201", record=True),
    }
    assert owner(line1, line2, organisation=replace(ACME, extensions=recorded)) is not None


@pytest.mark.parametrize("line1", [CUSTOMER, ""])
@pytest.mark.parametrize("line2", [ANOTHER, ""])
def test_between_two_outside_it_is_recorded_for_the_extension_that_is_shown(line1: str, line2: str) -> None:
    assert owner(line1, line2, AGENT) == ON_LEG_1
    assert owner(line1, line2, NUMBERLESS) == Owner(NUMBERLESS, Role.FIRST)


@pytest.mark.parametrize(
    "set_cid",
    [
        pytest.param(None, id="absent"),
        pytest.param(NOT_RECORDED, id="an extension that is not recorded"),
        pytest.param(AGENTS_NUMBER, id="an agent's number"),
        pytest.param(HOUSE, id="the organisation's number"),
        pytest.param("201", id="a number of the PBX"),
    ],
)
def test_between_two_outside_nothing_else_is_recorded(set_cid: str | None) -> None:
    assert owner(CUSTOMER, ANOTHER, set_cid) is None


def test_the_organisations_number_is_not_the_own_number_of_an_agent_without_one() -> None:
    assert owner(NUMBERLESS, CUSTOMER, NUMBERLESS) == Owner(NUMBERLESS, Role.FIRST)
    assert owner(NUMBERLESS, CUSTOMER, HOUSE) is None


def test_digits_that_are_another_agents_extension_are_not_read_as_the_agents_own_number() -> None:
    clash = {**ACME.extensions, "2025550101": Extension("2025550101", record=True)}
    assert owner(AGENT, CUSTOMER, "2025550101", replace(ACME, extensions=clash)) is None
