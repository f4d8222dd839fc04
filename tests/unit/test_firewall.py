"""Strangers are dropped by the kernel: shown with packets between the many addresses of the loopback network."""

import contextlib
import itertools
import socket
import struct

import pytest

from sipcore.sip.firewall import MAX_NETWORKS, ConnectionGuard, attach, own_sockets, protect_ports, source_filter

FRIEND, STRANGER = "127.0.0.2", "127.0.0.3"


@pytest.fixture
def udp():
    """Makes UDP sockets that are bound to an address."""
    opened = []

    def bound(address="127.0.0.1"):
        opened.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        opened[-1].bind((address, 0))
        opened[-1].settimeout(2)
        return opened[-1]

    yield bound
    for each in opened:
        each.close()


def heard(target, *senders):
    """Which of the senders a socket hears. On the loopback device a packet is there, or dropped, once it is sent."""
    for sender in senders:
        sender.sendto(sender.getsockname()[0].encode(), target.getsockname())
    target.setblocking(False)
    addresses = []
    while True:
        try:
            data, (address, _) = target.recvfrom(100)
        except BlockingIOError:
            return addresses
        assert data.decode() == address
        addresses.append(address)


def test_a_stranger_is_dropped_and_a_friend_passes(udp):
    target, friend, stranger = udp(), udp(FRIEND), udp(STRANGER)
    assert heard(target, friend, stranger) == [FRIEND, STRANGER]
    attach(target, source_filter([FRIEND]))
    assert heard(target, stranger, friend, stranger) == [FRIEND]


def test_without_any_peer_everybody_is_dropped(udp):
    target = udp()
    attach(target, source_filter([]))
    assert heard(target, udp(FRIEND), udp()) == []


@pytest.mark.parametrize(
    ("network", "passing"),
    [
        ("127.1.2.0/24", ["127.1.2.0", "127.1.2.255"]),
        ("127.1.2.128/25", ["127.1.2.255"]),
        ("127.1.2.77/24", ["127.1.2.0", "127.1.2.255"]),
        ("127.1.0.0/16", ["127.1.2.0", "127.1.2.255", "127.1.3.0"]),
        ("127.1.2.255/32", ["127.1.2.255"]),
        ("0.0.0.0/0", ["127.1.2.0", "127.1.2.255", "127.1.3.0", "127.2.0.1"]),
    ],
)
def test_a_network_lets_all_its_addresses_pass_and_no_other(udp, network, passing):
    target = udp()
    attach(target, source_filter([network]))
    senders = [udp(address) for address in ("127.1.2.0", "127.1.2.255", "127.1.3.0", "127.2.0.1")]
    assert heard(target, *senders) == passing


def test_several_peers_pass_in_any_order(udp):
    target = udp()
    attach(target, source_filter(["127.9.0.0/16", FRIEND, "127.8.0.1"]))
    senders = [udp(address) for address in ("127.9.1.1", FRIEND, "127.8.0.1", "127.8.0.2", STRANGER)]
    assert heard(target, *senders) == ["127.9.1.1", FRIEND, "127.8.0.1"]


def test_a_new_filter_takes_the_place_of_the_old(udp):
    target, friend, stranger = udp(), udp(FRIEND), udp(STRANGER)
    attach(target, source_filter([FRIEND]))
    attach(target, source_filter([STRANGER]))
    assert heard(target, friend, stranger) == [STRANGER]


@pytest.mark.parametrize("peer", ["trunk.example", "::1", "127.0.0.1:5060", "127.0.0.0/33", "", "127.0.0.256"])
def test_what_is_no_ipv4_address_or_network_is_refused(peer):
    with pytest.raises(ValueError, match=r"\S"):
        source_filter([FRIEND, peer])


def many(count):
    """So many addresses of which no two are neighbours."""
    return [f"10.{a}.{b}.1" for a, b in itertools.islice(itertools.product(range(250), repeat=2), count)]


def test_as_many_peers_as_fit_are_told_apart_exactly(udp):
    target, friend = udp(), udp(FRIEND)
    for _ in range(3):
        attach(target, source_filter([*many(MAX_NETWORKS - 1), FRIEND]))
    assert heard(target, friend, udp(STRANGER)) == [FRIEND]


