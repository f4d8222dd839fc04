"""The call: destination 1 rings, on its answer destination 2 rings, and on that answer their audio is joined.

A third may be joined to the two, and another destination may be rung in place of destination 2.

A sans-IO state machine. It knows its parties and never what kind they are; it acts on their news.
All its transitions stand in `TRANSITIONS`.
"""

from __future__ import annotations

from sipcore.domain.call_recording import CallRecording, RecordingAction, RecordingState, unrecorded
from sipcore.domain.call_terms import CallTerms
from sipcore.domain.call_transitions import TRANSITIONS, CallState
from sipcore.domain.cast import Cast, Member
from sipcore.domain.causes import FAIL_REASONS, OUR_END, Disposition, Outcome
from sipcore.domain.commands import Command, JoinRoom, LeaveRoom, ReportFirstStage, StopPlaying
from sipcore.domain.errors import CallStateError, Click2CallError, NotRecordedError
from sipcore.domain.events import Event, JoinFailed, PlaybackFinished, WorkerLost
from sipcore.domain.machine import IGNORED, Machine
from sipcore.domain.party import Clock, News, Party, concerned, earliest
from sipcore.domain.record import CallRecord
from sipcore.domain.role import Role
from sipcore.domain.telling import TELL_SECONDS, Telling

