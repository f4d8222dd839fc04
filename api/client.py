"""A client of a running server's JSON API, as the command line uses it.

Answers are the models of `api.models`; what a newer server tells beyond them is passed over.

    with Client("http://127.0.0.1:8080", key="c2c_...") as client:
        call = client.place_call("101", "+12025550123", wait=True)
        for record in client.records(number="101"):
            print(record.id, record.disposition)
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.message import Message
from types import TracebackType
from typing import Any, Final, Literal, Self, TypedDict, TypeVar, Unpack
from urllib.parse import quote

import httpx
from httpx_sse import SSEError, connect_sse
from pydantic import ValidationError

from api.campaign_client import CampaignRequests
from api.models import (
    Agent,
    Batch,
    BatchPage,
    BatchReport,
    CallPage,
    ExtensionPage,
    ExtensionState,
    Ladder,
    LimitStatus,
    Model,
    PlacedCall,
    Queue,
    QueuePage,
    Record,
    RecordPage,
    TrunkPage,
    TrunkStatus,
)
from api.schedule_models import Schedule, SchedulePage, ScheduleReport
from sipcore.domain.errors import Click2CallError
from sipcore.service.calls import DEFAULT_RING_SECONDS

_ANSWER_SECONDS: Final = 10.0
"""How long the server may take to answer, beyond the time that the request lets it wait."""
_SILENCE_SECONDS: Final = 45.0
"""How long a stream of events may be silent: three heartbeats of the server."""
RECONNECT_SECONDS: Final = 2.0
"""Before a stream of events is opened again, where the server has not said how long."""

ModelT = TypeVar("ModelT", bound=Model)


class ClientError(Click2CallError):
    """What was asked of a server did not come about."""

    error_id = "client"


class UnreachableError(ClientError):
    """The server cannot be reached, or was lost before its answer was whole."""

    error_id = "unreachable"


class UnexpectedAnswerError(ClientError):
    """Something answers, but not as a Click2Call server does."""

    error_id = "unexpected_answer"


class RefusedError(ClientError):
    """The server refused; nothing was done.

    Args:
        status: of HTTP.
        detail: what was wrong, for people.
        error_id: the problem's stable id.
        parameter: what part of the request it is about, or None.
        retry_after: seconds after which it may succeed, or None.
    """

    error_id = "refused"

    def __init__(
        self, status: int, detail: str, error_id: str | None, parameter: str | None, retry_after: int | None
    ) -> None:
        super().__init__(f"refused ({status}): {detail}")
        self.status = status
        self.detail = detail
        self.error_id = error_id or type(self).error_id
        self.parameter = parameter
        self.retry_after = retry_after


class RecordsWanted(TypedDict, total=False):
    """Which records: as the query of `GET /api/v1/records`; times are aware, or written as RFC 3339 does."""

    uid: str | None
    number: str | None
    disposition: str | None
    batch: str | None
    since: datetime | str | None
    until: datetime | str | None


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        id: from which a later `events(after=...)` goes on.
        type: as docs/events.md lists them.
        body: the whole of it.
    """

    id: str
    type: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Audio:
    """A recording on its way.

    Attributes:
        file_name: as the server calls it.
        chunks: its octets, to be read once.
    """

    file_name: str
    chunks: Iterator[bytes]


