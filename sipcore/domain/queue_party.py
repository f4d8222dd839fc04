"""The party that waits in a queue: it rings the agents that the queue offers it, until one of them takes the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sipcore.domain.causes import NO_SUCH_EXTENSION, OWN_TIMEOUT, WITHDRAWN, Disposition, Outcome
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
from sipcore.domain.events import AgentsOffered, Event, PlaybackFinished, QueuePosition, WaitRefused
from sipcore.domain.hunt import COMPLETED_ELSEWHERE
from sipcore.domain.machine import IGNORED, Machine
from sipcore.domain.party import Clock, News, NewsKind, Party, PartyBase, concerned, earliest
from sipcore.domain.prompts import LARGEST_NUMBER, Prompt, number_prompts
from sipcore.domain.record import LegRecord
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
    (WaitState.WAITING, AgentsOffered): "_ring",
    (WaitState.WAITING, QueuePosition): "_say_position",
    (WaitState.WAITING, PlaybackFinished): "_play_music",
    (WaitState.WAITING, WaitRefused): "_refused",
    # What crosses our LeaveQueue.
    (WaitState.LEADING_ON, AgentsOffered): IGNORED,
    (WaitState.LEADING_ON, QueuePosition): IGNORED,
    (WaitState.LEADING_ON, PlaybackFinished): IGNORED,
    (WaitState.LEADING_ON, WaitRefused): IGNORED,
    (WaitState.UP, AgentsOffered): IGNORED,
    (WaitState.UP, QueuePosition): IGNORED,
    (WaitState.UP, PlaybackFinished): IGNORED,
    (WaitState.UP, WaitRefused): IGNORED,
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


class QueueParty(PartyBase, Machine[WaitState]):
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
        PartyBase.__init__(self, uid)
        Machine.__init__(self, f"queue {terms.queue.number} {uid}", WaitState.IDLE)
        self._terms = terms
        self._queue = terms.queue
        self._make_agent = make_agent
        self._make_target = make_target
        self._listener: str | None = None
        self._deadline: float | None = None
        self._rung: list[Party] = []
        self._ringing: dict[str, Party] = {}
        self._missing: set[str] = set()
        self._target: Party | None = None
        self._winner: Party | None = None
        self._told_ringing = False

    @property
    def leg(self) -> str | None:
        """The leg of whoever answered."""
        return None if self._winner is None else self._winner.leg

    @property
    def up(self) -> bool:
        """True while whoever answered is up."""
        return self._winner is not None and self._winner.up

    @property
    def released(self) -> bool:
        """True when no leg is left."""
        return all(party.released for party in self._rung)

    @property
    def recording_id(self) -> str | None:
        """Of a box that followed the wait."""
        return None if self._winner is None else self._winner.recording_id

    def owns(self, leg: str) -> bool:
        """Tell whether it is a leg of an agent, or of what follows."""
        return any(party.owns(leg) for party in self._rung)

    def start(self, now: float, listener: str | None = None) -> list[Command]:
        """Begin to wait; a listener who called us is answered, as nobody waits in early media."""
        self._listener = listener
        self._enter(WaitState.WAITING, "start")
        if not self._queue.agents:
            return self._after(self._wait_no_more(NO_SUCH_EXTENSION, "no agents", now), now)
        waits = self._queue.max_wait_seconds
        if listener is None and self._terms.wait_seconds is not None:
            waits = min(waits, self._terms.wait_seconds)
        self._deadline = now + waits
        heard = [] if listener is None else [AnswerLeg(listener), *self._music(listener)]
        return [*heard, JoinQueue(self._uid, self._queue.number, agent_first=listener is None)]

    def join(self, other: str, now: float) -> list[Command]:
        """Join whoever answered."""
        return [] if self._winner is None else self._after(self._winner.join(other, now), now)

    def press(self, digit: str, duration_ms: int, now: float) -> list[Command]:
        """Give the key to whoever answered."""
        return [] if self._winner is None else self._after(self._winner.press(digit, duration_ms, now), now)

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Wait no more, and release every leg."""
        commands = self._leave_queue()
        if self.state is not WaitState.OVER:
            self._outcome = WITHDRAWN if self._winner is None else Outcome(Disposition.ANSWERED, WITHDRAWN.cause)
            self._over("withdraw")
        for party in self._rung:
            commands += party.withdraw(now, reason)
        return commands

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
        for party in concerned(tuple(self._rung), event):
            commands += party.feed(event, now)
        return self._after(commands, now)

    def next_deadline(self) -> float | None:
        """End of the wait, or a deadline of somebody who is being rung."""
        return earliest(self._rung, self._deadline)

    def on_deadline(self, now: float) -> list[Command]:
        """Let those who are rung act, and end the wait when its time is over."""
        commands: list[Command] = []
        for party in tuple(self._rung):
            commands += party.on_deadline(now)
        commands = self._after(commands, now)
        if self._deadline is not None and now >= self._deadline:
            commands += self._wait_no_more(OWN_TIMEOUT, "waited in vain", now)
        return self._after(commands, now)

    def records(self, at: Clock) -> tuple[LegRecord, ...]:
        """Tell what became of every leg that was placed."""
        if self._rung:
            return tuple(leg for party in self._rung for leg in party.records(at))
        outcome = self._outcome
        return (
            LegRecord(
                uid=self._uid,
                number=self._queue.number,
                disposition=outcome.disposition if outcome else None,
                cause=outcome.cause if outcome else None,
            ),
        )

    @property
    def _next_uid(self) -> str | None:
        """The UniqueID of the next leg: ours for the first of all, which is what was told at acceptance."""
        return None if self._rung else self._uid

    @property
    def _announcement(self) -> str:
        return f"position {self._uid}"

    def _is_own(self, event: Event) -> bool:
        if isinstance(event, AgentsOffered | QueuePosition | WaitRefused):
            return event.ticket == self._uid
        return isinstance(event, PlaybackFinished) and event.playback == self._announcement

    def _music(self, listener: str) -> list[Command]:
        file = self._queue.music or self._terms.prompts.get(Prompt.MUSIC)
        if file is None:
            return [PlayTone(listener, tone(ToneKind.RINGBACK, self._terms.country))]
        return [PlayAudio(listener, f"music {self._uid}", (file,), loop=True)]

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

    def _rang(self, _news: News, _party: Party, _now: float) -> list[Command]:
        if not self._told_ringing:
            self._told_ringing = True
            self._tell(NewsKind.RANG)
        return []

    def _agent_answered(self, news: News, party: Party, now: float) -> list[Command]:
        commands = [*self._leave_queue(self._number_of(party)), *self._answered(news, party, now)]
        for other in self._ringing.values():
            if other is not party:
                commands += other.withdraw(now, COMPLETED_ELSEWHERE)
        return commands

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

    def _answered(self, _news: News, party: Party, _now: float) -> list[Command]:
        self._winner = party
        self._deadline = None
        self._enter(WaitState.UP, "answered")
        self._tell(NewsKind.ANSWERED)
        return []

    def _not_led_on(self, _news: News, party: Party, _now: float) -> list[Command]:
        self._fail(party.outcome or OWN_TIMEOUT, "what follows failed")
        return []

    def _left(self, _news: News, party: Party, _now: float) -> list[Command]:
        self._outcome = party.outcome
        self._over("whoever answered left")
        self._tell(NewsKind.LEFT)
        return []

    def _digit(self, news: News, _party: Party, _now: float) -> list[Command]:
        self._tell(NewsKind.DIGIT, news.digit, news.duration_ms)
        return []

    def _leave_queue(self, agent: str = "") -> list[Command]:
        return [LeaveQueue(self._uid, self._queue.number, agent)] if self.state is WaitState.WAITING else []

    def _number_of(self, agent: Party) -> str:
        return next(number for number, party in self._ringing.items() if party is agent)

    def _after(self, commands: list[Command], now: float) -> list[Command]:
        """Act on the news of those who are rung until there is none: what follows may fail as soon as it is rung."""
        commands = list(commands)
        while news_of := [(party, news) for party in self._rung for news in party.take_news()]:
            for party, news in news_of:
                commands += self._act_on(news, party, now)
        return commands

    def _act_on(self, news: News, party: Party, now: float) -> list[Command]:
        """Act on news of whoever matters now; the others are being released."""
        matters: dict[WaitState, list[Party]] = {
            WaitState.WAITING: list(self._ringing.values()),
            WaitState.LEADING_ON: [self._target] if self._target is not None else [],
            WaitState.UP: [self._winner] if self._winner is not None else [],
        }
        if not any(party is other for other in matters.get(self.state, ())):
            return []
        method = self._method(_NEWS, (self.state, news.kind), str(news.kind))
        commands: list[Command] = [] if method == IGNORED else getattr(self, method)(news, party, now)
        return commands

    def _fail(self, outcome: Outcome, because: str) -> None:
        self._outcome = outcome
        self._over(because)
        self._tell(NewsKind.FAILED)

    def _over(self, because: str) -> None:
        self._deadline = None
        self._enter(WaitState.OVER, because)
