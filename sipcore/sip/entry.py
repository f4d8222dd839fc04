"""Where a worker process begins. The parent imports this module too, to name it, and must not load pjsua2."""

from __future__ import annotations

import socket

from sipcore.sip import wire


def run(channel: socket.socket, settings: wire.WorkerSettings) -> None:
    """Run a worker on its end of the channel."""
    from sipcore.sip import worker  # noqa: PLC0415 - loads pjsua2, which belongs in workers and their fork server only

    worker.main(channel, settings)
