"""From ring groups of the settings to whom they ring: how long, beside whom, in which order, how deep in each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from call_disorder import at
from test_parties import ACME, CUSTOMER, UID, kinds, maker, party_of, placed

from sipcore.domain.causes import NO_SUCH_EXTENSION, Outcome
from sipcore.domain.commands import Command, HangUpLeg, PlaceLeg
from sipcore.domain.directory import Extension, HuntStrategy, Organisation, Queue, RingGroup, SipAddress, SipHost
from sipcore.domain.events import AgentsOffered, LegEnded
from sipcore.domain.identity import AUTO_ANSWER
from sipcore.domain.parties import MAX_DEPTH
from sipcore.domain.party import NewsKind, Party

HOST = SipHost("127.0.0.1", 25061)
PHONES = {number: Extension(number, SipAddress(number, HOST)) for number in ("101", "102", "103")}
TOO_DEEP = 25
"""Q.850 cause of what is nested too deep."""


def acme(*groups: RingGroup, **changes: object) -> Organisation:
    return replace(ACME, extensions=PHONES, ring_groups={group.number: group for group in groups}, **changes)


def places(commands: list[Command]) -> list[PlaceLeg]:
    return [command for command in commands if isinstance(command, PlaceLeg)]


def chain(length: int, innermost: str = "101") -> Organisation:
    """Groups 1, 2, 3 and so on, each in the one before, and a phone in the last one."""
    members = [str(number) for number in range(2, length + 1)] + [innermost]
    return acme(*(RingGroup(str(index), (member,)) for index, member in enumerate(members, start=1)))


def outcome_of(party: Party) -> Outcome | None:
    party.start(0)
    assert kinds(party) == [NewsKind.FAILED]
    return party.outcome


class TestWhomItRings:
    def test_everybody_at_once_has_a_uid_of_their_own_and_the_groups_is_the_first(self) -> None:
        rung = places(party_of("600", acme(RingGroup("600", ("101", CUSTOMER, "311")))).start(0))
        assert [(leg.leg, leg.plan.user) for leg in rung] == [
            (UID, "101"),
            ("further-1", CUSTOMER),
            ("further-2", "311"),
        ]

    def test_the_order_of_the_day_decides_who_is_first(self) -> None:
        group = RingGroup("600", ("101", "102", "103"), HuntStrategy.RANDOM)
        party = party_of("600", acme(group))
        assert placed(party.start(0)) == ["103"]
        assert placed(party.feed(LegEnded(UID, 486), 1)) == ["102"]

    @pytest.mark.parametrize("strategy", HuntStrategy)
    def test_only_ring_all_rings_more_than_one(self, strategy: HuntStrategy) -> None:
        rung = placed(party_of("600", acme(RingGroup("600", ("101", "102"), strategy))).start(0))
        assert len(rung) == (2 if strategy is HuntStrategy.RING_ALL else 1)

    def test_whoever_rings_beside_others_or_follows_them_needs_a_slot_of_their_own(self) -> None:
        groups = RingGroup("600", ("101", "601")), RingGroup("601", ("102", "103"), HuntStrategy.LINEAR)
        for number in ("600", "601"):
            assert all(leg.contest for leg in places(party_of(number, acme(*groups)).start(0)))
        assert not places(party_of("101").start(0))[0].contest

    def test_numbers_that_are_nobodys_or_not_allowed_are_passed_over(self) -> None:
        organisation = acme(RingGroup("600", ("199", CUSTOMER, "101"), HuntStrategy.LINEAR), allowed_prefixes=("+44",))
        party = party_of("600", organisation)
        assert placed(party.start(0)) == ["101"]
        assert [leg.number for leg in party.records(at)] == ["199", CUSTOMER, "101"]

    def test_a_group_of_such_numbers_is_not_connected(self) -> None:
        assert outcome_of(party_of("600", acme(RingGroup("600", ("198", "199"))))) == NO_SUCH_EXTENSION


class TestHowLongItRings:
    def test_each_member_rings_for_the_groups_time(self) -> None:
        group = RingGroup("600", ("101", "102"), HuntStrategy.LINEAR, ring_seconds=12, total_seconds=24)
        party = party_of("600", acme(group))
        party.start(0)
        assert placed(party.on_deadline(12)) == ["102"]
        assert places(party.on_deadline(24)) == []
        assert kinds(party) == [NewsKind.FAILED]

    def test_no_longer_than_its_side_of_the_call_and_members_have_not_answered_then(self) -> None:
        party = party_of("600", acme(RingGroup("600", ("101", "102"))), ring_seconds=5)
        party.start(0)
        party.on_deadline(5)
        assert {leg.disposition for leg in party.records(at)} == {"no_answer"}

    def test_a_group_in_a_group_rings_as_long_as_a_member_of_it(self) -> None:
        inner = RingGroup("601", ("102", "103"), HuntStrategy.LINEAR, ring_seconds=20, total_seconds=40)
        outer = RingGroup("600", ("601", "101"), HuntStrategy.LINEAR, ring_seconds=30, total_seconds=60)
        party = party_of("600", acme(inner, outer), ring_seconds=120)
        assert placed(party.start(0)) == ["102"]
        assert placed(party.on_deadline(20)) == ["103"]
        commands = party.on_deadline(30)
        assert isinstance(commands[0], HangUpLeg)
        assert placed(commands) == ["101"]


class TestGroupsInGroups:
    def test_as_many_as_may_be_ring_the_phone_inside(self) -> None:
        assert placed(party_of("1", chain(MAX_DEPTH)).start(0)) == ["101"]

    def test_one_more_is_too_many_and_no_packet_is_sent(self) -> None:
        outcome = outcome_of(party_of("1", chain(MAX_DEPTH + 1)))
        assert outcome is not None
        assert (outcome.disposition, outcome.cause) == ("unreachable", TOO_DEEP)

    def test_as_many_are_reached_by_a_call_that_comes_in(self) -> None:
        assert placed(maker(chain(MAX_DEPTH)).named("1").start(0)) == ["101"]
        assert placed(maker(chain(MAX_DEPTH + 1)).named("1").start(0)) == []

    def test_groups_that_name_each_other_are_cut_off(self) -> None:
        party = party_of("600", acme(RingGroup("600", ("601", "101")), RingGroup("601", ("600",))))
        assert set(placed(party.start(0))) == {"101"}

    def test_the_uid_of_a_group_goes_to_the_first_leg_inside(self) -> None:
        groups = RingGroup("600", ("601", "101")), RingGroup("601", ("102",))
        rung = places(party_of("600", acme(*groups)).start(0))
        assert [(leg.leg, leg.plan.user) for leg in rung] == [(UID, "102"), ("further-1", "101")]


@pytest.mark.parametrize(("asked", "headers"), [(True, AUTO_ANSWER), (False, ())])
def test_phones_that_are_set_so_are_asked_to_answer_by_themselves_on_leg_1_only(
    asked: bool, headers: tuple[tuple[str, str], ...]
) -> None:
    organisation = acme(RingGroup("600", ("101", "102")))
    organisation = replace(organisation, extensions={**PHONES, "101": replace(PHONES["101"], auto_answer=True)})
    rung = places(party_of("600", organisation, auto_answer=asked).start(0))
    assert [leg.plan.headers for leg in rung] == [headers, ()]


def test_headers_of_a_leg_are_on_the_invite_of_every_phone_that_is_rung_for_it() -> None:
    wanted = (("X-Order", "7"),)
    organisation = acme(RingGroup("600", ("101", "601")), RingGroup("601", ("102",)))
    organisation = replace(organisation, queues={"700": Queue("700", ("103",))})
    rung = places(party_of("600", organisation, headers=wanted).start(0))
    assert [(leg.plan.user, leg.plan.headers) for leg in rung] == [("101", wanted), ("102", wanted)]
    queue = party_of("700", organisation, headers=wanted)
    queue.start(0, "caller")
    assert [leg.plan.headers for leg in places(queue.feed(AgentsOffered(UID, ("103",)), 1))] == [wanted]
