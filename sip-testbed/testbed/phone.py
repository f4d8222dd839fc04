"""A software phone in a process of its own: registers, answers, plays a tone, records what it hears.

From a shell, `python -m testbed.phone --extension 101 --port 25061 --tone 440` prints the phone's events as lines of
JSON and takes commands as lines of JSON, until its input closes.
"""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field, fields
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from testbed.audio import Recording, Tone, dominant_hz, has_tone, read_wav, tones
from testbed.process import Child, Peer, TestbedError, free_port, wait_until

if TYPE_CHECKING:
    from testbed.phone_process import PhoneSettings

Event = dict[str, Any]
Behaviour = Literal["answer", "early_media", "ring", "reject"]
DigitMethod = Literal["rfc4733", "info"]


@dataclass
class PhoneCall:
    """One call of a phone, as its events told it."""

    number: int
    """1 for the phone's first call."""
    call_id: str
    incoming: bool
    remote: str = ""
    invite: str = ""
    """The whole INVITE as it arrived; empty for a call that the phone placed."""
    state: Literal["new", "ringing", "answered", "ended"] = "new"
    code: int = 0
    """The SIP status code that ended it."""
    media: str = "none"
    """`none`, `active`, `local_hold`, `remote_hold` or `error`."""
    digits: str = ""
    recording: Path | None = None
    events: list[Event] = field(default_factory=list)


