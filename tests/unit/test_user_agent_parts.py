"""The parts of the user agent that decide alone: which URI is written, which redirect is followed.

They come with pjsua2, of which nothing is started here.
"""

import os
import select

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipcore.domain.directory import SipHost
from sipcore.sip.user_agent.accounts import sip_uri
from sipcore.sip.user_agent.later import Later
from sipcore.sip.user_agent.messages import (
    audio_lines_of,
    call_id_of,
    contacts_of,
    is_same_trunk,
    parties_of,
    q850_cause_of,
)

TRUNK = SipHost("trunk.example", 5070)
ADDRESS = "192.0.2.7"


@pytest.mark.parametrize(
    ("at", "user", "written"),
    [
        (SipHost("127.0.0.1", 5060), "101", "sip:101@127.0.0.1:5060"),
        (SipHost("trunk.example", 5070), "+12025550123", "sip:+12025550123@trunk.example:5070"),
        (SipHost("127.0.0.1", 5060), "*43#", "sip:*43%23@127.0.0.1:5060"),
        (SipHost("127.0.0.1", 5060, "tcp"), "101", "sip:101@127.0.0.1:5060;transport=tcp"),
        (SipHost("127.0.0.1", 5060, "tcp"), "", "sip:127.0.0.1:5060;transport=tcp"),
        (SipHost("127.0.0.1", 5060), "front.desk_1-a", "sip:front.desk_1-a@127.0.0.1:5060"),
    ],
)
def test_a_sip_uri_is_written_of_checked_parts(at, user, written):
    assert sip_uri(at, user) == written


def test_an_address_stands_in_for_the_host_name():
    assert sip_uri(TRUNK, "101", address=ADDRESS) == "sip:101@192.0.2.7:5070"


INJECTIONS = [
    "101@evil.example",
    "101;transport=tcp",
    "101?X-Evil=1",
    "101\r\nX-Evil: 1",
    "101\n",
    "101\0",
    "101%0d%0a",
    "101 ",
    "101>",
    '"101"',
    "101:secret",
    "sip:101",
    "101/",
    "101,102",
    "\uff11\uff10\uff11",
    "\u0661\u0660\u0661",
]


@pytest.mark.parametrize("user", INJECTIONS)
def test_no_user_part_can_become_sip_syntax(user):
    with pytest.raises(ValueError, match="not fit for a SIP URI"):
        sip_uri(TRUNK, user)


@pytest.mark.parametrize(
    "host",
    ["", "a b", "evil.example;lr", "evil.example?X=1", "a@b", "[::1]", "a\r\n", "host.\n", "a" * 254, "hôte"],
)
def test_no_host_can_become_sip_syntax(host):
    with pytest.raises(ValueError, match="not fit for a SIP URI"):
        sip_uri(SipHost(host, 5060), "101")
    if host:
        with pytest.raises(ValueError, match="not fit for a SIP URI"):
            sip_uri(TRUNK, "101", address=host)


@given(user=st.text(max_size=40))
def test_whatever_is_written_has_one_user_one_host_and_no_more(user):
    try:
        written = sip_uri(TRUNK, user)
    except ValueError:
        return
    assert written.endswith("@trunk.example:5070" if user else "sip:trunk.example:5070")
    assert written.isascii()
    assert written.count("@") == bool(user)
    assert not set(written) & set(" \t\r\n\0;?<>\"'[]{}|\\^`,/&=$!~()")


@pytest.mark.parametrize(
    "target",
    [
        "sip:102@trunk.example:5070",
        "<sip:102@trunk.example:5070>",
        "sip:+12025550123@192.0.2.7:5070",
        "sip:102@TRUNK.example:5070;transport=udp",
        "SIP:102@trunk.example:5070;transport=UDP",
        "sip:*43%23@trunk.example:5070",
        " <sip:102@trunk.example:5070> ",
    ],
)
def test_a_redirect_to_another_number_of_the_same_trunk_is_followed(target):
    assert is_same_trunk(target, TRUNK, ADDRESS)


