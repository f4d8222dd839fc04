"""Dials the numbers of campaigns.

The database holds what waits; only the calls that are under way are known here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from sipcore.domain.attempt import Attempt, AttemptSource
from sipcore.domain.call_options import CallOptions
from sipcore.domain.campaign import Campaign, CampaignNumberState, CampaignState, ClaimedNumber
from sipcore.domain.dialplan import NumberPlan, queue_number
from sipcore.domain.directory import Organisation
from sipcore.domain.errors import (
    AttemptWithdrawnError,
    Click2CallError,
    DoNotCallError,
    LimitReachedError,
    NoLegCapacityError,
    ParameterError,
    ShuttingDownError,
    StoreUnavailableError,
)
from sipcore.service.calls import AcceptedCall, Calls, DialRequest, LiveDirectory
from sipcore.service.campaign_hours import CampaignHours
from sipcore.service.campaign_store import CampaignDialStore
from sipcore.service.campaigns import reached
from sipcore.service.nodes import NodeStore
from sipcore.service.queue_board import QueueBoard
from sipcore.service.scheduler import utc_now
from sipcore.service.turns import Turns

POLL_SECONDS = 2.0
"""How long nobody looks at the database at most: another node may have changed something, or ended a call."""
NO_ROOM_SECONDS = 1.0
"""How long nothing is dialled when there was no leg slot for a number, or no database."""
SWEPT = 500
"""Numbers outside their calling hours that are put off together."""
_NEVER = timedelta(days=1)
"""When a number is looked at again whose hours never come; the settings may be others then."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _UnderWay:
    campaign: str
    organisation: str
    call: AcceptedCall


