"""Whatever is outside the contract is 4xx with the parameter's name, and nothing is dialled."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
GOOD = {"user": "alice", "pass": "s3cret", "org": "acme", "dial1": "101", "dial2": "102"}
URLENCODED = b"user=alice&pass=s3cret&org=acme&dial1=101&dial2=102"

LINE_ENDS = {"CR": "101\r", "LF": "101\n"}
"""In dial1 they set numbers apart."""
HOSTILE = {
    "NUL": "101\0",
    "a header": "101\r\nX-Evil: 1",
    "an encoded line end, escaped once more": "101%0d%0a",
    "question mark": "101?Replaces=1",
    "at sign": "101@evil.example",
    "semicolon": "101;user=phone",
    "double quote": '101"',
    "single quote": "101'",
    "angle brackets": "<sip:101>",
    "a raw SIP URI": "sip:101@evil.example",
    "Arabic digits": "١٠١",  # noqa: RUF001 - the digits are the point
    "full-width digits": "１０１",  # noqa: RUF001 - the digits are the point
    "33 digits": "1" * 33,
    "10 kB": "1" * 10_000,
    "nothing": "",
    "a space inside": "10 1",
    "an unknown prefix": "evil:101",
    "a prefix alone": "tel:",
    "two prefixes": "ext:tel:101",
    "a long s in a prefix": "\u017fip:desk",
    "a Kelvin sign in a name": "sip:\u212a",
}


async def refused(site, answer, name, statuses=(400,)):
    assert answer.code in statuses, answer.body
    assert name in answer.body.decode()
    assert site.calls.dialled == []


@pytest.mark.parametrize("name", ["dial1", "dial2", "SetCID"])
@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_destination_or_caller_identity_is_refused(site, name, value):
    await refused(site, await site.dialup({name: value}), name)
    await refused(
        site, await site.fetch("/API/dialup", method="POST", headers=JSON, body=json.dumps(GOOD | {name: value})), name
    )


@pytest.mark.parametrize("name", ["dial2", "SetCID"])
@pytest.mark.parametrize("value", LINE_ENDS.values(), ids=LINE_ENDS.keys())
async def test_a_line_end_is_refused_where_there_is_one_number(site, name, value):
    await refused(site, await site.dialup({name: value}), name)


@pytest.mark.parametrize("name", ["user", "pass", "org"])
@pytest.mark.parametrize("value", ["a\r\nb", "a\0", "\x85", "", "a" * 10_000])
async def test_hostile_credentials_are_refused_by_name(site, name, value):
    await refused(site, await site.dialup({name: value}), name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("Timeout", v) for v in ("0", "301", "-1", "1.5", "20s", "", " 20", "2٠", "1e2", "0x10", "9" * 5000)),  # noqa: RUF001 - an Arabic zero
        *(("Response", v) for v in ("", "1", "true", "yes\n", "yеs")),  # noqa: RUF001 - a Cyrillic letter
        *(("showUID", v) for v in ("", "1", "maybe")),
        *(("RFormat", v) for v in ("", "yaml", "xml\r\n", "<xml>")),
        *(("SetCID", v) for v in ("tel:+12025550100", "anonymous")),
        ("showUID", "yes"),
        *(("dial2", v) for v in ("101,102", "101;102", "101\n102")),
    ],
)  # fmt: skip
async def test_a_value_outside_the_contract_is_refused_by_name(site, name, value):
    await refused(site, await site.dialup({name: value}), name)


@pytest.mark.parametrize("name", GOOD)
async def test_a_missing_mandatory_name_is_told(site, name):
    await refused(site, await site.dialup(without=name), name)


async def test_all_missing_names_are_told_at_once(site):
    answer = await site.fetch("/API/dialup?pass=s3cret&dial2=1")
    assert answer.body == b"error: user: is missing (also missing: org, dial1)"


@pytest.mark.parametrize("name", ["user", "pass", "org", "dial2", "Response", "SetCID", "Timeout", "RFormat"])
async def test_a_name_given_twice_with_different_values_is_refused(site, name):
    query = "&".join(f"{key}={value}" for key, value in GOOD.items())
    await refused(site, await site.fetch(f"/API/dialup?{query}&{name}=1&{name.upper()}=2"), name)


async def test_query_and_body_may_not_contradict_each_other(site):
    answer = await site.dialup({"dial2": "103"}, method="POST", headers=FORM, body=URLENCODED)
    await refused(site, answer, "dial2")


@pytest.mark.parametrize("bad", ["%", "%4", "%zz", "%ff", "%c3%28", "%ed%a0%80"])
async def test_bad_percent_encoding_is_refused_by_name(site, bad):
    query = "user=alice&pass=s3cret&org=acme&dial1=101"
    await refused(site, await site.fetch(f"/API/dialup?{query}&dial2={bad}&RFormat=json"), '"parameter":"dial2"')
    await refused(site, await site.fetch(f"/API/dialup?{query}&dial2=102&{bad}=1"), "query")
    body = f"{query}&dial2={bad}"
    await refused(site, await site.fetch("/API/dialup", method="POST", headers=FORM, body=body), "dial2")


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/xml",
        "application/jsonx",
        "multipart/form-dataxyz; boundary=x",
        "multipart/form-data",
        "application/json; charset=utf-16",
        "application/x-www-form-urlencoded; charset=iso-8859-1",
        "; boundary=",
    ],
)
async def test_a_wrong_content_type_is_refused_by_name(site, content_type):
    sent = f"Content-Type: {content_type}\r\n" if content_type else ""
    head = (
        f"POST /API/dialup HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{sent}Content-Length: {len(URLENCODED)}\r\n\r\n"
    )
    answer = await site.raw(head.encode() + URLENCODED)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"Content-Type: m" in answer or b"Content-Type: the charset" in answer
    assert site.calls.dialled == []


async def test_a_compressed_body_is_refused_by_name(site):
    answer = await site.fetch(
        "/API/dialup", method="POST", headers=FORM | {"Content-Encoding": "gzip"}, body=URLENCODED
    )
    await refused(site, answer, "Content-Encoding")


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"{", "body"),
        (b"", "user"),
        (b"null", "body"),
        (b"[]", "body"),
        (b'"dial1"', "body"),
        (b'{"dial1": "101",}', "body"),
        (b"\xff\xfe{\x00}\x00", "body"),
        (b'{"dial1": "\xff"}', "body"),
        (b"[" * 60_000, "body"),
        (b'{"dial1": ' + b"1" * 5000 + b"}", "body"),
        (json.dumps(GOOD | {"dial1": None}).encode(), "dial1"),
        (json.dumps(GOOD | {"dial1": []}).encode(), "dial1"),
        (json.dumps(GOOD | {"dial1": ["101", ["102"]]}).encode(), "dial1"),
        (json.dumps(GOOD | {"dial1": ["101", None]}).encode(), "dial1"),
        (json.dumps(GOOD | {"dial2": ["101"]}).encode(), "dial2"),
        (json.dumps(GOOD | {"dial1": {"a": 1}}).encode(), "dial1"),
        (json.dumps(GOOD | {"dial1": 1.0}).encode(), "dial1"),
        (json.dumps(GOOD | {"pass": 1.5}).encode(), "pass"),
        (json.dumps(GOOD | {"dial1": True}).encode(), "dial1"),
        (json.dumps(GOOD | {"dial2": -5}).encode(), "dial2"),
        (json.dumps(GOOD | {"Timeout": 20.0}).encode(), "Timeout"),
        (json.dumps(GOOD | {"Timeout": True}).encode(), "Timeout"),
        (json.dumps(GOOD | {"Timeout": "NaN"}).encode().replace(b'"NaN"', b"NaN"), "Timeout"),
        (json.dumps(GOOD | {"pass": "\ud800"}).encode(), "pass"),
        (json.dumps(GOOD | {"dial2": " 12025550123"}).encode(), "dial2"),
        (json.dumps(GOOD).encode()[:-1] + b', "DIAL2": "103"}', "dial2"),
        (json.dumps(GOOD).encode()[:-1] + b', "dial2": "103"}', "dial2"),
    ],
)  # fmt: skip
async def test_bad_json_is_refused_by_name(site, body, name):
    answer = await site.fetch("/API/dialup?RFormat=json", method="POST", headers=JSON, body=body)
    await refused(site, answer, f'"parameter":"{name}"')


def multipart(*parts):
    lines = (f"--xx\r\nContent-Disposition: form-data; {names}\r\n\r\n{value}\r\n" for names, value in parts)
    return ("".join(lines) + "--xx--\r\n").encode()


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"nothing at all", "body"),
        (multipart(('name="dial1"', "101"))[:-8], "body"),
        (multipart(('nom="dial1"', "101")), "body"),
        (multipart(*[('name="x"', "1")] * 300), "body"),
        (multipart(('name="dial1"; filename="a.txt"', "101")), "dial1"),
        (multipart(('name="dial1"', "101")).replace(b"101", b"\xff"), "dial1"),
        (multipart(*((f'name="{key}"', value) for key, value in (GOOD | {"dial2": " 1202"}).items())), "dial2"),
    ],
)
async def test_bad_multipart_is_refused_by_name(site, body, name):
    answer = await site.fetch(
        "/API/dialup", method="POST", headers={"Content-Type": "multipart/form-data; boundary=xx"}, body=body
    )
    await refused(site, answer, f"error: {name}")


@pytest.mark.parametrize("size", [65537, 300_000, 5_000_000])
async def test_a_body_over_64_kb_is_413(site, size):
    body = URLENCODED + b"&x=" + b"1" * (size - len(URLENCODED) - 3)
    if size < 1_000_000:
        await refused(site, await site.fetch("/API/dialup", method="POST", headers=FORM, body=body), "body", (413,))
    head = f"POST /API/dialup HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    answer = await site.raw(head.encode() + (body if size < 1_000_000 else b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.count(b"HTTP/1.1") == 1
    assert site.calls.dialled == []


async def test_a_body_over_64_kb_in_chunks_is_413(site):
    chunk = b"8000\r\n" + b"1" * 0x8000 + b"\r\n"
    head = b"POST /API/dialup HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer = await site.raw(head + chunk * 3 + b"0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert site.calls.dialled == []


async def test_a_body_of_exactly_64_kb_dials(site):
    body = URLENCODED + b"&x=" + b"1" * (65536 - len(URLENCODED) - 3)
    assert (await site.fetch("/API/dialup", method="POST", headers=FORM, body=body)).code == 200
    assert len(site.calls.dialled) == 1


async def test_a_query_over_64_kb_is_414(site):
    await refused(site, await site.dialup({"x": "1" * 65536}), "query", (414,))


async def test_more_fields_than_any_form_has_are_refused(site):
    await refused(site, await site.fetch("/API/dialup", method="POST", headers=FORM, body="a=1&" * 1200), "body")


async def test_the_request_is_never_repeated_in_an_answer(site):
    marker = "Zx9<b>"
    for name in (*GOOD, "Timeout", "RFormat", "SetCID", "Response"):
        answer = await site.dialup({name: marker, "rformat": "html"} if name != "RFormat" else {name: marker})
        assert "Zx9" not in answer.body.decode()
    answer = await site.fetch(f"/API/dialup?{quote(marker)}=%zz")
    assert "Zx9" not in answer.body.decode()


async def test_a_request_that_ends_halfway_never_dials(site):
    answer = await site.raw(b"POST /API/dialup HTTP/1.1\r\nHost: x\r\nContent-Length: 5_0\r\n\r\n" + URLENCODED)
    assert b" 400 " in answer.split(b"\r\n")[0]
    assert site.calls.dialled == []
