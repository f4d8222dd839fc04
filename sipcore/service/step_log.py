"""One log line for each step of a call, with the UniqueID of the leg."""

from __future__ import annotations

from typing import Any

import structlog

from sipcore.domain.events import Event, LegEnded, LegRang, WorkerLost

_log = structlog.get_logger("sipcore.call")

_STEPS = {
    "LegPlaced": "leg placed",
    "LegRang": "leg ringing",
    "LegEarlyMediaStarted": "leg sends early media",
    "LegAnswered": "leg answered",
    "LegEnded": "leg ended",
    "DigitPressed": "digit",
}


def log_step(legs: tuple[str, str], event: Event) -> None:
    """Write the line of an event.

    Args:
        legs: UniqueIDs of leg 1 and leg 2 of the call.
        event: what happened. A digit's value stays out: it may be part of a PIN.
    """
    if isinstance(event, WorkerLost):
        _log.error("worker lost", legs=[leg for leg in event.legs if leg in legs])
        return
    details: dict[str, Any] = {"uid": event.leg, "leg": legs.index(event.leg) + 1}
    if isinstance(event, LegEnded):
        details |= {"sip_code": event.sip_code, "reason": event.reason, "ended_by": event.ended_by}
    elif isinstance(event, LegRang):
        details["sip_code"] = event.sip_code
    _log.info(_STEPS[type(event).__name__], **details)
