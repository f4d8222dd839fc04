"""Who may dial: parameters, Basic and Bearer, and one answer to everything that is wrong with them."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import urlencode

import pytest

BARE = {"dial1": "101", "dial2": "102"}


def basic(user, password):
    return {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}


def query(**more):
    return f"/API/dialup?{urlencode(BARE | more)}"


@pytest.mark.parametrize(
    ("more", "header", "caller"),
    [
        ({"user": "alice", "pass": "s3cret", "org": "acme"}, {}, "alice"),
        ({"user": "bob", "pass": "pässword: with colon", "org": "acme"}, {}, "bob"),
        ({"org": "acme"}, basic("alice", "s3cret"), "alice"),
        ({}, basic("alice@acme", "s3cret"), "alice"),
        ({"org": "acme"}, basic("alice@acme", "s3cret"), "alice"),
        ({}, basic("bob@acme", "pässword: with colon"), "bob"),
        ({}, {"Authorization": "Bearer c2c_0123456789abcdef"}, "crm"),
        ({"org": "acme"}, {"Authorization": "bearer c2c_0123456789abcdef"}, "crm"),
        ({"user": "alice", "pass": "s3cret", "org": "acme"}, basic("proxy", "its own"), "alice"),
        ({"user": "alice", "pass": "s3cret", "org": "acme"}, {"Authorization": "Digest x"}, "alice"),
    ],
)
async def test_right_credentials_dial_in_the_callers_name(site, more, header, caller):
    answer = await site.fetch(query(**more), headers=header)
    assert (answer.code, answer.body) == (200, b"")
    assert [(request.organisation, request.user) for request in site.calls.dialled] == [("acme", caller)]


WRONG_HEADERS = [
    {},
    basic("alice@acme", "wrong"),
    basic("bob@acme", "wrong"),
    basic("nobody@acme", "s3cret"),
    basic("alice@other", "s3cret"),
    basic("alice@nowhere", "s3cret"),
    basic("@", ""),
    {"Authorization": "Basic"},
    {"Authorization": "Basic !!!"},
    {"Authorization": f"Basic !{b64encode(b'alice@acme:s3cret').decode()}"},
    {"Authorization": f"Basic {b64encode(b'no colon').decode()}"},
    {"Authorization": f"Basic {b64encode(bytes([255, 58])).decode()}"},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer wrong"},
    {"Authorization": "Bearer kéy"},
    {"Authorization": "Digest username=alice"},
    {"Authorization": ""},
]
WRONG_PARAMETERS = [
    {"user": "alice", "pass": "wrong", "org": "acme"},
    {"user": "alice", "pass": "S3CRET", "org": "acme"},
    {"user": "bob", "pass": "wrong", "org": "acme"},
    {"user": "nobody", "pass": "s3cret", "org": "acme"},
    {"user": "alice", "pass": "s3cret", "org": "other"},
    {"user": "alice", "pass": "s3cret", "org": "nowhere"},
]


@pytest.mark.parametrize("header", WRONG_HEADERS)
async def test_wrong_or_no_credentials_are_challenged_with_one_body(site, header):
    answer = await site.fetch(query(), headers=header)
    assert (answer.code, answer.body) == (401, b"error: user, pass, org or ident is wrong")
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert site.calls.dialled == []


@pytest.mark.parametrize("more", WRONG_PARAMETERS)
async def test_wrong_parameters_get_the_same_body_and_no_challenge(site, more):
    answer = await site.fetch(query(**more))
    assert (answer.code, answer.body) == (401, b"error: user, pass, org or ident is wrong")
    assert "WWW-Authenticate" not in answer.headers
    assert site.calls.dialled == []


async def test_a_key_of_one_organisation_is_no_key_of_another(site):
    answer = await site.fetch(query(org="other"), headers={"Authorization": "Bearer c2c_0123456789abcdef"})
    assert answer.code == 401
    assert site.calls.dialled == []


async def test_basic_without_an_organisation_is_told_to_name_one(site):
    answer = await site.fetch(query(), headers=basic("alice", "s3cret"))
    assert (answer.code, answer.body) == (400, b"error: org: is missing")


async def test_a_malformed_request_is_told_before_anybody_is_authenticated(site):
    answers = [
        await site.fetch(query(**{"user": user, "pass": "wrong", "org": "acme", "Timeout": "0"}))
        for user in ("alice", "nobody")
    ]
    assert {(answer.code, answer.body) for answer in answers} == {(400, answers[0].body)}
    assert b"Timeout" in answers[0].body


async def test_a_stranger_learns_nothing_about_destinations(site):
    # What the organisation allows is the engine's answer, and the engine is never asked.
    answer = await site.fetch(query(user="nobody", org="acme", SetCID="+1999", **{"pass": "x"}))
    assert answer.code == 401
    assert site.calls.dialled == []
