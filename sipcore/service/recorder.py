"""Recordings of calls in progress: notes what is being recorded, and watches that it is."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sipcore.domain.call_terms import CallTerms
from sipcore.domain.commands import StartRecording
from sipcore.domain.directory import RecordingRules
from sipcore.domain.events import PortEvent, RecordingFinished, WorkerLost
from sipcore.domain.recording import Flaw, OpenRecording, RecordingAlarm, Take
from sipcore.service.calls import LiveDirectory
from sipcore.service.recording_archive import RecordingArchive

_WATCH_SECONDS = 1.0
_STALLED_SECONDS = 2.5
"""Workers write every quarter of a second."""
_MISSING_SECONDS = 1.0
"""How much shorter than its time a take may be."""
_CLOSING_SECONDS = 5.0
"""How long after the end of a call the ends of its takes are waited for."""


@dataclass(slots=True)
class _RunningTake:
    """A take that a worker is writing: since when, how much there is of it, and when it last grew."""

    leg: str
    since: float
    grown: float
    octets: int = 0


@dataclass(slots=True)
class _LiveRecording:
    recording: OpenRecording
    began: float
    running: dict[str, _RunningTake] = field(default_factory=dict)
    closed: bool = False


class Recorder:
    """Follows what workers record. Everything happens in one event loop.

    Args:
        archive: takes each recording when it is whole.
        directory: organisations in force.
    """

    def __init__(self, archive: RecordingArchive, directory: LiveDirectory) -> None:
        self._archive = archive
        self._files = archive.files
        self._directory = directory
        self._live: dict[str, _LiveRecording] = {}
        self._watch: asyncio.Task[None] | None = None

    async def stop(self) -> None:
        """Follow nothing any more: the next start goes on with what is not whole."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch

    def begin(self, terms: CallTerms, command: StartRecording) -> None:
        """Note a take before a worker is told to begin it."""
        now = time.monotonic()
        recording_id = command.whole or command.recording
        live = self._live.get(recording_id)
        if live is None:
            opened = OpenRecording(
                id=recording_id,
                call_id=terms.id,
                organisation=terms.organisation,
                owner=command.owner or None,
                format=self._rules(terms.organisation).format,
                started_at=datetime.now(UTC),
            )
            live = self._live[recording_id] = _LiveRecording(opened, now)
            self._archive.expect(opened)
        take = Take(command.recording, command.channel, now - live.began)
        live.recording = replace(live.recording, takes=(*live.recording.takes, take))
        live.running[take.id] = _RunningTake(command.leg, now, now)
        self._note(live)
        if self._watch is None or self._watch.done():
            self._watch = asyncio.get_running_loop().create_task(self._watch_growth())

    def feed(self, event: PortEvent) -> None:
        """Take what the SIP port reports."""
        if isinstance(event, RecordingFinished):
            self._finished(event)
        elif isinstance(event, WorkerLost):
            self._lost(event.legs)

    def close(self, recording_id: str) -> None:
        """Nothing more becomes a part of a recording: make it ready when its takes have ended."""
        live = self._live.get(recording_id)
        if live is not None and not live.closed:
            live.closed = True
            self._settle(live)
            if live.running:
                asyncio.get_running_loop().call_later(_CLOSING_SECONDS, self._give_takes_up, live)

    def call_ended(self, call_id: str) -> None:
        """Close what was recorded of a call."""
        for live in [live for live in self._live.values() if live.recording.call_id == call_id]:
            self.close(live.recording.id)

    def _finished(self, event: RecordingFinished) -> None:
        for live in tuple(self._live.values()):
            take = live.running.pop(event.recording, None)
            if take is not None:
                missing = time.monotonic() - take.since - event.seconds
                if missing > _MISSING_SECONDS or not self._files.octets(event.recording):
                    self._flaw(live, Flaw.AUDIO_MISSING, f"{missing:.1f} s of a leg's audio are missing")
                self._settle(live)

    def _lost(self, legs: tuple[str, ...]) -> None:
        """What a worker that died has written is all that there is."""
        for live in tuple(self._live.values()):
            gone = [take for take, running in live.running.items() if running.leg in legs]
            for take in gone:
                del live.running[take]
            if gone:
                self._flaw(live, Flaw.WORKER_LOST, "the worker that recorded it has died")
                self._settle(live)

    async def _watch_growth(self) -> None:
        """Raise the alarm when a take does not grow: a recorder tells nobody that its disk is full."""
        while self._live:
            await asyncio.sleep(_WATCH_SECONDS)
            now = time.monotonic()
            for live in self._live.values():
                for name, take in live.running.items():
                    octets = self._files.octets(name)
                    if octets > take.octets:
                        take.octets, take.grown = octets, now
                    elif now - take.grown > _STALLED_SECONDS:
                        self._alarm_of_stall(live)

    def _alarm_of_stall(self, live: _LiveRecording) -> None:
        if self._files.is_full():
            self._flaw(live, Flaw.DISK_FULL, "the disk is full")
        else:
            self._flaw(live, Flaw.AUDIO_MISSING, "nothing is written any more")

    def _flaw(self, live: _LiveRecording, flaw: Flaw, reason: str) -> None:
        """Note that a recording will be incomplete; its first flaw stands."""
        if live.recording.flaw is None:
            live.recording = replace(live.recording, flaw=flaw)
            self._note(live)
            self._archive.tell(RecordingAlarm(live.recording, reason))

    def _note(self, live: _LiveRecording) -> None:
        try:
            self._files.note(live.recording)
        except OSError as error:
            self._archive.tell(RecordingAlarm(live.recording, f"it cannot be noted: {error.strerror or error}"))

    def _settle(self, live: _LiveRecording) -> None:
        """Make a recording ready when all that becomes a part of it is there."""
        if live.closed and not live.running and self._live.pop(live.recording.id, None) is not None:
            live.recording = replace(live.recording, closed=True)
            self._note(live)
            self._archive.keep(live.recording)

    def _give_takes_up(self, live: _LiveRecording) -> None:
        if live.running:
            live.running.clear()
            self._flaw(live, Flaw.AUDIO_MISSING, "its end was never reported")
            self._settle(live)

    def _rules(self, organisation: str) -> RecordingRules:
        found = self._directory.current.organisations.get(organisation)
        return RecordingRules() if found is None else found.recording
