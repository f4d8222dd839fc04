"""`/api/v1/keys`, and what each scope is good for."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sipcore.domain.directory import ApiKey, Directory, Scope
from sipcore.domain.issued_key import digest_of

ADMIN_KEY, READ_KEY, CALL_KEY, OTHER_KEY = "c2c_admin", "c2c_read", "c2c_call", "c2c_other"


@pytest.fixture
def directory(directory: Directory) -> Directory:
    acme, other = directory.organisations["acme"], directory.organisations["other"]
    given = {ADMIN_KEY: {Scope.ADMIN}, READ_KEY: {Scope.READ}, CALL_KEY: {Scope.CALL}}
    keys = {key: ApiKey(key, digest_of(key), frozenset(scopes)) for key, scopes in given.items()}
    others = {OTHER_KEY: ApiKey(OTHER_KEY, digest_of(OTHER_KEY), frozenset(Scope))}
    return replace(
        directory,
        organisations={"acme": replace(acme, api_keys=keys), "other": replace(other, api_keys=others)},
    )


async def ask(site, path, key, body=None, **more):
    headers = {"Authorization": f"Bearer {key}"}
    if body is not None:
        more |= {"method": "POST", "body": json.dumps(body)}
        headers["Content-Type"] = "application/json"
    return await site.fetch(f"/api/v1{path}", headers=headers, **more)


async def made(site, scopes=("read",)):
    answer = await ask(site, "/keys", ADMIN_KEY, {"name": "crm", "scopes": scopes})
    assert answer.code == 201
    return json.loads(answer.body)


async def test_a_key_that_was_made_opens_what_its_scopes_say(site):
    key = await made(site, ["read"])
    assert (await ask(site, "/queues", key["key"])).code == 200
    refused = await ask(site, "/calls", key["key"], {"dial1": "101", "dial2": "102"})
    problem = json.loads(refused.body)
    assert (refused.code, problem["error_id"]) == (403, "missing_scope")
    assert "call" in problem["detail"]
    assert site.calls.dialled == []


async def test_a_key_is_told_once_and_never_again(site):
    key = await made(site)
    listed = await ask(site, "/keys", ADMIN_KEY)
    assert key["key"] not in listed.body.decode()
    (item,) = json.loads(listed.body)["items"]
    assert item == {name: value for name, value in key.items() if name != "key"}


async def test_a_revoked_key_is_good_for_nothing_at_once(site):
    key = await made(site)
    assert (await ask(site, "/queues", key["key"])).code == 200
    for _ in range(2):
        told = json.loads((await ask(site, f"/keys/{key['id']}", ADMIN_KEY, method="DELETE")).body)
        assert told["revoked_at"] is not None
    assert (await ask(site, "/queues", key["key"])).code == 401


async def test_an_organisation_neither_sees_nor_revokes_keys_of_others(site):
    key = await made(site)
    assert json.loads((await ask(site, "/keys", OTHER_KEY)).body) == {"items": []}
    assert (await ask(site, f"/keys/{key['id']}", OTHER_KEY, method="DELETE")).code == 404
    assert (await ask(site, "/queues", key["key"])).code == 200


@pytest.mark.parametrize("key", [READ_KEY, CALL_KEY])
async def test_who_may_not_give_keys_gets_none(site, key):
    answer = await ask(site, "/keys", key, {"name": "mine", "scopes": ["admin"]})
    assert (answer.code, json.loads(answer.body)["error_id"]) == (403, "missing_scope")
    assert (await ask(site, "/keys", key)).code == 403


async def test_a_key_that_may_only_read_does_not_dial_by_url(site):
    answer = await site.fetch(
        "/API/dialup?dial1=101&dial2=102&org=acme", headers={"Authorization": f"Bearer {READ_KEY}"}
    )
    assert answer.code == 403
    assert site.calls.dialled == []


async def test_a_key_that_may_only_call_reads_nothing(site):
    assert (await ask(site, "/records", CALL_KEY)).code == 403
    assert (await ask(site, "/events", CALL_KEY)).code == 403


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"name": "", "scopes": ["read"]}, "name"),
        ({"name": "crm", "scopes": []}, "scopes"),
        ({"name": "crm", "scopes": ["root"]}, "scopes.0"),
        ({"name": "crm"}, "scopes"),
    ],
)
async def test_a_bad_key_is_a_problem_that_names_the_member(site, body, parameter):
    answer = await ask(site, "/keys", ADMIN_KEY, body)
    assert (answer.code, json.loads(answer.body)["parameter"]) == (400, parameter)
