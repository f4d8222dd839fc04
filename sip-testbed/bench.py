#!/usr/bin/env python3
"""`make bench`: how fast the server is, measured from outside, with the machine's load beside each figure.

Everything runs on loopback addresses and in a temporary directory, and ends with this program. A full run takes about
a quarter of an hour. What each figure means: docs/bench.md.
"""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from benchmark.measurements import MEASUREMENTS
from benchmark.peer import compile_peer
from benchmark.report import Measurement, show
from benchmark.workbench import Bench, Plan
from testbed.process import TestbedError

FULL = Plan()
QUICK = Plan(
    latency_calls=60,
    workers=6,
    idle_seconds=6.0,
    media_calls=(20,),
    media_seconds=8.0,
    waiting_calls=40,
    waiting_seconds=16.0,
    groups=2,
    rates=(20,),
    rate_seconds=5.0,
    event_seconds=4.0,
    records=100_000,
    page_reads=20,
    pending=10_000,
    due=30,
    listed=10_000,
    listed_pending=50_000,
    kills=3,
)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only",
        metavar="NAMES",
        type=lambda text: text.split(","),
        default=list(MEASUREMENTS),
        help=f"some of {','.join(MEASUREMENTS)}",
    )
    parser.add_argument("--quick", action="store_true", help="measure less, in under a minute: a look, no result")
    parser.add_argument(
        "--json", action="store_true", help="print each measurement as one JSON line; the table goes to standard error"
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.only if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"--only: {', '.join(unknown)}: expected some of {', '.join(MEASUREMENTS)}")
    return options


async def measure(bench: Bench, names: list[str], *, as_json: bool) -> list[Measurement]:
    """Run the measurements of these names, in the order of `MEASUREMENTS`."""
    found = []
    for name in (name for name in MEASUREMENTS if name in names):
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        async for measurement in MEASUREMENTS[name](bench):
            found.append(measurement)
            for line in measurement.warnings:
                print(line, file=sys.stderr, flush=True)
            if as_json:
                print(measurement.json_line(), flush=True)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the bench; return the exit code: 0 also when a target is missed, 1 when nothing could be measured."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory(prefix="click2call-bench-") as folder:
        try:
            bench = Bench(compile_peer(Path(folder)), Path(folder), QUICK if options.quick else FULL)
            measurements = asyncio.run(measure(bench, options.only, as_json=options.json))
        except TestbedError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
    show(measurements, sys.stderr if options.json else sys.stdout)
    return 0


if __name__ == "__main__":
    # As Ctrl-C: everything that was started ends first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
