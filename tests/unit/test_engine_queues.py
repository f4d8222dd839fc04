"""Queues in the call engine, over the fake SIP port: who waits, who is rung, and when an agent counts as free."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from test_call_engine import Site, organisation

from sipcore.domain.causes import Disposition
from sipcore.domain.commands import BridgeLegs, HangUpLeg, LegCommand, PlaceLeg, PlayAudio, PlayTone
from sipcore.domain.directory import Extension, HuntStrategy, Inbound, Queue, SipAddress, SipHost
from sipcore.domain.first_taken import COMPLETED_ELSEWHERE
from sipcore.domain.waiting_queue import AgentState
from sipcore.service.admission import EngineSettings
from sipcore.service.calls import AcceptedCall
from sipcore.sip.fake import RINGS, FakeSipPort, refuses

CALLED, QUEUES, CUSTOMER, OTHER = "+12025550100", "+12025550101", "+12025550123", "+12025550124"
QUEUE = Queue("700", ("101", "102"), HuntStrategy.LINEAR, music="/music.wav")


class QueueSite(Site):
    """An engine with a queue."""

    @property
    def states(self) -> dict[str, AgentState]:
        agents = self.engine.queues.status("acme", "700").agents
        return {agent.number: agent.state for agent in agents}

    @property
    def commands(self) -> list[LegCommand]:
        return [command for _, command in self.port.commands]

    def leg_to(self, user: str) -> str:
        """The newest leg that was placed to a number."""
        return self.port.leg_to(user).place.leg

    def rings(self, user: str) -> int:
        return sum(1 for command in self.commands if isinstance(command, PlaceLeg) and command.plan.user == user)

    async def calm(self) -> None:
        """Wait until what was told has been acted on, and what came of that has been told."""
        for _ in range(8):
            await self.port.settled()
            await asyncio.sleep(0)

    async def settled_dial(self, *args: str, **more: object) -> AcceptedCall:
        call = await self.dial(*args, **more)
        await self.calm()
        return call


@contextlib.asynccontextmanager
async def running(queue=QUEUE, **scripts):
    at = SipHost("127.0.0.1", 25061)
    extensions = {number: Extension(number, SipAddress(number, at)) for number in ("101", "102", "103")}
    inbound = Inbound({CALLED: "103", QUEUES: "700"})
    acme = replace(organisation(extensions=extensions), queues={"700": queue}, inbound=inbound)
    port = FakeSipPort(workers=6, scripts={user[1:]: script for user, script in scripts.items()})
    site = QueueSite(port, [acme], EngineSettings(3600.0, 60.0))
    await site.engine.queues.start()
    site.engine.start()
    try:
        yield site
    finally:
        await site.engine.stop(patience_seconds=0)


async def test_a_caller_hears_music_while_an_agent_is_rung_and_is_joined_with_it():
    async with running(_101=RINGS) as site:
        call = await site.settled_dial(CUSTOMER, "700")
        assert PlayAudio(call.uid1, f"music {call.uid2}", ("/music.wav",), loop=True) in site.commands
        assert site.leg_to("101") == call.uid2
        assert not any(isinstance(command, PlayTone) for command in site.commands)
        site.port.answer(call.uid2)
        await site.calm()
        assert BridgeLegs(call.uid1, call.uid2) in site.commands
        record = await site.end(call)
    assert record.disposition is Disposition.ANSWERED
    assert [(leg.party, leg.number) for leg in record.legs] == [("dial1", CUSTOMER), ("dial2", "101")]


async def test_an_agent_is_busy_during_any_call_and_serves_the_next_caller_after_it():
    async with running(replace(QUEUE, agents=("101",))) as site:
        own = await site.settled_dial("101", OTHER)
        assert site.states == {"101": AgentState.BUSY}
        call = await site.settled_dial(CUSTOMER, "700")
        assert site.rings("101") == 1
        await site.end(own)
        await site.calm()
        assert site.rings("101") == 2
        assert BridgeLegs(call.uid1, call.uid2) in site.commands
        await site.end(call)
        assert site.states == {"101": AgentState.FREE}


async def test_a_caller_from_outside_is_answered_when_its_wait_begins():
    async with running(_101=RINGS) as site:
        leg = site.port.arrive(QUEUES, CUSTOMER)
        await site.calm()
        assert site.port.legs[leg].answers == [180, 200]
        (music,) = [command for command in site.commands if isinstance(command, PlayAudio)]
        assert (music.leg, music.files) == (leg, ("/music.wav",))
        agent = site.leg_to("101")
        site.port.answer(agent)
        await site.calm()
        assert BridgeLegs(leg, agent) in site.commands
        assert site.port.legs[leg].answers == [180, 200], "answered once"


async def test_an_agent_who_calls_us_is_busy_too():
    async with running() as site:
        leg = site.port.arrive(CALLED, "101")
        await site.calm()
        assert site.states["101"] is AgentState.BUSY
        site.port.hang_up(leg)
        await site.calm()
        assert site.states["101"] is AgentState.FREE


async def test_as_dial1_the_next_free_agent_is_rung_first():
    async with running() as site:
        busy = await site.settled_dial("101", OTHER)
        call = await site.settled_dial("700", CUSTOMER)
        assert call.first_stage.result() is None
        assert site.leg_to("102") == call.uid1
        assert site.leg_to(CUSTOMER) == call.uid2
        await site.end(busy)


async def test_an_agent_who_refuses_is_followed_by_the_next_one():
    async with running(_101=refuses(486)) as site:
        call = await site.settled_dial(CUSTOMER, "700")
        agent = site.leg_to("102")
        assert BridgeLegs(call.uid1, agent) in site.commands
        assert site.states == {"101": AgentState.RESTING, "102": AgentState.BUSY}
        record = await site.end(call)
    assert [(leg.number, leg.disposition) for leg in record.legs[1:]] == [
        ("101", Disposition.BUSY),
        ("102", Disposition.ANSWERED),
    ]


async def test_when_all_are_rung_the_losers_are_told_that_the_call_was_taken():
    async with running(replace(QUEUE, strategy=HuntStrategy.RING_ALL), _101=RINGS, _102=RINGS) as site:
        call = await site.settled_dial(CUSTOMER, "700")
        winner, loser = site.leg_to("102"), site.leg_to("101")
        site.port.answer(winner)
        await site.calm()
        assert HangUpLeg(loser, COMPLETED_ELSEWHERE) in site.commands
        assert BridgeLegs(call.uid1, winner) in site.commands
        assert site.states == {"101": AgentState.FREE, "102": AgentState.BUSY}
        await site.end(call)


async def test_a_caller_who_hangs_up_leaves_no_agent_ringing():
    async with running(_101=RINGS) as site:
        call = await site.settled_dial(CUSTOMER, "700")
        await site.end(call)
        assert site.port.living_legs == []
        assert site.states == {"101": AgentState.FREE, "102": AgentState.FREE}
        assert site.engine.queues.status("acme", "700").waiting == 0


async def test_after_waiting_in_vain_the_caller_is_led_to_another_queue_and_waits_there():
    first = replace(QUEUE, agents=("101",), max_wait_seconds=0.01, then="701")
    async with running(first, _101=RINGS) as site:
        site.directory.current.organisations["acme"].queues["701"] = replace(QUEUE, number="701", agents=("102",))
        site.engine.queues.configure()
        call = await site.dial(CUSTOMER, "700")
        async with asyncio.timeout(5):
            while not site.rings("102"):
                await site.engine.queues.changed("acme", "701")
                await site.calm()
        assert BridgeLegs(call.uid1, site.leg_to("102")) in site.commands
        await site.end(call)
        assert [site.engine.queues.status("acme", number).waiting for number in ("700", "701")] == [0, 0]
