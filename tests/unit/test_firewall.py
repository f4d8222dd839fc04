"""Strangers are dropped by the kernel: shown with packets between the many addresses of the loopback network."""

import itertools
import socket

import pytest

from sipcore.sip.firewall import attach, own_sockets, protect_ports, source_filter

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
    return [f"10.{a}.{b}.1" for a, b in itertools.islice(itertools.product(range(250), repeat=2), count)]


def test_the_kernel_takes_as_many_peers_as_may_be_given(udp):
    target, friend = udp(), udp(FRIEND)
    attach(target, source_filter([*many(999), FRIEND]))
    attach(target, source_filter([*many(998), FRIEND]))
    assert heard(target, friend, udp(STRANGER)) == [FRIEND]


def test_more_than_1000_peers_are_refused():
    with pytest.raises(ValueError, match="at most 1000 peers, got 1001"):
        source_filter(many(1001))


def test_a_peer_named_twice_counts_once():
    assert source_filter([*many(1000), *many(1000)]) == source_filter(many(1000))


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


def test_a_tcp_connection_of_a_stranger_is_not_made():
    with socket.create_server(("127.0.0.1", 0)) as server:
        attach(server, source_filter([FRIEND]))
        with socket.create_connection(server.getsockname(), timeout=2, source_address=(FRIEND, 0)):
            pass
        with pytest.raises(TimeoutError):
            socket.create_connection(server.getsockname(), timeout=0.2, source_address=(STRANGER, 0))
