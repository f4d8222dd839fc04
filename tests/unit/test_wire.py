"""What the server and a worker say to each other survives the wire, and nothing else is taken from it."""

import pickle

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipcore.domain.commands import LegPlan, PlaceLeg
from sipcore.domain.directory import SipHost, Trunk
from sipcore.domain.events import DigitPressed, LegEnded, WorkerLost
from sipcore.sip import wire

PARENT_ONLY = {"PlaceLeg", "WorkerLost"}
"""A `PlaceLeg` travels inside a `PlaceLegAt`; the loss of a worker is noticed by the parent itself."""
EVERY_TYPE = [kind for kind in wire._TYPES if kind.__name__ not in PARENT_ONLY]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ports = st.integers(1, 65535)
hosts = st.builds(SipHost, texts, ports, st.sampled_from(["udp", "tcp", "tls"]))
headers = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
plans = st.builds(LegPlan, texts, hosts, st.none() | texts, texts, headers)
trunks = st.builds(
    Trunk,
    name=texts,
    proxy=hosts,
    registrar=st.none() | hosts,
    username=texts,
    password=texts,
    realm=texts,
    identity=st.lists(st.sampled_from(["from", "p-asserted-identity", "remote-party-id", "privacy"])).map(tuple),
    any_caller_id=st.booleans(),
)
st.register_type_strategy(str, texts)
st.register_type_strategy(SipHost, hosts)
st.register_type_strategy(Trunk, trunks)
st.register_type_strategy(PlaceLeg, st.builds(PlaceLeg, texts, plans))
# msgpack's integers have 64 bits.
st.register_type_strategy(int, st.integers(-(2**63), 2**63 - 1))


@pytest.mark.parametrize("kind", EVERY_TYPE, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_message_arrives_as_it_was_sent(kind, data):
    message = data.draw(st.from_type(kind))
    received = wire.decode(wire.encode(message))
    assert type(received) is kind
    assert received == message


def test_every_message_of_both_directions_is_known():
    directions = {kind.__name__ for union in (wire.ToWorker, wire.FromWorker) for kind in union.__args__}
    assert directions - PARENT_ONLY == {kind.__name__ for kind in EVERY_TYPE}


@given(text=texts)
def test_a_sip_message_of_64_kb_fits_into_a_datagram(text):
    noted = wire.DialogNoted("a" * 32, text + "x" * 65000)
    assert len(wire.encode(noted)) < wire.MAX_DATAGRAM


@pytest.mark.parametrize("name", ["WorkerLost", "PlaceLeg", "WorkerSettings", "nothing", "", "__class__"])
def test_an_unknown_message_is_refused_by_name(name):
    with pytest.raises(msgspec.ValidationError, match=f"unknown message '{name}'"):
        wire.decode(msgspec.msgpack.encode((name, {})))


@pytest.mark.parametrize(
    "body",
    [
        {"leg": 5, "sip_code": 200},
        {"leg": "a"},
        {"leg": "a", "sip_code": "200"},
        {"leg": "a", "sip_code": 200, "ended_by": "somebody"},
        {"leg": "a", "sip_code": 200, "q850_cause": 16.5},
        ["a", 200],
        None,
    ],
)
def test_a_message_with_a_field_of_another_type_is_refused(body):
    with pytest.raises(msgspec.ValidationError):
        wire.decode(msgspec.msgpack.encode(("LegEnded", body)))


@pytest.mark.parametrize("datagram", [b"", b"\x00", b"\xc1", b"GET / HTTP/1.1", pickle.dumps(LegEnded("a", 200))])
def test_what_is_no_message_at_all_is_refused(datagram):
    with pytest.raises(msgspec.DecodeError):
        wire.decode(datagram)


@given(datagram=st.binary(max_size=200))
def test_no_datagram_makes_anything_but_a_message_or_a_refusal(datagram):
    try:
        message = wire.decode(datagram)
    except msgspec.DecodeError:
        return
    assert type(message) in wire._TYPES


@given(datagram=st.builds(wire.encode, st.builds(DigitPressed, texts, texts)), cut=st.integers(1, 20))
def test_a_message_that_was_cut_is_refused(datagram, cut):
    with pytest.raises(msgspec.DecodeError):
        wire.decode(datagram[:-cut])


@pytest.mark.parametrize("raw", [b"Bes\xe4tzt", b"\xff\xfe", b"\xed\xa0\x80"])
def test_what_a_far_end_writes_in_another_encoding_still_gets_through(raw):
    # pjsua2 hands octets that are not UTF-8 over as lone surrogates (PEP 383).
    text = raw.decode("utf-8", "surrogateescape")
    ended = wire.decode(wire.encode(LegEnded("a", 486, text)))
    assert (ended.leg, ended.sip_code) == ("a", 486)
    assert wire.decode(wire.encode(wire.DialogNoted("a", f"SIP/2.0 200 {text}\r\n"))).leg == "a"


def test_a_worker_lost_is_nothing_that_a_worker_can_say():
    assert WorkerLost not in wire._TYPES
