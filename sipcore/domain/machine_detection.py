"""Answering-machine detection: who answered a leg, told from when somebody speaks on it and when not.

People say a word or two and wait for a reply; machines talk on. The parameters are those that users of Asterisk's
`AMD` application know. Times are milliseconds of the leg's audio since listening began. A sans-IO machine: it is told
what was heard and what time it is, so that a decision by time alone is tested by passing a number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """Who answered."""

    HUMAN = "human"
    MACHINE = "machine"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """What a verdict rests on."""

    INITIAL_SILENCE = "initial_silence"
    LONG_GREETING = "long_greeting"
    WORDS = "words"
    SILENCE_AFTER_GREETING = "silence_after_greeting"
    BEEP = "beep"
    TOTAL = "total"


VERDICTS: dict[Reason, Verdict] = {
    Reason.INITIAL_SILENCE: Verdict.UNKNOWN,
    Reason.LONG_GREETING: Verdict.MACHINE,
    Reason.WORDS: Verdict.MACHINE,
    Reason.SILENCE_AFTER_GREETING: Verdict.HUMAN,
    Reason.BEEP: Verdict.MACHINE,
    Reason.TOTAL: Verdict.UNKNOWN,
}
"""What each reason tells. Initial silence is as often a person who waits for a word as a machine."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome for one leg.

    Attributes:
        verdict: who answered.
        reason: why it is thought so.
        at_ms: when it was decided.
    """

    verdict: Verdict
    reason: Reason
    at_ms: int


@dataclass(frozen=True, slots=True)
class DetectionParameters:
    """When to take what is heard for a person or a machine, in milliseconds.

    Attributes:
        initial_silence_ms: no word for this long: unknown.
        greeting_ms: this much speech, pauses left out: machine.
        after_greeting_silence_ms: this much silence after a word: human.
        total_ms: nothing else decided until then: unknown.
        min_word_ms: shorter sounds (a click, a breath) are no words.
        between_words_silence_ms: this much silence parts two words.
        maximum_words: more words than this: machine.
    """

    initial_silence_ms: int = 2500
    greeting_ms: int = 2000
    after_greeting_silence_ms: int = 800
    total_ms: int = 3800
    min_word_ms: int = 100
    between_words_silence_ms: int = 50
    maximum_words: int = 3


class MachineDetector:
    """Decides once who answered a leg.

    Each method returns the decision as soon as there is one, and the same from then on. `at_ms` of an event is when it
    happened, which may lie before the latest `at`: speech is reported a little late.

    Args:
        parameters: when to take what for what.
    """

    def __init__(self, parameters: DetectionParameters) -> None:
        self._parameters = parameters
        self._decision: Decision | None = None
        self._voice_ms = 0
        self._words = 0
        self._sound_from: int | None = None
        self._silent_from = 0

    @property
    def decision(self) -> Decision | None:
        """The decision, or None while there is none."""
        return self._decision

    @property
    def silent_from_ms(self) -> int | None:
        """Since when nobody has spoken, or None while somebody does."""
        return self._silent_from if self._sound_from is None else None

    def speech_started(self, at_ms: int) -> Decision | None:
        """Take that somebody began to speak."""
        self.at(at_ms)
        if self._sound_from is None:
            self._sound_from = at_ms
        return self._decision

    def speech_stopped(self, at_ms: int) -> Decision | None:
        """Take that whoever spoke fell silent."""
        self.at(at_ms)
        if self._sound_from is None:
            return self._decision
        length = at_ms - self._sound_from
        if self._continues_a_word() or length >= self._parameters.min_word_ms:
            self._words += not self._continues_a_word()
            self._voice_ms += length
            self._silent_from = at_ms
        self._sound_from = None
        return self._decision

    def beep(self, at_ms: int) -> Decision | None:
        """Take that a steady tone, which no person makes, has ended."""
        self.at(at_ms)
        if self._decision is None:
            self._decision = Decision(VERDICTS[Reason.BEEP], Reason.BEEP, at_ms)
        return self._decision

    def at(self, at_ms: int) -> Decision | None:
        """Take that it is this time."""
        if self._decision is None and (due := self._due()).at_ms <= at_ms:
            self._decision = due
        return self._decision

    def next_deadline(self) -> int | None:
        """When `at` will decide if nothing more is heard until then, or None after the decision."""
        return self._due().at_ms if self._decision is None else None

    def _continues_a_word(self) -> bool:
        """Tell whether the sound follows a word so closely that it belongs to it."""
        gap = (self._sound_from or 0) - self._silent_from
        return self._words > 0 and gap < self._parameters.between_words_silence_ms

    def _due(self) -> Decision:
        """The decision that comes if all goes on as it is now."""
        due = min(self._candidates(), key=lambda candidate: candidate[0])
        return Decision(VERDICTS[due[1]], due[1], due[0])

    def _candidates(self) -> list[tuple[int, Reason]]:
        limits = self._parameters
        candidates = [(limits.total_ms, Reason.TOTAL)]
        silence, reason = limits.initial_silence_ms, Reason.INITIAL_SILENCE
        if self._words:
            silence, reason = limits.after_greeting_silence_ms, Reason.SILENCE_AFTER_GREETING
        silence_ends = self._silent_from + silence
        if self._sound_from is None:
            return [(silence_ends, reason), *candidates]
        new_word = not self._continues_a_word()
        is_word_at = self._sound_from + (limits.min_word_ms if new_word else 0)
        if silence_ends < is_word_at:
            candidates.append((silence_ends, reason))
        if new_word and self._words >= limits.maximum_words:
            candidates.append((is_word_at, Reason.WORDS))
        is_long_at = self._sound_from + max(limits.greeting_ms - self._voice_ms, 0)
        candidates.append((max(is_word_at, is_long_at), Reason.LONG_GREETING))
        return candidates


class Cue(StrEnum):
    """Why it is time to speak to a machine."""

    BEEP = "beep"
    SILENCE = "silence"
    WAITED = "waited"


@dataclass(frozen=True, slots=True)
class BeepParameters:
    """How long to wait for a machine's beep, in milliseconds.

    Attributes:
        silence_ms: after this much silence the beep was missed, or none comes: the machine records, and would hang up
            on more silence.
        max_wait_ms: after this long it is not waited any longer, even while the machine talks or plays music.
    """

    silence_ms: int = 4000
    max_wait_ms: int = 45_000


class BeepWait:
    """Decides once when an announcement begins: when the machine's beep has ended, or when none is to be expected.

    Each method returns the cue as soon as there is one, and the same from then on.

    Args:
        parameters: how long to wait.
        detector: one that has decided; what it heard last is where the wait begins.
        at_ms: now.
    """

    def __init__(self, parameters: BeepParameters, detector: MachineDetector, at_ms: int) -> None:
        self._parameters = parameters
        self._gives_up_at = at_ms + parameters.max_wait_ms
        self._silent_from = detector.silent_from_ms
        self._cue: Cue | None = None
        if detector.decision is not None and detector.decision.reason is Reason.BEEP:
            self._cue = Cue.BEEP

    def speech_started(self, at_ms: int) -> Cue | None:
        """Take that the machine speaks."""
        self.at(at_ms)
        self._silent_from = None
        return self._cue

    def speech_stopped(self, at_ms: int) -> Cue | None:
        """Take that the machine fell silent."""
        self.at(at_ms)
        self._silent_from = at_ms
        return self._cue

    def beep(self, at_ms: int) -> Cue | None:
        """Take that a steady tone has ended."""
        self.at(at_ms)
        self._cue = self._cue or Cue.BEEP
        return self._cue

    def at(self, at_ms: int) -> Cue | None:
        """Take that it is this time."""
        due_ms, cue = self._due()
        if self._cue is None and due_ms <= at_ms:
            self._cue = cue
        return self._cue

    def next_deadline(self) -> int | None:
        """When `at` will give the cue if nothing more is heard until then, or None after it."""
        return self._due()[0] if self._cue is None else None

    def _due(self) -> tuple[int, Cue]:
        waited = (self._gives_up_at, Cue.WAITED)
        if self._silent_from is None:
            return waited
        return min((self._silent_from + self._parameters.silence_ms, Cue.SILENCE), waited)


class MachineAction(StrEnum):
    """What follows when a machine answered; a person and an unknown are always joined."""

    HANG_UP = "hang_up"
    CONTINUE = "continue"
    ANNOUNCE = "announce"


@dataclass(frozen=True, slots=True)
class MachineDetection:
    """What an organisation wants of answering machines at external numbers.

    Attributes:
        parameters: when to take what is heard for a machine.
        action: what follows when one answered.
        announcement: number of the announcement that is played to it after its beep; with the action `announce` only.
        beep: how long to wait for that beep.
    """

    parameters: DetectionParameters = field(default_factory=DetectionParameters)
    action: MachineAction = MachineAction.HANG_UP
    announcement: str | None = None
    beep: BeepParameters = field(default_factory=BeepParameters)
