"""The routes of the HTTP API, over whatever places calls and keeps records."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tornado.httputil import HTTPServerRequest
from tornado.routing import PathMatches, Rule
from tornado.web import RequestHandler

from api.access_log import log_request
from api.common_headers import CommonHeaders
from api.handlers.base import NotFoundHandler
from api.handlers.dialup import DialupBodyHandler, DialupHandler
from api.handlers.docs import DocsHandler
from api.handlers.events import HEARTBEAT_SECONDS, EventStreams
from api.handlers.health import HealthHandler, ReadinessHandler
from api.handlers.metrics import MetricsHandler
from api.handlers.operation import DescriptionHandler, NoResourceHandler, OperationHandler
from api.handlers.records import LiveRecord
from api.metrics import Metrics
from api.openapi import Document, describe
from api.openapi_3_0 import in_openapi_3_0
from api.operations import Operation, by_pattern
from api.request import RoutedApplication
from api.resources.batches import BatchesResource
from api.resources.calls import CallsResource, LiveRecords
from api.resources.campaigns import CampaignsResource
from api.resources.do_not_call import DoNotCallResource
from api.resources.events import EventsResource
from api.resources.keys import KeysResource
from api.resources.queues import QueuesResource
from api.resources.recordings import RecordingsResource
from api.resources.records import RecordsResource
from api.resources.schedules import SchedulesResource
from api.resources.surroundings import SurroundingsResource
from sipcore.domain.registration import TrunkState
from sipcore.service.authentication import Authenticator
from sipcore.service.batches import Batches
from sipcore.service.calls import CallControl, Calls, LiveDirectory
from sipcore.service.campaigns import Campaigns
from sipcore.service.errand import PassOn
from sipcore.service.idempotency import Idempotency
from sipcore.service.key_ring import KeyRing
from sipcore.service.ladders import LadderStore
from sipcore.service.queue_board import QueueBoard
from sipcore.service.recording_archive import RecordingArchive
from sipcore.service.schedules import Schedules
from sipcore.service.store import RecordStore

_LONGEST_SOCKET_MESSAGE = 4096
"""What clients may say on a WebSocket, which is nothing that matters."""
_DIALUP = r"/API/dialup(?:\.php)?"


class Route(PathMatches):
    """Matches requests of a path, and gives them its name for the metrics.

    Args:
        pattern: of the path.
        name: the same for all paths that it matches.
    """

    def __init__(self, pattern: str, name: str) -> None:
        super().__init__(pattern)
        self._name = name

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return the path's groups, or None when the path is another one."""
        found = super().match(request)
        if found is not None:
            request.route = self._name  # type: ignore[attr-defined]
        return found


