"""One log line for each step of a call, with the UniqueID of the leg."""

from __future__ import annotations

from typing import Any

import structlog

from sipcore.domain.call import Call
from sipcore.domain.events import LegEnded, LegRang, PortEvent, WorkerLost
from sipcore.domain.role import Role

_log = structlog.get_logger("sipcore.call")

_LEG_NUMBERS = {Role.SECOND: 2, Role.THIRD: 3}
_STEPS = {
    "LegPlaced": "leg placed",
    "LegRang": "leg ringing",
    "LegEarlyMediaStarted": "leg sends early media",
    "LegAnswered": "leg answered",
    "LegEnded": "leg ended",
    "DigitPressed": "digit",
    "PlaybackFinished": "playback finished",
    "RecordingFinished": "recording finished",
    "SpeechStarted": "speech started",
    "SpeechStopped": "speech stopped",
    "BeepHeard": "beep heard",
    "JoinFailed": "legs not joined",
}


def log_step(call: Call, event: PortEvent) -> None:
    """Write the line of an event.

    Args:
        call: whose leg it is about.
        event: what happened. A digit's value stays out: it may be part of a PIN.
    """
    if isinstance(event, WorkerLost):
        _log.error("worker lost", legs=[leg for leg in event.legs if call.role_of(leg) is not None])
        return
    step = _STEPS.get(type(event).__name__)
    if step is None:
        return
    details: dict[str, Any] = {"uid": event.leg, "leg": _LEG_NUMBERS.get(call.role_of(event.leg) or Role.FIRST, 1)}
    if isinstance(event, LegEnded):
        details |= {"sip_code": event.sip_code, "reason": event.reason, "ended_by": event.ended_by}
    elif isinstance(event, LegRang):
        details["sip_code"] = event.sip_code
    _log.info(step, **details)
