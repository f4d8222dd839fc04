"""SIPp as a scripted SIP peer, and what it saw on the wire."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import sipmessage

from testbed.audio import mu_law, sine
from testbed.capture import UdpSink
from testbed.process import Child, Peer, TestbedError, find_program, free_port, is_bound, wait_until
from testbed.rtp import digit_packets, digits_in, event_payload_type, media_address
from testbed.scenarios import SCENARIOS, Scenario

if TYPE_CHECKING:
    from collections.abc import Mapping

# SIPp writes, before each message, a line of dashes with the local time and a line such as
# `UDP message received [512] bytes :` or `UDP message sent (310 bytes):`.
_ENTRY = re.compile(
    rb"^-{20,} (\d{4}-\d\d-\d\d[ T\t]\d\d:\d\d:\d\d\.\d+)[^\n]*\n"
    rb"(\w+) message (sent|received) [\[(](\d+)\]? bytes\)? ?:\n\n",
    re.MULTILINE,
)
_TONE_SECONDS = 30


@dataclass(frozen=True)
class SipTrace:
    """One SIP message that a peer sent or received."""

    direction: Literal["sent", "received"]
    time: datetime
    """When, by the local clock."""
    raw: bytes

    @property
    def text(self) -> str:
        """The message as text."""
        return self.raw.decode(errors="replace")

    @cached_property
    def message(self) -> sipmessage.Request | sipmessage.Response:
        """The message, parsed; raises `ValueError` when it is not SIP."""
        return sipmessage.Message.parse(self.raw)

    @property
    def start_line(self) -> str:
        """The request line or status line."""
        return self.text.partition("\r\n")[0]

    @property
    def method(self) -> str | None:
        """The method of a request."""
        return None if self.start_line.startswith("SIP/2.0") else self.start_line.partition(" ")[0]

    @property
    def code(self) -> int | None:
        """The status code of a response."""
        return int(self.start_line.split()[1]) if self.start_line.startswith("SIP/2.0") else None

    @property
    def body(self) -> str:
        """What follows the headers."""
        return self.text.partition("\r\n\r\n")[2]

    def headers(self, name: str) -> list[str]:
        """Return the values of all headers of a name, as they came, without regard to case."""
        head = re.sub(r"\r\n[ \t]+", " ", self.text.partition("\r\n\r\n")[0])
        pairs = (line.partition(":") for line in head.split("\r\n")[1:])
        return [value.strip() for key, _, value in pairs if key.strip().lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """Return the first header of a name."""
        return next(iter(self.headers(name)), None)


class Sipp(Peer):
    """SIPp running a scenario at `host:port`; a context manager.

    `scenario` is a `Scenario`, the name of one in `SCENARIOS`, or the path of an XML file. `calls` ends SIPp after so
    many calls (default: it goes on). `keys` fill in `[name]` words of an XML file. RTP is sent to the sink `media`,
    which counts and keeps it; with `echo` SIPp sends every RTP packet back to its sender instead. `remote`
    (`host:port`) is whom a calling scenario calls.
    """

    def __init__(  # noqa: PLR0913 - each argument is one setting of the peer
        self,
        scenario: Scenario | str | Path = "answer",
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        transport: Literal["udp", "tcp"] = "udp",
        calls: int | None = None,
        keys: Mapping[str, str] | None = None,
        echo: bool = False,
        remote: str = "",
        workdir: Path | None = None,
    ) -> None:
        if isinstance(scenario, str) and scenario in SCENARIOS:
            scenario = SCENARIOS[scenario]()
        elif not isinstance(scenario, Scenario):
            path = Path(scenario)
            if not path.exists():
                raise TestbedError(f"no such scenario: {scenario}; there are {', '.join(SCENARIOS)}")
            scenario = Scenario(path.stem, path.name, path.read_text())
        self.scenario = scenario
        self.host = host
        self.port = port or free_port(transport, host)
        self.transport = transport
        self._calls = calls
        self._keys = dict(keys or {})
        self._echo = echo
        self.media = UdpSink(host=host)
        self._rtp_port = free_port("udp", host)
        self._remote = remote
        self._keep = workdir is not None
        self._workdir = workdir
        self._child: Child | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    def uri(self, user: str = "peer") -> str:
        """Return a SIP URI that reaches it."""
        return f"sip:{user}@{self.address}" + (";transport=tcp" if self.transport == "tcp" else "")

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._child.pid if self._child and self._child.running else None

    @property
    def running(self) -> bool:
        """Whether it runs; with `calls` it ends by itself."""
        return self.pid is not None

    def start(self) -> None:
        """Start SIPp and return when its port is bound."""
        self._workdir = folder = self._workdir or Path(tempfile.mkdtemp(prefix="sipp-"))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scenario.xml").write_text(self.scenario.xml)
        if self.scenario.tone_hz:
            (folder / "tone.ul").write_bytes(mu_law(sine(self.scenario.tone_hz, _TONE_SECONDS)))
        self._messages.write_bytes(b"")
        if not self._echo:
            self.media.start()
        self._child = Child(self._command(), folder / "sipp.log", cwd=folder)
        try:
            wait_until(
                # The last port that SIPp binds before it serves.
                lambda: is_bound("udp", self._rtp_port, self.host),
                5.0,
                f"SIPp did not bind {self.address}",
                alive=self.death,
                interval=0.005,
            )
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End SIPp at once, without ending its calls; its messages stay readable until the context is left."""
        self.media.stop()
        if self._child is not None:
            self._child.stop()

    def wait_end(self, timeout: float = 10.0) -> int:
        """Wait until SIPp ends by itself and return its exit code: 0 when every call went as the scenario says."""
        child = self._child
        if child is None:
            raise TestbedError("SIPp was not started")
        wait_until(lambda: not child.running, timeout, f"SIPp still runs {self.scenario.name}")
        return child.process.wait()

    def death(self) -> str | None:
        """Return why SIPp is not running, with its own words, or None while it is."""
        death = self._child.death() if self._child else "SIPp was not started"
        errors = self._folder / "errors.log"
        return f"{death}\n{errors.read_text(errors='replace')}" if death and errors.exists() else death

    def errors(self) -> str:
        """Return what SIPp found wrong with the messages so far; empty when all went as the scenario says."""
        errors = self._folder / "errors.log"
        return errors.read_text(errors="replace") if errors.exists() else ""

    def messages(self) -> list[SipTrace]:
        """Return all messages so far, in the order in which SIPp sent and received them."""
        data = self._messages.read_bytes()
        found: list[SipTrace] = []
        for entry in _ENTRY.finditer(data):
            stamp, _, direction, size = (part.decode() for part in entry.groups())
            raw = data[entry.end() : entry.end() + int(size)]
            if len(raw) == int(size):
                when = datetime.fromisoformat(re.sub(r"\s", "T", stamp)).astimezone()
                found.append(SipTrace("sent" if direction == "sent" else "received", when, raw))
        return found

    def received(self, what: str | int | None = None) -> list[SipTrace]:
        """Return what it received: all, the requests of a method, or the responses of a code."""
        return self._select("received", what)

    def sent(self, what: str | int | None = None) -> list[SipTrace]:
        """Return what it sent: all, the requests of a method, or the responses of a code."""
        return self._select("sent", what)

    def count_packets(self) -> int:
        """Return how many messages it received, repeated ones included."""
        return len(self.received())

    def calls(self) -> dict[str, list[SipTrace]]:
        """Return the messages by Call-ID."""
        sorted_by_call: dict[str, list[SipTrace]] = {}
        for trace in self.messages():
            sorted_by_call.setdefault(trace.header("Call-ID") or "", []).append(trace)
        return sorted_by_call

    def wait_for(
        self,
        what: str | int,
        count: int = 1,
        timeout: float = 5.0,
        direction: Literal["sent", "received"] = "received",
    ) -> SipTrace:
        """Wait for the `count`-th message of a method or code and return it."""
        return wait_until(
            lambda: next(iter(self._select(direction, what)[count - 1 :]), None),
            timeout,
            lambda: f"SIPp {self.scenario.name}: {what} not {direction} {count} times\n{self._story()}",
        )

    async def wait_for_async(
        self,
        what: str | int,
        count: int = 1,
        timeout: float = 5.0,  # noqa: ASYNC109 - the same arguments as `wait_for`
        direction: Literal["sent", "received"] = "received",
    ) -> SipTrace:
        """Do the same as `wait_for` without blocking the event loop."""
        return await asyncio.to_thread(self.wait_for, what, count, timeout, direction)

    def send_digits(self, digits: str) -> None:
        """Send digits as RFC 4733 events to whoever sent the latest INVITE; returns when they are sent."""
        body = self.wait_for("INVITE").body if not self.received("INVITE") else self.received("INVITE")[-1].body
        payload_type = event_payload_type(body)
        if payload_type is None:
            raise TestbedError("the INVITE offers no telephone events")
        for wait, packet in digit_packets(digits, payload_type):
            time.sleep(wait)
            self.media.send(packet, media_address(body))

    def digits_received(self) -> str:
        """Return the digits that came as RFC 4733 events."""
        types = {event_payload_type(trace.body) for trace in self.received("INVITE")} - {None}
        packets = [packet.data for packet in self.media.packets()]
        return "".join(digits_in(packets, each) for each in types if each is not None)

    @property
    def _folder(self) -> Path:
        if self._workdir is None:
            raise TestbedError("SIPp was not started")
        return self._workdir

    @property
    def _messages(self) -> Path:
        return self._folder / "messages.log"

    def _clean(self) -> None:
        if not self._keep and self._workdir is not None:
            shutil.rmtree(self._workdir, ignore_errors=True)
            self._workdir = None

    def _command(self) -> list[str]:
        command = [find_program("sipp"), *([self._remote] if self._remote else [])]
        command += ["-sf", "scenario.xml", "-i", self.host, "-p", str(self.port)]
        command += ["-t", "t1" if self.transport == "tcp" else "u1"]
        # SIPp binds its RTP port even when it does nothing with it, and a control port.
        command += ["-mi", self.host, "-mp", str(self._rtp_port), "-ci", self.host]
        command += ["-cp", str(free_port("udp", self.host))]
        command += ["-trace_msg", "-message_file", "messages.log", "-trace_err", "-error_file", "errors.log"]
        # A message that a scenario does not expect is noted and otherwise left alone.
        command += ["-nostdin", "-default_behaviors", "none"]
        if self._calls is not None:
            command += ["-m", str(self._calls)]
        command += ["-key", "audio_port", str(self._rtp_port if self._echo else self.media.port)]
        if not self.scenario.retransmits:
            command += ["-nr"]
        if self._echo:
            command += ["-rtp_echo"]
        for key, value in self._keys.items():
            command += ["-key", key, value]
        return command

    def _select(self, direction: str, what: str | int | None) -> list[SipTrace]:
        return [
            trace
            for trace in self.messages()
            if trace.direction == direction and what in (None, trace.method, trace.code)
        ]

    def _story(self) -> str:
        lines = [f"  {trace.direction:8} {trace.start_line}" for trace in self.messages()]
        return "\n".join([*lines[-20:], self.death() or "", self.errors()[-800:]])
