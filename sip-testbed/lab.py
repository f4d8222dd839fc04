#!/usr/bin/env python3
"""One command for the SIP peers of the test bed: a trunk, scripted answers and phones, on loopback."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, suppress
from pathlib import Path

from fleet import run_fleet
from testbed.kamailio import Kamailio
from testbed.phone import Phone
from testbed.phone import main as phone_main
from testbed.process import TestbedError, wait_until
from testbed.scenarios import SCENARIOS
from testbed.sipp import Sipp

TRUNK_PORT = 25070
TRUNK_USER = ("trunkuser", "trunkpass")
PHONES = {"101": (25061, 440.0), "102": (25081, 620.0)}
# The number that each scenario answers to, behind the trunk, and the port it answers at.
FIRST_NUMBER = 2025550100
FIRST_SCENARIO_PORT = 25100
NUMBERS = {name: f"+1{FIRST_NUMBER + index}" for index, name in enumerate(SCENARIOS)}


def lab_directory(given: Path | None) -> Path:
    """Return the directory that holds the running lab's state and logs."""
    return given or Path(tempfile.gettempdir()) / f"sip-lab-{os.getuid()}"


def run_lab(directory: Path) -> None:
    """Run everything in this process until SIGTERM or Ctrl-C, and write what runs to `lab.json`."""
    state = directory / "lab.json"
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    users = dict([TRUNK_USER, *((name, f"pw{name}") for name in PHONES)])
    ports = {name: FIRST_SCENARIO_PORT + 2 * index for index, name in enumerate(SCENARIOS)}
    hops = {
        NUMBERS[name].replace("+", prefix): f"127.0.0.1:{ports[name]}" for name in SCENARIOS for prefix in ("+", "")
    }
    with ExitStack() as stack:
        trunk = stack.enter_context(Kamailio(users, port=TRUNK_PORT, next_hops=hops, workdir=directory / "trunk"))
        rows = [{"what": "trunk", "name": "kamailio", "port": trunk.port, "pid": trunk.pid, "log": str(trunk.log)}]
        for name, port in ports.items():
            folder = directory / "sipp" / name
            peer = stack.enter_context(Sipp(name, port=port, workdir=folder))
            rows.append({"what": "sipp", "name": name, "port": port, "pid": peer.pid, "number": NUMBERS[name]})
        for name, (port, tone) in PHONES.items():
            phone = Phone(
                name,
                port=port,
                tone_hz=tone,
                registrar=trunk.uri,
                password=f"pw{name}",
                workdir=directory / f"phone-{name}",
            )
            stack.enter_context(phone)
            rows.append({"what": "phone", "name": name, "port": port, "pid": phone.pid, "tone_hz": tone})
        stack.callback(state.unlink, missing_ok=True)
        while not stopping.is_set():
            for row in rows:
                if row["what"] == "phone":
                    row["registered"] = trunk.contacts(str(row["name"]))
            written = state.with_suffix(".new")
            written.write_text(json.dumps({"pid": os.getpid(), "rows": rows}, indent=1))
            written.replace(state)
            stopping.wait(1.0)


def read_state(directory: Path) -> dict[str, object] | None:
    """Return the running lab's state, or None when no lab runs there."""
    try:
        state: dict[str, object] = json.loads((directory / "lab.json").read_text())
        # A killed lab leaves its state behind, and its process id may be somebody else's by now.
        words = Path(f"/proc/{state['pid']}/cmdline").read_bytes()
    except (OSError, ValueError, KeyError):
        return None
    return state if Path(__file__).name.encode() in words else None


