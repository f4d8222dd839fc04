"""What every resource of the JSON API answers to requests that are none."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest

from sipcore.domain.errors import StoreUnavailableError

LOGIN = {"auth_username": "alice@acme", "auth_password": "s3cret"}
SOCKET = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}


def problem(answer):
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = json.loads(answer.body)
    assert told["status"] == answer.code
    return answer.code, told["error_id"]


@pytest.mark.parametrize("path", ["records", "records/{}/ladder", "recordings", "batches", "calls", "queues"])
async def test_nothing_has_a_name_with_a_nul_in_it(site, path):
    path = path if "{}" in path else f"{path}/{{}}"
    answer = await site.fetch(f"/api/v1/{path.format('a%00b')}", **LOGIN)
    assert problem(answer) == (404, "not_found")


@pytest.mark.parametrize(
    ("path", "body", "parameter"),
    [
        ("calls", {"dial1": "101\0", "dial2": "102"}, "dial1"),
        ("calls", {"dial1": "101", "dial2": "102", "set_cid": "\0"}, "set_cid"),
        ("batches", {"dial1": ["101", "102\0"], "dial2": "800"}, "dial1"),
    ],
)
async def test_no_text_of_a_body_has_a_nul_in_it(site, path, body, parameter):
    headers = {"Content-Type": "application/json"}
    answer = await site.fetch(f"/api/v1/{path}", method="POST", headers=headers, body=json.dumps(body), **LOGIN)
    assert problem(answer) == (400, "bad_parameter")
    told = json.loads(answer.body)
    assert (told["parameter"], told["detail"]) == (parameter, f"{parameter}: must not have the character U+0000 in it")
    assert site.calls.dialled == []


@pytest.mark.parametrize("text", [b"\xff", "\ud800".encode(errors="surrogatepass")])
async def test_a_path_that_is_no_utf_8_is_a_bad_request(site, text):
    assert problem(await site.fetch(f"/api/v1/records/{quote(text)}", **LOGIN)) == (400, "bad_request")


async def test_another_method_is_a_problem_too(site):
    answer = await site.fetch("/api/v1/records", method="DELETE", **LOGIN)
    assert problem(answer) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        ({}, (426, "upgrade_required")),
        ({"Upgrade": "websocket"}, (426, "upgrade_required")),
        (SOCKET | {"Sec-WebSocket-Version": "1"}, (426, "upgrade_required")),
        (SOCKET | {"Origin": "https://elsewhere.example"}, (403, "origin_not_allowed")),
    ],
)
async def test_a_handshake_that_fails_is_a_problem(site, headers, refusal):
    answer = await site.fetch("/api/v1/events/ws", headers=headers, **LOGIN)
    assert problem(answer) == refusal
    if refusal[0] == 426:
        assert answer.headers["Upgrade"] == "websocket"


async def test_whoever_has_a_key_of_the_database_is_told_by_all_operations_that_it_is_away(site):
    site.keys.error = StoreUnavailableError("the database is away")
    description = json.loads((await site.fetch("/api/v1/openapi.json")).body)
    operations = [(path, method) for path, ways in description["paths"].items() for method in ways]
    assert len(operations) > 40
    for path, method in operations:
        answer = await site.fetch(
            re.sub(r"\{\w+\}", "x", path),
            method=method.upper(),
            headers={"Authorization": "Bearer c2c_issued", "Content-Type": "application/json", **SOCKET},
            body=b"{}" if method in {"post", "patch"} else None,
        )
        assert problem(answer) == (503, "store_unavailable"), (path, method)
        assert "503" in description["paths"][path][method]["responses"], (path, method)
