"""baresip, a user agent that shares no code with ours, in a network namespace of its own."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import threading
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from testbed.audio import Recording, Tone, dominant_hz, read_wav, sine, tones, write_wav
from testbed.netns import NetworkNamespace
from testbed.process import Child, Peer, TestbedError, find_program, is_bound, wait_until

Event = dict[str, Any]

_SIP_PORT = 5060
_CONTROL_PORT = 4444
_RATE = 8000
_TONE_SECONDS = 60
_MODULES = (
    Path("/usr/lib/baresip/modules"),
    *Path("/usr/lib").glob("*/baresip/modules"),
    Path("/usr/local/lib/baresip/modules"),
)
_CONFIG = """\
module_path {modules}
module g711.so
module aufile.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
sip_listen {address}:{port}
audio_source aufile,{tone}
snd_path {folder}
audio_alert aufile,{alert}
audio_channels 1-1
audio_srate 8000-8000
ctrl_tcp_listen {address}:{control}
rtp_ports 10000-10100
jitter_buffer_delay 5-10
"""


class Baresip(Peer):
    """baresip as `extension` inside a namespace, steered over TCP; a context manager.

    It plays `tone_hz` into its call and records what it hears. It answers by itself when `auto_answer` is set. With a
    `registrar` (`host:port`, reachable from `namespace`) it registers there with `password`. Without a `namespace` it
    makes one of its own. baresip never uses the loopback interface, hence the namespace, and hence root.
    """

    def __init__(
        self,
        extension: str = "103",
        *,
        tone_hz: float = 900.0,
        auto_answer: bool = True,
        registrar: str = "",
        password: str = "",
        namespace: NetworkNamespace | None = None,
        workdir: Path | None = None,
    ) -> None:
        self.extension = extension
        self._tone_hz = tone_hz
        self._auto_answer = auto_answer
        self._registrar = registrar
        self._password = password
        self.namespace = namespace or NetworkNamespace()
        self._own_namespace = namespace is None
        self._keep = workdir is not None
        self._workdir = workdir
        self._child: Child | None = None
        self._control: socket.socket | None = None
        self._events: list[Event] = []
        self._changed = threading.Condition()
        self._tokens = count(1)

    @property
    def uri(self) -> str:
        """Where it is called directly, from the outside end of its namespace's wire."""
        return f"sip:{self.extension}@{self.namespace.inside}:{_SIP_PORT}"

    @property
    def outside(self) -> str:
        """Our address on the wire: a peer that talks to baresip binds it."""
        return self.namespace.outside

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._child.pid if self._child and self._child.running else None

    def start(self) -> None:
        """Start it and return when it takes commands, registered when there is a registrar."""
        if self._own_namespace:
            self.namespace.start()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End it, and its namespace unless that came from outside."""
        control, self._control = self._control, None
        if control is not None:
            with suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)
            control.close()
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self._own_namespace:
            self.namespace.stop()

    def command(self, name: str, parameters: str = "") -> str:
        """Run one of baresip's own commands (`dial`, `hangup`, ...) and return its answer."""
        token = str(next(self._tokens))
        order = json.dumps({"command": name, "params": parameters, "token": token}).encode()
        if self._control is None:
            raise TestbedError("baresip is not running")
        # The control connection speaks netstrings: length, colon, bytes, comma.
        self._control.sendall(b"%d:%s," % (len(order), order))
        answer = self._wait(lambda event: event.get("token") == token, 5.0, f"an answer to {name}")
        if not answer.get("ok"):
            raise TestbedError(f"baresip refuses {name} {parameters}: {answer.get('data')}")
        return str(answer.get("data", ""))

    def call(self, uri: str) -> None:
        """Place a call."""
        self.command("dial", uri)

    def answer(self) -> None:
        """Answer the call that rings."""
        self.command("accept")

    def hang_up(self) -> None:
        """End its call."""
        self.command("hangup")

    def send_digits(self, digits: str) -> None:
        """Send digits as RFC 4733 events."""
        self.command("sndcode", digits)

    def events(self, name: str | None = None) -> list[Event]:
        """Return baresip's events so far: all, or those of a type such as `CALL_ESTABLISHED`."""
        with self._changed:
            return [event for event in self._events if event.get("event") and name in (None, event.get("type"))]

    def wait_for(self, name: str, timeout: float = 5.0, nth: int = 1) -> Event:
        """Return the `nth` event of a type since the start; wait for it if need be.

        Types: CALL_INCOMING, CALL_RINGING, CALL_PROGRESS, CALL_ESTABLISHED, CALL_CLOSED, CALL_DTMF_START,
        REGISTER_OK, REGISTER_FAIL, and others.
        """
        wait_until(lambda: len(self.events(name)) >= nth, timeout, lambda: f"no {name}\n{self._story()}")
        return self.events(name)[nth - 1]

    def digits_received(self) -> str:
        """Return the digits that arrived."""
        return "".join(str(event.get("param", "")) for event in self.events("CALL_DTMF_START"))

    def recording(self) -> Recording:
        """Return what it heard in its latest call so far."""
        # Its sndfile module names each call's file by the time, and `dec` is what it decoded. A file that was last
        # written before this call was up is an earlier call's.
        began = max((event["time"] for event in self.events("CALL_ESTABLISHED")), default=0.0)
        files = [path for path in self._folder.glob("dump-*dec.wav") if path.stat().st_mtime > began]
        try:
            return read_wav(max(files, key=lambda path: path.stat().st_mtime))
        except ValueError:
            return Recording.empty()

    def heard(self, last: float = 0.5) -> list[Tone]:
        """Return the tones of the last seconds that it heard, the strongest first."""
        return tones(self.recording().last(last))

    def heard_hz(self, last: float = 0.5) -> float | None:
        """Return the strongest tone of the last seconds that it heard, or None for silence."""
        return dominant_hz(self.recording().last(last))

    def wait_heard(self, hz: float, timeout: float = 5.0, last: float = 0.3) -> None:
        """Wait until this tone is the strongest (within 5 Hz) of the last seconds."""
        wait_until(
            lambda: self.recording().seconds >= last and abs((self.heard_hz(last) or 0.0) - hz) < 5,
            timeout,
            lambda: f"baresip hears {self.heard(last)} in {self.recording().seconds:.2f} s\n{self._story()}",
            interval=0.03,
        )

    @property
    def _folder(self) -> Path:
        if self._workdir is None:
            raise TestbedError("baresip was not started")
        return self._workdir

    def _start(self) -> None:
        program = find_program("baresip")
        modules = next((path for path in _MODULES if path.is_dir()), None)
        if modules is None:
            raise TestbedError("baresip's modules are not where Debian puts them")
        self._workdir = self._workdir or Path(tempfile.mkdtemp(prefix="baresip-"))
        self._workdir.mkdir(parents=True, exist_ok=True)
        write_wav(self._folder / "tone.wav", sine(self._tone_hz, _TONE_SECONDS, _RATE), _RATE)
        (self._folder / "config").write_text(
            _CONFIG.format(
                modules=modules,
                address=self.namespace.inside,
                port=_SIP_PORT,
                control=_CONTROL_PORT,
                tone=self._folder / "tone.wav",
                folder=self._folder,
                alert=self._folder / "alert.wav",
            )
        )
        (self._folder / "contacts").write_text("")
        (self._folder / "accounts").write_text(self._account())
        command = self.namespace.command(program, "-f", str(self._folder))
        self._child = Child(command, self._folder / "baresip.log", cwd=self._folder)
        child = self._child
        wait_until(
            lambda: is_bound("tcp", _CONTROL_PORT, self.namespace.inside, child.pid),
            5.0,
            lambda: f"baresip does not listen\n{child.log_tail()}",
            alive=child.death,
        )
        self._control = socket.create_connection((self.namespace.inside, _CONTROL_PORT), timeout=5.0)
        self._control.settimeout(None)
        threading.Thread(target=self._read_events, args=(self._control,), daemon=True).start()
        if self._registrar:
            # Registering may have been faster than our connection: then no event tells of it.
            wait_until(self._is_registered, 5.0, lambda: f"baresip is not registered\n{self._story()}", interval=0.05)

    def _account(self) -> str:
        where = self._registrar or f"{self.namespace.inside}:{_SIP_PORT}"
        login = f";auth_user={self.extension};auth_pass={self._password};regint=60" if self._registrar else ";regint=0"
        mode = "auto" if self._auto_answer else "manual"
        return f"<sip:{self.extension}@{where}>{login};answermode={mode};audio_codecs=pcmu,pcma;dtmfmode=rtpevent\n"

    def _is_registered(self) -> bool:
        return bool(self.events("REGISTER_OK")) or "OK" in self.command("reginfo")

    def _read_events(self, control: socket.socket) -> None:
        data = b""
        while True:
            try:
                piece = control.recv(65536)
            except OSError:
                return
            if not piece:
                return
            data += piece
            while b":" in data:
                length, _, rest = data.partition(b":")
                if len(rest) <= int(length):
                    break
                event = json.loads(rest[: int(length)])
                data = rest[int(length) + 1 :]
                with self._changed:
                    self._events.append({"time": time.time(), **event})
                    self._changed.notify_all()

    def _wait(self, wanted: Any, timeout: float, what: str) -> Event:
        deadline = time.monotonic() + timeout
        with self._changed:
            while not (found := [event for event in self._events if wanted(event)]):
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TestbedError(f"baresip: not {what}\n{self._story()}")
            return found[0]

    def _story(self) -> str:
        lines = [json.dumps(event) for event in self._events[-12:]]
        return "\n".join([*lines, self._child.log_tail() if self._child else ""])

    def _clean(self) -> None:
        if not self._keep and self._workdir is not None:
            shutil.rmtree(self._workdir, ignore_errors=True)
            self._workdir = None
