"""How long a worker takes to start and what it weighs, through the server's own `WorkerStarter`.

A program of its own, so that the fork server that it starts ends with it: `python -m benchmark.workers SETTINGS COUNT`
prints one line of JSON.
"""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from api.main import pool_settings
from benchmark.accounting import pss_mb
from config.loader import load
from sipcore.sip import wire
from sipcore.sip.process import WorkerProcess
from sipcore.sip.starter import WorkerStarter


def _ignore(*_: Any) -> None:
    """Take a worker's events: without legs there is nothing to hear but its orderly end."""


async def measure(settings: Path, count: int) -> dict[str, Any]:
    """Start workers one after the other, weigh them together, and end them.

    Args:
        settings: a settings file of the server.
        count: how many workers are measured, besides the first one.

    Returns:
        `first_ms`, the start that also starts the fork server; `ready_ms`, all others; `pss_mb` of each worker
        while all run.
    """
    starter = WorkerStarter(pool_settings(load(settings, os.environ), settings.parent))
    workers: list[WorkerProcess] = []
    took = []
    try:
        for _ in range(1 + count):
            begun = time.perf_counter()
            worker, _ = await starter.start(_ignore, _ignore)
            took.append((time.perf_counter() - begun) * 1000)
            workers.append(worker)
        weights = [pss_mb(worker.pid) for worker in workers if worker.pid is not None]
    finally:
        for worker in workers:
            worker.send(wire.Retire())
        await starter.close()
    return {"first_ms": took[0], "ready_ms": took[1:], "pss_mb": weights}


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(Path(sys.argv[1]), int(sys.argv[2])))))
