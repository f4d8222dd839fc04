"""What `/metrics` shows: counted where it happens, or read off the server at each look.

Names follow Prometheus: base units, `_total` for what only grows. No label takes a value that a request could make up.
"""

from __future__ import annotations

import platform
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from tornado.web import RequestHandler

from api.call_metrics import CallMetrics
from sipcore.domain.pool_state import PoolState
from sipcore.domain.recording import RecordingAlarm
from sipcore.domain.registration import RegistrationState, TrunkState
from sipcore.domain.waiting_queue import QueueStatus
from sipcore.domain.webhook import Delivery
from sipcore.service.calls import LiveDirectory
from sipcore.service.eventing import Eventing
from sipcore.service.queue_board import QueueBoard
from sipcore.service.recording_archive import RecordingNews

_REQUEST_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)
_LATE_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
STREAMS = frozenset({"/api/v1/events", "/api/v1/events/ws"})
"""Routes whose answers last as long as clients like."""

# When a counter began is told by resets; a second series for each would tell it again.
disable_created_metrics()  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Sources:
    """What is read at each look.

    Attributes:
        pool: how the workers stand.
        trunks: how each trunk's registration stands.
        directory: organisations in force.
        queues: where callers wait.
        events: what is told outside.
    """

    pool: Callable[[], PoolState]
    trunks: Callable[[], Sequence[TrunkState]]
    directory: LiveDirectory
    queues: QueueBoard
    events: Eventing


class Metrics:
    """All metrics of one server.

    Args:
        organisations: whether organisations and what belongs to one are told apart; else their labels are empty,
            which to Prometheus is as if there were none.

    Attributes:
        registry: has them.
        calls: counts calls.
    """

    def __init__(self, *, organisations: bool = False) -> None:
        self._organisations = organisations
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        GCCollector(registry=registry)
        build = Info("click2call_build", "What runs here.", registry=registry)
        build.info({"version": version("click2call"), "python": platform.python_version()})
        self.calls = CallMetrics(registry, self.shown)
        self._late = Histogram(
            "click2call_schedule_lateness_seconds",
            "How long after its time a future call was dialled; numbers of campaigns have no time of their own.",
            buckets=_LATE_SECONDS,
            registry=registry,
        )
        self._recording_alarms = Counter(
            "click2call_recording_errors", "Recordings that are incomplete, or cannot be made ready.", registry=registry
        )
        self._recordings = Counter("click2call_recordings_ready", "Recordings that can be fetched.", registry=registry)
        self._deliveries = Counter(
            "click2call_webhook_deliveries",
            "Attempts to deliver an event to a webhook, by outcome.",
            ("outcome",),
            registry=registry,
        )
        self._requests = Counter(
            "click2call_http_requests", "HTTP requests.", ("method", "route", "status"), registry=registry
        )
        self._request_seconds = Histogram(
            "click2call_http_request_seconds",
            "Time from an HTTP request to the end of its answer, but for streams of events.",
            ("route",),
            buckets=_REQUEST_SECONDS,
            registry=registry,
        )

    def watch(self, sources: Sources) -> None:
        """Read these at each look."""
        self.registry.register(_Standing(sources, self.calls, self.shown))

    def shown(self, name: str) -> str:
        """Return what a label says of something that belongs to one organisation."""
        return name if self._organisations else ""

    def scheduled(self, late_seconds: float) -> None:
        """Count a future call that was dialled."""
        self._late.observe(max(late_seconds, 0.0))

    def recordings(self, then: Callable[[RecordingNews], None]) -> Callable[[RecordingNews], None]:
        """Return what counts news of recordings, and passes them on."""

        def count(news: RecordingNews) -> None:
            counter = self._recording_alarms if isinstance(news, RecordingAlarm) else self._recordings
            counter.inc()
            then(news)

        return count

    def delivered(self, delivery: Delivery) -> None:
        """Count an attempt to deliver an event."""
        self._deliveries.labels("delivered" if delivery.delivered else "failed").inc()

    def request(self, handler: RequestHandler) -> None:
        """Count a request that is answered."""
        request = handler.request
        method = request.method if request.method in handler.SUPPORTED_METHODS else "other"
        route = getattr(request, "route", "none")
        self._requests.labels(method, route, handler.get_status()).inc()
        if route not in STREAMS:
            self._request_seconds.labels(route).observe(request.request_time())