class Phone(Peer):
    """A phone at `host:port`; a context manager.

    It plays `tone_hz` into every call (0: silence), and the WAV file `greeting` once, when it has answered, and records
    what each call lets it hear. An incoming call is
    treated as `behaviour` says: `answer` after 180 and `answer_after` seconds; `early_media` the same with 183 and the
    tone from the start; `ring` rings until the caller gives up or `answer()`; `reject` sends `reject_code`. With a
    `registrar` (a SIP URI) it registers as `extension`; `username` (default: the extension) and `password` answer
    challenges there and from `proxy`, through which its own calls go when it is given. `codec` (such as `PCMA` or
    `G722`) allows only that one. `log` keeps pjsua's own log, with all messages.
    """

    def __init__(  # noqa: PLR0913 - each argument is one setting of the peer
        self,
        extension: str,
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        transport: Literal["udp", "tcp"] = "udp",
        tone_hz: float = 0.0,
        greeting: Path | None = None,
        behaviour: Behaviour = "answer",
        answer_after: float = 0.0,
        reject_code: int = 486,
        registrar: str = "",
        username: str = "",
        password: str = "",
        proxy: str = "",
        codec: str = "",
        register_seconds: int = 300,
        workdir: Path | None = None,
        log: bool = False,
    ) -> None:
        self.extension = extension
        self.host = host
        self.port = port or free_port(transport, host)
        self.transport = transport
        self._options: dict[str, Any] = {
            "tone_hz": tone_hz,
            "greeting": str(greeting or ""),
            "behaviour": behaviour,
            "answer_after": answer_after,
            "reject_code": reject_code,
            "registrar": registrar,
            "username": username,
            "password": password,
            "proxy": proxy,
            "codec": codec,
            "register_seconds": register_seconds,
        }
        self._workdir = workdir
        self._keep = workdir is not None
        self._log = log
        self._child: Child | None = None
        self._reader: threading.Thread | None = None
        self._events: list[Event] = []
        self._calls: dict[int, PhoneCall] = {}
        self._changed = threading.Condition()
        self._ids = count(1)
        self._answer = (behaviour, answer_after, reject_code)

    @property
    def uri(self) -> str:
        """Where it is reached directly."""
        suffix = ";transport=tcp" if self.transport == "tcp" else ""
        return f"sip:{self.extension}@{self.host}:{self.port}{suffix}"

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._running_child().pid

    # -- life

    def start(self) -> None:
        """Start it and return when it answers calls; a phone with a registrar has then been accepted by it."""
        self._workdir = self._workdir or Path(tempfile.mkdtemp(prefix="phone-"))
        self._workdir.mkdir(parents=True, exist_ok=True)
        settings = {
            **self._options,
            "extension": self.extension,
            "host": self.host,
            "port": self.port,
            "transport": self.transport,
            "recordings": str(self._workdir),
            "log": str(self._workdir / "pjsua.log") if self._log else "",
        }
        here = str(Path(__file__).parent.parent)
        # The settings travel in the environment, so that no password shows in the list of processes.
        environment = {**os.environ, "PYTHONPATH": here, "TESTBED_PHONE": json.dumps(settings)}
        command = [sys.executable, "-m", "testbed.phone"]
        self._child = Child(command, self._workdir / "phone.log", environment=environment, piped=True)
        self._reader = threading.Thread(target=self._read_events, daemon=True)
        self._reader.start()
        try:
            self.wait_for("ready", 10.0)
            if self._options["registrar"]:
                self._wait_registered()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Close its input: it hangs up, unregisters and ends."""
        child = self._child
        if child is None:
            return
        if child.process.stdin is not None and child.running:
            child.process.stdin.close()
            deadline = time.monotonic() + 3.0
            while child.running and time.monotonic() < deadline:
                time.sleep(0.005)
        if self._reader is not None and not child.running:
            self._reader.join(2.0)
        child.stop()
        self._child = None

    def kill(self) -> None:
        """End it without a word to anybody, as a phone whose power fails."""
        child = self._running_child()
        child.process.kill()
        child.process.wait()

    # -- orders

    def call(self, uri: str) -> PhoneCall:
        """Place a call to a SIP URI; returns at once."""
        answer = self._ask("call", uri=uri)
        with self._changed:
            return self._calls[answer["call"]]

    def answer(self, call: int | None = None, code: int = 200) -> None:
        """Send a response to a call that came in (default: to all that wait)."""
        self._ask("answer", call=call, code=code)

    def hang_up(self, call: int | None = None, code: int = 0) -> None:
        """End a call (default: all); `code` is the final response when it was not answered yet."""
        self._ask("hang_up", call=call, code=code)

    def send_digits(self, digits: str, method: DigitMethod = "rfc4733", call: int | None = None) -> None:
        """Send digits as RFC 4733 events or as SIP INFO (`application/dtmf-relay`); returns at once."""
        self._ask("digits", digits=digits, method=method, call=call)

    def hold(self, call: int | None = None) -> None:
        """Put a call on hold by a re-INVITE (`a=sendonly`)."""
        self._ask("hold", call=call)

    def unhold(self, call: int | None = None) -> None:
        """Take a call from hold by a re-INVITE."""
        self._ask("unhold", call=call)

    def behave(self, behaviour: Behaviour, *, answer_after: float = 0.0, reject_code: int = 486) -> None:
        """Change how the next incoming calls are treated."""
        self._ask("behave", behaviour=behaviour, answer_after=answer_after, reject_code=reject_code)

    def register(self) -> None:
        """Send a REGISTER now."""
        self._ask("register", renew=True)

    def unregister(self) -> None:
        """Take the registration back."""
        self._ask("register", renew=False)

    # -- what happened

    def events(self, name: str | None = None, **wanted: object) -> list[Event]:
        """Return the events so far, those of one name, or those with certain fields."""
        with self._changed:
            return self._matching(name, wanted)

    def calls(self) -> list[PhoneCall]:
        """Return all calls so far, the first first."""
        with self._changed:
            return list(self._calls.values())

    def active_calls(self) -> list[PhoneCall]:
        """Return the calls that have not ended."""
        return [call for call in self.calls() if call.state != "ended"]

    def digits_received(self, call: int | None = None) -> str:
        """Return the digits that arrived in a call (default: in all of them, in order)."""
        return "".join(each.digits for each in self.calls() if call in (None, each.number))

    def wait_for(self, event: str | tuple[str, ...], timeout: float = 5.0, *, nth: int = 1, **wanted: object) -> Event:
        """Return the `nth` event of a name, and with these fields, since the start; wait for it if need be.

        Names: ready, registered, not_registered, incoming, ringing, answered, media, recording, digit, ended.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while len(found := self._matching(event, wanted)) < nth:
                left = deadline - time.monotonic()
                if left <= 0:
                    story = "\n".join(f"  {line}" for line in self._story())
                    raise TestbedError(f"phone {self.extension}: no {event} {wanted or ''} in {timeout} s\n{story}")
                if self._child is not None and (death := self._child.death()) and not self._reader_alive():
                    raise TestbedError(f"phone {self.extension}: {death}")
                self._changed.wait(min(left, 0.1))
            return found[nth - 1]

    def wait_digits(self, digits: str, timeout: float = 5.0, call: int | None = None) -> None:
        """Wait until exactly these digits have arrived."""
        wait_until(
            lambda: self.digits_received(call) == digits,
            timeout,
            lambda: f"phone {self.extension} got the digits {self.digits_received(call)!r}, not {digits!r}",
        )

    # -- what it heard

    def recording(self, call: int | None = None) -> Recording:
        """Return what was heard in a call (default: the latest) so far; empty before there was audio."""
        chosen = self._call(call)
        if chosen is None or chosen.recording is None or not chosen.recording.exists():
            return Recording.empty()
        try:
            return read_wav(chosen.recording)
        except ValueError:
            # Made, but its header is not written yet.
            return Recording.empty()

    def heard(self, call: int | None = None, last: float = 0.5) -> list[Tone]:
        """Return the tones of the last seconds heard in a call, the strongest first."""
        return tones(self.recording(call).last(last))

    def heard_hz(self, call: int | None = None, last: float = 0.5) -> float | None:
        """Return the strongest tone of the last seconds heard in a call, or None for silence."""
        return dominant_hz(self.recording(call).last(last))

    def hears(self, hz: float, call: int | None = None, last: float = 0.5) -> bool:
        """Tell whether a tone was there, loud or not, in the last seconds heard in a call."""
        recording = self.recording(call).last(last)
        return has_tone(recording.samples, recording.rate, hz)

    def wait_heard(self, hz: float | None, timeout: float = 5.0, call: int | None = None, last: float = 0.3) -> None:
        """Wait until the last seconds hold this tone as the strongest (within 5 Hz), or with None are silent.

        Silence counts only while audio arrives or the recording goes on; both need `last` seconds of it.
        """

        def heard() -> bool:
            if self.recording(call).seconds < last:
                return False
            now = self.heard_hz(call, last)
            return now is None if hz is None else now is not None and abs(now - hz) < 5

        wait_until(
            heard,
            timeout,
            lambda: (
                f"phone {self.extension} hears {self.heard(call, last)}, not {hz or 'silence'}, "
                f"in {self.recording(call).seconds:.2f} s of audio"
            ),
            interval=0.03,
        )

    def wait_heard_alone(self, hz: float, timeout: float = 5.0) -> None:
        """Wait until the last half second holds this tone (to the Hz) and no other, such as the ringback before it."""
        wait_until(
            lambda: [round(tone.hz) for tone in self.heard()] == [hz],
            timeout,
            lambda: f"phone {self.extension} hears {self.heard()}, not {hz} alone",
        )

    # -- the inside

    def _wait_registered(self) -> None:
        answer = self.wait_for(("registered", "not_registered"), 5.0)
        if answer["event"] != "registered":
            raise TestbedError(f"phone {self.extension}: not registered, {answer['code']}")

    def _running_child(self) -> Child:
        if self._child is None:
            raise TestbedError(f"phone {self.extension} is not running")
        return self._child

    def _reader_alive(self) -> bool:
        return self._reader is not None and self._reader.is_alive()

    def _clean(self) -> None:
        if not self._keep and self._workdir is not None:
            shutil.rmtree(self._workdir, ignore_errors=True)
            self._workdir = None

    def _call(self, number: int | None) -> PhoneCall | None:
        calls = self.calls()
        if number is None:
            return calls[-1] if calls else None
        return next((call for call in calls if call.number == number), None)

    def _ask(self, command: str, **arguments: object) -> Event:
        child, order_id = self._running_child(), next(self._ids)
        if child.process.stdin is None:
            raise TestbedError(f"phone {self.extension} takes no commands")
        try:
            child.process.stdin.write(json.dumps({"command": command, "id": order_id, **arguments}) + "\n")
            child.process.stdin.flush()
        except OSError as error:
            raise TestbedError(f"phone {self.extension}: {child.death() or error}") from error
        answer = self.wait_for(("done", "failed"), 5.0, id=order_id)
        if answer["event"] == "failed":
            raise TestbedError(f"phone {self.extension} cannot {command}: {answer['error']}")
        return answer

    def _matching(self, name: str | tuple[str, ...] | None, wanted: dict[str, object]) -> list[Event]:
        names = (name,) if isinstance(name, str) else name
        return [
            event
            for event in self._events
            if (names is None or event["event"] in names)
            and all(event.get(key) == value for key, value in wanted.items())
        ]

    def _story(self) -> list[str]:
        shown = [{k: v for k, v in e.items() if k not in ("message", "time")} for e in self._events[-12:]]
        return [json.dumps(event) for event in shown]

    def _read_events(self) -> None:
        stdout = self._running_child().process.stdout
        for line in stdout or ():
            event: Event = json.loads(line)
            with self._changed:
                self._note(event)
                self._events.append(event)
                self._changed.notify_all()

    def _note(self, event: Event) -> None:
        number, name = event.get("call"), event["event"]
        if number is None:
            return
        if number not in self._calls:
            self._calls[number] = PhoneCall(number, event.get("call_id", ""), incoming=name == "incoming")
        call = self._calls[number]
        call.events.append(event)
        call.call_id = event.get("call_id", call.call_id)
        if name == "incoming":
            call.remote, call.invite, call.state = event["remote"], event["message"], "ringing"
        elif name in ("ringing", "answered", "ended"):
            call.state = name
            call.code = event.get("code", call.code)
        elif name == "media":
            call.media = event["status"]
        elif name == "digit":
            call.digits += event["digit"]
        elif name == "recording":
            call.recording = Path(event["path"])


