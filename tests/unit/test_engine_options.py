"""What a request may want beside its numbers, through the call engine over the fake SIP port."""

from __future__ import annotations

import asyncio

import pytest
from test_call_engine import organisation, running

from sipcore.domain.call_options import CallOptions, LegOptions
from sipcore.domain.commands import PlaceLeg, SendDigit
from sipcore.domain.errors import ParameterError


async def test_each_leg_carries_its_own_headers_after_those_that_are_ours():
    options = CallOptions(LegOptions((("X-Agent", "7"),)), LegOptions((("X-Order", "8"), ("X-Colour", "blue"))))
    async with running() as site:
        call = await site.settled_dial(options=options)
        plans = [command.plan for _, command in site.port.commands if isinstance(command, PlaceLeg)]
        assert plans[0].headers == (("X-Agent", "7"),)
        assert plans[1].headers[0][0] == "P-Asserted-Identity"
        assert plans[1].headers[1:] == (("X-Order", "8"), ("X-Colour", "blue"))
        await site.end(call)


async def test_each_leg_is_sent_its_digits_after_its_answer():
    options = CallOptions(LegOptions(digits="1"), LegOptions(digits="2,3"))
    async with running() as site:
        call = await site.settled_dial(options=options)
        assert SendDigit(call.uid1, "1") in site.port.commands_for(call.uid1)
        assert SendDigit(call.uid2, "2") in site.port.commands_for(call.uid2)
        async with asyncio.timeout(5):
            await site.port.commanded(SendDigit(call.uid2, "3"))
        await site.end(call)


async def test_a_call_ends_at_the_length_that_was_asked_for_and_keeps_its_reference():
    async with running(max_call_seconds=60) as site, asyncio.timeout(5):
        call = await site.settled_dial(options=CallOptions(max_seconds=1, reference="order 7"))
        record = await site.store.record_of(call)
    assert (record.ended_by, record.reference) == ("limit", "order 7")
    assert [accepted.reference for accepted in site.store.accepted] == ["order 7"]


async def test_what_cannot_be_done_is_refused_before_anything_is_dialled():
    async with running(organisation(max_calls=1), max_call_seconds=60) as site:
        for options in (CallOptions(max_seconds=61), CallOptions(LegOptions((("From", "me"),)))):
            with pytest.raises(ParameterError):
                await site.dial(options=options)
        assert site.port.commands == []
        await site.end(await site.settled_dial())
