"""A ladder drawn in text, as users of sngrep know it: a line down for us and each leg, an arrow for each message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from sipcore.domain.ladder import LegLadder, Rung
from sipcore.domain.record import CallRecord

_US = "click2call"
_TIME_WIDTH = 16
_COLUMN = 30
_HEAD = _TIME_WIDTH + _COLUMN // 2
"""Where our own line is."""


def draw(record: CallRecord, ladder: Sequence[LegLadder]) -> str:
    """Draw it; times are UTC, and a message that was sent again has a double head.

    Args:
        record: of the call, for when it was accepted and for the legs' numbers.
        ladder: of the same call; legs stand in the order of the record.
    """
    numbers = {leg.uid: f"{leg.number} ({leg.party})" for leg in record.legs}
    shown = sorted(ladder, key=lambda leg: [*numbers, leg.uid].index(leg.uid))
    names = _US, *(numbers.get(leg.uid, "") for leg in shown)
    lines = [(" " * _TIME_WIDTH + "".join(name[: _COLUMN - 2].center(_COLUMN) for name in names)).rstrip()]
    lifelines = " " * _HEAD + (" " * (_COLUMN - 1)).join("\u2502" * (len(shown) + 1))
    steps = [(rung, column, again) for column, leg in enumerate(shown, 1) for rung, again in _seen(leg)]
    lines.append(lifelines)
    for rung, column, again in sorted(steps, key=lambda step: step[0].at):
        time = (record.accepted_at + timedelta(seconds=rung.at)).strftime("%H:%M:%S.%f").ljust(_TIME_WIDTH)
        end = _HEAD + column * _COLUMN
        arrow = _arrow(rung, column, again=again)
        lines.append(time + lifelines[_TIME_WIDTH : _HEAD + 1] + arrow + lifelines[end:])
    lines.append(lifelines)
    return "\n".join(lines) + "\n"


def label(rung: Rung) -> str:
    """Name a message: `INVITE`, or `180 (INVITE)`."""
    return rung.method if rung.code is None else f"{rung.code} ({rung.method})"


def _seen(leg: LegLadder) -> Iterator[tuple[Rung, bool]]:
    """Tell of each message whether the same one went before."""
    before = set()
    for rung in leg.rungs:
        same = rung.sent, rung.method, rung.code, rung.cseq
        yield rung, same in before
        before.add(same)


def _arrow(rung: Rung, column: int, *, again: bool) -> str:
    """Draw what is between our line and that of a leg; the label stands beside the leg's."""
    name = f" {label(rung)} "
    heads = 2 if again else 1
    shaft = name.center(_COLUMN - 1 - heads, "\u2500").rjust(column * _COLUMN - 1 - heads, "\u2500")
    return shaft + "\u25b6" * heads if rung.sent else "\u25c0" * heads + shaft