def start(directory: Path, *, foreground: bool) -> None:
    """Start the lab and leave it running, or run it in this terminal."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_uid != os.getuid():
        raise TestbedError(f"{directory} belongs to somebody else: choose another with --dir")
    if read_state(directory):
        raise TestbedError(f"a lab runs already in {directory}")
    if foreground:
        run_lab(directory)
        return
    log = directory / "lab.log"
    command = [sys.executable, __file__, "--dir", str(directory), "start", "--foreground"]
    with log.open("w") as sink:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True)
    wait_until(
        lambda: read_state(directory),
        30.0,
        f"the lab did not start; see {log}",
        alive=lambda: None if child.poll() is None else log.read_text().strip().rpartition("\n")[2],
    )
    show(directory)


def show(directory: Path) -> None:
    """Print what runs."""
    state = read_state(directory)
    if state is None:
        print(f"no lab runs in {directory}")
        return
    print(f"lab {state['pid']} in {directory}")
    print(f"trunk user {TRUNK_USER[0]}, password {TRUNK_USER[1]}, realm testbed\n")
    print(f"{'what':6} {'name':26} {'port':>5} {'pid':>7}  more")
    rows = state["rows"]
    for row in rows if isinstance(rows, list) else []:
        more = row.get("number") or row.get("log") or ""
        if row["what"] == "phone":
            where = ", ".join(row.get("registered", [])) or "not registered"
            more = f"tone {row['tone_hz']:g} Hz, {where}"
        print(f"{row['what']:6} {row['name']:26} {row['port']:5} {row['pid']:7}  {more}")


def stop(directory: Path) -> None:
    """End the lab and everything it started."""
    state = read_state(directory)
    if state is None:
        print(f"no lab runs in {directory}")
        return
    pid = int(str(state["pid"]))
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: read_state(directory) is None, 15.0, f"lab {pid} does not end")
    print("stopped")


def run_scenario(name: str, port: int, host: str, transport: str, calls: int | None) -> None:
    """Run one scenario in this terminal and print each message's first line until Ctrl-C."""
    shown = 0
    with Sipp(
        name, port=port or None, host=host, transport="tcp" if transport == "tcp" else "udp", calls=calls
    ) as peer:
        print(f"{peer.scenario.name} at {peer.uri()}: {peer.scenario.summary}", flush=True)
        with suppress(KeyboardInterrupt):
            running = True
            while running:
                running = peer.running
                for trace in peer.messages()[shown:]:
                    arrow = "<-" if trace.direction == "received" else "->"
                    print(f"{trace.time:%H:%M:%S.%f} {arrow} {trace.start_line}", flush=True)
                    shown += 1
                threading.Event().wait(0.1)


def list_scenarios() -> None:
    """Print the scenarios, with the number that reaches each one through a running lab's trunk."""
    for name, make in SCENARIOS.items():
        print(f"{name:26} {NUMBERS[name]:13} {make().summary}")


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    top = argparse.ArgumentParser(prog="lab.py", description=__doc__)
    top.add_argument("--dir", type=Path, help="where the lab keeps its state (default: under the temporary directory)")
    commands = top.add_subparsers(dest="command", required=True)
    starting = commands.add_parser("start", help="start the trunk, all scenarios, and phones 101 and 102")
    starting.add_argument("--foreground", action="store_true", help="run in this terminal until Ctrl-C")
    commands.add_parser("show", help="show what runs: ports, processes, registrations")
    commands.add_parser("stop", help="end everything that start started")
    commands.add_parser("fleet", help="run a trunk, an edge, two nodes and phones in this terminal until Ctrl-C")
    commands.add_parser("list", help="list the scenarios")
    one = commands.add_parser("sipp", help="run one scenario in this terminal")
    one.add_argument("name", help="see list; or the path of a SIPp XML file")
    one.add_argument("--port", type=int, default=0, help="default: a free one")
    one.add_argument("--host", default="127.0.0.1")
    one.add_argument("--transport", choices=("udp", "tcp"), default="udp")
    one.add_argument("--calls", type=int, help="end after so many calls")
    commands.add_parser("phone", help="run one phone in this terminal; lab.py phone --help tells its options")
    return top


def main() -> None:
    """Run the command line."""
    if "phone" in sys.argv[1:2]:
        del sys.argv[1]
        phone_main()
        return
    given = parser().parse_args()
    directory = lab_directory(given.dir)
    try:
        match given.command:
            case "start":
                start(directory, foreground=given.foreground)
            case "show":
                show(directory)
            case "stop":
                stop(directory)
            case "fleet":
                run_fleet(directory / "fleet")
            case "list":
                list_scenarios()
            case "sipp":
                run_scenario(given.name, given.port, given.host, given.transport, given.calls)
    except (TestbedError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
