"""The party that called us: one leg that came in, answered when the other side has answered."""

from __future__ import annotations

from enum import StrEnum

from sipcore.domain.causes import WITHDRAWN, Disposition, Outcome, outcome_of
from sipcore.domain.commands import AnswerLeg, Command, HangUpLeg
from sipcore.domain.events import DigitPressed, Event, LegAnswered, LegEnded, WorkerLost
from sipcore.domain.leg_party import LegParty, LegStates
from sipcore.domain.machine import IGNORED
from sipcore.domain.party import NewsKind

REFUSALS: dict[Disposition, int] = {
    Disposition.BUSY: 486,
    Disposition.NO_ANSWER: 480,
    Disposition.NOT_CONNECTED: 404,
    Disposition.UNREACHABLE: 503,
    Disposition.CANCELLED: 480,
    Disposition.INTERRUPTED: 503,
}
"""Final status for a caller whose call was not answered, by why."""
_TEMPORARILY_UNAVAILABLE = 480
_RINGING = 180


class IncomingState(StrEnum):
    """Where the caller's leg stands."""

    WAITING = "waiting"
    UP = "up"
    WITHDRAWING = "withdrawing"
    OVER = "over"


_STATES = LegStates(IncomingState.UP, IncomingState.WITHDRAWING, IncomingState.OVER)
_TABLE: dict[tuple[IncomingState, type[Event]], str] = {
    **_STATES.table,
    (IncomingState.WAITING, LegEnded): "_gave_up",
    (IncomingState.WAITING, WorkerLost): "_lost",
    # Whoever it waits for had it answered, to play music to it.
    (IncomingState.WAITING, LegAnswered): "_answered_meanwhile",
    # Keys in early media belong to nobody yet.
    (IncomingState.WAITING, DigitPressed): IGNORED,
}


class IncomingParty(LegParty[IncomingState]):
    """Whoever called us. It counts as answered for its call from the start; its INVITE is answered by `accept`.

    Args:
        leg: its Call-ID, which the far end chose.
        number: its caller identity.
        extension: the extension that calls, or None: a call from outside.
    """

    _lost_before_its_answer = NewsKind.LEFT

    def __init__(self, leg: str, number: str, extension: str | None = None) -> None:
        super().__init__(leg, number, IncomingState.WAITING, _STATES, _TABLE, extension=extension)

    @property
    def released(self) -> bool:
        """True when the leg is over."""
        return self.state is IncomingState.OVER

    def start(self, now: float, listener: str | None = None) -> list[Command]:  # noqa: ARG002 - the parties' shape
        """Let the caller hear that it rings, and the call ring whom it wants."""
        self._step(placed=now, ringing=now)
        self._tell(NewsKind.ANSWERED)
        return [AnswerLeg(self._uid, _RINGING)]

    def accept(self, now: float) -> list[Command]:
        """Answer the INVITE, unless that was done before."""
        if self.state is not IncomingState.WAITING:
            return []
        self._go_up("accept", now)
        return [AnswerLeg(self._uid)]

    def refuse(self, outcome: Outcome, now: float) -> list[Command]:
        """Answer the INVITE with the status that tells why nobody else did."""
        if self.state is not IncomingState.WAITING:
            return self.withdraw(now)
        return self._turn_away(REFUSALS.get(outcome.disposition, _TEMPORARILY_UNAVAILABLE), outcome, now)

    def withdraw(self, now: float, reason: str = "") -> list[Command]:
        """Refuse or release the leg, whichever its state asks for."""
        if self.state in (IncomingState.WITHDRAWING, IncomingState.OVER):
            return []
        if self.state is IncomingState.WAITING:
            return self._turn_away(_TEMPORARILY_UNAVAILABLE, WITHDRAWN, now)
        self._outcome = outcome_of(200, rang=True, answered=True)
        self._withdraw("withdraw", now)
        return [HangUpLeg(self._uid, reason)]

    def _turn_away(self, sip_code: int, outcome: Outcome, now: float) -> list[Command]:
        self._outcome = outcome
        self._sip_code = sip_code
        self._withdraw(f"refuse {sip_code}", now)
        return [AnswerLeg(self._uid, sip_code)]

    def _answered_meanwhile(self, _event: LegAnswered, now: float) -> list[Command]:
        self._go_up("answered meanwhile", now)
        return []

    def _gave_up(self, event: LegEnded, now: float) -> list[Command]:
        self._sip_code = event.sip_code
        self._outcome = WITHDRAWN
        self._over(str(event.sip_code), now, event.ended_by)
        self._tell(NewsKind.LEFT)
        return []
