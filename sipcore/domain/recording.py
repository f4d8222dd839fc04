"""Recordings: what they are made of while a call goes on, and what is kept of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Channel(StrEnum):
    """Where in a recording a leg is heard."""

    MONO = "mono"
    LEFT = "left"
    RIGHT = "right"


class RecordingFormat(StrEnum):
    """Of the files that are kept; the value is the ending of their names."""

    WAV = "wav"
    FLAC = "flac"
    OPUS = "opus"


class RecordingEnd(StrEnum):
    """Where a recording stands once nothing more becomes a part of it; `PENDING`: its file is not made yet."""

    PENDING = "pending"
    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    DELETED = "deleted"


class Flaw(StrEnum):
    """Why a recording is incomplete."""

    DISK_FULL = "disk_full"
    AUDIO_MISSING = "audio_missing"
    WORKER_LOST = "worker_lost"
    SERVER_LOST = "server_lost"


@dataclass(frozen=True, slots=True)
class Take:
    """What was recorded of one leg without a pause.

    Attributes:
        id: names its file, 32 hex digits.
        channel: where in the recording it is heard.
        offset_seconds: when it began, from the recording's beginning.
    """

    id: str
    channel: Channel
    offset_seconds: float


@dataclass(frozen=True, slots=True)
class OpenRecording:
    """A recording that is still being made.

    Attributes:
        id: 32 hex digits.
        call_id: of the call's record.
        organisation: whose it is.
        owner: number of the extension that it belongs to, or None: a voicemail.
        format: of the file that it will be.
        started_at: when its first take began.
        takes: in the order in which they began.
        flaw: why it will be incomplete, as far as is known, or None.
        closed: whether all its takes were ended in good order, and no more will come.
    """

    id: str
    call_id: str
    organisation: str
    owner: str | None
    format: RecordingFormat
    started_at: datetime
    takes: tuple[Take, ...] = ()
    flaw: Flaw | None = None
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording that is ready.

    Attributes:
        id, call_id, organisation, owner, format, started_at: as above.
        seconds: its length, pauses included, which are silent.
        octets: size of the file.
        flaw: why it is incomplete, or None: it is complete.
        deleted_at: when its audio was deleted, or None.
    """

    id: str
    call_id: str
    organisation: str
    owner: str | None
    format: RecordingFormat
    started_at: datetime
    seconds: float
    octets: int
    flaw: Flaw | None = None
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RecordingAlarm:
    """Something is wrong with a recording that is being made; its call goes on.

    Attributes:
        recording: what is known of it.
        reason: what is wrong, for people.
    """

    recording: OpenRecording
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingReady:
    """A recording can be fetched."""

    recording: Recording
