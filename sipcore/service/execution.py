"""Carrying out what calls want done: by the SIP port, the queues, the recorder, and whoever waits for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from sipcore.domain.commands import (
    Command,
    HangUpLeg,
    JoinQueue,
    LegCommand,
    PlaceLeg,
    QueueCommand,
    ReportFirstStage,
    StartRecording,
)
from sipcore.domain.errors import NoLegCapacityError
from sipcore.domain.events import LegEnded
from sipcore.domain.slots import Slots
from sipcore.service.event_recorder import StepSink
from sipcore.service.live_call import LiveCall
from sipcore.service.port import SipPort
from sipcore.service.queue_board import QueueBoard
from sipcore.service.recorder import Recorder

_TERMINATED, _UNAVAILABLE = 487, 503


class Execution:
    """Carries commands out.

    Args:
        port: the SIP port.
        queues: where parties wait.
        recorder: follows what is recorded; without one nothing is.
        steps: is told what calls want of queues.
        by_leg: calls by their legs and tickets; those that are placed are entered.
        take: takes the ends of legs that were never placed.
        spawn: runs what has to wait.
    """

    def __init__(
        self,
        port: SipPort,
        queues: QueueBoard,
        recorder: Recorder | None,
        steps: StepSink,
        by_leg: dict[str, LiveCall],
        take: Callable[[LegEnded], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._port = port
        self._queues = queues
        self._recorder = recorder
        self._steps = steps
        self._by_leg = by_leg
        self._take = take
        self._spawn = spawn

    def carry_out(self, live: LiveCall, commands: Sequence[Command]) -> None:
        """Carry out what a call wants; legs without a slot are placed when there is one."""
        for command in commands:
            self._execute(live, command)
        if live.unplaced:
            unplaced, live.unplaced = live.unplaced, []
            self._spawn(self._grow(live, unplaced))

    def _execute(self, live: LiveCall, command: Command) -> None:
        if isinstance(command, ReportFirstStage):
            if not live.first_stage.done():
                live.first_stage.set_result(command.fail_reason)
        elif isinstance(command, PlaceLeg):
            self._place(live, command)
        elif isinstance(command, HangUpLeg) and command.leg in live.waiting:
            live.waiting.discard(command.leg)
            ended = LegEnded(command.leg, _TERMINATED, "hung up before it was placed", "local")
            asyncio.get_running_loop().call_soon(self._take, ended)
        elif isinstance(command, QueueCommand):
            if isinstance(command, JoinQueue):
                self._by_leg[command.ticket] = live
                live.tickets.add(command.ticket)
            self._queues.execute(live.call.terms.organisation, command)
            self._steps.queued(live.record(), command)
        elif isinstance(command, LegCommand):
            if isinstance(command, StartRecording) and self._recorder is not None:
                self._recorder.begin(live.call.terms, command)
            self._port.send(live.slots.of(command.leg), command)
        elif self._recorder is not None:
            self._recorder.close(command.recording)

    def _place(self, live: LiveCall, command: PlaceLeg) -> None:
        self._by_leg[command.leg] = live
        slots = live.slots.take(command)
        if slots is None:
            live.unplaced.append(command)
            live.waiting.add(command.leg)
        else:
            self._place_on(live, slots, command)

    def _place_on(self, live: LiveCall, slots: Slots, command: PlaceLeg) -> None:
        live.leg_in(command.leg, command.plan.line)
        self._port.send(slots, command)

    async def _grow(self, live: LiveCall, commands: list[PlaceLeg]) -> None:
        """Reserve slots for legs that were not counted on before, and place those that nobody has hung up meanwhile."""
        try:
            await live.slots.grow(len(commands))
        except NoLegCapacityError as error:
            refused = str(error)
        else:
            refused = "no free leg"
        for command in commands:
            if command.leg not in live.waiting:
                continue
            live.waiting.discard(command.leg)
            slots = live.slots.take(command)
            if slots is None:
                self._take(LegEnded(command.leg, _UNAVAILABLE, refused, "local"))
            else:
                self._place_on(live, slots, command)
