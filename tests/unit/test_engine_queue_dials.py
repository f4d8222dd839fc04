"""Calls that are dialled for a queue, whoever asks: each is counted until its party waits there, or will not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from test_engine_queues import CUSTOMER, OTHER, QUEUE, QueueSite, running

from sipcore.domain.call import Call
from sipcore.domain.errors import (
    AuthenticationError,
    InvalidTransitionError,
    LimitReachedError,
    NoLegCapacityError,
    ShuttingDownError,
    StoreUnavailableError,
)
from sipcore.service.calls import AcceptedCall
from sipcore.sip.fake import RINGS

HELD = replace(QUEUE, agents=("101", "102", "103"))


def allowed(site: QueueSite) -> int:
    return site.engine.queues.dials_allowed("acme", "700")


async def test_a_call_counts_while_dial1_rings_and_then_as_one_who_waits() -> None:
    async with running(HELD, **{f"_{CUSTOMER}": RINGS, "_101": RINGS}) as site:
        before = allowed(site)
        call = await site.settled_dial(CUSTOMER, "700")
        assert (before, allowed(site)) == (3, 2)
        site.port.answer(call.uid1)
        await site.calm()
        # It has been offered an agent, who is free no more.
        assert allowed(site) == 2
        await site.end(call)
        await site.calm()
        assert allowed(site) == 3


async def test_at_no_moment_of_its_answer_is_it_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(HELD, **{f"_{CUSTOMER}": RINGS, "_101": RINGS}) as site:
        call = await site.settled_dial(CUSTOMER, "700")
        seen: list[int] = []
        carry_out = site.engine._execution._execute

        def watched(*step: object) -> None:
            carry_out(*step)
            seen.append(allowed(site))

        monkeypatch.setattr(site.engine._execution, "_execute", watched)
        site.port.answer(call.uid1)
        await site.calm()
        assert max(seen) <= 2


def _refused(site: QueueSite, call: AcceptedCall, _patch: pytest.MonkeyPatch) -> None:
    site.port.reject(call.uid1, 486)


def _hung_up(site: QueueSite, call: AcceptedCall, _patch: pytest.MonkeyPatch) -> None:
    site.engine.hang_up("acme", call.id)


def _worker_died(site: QueueSite, call: AcceptedCall, _patch: pytest.MonkeyPatch) -> None:
    site.port.lose_worker(site.port.legs[call.uid1].slots.worker)


def _in_an_impossible_state(site: QueueSite, call: AcceptedCall, patch: pytest.MonkeyPatch) -> None:
    def impossible(*_event: object) -> None:
        raise InvalidTransitionError("call", "ringing", "answered", ())

    patch.setattr(Call, "feed", impossible)
    site.port.answer(call.uid1)


@pytest.mark.parametrize("ends", [_refused, _hung_up, _worker_died, _in_an_impossible_state])
async def test_one_that_fails_counts_no_more_and_whoever_waits_for_that_is_told(
    ends: Callable[[QueueSite, AcceptedCall, pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(HELD, **{f"_{CUSTOMER}": RINGS}) as site:
        call = await site.settled_dial(CUSTOMER, "700")
        changed = asyncio.ensure_future(site.engine.queues.changed("acme", "700"))
        await site.calm()
        assert (allowed(site), changed.done()) == (2, False)
        ends(site, call, monkeypatch)
        await asyncio.wait_for(changed, 5)
        assert allowed(site) == 3


async def test_one_whose_dial1_does_not_answer_in_time_counts_no_more() -> None:
    async with running(HELD, **{f"_{CUSTOMER}": RINGS}) as site:
        call = await site.settled_dial(CUSTOMER, "700", ring_seconds=0)
        assert await asyncio.wait_for(asyncio.shield(call.first_stage), 5) == "No answer"
        await site.calm()
        assert allowed(site) == 3


def _no_database(site: QueueSite, _patch: pytest.MonkeyPatch) -> None:
    site.store.failures["accept"] = 1


def _no_room(site: QueueSite, patch: pytest.MonkeyPatch) -> None:
    async def reserve(_legs: int) -> None:
        raise NoLegCapacityError

    patch.setattr(site.port, "reserve", reserve)


def _over_a_limit(site: QueueSite, _patch: pytest.MonkeyPatch) -> None:
    organisations = site.directory.current.organisations
    organisations["acme"] = replace(organisations["acme"], max_calls=0)


def _being_stopped(site: QueueSite, _patch: pytest.MonkeyPatch) -> None:
    site.engine.refuse_calls()


def _whose_organisation_is_gone(site: QueueSite, _patch: pytest.MonkeyPatch) -> None:
    del site.directory.current.organisations["acme"]


def _broken(site: QueueSite, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(site.engine, "_begin", lambda _live: 1 / 0)


@pytest.mark.parametrize("counted", [True, False], ids=["counted by who asks", "by hand"])
@pytest.mark.parametrize(
    ("refuses", "error"),
    [
        (_no_database, StoreUnavailableError),
        (_no_room, NoLegCapacityError),
        (_over_a_limit, LimitReachedError),
        (_being_stopped, ShuttingDownError),
        (_whose_organisation_is_gone, AuthenticationError),
        (_broken, ZeroDivisionError),
    ],
)
async def test_one_that_is_not_accepted_counts_no_more(
    refuses: Callable[[QueueSite, pytest.MonkeyPatch], None],
    error: type[Exception],
    *,
    counted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(HELD) as site:
        dial_over = site.engine.queues.count_dial("acme", "700") if counted else None
        refuses(site, monkeypatch)
        with pytest.raises(error):
            await site.dial(CUSTOMER, "700", dial_over=dial_over)
        assert allowed(site) == 3


async def test_one_that_who_asks_has_counted_is_not_counted_again() -> None:
    async with running(HELD, **{f"_{CUSTOMER}": RINGS, f"_{OTHER}": RINGS}) as site:
        dial_over = site.engine.queues.count_dial("acme", "700")
        call = await site.settled_dial(CUSTOMER, "700", dial_over=dial_over)
        assert allowed(site) == 2
        await site.settled_dial(OTHER, "700")
        assert allowed(site) == 1
        site.port.reject(call.uid1, 486)
        await site.calm()
        assert allowed(site) == 2
