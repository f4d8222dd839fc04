"""What is played to legs: tones, files, and their own echo; one of them at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pjsua2 as pj

from sipcore.domain.commands import EchoLeg, PlayAudio, PlayTone, StopPlaying
from sipcore.domain.events import PlaybackFinished
from sipcore.domain.tones import Tone
from sipcore.sip.user_agent.later import Later
from sipcore.sip.user_agent.leg import Leg
from sipcore.sip.user_agent.mixer import Mixer, Node
from sipcore.sip.wire import CommandFailed

_TONE_HZ = 8000
_TONE_VOLUME = 8000
"""Of 32767, per frequency: about -12 dBFS, loud and far from clipping when two frequencies sound together."""


class _ToneSound:
    """A cadence that goes on until it is stopped."""

    def __init__(self, tone: Tone) -> None:
        descriptions = pj.ToneDescVector()
        for burst in tone.bursts:
            description = pj.ToneDesc()
            description.freq1, description.freq2 = burst.hz, burst.hz2
            description.on_msec, description.off_msec = burst.on_ms, burst.off_ms
            description.volume = _TONE_VOLUME
            descriptions.append(description)
        self.audio: Any = pj.ToneGenerator()
        self.audio.createToneGenerator(_TONE_HZ, 1)
        self.audio.play(descriptions, loop=True)

    def ports(self) -> list[Any]:
        return [self.audio]


class _File(pj.AudioMediaPlayer):
    """One open file; `on_end` is called in a thread of the library each time its end is reached."""

    def __init__(self, path: str, on_end: Callable[[_File], None], *, loop: bool) -> None:
        super().__init__()
        self._on_end = on_end
        self.createPlayer(path, 0 if loop else pj.PJMEDIA_FILE_NO_LOOP)

    def onEof2(self) -> None:  # noqa: N802 - pjsua2's name
        self._on_end(self)


class _FileSound:
    """Files one after the other: one is played, the next is open already.

    pjsua2's own playlists lose what the last file has beyond a whole number of buffers, up to a quarter of a second.
    """

    def __init__(self, command: PlayAudio, on_end: Callable[[_File], None]) -> None:
        self.playback = command.playback
        # A single file begins anew without a gap when the library does it.
        self.loops_itself = command.loop and len(command.files) == 1
        self._on_end = on_end
        self._paths = itertools.cycle(command.files) if command.loop else iter(command.files)
        self.audio: Any = self._open()
        self._next: Any = None if self.loops_itself else self._open()

    def _open(self) -> _File | None:
        path = next(self._paths, None)
        return None if path is None else _File(path, self._on_end, loop=self.loops_itself)

    def ports(self) -> list[Any]:
        return [port for port in (self.audio, self._next) if port is not None]

    def advance(self) -> None:
        """Go on to the next file; without one `audio` is None."""
        self.audio, self._next = self._next, None
        if self.audio is not None:
            self._next = self._open()


class Playing:
    """Plays to legs. It keeps no leg longer than it lives: see `UserAgent`.

    Args:
        legs: all legs, by UniqueID.
        mixer: connects what is played with the legs.
        later: takes the ends of files, which another thread tells.
        send: takes every event.
    """

    def __init__(
        self,
        legs: Mapping[str, Leg],
        mixer: Mixer,
        later: Later,
        send: Callable[[PlaybackFinished | CommandFailed], None],
    ) -> None:
        self._legs = legs
        self._mixer = mixer
        self._later = later
        self._send = send
        self._sounds: dict[str, Node] = {}

    def play_tone(self, leg: Leg, command: PlayTone) -> None:
        """Play a tone in place of what is played, until it is stopped."""
        self._replace(leg, _ToneSound(command.tone))

    def play_files(self, leg: Leg, command: PlayAudio) -> None:
        """Play files in place of what is played; their end is reported also when they cannot be opened."""
        self.stop(leg)
        uid, later = leg.uid, self._later
        if not command.files:
            self._finish(uid, command.playback, "no files")
            return
        try:
            self._replace(leg, _FileSound(command, lambda file: later.add(partial(self._file_ended, uid, file))))
        except pj.Error as error:
            self._finish(uid, command.playback, error.reason)

    def echo(self, leg: Leg, _command: EchoLeg) -> None:
        """Let a leg hear itself in place of what is played."""
        self._replace(leg, leg)

    def stop(self, leg: Leg, _command: StopPlaying | None = None) -> None:
        """Stop what is played, if anything is."""
        sound = self._sounds.pop(leg.uid, None)
        if sound is None:
            return
        self._mixer.disconnect(sound, leg)
        if isinstance(sound, _ToneSound | _FileSound):
            for port in sound.ports():
                self._mixer.retire(port)

    def _replace(self, leg: Leg, sound: Node) -> None:
        self.stop(leg)
        self._sounds[leg.uid] = sound
        self._mixer.connect(sound, leg)

    def _file_ended(self, uid: str, file: _File) -> None:
        sound = self._sounds.get(uid)
        if not isinstance(sound, _FileSound) or sound.audio is not file or sound.loops_itself:
            # Stopped or replaced meanwhile, or begun anew by the library.
            return
        leg = self._legs[uid]
        self._mixer.disconnect(sound, leg)
        self._mixer.retire(file)
        failure = ""
        try:
            sound.advance()
        except pj.Error as error:
            failure = error.reason
        if sound.audio is None or failure:
            self.stop(leg)
            self._finish(uid, sound.playback, failure)
        else:
            self._mixer.connect(sound, leg)

    def _finish(self, uid: str, playback: str, failure: str = "") -> None:
        if failure:
            self._send(CommandFailed(PlayAudio.__name__, uid, failure))
        self._send(PlaybackFinished(uid, playback))
