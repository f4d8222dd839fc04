"""Calls that are changed, left and lost in any order, on few workers: who talks hears all others once."""

from __future__ import annotations

import asyncio
import contextlib

import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine_control import OTHER, running

from sipcore.domain.call_options import CallOptions
from sipcore.domain.call_transitions import CallState
from sipcore.domain.errors import CallStateError, NoLegCapacityError
from sipcore.domain.role import Role
from sipcore.service.calls import FurtherLeg
from sipcore.sip.fake import RINGS, refuses

WHICH = st.integers(0, 11)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("dial"), st.booleans()),
        st.tuples(st.sampled_from(["transfer", "join"]), WHICH, st.sampled_from(["101", "103", "104", "600", OTHER])),
        st.tuples(st.just("leave"), WHICH),
        st.tuples(st.just("lose"), WHICH),
    ),
    min_size=3,
    max_size=14,
)


def check(site) -> None:
    """Look at every call in progress."""
    for live in site.engine._calls.values():
        cast = live.call._cast
        talking = [place for place in Role if place in cast and (place is not Role.THIRD or live.call._third_talks)]
        if live.call.state is CallState.JOINED:
            legs = {cast[place].party.leg for place in talking}
            assert {leg: site.hears(leg) for leg in legs} == {leg: legs - {leg} for leg in legs}, live.call.story


async def play(steps) -> None:

    async with running(workers=3, user_103=RINGS, user_104=refuses(486)) as site:
        for kind, *details in steps:
            calls = list(site.engine._calls)
            if kind == "dial":
                with contextlib.suppress(NoLegCapacityError):
                    await site.settled_dial("101", options=CallOptions(room_for_third=details[0]))
            elif kind == "leave" and (up := [uid for uid in site.port.living_legs if site.hears(uid)]):
                site.port.hang_up(up[details[0] % len(up)])
            elif kind == "lose":
                numbers = sorted(site.port._capacity.workers)
                site.port.lose_worker(numbers[details[0] % len(numbers)])
            elif calls and kind in {"transfer", "join"}:
                change = site.control.transfer if kind == "transfer" else site.control.join_third
                with contextlib.suppress(NoLegCapacityError, CallStateError):
                    await change("acme", calls[details[0] % len(calls)], FurtherLeg(details[1]))
            await site.calm()
            check(site)
        for call in list(site.engine._calls):
            site.engine.hang_up("acme", call)
        await site.calm()


@given(steps=STEPS)
@settings(max_examples=30)
def test_who_talks_hears_all_others_once_whatever_is_changed_and_whatever_dies(steps) -> None:
    with structlog.testing.capture_logs() as logged:
        asyncio.run(play([("dial", False), *steps]))
    assert not [line for line in logged if line["log_level"] == "error" and line["event"] != "worker lost"]
