"""What is counted of calls: read off their records, at the steps that they take anyway."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Histogram

from sipcore.domain.events import DigitPressed
from sipcore.domain.public_events import QueueStep
from sipcore.domain.record import CallRecord
from sipcore.domain.refusal import Refusal
from sipcore.service.event_recorder import NobodyListens, StepSink

_OWN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Buckets of what this program takes."""
_RINGING_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0)
_ANSWER_SECONDS = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 120.0)
_TALK_SECONDS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0)

Standing = tuple[str, str, str]
"""Organisation as it is shown, direction, and how far a call has come."""


class CallMetrics:
    """Counts calls, and passes each step on.

    Args:
        registry: of the metrics.
        shown: the organisation as the metrics show it.

    Attributes:
        then: who is told next.
    """

    def __init__(self, registry: CollectorRegistry, shown: Callable[[str], str]) -> None:
        self._shown = shown
        self.then: StepSink = NobodyListens()
        self._open: dict[str, Standing] = {}
        self._accepted = Counter(
            "click2call_calls_accepted", "Calls that were accepted.", ("organisation", "direction"), registry=registry
        )
        self._ended = Counter(
            "click2call_calls_ended",
            "Calls that are over, by their disposition.",
            ("organisation", "direction", "disposition"),
            registry=registry,
        )
        refused = Counter(
            "click2call_calls_refused",
            "Incoming calls that were refused before they had a record, by why.",
            ("reason",),
            registry=registry,
        )
        # From the start, so that the first one is a rise.
        self._refused = {reason: refused.labels(reason) for reason in Refusal}
        self._first_invite = Histogram(
            "click2call_first_invite_seconds",
            "From the acceptance of a request to the INVITE of leg 1.",
            buckets=_OWN_SECONDS,
            registry=registry,
        )
        self._second_invite = Histogram(
            "click2call_second_invite_seconds",
            "From the answer of leg 1 to the INVITE of leg 2.",
            buckets=_OWN_SECONDS,
            registry=registry,
        )
        self._ringing = Histogram(
            "click2call_leg_post_dial_delay_seconds",
            "From a leg's INVITE to its ringing.",
            ("party",),
            buckets=_RINGING_SECONDS,
            registry=registry,
        )
        self._answer = Histogram(
            "click2call_leg_answer_seconds",
            "From a leg's INVITE to its answer.",
            ("party",),
            buckets=_ANSWER_SECONDS,
            registry=registry,
        )
        self._talk = Histogram(
            "click2call_call_talk_seconds",
            "From the joining of both parties to the end of the call.",
            buckets=_TALK_SECONDS,
            registry=registry,
        )

    def in_progress(self) -> Tally[Standing]:
        """Count the calls in progress."""
        return Tally(self._open.values())

    def stepped(self, record: CallRecord) -> None:
        """Count what is new; how long its legs took is known when it is joined, or over before."""
        self.then.stepped(record)
        before = self._open.get(record.id)
        organisation = self._shown(record.organisation)
        if before is None:
            self._accepted.labels(organisation, record.direction).inc()
        state = "connecting" if record.joined_at is None else "joined"
        if record.ended_at is None:
            self._open[record.id] = organisation, record.direction, state
        else:
            self._open.pop(record.id, None)
            self._ended.labels(organisation, record.direction, record.disposition).inc()
            if record.joined_at is not None:
                self._talk.observe((record.ended_at - record.joined_at).total_seconds())
        connecting = before is None or before[-1] == "connecting"
        if connecting and (state == "joined" or record.ended_at is not None):
            self._observe_setup(record)

    def refused(self, reason: Refusal) -> None:
        """Count a call that came in and was refused before it had a record."""
        self._refused[reason].inc()

    def pressed(self, record: CallRecord, event: DigitPressed) -> None:
        """Pass it on."""
        self.then.pressed(record, event)

    def queued(self, record: CallRecord, step: QueueStep) -> None:
        """Pass it on."""
        self.then.queued(record, step)

    async def flush(self) -> None:
        """Pass it on."""
        await self.then.flush()

    def _observe_setup(self, record: CallRecord) -> None:
        for leg in record.legs:
            _observe(self._ringing.labels(leg.party), leg.placed_at, leg.ringing_at)
            _observe(self._answer.labels(leg.party), leg.placed_at, leg.answered_at)
        second = _first(leg.placed_at for leg in record.legs if leg.party == "dial2")
        if record.direction == "outbound":
            first = _first(leg.placed_at for leg in record.legs if leg.party == "dial1")
            _observe(self._first_invite, record.accepted_at, first)
            answered = _first(leg.answered_at for leg in record.legs if leg.party == "dial1")
            _observe(self._second_invite, answered, second)


def _first(moments: Iterable[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _observe(histogram: Histogram, since: datetime | None, until: datetime | None) -> None:
    if since is not None and until is not None and until >= since:
        histogram.observe((until - since).total_seconds())
