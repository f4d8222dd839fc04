"""An organisation's limits hold for all nodes together, whichever of them its calls come to."""

import asyncio

import pytest
import time_machine
from node_site import NodeSite

from sipcore.domain.errors import LimitReachedError
from sipcore.domain.record import RecordFilter
from sipcore.service import nodes


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(nodes, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(nodes, "SILENCE_SECONDS", 0.3)


async def outcomes(*dials):
    """Dial at once; return the calls, and which limits the others were over."""
    results = await asyncio.gather(*dials, return_exceptions=True)
    over = [result.limit for result in results if isinstance(result, LimitReachedError)]
    return [result for result in results if not isinstance(result, Exception)], over


async def test_calls_in_progress_are_counted_over_all_nodes(postgresql_url):
    async with NodeSite(postgresql_url, max_calls=5) as one, NodeSite(postgresql_url, max_calls=5) as other:
        accepted, over = await outcomes(*(site.dial() for _ in range(4) for site in (one, other)))
        assert (len(accepted), over) == (5, ["max_calls"] * 3)
        assert len(one.dialled) + len(other.dialled) == 10
        assert len((await one.store.find("acme", RecordFilter())).items) == 5
        for site in (one, other):
            with pytest.raises(LimitReachedError):
                await site.dial()
        ended = accepted[0]
        site = one if ended.uid1 in one.dialled else other
        site.port.hang_up(ended.uid1)
        await site.written(ended.id)
        assert (await outcomes(one.dial(), other.dial()))[1] == ["max_calls"]


@pytest.mark.parametrize(("rate", "seconds"), [(3.0, 1.0), (0.2, 5.0)])
async def test_beginnings_of_calls_are_counted_over_all_nodes(postgresql_url, rate, seconds):
    most = max(int(rate), 1)
    async with (
        NodeSite(postgresql_url, calls_per_second=rate) as one,
        NodeSite(postgresql_url, calls_per_second=rate) as other,
    ):
        with time_machine.travel("2026-03-01T12:00:00Z", tick=False) as clock:
            accepted, over = await outcomes(*(site.dial() for _ in range(4) for site in (one, other)))
            assert (len(accepted), set(over)) == (most, {"calls_per_second"})
            clock.shift(seconds + 0.001)
            # One that has counted nothing itself yet.
            async with NodeSite(postgresql_url, calls_per_second=rate) as fresh:
                assert (await outcomes(*(fresh.dial() for _ in range(most))))[1] == []
            async with NodeSite(postgresql_url, calls_per_second=rate) as fresh:
                with pytest.raises(LimitReachedError) as caught:
                    await fresh.dial()
                assert caught.value.retry_after == seconds


async def test_what_a_dead_node_had_in_progress_counts_until_it_is_settled(postgresql_url):
    async with NodeSite(postgresql_url, max_calls=1) as living:
        dead = await NodeSite(postgresql_url, max_calls=1).__aenter__()
        call = await dead.dial()
        await dead.die()
        with pytest.raises(LimitReachedError):
            await living.dial()
        await living.written(call.id)
        await living.dial()
