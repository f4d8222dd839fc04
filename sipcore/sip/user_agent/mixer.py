"""Which leg hears what, in the conference bridge.

The wanted connections are kept apart from the bridge's own, because a re-INVITE may give a leg a new port in the
bridge, and a connection may be wanted before both legs have media.
"""

from __future__ import annotations

from typing import Any

import pjsua2 as pj

from sipcore.domain.tones import Tone
from sipcore.sip.user_agent.leg import Leg

_TONE_HZ = 8000
_TONE_VOLUME = 8000
"""Of 32767, per frequency: about -12 dBFS, loud and far from clipping when two frequencies sound together."""


class Mixer:
    """Connects legs and tones, and keeps the bridge's clock running only while a leg has media.

    Args:
        endpoint: pjsua2's endpoint.
    """

    def __init__(self, endpoint: Any) -> None:
        self._devices = endpoint.audDevManager()
        self._legs: dict[str, Leg] = {}
        self._wanted: set[tuple[str, str]] = set()
        self._tones: dict[str, Any] = {}
        self._clock_runs = False

    def add(self, leg: Leg) -> None:
        """Know a leg."""
        self._legs[leg.uid] = leg

    def remove(self, leg: Leg) -> None:
        """Forget a leg and all that it hears or is heard by."""
        self.stop_tone(leg.uid)
        self._wanted = {pair for pair in self._wanted if leg.uid not in pair}
        self._legs.pop(leg.uid, None)

    def bridge(self, leg: str, other: str) -> None:
        """Join two legs in both directions."""
        self.listen(leg, other)
        self.listen(other, leg)

    def listen(self, source: str, sink: str) -> None:
        """Let `sink` hear `source`, as long as both are there."""
        if source in self._legs and sink in self._legs:
            self._wanted.add((source, sink))
            self._connect(source, sink)

    def play_tone(self, uid: str, tone: Tone) -> None:
        """Play a tone to a leg, in place of an earlier one, until it is stopped."""
        self.stop_tone(uid)
        leg = self._legs.get(uid)
        if leg is None:
            return
        generator = pj.ToneGenerator()
        generator.createToneGenerator(_TONE_HZ, 1)
        descriptions = pj.ToneDescVector()
        for burst in tone.bursts:
            description = pj.ToneDesc()
            description.freq1, description.freq2 = burst.hz, burst.hz2
            description.on_msec, description.off_msec = burst.on_ms, burst.off_ms
            description.volume = _TONE_VOLUME
            descriptions.append(description)
        generator.play(descriptions, loop=True)
        self._tones[uid] = generator
        if leg.audio is not None:
            generator.startTransmit(leg.audio)

    def stop_tone(self, uid: str) -> None:
        """Stop what `play_tone` started."""
        generator = self._tones.pop(uid, None)
        if generator is not None:
            generator.stop()

    def renew(self, leg: Leg) -> None:
        """Connect a leg whose port in the bridge is new."""
        if leg.audio is None:
            return
        generator = self._tones.get(leg.uid)
        if generator is not None:
            generator.startTransmit(leg.audio)
        for source, sink in self._wanted:
            if leg.uid in (source, sink):
                self._connect(source, sink)

    def run_clock_as_needed(self) -> None:
        """Start or stop the null sound device, whose thread moves the audio and costs CPU while it runs."""
        needed = any(leg.audio is not None for leg in self._legs.values())
        if needed != self._clock_runs:
            self._clock_runs = needed
            if needed:
                self._devices.setNullDev()
            else:
                self._devices.setNoDev()

    def _connect(self, source: str, sink: str) -> None:
        speaker, listener = self._legs.get(source), self._legs.get(sink)
        if speaker is None or listener is None or speaker.audio is None or listener.audio is None:
            return
        speaker.audio.startTransmit(listener.audio)
