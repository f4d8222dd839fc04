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
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_NETWORK_HEADER = 0xFFF00000  # SKF_NET_OFF: offsets count from the IP header
_SOURCE_ADDRESS = _NETWORK_HEADER + 12
_WHOLE_PACKET = 0xFFFFFFFF
_MAX_NETWORKS = 1000
"""Four instructions each; the kernel takes 4096 (BPF_MAXINSNS)."""


def source_filter(networks: Iterable[str]) -> bytes:
    """Write the program that lets packets of these IPv4 addresses and networks pass and drops all others.

    Raises:
        ValueError: one of them is no IPv4 address or network, or there are more than 1000.
    """
    parsed = sorted({ipaddress.IPv4Network(network, strict=False) for network in networks})
    if len(parsed) > _MAX_NETWORKS:
        raise ValueError(f"at most {_MAX_NETWORKS} peers, got {len(parsed)}")
    program = b""
    for network in parsed:
        program += struct.pack("HBBI", _LOAD_WORD, 0, 0, _SOURCE_ADDRESS)
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
    """Set a filter on every own socket that is bound to one of the ports; return how many there were."""
    wanted = set(ports)
    count = 0
    for _, candidate in own_sockets():
        if candidate.getsockname()[1] in wanted:
            attach(candidate, program)
            count += 1
    return count
