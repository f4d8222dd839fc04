"""`/healthz`, `/readyz`, unknown paths, and what the access log says."""

from __future__ import annotations

import json
import logging

import pytest

from api.handlers import health
from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.registration import RegistrationState, TrunkState


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_process_that_serves_is_healthy(site, method):
    site.workers_ready, site.store.error = False, StoreUnavailableError()
    answer = await site.fetch("/healthz", method=method)
    assert (answer.code, answer.body) == (200, b"ok" if method == "GET" else b"")


async def test_a_server_that_can_place_calls_is_ready(site):
    answer = await site.fetch("/readyz")
    assert answer.code == 200
    assert json.loads(answer.body) == {
        "ready": True,
        "database": True,
        "workers": True,
        "stopping": False,
        "trunks": {"main": {"state": "registered", "sip_code": 200, "text": "OK"}},
    }


@pytest.mark.parametrize(("database", "workers"), [(False, True), (True, False)])
async def test_without_database_or_workers_a_server_is_not_ready(site, database, workers):
    site.workers_ready = workers
    site.store.error = None if database else StoreUnavailableError()
    answer = await site.fetch("/readyz")
    told = json.loads(answer.body)
    assert (answer.code, told["ready"], told["database"], told["workers"]) == (503, False, database, workers)


async def test_a_server_that_stops_is_not_ready_and_says_that_it_stops(site):
    site.stopping = True
    answer = await site.fetch("/readyz")
    told = json.loads(answer.body)
    assert (answer.code, told["ready"], told["stopping"], told["database"]) == (503, False, True, True)


async def test_a_database_that_hangs_makes_a_server_not_ready(site, monkeypatch):
    async def hang():
        await site.calls.arrived.wait()

    monkeypatch.setattr(health, "DATABASE_SECONDS", 0.01)
    monkeypatch.setattr(site.store, "ping", hang)
    assert (await site.fetch("/readyz")).code == 503


async def test_a_trunk_that_is_down_is_told_but_leaves_the_server_ready(site):
    site.trunks[:] = [TrunkState("main", RegistrationState.FAILED, 403, "Forbidden")]
    answer = await site.fetch("/readyz")
    assert answer.code == 200
    assert json.loads(answer.body)["trunks"]["main"]["sip_code"] == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/API/", "/api/dialup.php", "/API/dialup.phpx", "/API/dialup/x", "/%2e%2e/"])
async def test_an_unknown_path_is_404_in_plain_text(site, path, method):
    answer = await site.fetch(path, method=method)
    assert answer.code == 404
    assert answer.body == (b"" if method == "HEAD" else b"error: not found")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/API/dialup", "/api/v1/records"])
async def test_every_answer_is_private_and_hides_what_serves_it(site, path):
    headers = (await site.fetch(path)).headers
    assert "Server" not in headers
    assert "Etag" not in headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_the_access_log_has_path_status_and_caller_and_never_the_query(site, caplog):
    caplog.set_level(logging.DEBUG)
    await site.dialup()
    await site.dialup({"Timeout": "x"})
    await site.dialup({"pass": "s3cret2"}, method="PUT", body=b"")
    facts = [
        {name: entry.get(name) for name in ("event", "method", "path", "status", "organisation", "user", "log_level")}
        for entry in site.logged
    ]
    common = {"event": "request", "path": "/API/dialup.php", "log_level": "info"}
    assert facts == [
        common | {"method": "GET", "status": 200, "organisation": "acme", "user": "alice"},
        common | {"method": "GET", "status": 400, "organisation": None, "user": None},
        common | {"method": "PUT", "status": 405, "organisation": None, "user": None},
    ]
    assert all(entry["ms"] >= 0 and entry["ip"] == "127.0.0.1" for entry in site.logged)
    # Tornado's own loggers go through the standard library; nothing of ours may reach them either.
    assert "s3cret" not in repr(site.logged) + caplog.text


async def test_health_checks_that_went_well_are_debug_lines(site):
    await site.fetch("/healthz")
    site.workers_ready = False
    await site.fetch("/readyz")
    assert [entry["log_level"] for entry in site.logged] == ["debug", "info"]
