"""What is taken of a leg's own audio: recordings, and what is heard in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pjsua2 as pj

from sipcore.domain.commands import ListenForSpeech, StartRecording, StopListening, StopRecording
from sipcore.domain.events import RecordingFinished
from sipcore.sip.listening import Heard, SpeechListener
from sipcore.sip.user_agent.later import Later
from sipcore.sip.user_agent.leg import Leg
from sipcore.sip.user_agent.mixer import Mixer
from sipcore.sip.wire import CommandFailed

_RATE = 8000
_BITS = 16
_FRAME_USEC = 20_000
_WAV_HEADER = 44
_BYTES_PER_SECOND = _RATE * _BITS // 8
_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(eq=False)
class _Recording:
    """A file that grows.

    Attributes:
        audio: the recorder; None once the file is to be closed.
        identity: the file's device and inode.
    """

    leg: str
    id: str
    path: Path
    audio: Any
    identity: tuple[int, int]

    @property
    def is_open(self) -> bool:
        """Whether this process still holds the file, to which the sizes in its header are written at last."""
        return any(_identity(entry) == self.identity for entry in Path("/proc/self/fd").iterdir())

    def finished(self) -> RecordingFinished:
        seconds = max(self.path.stat().st_size - _WAV_HEADER, 0) / _BYTES_PER_SECOND
        return RecordingFinished(self.leg, self.id, seconds)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        # Closed since it was listed, as the listing's own descriptor.
        return None
    return status.st_dev, status.st_ino


class Recordings:
    """Records legs into files; the bridge closes a file at its clock's next tick, and only then it is reported.

    Args:
        folder: where the files are written; empty: nowhere.
        mixer: connects legs with recorders.
        send: takes every event.
    """

    def __init__(self, folder: str, mixer: Mixer, send: Callable[[RecordingFinished | CommandFailed], None]) -> None:
        self._folder = folder
        self._mixer = mixer
        self._send = send
        self._running: dict[str, _Recording] = {}
        self._closing: list[_Recording] = []

    @property
    def closing(self) -> bool:
        """True while a file is being closed, for which the bridge's clock must run."""
        return bool(self._closing)

    def closing_of(self, leg: str) -> bool:
        """Tell whether a file of this leg is being closed."""
        return any(recording.leg == leg for recording in self._closing)

    def start(self, leg: Leg, command: StartRecording) -> None:
        """Begin a recording; one that cannot be made has failed and is finished, with no length."""
        try:
            recording = self._create(leg.uid, command.recording)
        except (pj.Error, ValueError, OSError) as error:
            reason = error.reason if isinstance(error, pj.Error) else str(error)
            self._send(CommandFailed(StartRecording.__name__, leg.uid, reason))
            self._send(RecordingFinished(leg.uid, command.recording, 0.0))
            return
        self._running[recording.id] = recording
        self._mixer.connect(leg, recording)

    def stop(self, _leg: Leg, command: StopRecording) -> None:
        """End a recording."""
        recording = self._running.get(command.recording)
        if recording is not None:
            self._close(recording)

    def stop_all(self, leg: Leg) -> None:
        """End all recordings of a leg."""
        for recording in [recording for recording in self._running.values() if recording.leg == leg.uid]:
            self._close(recording)

    def report_closed(self) -> None:
        """Report the recordings whose files are whole."""
        for recording in [recording for recording in self._closing if not recording.is_open]:
            self._closing.remove(recording)
            self._send(recording.finished())

    def _create(self, leg: str, recording: str) -> _Recording:
        if not self._folder or not _ID.fullmatch(recording) or recording in self._running:
            raise ValueError(f"cannot record {recording!r} in {self._folder!r}")
        path = Path(self._folder, f"{recording}.wav")
        recorder = pj.AudioMediaRecorder()
        recorder.createRecorder(str(path))
        status = path.stat()
        return _Recording(leg, recording, path, recorder, (status.st_dev, status.st_ino))

    def _close(self, recording: _Recording) -> None:
        del self._running[recording.id]
        self._mixer.remove(recording)
        recording.audio = None
        self._closing.append(recording)


class _Ear(pj.AudioMediaPort):
    """A port that listens. It is never deleted, because the bridge's clock may be calling it just then.

    Attributes:
        audio: itself, for the mixer.
        take: takes each frame, in the thread of the clock; None while it is not used.
    """

    def __init__(self) -> None:
        super().__init__()
        self.take: Callable[[bytes], None] | None = None
        form = pj.MediaFormatAudio()
        form.init(pj.PJMEDIA_FORMAT_PCM, _RATE, 1, _FRAME_USEC, _BITS)
        self.createPort("ear", form)

    @property
    def audio(self) -> Any:
        return self

    def onFrameReceived(self, frame: Any) -> None:  # noqa: N802 - pjsua2's name
        # The clock calls it also for ports that nobody speaks to.
        if self.take is not None and frame.type == pj.PJMEDIA_FRAME_TYPE_AUDIO:
            self.take(bytes(frame.buf))


class Listening:
    """Listens to legs.

    Args:
        mixer: connects legs with ears.
        later: takes the frames, which another thread brings.
        send: takes every event.
    """

    def __init__(self, mixer: Mixer, later: Later, send: Callable[[Heard], None]) -> None:
        self._mixer = mixer
        self._later = later
        self._send = send
        self._busy: dict[str, tuple[_Ear, SpeechListener]] = {}
        self._spare: list[_Ear] = []

    def start(self, leg: Leg, _command: ListenForSpeech) -> None:
        """Begin to listen, anew when it was begun before."""
        self.stop(leg)
        uid, later = leg.uid, self._later
        listener = SpeechListener(uid)
        ear = self._spare.pop() if self._spare else _Ear()
        ear.take = lambda frame: later.add(partial(self._hear, uid, listener, frame))
        self._busy[uid] = ear, listener
        self._mixer.connect(leg, ear)

    def stop(self, leg: Leg, _command: StopListening | None = None) -> None:
        """End it, if it was begun."""
        if leg.uid in self._busy:
            ear, _ = self._busy.pop(leg.uid)
            ear.take = None
            self._mixer.disconnect(leg, ear)
            self._spare.append(ear)

    def _hear(self, uid: str, listener: SpeechListener, frame: bytes) -> None:
        # What was on its way when listening ended is not heard any more.
        if uid in self._busy and self._busy[uid][1] is listener:
            for heard in listener.feed(frame):
                self._send(heard)
