"""Dials future calls when they are due.

The database holds what waits; of all that only the time when something is due next is known here, and the numbers that
are being dialled right now.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from sipcore.domain.attempt import Attempt, AttemptSource
from sipcore.domain.errors import (
    AttemptWithdrawnError,
    AuthenticationError,
    Click2CallError,
    LimitReachedError,
    NoLegCapacityError,
    ShuttingDownError,
    StoreUnavailableError,
)
from sipcore.domain.schedule import DueNumber
from sipcore.service.calls import AcceptedCall, Calls, DialRequest
from sipcore.service.store import ScheduleStore
from sipcore.service.turns import Turns

BLOCK = 50
"""Numbers that are claimed, and dialled, together."""
POLL_SECONDS = 5.0
"""How long nobody looks at the database at most: another node may have taken a future call, or the clock has jumped."""
LOOK_SECONDS = 20.0
"""How often it is noted that somebody looks; less than the shortest grace."""
NO_ROOM_SECONDS = 1.0
"""How long nothing is dialled when there was no leg slot for a number, or no database."""
MISSED_BLOCK = 200

_log = structlog.get_logger(__name__)


def utc_now() -> datetime:
    """Read the wall clock."""
    return datetime.now(UTC)


def up_seconds() -> float:
    """Read how long the machine has been up, suspended or not."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Scheduler:
    """Claims and dials; everything happens in one event loop.

    Args:
        store: keeps future calls.
        calls: places calls, and writes each attempt with its record.
        node: id of this node.
        grace: how late a number may be dialled that was due while no server ran, or none that knew its organisation.
        now: the present (aware), by the clock that dates are written for.
        up: seconds that nobody can set, and that go on while the machine is suspended.

    Attributes:
        on_dialled: told how many seconds after its time a number was dialled.
    """

    def __init__(
        self,
        store: ScheduleStore,
        calls: Calls,
        node: str,
        grace: timedelta,
        now: Callable[[], datetime] = utc_now,
        up: Callable[[], float] = up_seconds,
    ) -> None:
        self._store = store
        self._calls = calls
        self._node = node
        self._grace = grace
        self._now = now
        self.on_dialled: Callable[[float], None] = lambda _: None
        self._up = up
        self._looked_up: float | None = None
        self._held: dict[str, float] = {}
        self._no_room_until = 0.0
        self._claims_left = True
        self._under_way: dict[str, AcceptedCall] = {}
        self._turns = Turns("future calls", self._turn, retry_seconds=NO_ROOM_SECONDS)

    def start(self) -> None:
        """Begin to dial what is due."""
        self._store.on_due = self.wake
        self._turns.start()

    async def stop(self) -> None:
        """Dial nothing more; called before the calls are ended."""
        await self._turns.stop()

    def wake(self) -> None:
        """Look now: something may be due earlier than it was, or was cancelled."""
        self._turns.wake()

    async def _turn(self) -> float:
        """Dial everything that is due now; return for how many seconds nothing is to be done."""
        await self._give_back()
        while not self._turns.stopping:
            # Read before the look: what is due by it was looked for, though the machine be suspended in between.
            now = self._now()
            await self._look(now)
            await self._withdraw()
            monotonic = time.monotonic()
            if monotonic < self._no_room_until:
                return self._no_room_until - monotonic
            self._held = {name: until for name, until in self._held.items() if until > monotonic}
            due_at = await self._store.next_due(self._held)
            if due_at is None or due_at > now:
                waits = [POLL_SECONDS, *(until - monotonic for until in self._held.values())]
                if due_at is not None:
                    waits.append((due_at - self._now()).total_seconds())
                return max(min(waits), 0.0)
            # Should the answer be lost, the claim may have been made.
            self._claims_left = True
            claimed = await self._store.claim(self._node, now, BLOCK, self._held)
            self._claims_left = False
            await asyncio.gather(*(self._dial(number) for number in claimed))
            await self._give_back()
        return 0.0

    async def _withdraw(self) -> None:
        """Hang up what nobody has answered yet of future calls that were cancelled, through whichever node."""
        ringing = {call_id: call for call_id, call in self._under_way.items() if not call.first_stage.done()}
        if not ringing:
            return
        for organisation, call_id in await self._store.cancelled([*ringing]):
            # Somebody may have answered while the database did.
            if not ringing[call_id].first_stage.done():
                self._calls.hang_up(organisation, call_id)

    async def _give_back(self) -> None:
        """Let go of what was claimed and not dialled, be it of a turn that failed."""
        if self._claims_left:
            await self._store.release(self._node)
            self._claims_left = False

    async def _look(self, now: datetime) -> None:
        """Note that somebody looks; take out what was due while nobody did, and is too late now.

        A wall clock that jumps while this node looks makes nothing late.
        """
        up = self._up()
        blind = None if self._looked_up is None else up - self._looked_up
        if blind is not None and blind < LOOK_SECONDS:
            return
        if blind is not None and blind < self._grace.total_seconds():
            await self._store.look(now)
        else:
            await self._miss(now)
        self._looked_up = up

    async def _miss(self, now: datetime) -> None:
        missed = 0
        while block := await self._store.miss(now, self._grace, MISSED_BLOCK):
            missed += block
            if block < MISSED_BLOCK:
                break
        if missed:
            _log.warning("future calls missed: they were due while no server ran", numbers=missed)

    async def _dial(self, number: DueNumber) -> None:
        """Dial a claimed number, or say why not; one that may be dialled later is given back."""
        try:
            self._follow(await self._calls.dial(self._request(number)), number.organisation)
            self.on_dialled((self._now() - number.due_at).total_seconds())
        except AttemptWithdrawnError:
            _log.info("future call withdrawn before it was dialled", number=number.id)
        except LimitReachedError as error:
            self._held[number.organisation] = time.monotonic() + error.retry_after
            self._claims_left = True
        except (NoLegCapacityError, StoreUnavailableError, ShuttingDownError) as error:
            _log.warning("future call put off", number=number.id, reason=str(error))
            self._no_room_until = time.monotonic() + NO_ROOM_SECONDS
            self._claims_left = True
        except AuthenticationError as error:
            await self._leave(number, str(error))
        except Click2CallError as error:
            await self._refuse(number, str(error))
        except Exception:  # noqa: BLE001 - whatever it is, the other numbers go on; the story is in the log
            _log.exception("future call not dialled", number=number.id)
            await self._refuse(number, "an internal error, see the server's log")

    async def _leave(self, number: DueNumber, reason: str) -> None:
        """Leave a number whose organisation is not in the settings: another node may know it, or they come back."""
        if self._now() - number.due_at >= self._grace:
            await self._refuse(number, reason)
            return
        _log.warning("future call put off", number=number.id, reason=reason)
        self._held[number.organisation] = time.monotonic() + POLL_SECONDS
        self._claims_left = True

    async def _refuse(self, number: DueNumber, reason: str) -> None:
        _log.warning("future call refused", number=number.id, reason=reason)
        try:
            await self._store.refuse(number.id, self._node, reason, self._now())
        except StoreUnavailableError:
            # It is claimed again later, and refused again.
            self._claims_left = True

    def _request(self, number: DueNumber) -> DialRequest:
        return DialRequest(
            organisation=number.organisation,
            user=number.user,
            dial1=number.dial1,
            dial2=number.dial2,
            set_cid=number.set_cid,
            ring_seconds=number.ring_seconds,
            attempt=Attempt(AttemptSource.SCHEDULE, number.id, number.attempts + 1, self._node),
        )

    def _follow(self, accepted: AcceptedCall, organisation: str) -> None:
        self._under_way[accepted.id] = accepted
        accepted.over.add_done_callback(lambda _: self._over(accepted.id, organisation))

    def _over(self, call_id: str, organisation: str) -> None:
        del self._under_way[call_id]
        if self._held.pop(organisation, None) is not None or self._no_room_until:
            # One call less may be within the limits, and leaves room.
            self._no_room_until = 0.0
            self._turns.wake()
