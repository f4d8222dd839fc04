"""Calls brought to each of their states, for the tests that tell what happens next.

Time is a number of seconds; every story starts at 0.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sipcore.domain.call import Call
from sipcore.domain.call_terms import CallTerms
from sipcore.domain.commands import LegPlan, PlayTone
from sipcore.domain.directory import SipHost
from sipcore.domain.events import LegAnswered, LegEnded, LegPlaced, LegRang
from sipcore.domain.phone import PhoneParty
from sipcore.domain.tones import ToneKind, tone

ONE, TWO = "leg-1", "leg-2"
PLAN1 = LegPlan(user="101", at=SipHost("127.0.0.1", 25061), trunk=None, from_uri="<sip:+12025550123@127.0.0.1>")
PLAN2 = LegPlan(user="+12025550123", at=SipHost("127.0.0.1", 25070), trunk="main", from_uri="<sip:1@trunk.example>")
TERMS = CallTerms(
    id="c" * 32,
    organisation="acme",
    user="alice",
    dial1="101",
    dial2="2025550123",
    set_cid=None,
    accepted_at=datetime(2026, 1, 1, tzinfo=UTC),
    country="US",
    max_seconds=3600.0,
)
RINGBACK = PlayTone(ONE, tone(ToneKind.RINGBACK, "US"))
BUSY_TONE = PlayTone(ONE, tone(ToneKind.BUSY, "US"))
CONGESTION_TONE = PlayTone(ONE, tone(ToneKind.CONGESTION, "US"))


def new_call() -> Call:
    return Call(TERMS, PhoneParty(ONE, PLAN1, 20), PhoneParty(TWO, PLAN2, 60))


def ringing_first() -> Call:
    """Party 1 has rung since second 0."""
    call = new_call()
    call.start(0)
    call.feed(LegPlaced(ONE), 0)
    call.feed(LegRang(ONE, 180), 1)
    return call


def ringing_second() -> Call:
    """Party 1 answered in second 5, party 2 has rung since second 6."""
    call = ringing_first()
    call.feed(LegAnswered(ONE), 5)
    call.feed(LegPlaced(TWO), 5)
    call.feed(LegRang(TWO, 180), 6)
    return call


def joined() -> Call:
    """Party 2 answered in second 10."""
    call = ringing_second()
    call.feed(LegAnswered(TWO), 10)
    return call


def telling() -> Call:
    """Party 2 was busy in second 8, and party 1 hears it."""
    call = ringing_second()
    call.feed(LegEnded(TWO, 486), 8)
    return call


def releasing() -> Call:
    """Party 2 hung up in second 60; the BYE to party 1 is not answered yet."""
    call = joined()
    call.feed(LegEnded(TWO, 200), 60)
    return call