class CampaignDialler:
    """Claims and dials; everything happens in one event loop.

    Args:
        store: keeps campaigns.
        calls: places calls, and writes each attempt with its record.
        directory: organisations in force.
        numbers: the world's numbering plans.
        queues: tell how many numbers may be dialled for their agents.
        nodes: tell which node dials for a queue: each knows the calls of its own agents only.
        now: the present (aware).
    """

    def __init__(
        self,
        store: CampaignDialStore,
        calls: Calls,
        directory: LiveDirectory,
        numbers: NumberPlan,
        queues: QueueBoard,
        nodes: NodeStore,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._store = store
        self._calls = calls
        self._directory = directory
        self._numbers = numbers
        self._queues = queues
        self._nodes = nodes
        self._now = now
        self._held: dict[str, float] = {}
        self._no_room_until = 0.0
        self._in_doubt = False
        self._waiting: dict[str, str] = {}
        self._under_way: dict[str, _UnderWay] = {}
        self._following: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._turns = Turns("campaigns", self._turn, retry_seconds=NO_ROOM_SECONDS, failed=self._doubt)

    def start(self) -> None:
        """Begin to dial."""
        self._store.on_due = self.wake
        self._turns.start()

    def wake(self) -> None:
        """Look at all campaigns now: something may be due earlier than it was, or was stopped."""
        self._turns.wake()

    async def stop(self) -> None:
        """Dial nothing more; called before the calls are ended."""
        await self._turns.stop()
        for task in self._following.values():
            task.cancel()
        await asyncio.gather(*self._following.values(), return_exceptions=True)

    def _doubt(self) -> None:
        self._in_doubt = True

    async def _turn(self) -> float:
        """Dial what may be dialled now; return for how many seconds nothing is to be done."""
        if self._in_doubt:
            # Nothing is being dialled between two turns, so all that is claimed here was claimed in vain.
            await self._store.release(self._nodes.id)
            self._in_doubt = False
        running = await self._store.running()
        ids = {campaign.id for campaign in running}
        await self._withdraw(ids)
        self._waiting = {one: reason for one, reason in self._waiting.items() if one in ids}
        monotonic = time.monotonic()
        self._held = {name: until for name, until in self._held.items() if until > monotonic}
        seconds = POLL_SECONDS
        for campaign in running:
            if not self._turns.stopping:
                seconds = min(seconds, await self._serve(campaign))
        return max(seconds, 0.0)

    async def _withdraw(self, running: set[str]) -> None:
        """Hang up what nobody has answered yet of campaigns that were stopped."""
        ringing = [each for each in self._under_way.values() if not each.call.first_stage.done()]
        ended = {each.campaign for each in ringing} - running
        stopped = {one for one in ended if await self._store.state(one) in {CampaignState.STOPPED, None}}
        for each in ringing:
            if each.campaign in stopped:
                self._calls.hang_up(each.organisation, each.call.id)

    async def _serve(self, campaign: Campaign) -> float:
        """Dial numbers of a campaign; return for how many seconds nothing is to be done for it."""
        organisation = self._directory.current.organisations.get(campaign.organisation)
        if organisation is None:
            return POLL_SECONDS
        held = max(self._held.get(campaign.organisation, 0.0), self._no_room_until) - time.monotonic()
        if held > 0:
            return held
        try:
            queue = queue_number(reached(campaign.terms, organisation, self._numbers))
        except ParameterError as error:
            self._wait(campaign, str(error))
            return POLL_SECONDS
        self._waiting.pop(campaign.id, None)
        limit = campaign.terms.together
        if queue is None:
            return await self._dial_due(campaign, organisation, limit, [])
        limit = min(limit, await self._allowance(campaign, queue))
        if limit < 1:
            return POLL_SECONDS
        # All that it may dial is counted now, so that nobody else dials for the same agents meanwhile.
        counted = [self._queues.count_dial(campaign.organisation, queue) for _ in range(limit)]
        try:
            return await self._dial_due(campaign, organisation, limit, counted)
        finally:
            for dial_over in counted:
                dial_over()

    async def _dial_due(
        self, campaign: Campaign, organisation: Organisation, limit: int, counted: list[Callable[[], None]]
    ) -> float:
        """Dial numbers that are due; return for how many seconds nothing is to be done.

        Args:
            campaign: whose numbers.
            organisation: its organisation.
            limit: how many at most.
            counted: as many of `QueueBoard.count_dial`, where there is a queue; those that are used are taken out.
        """
        now = self._now()
        hours = CampaignHours(campaign.terms, organisation, now)
        first = await self._first_due(campaign, hours, now, limit)
        if first is None:
            return POLL_SECONDS
        if first > now:
            return (first - now).total_seconds()
        claimed, again = await self._store.claim(campaign.id, self._nodes.id, now, limit)
        dialled = await asyncio.gather(
            *(self._dial(campaign, number, hours, counted) for number in claimed), return_exceptions=True
        )
        for failure in dialled:
            if failure is not None:
                raise failure
        return POLL_SECONDS if again is None else (again - self._now()).total_seconds()

    def _wait(self, campaign: Campaign, reason: str) -> None:
        """Say once that a campaign waits for settings: nobody is called for nothing, and no number is lost by it."""
        if self._waiting.get(campaign.id) != reason:
            _log.warning("campaign waits", campaign=campaign.id, organisation=campaign.organisation, reason=reason)
            self._waiting[campaign.id] = reason

    async def _allowance(self, campaign: Campaign, queue: str) -> int:
        """Tell how many numbers may be dialled for the agents of a queue; when there are none, wait for agents."""
        key = campaign.organisation, queue
        if not await self._nodes.hold(f"queue {queue} of {campaign.organisation}"):
            return 0
        # Of another node that dialled for the queue until it lost the lock, or was asked for a call to it: their agents
        # seem free here.
        elsewhere = await self._store.calls_elsewhere(*key, self._nodes.id)
        allowed = self._queues.dials_allowed(*key) - elsewhere
        if allowed < 1 and key not in self._following:
            task = asyncio.get_running_loop().create_task(self._follow_queue(key))
            self._following[key] = task
        return allowed

    async def _follow_queue(self, key: tuple[str, str]) -> None:
        await self._queues.changed(*key)
        del self._following[key]
        self._turns.wake()

    async def _first_due(self, campaign: Campaign, hours: CampaignHours, now: datetime, look: int) -> datetime | None:
        """Put off what is due outside its calling hours; tell when the first of the others is due, or None."""
        while not self._turns.stopping:
            waiting = await self._store.due(campaign.id, look)
            closed: dict[int, datetime] = {}
            for number in waiting:
                opens = hours.opens(number.number) or now + _NEVER
                if number.next_at <= now < opens:
                    closed[number.position] = opens
            if not closed:
                return waiting[0].next_at if waiting else None
            await self._store.defer(campaign.id, closed)
            look = SWEPT
        return None

    async def _dial(
        self,
        campaign: Campaign,
        number: ClaimedNumber,
        hours: CampaignHours,
        counted: list[Callable[[], None]],
    ) -> None:
        """Dial a claimed number, or say why not; one that may be dialled later is given back."""
        now, node = self._now(), self._nodes.id
        opens = hours.opens(number.number) or now + _NEVER
        if opens > now:
            await self._store.give_back(number, node, opens)
            return
        try:
            request = replace(self._request(campaign, number), dial_over=counted.pop() if counted else None)
            call = await self._calls.dial(request)
            self._follow(campaign, call)
            if request.dial_over is not None:
                # It is in the queue now, or will not be.
                call.first_stage.add_done_callback(lambda _: self._turns.wake())
        except AttemptWithdrawnError:
            await self._store.give_back(number, node, now)
        except DoNotCallError as error:
            await self._store.refuse(number, node, CampaignNumberState.DO_NOT_CALL, str(error), now)
        except LimitReachedError as error:
            self._held[campaign.organisation] = time.monotonic() + error.retry_after
            await self._store.give_back(number, node, now)
        except (NoLegCapacityError, StoreUnavailableError, ShuttingDownError) as error:
            _log.warning("number put off", campaign=campaign.id, position=number.position, reason=str(error))
            self._no_room_until = time.monotonic() + NO_ROOM_SECONDS
            await self._store.give_back(number, node, now)
        except Click2CallError as error:
            await self._store.refuse(number, node, CampaignNumberState.REFUSED, str(error), now)
        except Exception:  # noqa: BLE001 - whatever it is, the other numbers go on; the story is in the log
            _log.exception("number refused", campaign=campaign.id, position=number.position)
            told = "an internal error, see the server's log"
            await self._store.refuse(number, node, CampaignNumberState.REFUSED, told, now)

    def _request(self, campaign: Campaign, number: ClaimedNumber) -> DialRequest:
        terms = campaign.terms
        return DialRequest(
            organisation=campaign.organisation,
            user=campaign.user,
            dial1=number.number,
            dial2=terms.dial2,
            set_cid=terms.set_cid,
            ring_seconds=terms.ring_seconds,
            attempt=Attempt(AttemptSource.CAMPAIGN, number.source_id, number.attempts + 1, self._nodes.id),
            options=CallOptions(reference=number.reference),
        )

    def _follow(self, campaign: Campaign, call: AcceptedCall) -> None:
        self._under_way[call.id] = _UnderWay(campaign.id, campaign.organisation, call)
        call.over.add_done_callback(lambda _: self._over(call.id, campaign.organisation))

    def _over(self, call_id: str, organisation: str) -> None:
        del self._under_way[call_id]
        if self._held.pop(organisation, None) is not None:
            # One call less may be within the limit on calls at once.
            self._turns.wake()
