"""The composition root: the one module that knows every room of the house."""

from __future__ import annotations

import asyncio
import os
import pwd
import signal
import tempfile
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from socket import socket
from typing import TypeVar

import structlog
import uvloop
from tornado.netutil import bind_sockets

from api.application import Services, make_application
from api.garbage import collect_seldom
from api.handlers.events import EventStreams
from api.log_setup import set_up
from api.metrics import Metrics, Sources
from api.server import Server
from api.webhook_sender import HttpWebhookSender
from config.directory import directory_of
from config.edge.configuration import CONFIGURATION, TABLES, check_node, configuration, edge_of, write_edge
from config.loader import load
from config.model import Settings
from sipcore.audio.library import AudioLibrary
from sipcore.audio.recordings import RecordingFolder
from sipcore.audio.spool import Spool, open_spool
from sipcore.domain.directory import Directory
from sipcore.domain.errors import SettingsError, StartUpError, StoreUnavailableError
from sipcore.service.admission import EngineSettings
from sipcore.service.authentication import Authenticator
from sipcore.service.batches import Batches
from sipcore.service.call_engine import CallEngine
from sipcore.service.calls import LiveDirectory
from sipcore.service.campaign_dialler import CampaignDialler
from sipcore.service.campaigns import Campaigns
from sipcore.service.errand import Errand
from sipcore.service.eventing import Eventing
from sipcore.service.idempotency import Idempotency
from sipcore.service.key_ring import KeyRing
from sipcore.service.ladders import LadderExpiry
from sipcore.service.nodes import Nodes
from sipcore.service.numbers import PhoneNumberPlan
from sipcore.service.recorder import Recorder
from sipcore.service.recording_archive import RecordingArchive, log_news
from sipcore.service.scheduler import Scheduler
from sipcore.service.schedules import Schedules
from sipcore.sip.pool import WorkerPool
from sipcore.sip.starter import PoolSettings
from sipcore.store.notices import BATCHES_CANCELLED, CAMPAIGNS_DUE, SCHEDULES_DUE
from sipcore.store.opening import migrate as migrate_database
from sipcore.store.records import SqlRecordStore, open_store

_log = structlog.get_logger("server")

TakeOver = Callable[[Directory], Awaitable[None]]
"""Tells everybody who keeps something of the directory that there is a new one."""

Done = TypeVar("Done")


def serve(config: Path) -> int:
    """Run the server until SIGINT or SIGTERM.

    Args:
        config: the settings file; SIGHUP reads its organisations and trunks again.

    Returns:
        The exit code: 0 after an orderly end.

    Raises:
        StartUpError: settings, audio files, address, ports or database are of no use; the text is one clear line.
    """
    settings = load(config, os.environ)
    check_node(settings, str(config))
    set_up(settings.log.format, settings.log.level)
    spool = spool_of(settings)
    library = AudioLibrary(spool.audio)
    settings = load(config, os.environ, library)
    folder = RecordingFolder.open(spool.recordings, settings.storage.recordings)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Server(config, settings, library, folder).run())