@pytest.mark.parametrize(
    "target",
    [
        "sip:102@evil.example:5070",
        "sip:102@192.0.2.8:5070",
        "sip:102@trunk.example.evil.example:5070",
        "sip:102@eviltrunk.example:5070",
        "sip:102@trunk.example",
        "sip:102@trunk.example:5060",
        "sip:102@trunk.example:50700",
        "sip:102@trunk.example:5070;transport=tcp",
        "sip:102@trunk.example:5070;maddr=192.0.2.8",
        "sip:102@trunk.example:5070;transport=udp;maddr=192.0.2.8",
        "sip:102@trunk.example:5070;lr",
        "sip:102@trunk.example:5070?Replaces=1",
        "sip:102@trunk.example:5070?Route=%3Csip:evil.example%3E",
        "sip:102@evil.example@trunk.example:5070",
        "sip:102:secret@trunk.example:5070",
        "sip:102;phone-context=evil@trunk.example:5070",
        "sip:trunk.example:5070",
        "sip:@trunk.example:5070",
        "sips:102@trunk.example:5070",
        "tel:+12025550123",
        '"Evil" <sip:102@trunk.example:5070>',
        "<sip:102@trunk.example:5070>;q=0.5, <sip:103@evil.example>",
        "sip:102@trunk.example:5070\r\nX-Evil: 1",
        "sip:102@trunk.example:5070,sip:103@evil.example",
        f"sip:{'1' * 41}@trunk.example:5070",
        "sip:\uff11\uff10\uff12@trunk.example:5070",
        "sip:alice@trunk.example:5070",
        "",
    ],
)
def test_no_other_redirect_is_followed(target):
    assert not is_same_trunk(target, TRUNK, ADDRESS)


def test_a_redirect_without_a_port_means_5060():
    assert is_same_trunk("sip:102@trunk.example", SipHost("trunk.example", 5060), ADDRESS)


def test_a_redirect_of_a_tcp_trunk_must_name_tcp():
    over_tcp = SipHost("trunk.example", 5070, "tcp")
    assert is_same_trunk("sip:102@trunk.example:5070;transport=TCP", over_tcp, ADDRESS)
    assert not is_same_trunk("sip:102@trunk.example:5070", over_tcp, ADDRESS)


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_every_contact_is_seen_that_pjsip_sees(end):
    lines = ["SIP/2.0 302 Moved", "Contact: <sip:1@a>,", "  <sip:2@b>", "m : <sip:3@c>", "", "Contact: <sip:4@d>"]
    assert contacts_of(end.join(lines)) == ["<sip:1@a>, <sip:2@b>", "<sip:3@c>"]


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        ("Reason: Q.850;cause=17", 17),
        ('reason : SIP;cause=200;text="x", Q.850 ;text="y" ;cause = 31', 31),
        ("Reason: SIP;cause=200\r\nReason: q.850;cause=16", 16),
        ("Reason: SIP;cause=200", None),
        ("X-Reason: Q.850;cause=17", None),
        ("Reason: Q.850;cause=x", None),
    ],
)
def test_the_q850_cause_is_read_from_a_reason_header(reason, cause):
    assert q850_cause_of(f"BYE sip:1@a SIP/2.0\r\n{reason}\r\n\r\nReason: Q.850;cause=99") == cause


@pytest.mark.parametrize(
    ("uri", "number"),
    [
        ("sip:700@127.0.0.1", "700"),
        ("sips:%2B1202*%23@x;transport=tcp", "+1202*#"),
        ("sip:+1202;npdi;rn=1@x", "+1202"),
        ("sip:front.desk_1-a:secret@x", "front.desk_1-a"),
        ("tel:+12025550100;phone-context=x", "+12025550100"),
        ("sip:127.0.0.1", ""),
        ("sip:a%20b@x", ""),
        ("sip:a%0d%0ab@x", ""),
        ("sip:%22a@x", ""),
        ("sip:%c3%a4@x", ""),
        ("sip:%d9%a1%d9%a0@x", ""),
        (f"sip:{'1' * 64}@x", "1" * 64),
        (f"sip:{'1' * 65}@x", ""),
        ("", ""),
    ],
)
def test_the_number_of_an_invite_is_a_plain_user_part_or_nothing(uri, number):
    headers = "From: <sip:101@x>;tag=1\r\nTo: <sip:700@y>"
    assert parties_of(f"INVITE {uri} SIP/2.0\r\n{headers}\r\n\r\n") == (number, "101", "700", "")


@pytest.mark.parametrize(
    ("headers", "called"),
    [
        ("To: <sip:+12025550100@x>", "+12025550100"),
        ("t: <tel:+12025550100>", "+12025550100"),
        ("To: <sip:user@x>\r\nP-Called-Party-ID: <sip:+12025550100@x>", "+12025550100"),
        ("To: <sip:a%00@x>", ""),
        ("From: <sip:101@x>", ""),
    ],
)
def test_whom_an_invite_was_for_before_it_was_led_on_stands_in_its_headers(headers, called):
    assert parties_of(f"INVITE sip:user@x SIP/2.0\r\n{headers}\r\n\r\n").to == called


