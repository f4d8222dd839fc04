"""The HTTP application on a free port, over a scripted engine and a record store in memory."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
from argon2 import PasswordHasher
from described_answers import check_answers
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.netutil import bind_sockets

from api.application import Services, make_application
from api.handlers.events import EventStreams
from api.metrics import Metrics, Sources
from api.server import Server
from sipcore.audio.recordings import RecordingFolder
from sipcore.domain.batch_record import BatchPage, BatchRecord
from sipcore.domain.call_recording import RecordingAction
from sipcore.domain.directory import Announcement, ApiKey, Directory, HuntStrategy, Organisation, Queue, User
from sipcore.domain.idempotency import KeptAnswer, KeyClaim, Standing
from sipcore.domain.issued_key import IssuedKey
from sipcore.domain.ladder import LegLadder
from sipcore.domain.lines import LineBoard
from sipcore.domain.pool_state import PoolState
from sipcore.domain.public_events import PublicEvent, StoredEvent, first_id_at
from sipcore.domain.record import CallRecord, RecordFilter, RecordPage
from sipcore.domain.recording import Recording
from sipcore.domain.registration import RegistrationState, TrunkState
from sipcore.domain.role import Role
from sipcore.domain.waiting_queue import AgentMemory
from sipcore.service.authentication import Authenticator
from sipcore.service.batches import Batches
from sipcore.service.calls import AcceptedCall, DialRequest, FurtherLeg, LiveDirectory
from sipcore.service.campaigns import Campaigns
from sipcore.service.event_log import EventLog
from sipcore.service.idempotency import Idempotency
from sipcore.service.key_ring import KeyRing
from sipcore.service.numbers import PhoneNumberPlan
from sipcore.service.queue_board import QueueBoard
from sipcore.service.recording_archive import RecordingArchive
from sipcore.service.schedules import Schedules

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
KEY = "c2c_0123456789abcdef"


class MemoryRequests:
    """Keys of requests in memory; a test may say how the next one stands."""

    def __init__(self) -> None:
        self.claims: dict[tuple[str, str], KeyClaim] = {}

    async def claim(self, organisation: str, key: str, fingerprint: str, _now: datetime) -> KeyClaim:
        fresh = KeyClaim(f"{len(self.claims):032x}", fingerprint, Standing.FIRST)
        found = self.claims.setdefault((organisation, key), fresh)
        if found is not fresh and found.standing is Standing.FIRST:
            return replace(found, standing=Standing.RESUMED)
        return found

    async def keep_answer(self, organisation: str, claim_id: str, key: str, answer: KeptAnswer) -> None:
        claim = self.claims[organisation, key]
        assert claim.id == claim_id
        self.claims[organisation, key] = replace(claim, standing=Standing.ANSWERED, answer=answer)

    async def drop_key(self, organisation: str, claim_id: str, key: str) -> None:
        assert self.claims.pop((organisation, key)).id == claim_id


class ScriptedCalls:
    """Accepts every call; a test scripts how the first stage ends, whether the call does, or which error is raised."""

    def __init__(self) -> None:
        self.dialled: list[DialRequest] = []
        self.error: Exception | None = None
        self.pending = False
        self.ends = False
        self.fail_reason: str | None = None
        self.fail_reasons: dict[str, str] = {}
        self.first_stages: list[asyncio.Future[str | None]] = []
        self.hung_up: list[tuple[str, str, str]] = []
        self.arrived = asyncio.Event()
        self.recorded: dict[tuple[str, str], CallRecord] = {}
        self.recording_changes: list[RecordingAction] = []

    async def dial(self, request: DialRequest) -> AcceptedCall:
        self.dialled.append(request)
        if self.error is not None:
            raise self.error
        first_stage = asyncio.get_running_loop().create_future()
        if not self.pending:
            first_stage.set_result(self.fail_reasons.get(request.dial1, self.fail_reason))
        self.first_stages.append(first_stage)
        self.arrived.set()
        over = asyncio.get_running_loop().create_future()
        if self.ends:
            over.set_result(None)
        number = len(self.first_stages)
        return AcceptedCall(f"r{number}", *(request.uids or ("uid-1", "uid-2")), first_stage, over)

    def hang_up(self, organisation: str, call_id: str, by: str = "request") -> bool:
        if int(call_id[1:]) > len(self.first_stages):
            return False
        self.hung_up.append((organisation, call_id, by))
        first_stage = self.first_stages[int(call_id[1:]) - 1]
        if not first_stage.done():
            first_stage.set_result("Unreachable")
        return True

    def change_recording(self, organisation: str, call_id: str, action: RecordingAction) -> CallRecord | None:
        if self.error is not None:
            raise self.error
        record = self.recorded.get((organisation, call_id))
        if record is not None:
            self.recording_changes.append(action)
        return record


class ScriptedControl:
    """Remembers what was asked; a test says of which calls there are records, and which error is raised."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.error: Exception | None = None
        self.records: dict[tuple[str, str], CallRecord] = {}

    def send_digits(self, organisation: str, call_id: str, role: Role, digits: str) -> CallRecord | None:
        return self._take("digits", organisation, call_id, role, digits)

    async def join_third(self, organisation: str, call_id: str, wanted: FurtherLeg) -> CallRecord | None:
        return self._take("join", organisation, call_id, wanted)

    async def transfer(self, organisation: str, call_id: str, wanted: FurtherLeg) -> CallRecord | None:
        return self._take("transfer", organisation, call_id, wanted)

    def _take(self, what: str, organisation: str, call_id: str, *wanted: object) -> CallRecord | None:
        record = self.records.get((organisation, call_id))
        if record is not None:
            self.asked.append((what, *wanted))
            if self.error is not None:
                raise self.error
        return record


