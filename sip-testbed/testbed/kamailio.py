"""A Kamailio on loopback; one that is SIP trunk and registrar at once, with digest authentication."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import json
import re
import shutil
import socket
import tempfile
from abc import abstractmethod
from itertools import count
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from testbed.process import Child, Peer, TestbedError, find_program, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping


class _ConfigTemplate(Template):
    """A template that leaves `$` to Kamailio, whose variables start with it."""

    delimiter = "@@"


_CONFIG = _ConfigTemplate((Path(__file__).parent / "kamailio.cfg").read_text())
# What may stand between double quotes in the configuration without a meaning of its own.
_PLAIN = re.compile(r"[A-Za-z0-9.+*#_~:/@ -]+")

_ASK = """route[AUTHENTICATE] {
	if ($sht(users=>$au) == $null || !pv_KIND_authenticate("REALM", "$sht(users=>$au)", "0")) {
		KIND_challenge("REALM", "1");
		exit;
	}
	consume_credentials();
}"""
_AUTHENTICATE = {
    None: "route[AUTHENTICATE] {\n\treturn;\n}",
    401: _ASK.replace("KIND", "www"),
    407: _ASK.replace("KIND", "proxy"),
}


class KamailioProcess(Peer):
    """A Kamailio at `host:port`, UDP and TCP; a context manager. What it does is its configuration's affair."""

    _rpc_name = "rpc.sock"

    def __init__(self, host: str, port: int, workdir: Path | None) -> None:
        self.host = host
        self.port = port
        self._kept = workdir
        self._run: Path | None = None
        self._child: Child | None = None
        self._request_ids = count(1)

    @abstractmethod
    def _configure(self) -> Path:
        """Write the configuration and return where it is."""

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def uri(self) -> str:
        """The proxy's and registrar's URI, without a user part."""
        return f"sip:{self.address}"

    @property
    def log(self) -> Path:
        """Kamailio's log: its own messages, and one line for each request and how it was routed."""
        return (self._kept or self._directory()) / "kamailio.log"

    @property
    def pid(self) -> int | None:
        """The main process's id while it runs."""
        return self._child.pid if self._child and self._child.running else None

    def start(self) -> None:
        """Start it and return when it answers OPTIONS; nobody is registered then."""
        if self._child is not None and self._child.running:
            raise TestbedError("Kamailio runs already")
        run = self._directory()
        self._rpc_socket.unlink(missing_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        config = self._configure()
        command = [find_program("kamailio"), "-DD", "-E", "-f", str(config), "-Y", str(run), "-w", str(run)]
        # A small memory pool, and SIGTERM when we die: Kamailio's main process then ends its own children.
        self._child = Child([*command, "-m", "32", "-M", "4"], self.log, death_signal="TERM")
        try:
            wait_until(self._answers, 10.0, "Kamailio did not answer OPTIONS", alive=self._child.death)
        except BaseException:
            self._child.stop()
            raise

    def stop(self) -> None:
        """End it, as a trunk that goes away; registrations are lost, the port stays ours for `start`."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def restart(self) -> None:
        """Stop and start again: everybody must register anew."""
        self.stop()
        self.start()

    def contacts(self, username: str) -> list[str]:
        """Return the contact URIs that are registered for a user."""
        answer = self.rpc("ul.lookup", "location", username)
        return [entry["Contact"]["Address"] for entry in answer.get("result", {}).get("Contacts", [])]

    def registered(self, username: str) -> bool:
        """Tell whether a user has a registered contact."""
        return bool(self.contacts(username))

    def wait_registered(self, username: str, timeout: float = 5.0, *, registered: bool = True) -> None:
        """Wait until a user is registered, or with `registered=False` until it is not."""
        wait_until(
            lambda: self.registered(username) is registered,
            timeout,
            f"{username} is {'not ' if registered else 'still '}registered",
            interval=0.02,
        )

    def unregister(self, username: str) -> None:
        """Forget a user's registration without telling the user, as a registrar that lost its memory."""
        self.rpc("ul.rm", "location", username)

    def rpc(self, method: str, *parameters: str | int) -> dict[str, Any]:
        """Call one of Kamailio's JSON-RPC methods; the answer holds `result` or `error`."""
        request_id = next(self._request_ids)
        request = {"jsonrpc": "2.0", "method": method, "params": parameters, "id": request_id}
        # Kamailio answers to the sender's address, so the sender needs a name.
        name = self._directory() / f"rpc-{request_id}.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.settimeout(3.0)
            try:
                client.bind(str(name))
                client.sendto(json.dumps(request).encode(), str(self._rpc_socket))
                answer: dict[str, Any] = json.loads(client.recv(65536))
            except OSError as error:
                raise TestbedError(f"Kamailio does not answer {method}: {error}") from error
            finally:
                name.unlink(missing_ok=True)
        return answer

    @property
    def _rpc_socket(self) -> Path:
        return self._directory() / self._rpc_name

    def _directory(self) -> Path:
        # Sockets live in a short path of their own: unix(7) allows 107 characters, a test's directory may have more.
        if self._run is None:
            self._run = Path(tempfile.mkdtemp(prefix="kamailio-"))
        return self._run

    def _clean(self) -> None:
        if self._run is not None:
            shutil.rmtree(self._run, ignore_errors=True)
            self._run = None

    def _answers(self) -> bool:
        request = (
            f"OPTIONS {self.uri} SIP/2.0\r\nVia: SIP/2.0/UDP {{host}}:{{port}};branch=z9hG4bKready\r\n"
            f"From: <sip:ready@{self.host}>;tag=ready\r\nTo: <{self.uri}>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\n"
            "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.bind((self.host, 0))
            client.settimeout(0.05)
            host, port = client.getsockname()
            try:
                client.sendto(request.format(host=host, port=port).encode(), (self.host, self.port))
                return client.recv(4096).startswith(b"SIP/2.0 200")
            except OSError:
                return False


class Kamailio(KamailioProcess):
    """A registrar and trunk at `host:port`, UDP and TCP; a context manager.

    `users` maps each user name to its password; a registered user is reached as `sip:USER@host:port`. `next_hops`
    maps the beginning of a dialled number to the `host:port` (a `;transport=tcp` may follow) that the INVITE is
    relayed to once it is authenticated; the longest match wins. Anything else gets 404.
    `challenge` is the status code that asks an INVITE for credentials: 407, 401, or None for a trunk that trusts
    the sender's address. `min_expires` and `max_expires` bound a registration's life, `reply_timeout` the wait for
    a next hop's first answer; all in seconds. Files are left in `workdir` when one is given.
    """

    def __init__(  # noqa: PLR0913 - each argument is one setting of the peer
        self,
        users: Mapping[str, str],
        *,
        port: int | None = None,
        host: str = "127.0.0.1",
        realm: str = "testbed",
        next_hops: Mapping[str, str] | None = None,
        challenge: int | None = 407,
        min_expires: int = 1,
        max_expires: int = 3600,
        reply_timeout: float = 30.0,
        workdir: Path | None = None,
    ) -> None:
        for text in (*users, *users.values(), realm, *(next_hops or {}), *(next_hops or {}).values()):
            if not _PLAIN.fullmatch(text.replace(";transport=", ":")):
                raise ValueError(f"not usable in Kamailio's configuration: {text!r}")
        super().__init__(host, port or free_port("tcp", host), workdir)
        self.users = dict(users)
        self.realm = realm
        self._next_hops = dict(next_hops or {})
        self._challenge = challenge
        self._settings = {
            "min_expires": min_expires,
            "max_expires": max_expires,
            "reply_timeout_ms": round(reply_timeout * 1000),
        }

    def _configure(self) -> Path:
        config = self.log.with_name("kamailio.cfg")
        config.write_text(self._config())
        return config

    def _config(self) -> str:
        passwords = "\n".join(f'\t$sht(users=>{name}) = "{word}";' for name, word in self.users.items())
        longest_first = sorted(self._next_hops.items(), key=lambda hop: -len(hop[0]))
        hops = "\n".join(
            f'\tif ($rU =~ "^{re.escape(prefix)}") {{ $du = "sip:{hop}"; return 1; }}'.replace("\\", "\\\\")
            for prefix, hop in longest_first
        )
        return _CONFIG.substitute(
            self._settings,
            address=self.address,
            realm=self.realm,
            rpc_socket=self._rpc_socket,
            passwords=passwords,
            next_hops=hops,
            authenticate=_AUTHENTICATE[self._challenge].replace("REALM", self.realm),
        )
