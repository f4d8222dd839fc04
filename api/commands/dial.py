"""`click2call dial`: places a call through a running server and tells how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Annotated, Final

import typer

from api.client import Client
from api.commands.connection import INTERRUPTED, connected
from api.commands.console import err, out
from api.models import Record
from api.parameters import apart
from sipcore.service.calls import DEFAULT_RING_SECONDS

POLL_SECONDS: Final = 0.2
"""How often a call in progress, or the batch, is read."""

Tell = Callable[[str], None]


@connected
def dial(
    client: Client,
    dial1: Annotated[str, typer.Argument(help="Destination 1, which rings first; several: 101,102.")],
    dial2: Annotated[str, typer.Argument(help="Destination 2, dialled when destination 1 has answered.")],
    *,
    set_cid: Annotated[str | None, typer.Option("--set-cid", help="Caller identity to show.")] = None,
    timeout: Annotated[
        int, typer.Option(min=1, max=300, help="Seconds that destination 1 may ring.")
    ] = DEFAULT_RING_SECONDS,
) -> None:
    """Place a call through a running server and tell each of its steps; with several numbers, how each stands.

    Ctrl-C stops watching; the call goes on.
    """
    several = apart(dial1)
    try:
        if len(several) > 1:
            good = _dial_many(client, several, dial2, set_cid, timeout, out.print)
        else:
            good = _dial_one(client, dial1, dial2, set_cid, timeout, out.print)
    except KeyboardInterrupt:
        err.print("no longer watching; the call goes on")
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(0 if good else 1)


def _dial_one(client: Client, dial1: str, dial2: str, set_cid: str | None, ring_seconds: int, tell: Tell) -> bool:
    """Return whether both parties were joined."""
    tell(f"ringing {dial1}")
    placed = client.place_call(dial1, dial2, set_cid=set_cid, ring_seconds=ring_seconds, wait=True)
    first = placed.first_stage
    tell(first.status if first.reason is None else f"{first.status}: {first.reason}")
    record: Record = placed
    told: set[str] = set()
    while True:
        for step in _steps(record):
            if step not in told:
                told.add(step)
                tell(step)
        if record.ended_at is not None:
            return record.joined_at is not None
        time.sleep(POLL_SECONDS)
        record = client.call(placed.id)


def _dial_many(
    client: Client, several: list[str], dial2: str, set_cid: str | None, ring_seconds: int, tell: Tell
) -> bool:
    """Return whether one of them was answered."""
    batch = client.dial_batch(several, dial2, set_cid=set_cid, ring_seconds=ring_seconds)
    tell(f"batch {batch.id}: {batch.numbers} numbers")
    told: dict[str, str] = {}
    while True:
        for result in batch.results:
            news = result.status if result.reason is None else f"{result.status}: {result.reason}"
            if told.setdefault(result.number, "queued") != news:
                told[result.number] = news
                tell(f"{result.number}: {news}")
        if batch.ended_at is not None:
            counted = (f"{count} {status}" for status, count in batch.counts.items() if count)
            tell(f"{batch.state}: {', '.join(counted)}")
            return bool(batch.counts["answered"])
        time.sleep(POLL_SECONDS)
        batch = client.batch(batch.id)


def _steps(record: Record) -> Iterator[str]:
    """Tell everything that has happened so far, in the order of time."""
    happened: list[tuple[str | None, str]] = []
    for number, leg in enumerate(record.legs, start=1):
        happened.append((leg.ringing_at, f"leg {number} ringing"))
        happened.append((leg.answered_at, f"leg {number} answered"))
        if leg.answered_at is None:
            code = "" if leg.sip_code is None else f" (SIP {leg.sip_code})"
            happened.append((leg.ended_at, f"leg {number} {leg.disposition}{code}"))
    happened.append((record.joined_at, "joined"))
    happened.append((record.ended_at, f"ended: {record.disposition}"))
    start = datetime.fromisoformat(record.accepted_at)
    # Sorting is stable: what happened in the same millisecond stays in the order of a call.
    for moment, what in sorted(((at, what) for at, what in happened if at is not None), key=lambda step: step[0]):
        yield f"{(datetime.fromisoformat(moment) - start).total_seconds():8.3f} s  {what}"