class MemoryLadders:
    """Hands out the ladders that a test puts in."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], tuple[LegLadder, ...]] = {}

    async def of(self, organisation: str, record_id: str) -> tuple[LegLadder, ...]:
        return self.kept.get((organisation, record_id), ())

    async def purge(self, *_: object) -> int:
        return 0


class MemoryStore:
    """Hands out what a test puts in, and remembers what it was asked."""

    def __init__(self) -> None:
        self.records: list[CallRecord] = []
        self.asked: list[tuple[str, RecordFilter, str | None]] = []
        self.error: Exception | None = None
        self.next: str | None = None
        self.recordings: dict[str, Recording] = {}
        self.memories: list[AgentMemory] = []
        self.batches: list[BatchRecord] = []
        self.cursors: list[str | None] = []
        self.ladders = MemoryLadders()

    async def get(self, organisation: str, record_id: str) -> CallRecord | None:
        mine = [record for record in self.records if (record.organisation, record.id) == (organisation, record_id)]
        return mine[0] if mine else None

    async def find(
        self, organisation: str, wanted: RecordFilter, *, cursor: str | None = None, limit: int = 50
    ) -> RecordPage:
        self.asked.append((organisation, wanted, cursor))
        if self.error is not None:
            raise self.error
        return RecordPage(tuple(r for r in self.records if r.organisation == organisation)[:limit], self.next)

    async def keep_batch(self, batch: BatchRecord) -> None:
        if self.error is not None:
            raise self.error
        self.batches[:] = [batch, *(kept for kept in self.batches if kept.id != batch.id)]

    async def cancel_batch(self, organisation: str, batch_id: str) -> None:
        if self.error is not None:
            raise self.error
        kept = await self.get_batch(organisation, batch_id)
        if kept is not None and kept.ended_at is None:
            await self.keep_batch(replace(kept, cancelled_by="request"))

    async def get_batch(self, organisation: str, batch_id: str) -> BatchRecord | None:
        mine = [batch for batch in self.batches if (batch.organisation, batch.id) == (organisation, batch_id)]
        return mine[0] if mine else None

    async def find_batches(self, organisation: str, *, cursor: str | None = None, limit: int = 50) -> BatchPage:
        self.cursors.append(cursor)
        return BatchPage(tuple(b for b in self.batches if b.organisation == organisation)[:limit], self.next)

    async def agent_memories(self) -> tuple[AgentMemory, ...]:
        return ()

    async def keep_agents(self, memories: Sequence[AgentMemory]) -> None:
        self.memories += memories

    async def recording(self, organisation: str, recording_id: str) -> Recording | None:
        found = self.recordings.get(recording_id)
        return found if found is not None and found.organisation == organisation else None

    async def recording_deleted(self, recording_id: str, at: datetime) -> None:
        self.recordings[recording_id] = replace(self.recordings[recording_id], deleted_at=at)

    async def ping(self) -> None:
        if self.error is not None:
            raise self.error


class MemoryKeys:
    """A key store in memory."""

    def __init__(self) -> None:
        self.kept: list[IssuedKey] = []
        self.error: Exception | None = None

    async def add(self, key: IssuedKey) -> None:
        self.kept.append(key)

    async def revoke(self, organisation: str, key_id: str, at: datetime) -> None:
        for place, key in enumerate(self.kept):
            if (key.organisation, key.id, key.revoked_at) == (organisation, key_id, None):
                self.kept[place] = replace(key, revoked_at=at)

    async def find(self, digest: str) -> IssuedKey | None:
        if self.error is not None:
            raise self.error
        return next((key for key in self.kept if key.digest == digest), None)

    async def of_organisation(self, organisation: str) -> tuple[IssuedKey, ...]:
        return tuple(key for key in reversed(self.kept) if key.organisation == organisation)


POOL = PoolState(workers=3, startable=7, started=5, died=1, leg_slots=12, reserved=4)


class StoppedEvents:
    """As much of what tells others as the metrics read."""

    def __init__(self) -> None:
        self.recorder = self.webhooks = self
        self.pending = 0
        self.delays: dict[tuple[str, str], float | None] = {}

    def delivering(self) -> dict[tuple[str, str], float | None]:
        return self.delays


@dataclass
class Site:
    """A running server and what is behind it."""

    port: int
    calls: ScriptedCalls
    store: MemoryStore
    client: AsyncHTTPClient
    logged: list[Any]
    queues: QueueBoard
    recordings: RecordingArchive
    events: MemoryEvents
    streams: EventStreams
    control: ScriptedControl = field(default_factory=ScriptedControl)
    requests: MemoryRequests = field(default_factory=MemoryRequests)
    keys: MemoryKeys = field(default_factory=MemoryKeys)
    hung_up_elsewhere: list[tuple[str, str]] = field(default_factory=list)
    live: dict[tuple[str, str], CallRecord] = field(default_factory=dict)
    workers_ready: bool = True
    stopping: bool = False
    pool: PoolState = POOL
    told_outside: StoppedEvents = field(default_factory=StoppedEvents)
    trunks: list[TrunkState] = field(default_factory=list)

    async def hang_up_elsewhere(self, organisation: str, call_id: str) -> None:
        self.hung_up_elsewhere.append((organisation, call_id))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def log_has(self, count: int) -> None:
        """Wait until so many events were passed on."""
        async with asyncio.timeout(5):
            await self.streams.log.after("acme", self.events.stored[count - 1].id - 1, 5)

    async def fetch(self, path: str, **request: Any) -> HTTPResponse:
        return await self.client.fetch(f"{self.url}{path}", raise_error=False, follow_redirects=False, **request)

    async def dialup(self, query: dict[str, str] | None = None, *, without: str = "", **request: Any) -> HTTPResponse:
        """GET a complete request, changed by `query` (names that differ in case count as others)."""
        given = {"user": "alice", "pass": "s3cret", "org": "acme", "dial1": "101", "dial2": "+12025550123"}
        given |= query or {}
        given.pop(without, None)
        return await self.fetch(f"/API/dialup.php?{urlencode(given)}", **request)

    async def raw(self, sent: bytes) -> bytes:
        """Send bytes, return everything that comes back until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(sent)
        try:
            return await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()


