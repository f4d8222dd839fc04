"""How many calls each worker may take, and whose a call is that came in."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sipcore.domain.commands import AnswerLeg
from sipcore.domain.directory import Directory, Inbound, Organisation, SipHost, Trunk
from sipcore.sip import wire
from sipcore.sip.arrivals import Arrivals
from sipcore.sip.capacity import Capacity
from sipcore.sip.crew import PoolWorker
from sipcore.sip.resolver import Resolver

ROUTED = Organisation("acme", trunk="main", inbound=Inbound({"+12025550100": "101"}))
MAIN = Trunk("main", SipHost("192.0.2.1", 5060), registrar=SipHost("192.0.2.2", 5060), username="trunkuser")

EDGE = SipHost("192.0.2.9", 5060)
SAID = {"to": "", "caller": "+13125550142", "origin": ""}


class Process:
    """A worker's process that notes what it is told."""

    def __init__(self):
        self.number, self.told, self.settings = 1, [], SimpleNamespace(sip_port=15060)

    def send(self, message):
        self.told.append(message)


class Scene:
    def __init__(self, *trunks, organisations=(ROUTED,), edge=None):
        self.arrived = []
        self.capacity = Capacity(self._change)
        self.arrivals = Arrivals("127.0.0.1", self.capacity, self.arrived.append)
        self.worker = PoolWorker(1, 4, process=Process())
        organisations, trunks = ({each.name: each for each in some} for some in (organisations, trunks))
        directory = Directory(organisations, trunks, edge=edge)
        self.arrivals.configure(directory, Resolver(), ["192.0.2.0/24"])
        self.capacity.enter(self.worker)

    def _change(self, worker):
        self.arrivals.update(worker)

    @property
    def allowed(self):
        return [message.legs for message in self.worker.process.told if isinstance(message, wire.AllowIncoming)]

    @property
    def answers(self):
        return [message for message in self.worker.process.told if isinstance(message, AnswerLeg)]

    def offer(self, leg="in", number="+12025550100", source="192.0.2.1", port=5060, **said):
        to, caller, origin = (said.get(name, default) for name, default in SAID.items())
        self.arrivals.take(self.worker, wire.LegOffered(leg, number, caller, to, origin, source, port))


def test_a_worker_may_take_as_many_calls_as_it_has_free_slots():
    scene = Scene(MAIN)
    slots = scene.capacity.reserve(scene.worker, 3)
    scene.capacity.release(slots)
    assert scene.allowed == [4, 1, 4]


def test_a_call_from_where_nobody_may_call_is_refused():
    scene = Scene(MAIN)
    scene.offer(source="127.0.0.1")
    assert scene.answers == [AnswerLeg("in", 403)]
    assert (scene.arrived, scene.worker.free) == ([], 4)


def test_without_a_route_no_call_is_wanted():
    assert Scene(MAIN, organisations=[Organisation("acme", trunk="main")]).allowed == []


def test_a_call_gets_its_slot_and_one_beside_it_and_counts_as_allowed_until_it_ends():
    scene = Scene(MAIN)
    scene.offer()
    (event,) = scene.arrived
    assert (event.leg, event.number, event.caller, event.trunk) == ("in", "+12025550100", "+13125550142", "main")
    assert event.slots.legs == 2
    assert scene.allowed[-1] == 3  # itself and the two that are free
    scene.capacity.end_leg("in")
    scene.arrivals.end_leg(scene.worker, "in")
    scene.capacity.release(event.slots)
    assert scene.allowed[-1] == 4


def test_a_worker_is_told_how_many_of_its_offers_are_decided_on():
    scene = Scene(MAIN)
    scene.offer("first")
    scene.offer("second", source="127.0.0.1")
    told = [message for message in scene.worker.process.told if isinstance(message, wire.AllowIncoming)]
    assert [(each.legs, each.offers) for each in told] == [(4, 0), (3, 1), (3, 2)]


def test_with_one_slot_left_a_call_gets_that_one():
    scene = Scene(MAIN)
    scene.capacity.reserve(scene.worker, 3)
    scene.offer()
    assert scene.arrived[0].slots.legs == 1


def test_a_call_whose_slot_was_given_away_meanwhile_is_refused():
    scene = Scene(MAIN)
    scene.capacity.reserve(scene.worker, 4)
    scene.offer()
    assert scene.arrived == []
    assert scene.answers == [AnswerLeg("in", 503)]


def test_a_call_that_has_the_call_id_of_a_leg_elsewhere_is_refused_and_leaves_that_one_alone():
    scene = Scene(MAIN)
    scene.offer()
    scene.offer()
    assert len(scene.arrived) == 1
    assert scene.answers == [AnswerLeg("in", 482)]
    assert scene.capacity.of_leg("in") is not None


@pytest.mark.parametrize(
    ("source", "port", "trunk"),
    [
        ("192.0.2.1", 5060, "main"),
        ("192.0.2.1", 5999, "main"),
        ("192.0.2.2", 5060, "main"),
        ("192.0.2.3", 5060, "one"),
        ("192.0.2.3", 5070, "two"),
        ("192.0.2.3", 5999, None),
        ("192.0.2.9", 5060, None),
    ],
)
def test_a_call_is_of_the_trunk_whose_host_sent_it_and_whose_port_where_several_have_one_host(source, port, trunk):
    scene = Scene(MAIN, Trunk("one", SipHost("192.0.2.3", 5060)), Trunk("two", SipHost("192.0.2.3", 5070)))
    scene.offer(source=source, port=port)
    assert scene.arrived[0].trunk == trunk


def test_a_call_to_the_registered_contact_is_for_whom_its_to_header_names():
    scene = Scene(MAIN)
    scene.offer(number="trunkuser", to="+12025550100")
    assert scene.arrived[0].number == "+12025550100"


def test_a_worker_that_is_gone_is_forgotten():
    scene = Scene(MAIN)
    scene.offer()
    scene.arrivals.lose(scene.worker)
    scene.arrivals.end_leg(scene.worker, "in")
    assert scene.allowed[-1] == 3


def test_behind_the_edge_calls_may_come_in_though_no_number_is_routed():
    assert Scene(organisations=(Organisation("acme"),)).allowed == []
    assert Scene(organisations=(Organisation("acme"),), edge=EDGE).allowed == [4]


@pytest.mark.parametrize(
    ("origin", "trunk", "extension"),
    [
        ("trunk=main", "main", None),
        ("trunk=unknown", None, None),
        ("", None, None),
        ("extension=acme-101", None, ("acme", "101")),
        ("extension=two-words-101", None, ("two-words", "101")),
    ],
)
def test_the_edge_says_where_a_call_came_from(origin, trunk, extension):
    scene = Scene(MAIN, edge=EDGE)
    scene.offer(source=EDGE.host, origin=origin)
    assert [(call.trunk, call.extension) for call in scene.arrived] == [(trunk, extension)]


def test_nobody_but_the_edge_says_where_a_call_came_from():
    scene = Scene(MAIN, edge=EDGE)
    scene.offer(source="192.0.2.1", origin="extension=acme-101")
    scene.offer("other", source="192.0.2.77", origin="trunk=main")
    assert [(call.trunk, call.extension) for call in scene.arrived] == [("main", None), (None, None)]


def test_a_call_to_the_binding_that_the_edge_has_at_a_trunk_is_for_whom_to_names():
    scene = Scene(MAIN, edge=EDGE)
    scene.offer(source=EDGE.host, number="trunkuser", to="+12025550100", origin="trunk=main")
    assert [call.number for call in scene.arrived] == ["+12025550100"]
