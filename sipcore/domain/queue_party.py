"""The party that waits in a queue: it rings the agents that the queue offers it, until one of them takes the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sipcore.domain.causes import NO_SUCH_EXTENSION, OWN_TIMEOUT, Disposition, Outcome
from sipcore.domain.commands import (
    AnswerLeg,
    Command,
    JoinQueue,
    LeaveQueue,
    PlayAudio,
    PlayTone,
    ReturnAgent,
    StopPlaying,
)
from sipcore.domain.directory import Queue
from sipcore.domain.events import AgentsOffered, Event, PlaybackFinished, QueuePosition, WaitBegun, WaitRefused
from sipcore.domain.first_taken import FirstTakenParty, Milestones
from sipcore.domain.machine import IGNORED
from sipcore.domain.party import News, NewsKind, Party
from sipcore.domain.prompts import LARGEST_NUMBER, Prompt, number_prompts
from sipcore.domain.tones import ToneKind, tone

QUEUE_FULL = Outcome(Disposition.BUSY, 17)
"""The queue took no more callers (Q.850 cause 17, user busy)."""

MakeParty = Callable[[str, str | None], Party]
"""From a number, and the UniqueID that its first leg is to have (None: a new one), to the party that rings it."""


class WaitState(StrEnum):
    """Where the party stands."""

    IDLE = "idle"
    WAITING = "waiting"
    LEADING_ON = "leading on"
    UP = "up"
    OVER = "over"


_NOTICES: dict[tuple[WaitState, type[Event]], str] = {
    (WaitState.WAITING, WaitBegun): "_begin",
    (WaitState.WAITING, AgentsOffered): "_ring",
    (WaitState.WAITING, QueuePosition): "_say_position",
    (WaitState.WAITING, PlaybackFinished): "_play_music",
    (WaitState.WAITING, WaitRefused): "_refused",
    # What crosses our LeaveQueue.
    (WaitState.LEADING_ON, WaitBegun): IGNORED,
    (WaitState.LEADING_ON, AgentsOffered): IGNORED,
    (WaitState.LEADING_ON, QueuePosition): IGNORED,
    (WaitState.LEADING_ON, PlaybackFinished): IGNORED,
    (WaitState.LEADING_ON, WaitRefused): IGNORED,
    (WaitState.UP, WaitBegun): IGNORED,
    (WaitState.UP, AgentsOffered): IGNORED,
    (WaitState.UP, QueuePosition): IGNORED,
    (WaitState.UP, PlaybackFinished): IGNORED,
    (WaitState.UP, WaitRefused): IGNORED,
    (WaitState.OVER, WaitBegun): IGNORED,
    (WaitState.OVER, AgentsOffered): IGNORED,
    (WaitState.OVER, QueuePosition): IGNORED,
    (WaitState.OVER, PlaybackFinished): IGNORED,
    (WaitState.OVER, WaitRefused): IGNORED,
}

_NEWS: dict[tuple[WaitState, NewsKind], str] = {
    # Of an agent.
    (WaitState.WAITING, NewsKind.RANG): "_rang",
    (WaitState.WAITING, NewsKind.ANSWERED): "_agent_answered",
    (WaitState.WAITING, NewsKind.FAILED): "_agent_failed",
    # An agent that is made of several may be left between its answer and our reading of it.
    (WaitState.WAITING, NewsKind.LEFT): "_agent_failed",
    (WaitState.WAITING, NewsKind.DIGIT): IGNORED,
    # Of what follows the wait.
    (WaitState.LEADING_ON, NewsKind.RANG): "_rang",
    (WaitState.LEADING_ON, NewsKind.ANSWERED): "_answered",
    (WaitState.LEADING_ON, NewsKind.FAILED): "_not_led_on",
    (WaitState.LEADING_ON, NewsKind.LEFT): "_not_led_on",
    (WaitState.LEADING_ON, NewsKind.DIGIT): IGNORED,
    # Of whoever was taken.
    (WaitState.UP, NewsKind.RANG): IGNORED,
    (WaitState.UP, NewsKind.LEFT): "_left",
    (WaitState.UP, NewsKind.DIGIT): "_digit",
}


@dataclass(frozen=True, slots=True)
class WaitTerms:
    """How a party waits.

    Attributes:
        queue: in which queue.
        country: whose ringback is heard where there is no music (ISO 3166-1 alpha-2).
        prompts: audio files of the organisation's prompts, by name.
        wait_seconds: how long it waits at most where nobody listens; None, or where the queue waits less: as that says.
    """

    queue: Queue
    country: str
    prompts: Mapping[str, str] = field(default_factory=dict)
    wait_seconds: float | None = None


class QueueParty(FirstTakenParty[WaitState]):
    """One that waits for an agent.

    With a listener, that one waits: it hears music, and is led on to the queue's `then` when it has waited in vain.
    Without one, the next free agent is rung first, and nothing follows a wait in vain.

    Args:
        uid: UniqueID that it was given at acceptance: its ticket, and the Call-ID of the first leg that it places.
        terms: how it waits.
        make_agent: makes the party that rings an agent.
        make_target: makes the party of the number that follows.
    """

    def __init__(self, uid: str, terms: WaitTerms, make_agent: MakeParty, make_target: MakeParty) -> None:
        states = Milestones(WaitState.IDLE, WaitState.UP, WaitState.OVER)
        super().__init__(uid, terms.queue.number, states, _NEWS)
        self._terms = terms
        self._queue = terms.queue
        self._make_agent = make_agent
        self._make_target = make_target
        self._listener: str | None = None
        self._ringing: dict[str, Party] = {}
        self._missing: set[str] = set()
        self._target: Party | None = None

    def start(self, now: float, listener: str | None = None) -> list[Command]:
        """Ask the queue to take it."""
        self._listener = listener
        self._enter(WaitState.WAITING, "start")
        if not self._queue.agents:
            return self._after(self._wait_no_more(NO_SUCH_EXTENSION, "no agents", now), now)
        waits = self._queue.max_wait_seconds
        if listener is None and self._terms.wait_seconds is not None:
            waits = min(waits, self._terms.wait_seconds)
        self._deadline = now + waits
        return [JoinQueue(self._uid, self._queue.number, agent_first=listener is None)]

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Wait no more, and release every leg."""
        return [*self._leave_queue(), *super().withdraw(now, reason)]

    def feed(self, event: Event, now: float) -> list[Command]:
        """Take a notice of the queue, or give the event to whom it concerns.

        Raises:
            InvalidTransitionError: the event cannot happen in this state.
        """
        commands: list[Command] = []
        if self._is_own(event):
            method = self._method(_NOTICES, (self.state, type(event)), type(event).__name__)
            if method != IGNORED:
                commands += getattr(self, method)(event, now)
        return self._after([*commands, *super().feed(event, now)], now)

    @property
    def _next_uid(self) -> str | None:
        """The UniqueID of the next leg: ours for the first of all, which is what was told at acceptance."""
        return None if self._rung else self._uid

    @property
    def _announcement(self) -> str:
        return f"position {self._uid}"

    def _is_own(self, event: Event) -> bool:
        if isinstance(event, AgentsOffered | QueuePosition | WaitBegun | WaitRefused):
            return event.ticket == self._uid
        return isinstance(event, PlaybackFinished) and event.playback == self._announcement

    def _music(self, listener: str) -> list[Command]:
        file = self._queue.music or self._terms.prompts.get(Prompt.MUSIC)
        if file is None:
            return [PlayTone(listener, tone(ToneKind.RINGBACK, self._terms.country))]
        return [PlayAudio(listener, f"music {self._uid}", (file,), loop=True)]

    def _begin(self, _event: WaitBegun, _now: float) -> list[Command]:
        """Let the listener hear music; one who called us is answered, as nobody waits in early media."""
        return [] if self._listener is None else [AnswerLeg(self._listener), *self._music(self._listener)]

    def _ring(self, event: AgentsOffered, now: float) -> list[Command]:
        commands: list[Command] = []
        for number in event.agents:
            agent = self._make_agent(number, self._next_uid)
            self._rung.append(agent)
            self._ringing[number] = agent
            commands += agent.start(now)
            if agent.outcome is not None:
                self._missing.add(number)
        return commands

    def _say_position(self, event: QueuePosition, _now: float) -> list[Command]:
        if self._listener is None or event.position > LARGEST_NUMBER:
            return []
        words = (Prompt.YOU_ARE_NUMBER, *number_prompts(event.position), Prompt.IN_THE_QUEUE)
        files = tuple(self._terms.prompts[word] for word in words if word in self._terms.prompts)
        # Half a sentence is worse than none.
        return [PlayAudio(self._listener, self._announcement, files)] if len(files) == len(words) else []

    def _play_music(self, _event: PlaybackFinished, _now: float) -> list[Command]:
        return [] if self._listener is None else self._music(self._listener)

    def _refused(self, _event: WaitRefused, now: float) -> list[Command]:
        return self._wait_no_more(QUEUE_FULL, "refused", now)

    def _agent_answered(self, news: News, party: Party, now: float) -> list[Command]:
        return [*self._leave_queue(self._number_of(party)), *self._answered(news, party, now)]

    def _agent_failed(self, _news: News, party: Party, now: float) -> list[Command]:
        number = self._number_of(party)
        del self._ringing[number]
        if self._missing.issuperset(self._queue.agents):
            return self._wait_no_more(NO_SUCH_EXTENSION, "no agent exists", now)
        reached = party.outcome is not None and party.outcome.disposition is Disposition.NO_ANSWER
        return [ReturnAgent(self._uid, self._queue.number, number, reached)]

    def _wait_no_more(self, outcome: Outcome, because: str, now: float) -> list[Command]:
        """End the wait without an agent, and lead whoever waits on to what follows."""
        commands = self._leave_queue()
        for agent in self._ringing.values():
            commands += agent.withdraw(now)
        if self._listener is None or self._queue.then is None:
            self._fail(outcome, because)
            return commands
        self._deadline = None
        self._enter(WaitState.LEADING_ON, because)
        self._target = self._make_target(self._queue.then, self._next_uid)
        self._rung.append(self._target)
        return [*commands, StopPlaying(self._listener), *self._target.start(now, self._listener)]

    def _not_led_on(self, _news: News, party: Party, _now: float) -> list[Command]:
        self._fail(party.outcome or OWN_TIMEOUT, "what follows failed")
        return []

    def _leave_queue(self, agent: str = "") -> list[Command]:
        return [LeaveQueue(self._uid, self._queue.number, agent)] if self.state is WaitState.WAITING else []

    def _number_of(self, agent: Party) -> str:
        return next(number for number, party in self._ringing.items() if party is agent)

    def _matters(self, party: Party) -> bool:
        others = self._ringing.values() if self._target is None else (self._target,)
        return super()._matters(party) and any(party is other for other in others)

    def _time_is_up(self, now: float) -> list[Command]:
        return self._wait_no_more(OWN_TIMEOUT, "waited in vain", now)