@pytest.fixture
def directory() -> Directory:
    acme = Organisation(
        name="acme",
        trunk="main",
        caller_id="+12025550100",
        time_zone="America/New_York",
        ident="org-secret",
        calls_per_second=1000.0,
        announcements={"800": Announcement("800", "/notice.wav")},
        users={
            "alice": User("alice", password="s3cret"),
            "bob": User("bob", password_hash=CHEAP.hash("pässword: with colon")),
        },
        queues={
            "700": Queue("700", ("101", "+12025550123"), HuntStrategy.ROUND_ROBIN, wrap_up_seconds=3600),
            "701": Queue("701", ("101",)),
        },
        api_keys={"crm": ApiKey("crm", hashlib.sha256(KEY.encode()).hexdigest())},
    )
    other = Organisation(name="other", users={"carol": User("carol", password="s3cret")})
    return Directory(organisations={"acme": acme, "other": other})


@pytest.fixture
def bearer_key() -> str:
    return KEY


class MemoryEvents:
    """An event store in memory; a test puts events in."""

    def __init__(self) -> None:
        self.stored: list[StoredEvent] = []
        self.on_stored = lambda: None

    async def put(self, events: list[PublicEvent]) -> None:
        first = max([first_id_at(time.time()), *(event.id + 1 for event in self.stored)])
        self.stored += [
            StoredEvent(event_id, event.organisation, event.type, event.body())
            for event_id, event in enumerate(events, first)
        ]
        self.on_stored()

    async def after(self, event_id: int, organisation: str | None, limit: int) -> tuple[StoredEvent, ...]:
        found = [e for e in self.stored if e.id > event_id and organisation in (None, e.organisation)]
        return tuple(found[:limit])

    async def newest(self) -> int:
        return self.stored[-1].id if self.stored else 0

    async def purge(self, *_: int) -> int:
        return 0