@pytest.mark.parametrize(
    ("headers", "caller"),
    [
        ('From: "sip:7@y" <sip:101@x>;tag=1', "101"),
        ("f: sip:101@x;tag=1", "101"),
        ('From: "\\"<sip:7@y>" <sip:101@x>;tag=1', "101"),
        ("From: <sip:101@x>\r\nP-Asserted-Identity: <sip:102@x>, <tel:+1202>", "102"),
        ("From: <sip:101@x>\r\nP-Asserted-Identity: <sip:a%00@x>", ""),
        ("From:\r\n <sip:101@x>", "101"),
        ("From: <sip:x>;tag=1", ""),
        ("To: <sip:101@x>", ""),
    ],
)
def test_the_caller_of_an_invite_is_asserted_or_comes_from_the_from_header(headers, caller):
    assert parties_of(f"INVITE sip:700@x SIP/2.0\r\n{headers}\r\n\r\n").caller == caller


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ("X-Click2Call-Origin: trunk=main", "trunk=main"),
        ("x-click2call-origin : extension=two-words-*1", "extension=two-words-*1"),
        ("X-Click2Call-Origin: user=main", ""),
        ("X-Click2Call-Origin: trunk=main, trunk=other", ""),
        ("X-Click2Call-Origin: trunk=main\r\nX-Click2Call-Origin: trunk=main", ""),
        ("X-Click2Call-Origin:", ""),
        ("Subject: none", ""),
    ],
)
def test_where_a_call_came_from_is_read_where_it_is_said_once(headers, origin):
    assert parties_of(f"INVITE sip:700@x SIP/2.0\r\n{headers}\r\n\r\n").origin == origin


@pytest.mark.parametrize(
    ("headers", "call_id"),
    [
        ("Call-ID: a@b", "a@b"),
        ("i:\r\n\ta", "a"),
        ("Call-ID: a\r\nCall-ID: a", ""),
        ("Call-ID: a b", ""),
        ("Call-ID: \u00e4", ""),
        (f"Call-ID: {'c' * 255}", "c" * 255),
        (f"Call-ID: {'c' * 256}", ""),
        ("To: a", ""),
    ],
)
def test_a_call_id_is_one_plain_text_or_none(headers, call_id):
    assert call_id_of(f"INVITE sip:700@x SIP/2.0\r\n{headers}\r\n\r\nCall-ID: z") == call_id


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_the_audio_streams_of_an_offer_are_counted_however_its_lines_end(end):
    lines = [
        "v=0",
        "m=audio 4000 RTP/AVP 0",
        "m=video 4002 RTP/AVP 31",
        "M=Audio 4004 RTP/SAVP 0",
        "m=audio 0 RTP/AVP 0",
    ]
    assert audio_lines_of("INVITE sip:700@x SIP/2.0\r\n\r\n" + end.join(lines)) == 2


@given(st.text())
def test_whatever_an_invite_says_a_party_is_a_plain_name(text):
    for party in parties_of(f"INVITE {text}\r\nFrom: {text}"):
        assert len(party) <= 64
        assert set(party) <= set("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ*#+._-")


def test_what_other_threads_want_done_is_done_later_in_order_and_tells_that_it_waits():
    later, done = Later(), []

    def first():
        done.append(1)
        later.add(lambda: done.append(3))

    assert not _readable(later)
    later.add(first)
    later.add(lambda: done.append(2))
    assert _readable(later)
    assert done == []
    later.run()
    assert done == [1, 2, 3]
    later.run()
    assert done == [1, 2, 3]


def test_another_thread_may_be_anywhere_in_adding_when_the_main_thread_looks(monkeypatch):
    later, done = Later(), []
    write = os.eventfd_write
    monkeypatch.setattr(os, "eventfd_write", lambda event, value: (later.run(), write(event, value)))
    later.add(lambda: done.append(1))
    assert done == []
    later.run()
    assert done == [1]
    monkeypatch.undo()
    # What is done already may still be told: the main thread must not wake for it for ever.
    later.add(lambda: done.append(2))
    later._actions.clear()
    later.run()
    assert not _readable(later)


def _readable(later):
    return bool(select.select([later.fileno()], [], [], 0)[0])
