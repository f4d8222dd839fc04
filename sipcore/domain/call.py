"""The call: destination 1 rings, on its answer destination 2 rings, and on that answer their audio is joined.

A sans-IO state machine. It knows two parties and never what kind they are; it acts on their news.
All its transitions stand in `_TABLE`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from sipcore.domain.attempt import Attempt
from sipcore.domain.call_recording import CallRecording, RecordingAction, RecordingState, unrecorded
from sipcore.domain.causes import FAIL_REASONS, Disposition, Outcome
from sipcore.domain.commands import Command, ReportFirstStage
from sipcore.domain.dtmf import DigitSequence
from sipcore.domain.errors import CallStateError, Click2CallError, NotRecordedError
from sipcore.domain.events import Event, JoinFailed, PlaybackFinished, WorkerLost
from sipcore.domain.machine import IGNORED, Machine
from sipcore.domain.party import Clock, News, NewsKind, Party, concerned, earliest
from sipcore.domain.record import CallRecord
from sipcore.domain.role import Role
from sipcore.domain.telling import TELL_SECONDS, Telling


class CallState(StrEnum):
    """Where the call stands."""

    ACCEPTED = "accepted"
    RINGING_FIRST = "ringing first"
    RINGING_SECOND = "ringing second"
    JOINED = "joined"
    TELLING = "telling"
    RELEASING = "releasing"
    ENDED = "ended"


_TABLE: dict[tuple[CallState, NewsKind, Role], str] = {
    # Somebody who called us gave up while it was looked up whom they reach.
    (CallState.ACCEPTED, NewsKind.LEFT, Role.FIRST): "_caller_left",
    (CallState.RINGING_FIRST, NewsKind.RANG, Role.FIRST): IGNORED,
    (CallState.RINGING_FIRST, NewsKind.ANSWERED, Role.FIRST): "_ring_second",
    (CallState.RINGING_FIRST, NewsKind.FAILED, Role.FIRST): "_give_up",
    (CallState.RINGING_SECOND, NewsKind.RANG, Role.SECOND): IGNORED,
    (CallState.RINGING_SECOND, NewsKind.ANSWERED, Role.SECOND): "_join",
    (CallState.RINGING_SECOND, NewsKind.FAILED, Role.SECOND): "_tell_why",
    (CallState.RINGING_SECOND, NewsKind.LEFT, Role.FIRST): "_caller_left",
    # Party 1 presses keys before anybody is there to hear them.
    (CallState.RINGING_SECOND, NewsKind.DIGIT, Role.FIRST): IGNORED,
    (CallState.JOINED, NewsKind.LEFT, Role.FIRST): "_part",
    (CallState.JOINED, NewsKind.LEFT, Role.SECOND): "_part",
    (CallState.JOINED, NewsKind.DIGIT, Role.FIRST): "_relay_digit",
    (CallState.JOINED, NewsKind.DIGIT, Role.SECOND): "_relay_digit",
    (CallState.TELLING, NewsKind.LEFT, Role.FIRST): "_told",
    (CallState.TELLING, NewsKind.DIGIT, Role.FIRST): IGNORED,
}

_NOBODY_REFUSED = (Disposition.ANSWERED, Disposition.CANCELLED, Disposition.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class CallTerms:
    """What the call was accepted with.

    Attributes:
        id: of its record, 32 hex digits.
        organisation, user: who asked.
        dial1, dial2, set_cid: as given.
        accepted_at: when.
        country: whose tones party 1 hears (ISO 3166-1 alpha-2).
        max_seconds: how long it may last once party 1 has answered.
        prompts: audio files of the organisation's spoken prompts, by the name of `sipcore.domain.prompts.Prompt`.
        batch_id, direction, reference, attempt: as in its record.
        digits: what is sent to each party once it has answered (`sipcore.domain.dtmf`).
    """

    id: str
    organisation: str
    user: str
    dial1: str
    dial2: str
    set_cid: str | None
    accepted_at: datetime
    country: str
    max_seconds: float
    prompts: Mapping[str, str] = field(default_factory=dict)
    batch_id: str | None = None
    direction: str = "outbound"
    reference: str | None = None
    attempt: Attempt | None = None
    digits: Mapping[Role, str] = field(default_factory=dict)


class Call(Machine[CallState]):
    """One request, one record.

    Args:
        terms: what it was accepted with.
        first: rung first.
        second: rung when `first` has answered.
        recording: records it; without one it is not recorded.
    """

    def __init__(self, terms: CallTerms, first: Party, second: Party, recording: CallRecording | None = None) -> None:
        super().__init__(f"call {terms.id}", CallState.ACCEPTED)
        self.terms = terms
        self._recording = recording or unrecorded()
        self._parties: dict[Role, Party] = {Role.FIRST: first, Role.SECOND: second}
        self._first = first
        self._second = second
        self._reported = False
        self._deadline: float | None = None
        self._disposition: Disposition | None = None
        self._ended_by: str | None = None
        self._joined: float | None = None
        self._ended: float | None = None
        self._telling: Telling | None = None
        self._unsent = dict(terms.digits)
        self._digits: dict[Role, DigitSequence] = {}

    @property
    def ended(self) -> bool:
        """True when no leg of the call is left."""
        return self.state is CallState.ENDED

    @property
    def uids(self) -> tuple[str, str]:
        """UniqueIDs that party 1 and party 2 were given at acceptance."""
        return self._first.uid, self._second.uid

    @property
    def contest_legs(self) -> int:
        """How many legs it may have ringing beside each other, more than one at a time; see `Party`."""
        return self._first.contest_legs + self._second.contest_legs

    def role_of(self, leg: str) -> Role | None:
        """Tell which party a leg belongs to, or None."""
        return next((role for role, party in self._parties.items() if party.owns(leg)), None)

    def start(self, now: float) -> list[Command]:
        """Ring party 1, unless the call was hung up before it began."""
        if self.state is not CallState.ACCEPTED:
            return []
        self._enter(CallState.RINGING_FIRST, "start")
        return self._after(self._first.start(now), now)

    def feed(self, event: Event, now: float) -> list[Command]:
        """Take an event of one of the call's legs, or the loss of a worker that carried one.

        Raises:
            InvalidTransitionError: the event cannot happen in this state.
        """
        if isinstance(event, JoinFailed):
            return self.hang_up("error", now)
        if isinstance(event, PlaybackFinished) and self._telling is not None:
            return self._telling.feed(event)
        went_on = self._ended_by is None
        commands: list[Command] = []
        if isinstance(event, PlaybackFinished) and self.state is CallState.JOINED:
            commands += self._recording.feed(event)
        for party in concerned(self._parties.values(), event):
            commands += party.feed(event, now)
        commands = self._after(commands, now)
        if isinstance(event, WorkerLost) and went_on and self._ended_by is not None:
            self._blame_the_worker()
        return commands

    def next_deadline(self) -> float | None:
        """When `on_deadline` wants to be called, or None."""
        return earliest((*self._parties.values(), *self._digits.values(), self._recording), self._deadline)

    def on_deadline(self, now: float) -> list[Command]:
        """Act on every deadline that has passed."""
        commands: list[Command] = []
        if self._deadline is not None and now >= self._deadline:
            if self.state is not CallState.TELLING:
                self._end_as(self._disposition or Disposition.CANCELLED, "limit")
            commands += self._release("deadline", now)
        for party in self._parties.values():
            commands += party.on_deadline(now)
        commands += self._press(self._recording.on_deadline(now), self._recording.agents_role, now)
        commands += self._send_digits(now)
        return self._after(commands, now)

    def hang_up(self, by: str, now: float) -> list[Command]:
        """End the call from outside.

        Args:
            by: who wants it, for the record: `request`, `shutdown`, or `error` (our own).
            now: the machine's time.
        """
        if self.state in (CallState.RELEASING, CallState.ENDED):
            return []
        self._end_as(self._disposition or Disposition.CANCELLED, by)
        return self._after(self._release(f"hang up by {by}", now), now)

    def change_recording(self, action: RecordingAction) -> list[Command]:
        """Pause, resume or stop the recording.

        Raises:
            NotRecordedError: the call is not being recorded.
        """
        if self.state in (CallState.RELEASING, CallState.ENDED):
            raise NotRecordedError("the call is over")
        return self._recording.act(action)

    def send_digits(self, role: Role, digits: str, now: float) -> list[Command]:
        """Send digits to a party, after those that are still on their way to it.

        Args:
            role: which party.
            digits: as `sipcore.domain.dtmf` has them.
            now: the machine's time.

        Raises:
            CallStateError: nobody is there who could take them.
        """
        if (role is Role.SECOND and self.state is not CallState.JOINED) or not self._hears(role):
            raise CallStateError(f"{role} is not in the call")
        self._digits.setdefault(role, DigitSequence("", now)).add(digits, now)
        return self._after(self._send_digits(now), now)

    def record(self, at: Clock) -> CallRecord:
        """Tell what became of the call so far."""
        recording_id = self._recording.id or self._first.recording_id or self._second.recording_id
        # A box that records a leg by itself does so until it leaves.
        state = self._recording.state if self._recording.id else RecordingState.RECORDING
        return CallRecord(
            id=self.terms.id,
            organisation=self.terms.organisation,
            user=self.terms.user,
            dial1=self.terms.dial1,
            dial2=self.terms.dial2,
            set_cid=self.terms.set_cid,
            accepted_at=self.terms.accepted_at,
            legs=tuple(
                replace(leg, party=str(role)) for role, party in self._parties.items() for leg in party.records(at)
            ),
            joined_at=None if self._joined is None else at(self._joined),
            ended_at=None if self._ended is None else at(self._ended),
            disposition=self._disposition if self.ended else None,
            ended_by=self._ended_by if self.ended else None,
            recording_id=recording_id,
            recording_state=None if recording_id is None or self.ended else state,
            batch_id=self.terms.batch_id,
            direction=self.terms.direction,
            reference=self.terms.reference,
            attempt=self.terms.attempt,
        )

    def _after(self, commands: list[Command], now: float) -> list[Command]:
        """Act on the parties' news, and on what follows from that, until there is none; end when both are released."""
        commands = list(commands)
        while told := [(role, news) for role, party in self._parties.items() for news in party.take_news()]:
            for role, news in told:
                commands += self._act_on(news, role, now)
        if self.state is CallState.RELEASING and self._first.released and self._second.released:
            self._ended = now
            self._deadline = None
            self._enter(CallState.ENDED, "released")
        return self._recording.watch(commands, self._parties)

    def _act_on(self, news: News, role: Role, now: float) -> list[Command]:
        if self.state in (CallState.RELEASING, CallState.ENDED):
            return []
        method = self._method(_TABLE, (self.state, news.kind, role), f"{news.kind} of {role}")
        commands: list[Command] = [] if method == IGNORED else getattr(self, method)(news, role, now)
        return commands

    def _ring_second(self, _news: News, _role: Role, now: float) -> list[Command]:
        self._deadline = now + self.terms.max_seconds
        self._enter(CallState.RINGING_SECOND, "dial1 answered")
        commands = [*self._second.start(now, self._first.leg), *self._report(None)]
        # One without a leg takes keys only once it is joined.
        return commands if self._first.leg is None else [*commands, *self._begin_digits(Role.FIRST, now)]

    def _join(self, _news: News, _role: Role, now: float) -> list[Command]:
        self._joined = now
        self._disposition = Disposition.ANSWERED
        self._enter(CallState.JOINED, "dial2 answered")
        accepted = self._first.accept(now)
        # A party without a leg of its own talks to the other one's.
        for speaker, listener in ((self._second, self._first), (self._first, self._second)):
            if listener.leg is not None:
                joined = [*accepted, *speaker.join(listener.leg, now)]
                return [*joined, *(command for role in Role for command in self._begin_digits(role, now))]
        raise Click2CallError("neither party has a leg")

    def _give_up(self, _news: News, role: Role, now: float) -> list[Command]:
        disposition = self._outcome_of(role).disposition
        self._end_as(disposition, role)
        return [*self._report(FAIL_REASONS[disposition]), *self._release("dial1 failed", now)]

    def _tell_why(self, _news: News, role: Role, now: float) -> list[Command]:
        outcome = self._outcome_of(role)
        self._end_as(outcome.disposition, role)
        if self._first.leg is None or not self._first.up:
            return [*self._first.refuse(outcome, now), *self._release("dial2 failed", now)]
        self._deadline = now + TELL_SECONDS
        self._enter(CallState.TELLING, "dial2 failed")
        self._telling = Telling(self._first.leg, outcome.disposition, self.terms.country, self.terms.prompts)
        return self._telling.start()

    def _caller_left(self, _news: News, role: Role, now: float) -> list[Command]:
        self._end_as(Disposition.CANCELLED, role)
        return self._release("dial1 left", now)

    def _part(self, _news: News, role: Role, now: float) -> list[Command]:
        self._end_as(Disposition.ANSWERED, role)
        return self._release(f"{role} left", now)

    def _told(self, _news: News, _role: Role, now: float) -> list[Command]:
        return self._release("dial1 left", now)

    def _relay_digit(self, news: News, role: Role, now: float) -> list[Command]:
        keys, commands = self._recording.press(news, role, now)
        return [*commands, *self._press(keys, role, now)]

    def _press(self, keys: list[News], role: Role, now: float) -> list[Command]:
        """Let the other side hear keys that a party pressed."""
        if self.state is not CallState.JOINED:
            return []
        other = self._second if role is Role.FIRST else self._first
        return [command for key in keys for command in other.press(key.digit, key.duration_ms, now)]

    def _begin_digits(self, role: Role, now: float) -> list[Command]:
        """Send a party what was wanted at acceptance, once."""
        digits = self._unsent.pop(role, "")
        if digits:
            self._digits[role] = DigitSequence(digits, now)
        return self._send_digits(now)

    def _send_digits(self, now: float) -> list[Command]:
        return [
            command
            for role, sequence in self._digits.items()
            if self._hears(role) and (digit := sequence.take(now))
            for command in self._parties[role].press(digit, 0, now)
        ]

    def _hears(self, role: Role) -> bool:
        """Tell whether a party can take keys: its leg is up, or it needs none and is joined."""
        party = self._parties[role]
        return self.state is CallState.JOINED if party.leg is None else party.up

    def _outcome_of(self, role: Role) -> Outcome:
        outcome = self._parties[role].outcome
        if outcome is None:
            raise Click2CallError(f"{role} failed without an outcome")
        return outcome

    def _report(self, fail_reason: str | None) -> list[Command]:
        if self._reported:
            return []
        self._reported = True
        return [ReportFirstStage(fail_reason)]

    def _end_as(self, disposition: Disposition, ended_by: str) -> None:
        """Settle what the record will say; the first cause stands."""
        self._disposition = disposition
        if self._ended_by is None:
            self._ended_by = str(ended_by)

    def _blame_the_worker(self) -> None:
        """Settle anew what its loss has just ended, unless somebody else had refused before."""
        if self._disposition in _NOBODY_REFUSED:
            self._disposition, self._ended_by = Disposition.INTERRUPTED, "worker"

    def _release(self, because: str, now: float) -> list[Command]:
        self._deadline = None
        self._telling = None
        self._digits.clear()
        self._enter(CallState.RELEASING, because)
        commands = self._report(FAIL_REASONS[Disposition.CANCELLED])
        for party in self._parties.values():
            commands += party.withdraw(now)
        return commands
