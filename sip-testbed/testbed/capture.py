"""A UDP socket that counts what reaches it, for tests that prove that a packet came, or that none did."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass

from testbed.process import Peer, TestbedError, free_port, wait_until


@dataclass(frozen=True)
class Packet:
    """One UDP packet."""

    time: float
    """When it arrived, as `time.time()` counts."""
    source: tuple[str, int]
    data: bytes


class UdpSink(Peer):
    """A silent peer at `host:port` that counts the packets that reach it; a context manager.

    `keep` also keeps them (at most `most`). `send` sends from the same port, as a phone's media socket would.
    """

    def __init__(
        self, *, port: int | None = None, host: str = "127.0.0.1", keep: bool = True, most: int = 100_000
    ) -> None:
        self.host = host
        self.port = port or free_port("udp", host)
        self._keep = most if keep else 0
        self._packets: list[Packet] = []
        self._count = 0
        self._marker = b""
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{self.host}:{self.port}"

    @property
    def count(self) -> int:
        """How many packets have arrived."""
        with self._lock:
            return self._count

    def packets(self) -> list[Packet]:
        """Return the packets that were kept."""
        with self._lock:
            return list(self._packets)

    def send(self, data: bytes, target: tuple[str, int]) -> None:
        """Send one packet from the sink's own port."""
        if self._socket is None:
            raise TestbedError("the sink is not open")
        self._socket.sendto(data, target)

    def wait_count(self, count: int, timeout: float = 5.0) -> None:
        """Wait until at least so many packets have arrived."""
        wait_until(lambda: self.count >= count, timeout, lambda: f"{self.count} of {count} packets came")

    def settle(self) -> int:
        """Return the count once all that had been sent on this machine before now has been read.

        A packet of our own, sent last, comes behind everything that waits in the socket's queue.
        """
        marker = f"settle-{time.monotonic_ns()}".encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(marker, (self.host, self.port))
        wait_until(lambda: self._marker == marker, 2.0, "the sink reads nothing", interval=0.001)
        return self.count

    def start(self) -> None:
        """Bind the socket and begin to count."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        try:
            self._socket.bind((self.host, self.port))
        except OSError as error:
            self._socket.close()
            raise TestbedError(f"cannot bind {self.address}: {error}") from error
        self._socket.settimeout(0.2)
        self._thread = threading.Thread(target=self._read, args=(self._socket,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close the socket; the packets stay readable."""
        closing, self._socket = self._socket, None
        if closing is not None and self._thread is not None:
            # The reader wakes by its own timeout at the latest, at once by an empty packet to itself.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"", (self.host, self.port))
            self._thread.join(2.0)
            closing.close()

    def _read(self, own: socket.socket) -> None:
        while self._socket is own:
            try:
                data, source = own.recvfrom(65536)
            except TimeoutError:
                continue
            except OSError:
                # An ICMP error of something that we sent.
                continue
            if data.startswith(b"settle-"):
                self._marker = data
                continue
            if self._socket is not own:
                return
            with self._lock:
                self._count += 1
                if len(self._packets) < self._keep:
                    self._packets.append(Packet(time.time(), source, data))