class Client(CampaignRequests):
    """Talks to one server. Every method raises a `ClientError` when it cannot do what it says.

    Args:
        url: of the server, without a path.
        key: a Bearer key; in its place:
        user: as `user@organisation`, with its `password`.

    Raises:
        ClientError: the URL is none.
    """

    def __init__(self, url: str, *, key: str | None = None, user: str = "", password: str = "") -> None:
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL:
            address = httpx.URL()
        if address.scheme not in {"http", "https"} or not address.host:
            raise ClientError(f"{url} is no http:// or https:// address")
        self._url = url
        self._http = httpx.Client(
            base_url=address,
            auth=None if key else httpx.BasicAuth(user, password),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=_ANSWER_SECONDS,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def dialup(self, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        """Place a call as the URL call does, by its own names; return its JSON answer, empty when there is none.

        Args:
            parameters: of `/API/dialup.php`, without those that say who asks.
        """
        seconds = _ANSWER_SECONDS + float(parameters.get("Timeout", DEFAULT_RING_SECONDS))
        response = self._ask("POST", "/API/dialup.php", data={**parameters, "RFormat": "json"}, timeout=seconds)
        return self._json(response) if response.content else {}

    def place_call(
        self,
        dial1: str,
        dial2: str,
        *,
        set_cid: str | None = None,
        ring_seconds: int = DEFAULT_RING_SECONDS,
        wait: bool = False,
    ) -> PlacedCall:
        """Ring `dial1`, and on its answer `dial2`.

        Args:
            dial1: destination 1; one.
            dial2: destination 2.
            set_cid: caller identity of both legs.
            ring_seconds: how long dial1 may ring.
            wait: whether to come back when dial1 has answered or failed, and not at once.
        """
        body = {"dial1": dial1, "dial2": dial2, "set_cid": set_cid, "ring_seconds": ring_seconds, "wait": wait}
        seconds = _ANSWER_SECONDS + ring_seconds if wait else _ANSWER_SECONDS
        return self._read(PlacedCall, self._ask("POST", "/api/v1/calls", json=body, timeout=seconds))

    def calls(self) -> list[Record]:
        """Return the calls in progress, newest first."""
        return self._get(CallPage, "/api/v1/calls").items

    def call(self, call_id: str) -> Record:
        """Return a call, in progress or over."""
        return self._get(Record, f"/api/v1/calls/{_part(call_id)}")

    def hang_up(self, call_id: str) -> Record:
        """End a call; one that is over stays as it is."""
        return self._read(Record, self._ask("DELETE", f"/api/v1/calls/{_part(call_id)}"))

    def dial_batch(
        self,
        dial1: list[str],
        dial2: str,
        *,
        set_cid: str | None = None,
        ring_seconds: int = DEFAULT_RING_SECONDS,
    ) -> BatchReport:
        """Dial many numbers; each that answers gets its own `dial2`. Arguments as of `place_call`."""
        body = {"dial1": dial1, "dial2": dial2, "set_cid": set_cid, "ring_seconds": ring_seconds}
        return self._read(BatchReport, self._ask("POST", "/api/v1/batches", json=body))

    def batches(self) -> Iterator[Batch]:
        """Return all batches, newest first."""
        return self._pages(BatchPage, "/api/v1/batches", {})

    def batch(self, batch_id: str) -> BatchReport:
        """Return a batch and its numbers."""
        return self._get(BatchReport, f"/api/v1/batches/{_part(batch_id)}")

    def cancel_batch(self, batch_id: str) -> BatchReport:
        """Dial no further number of a batch."""
        return self._read(BatchReport, self._ask("DELETE", f"/api/v1/batches/{_part(batch_id)}"))

    def schedules(self) -> Iterator[Schedule]:
        """Return all future calls, newest first."""
        return self._pages(SchedulePage, "/api/v1/schedules", {})

    def schedule(self, schedule_id: str) -> ScheduleReport:
        """Return a future call and its numbers."""
        return self._get(ScheduleReport, f"/api/v1/schedules/{_part(schedule_id)}")

    def make_schedule(self, wanted: Mapping[str, Any]) -> ScheduleReport:
        """Have numbers dialled at a later time.

        Args:
            wanted: the members of `NewSchedule`.
        """
        return self._read(ScheduleReport, self._ask("POST", "/api/v1/schedules", json=wanted))

    def change_schedule(self, schedule_id: str, changes: Mapping[str, Any]) -> ScheduleReport:
        """Change a future call that is pending.

        Args:
            schedule_id: which.
            changes: some of the members of `ScheduleChanges`.
        """
        return self._read(ScheduleReport, self._ask("PATCH", f"/api/v1/schedules/{_part(schedule_id)}", json=changes))

    def cancel_schedule(self, schedule_id: str) -> ScheduleReport:
        """Dial nothing more of a future call."""
        return self._read(ScheduleReport, self._ask("DELETE", f"/api/v1/schedules/{_part(schedule_id)}"))

    def records(self, **wanted: Unpack[RecordsWanted]) -> Iterator[Record]:
        """Return records, newest first; pages are fetched as they are needed."""
        return self._pages(RecordPage, "/api/v1/records", _query(wanted))

    def record(self, record_id: str) -> Record:
        """Return the record of a call."""
        return self._get(Record, f"/api/v1/records/{_part(record_id)}")

    def ladder(self, record_id: str) -> Ladder:
        """Return the SIP messages of a call's legs."""
        return self._get(Ladder, f"/api/v1/records/{_part(record_id)}/ladder")

    def drawn_ladder(self, record_id: str) -> str:
        """Return the SIP messages of a call's legs, drawn in text."""
        return self._ask("GET", f"/api/v1/records/{_part(record_id)}/ladder.txt").text

    @contextmanager
    def recording(self, recording_id: str) -> Iterator[Audio]:
        """Open the audio of a recording."""
        with self._streamed(f"/api/v1/recordings/{_part(recording_id)}", {}) as response:
            header = Message()
            header["Content-Disposition"] = response.headers.get("Content-Disposition", "")
            yield Audio(header.get_filename() or recording_id, response.iter_bytes())

    def delete_recording(self, recording_id: str) -> None:
        """Delete the audio of a recording."""
        self._ask("DELETE", f"/api/v1/recordings/{_part(recording_id)}")

    def queues(self) -> list[Queue]:
        """Return all queues, by number."""
        return self._get(QueuePage, "/api/v1/queues").items

    def queue(self, number: str) -> Queue:
        """Return a queue as it is now."""
        return self._get(Queue, f"/api/v1/queues/{_part(number)}")

    def pause_agent(self, queue: str, agent: str) -> Agent:
        """Offer an agent of a queue no more callers."""
        return self._change_agent(queue, agent, "pause")

    def resume_agent(self, queue: str, agent: str) -> Agent:
        """Offer a paused agent callers again."""
        return self._change_agent(queue, agent, "resume")

    def extensions(self) -> list[ExtensionState]:
        """Return all extensions, by number."""
        return self._get(ExtensionPage, "/api/v1/extensions").items

    def trunks(self) -> list[TrunkStatus]:
        """Return the organisation's trunk, if it has one."""
        return self._get(TrunkPage, "/api/v1/trunks").items

    def limits(self) -> LimitStatus:
        """Return the organisation's limits, and what it uses of them."""
        return self._get(LimitStatus, "/api/v1/limits")

    def events(self, *, after: str | None = None, types: tuple[str, ...] = ()) -> Iterator[Event]:
        """Follow events as they happen. A connection that is lost is made again, and nothing is missed.

        Args:
            after: id of the last event that is known; None: from now on.
            types: only these; empty: all.

        Raises:
            RefusedError: with status 410, what followed `after` is no longer kept.
        """
        place, known, pause = after, False, RECONNECT_SECONDS
        query = {"types": ",".join(types)} if types else {}
        timeout = httpx.Timeout(_ANSWER_SECONDS, read=_SILENCE_SECONDS)
        while True:
            headers = {} if place is None else {"Last-Event-ID": place}
            try:
                with self._failures_told():
                    stream = connect_sse(
                        self._http, "GET", "/api/v1/events", params=query, headers=headers, timeout=timeout
                    )
                    with stream as source:
                        self._check(source.response)
                        for told in source.iter_sse():
                            known, place = True, told.id or place
                            pause = pause if told.retry is None else told.retry / 1000
                            if told.data:
                                yield Event(told.id, told.event, told.json())
            except UnreachableError:
                if not known:
                    raise
            except RefusedError as error:
                if not known or error.status < httpx.codes.INTERNAL_SERVER_ERROR:
                    raise
            time.sleep(pause)

    def _change_agent(self, queue: str, agent: str, action: Literal["pause", "resume"]) -> Agent:
        path = f"/api/v1/queues/{_part(queue)}/agents/{_part(agent)}/{action}"
        return self._read(Agent, self._ask("POST", path))

    def _pages(self, model: type[Any], path: str, query: Mapping[str, str]) -> Iterator[Any]:
        cursor: str | None = ""
        while cursor is not None:
            page: Any = self._get(model, path, {**query, **({"cursor": cursor} if cursor else {})})
            yield from page.items
            cursor = page.next

    def _get(self, model: type[ModelT], path: str, query: Mapping[str, str] | None = None) -> ModelT:
        return self._read(model, self._ask("GET", path, params=query))

    def _read(self, model: type[ModelT], response: httpx.Response) -> ModelT:
        try:
            return model.model_validate_json(response.content, extra="ignore")
        except ValidationError as error:
            raise self._unexpected() from error

    def _json(self, response: httpx.Response) -> Mapping[str, Any]:
        try:
            told = response.json()
        except ValueError as error:
            raise self._unexpected() from error
        if not isinstance(told, dict):
            raise self._unexpected()
        return told

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        with self._failures_told():
            response = self._http.request(method, path, **request)
            self._check(response)
            return response

    @contextmanager
    def _streamed(self, path: str, query: Mapping[str, str]) -> Iterator[httpx.Response]:
        with self._failures_told(), self._http.stream("GET", path, params=query) as response:
            self._check(response)
            yield response

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        try:
            yield
        except SSEError as error:
            raise self._unexpected() from error
        except httpx.HTTPError as error:
            raise UnreachableError(f"cannot reach {self._url}: {error or type(error).__name__}") from error

    def _check(self, response: httpx.Response) -> None:
        """Let an answer pass that tells of success."""
        if response.is_success:
            return
        response.read()
        told = self._json(response)
        # Problem details (RFC 9457), or an error of the URL call.
        detail, parameter = told.get("detail"), told.get("parameter")
        if detail is None and "reason" in told:
            detail = told["reason"] if parameter is None else f"{parameter}: {told['reason']}"
        if detail is None:
            raise self._unexpected()
        wait = response.headers.get("Retry-After", "")
        retry_after = int(wait) if wait.isdecimal() else None
        raise RefusedError(response.status_code, detail, told.get("error_id"), parameter, retry_after)

    def _unexpected(self) -> UnexpectedAnswerError:
        return UnexpectedAnswerError(f"{self._url} does not answer as a Click2Call server")


def _part(given: str) -> str:
    """Write an id or a number as one part of a path."""
    return quote(given, safe="")


def _query(wanted: RecordsWanted) -> dict[str, str]:
    given: Mapping[str, Any] = {**wanted}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in given.items()
        if value is not None
    }
