"""How the workers stand as a whole, for those who look after the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolState:
    """Workers and their leg slots; those that hold registrations are counted too.

    Attributes:
        workers: that run, and do not leave.
        startable: how many more there are ports for.
        started: since the server's start, those of the start included.
        died: since the server's start, of themselves.
        leg_slots: of the workers that run.
        reserved: of these, by calls and links.
    """

    workers: int
    startable: int
    started: int
    died: int
    leg_slots: int
    reserved: int
