"""Where calls that come in go: by the number as trunks write it, by whose trunk it is, by who called last."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_call_engine import organisation

from sipcore.domain.call import Call
from sipcore.domain.commands import AnswerLeg, Command, LegPlan, PlaceLeg
from sipcore.domain.directory import Directory, Inbound, NumberFormat, Organisation, RingGroup, SipHost, Trunk
from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.events import LegArrived, LegEnded
from sipcore.domain.lines import LineBoard
from sipcore.domain.slots import Slots
from sipcore.service.admission import Admission, EngineSettings
from sipcore.service.calls import LiveDirectory
from sipcore.service.group_order import GroupOrder
from sipcore.service.inbound import LAST_AGENT_SECONDS
from sipcore.service.inbound import Inbound as InboundCalls
from sipcore.service.numbers import PhoneNumberPlan

OURS, CUSTOMER = "+12025550100", "+12025550123"
UID = "their-call-id"
HOST = SipHost("trunk.example", 5060)


class LastAgents:
    """Knows who called which number last; None: the database is away."""

    def __init__(self, by_number: dict[str, str] | None) -> None:
        self.by_number = by_number
        self.asked: list[tuple[str, str]] = []

    async def last_agent(self, organisation_name: str, number: str) -> str | None:
        self.asked.append((organisation_name, number))
        if self.by_number is None:
            raise StoreUnavailableError("away")
        return self.by_number.get(number)


def acme(routes: dict[str, str] | None = None, *, last_agent: bool = False, **changes: object) -> Organisation:
    groups = {"600": RingGroup("600", ("101", "102"))}
    inbound = Inbound({OURS: "101"} if routes is None else routes, last_agent=last_agent)
    return organisation(inbound=inbound, ring_groups=groups, **changes)


class Desk:
    """The inbound side alone, without an engine."""

    def __init__(self, *organisations: Organisation, store: LastAgents | None = None, **trunks: Trunk) -> None:
        self.store = store or LastAgents({})
        known = {"main": Trunk("main", HOST), **trunks}
        directory = LiveDirectory(Directory({each.name: each for each in organisations or (acme(),)}, known))
        numbers = PhoneNumberPlan()
        admission = Admission(numbers, EngineSettings(ring_seconds=60), GroupOrder(LineBoard()))
        self._inbound = InboundCalls(admission, self.store, directory, numbers)

    async def call_from(self, extension: tuple[str, str], number: str) -> Call | None:
        """Let the phone of an extension call a number."""
        arrived = LegArrived(UID, number, extension[1], None, Slots(1, 1, 2), extension)
        return await self._inbound.call_for(arrived)

    async def arrive(self, number: str = OURS, caller: str = CUSTOMER, trunk: str | None = "main") -> Call | None:
        return await self._inbound.call_for(LegArrived(UID, number, caller, trunk, Slots(1, 1, 2)))

    async def rings(self, number: str = OURS, caller: str = CUSTOMER, trunk: str | None = "main") -> list[str]:
        """Whom a call rings at first."""
        call = await self.arrive(number, caller, trunk)
        return [] if call is None else [plan.user for plan in plans(call.start(0))]


def plans(commands: list[Command]) -> list[LegPlan]:
    return [command.plan for command in commands if isinstance(command, PlaceLeg)]


@pytest.mark.parametrize("written", ["+12025550100", "12025550100", "2025550100", "01112025550100"])
async def test_a_number_is_found_however_the_trunk_writes_it(written: str) -> None:
    assert await Desk().rings(written) == ["101"]


async def test_a_national_number_is_read_in_the_organisations_country() -> None:
    british = acme({"+442079460018": "101"}, country="GB")
    assert await Desk(british).rings("02079460018") == ["101"]
    assert await Desk(british).rings("442079460018") == ["101"]


@pytest.mark.parametrize("number", ["+12025550101", "101", "600", "", "anonymous", "+", "*43"])
async def test_a_number_without_a_route_reaches_nobody(number: str) -> None:
    assert await Desk().arrive(number) is None


async def test_a_route_leads_to_any_destination() -> None:
    assert await Desk(acme({OURS: "600"})).rings() == ["101", "102"]
    assert await Desk(acme({OURS: "+12025550177"})).rings() == ["+12025550177"]


async def test_a_route_to_a_number_that_is_gone_is_a_call_that_fails() -> None:
    call = await Desk(acme({OURS: "199"})).arrive()
    assert call is not None
    assert AnswerLeg(UID, 404) in call.start(0)


async def test_a_trunk_reaches_the_organisations_that_use_it() -> None:
    desk = Desk(acme(trunk="other"), other=Trunk("other", SipHost("other.example", 5060)))
    assert await desk.rings(trunk="main") == []
    assert await desk.rings(trunk="other") == ["101"]


async def test_accounts_at_one_host_cannot_be_told_apart() -> None:
    desk = Desk(acme(trunk="second"), second=Trunk("second", HOST))
    assert await desk.rings(trunk="main") == ["101"]


async def test_an_edge_or_a_phone_reaches_every_organisation() -> None:
    assert await Desk(acme(trunk="other"), other=Trunk("other", SipHost("other.example", 5060))).rings(trunk=None) == [
        "101"
    ]
    assert await Desk(acme(trunk=None)).rings(trunk=None) == ["101"]


async def test_a_trunk_that_a_reload_removed_reaches_nobody() -> None:
    assert await Desk().rings(trunk="gone") == []


async def test_each_number_goes_to_its_own_organisation() -> None:
    beta = replace(acme({"+12025550200": "102"}), name="beta")
    call = await Desk(acme(), beta).arrive("+12025550200")
    assert call is not None
    assert call.terms.organisation == "beta"
    assert [plan.user for plan in plans(call.start(0))] == ["102"]


async def test_the_call_tells_who_called_what_through_what() -> None:
    call = await Desk().arrive("12025550100", "2025550123")
    assert call is not None
    terms = call.terms
    assert (terms.dial1, terms.dial2, terms.user, terms.direction) == (CUSTOMER, OURS, "main", "inbound")
    edge = await Desk().arrive(trunk=None)
    assert edge is not None
    assert edge.terms.user == "edge"


@pytest.mark.parametrize(
    ("caller", "shown"),
    [("12025550123", "<sip:+12025550123@127.0.0.1>"), ("alice", "<sip:alice@127.0.0.1>"), ("", "anonymous.invalid>")],
)
async def test_the_phone_shows_the_caller(caller: str, shown: str) -> None:
    call = await Desk().arrive(caller=caller)
    assert call is not None
    (plan,) = plans(call.start(0))
    assert plan.from_uri.endswith(shown)
    assert plan.headers == ()


async def test_a_trunk_that_takes_own_numbers_only_shows_the_organisations() -> None:
    strict = Trunk("main", HOST, any_caller_id=False)
    call = await Desk(acme({OURS: "+12025550177"}), main=strict).arrive()
    assert call is not None
    (plan,) = plans(call.start(0))
    assert plan.from_uri == "<sip:+12025550100@trunk.example>"


class TestWhoCalledLast:
    async def test_is_rung_first_and_the_route_follows(self) -> None:
        desk = Desk(acme({OURS: "600"}, last_agent=True), store=LastAgents({CUSTOMER: "102"}))
        call = await desk.arrive()
        assert call is not None
        assert [plan.user for plan in plans(call.start(0))] == ["102"]
        assert call.next_deadline() == LAST_AGENT_SECONDS
        (leg,) = (leg.uid for leg in call.record(lambda _now: call.terms.accepted_at).legs if leg.party == "dial2")
        assert [plan.user for plan in plans(call.feed(LegEnded(leg, 486), 1))] == ["101", "102"]

    async def test_is_not_asked_for_unless_the_settings_want_it_or_the_caller_is_unknown(self) -> None:
        for desk, caller in ((Desk(), CUSTOMER), (Desk(acme(last_agent=True)), "")):
            assert await desk.rings(caller=caller) == ["101"]
            assert desk.store.asked == []

    @pytest.mark.parametrize(
        ("number_format", "dialled"),
        [("plus_e164", "+12025550123"), ("e164", "12025550123"), ("national", "2025550123")],
    )
    async def test_is_looked_up_by_the_number_as_it_was_dialled(
        self, number_format: NumberFormat, dialled: str
    ) -> None:
        trunk = Trunk("main", HOST, number_format=number_format)
        desk = Desk(acme(last_agent=True), store=LastAgents({dialled: "102"}), main=trunk)
        assert await desk.rings(caller="2025550123") == ["102"]
        assert desk.store.asked == [("acme", dialled)]

    @pytest.mark.parametrize(("dial1", "rung"), [("ext:102", "102"), ("311", "311")])
    async def test_is_understood_as_it_was_asked_for(self, dial1: str, rung: str) -> None:
        desk = Desk(acme(last_agent=True, internal_numbers=("3xx",)), store=LastAgents({CUSTOMER: dial1}))
        assert await desk.rings() == [rung]

    @pytest.mark.parametrize("dial1", ["199", "600", "+12025550177", "sip:desk", "tel:x", "group:600"])
    async def test_is_passed_over_when_it_is_no_extension_or_none_any_more(self, dial1: str) -> None:
        desk = Desk(acme({OURS: "102"}, last_agent=True), store=LastAgents({CUSTOMER: dial1}))
        assert await desk.rings() == ["102"]

    async def test_cannot_be_known_while_the_database_is_away(self) -> None:
        with pytest.raises(StoreUnavailableError):
            await Desk(acme(last_agent=True), store=LastAgents(None)).arrive()


class TestThePhoneOfAnExtension:
    @pytest.mark.parametrize(
        ("number", "reached", "shown"),
        [
            ("102", "102", "<sip:101@"),
            ("+12025550123", "+12025550123", f"<sip:{OURS}@"),
            ("2025550123", CUSTOMER, OURS),
        ],
    )
    async def test_reaches_what_a_number_means_in_its_organisation(self, number: str, reached: str, shown: str) -> None:
        call = await Desk(acme(caller_id=OURS)).call_from(("acme", "101"), number)
        assert call is not None
        (plan,) = plans(call.start(0))
        assert plan.user == reached
        assert shown in plan.from_uri
        record = call.record(lambda _now: call.terms.accepted_at)
        assert (record.direction, record.user, record.dial1, record.dial2) == ("inbound", "edge", "101", number)
        assert record.legs[0].extension == "101"

    @pytest.mark.parametrize("extension", [("beta", "101"), ("acme", "199"), ("", "101")])
    async def test_that_is_not_there_any_more_reaches_nobody(self, extension: tuple[str, str]) -> None:
        assert await Desk().call_from(extension, "102") is None

    @pytest.mark.parametrize("number", ["", "nobody", "+4420", "ext:102x"])
    async def test_reaches_nobody_by_what_is_no_number(self, number: str) -> None:
        assert await Desk().call_from(("acme", "101"), number) is None

    async def test_reaches_no_number_that_the_organisation_may_not_dial(self) -> None:
        assert await Desk(acme(allowed_prefixes=("+44",))).call_from(("acme", "101"), CUSTOMER) is None
