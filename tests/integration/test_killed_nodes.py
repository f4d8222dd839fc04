"""Two nodes that share PostgreSQL, one of which is killed again and again: counted at the SIP peer."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

from pathlib import Path

from benchmark.kills import kill_nodes
from benchmark.peer import compile_peer


async def test_no_future_call_and_no_number_of_a_campaign_is_lost_or_dialled_twice_over_killed_nodes(
    tmp_path: Path,
) -> None:
    found = await kill_nodes(compile_peer(tmp_path), tmp_path, kills=3)
    assert found.killed == 3
    assert found.left_up == 0
    for dialled in (found.future_calls, found.campaigns):
        assert dialled.numbers > 100
        assert (dialled.lost, dialled.twice) == (0, 0), dialled
        assert dialled.dialled >= dialled.numbers
