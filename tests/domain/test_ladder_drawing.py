"""A ladder in text: who is where, which way each message went, and what was sent again."""

from __future__ import annotations

from datetime import UTC, datetime

from sipcore.domain.ladder import LegLadder, Rung
from sipcore.domain.ladder_drawing import draw
from sipcore.domain.record import CallRecord, LegRecord

RECORD = CallRecord(
    "r1", "acme", "alice", "101", "102", None, datetime(2026, 3, 1, 8, tzinfo=UTC),
    (LegRecord("u1", "101"), LegRecord("u2", "+12025550123", party="dial2")),
)  # fmt: skip


def test_messages_of_all_legs_stand_in_the_order_of_their_time_between_our_line_and_their_legs():
    ladder = (
        LegLadder("u2", (Rung(2.25, sent=True, method="INVITE", code=None, cseq=7),)),
        LegLadder(
            "u1",
            (
                Rung(0.001, sent=True, method="INVITE", code=None, cseq=1),
                Rung(0.501, sent=True, method="INVITE", code=None, cseq=1),
                Rung(2.5, sent=False, method="INVITE", code=200, cseq=1),
            ),
        ),
    )
    assert draw(RECORD, ladder) == (
        "                          click2call                   101 (dial1)               +12025550123 (dial2)\n"
        "                               │                             │                             │\n"
        "08:00:00.001000                │────────── INVITE ──────────▶│                             │\n"
        "08:00:00.501000                │────────── INVITE ─────────▶▶│                             │\n"
        "08:00:02.250000                │──────────────────────────────────────── INVITE ──────────▶│\n"
        "08:00:02.500000                │◀─────── 200 (INVITE) ───────│                             │\n"
        "                               │                             │                             │\n"
    )


def test_a_leg_that_is_not_in_the_record_any_more_is_drawn_without_a_name():
    drawn = draw(RECORD, (LegLadder("u3", (Rung(0, sent=False, method="INVITE", code=None, cseq=1),)),))
    assert "08:00:00.000000                │◀────────── INVITE ──────────│\n" in drawn