class RouteWithBody(Route):
    """Matches requests of a path that bring a body."""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return the path's groups, or None when the path is another one or there is no body."""
        headers = request.headers
        if headers.get("Content-Length", "0") == "0" and "Transfer-Encoding" not in headers:
            return None
        return super().match(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the HTTP API shows.

    Attributes:
        calls: places calls.
        control: changes those in progress.
        batches: dials many numbers.
        schedules: keeps future calls.
        campaigns: keeps campaigns and do-not-call lists.
        store: keeps records.
        ladders: keeps the SIP messages of their legs.
        queues: where callers wait for agents.
        recordings: what was recorded.
        streams: those who follow the events.
        authenticator: knows who is asking.
        directory: the settings in force.
        keys: Bearer keys that were made beside those of the settings.
        workers_ready: tells whether a worker can take a call now.
        trunk_states: tells how each trunk's registration stands.
        idempotency: carries requests that name themselves out once.
        hang_up_elsewhere: has another node end a call of an organisation by its id.
        metrics: counts requests, and is shown.
        metrics_token: what those who read the metrics need; None: nothing.
        stopping: tells whether the server takes no new calls any more.
        live_record: finds a call in progress by organisation and record id or UniqueID, so that its record shows
            the steps that the database does not have yet.
        live_records: finds all calls in progress of an organisation.
        access_log: whether each request gets a line in the log.
    """

    calls: Calls
    control: CallControl
    batches: Batches
    schedules: Schedules
    campaigns: Campaigns
    store: RecordStore
    ladders: LadderStore
    queues: QueueBoard
    recordings: RecordingArchive
    streams: EventStreams
    authenticator: Authenticator
    directory: LiveDirectory
    keys: KeyRing
    workers_ready: Callable[[], bool]
    trunk_states: Callable[[], Sequence[TrunkState]]
    idempotency: Idempotency
    hang_up_elsewhere: PassOn
    metrics: Metrics
    metrics_token: str | None = None
    stopping: Callable[[], bool] = lambda: False
    live_record: LiveRecord = lambda _organisation, _id: None
    live_records: LiveRecords = lambda _organisation: ()
    access_log: bool = True


def make_application(services: Services) -> RoutedApplication:
    """Build the HTTP API."""
    operations = _operations(services)
    return RoutedApplication(
        [
            *_dialup_rules(services),
            *(_rule(pattern, ways, services) for pattern, ways in by_pattern(operations).items()),
            *_description_rules(describe(operations)),
            Rule(PathMatches(r"/api/v1(?:/.*)?"), NoResourceHandler),
            *_health_rules(services),
        ],
        default_handler_class=NotFoundHandler,
        transforms=[CommonHeaders],
        log_function=_counting(services.metrics, access_log=services.access_log),
        websocket_ping_interval=HEARTBEAT_SECONDS,
        websocket_max_message_size=_LONGEST_SOCKET_MESSAGE,
    )


def _operations(of: Services) -> list[Operation]:
    calls = CallsResource(of.calls, of.control, of.store, of.live_record, of.live_records, of.hang_up_elsewhere)
    return [
        *calls.operations(),
        *BatchesResource(of.batches).operations(),
        *SchedulesResource(of.schedules).operations(),
        *CampaignsResource(of.campaigns, of.authenticator).operations(),
        *DoNotCallResource(of.campaigns, of.authenticator).operations(),
        *QueuesResource(of.queues).operations(),
        *SurroundingsResource(of.directory, of.queues, of.trunk_states, of.live_records).operations(),
        *KeysResource(of.keys).operations(),
        *RecordsResource(of.store, of.ladders, of.live_record, of.authenticator).operations(),
        *RecordingsResource(of.recordings, of.authenticator).operations(),
        *EventsResource(of.streams, of.authenticator).operations(),
    ]


def _rule(pattern: str, ways: Mapping[str, Operation], services: Services) -> Rule:
    """Make the route of all operations of one path: they have one handler, their own or the common one."""
    first = next(iter(ways.values()))
    common = {
        "authenticator": services.authenticator, "operations": ways, "idempotency": services.idempotency,
    }  # fmt: skip
    handler, arguments = first.handler or (OperationHandler, common)
    return Rule(Route(pattern, first.path), handler, dict(arguments))


def _dialup_rules(services: Services) -> list[Rule]:
    arguments = {
        "calls": services.calls,
        "batches": services.batches,
        "schedules": services.schedules,
        "authenticator": services.authenticator,
        "idempotency": services.idempotency,
        "store": services.store,
    }
    return [
        Rule(RouteWithBody(_DIALUP, "/API/dialup"), DialupBodyHandler, arguments),
        Rule(Route(_DIALUP, "/API/dialup"), DialupHandler, arguments),
    ]


def _description_rules(description: Document) -> list[Rule]:
    documents = {"openapi": description, "openapi-3.0": in_openapi_3_0(description)}
    return [
        *(
            Rule(
                Route(rf"/api/v1/{re.escape(name)}\.json", f"/api/v1/{name}.json"),
                DescriptionHandler,
                {"document": document},
            )
            for name, document in documents.items()
        ),
        Rule(Route(r"/api/v1/docs(?:/([^/]*))?", "/api/v1/docs"), DocsHandler),
    ]


def _health_rules(services: Services) -> list[Rule]:
    readiness = {
        "store": services.store,
        "workers_ready": services.workers_ready,
        "trunk_states": services.trunk_states,
        "stopping": services.stopping,
    }
    metrics = {"metrics": services.metrics, "token": services.metrics_token}
    return [
        Rule(Route(r"/healthz", "/healthz"), HealthHandler),
        Rule(Route(r"/readyz", "/readyz"), ReadinessHandler, readiness),
        Rule(Route(r"/metrics", "/metrics"), MetricsHandler, metrics),
    ]


def _counting(metrics: Metrics, *, access_log: bool) -> Callable[[RequestHandler], None]:
    def finished(handler: RequestHandler) -> None:
        metrics.request(handler)
        if access_log:
            log_request(handler)

    return finished
