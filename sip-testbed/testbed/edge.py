"""The edge in front of the nodes: a Kamailio on exactly what `click2call edge` has written."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from testbed.kamailio import KamailioProcess
from testbed.process import TestbedError, wait_until

_CLICK2CALL = Path(sys.executable).parent / "click2call"


class Edge(KamailioProcess):
    """The edge of a settings file, at the address that this names; a context manager.

    `settings` is the file that the nodes use too. Its files and its log are left in `workdir` when one is given.
    """

    _rpc_name = "kamailio_rpc.sock"

    def __init__(self, settings: Path, *, host: str, port: int, workdir: Path | None = None) -> None:
        super().__init__(host, port, workdir)
        self._settings = settings
        self._generated = False

    def generate(self) -> None:
        """Make its files anew from the settings, as is done for its first start."""
        command = [str(_CLICK2CALL), "edge", "--config", str(self._settings), "--output", str(self.log.parent)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        if made.returncode:
            raise TestbedError(f"click2call edge: {made.stderr}")
        self._generated = True

    def _configure(self) -> Path:
        if not self._generated:
            self.generate()
        return self.log.with_name("kamailio.cfg")

    def destinations(self) -> dict[str, bool]:
        """Return whether calls are sent there, by the `sip:host:port` of each worker that there may be."""
        answer = self.rpc("dispatcher.list")
        sets: list[dict[str, Any]] = answer.get("result", {}).get("RECORDS", [])
        return {
            target["DEST"]["URI"]: target["DEST"]["FLAGS"].startswith("A")
            for each in sets
            for target in each["SET"]["TARGETS"]
        }

    def active(self, host: str) -> list[str]:
        """Return the workers of a node that calls are sent to."""
        return [uri for uri, is_active in self.destinations().items() if is_active and f":{host}:" in uri]

    def wait_active(self, host: str, timeout: float = 15.0, *, active: bool = True) -> None:
        """Wait until calls are sent to a node, or with `active=False` until they are not."""
        wait_until(
            lambda: bool(self.active(host)) is active,
            timeout,
            lambda: f"calls to {host} are {'not ' if active else 'still '}sent: {self.destinations()}",
            interval=0.05,
        )