@pytest.fixture
def schedule_store() -> Any:
    """Tests of future calls have one; nobody else asks for it."""
    return None


@pytest.fixture
def campaign_store() -> Any:
    """Tests of campaigns have one; nobody else asks for it."""
    return None


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def metrics_token() -> str | None:
    return None


@pytest.fixture
async def site(
    directory: Directory,
    tmp_path: Path,
    schedule_store: Any,
    campaign_store: Any,
    metrics: Metrics,
    metrics_token: str | None,
):
    told: list[object] = []
    key_store = MemoryKeys()
    keys = KeyRing(key_store)
    calls, store, live = ScriptedCalls(), MemoryStore(), LiveDirectory(directory)
    control = ScriptedControl()
    queues = QueueBoard(live, LineBoard(), store, told.append)
    await queues.start()
    recordings = RecordingArchive(RecordingFolder.open(tmp_path, tmp_path / "kept"), store, live)
    events, requests = MemoryEvents(), MemoryRequests()
    log = EventLog(events, kept_days=7)
    events.on_stored = log.on_stored
    await log.start()
    streams = EventStreams(log)
    with structlog.testing.capture_logs() as logged:
        site = Site(0, calls, store, AsyncHTTPClient(force_instance=True), logged, queues, recordings, events, streams)
        site.control = control
        site.requests = requests
        site.keys = key_store
        site.trunks.append(TrunkState("main", RegistrationState.REGISTERED, 200, "OK"))
        application = make_application(
            Services(
                calls=calls,
                control=control,
                store=store,
                ladders=store.ladders,
                batches=Batches(calls, store, live, PhoneNumberPlan(), queues),
                schedules=Schedules(
                    schedule_store,
                    live,
                    PhoneNumberPlan(),
                ),
                campaigns=Campaigns(campaign_store, live, PhoneNumberPlan()),
                queues=queues,
                recordings=recordings,
                streams=streams,
                authenticator=Authenticator(live, keys, hasher=CHEAP),
                directory=live,
                keys=keys,
                workers_ready=lambda: site.workers_ready,
                trunk_states=lambda: site.trunks,
                idempotency=Idempotency(requests),
                hang_up_elsewhere=site.hang_up_elsewhere,
                metrics=metrics,
                metrics_token=metrics_token,
                stopping=lambda: site.stopping,
                live_record=lambda organisation, key: site.live.get((organisation, key)),
                live_records=lambda organisation: [
                    record for (mine, _), record in site.live.items() if mine == organisation
                ],
            )
        )
        undescribed = check_answers(application)
        metrics.watch(Sources(lambda: site.pool, lambda: site.trunks, live, queues, site.told_outside))
        server = Server(application)
        sockets = bind_sockets(0, "127.0.0.1")
        site.port = sockets[0].getsockname()[1]
        server.add_sockets(sockets)
        yield site
        server.stop()
        streams.end()
        await log.stop()
        site.client.close()
        await server.close_all_connections()
        assert undescribed == []
