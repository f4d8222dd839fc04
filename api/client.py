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
from typing import Any, Final, Literal, TypedDict, Unpack
from urllib.parse import quote

import httpx
from httpx_sse import connect_sse

from api.campaign_client import CampaignRequests
from api.client_transport import (
    ANSWER_SECONDS,
    ClientError,
    RefusedError,
    Transport,
    UnexpectedAnswerError,
    UnreachableError,
)
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
    PlacedCall,
    Queue,
    QueuePage,
    Record,
    RecordPage,
    TrunkPage,
    TrunkStatus,
)
from api.schedule_models import Schedule, SchedulePage, ScheduleReport
from sipcore.service.calls import DEFAULT_RING_SECONDS

__all__ = ["Audio", "Client", "ClientError", "Event", "RecordsWanted", "RefusedError", "UnexpectedAnswerError",
           "UnreachableError"]  # fmt: skip

_SILENCE_SECONDS: Final = 45.0
"""How long a stream of events may be silent: three heartbeats of the server."""
RECONNECT_SECONDS: Final = 2.0
"""Before a stream of events is opened again, where the server has not said how long."""


class RecordsWanted(TypedDict, total=False):
    """Which records: as the query of `GET /api/v1/records`; times are aware, or written as RFC 3339 does."""

    uid: str | None
    number: str | None
    disposition: str | None
    batch: str | None
    extension: str | None
    reference: str | None
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


class Client(Transport, CampaignRequests):
    """Talks to one server (`Transport`). Every method raises a `ClientError` when it cannot do what it says."""

    def dialup(self, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        """Place a call as the URL call does, by its own names; return its JSON answer, empty when there is none.

        Args:
            parameters: of `/API/dialup.php`, without those that say who asks.
        """
        seconds = ANSWER_SECONDS + float(parameters.get("Timeout", DEFAULT_RING_SECONDS))
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
        seconds = ANSWER_SECONDS + ring_seconds if wait else ANSWER_SECONDS
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

    def export_records(self, form: Literal["csv", "jsonl"], **wanted: Unpack[RecordsWanted]) -> Iterator[bytes]:
        """Return the octets of a file of records, oldest first, as they come; one that breaks off raises."""
        with self._streamed(f"/api/v1/records.{form}", _query(wanted)) as response:
            yield from response.iter_bytes()

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
        timeout = httpx.Timeout(ANSWER_SECONDS, read=_SILENCE_SECONDS)
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
