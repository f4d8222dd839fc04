"""A phone whose answer counts once it is known not to be a machine's."""

from __future__ import annotations

from dataclasses import replace

from sipcore.domain.answering import PLAYOUT_SECONDS
from sipcore.domain.checked import CheckedParty
from sipcore.domain.commands import Command, ListenForSpeech, PlayAudio, StopListening
from sipcore.domain.events import BeepHeard, Event, PlaybackFinished, SpeechStarted, SpeechStopped
from sipcore.domain.machine_detection import BeepWait, MachineAction, MachineDetection, MachineDetector, Verdict
from sipcore.domain.party import Clock, Party
from sipcore.domain.record import LegRecord

REPORT_SECONDS = 0.18
"""How much later than it happens a change is reported: speech counts as ended after 120 ms, and audio is on its way."""
ANNOUNCEMENT_SECONDS = 180.0
"""How long a machine is told something at most: none records for longer."""

_HEARD: dict[type[Event], str] = {
    SpeechStarted: "speech_started",
    SpeechStopped: "speech_stopped",
    BeepHeard: "beep",
}
"""Which method of the detector, and of the wait for the beep, takes what was heard."""


class ScreenedParty(CheckedParty):
    """Whoever answers is listened to until it is decided; a person, or nobody knows whom, is joined.

    Args:
        inner: the phone.
        detection: what tells a machine, and what follows.
        announcement: audio file that a machine hears after its beep, 16-bit mono WAV at 8000 Hz; needed for the action
            `announce` only.
    """

    def __init__(self, inner: Party, detection: MachineDetection, announcement: str | None = None) -> None:
        super().__init__(inner)
        self._detection = detection
        self._announcement = announcement
        self._detector = MachineDetector(detection.parameters)
        self._wait: BeepWait | None = None
        self._playback: str | None = None
        self._began = 0.0

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell what became of the phone's leg, and who answered it."""
        decision = self._detector.decision
        legs = super().records(at)
        return legs if decision is None else tuple(replace(leg, answered_by=str(decision.verdict)) for leg in legs)

    def _start_check(self, now: float) -> list[Command]:
        self._began = now
        self._set_deadline()
        return [ListenForSpeech(self._phone_leg)]

    def _check(self, event: Event, now: float) -> list[Command]:
        if isinstance(event, PlaybackFinished):
            if event.playback == self._playback:
                self._deadline = now + PLAYOUT_SECONDS
            return []
        if isinstance(event, SpeechStarted | SpeechStopped | BeepHeard) and self._playback is None:
            getattr(self._wait or self._detector, _HEARD[type(event)])(event.at_ms)
            return self._go_on(event.at_ms, now)
        return []

    def _time_is_up(self, now: float) -> list[Command]:
        if self._playback is not None:
            return self._refuse(now)
        return self._go_on((self._wait or self._detector).next_deadline() or 0, now)

    def _go_on(self, at_ms: int, now: float) -> list[Command]:
        """Act on the decision or on the beep, if it is time for it."""
        decision = self._detector.at(at_ms)
        if decision is not None and decision.verdict is Verdict.MACHINE:
            return self._go_on_with_machine(at_ms, now)
        if decision is not None:
            return self._take_call()
        self._set_deadline()
        return []

    def _go_on_with_machine(self, at_ms: int, now: float) -> list[Command]:
        action = self._detection.action
        if action is MachineAction.CONTINUE:
            return self._take_call()
        if action is MachineAction.HANG_UP or self._announcement is None:
            return [StopListening(self._phone_leg), *self._refuse(now)]
        self._wait = self._wait or BeepWait(self._detection.beep, self._detector, at_ms)
        if self._wait.at(at_ms) is None:
            self._set_deadline()
            return []
        self._deadline = now + ANNOUNCEMENT_SECONDS
        self._playback = f"after the beep {self.uid}"
        return [StopListening(self._phone_leg), PlayAudio(self._phone_leg, self._playback, (self._announcement,))]

    def _take_call(self) -> list[Command]:
        self._accept()
        return [StopListening(self._phone_leg)]

    def _set_deadline(self) -> None:
        due_ms = (self._wait or self._detector).next_deadline()
        self._deadline = None if due_ms is None else self._began + due_ms / 1000 + REPORT_SECONDS
