"""`/api/v1/extensions`, `/trunks` and `/limits`: what an organisation sees of the settings, and how it stands."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from test_records import LIVE

from sipcore.domain.directory import Directory, Extension
from sipcore.domain.registration import RegistrationState, TrunkState


@pytest.fixture
def directory(directory: Directory) -> Directory:
    acme = replace(
        directory.organisations["acme"],
        extensions={"102": Extension("102"), "101": Extension("101", caller_id="+12025550101")},
        max_calls=7,
    )
    return replace(directory, organisations={**directory.organisations, "acme": acme})


async def read(site, path, user="alice@acme"):
    answer = await site.fetch(f"/api/v1{path}", auth_username=user, auth_password="s3cret")
    assert answer.code == 200
    return json.loads(answer.body)


async def test_extensions_are_busy_while_they_are_in_a_call(site):
    free = {"number": "101", "caller_id": "+12025550101", "state": "free", "since": None}
    assert await read(site, "/extensions/101") == free
    site.queues.line_busy("acme", "101")
    first, second = (await read(site, "/extensions"))["items"]
    assert (first["number"], first["state"], second["number"], second["state"]) == ("101", "busy", "102", "free")
    assert first["since"] is not None
    site.queues.line_free("acme", "101", talked=True)
    assert await read(site, "/extensions/101") == free


async def test_an_organisation_sees_its_own_trunk_only(site):
    site.trunks.append(TrunkState("secret", RegistrationState.FAILED, 403, "Forbidden"))
    told = {"name": "main", "state": "registered", "sip_code": 200, "text": "OK"}
    assert await read(site, "/trunks") == {"items": [told]}
    assert await read(site, "/trunks", "carol@other") == {"items": []}


async def test_limits_are_told_with_what_is_used_of_them(site):
    site.live["acme", "r1"] = LIVE
    assert await read(site, "/limits") == {"max_calls": 7, "calls_in_progress": 1, "calls_per_second": 1000.0}
    assert await read(site, "/limits", "carol@other") == {
        "max_calls": None, "calls_in_progress": 0, "calls_per_second": None,
    }  # fmt: skip