_NOBODY_REFUSED = (Disposition.ANSWERED, Disposition.CANCELLED, Disposition.INTERRUPTED)


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
        self._cast = Cast(first, second, terms.digits)
        self._uids = first.uid, second.uid
        self._third_talks = False
        self._in_room = False
        self._reported = False
        self._deadline: float | None = None
        self._disposition: Disposition | None = None
        self._ended_by: str | None = None
        self._joined: float | None = None
        self._ended: float | None = None
        self._telling: Telling | None = None

    @property
    def ended(self) -> bool:
        """True when no leg of the call is left."""
        return self.state is CallState.ENDED

    @property
    def uids(self) -> tuple[str, str]:
        """UniqueIDs that party 1 and party 2 were given at acceptance."""
        return self._uids

    @property
    def contest_legs(self) -> int:
        """How many legs it may have ringing beside each other, more than one at a time; see `Party`."""
        return self._first.contest_legs + self._second.contest_legs

    def role_of(self, leg: str) -> Role | None:
        """Tell as which party whoever has a leg came into the call, or None."""
        owner = self._cast.owner_of(leg)
        return None if owner is None else owner.role

    @property
    def _first(self) -> Party:
        return self._cast[Role.FIRST].party

    @property
    def _second(self) -> Party:
        return self._cast[Role.SECOND].party

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
            return self._stay_apart(event, now)
        if isinstance(event, PlaybackFinished) and self._telling is not None:
            return self._telling.feed(event)
        went_on = self._ended_by is None
        commands: list[Command] = []
        if isinstance(event, PlaybackFinished) and self.state is CallState.JOINED:
            commands += self._recording.feed(event)
        for party in concerned(self._cast.everybody, event):
            commands += party.feed(event, now)
        commands = self._after(commands, now)
        if isinstance(event, WorkerLost) and went_on and self._ended_by is not None:
            self._blame_the_worker()
        return commands

    def next_deadline(self) -> float | None:
        """When `on_deadline` wants to be called, or None."""
        digits = [member.digits for role, member in self._cast.members if self._hears(role)]
        return earliest((*self._cast.everybody, *digits, self._recording), self._deadline)

    def on_deadline(self, now: float) -> list[Command]:
        """Act on every deadline that has passed."""
        commands: list[Command] = []
        if self._deadline is not None and now >= self._deadline:
            if self.state is not CallState.TELLING:
                self._end_as(self._disposition or Disposition.CANCELLED, "limit")
            commands += self._release("deadline", now)
        for party in self._cast.everybody:
            commands += party.on_deadline(now)
        commands += self._press(self._recording.on_deadline(now), self._recording.agents_role, now)
        commands += self._send_digits(now)
        return self._after(commands, now)

    def hang_up(self, by: str, now: float) -> list[Command]:
        """End the call from outside.

        Unless it was requested, a caller whom nobody has answered yet is told 503: another server may take the call.

        Args:
            by: who wants it, for the record: `request`, `shutdown`, or `error` (our own).
            now: the machine's time.
        """
        if self.state in (CallState.RELEASING, CallState.ENDED):
            return []
        self._end_as(self._disposition or Disposition.CANCELLED, by)
        turned_away = [] if by == "request" else self._first.refuse(OUR_END, now)
        return self._after([*turned_away, *self._release(f"hang up by {by}", now)], now)

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
        if not self._hears(role):
            raise CallStateError(f"{role} is not in the call, or not yet")
        self._cast[role].digits.add(digits, now)
        return self._after(self._send_digits(now), now)

    def transfer(self, party: Party, digits: str, now: float) -> list[Command]:
        """Release party 2 and ring somebody else in its place; all goes on as it did when party 2 was rung.

        Args:
            party: who is rung.
            digits: what it is sent once it has answered.
            now: the machine's time.

        Raises:
            CallStateError: the two are not joined, party 1 has no leg that could hear it ring, or there is a third.
        """
        listener = self.check_transfer()
        old = self._cast.leave(Role.SECOND)
        commands = [*self._leave_room(listener), *old.let_go(), StopPlaying(listener)]
        self._recording.forget(old)
        self._cast.enter(Role.SECOND, party, digits)
        self._enter(CallState.RINGING_SECOND, "transfer")
        return self._after([*commands, *old.withdraw(now), *party.start(now, listener)], now)

    def check_transfer(self) -> str:
        """Return the leg that hears a transfer's ringing.

        Raises:
            CallStateError: it cannot be done now.
        """
        listener = self._first.leg
        if self.state is not CallState.JOINED or listener is None or Role.THIRD in self._cast:
            raise CallStateError("leg 2 can be transferred while it is joined with leg 1 and nobody else")
        return listener

    def join_third(self, party: Party, digits: str, now: float) -> list[Command]:
        """Ring a third party, which joins the two when it answers.

        Args:
            party: who is rung.
            digits: what it is sent once it has answered.
            now: the machine's time.

        Raises:
            CallStateError: the two are not phones that are joined, have yet to hear that they are recorded, or there is
                a third already.
        """
        self.check_third()
        self._cast.enter(Role.THIRD, party, digits)
        return self._after(party.start(now), now)

    def check_third(self) -> None:
        """Do nothing when a third party can be rung now.

        Raises:
            CallStateError: it cannot.
        """
        talking = self.state is CallState.JOINED and self._recording.state is not RecordingState.NOTICE
        if not talking or Role.THIRD in self._cast or None in (self._first.leg, self._second.leg):
            raise CallStateError("a third number can be joined while two phones are joined and nobody else")

    def record(self, at: Clock) -> CallRecord:
        """Tell what became of the call so far."""
        of_parties = (party.recording_id for party in self._cast.everybody if party.recording_id)
        recording_id = self._recording.id or next(of_parties, None)
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
            legs=self._cast.records(at),
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
            node=self.terms.node,
        )

    def _after(self, commands: list[Command], now: float) -> list[Command]:
        """Act on the parties' news, and on what follows from that, until there is none; end when both are released."""
        commands = list(commands)
        while told := [(member, news) for _, member in self._cast.members for news in member.party.take_news()]:
            for member, news in told:
                commands += self._act_on(news, member, now)
        if self.state is CallState.RELEASING and self._cast.released:
            self._ended = now
            self._deadline = None
            self._enter(CallState.ENDED, "released")
        return self._recording.watch(commands, self._cast.present)

    def _act_on(self, news: News, teller: Member, now: float) -> list[Command]:
        # Whoever told it may have lost its place meanwhile, or have got another one.
        role = self._cast.place_of(teller)
        if role is None or self.state in (CallState.RELEASING, CallState.ENDED):
            return []
        method = self._method(TRANSITIONS, (self.state, news.kind, role), f"{news.kind} of {role}")
        commands: list[Command] = [] if method == IGNORED else getattr(self, method)(news, role, now)
        return commands

    def _ring_second(self, _news: News, _role: Role, now: float) -> list[Command]:
        self._deadline = now + self.terms.max_seconds
        self._enter(CallState.RINGING_SECOND, "dial1 answered")
        commands = [*self._second.start(now, self._first.leg), *self._report(None)]
        # One without a leg takes keys only once it is joined.
        return commands if self._first.leg is None else [*commands, *self._begin_digits(now, Role.FIRST)]

    def _join(self, _news: News, _role: Role, now: float) -> list[Command]:
        self._joined = now if self._joined is None else self._joined
        self._disposition = Disposition.ANSWERED
        self._enter(CallState.JOINED, "dial2 answered")
        accepted = self._first.accept(now)
        # A party without a leg of its own talks to the other one's.
        for speaker, listener in ((self._second, self._first), (self._first, self._second)):
            if listener.leg is not None:
                return [*accepted, *speaker.join(listener.leg, now), *self._begin_digits(now, Role.FIRST, Role.SECOND)]
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
        self._end_as(Disposition.CANCELLED, self._cast[role].role)
        return self._release("dial1 left", now)

    def _part(self, _news: News, role: Role, now: float) -> list[Command]:
        left = self._cast[role]
        if not self._third_talks:
            self._end_as(Disposition.ANSWERED, left.role)
            return self._release(f"{left.role} left", now)
        # The other two go on talking.
        self._recording.forget(left.party)
        self._third_talks = False
        self._cast.move(Role.THIRD, role)
        return []

    def _admit_third(self, _news: News, role: Role, now: float) -> list[Command]:
        third = self._cast[role].party
        if third.leg is None:
            # A menu or the like that answered for a group: it could talk to one leg only.
            return self._dismiss_third(now)
        self._third_talks = self._in_room = True
        legs = [party.leg for party in self._cast.present.values()]
        joins: list[Command] = [JoinRoom(leg, f"call {self.terms.id}") for leg in legs if leg is not None]
        return [*self._recording.admit(third.leg, joins), *self._begin_digits(now, role)]

    def _miss_third(self, _news: News, _role: Role, now: float) -> list[Command]:
        return self._dismiss_third(now)

    def _dismiss_third(self, now: float) -> list[Command]:
        """Let the two go on without the third."""
        self._third_talks = False
        third = self._cast.leave(Role.THIRD)
        self._recording.forget(third)
        return third.withdraw(now)

    def _stay_apart(self, event: JoinFailed, now: float) -> list[Command]:
        """Part with a leg that cannot be joined: with the third alone, or with all."""
        owner = self._cast.owner_of(event.leg)
        role = None if owner is None else self._cast.place_of(owner)
        if role is None:
            return []
        return self._after(self._dismiss_third(now), now) if role is Role.THIRD else self.hang_up("error", now)

    def _leave_room(self, leg: str) -> list[Command]:
        was_there, self._in_room = self._in_room, False
        return [LeaveRoom(leg)] if was_there else []

    def _told(self, _news: News, _role: Role, now: float) -> list[Command]:
        return self._release("dial1 left", now)

    def _relay_digit(self, news: News, role: Role, now: float) -> list[Command]:
        keys, commands = self._recording.press(news, role, now)
        return [*commands, *self._press(keys, role, now)]

    def _press(self, keys: list[News], role: Role, now: float) -> list[Command]:
        """Let the others hear keys that a party pressed."""
        if self.state is not CallState.JOINED:
            return []
        others = [party for place, party in self._cast.present.items() if place is not role and self._hears(place)]
        return [command for key in keys for other in others for command in other.press(key.digit, key.duration_ms, now)]

    def _begin_digits(self, now: float, *roles: Role) -> list[Command]:
        for role in roles:
            self._cast[role].begin_digits(now)
        return self._send_digits(now)

    def _send_digits(self, now: float) -> list[Command]:
        return [
            command
            for role, member in self._cast.members
            if self._hears(role) and (digit := member.digits.take(now))
            for command in member.party.press(digit, 0, now)
        ]

    def _hears(self, role: Role) -> bool:
        """Tell whether a party is there to take keys: its leg is up, or it needs none and is joined."""
        if role not in self._cast or self.state in (CallState.RELEASING, CallState.ENDED):
            return False
        party = self._cast[role].party
        if party.leg is None:
            return self.state is CallState.JOINED and role is not Role.THIRD
        return party.up and (role is Role.FIRST or self.state is CallState.JOINED)

    def _outcome_of(self, role: Role) -> Outcome:
        outcome = self._cast[role].party.outcome
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
        self._disposition = disposition if self._joined is None else Disposition.ANSWERED
        if self._ended_by is None:
            self._ended_by = str(ended_by)

    def _blame_the_worker(self) -> None:
        """Settle anew what its loss has just ended, unless somebody else had refused before."""
        if self._disposition in _NOBODY_REFUSED:
            self._disposition, self._ended_by = Disposition.INTERRUPTED, "worker"

    def _release(self, because: str, now: float) -> list[Command]:
        self._deadline = None
        self._telling = None
        self._enter(CallState.RELEASING, because)
        commands = self._report(FAIL_REASONS[Disposition.CANCELLED])
        for party in self._cast.everybody:
            commands += party.withdraw(now)
        return commands
