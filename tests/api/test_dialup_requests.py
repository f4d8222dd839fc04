"""The ways of writing one request: query, form, multipart form, JSON, and mixtures of them."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from sipcore.service.calls import DialRequest

GOOD = {"USER": "alice", "Pass": "s3cret", "oRg": "acme", "DIAL1": "101", "dial2": "tel:+12025550123", "timeout": "9"}
EXPECTED = DialRequest("acme", "alice", "101", "tel:+12025550123", None, 9)


def multipart(values):
    parts = (f'--xx\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{v}\r\n' for name, v in values.items())
    return ("".join(parts) + "--xx--\r\n").encode()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", urlencode(GOOD)),
        ("application/x-www-form-urlencoded; charset=UTF-8", urlencode(GOOD)),
        ("application/x-www-form-urlencoded", urlencode(GOOD).replace("%2B", "+")),
        ("multipart/form-data; boundary=xx", multipart(GOOD)),
        ('Multipart/Form-Data; boundary="xx"', multipart(GOOD)),
        ("application/json", json.dumps(GOOD)),
        ("application/json;charset=utf-8", json.dumps(GOOD | {"timeout": 9, "DIAL1": 101, "response": False})),
        ("application/json", json.dumps(GOOD | {"unknown": {"nested": [None]}})),
    ],
)
async def test_a_post_takes_a_form_multipart_or_json(site, content_type, body):
    answer = await site.fetch("/API/dialup.php", method="POST", headers={"Content-Type": content_type}, body=body)
    assert (answer.code, answer.body) == (200, b"")
    assert site.calls.dialled == [EXPECTED]


async def test_json_may_say_yes_by_true(site):
    body = json.dumps(GOOD | {"Response": True, "showUID": True, "RFormat": "json"})
    answer = await site.fetch("/API/dialup", method="POST", headers={"Content-Type": "application/json"}, body=body)
    assert json.loads(answer.body)["dial2"] == "uid-2"


async def test_query_and_body_are_read_together(site):
    query = urlencode({name: GOOD[name] for name in ("USER", "oRg", "DIAL1")})
    body = urlencode({name: GOOD[name] for name in ("Pass", "DIAL1", "dial2", "timeout")})
    answer = await site.fetch(f"/API/dialup?{query}", method="POST", body=body)
    assert answer.code == 200
    assert site.calls.dialled == [EXPECTED]


async def test_a_post_without_a_body_reads_its_query_alone(site):
    answer = await site.fetch(f"/API/dialup?{urlencode(GOOD)}", method="POST", body=b"")
    assert answer.code == 200
    assert site.calls.dialled == [EXPECTED]


async def test_a_plus_that_was_not_escaped_arrives(site):
    await site.fetch("/API/dialup?user=alice&pass=s3cret&org=acme&dial1=+1202&dial2=tel:+1203&SetCID=+1204")
    assert site.calls.dialled == [DialRequest("acme", "alice", "+1202", "tel:+1203", "+1204", 20)]


async def test_empty_fields_between_ampersands_are_nothing(site):
    await site.fetch(f"/API/dialup?&&{urlencode(GOOD)}&")
    assert site.calls.dialled == [EXPECTED]