def check(config: Path) -> str:
    """Check a settings file; return a line that says what it holds.

    Raises:
        SettingsError: it lists everything that is wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = load(config, os.environ, AudioLibrary(Path(folder)))
    organisations, trunks = sorted(settings.orgs), sorted(settings.trunks)
    return f"ok: organisations: {', '.join(organisations) or 'none'}; trunks: {', '.join(trunks) or 'none'}"


def edge(config: Path, output: Path | None) -> str:
    """Make the edge of a site.

    Args:
        config: the settings file.
        output: the folder that its files are written to, or None to write none.

    Returns:
        Its configuration, or a line that says what was written.

    Raises:
        StartUpError: the settings are wrong or name no edge, or the folder cannot be written to.
    """
    settings = load(config, os.environ)
    wanted = edge_of(settings, str(config))
    if output is None:
        return configuration(settings, wanted)
    write_edge(settings, wanted, output)
    return f"ok: {CONFIGURATION} and {TABLES} are in {output}\n"


def with_keys(config: Path, act: Callable[[KeyRing, Collection[str]], Awaitable[Done]]) -> Done:
    """Let something be done with the keys in the database, while servers may be at work.

    Args:
        config: the settings file.
        act: gets the keys and the names of all organisations; what it returns is returned.

    Raises:
        StartUpError: settings or database are of no use.
    """

    async def run() -> Done:
        settings = load(config, os.environ)
        store = await open_store(settings.storage.database.get_secret_value())
        try:
            return await act(KeyRing(store.keys), settings.orgs)
        finally:
            await store.close()

    return asyncio.run(run())


def migrate(config: Path) -> str:
    """Bring the database's schema up to date; return a line that says which revision it has.

    Raises:
        StartUpError: settings or database are of no use; the text is one clear line.
    """
    settings = load(config, os.environ)
    revision = asyncio.run(migrate_database(settings.storage.database.get_secret_value()))
    return f"ok: the schema is at revision {revision}"


class _Server:
    def __init__(self, config: Path, settings: Settings, library: AudioLibrary, folder: RecordingFolder) -> None:
        self._config = config
        self._settings = settings
        self._library = library
        self._folder = folder
        self._reloading = asyncio.Lock()
        self._reloads: set[asyncio.Task[None]] = set()
        self._directory = LiveDirectory(directory_of(settings, library))
        self._stop = asyncio.Event()
        self._metrics = Metrics(organisations=settings.metrics.organisations)

    async def run(self) -> int:
        settings = self._settings
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        try:
            sockets = bind_sockets(settings.server.listen_port, settings.server.listen_host)
        except OSError as error:
            where = f"{settings.server.listen_host}:{settings.server.listen_port}"
            raise StartUpError(f"cannot listen on {where}: {error.strerror or error}") from error
        store = await open_store(settings.storage.database.get_secret_value())
        pool = WorkerPool(pool_settings(settings, self._folder.takes))
        sender = HttpWebhookSender()
        events = Eventing(
            store.events, sender, self._directory, kept_days=settings.storage.event_days, nodes=store.nodes
        )
        pool.watch_trunks(events.recorder.trunk_changed)
        self._metrics.calls.then = events.recorder
        events.webhooks.on_attempt = self._metrics.delivered
        try:
            await pool.start(self._directory.current)
            await self._serve(store, pool, events, sockets)
        finally:
            await pool.close()
            sender.close()
            await store.close()
        return 0

    async def _serve(self, store: SqlRecordStore, pool: WorkerPool, events: Eventing, sockets: list[socket]) -> None:
        nodes = await self._join(store, events)
        await events.start()
        recordings = RecordingArchive(self._folder, store, self._directory, self._metrics.recordings(log_news))
        recorder = Recorder(recordings, self._directory)
        numbers = PhoneNumberPlan()
        limits = EngineSettings(self._settings.sip.max_call_seconds, self._settings.sip.ring_seconds, nodes.id)
        engine = CallEngine(pool, store, self._directory, numbers, limits, recorder, steps=self._metrics.calls)
        engine.on_refused = self._metrics.calls.refused
        batches = self._batches(store, engine, nodes)
        streams = EventStreams(events.log)
        engine.queues.on_agent = events.recorder.agent_changed
        await engine.queues.start()
        recordings.start()
        engine.start()
        ladders = LadderExpiry(store.ladders, kept_days=self._settings.storage.ladder_days)
        ladders.start()
        scheduler = self._scheduler(store, engine, nodes)
        self._metrics.watch(Sources(pool.state, pool.trunk_states, self._directory, engine.queues, events))
        scheduler.start()
        dialler = CampaignDialler(store.campaigns, engine, self._directory, numbers, engine.queues, store.nodes)
        dialler.start()
        nodes.listen(CAMPAIGNS_DUE, lambda _text: dialler.wake())
        hang_up = Errand(nodes, "hang-up", engine.hang_up)
        services = self._services(engine, hang_up, batches, store, recordings, streams, pool)
        server = Server(make_application(services))
        server.add_sockets(sockets)

        async def take_over(directory: Directory) -> None:
            pool.configure(directory)
            engine.queues.configure()
            streams.end()
            await events.webhooks.configure()

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._begin_reload, take_over)
        collect_seldom()
        _announce(sockets[0], pool.ready_workers)
        await self._stop.wait()
        _log.info("stopping", calls=engine.calls_in_progress)
        engine.refuse_calls()
        batches.stop()
        await scheduler.stop()
        await dialler.stop()
        await engine.stop()
        await batches.finish()
        # Whoever asks until now learns that this server takes no calls any more.
        server.stop()
        await recorder.stop()
        await recordings.stop()
        await ladders.stop()
        await events.stop()
        await nodes.stop()
        streams.end()
        await server.close_all_connections()

    async def _join(self, store: SqlRecordStore, events: Eventing) -> Nodes:
        """Become one of the nodes; what an earlier run left is settled."""
        nodes = Nodes(store.nodes)
        nodes.listen("events", lambda _text: events.log.on_stored())
        nodes.when_lost(events.webhooks.start_over)
        await nodes.start()
        return nodes

    def _batches(self, store: SqlRecordStore, engine: CallEngine, nodes: Nodes) -> Batches:
        batches = Batches(engine, store, self._directory, PhoneNumberPlan(), engine.queues)
        nodes.listen(BATCHES_CANCELLED, lambda _text: batches.wake())
        batches.start()
        return batches

    def _scheduler(self, store: SqlRecordStore, engine: CallEngine, nodes: Nodes) -> Scheduler:
        scheduler = Scheduler(store.schedules, engine, nodes.id, self._settings.schedule.grace)
        scheduler.on_dialled = self._metrics.scheduled
        nodes.listen(SCHEDULES_DUE, lambda _text: scheduler.wake())
        return scheduler

    def _services(
        self,
        engine: CallEngine,
        hang_up: Errand,
        batches: Batches,
        store: SqlRecordStore,
        recordings: RecordingArchive,
        streams: EventStreams,
        pool: WorkerPool,
    ) -> Services:
        token = self._settings.metrics.token
        keys, numbers = KeyRing(store.keys), PhoneNumberPlan()
        return Services(
            calls=engine,
            control=engine.control,
            batches=batches,
            schedules=Schedules(store.schedules, self._directory, numbers),
            campaigns=Campaigns(store.campaigns, self._directory, numbers),
            store=store,
            ladders=store.ladders,
            queues=engine.queues,
            recordings=recordings,
            streams=streams,
            authenticator=Authenticator(self._directory, keys),
            directory=self._directory,
            keys=keys,
            workers_ready=lambda: pool.ready_workers > 0,
            trunk_states=pool.trunk_states,
            idempotency=Idempotency(store.idempotency),
            hang_up_elsewhere=hang_up.pass_on,
            metrics=self._metrics,
            metrics_token=None if token is None else token.get_secret_value(),
            stopping=self._stop.is_set,
            live_record=engine.live_record,
            live_records=engine.live_records,
            access_log=self._settings.server.access_log,
        )

    def _begin_reload(self, take_over: TakeOver) -> None:
        task = asyncio.get_running_loop().create_task(self._reload(take_over))
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self, take_over: TakeOver) -> None:
        """Take organisations and trunks over from the file; with anything wrong in it, everything stays."""
        async with self._reloading:
            try:
                # New audio files are converted, which takes a while.
                settings = await asyncio.to_thread(load, self._config, os.environ, self._library)
                directory = await asyncio.to_thread(directory_of, settings, self._library)
            except StartUpError as error:
                problems = list(error.problems) if isinstance(error, SettingsError) else [str(error)]
                _log.error("settings not reloaded; the old ones stay", problems=problems)
                return
            self._take_over(settings, directory)
            try:
                await take_over(directory)
            except StoreUnavailableError as error:
                _log.error("webhooks not reloaded; the old ones go on", error=str(error))
            _log.info("settings reloaded", organisations=len(settings.orgs), trunks=len(settings.trunks))

    def _take_over(self, settings: Settings, directory: Directory) -> None:
        fixed = ("server", "storage", "sip", "log", "schedule", "metrics")
        changed = [table for table in fixed if getattr(settings, table) != getattr(self._settings, table)]
        if changed:
            _log.warning("a restart is needed for changes of these tables", tables=changed)
        self._directory.current = directory


def _announce(listening: socket, workers: int) -> None:
    host, port = listening.getsockname()[:2]
    _log.info("serving", url=f"http://{host}:{port}/API/dialup.php", workers=workers)


def worker_user(settings: Settings) -> tuple[int, int] | tuple[None, None]:
    """Return user and group of the workers; nothing when they run as the user of this process.

    Raises:
        StartUpError: there is no such user.
    """
    if os.geteuid() != 0:
        return None, None
    try:
        user = pwd.getpwnam(settings.sip.user)
    except KeyError:
        raise StartUpError(f"sip.user: there is no user {settings.sip.user!r} on this machine") from None
    return user.pw_uid, user.pw_gid


def spool_of(settings: Settings) -> Spool:
    """Open the folder through which the server and its workers pass audio files.

    Raises:
        StartUpError: it cannot be made.
    """
    spool = open_spool(settings.storage.spool, *worker_user(settings))
    if spool.instead_of is not None:
        _log.warning(
            "workers cannot reach storage.spool; another folder is used",
            spool=str(spool.instead_of),
            used=str(spool.audio.parent),
            user=settings.sip.user,
        )
    return spool


def pool_settings(settings: Settings, takes: Path) -> PoolSettings:
    """Make the worker pool's settings.

    Args:
        settings: of the server.
        takes: where workers write what they record.

    Raises:
        StartUpError: the user that workers become does not exist.
    """
    sip = settings.sip
    uid, gid = worker_user(settings)
    return PoolSettings(
        address=sip.address,
        sip_ports=sip.ports,
        rtp_ports=sip.rtp_ports,
        warm_workers=min(sip.warm_workers, len(sip.ports)),
        idle_seconds=sip.idle_worker_seconds,
        allowed_peers=tuple(str(network) for network in sip.allowed_peers),
        uid=uid,
        gid=gid,
        recordings=str(takes),
    )
