"""Leg slots: what a call reserves before it rings anybody."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Slots:
    """Leg slots of one worker, reserved for one call.

    Attributes:
        id: of the reservation, unique in this process.
        worker: id of the worker that carries them.
        legs: how many.
    """

    id: int
    worker: int
    legs: int