@pytest.mark.parametrize("count", [MAX_NETWORKS, 1000, 4000])
def test_more_peers_than_fit_make_the_filter_coarser_and_never_miss(udp, count):
    target = udp()
    attach(target, source_filter([*many(count), FRIEND]))
    assert heard(target, udp(FRIEND)) == [FRIEND]
    # Ten dot something is far from here: however coarse, the rest of the world stays outside.
    attach(target, source_filter(many(count)))
    assert heard(target, udp(FRIEND), udp()) == []


def test_a_filter_that_is_replaced_fits_a_small_socket():
    # What the kernel makes of a program is some times as long; 20 kB must hold the old one and the new one
    # (net.core.optmem_max of kernels before 6.9). An instruction that reads the packet becomes ten and more.
    reads = [code for code, _, _, _ in struct.iter_unpack("HBBI", source_filter(many(MAX_NETWORKS))) if code == 0x20]
    assert len(reads) == 1


def test_neighbours_are_joined_to_one_network():
    assert source_filter([f"127.7.7.{last}" for last in range(256)]) == source_filter(["127.7.7.0/24"])


def test_a_peer_named_twice_counts_once():
    assert source_filter([*many(200), *many(200)]) == source_filter(many(200))


def test_own_sockets_finds_the_sockets_of_this_process_alone(udp):
    one, two = udp(), udp("127.0.0.5")
    found = {descriptor: duplicate.getsockname() for descriptor, duplicate in own_sockets()}
    assert found[one.fileno()] == one.getsockname()
    assert found[two.fileno()] == two.getsockname()


def test_own_sockets_leaves_no_descriptor_open(udp):
    udp()
    before = {descriptor for descriptor, _ in own_sockets()}
    assert {descriptor for descriptor, _ in own_sockets()} == before


def test_sockets_are_protected_by_their_port(udp):
    inside, outside, stranger = udp(), udp(), udp(STRANGER)
    assert protect_ports([inside.getsockname()[1]], source_filter([FRIEND])) == 1
    assert heard(inside, stranger, udp(FRIEND)) == [FRIEND]
    assert heard(outside, stranger) == [STRANGER]


def test_a_port_that_nothing_is_bound_to_protects_nothing(udp):
    probe = udp()
    port = probe.getsockname()[1]
    probe.close()
    assert protect_ports([port], source_filter([FRIEND])) == 0


def test_tcp_sockets_are_left_to_the_guard():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert protect_ports([server.getsockname()[1]], source_filter([FRIEND])) == 0


@contextlib.contextmanager
def connected(server, address):
    """Both ends of a connection that was made from an address."""
    with socket.create_connection(server.getsockname(), timeout=2, source_address=(address, 0)) as caller:
        called, _ = server.accept()
        with called:
            yield caller, called


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(2)
        yield listening


@pytest.fixture
def guard(server):
    """Lets everybody be who was connected before, and from now on friends, and ourselves on the calling side."""
    guard = ConnectionGuard()
    guard.allow(["0.0.0.0/0"])
    guard.check()
    guard.allow([FRIEND, server.getsockname()[0]])
    return guard


def test_a_tcp_connection_of_a_stranger_is_ended_unread(server, guard):
    with connected(server, STRANGER) as (caller, called):
        caller.sendall(b"INVITE sip:1@127.0.0.1 SIP/2.0\r\n")
        assert guard.check() == 1
        with pytest.raises(OSError, match="not connected"):
            called.getpeername()
        # Nothing of it is left to read on our side, and the stranger's side is reset.
        called.setblocking(False)
        with contextlib.suppress(OSError):
            assert called.recv(100) == b""
        with pytest.raises(ConnectionResetError):
            caller.recv(100)


def test_a_tcp_connection_of_a_friend_stays(server, guard):
    with connected(server, FRIEND) as (caller, called):
        assert guard.check() == 0
        caller.sendall(b"hello")
        called.settimeout(2)
        assert called.recv(100) == b"hello"


def test_a_connection_that_was_let_in_stays_when_the_peers_change(server, guard):
    with connected(server, FRIEND) as (caller, called):
        assert guard.check() == 0
        guard.allow([server.getsockname()[0]])
        assert guard.check() == 0
        caller.sendall(b"hello")
        called.settimeout(2)
        assert called.recv(100) == b"hello"


def test_a_listening_socket_is_no_stranger(server, guard):
    guard.allow([])
    assert guard.check() == 0
    assert server.getsockname()
