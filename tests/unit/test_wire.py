"""What the server and a worker say to each other survives the wire, and nothing else is taken from it."""

import pickle
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipcore.domain.commands import LegPlan, PlaceLeg
from sipcore.domain.directory import IdentityHeader, NumberFormat, SipHost, Transport, Trunk
from sipcore.domain.events import DigitPressed, LegEnded, WorkerLost
from sipcore.sip import wire

PARENT_ONLY = {"PlaceLeg", "WorkerLost", "LegArrived", "JoinFailed"}
"""A `PlaceLeg` travels inside a `PlaceLegAt`; slots and the loss of a worker are the parent's own business."""
EVERY_TYPE = [kind for kind in wire._TYPES if kind.__name__ not in PARENT_ONLY]

texts = st.text('aé+☎\0\r\n"{', max_size=6)
numbers = st.sampled_from([0, 1, 16, 5060, 65535, 2**31, -(2**31)])
hosts = st.builds(SipHost, texts, numbers, st.sampled_from(get_args(Transport)))
headers = st.lists(st.tuples(texts, texts), max_size=2).map(tuple)
plans = st.builds(LegPlan, texts, hosts, st.none() | texts, texts, headers)
identities = st.lists(st.sampled_from(get_args(IdentityHeader)), max_size=2)
trunks = st.builds(
    Trunk,
    name=texts,
    proxy=hosts,
    registrar=st.none() | hosts,
    username=texts,
    password=texts,
    realm=texts,
    number_format=st.sampled_from(get_args(NumberFormat)),
    identity=identities.map(tuple),
    register_seconds=numbers,
    any_caller_id=st.booleans(),
)
commands = st.builds(PlaceLeg, texts, plans)
MESSAGES = {
    wire.UseTrunk: st.builds(wire.UseTrunk, trunks, texts, st.none() | texts),
    wire.PlaceLegAt: st.builds(wire.PlaceLegAt, commands, texts),
}
"""Types whose parts cannot be told from their annotations quickly."""
st.register_type_strategy(str, texts)
st.register_type_strategy(int, numbers)
# No length of a recording is NaN, which is not equal to itself.
st.register_type_strategy(float, st.floats(allow_nan=False))


@pytest.mark.parametrize("kind", EVERY_TYPE, ids=lambda kind: kind.__name__)
@settings(max_examples=25)
@given(data=st.data())
def test_every_message_arrives_as_it_was_sent(kind, data):
    message = data.draw(MESSAGES.get(kind, st.from_type(kind)))
    received = wire.decode(wire.encode(message))
    assert type(received) is kind
    assert received == message


def test_every_message_of_both_directions_is_known():
    directions = {kind.__name__ for union in (wire.ToWorker, wire.FromWorker) for kind in union.__args__}
    assert directions - PARENT_ONLY == {kind.__name__ for kind in EVERY_TYPE}


def test_a_sip_message_of_64_kb_fits_into_a_datagram():
    noted = wire.DialogNoted("a" * 32, "é" * 32500)
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


@pytest.mark.parametrize(
    "datagram",
    [b"", b"\x00", b"\xc1", b"GET / HTTP/1.1", pickle.dumps(LegEnded("a", 200)), b"\x92\xa6\x00\x00\x00\x00\x00\x80"],
)
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


def test_a_worker_lost_is_nothing_that_a_worker_can_say():
    assert WorkerLost not in wire._TYPES