class _Standing(Collector):
    """How the server stands now."""

    def __init__(self, sources: Sources, calls: CallMetrics, shown: Callable[[str], str]) -> None:
        self._sources = sources
        self._calls = calls
        self._shown = shown

    def collect(self) -> Iterable[Metric]:
        """Read it."""
        calls = GaugeMetricFamily(
            "click2call_calls_in_progress", "Calls in progress.", labels=("organisation", "direction", "state")
        )
        for standing, count in self._calls.in_progress().items():
            calls.add_metric(standing, count)
        yield calls
        yield from _pool_metrics(self._sources.pool())
        trunks = GaugeMetricFamily(
            "click2call_trunk_registered", "1 when the trunk is registered; trunks that register.", labels=("trunk",)
        )
        for trunk in self._sources.trunks():
            if trunk.state is not RegistrationState.NONE:
                trunks.add_metric((trunk.trunk,), float(trunk.state is RegistrationState.REGISTERED))
        yield trunks
        yield from self._queue_metrics()
        yield from self._event_metrics()

    def _queue_metrics(self) -> Iterable[Metric]:
        waiting: Tally[tuple[str, str]] = Tally()
        longest: dict[tuple[str, str], float] = {}
        agents: Tally[tuple[str, str, str]] = Tally()
        now = time.monotonic()
        for organisation in self._sources.directory.current.organisations:
            for queue in self._sources.queues.statuses(organisation):
                place = self._shown(organisation), self._shown(queue.number)
                waiting[place] += queue.waiting
                longest[place] = max(longest.get(place, 0.0), _longest_wait(queue, now))
                agents.update((*place, str(agent.state)) for agent in queue.agents)
        of_queue = ("organisation", "queue")
        yield _gauges("click2call_queue_waiting", "Callers who wait for an agent.", of_queue, waiting)
        yield _gauges("click2call_queue_longest_wait_seconds", "How long the first of them waits.", of_queue, longest)
        yield _gauges("click2call_queue_agents", "Agents of queues, by state.", (*of_queue, "state"), agents)

    def _event_metrics(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "click2call_events_unstored",
            "Events that the database has not taken yet.",
            self._sources.events.recorder.pending,
        )
        oldest: dict[tuple[str, str], float] = {}
        now = time.time()
        for (organisation, name), stored_at in self._sources.events.webhooks.delivering().items():
            place = self._shown(organisation), self._shown(name)
            oldest[place] = max(oldest.get(place, 0.0), 0.0 if stored_at is None else now - stored_at)
        yield _gauges(
            "click2call_webhook_delay_seconds",
            "Age of the event that is being delivered to a webhook; 0 when all are.",
            ("organisation", "webhook"),
            oldest,
        )


def _pool_metrics(state: PoolState) -> Iterable[Metric]:
    for name, text, value in (
        ("workers", "Worker processes that carry calls.", state.workers),
        ("workers_startable", "Worker processes that can be started beside them.", state.startable),
        ("leg_slots", "Leg slots of the workers that run.", state.leg_slots),
        ("leg_slots_reserved", "Leg slots that calls have.", state.reserved),
        ("leg_slots_free", "Leg slots of the workers that run which no call has.", state.leg_slots - state.reserved),
    ):
        yield GaugeMetricFamily(f"click2call_{name}", text, value)
    yield CounterMetricFamily("click2call_workers_started", "Worker processes that were started.", state.started)
    yield CounterMetricFamily("click2call_workers_died", "Worker processes that died with their calls.", state.died)


def _longest_wait(queue: QueueStatus, now: float) -> float:
    return 0.0 if queue.longest_since is None else now - queue.longest_since


def _gauges(name: str, text: str, labels: Sequence[str], values: Mapping[Any, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for place, value in values.items():
        family.add_metric(place, value)
    return family
