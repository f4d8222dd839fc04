"""Who may talk to a socket: a classic BPF filter in the kernel (Linux socket(7), SO_ATTACH_FILTER).

pjlib opens its sockets itself; they are found among the process's own descriptors by the port they are bound to.
A filter set on a duplicate descriptor holds for the socket.
"""

from __future__ import annotations

import ctypes
import ipaddress
import os
import socket
import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

_SO_ATTACH_FILTER = 26
_LOAD_WORD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_KEEP = 0x07  # BPF_MISC | BPF_TAX
_TAKE = 0x87  # BPF_MISC | BPF_TXA
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF: offsets count from the IP header
_SOURCE_ADDRESS = _NETWORK_HEADER + 12
_WHOLE_PACKET = 0xFFFFFFFF
MAX_NETWORKS = 256
"""Eight octets an instruction, up to four of them each: while a filter is replaced both count against the socket's
option memory, of which some kernels give 20 kB (net.core.optmem_max)."""
_WIDER = (28, 24, 20, 16, 12, 8, 0)


def _fitted(networks: Iterable[str]) -> list[ipaddress.IPv4Network]:
    """Join neighbouring networks, and widen them where they would still be too many for one filter."""
    fitted = list(ipaddress.collapse_addresses(ipaddress.IPv4Network(text, strict=False) for text in networks))
    for prefix in _WIDER:
        if len(fitted) <= MAX_NETWORKS:
            break
        wider = (network.supernet(new_prefix=min(prefix, network.prefixlen)) for network in fitted)
        fitted = list(ipaddress.collapse_addresses(wider))
    return fitted


def source_filter(networks: Iterable[str]) -> bytes:
    """Write the program that lets packets of these IPv4 addresses and networks pass and drops all others.

    More than 256 that do not join to fewer are widened until they do: a large site's filter is coarser, never missing.

    Raises:
        ValueError: one of them is no IPv4 address or network.
    """
    # The address is read once: of each read the kernel makes some ten instructions of its own, and all of them count.
    program = struct.pack("HBBI", _LOAD_WORD, 0, 0, _SOURCE_ADDRESS) + struct.pack("HBBI", _KEEP, 0, 0, 0)
    # Single addresses come first, as the mask of a network changes the register that they are compared with.
    for network in sorted(_fitted(networks), key=lambda network: -network.prefixlen):
        if network.prefixlen < network.max_prefixlen:
            program += struct.pack("HBBI", _TAKE, 0, 0, 0)
            program += struct.pack("HBBI", _AND, 0, 0, int(network.netmask))
        program += struct.pack("HBBI", _JUMP_IF_EQUAL, 0, 1, int(network.network_address))
        program += struct.pack("HBBI", _RETURN, 0, 0, _WHOLE_PACKET)
    return program + struct.pack("HBBI", _RETURN, 0, 0, 0)


def attach(target: socket.socket, program: bytes) -> None:
    """Set the filter on a socket, in place of an earlier one."""
    buffer = ctypes.create_string_buffer(program, len(program))
    instructions = len(program) // 8
    target.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", instructions, ctypes.addressof(buffer)))


def own_sockets() -> Iterator[tuple[int, socket.socket]]:
    """Give the descriptor of every IPv4 socket of this process, and a duplicate that lives until the next one.

    The duplicate shares the socket of its original, filter included.
    """
    for entry in Path("/proc/self/fd").iterdir():
        descriptor = int(entry.name)
        try:
            is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
        except OSError:
            # Closed since it was listed: the listing's own descriptor is one of those.
            continue
        if not is_socket:
            continue
        with socket.socket(fileno=os.dup(descriptor)) as duplicate:
            if duplicate.family == socket.AF_INET:
                yield descriptor, duplicate


def protect_ports(ports: Iterable[int], program: bytes) -> int:
    """Set a filter on every own UDP socket that is bound to one of the ports; return how many there were."""
    wanted = set(ports)
    count = 0
    for _, candidate in own_sockets():
        if candidate.type == socket.SOCK_DGRAM and candidate.getsockname()[1] in wanted:
            attach(candidate, program)
            count += 1
    return count


class ConnectionGuard:
    """Ends TCP connections of strangers before anything that they sent is read.

    TCP needs this in place of a filter: some kernels let only a privileged process set one there, and a worker is none.
    """

    def __init__(self) -> None:
        self._networks: tuple[ipaddress.IPv4Network, ...] = ()
        self._seen: set[tuple[int, int]] = set()

    def allow(self, networks: Iterable[str]) -> None:
        """Replace the addresses and networks that may connect; what is connected already stays."""
        self._networks = tuple(ipaddress.IPv4Network(network, strict=False) for network in networks)

    def check(self) -> int:
        """Look at the connections that are new since the last time; return how many were ended."""
        ended = 0
        present: set[tuple[int, int]] = set()
        for descriptor, connection in own_sockets():
            if connection.type != socket.SOCK_STREAM:
                continue
            identity = (descriptor, os.fstat(descriptor).st_ino)
            try:
                peer = ipaddress.IPv4Address(connection.getpeername()[0])
            except OSError:
                # Listening, or still connecting: to be looked at again.
                continue
            present.add(identity)
            if identity not in self._seen and not any(peer in network for network in self._networks):
                _disconnect(connection)
                ended += 1
        self._seen = present
        return ended


def _disconnect(connection: socket.socket) -> None:
    """Break a connection off, and drop what it has received: connect(2) to AF_UNSPEC, which Python does not offer."""
    address = struct.pack("H14x", socket.AF_UNSPEC)
    ctypes.CDLL(None, use_errno=True).connect(connection.fileno(), address, len(address))
