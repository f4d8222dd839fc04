"""`/api/v1/events`: what happens, as it happens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api.handlers.events import EventSocketHandler, EventStreamHandler, EventStreams
from api.models import Query
from api.operations import Operation
from sipcore.domain.directory import Scope
from sipcore.domain.public_events import EventType
from sipcore.service.authentication import Authenticator

_TYPE = f"({'|'.join(EventType)})"


class EventQuery(Query):
    """Which events."""

    after: Annotated[
        str | None, Field(description="id of the last event that is known", pattern="^[0-7][0-9a-f]{15}$")
    ] = None
    types: Annotated[
        str | None,
        Field(description="some types, separated by commas; without it all", pattern=f"^{_TYPE}(,{_TYPE})*$"),
    ] = None


class EventsResource:
    """The organisation's events.

    Args:
        streams: those who follow them.
        authenticator: knows who is asking.
    """

    def __init__(self, streams: EventStreams, authenticator: Authenticator) -> None:
        self._of_events = {"authenticator": authenticator, "streams": streams}

    def operations(self) -> list[Operation]:
        """Return what can be done."""
        return [
            Operation(
                name="followEvents", method="GET", path="/api/v1/events", tag="events", scope=Scope.READ,
                summary="Events as they happen (server-sent events)", query=EventQuery, media=("text/event-stream",),
                problems=frozenset({410}), handler=(EventStreamHandler, self._of_events),
            ),
            Operation(
                name="followEventsOverWebSocket", method="GET", path="/api/v1/events/ws", tag="events",
                scope=Scope.READ, summary="Events as they happen (WebSocket)", query=EventQuery, status=101,
                problems=frozenset({410, 426}), handler=(EventSocketHandler, self._of_events),
            ),
        ]  # fmt: skip