def _settings(scratch: str) -> PhoneSettings:
    # Imported where it is needed: a test that only steers phones need not load pjsua2 into its own process.
    from testbed.phone_process import PhoneSettings  # noqa: PLC0415

    if text := os.environ.get("TESTBED_PHONE"):
        return PhoneSettings.from_json(text)
    parser = argparse.ArgumentParser(prog="python -m testbed.phone", description=__doc__.partition("\n")[0])
    parser.add_argument("--extension", default="101", help="who it is (default: 101)")
    parser.add_argument("--port", type=int, default=0, help="UDP port (default: a free one)")
    parser.add_argument("--host", default="127.0.0.1", help="address for SIP and RTP")
    parser.add_argument("--tone", dest="tone_hz", type=float, default=0.0, help="tone to play, in Hz")
    parser.add_argument("--greeting", default="", help="WAV file to play once, when it has answered")
    parser.add_argument("--behaviour", choices=("answer", "early_media", "ring", "reject"), default="answer")
    parser.add_argument("--answer-after", type=float, default=0.0, help="seconds to ring first")
    parser.add_argument("--reject-code", type=int, default=486, help="final response of --behaviour reject")
    parser.add_argument("--registrar", default="", help="SIP URI to register at")
    parser.add_argument("--username", default="", help="for the registrar (default: the extension)")
    parser.add_argument("--codec", default="", help="offer only this one")
    parser.add_argument("--recordings", default="", help="folder for what it hears (default: not kept)")
    given = vars(parser.parse_args())
    given["port"] = given["port"] or free_port("udp", given["host"])
    given["recordings"] = given["recordings"] or scratch
    given["password"] = os.environ.get("PHONE_PASSWORD", "")
    return PhoneSettings(**{key: given[key] for key in given if key in {f.name for f in fields(PhoneSettings)}})


def main() -> None:
    """Run one phone in this process."""
    from testbed.phone_process import PhoneProcess  # noqa: PLC0415

    # Ctrl-C reaches the whole group in a terminal; the end of the input is what ends a phone.
    signal.signal(signal.SIGINT, lambda *_: sys.stdin.close() if sys.stdin.isatty() else None)
    with tempfile.TemporaryDirectory(prefix="phone-") as scratch:
        PhoneProcess(_settings(scratch)).run()


if __name__ == "__main__":
    main()
