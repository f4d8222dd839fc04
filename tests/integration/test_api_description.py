"""Every operation that a server's own description has: what it answers to whom.

schemathesis asks everything that the description allows, and much that it does not.
"""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from server import Server
from testbed.phone import Phone
from testbed.process import free_port, wait_until

SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")
BODIES = {
    "sendDigits": ("application/json", b'{"leg": 1, "digits": "1"}'),
    "joinThird": ("application/json", b'{"destination": "101"}'),
    "transferCall": ("application/json", b'{"destination": "101"}'),
    "changeSchedule": ("application/json", b'{"retries": 1}'),
    "addCampaignNumbers": ("text/csv", b"number\n+12025550123\n"),
}
"""Of the operations on something that is there, by their ids."""
NEVER_404 = {"removeDoNotCall"}
"""Afterwards it is not there, as it was wanted: the answer is the same whoever had it."""
SECONDS = 60
"""So long it may ask."""
TABLES = """
[trunks.main]
proxy = "sip:127.0.0.1:{nobody}"
[orgs.acme]
country = "US"
trunk = "main"
caller_id = "+12025550100"
ident = "org-secret"
max_calls = 4
[orgs.acme.users.alice]
password = "s3cret"
scopes = ["call", "read", "admin"]
[orgs.acme.users.reader]
password = "s3cret"
scopes = ["read"]
[orgs.acme.users.dialler]
password = "s3cret"
scopes = ["call"]
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:{busy}"
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:{phone}"
record = true
[orgs.acme.extensions.103]
contact = "sip:103@127.0.0.1:{phone}"
[orgs.acme.queues.700]
agents = ["101"]
[orgs.acme.messages.800]
text = "Hello."
[orgs.other]
country = "US"
[orgs.other.users.carol]
password = "s3cret"
scopes = ["call", "read", "admin"]
"""
CONFIGURATION = """
seed = 20260301
continue-on-failure = true
max-stream-events = 1
request-timeout = 10
[generation]
max-examples = 5
deterministic = true
database = "none"
[auth.basic]
username = "alice@acme"
password = "s3cret"
[checks.positive_data_acceptance]
# What a number, a cursor or a time means, no schema can tell.
expected-statuses = ["2xx", 400, 401, 403, 404, 409, 410, 422, 429]
[[operations]]
# Whatever is sent is a text.
include-operation-id-regex = "^(addCampaignNumbers|importDoNotCall)$"
checks.negative_data_rejection.enabled = false
[[operations]]
# A WebSocket is what another client asks for.
include-operation-id = "followEventsOverWebSocket"
checks.positive_data_acceptance.enabled = false
"""
KNOWN = """
[[operations]]
include-path-regex = "{path}"
parameters = {{ {parameters} }}
"""
"""What else no schema can tell: something that is there."""


def login(user: str) -> dict[str, str]:
    """Return the header of `user@organisation`."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:s3cret'.encode()).decode()}"}


def ask(server: Server, method: str, path: str, body: object = None) -> Any:
    """Send a request that has to be granted, and return its answer."""
    headers = login("alice@acme") | {"Content-Type": "application/json"}
    answer = server.get(path, headers, None if body is None else json.dumps(body).encode(), method=method)
    assert 200 <= answer.status < 300, answer
    return answer.json()


def newest_event(server: Server) -> str:
    """Return the id of the event behind which a stream begins now."""
    with server.open("/api/v1/events", login("alice@acme")) as stream:
        return next(line.decode().strip().removeprefix("id: ") for line in stream if line.startswith(b"id:"))


def recorded_call(server: Server) -> Any:
    """Place a call that is recorded, and return it once it is."""
    call = ask(server, "POST", "/api/v1/calls", {"dial1": "102", "dial2": "103"})
    path = f"/api/v1/calls/{call['id']}"

    def recording() -> Any:
        found = ask(server, "GET", path)
        return found if found["recording_state"] == "recording" else None

    return wait_until(recording, 10.0, lambda: f"not recorded: {ask(server, 'GET', path)}")


def recording_of_an_ended_call(server: Server) -> str:
    """Return the id of a recording that is ready."""
    call = recorded_call(server)
    ask(server, "DELETE", f"/api/v1/calls/{call['id']}")
    record = f"/api/v1/records/{call['id']}"
    wait_until(
        lambda: ask(server, "GET", record)["recording_state"] == "complete",
        10.0,
        lambda: f"no recording: {ask(server, 'GET', record)}",
    )
    recording: str = call["recording_id"]
    return recording


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with ExitStack() as stack:
        phone = stack.enter_context(Phone("102"))
        busy = stack.enter_context(Phone("101", behaviour="reject"))
        tables = TABLES.format(phone=phone.port, busy=busy.port, nobody=free_port())
        yield stack.enter_context(Server(tmp_path_factory.mktemp("server"), tables, sip="warm_workers = 3"))


@pytest.fixture(scope="module")
def things(server: Server) -> dict[str, dict[str, str]]:
    """What acme has of each resource, as the values of its paths' places."""
    recording = recording_of_an_ended_call(server)
    call = recorded_call(server)["id"]
    barred = "+12025550199"
    ask(server, "POST", "/api/v1/do-not-call", {"numbers": [barred]})
    later = {"dial1": "101", "dial2": "102", "date": "209912240900"}
    many = {"dial1": ["101"], "dial2": "800"}
    return {
        "calls": {"id": call},
        "records": {"id": call},
        "recordings": {"id": recording},
        "batches": {"id": ask(server, "POST", "/api/v1/batches", many)["id"]},
        "schedules": {"id": ask(server, "POST", "/api/v1/schedules", later)["id"]},
        "campaigns": {"id": ask(server, "POST", "/api/v1/campaigns", {"name": "spring", "dial2": "800"})["id"]},
        "do-not-call": {"number": barred},
        "keys": {"id": ask(server, "POST", "/api/v1/keys", {"name": "crm", "scopes": ["read"]})["id"]},
        "queues": {"number": "700", "agent": "101"},
        "extensions": {"number": "101"},
    }


@dataclass(frozen=True)
class Operation:
    """One of the description."""

    id: str
    method: str
    path: str
    scope: str

    @property
    def resource(self) -> str:
        """The first segment of its path behind the version."""
        return self.path.split("/")[3]


@pytest.fixture(scope="module")
def operations(server: Server) -> list[Operation]:
    description = server.get("/api/v1/openapi.json").json()
    return [
        Operation(way["operationId"], method.upper(), path, scope)
        for path, ways in description["paths"].items()
        for method, way in ways.items()
        for needed in way["security"]
        for scope in needed.get("bearer", [])
    ]


def answered(
    server: Server, operation: Operation, headers: dict[str, str], places: dict[str, str] | None = None
) -> tuple[int, str, tuple[tuple[str, str], ...]]:
    """Return all of an answer but its date."""
    path = operation.path.format_map(places) if places else operation.path
    body = None
    if operation.id in BODIES:
        kind, body = BODIES[operation.id]
        headers = headers | {"Content-Type": kind}
    answer = server.get(path, headers, body, method=operation.method)
    return answer.status, answer.body, tuple(sorted(pair for pair in answer.headers.items() if pair[0] != "Date"))


def test_another_organisations_things_and_unknown_ones_are_the_same_404(
    server: Server, operations: list[Operation], things: dict[str, dict[str, str]]
) -> None:
    with_places = [operation for operation in operations if "{" in operation.path]
    assert {operation.resource for operation in with_places} == set(things)
    unknown = {
        resource: {name: value[:-1] + "75"[value[-1] == "7"] for name, value in places.items()}
        for resource, places in things.items()
    }
    answers = {}
    for operation in with_places:
        foreign, other = (
            answered(server, operation, login("carol@other"), places[operation.resource])
            for places in (things, unknown)
        )
        assert foreign == other, operation
        if operation.id not in NEVER_404:
            answers[operation.id] = foreign
    assert len(set(answers.values())) == 1, answers
    (status, body, _headers) = next(iter(answers.values()))
    assert (status, json.loads(body)["error_id"]) == (404, "not_found")
    # They are there, and carol has changed nothing of them.
    for operation in with_places:
        if operation.method == "GET":
            status, body, _headers = answered(server, operation, login("alice@acme"), things[operation.resource])
            assert status == 200, (operation, body)
    barred = ask(server, "GET", "/api/v1/do-not-call")["items"]
    assert [number["number"] for number in barred] == [things["do-not-call"]["number"]]


def test_whoever_is_nobody_gets_the_same_401_from_all(server: Server, operations: list[Operation]) -> None:
    cheap = [{}, {"Authorization": "Basic nonsense"}, {"Authorization": "Bearer c2c_nothing"}]
    # A password is as slow to be wrong as it is to be right.
    wrong = [(operations[0], login("nobody@acme")), (operations[-1], login("alice@other"))]
    answers = {
        (operation.id, str(stranger)): answered(server, operation, stranger)
        for operation, stranger in [*itertools.product(operations, cheap), *wrong]
    }
    assert len(set(answers.values())) == 1, answers
    (status, body, _headers) = next(iter(answers.values()))
    assert (status, json.loads(body)["error_id"]) == (401, "wrong_credentials")


@pytest.mark.parametrize(("user", "scopes"), [("reader", {"read"}), ("dialler", {"call"})])
def test_a_missing_scope_is_the_same_403_from_all(
    server: Server, operations: list[Operation], user: str, scopes: set[str]
) -> None:
    answers: dict[str, set[object]] = {}
    for operation in operations:
        if operation.scope not in scopes:
            answers.setdefault(operation.scope, set()).add(answered(server, operation, login(f"{user}@acme")))
    assert set(answers) == {"call", "read", "admin"} - scopes
    for scope, same in answers.items():
        ((status, body, _headers),) = same
        problem = json.loads(body)
        assert (status, problem["error_id"]) == (403, "missing_scope")
        assert problem["detail"] == f"these credentials lack the scope {scope}"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/calls", {"dial1": "101", "dial2": "102", "wait": True}),
        ("/api/v1/batches", {"dial1": ["101"], "dial2": "800"}),
        ("/api/v1/schedules", {"dial1": "101", "dial2": "102", "date": "209912240900"}),
    ],
)
def test_what_is_asked_for_again_with_the_same_key_is_made_once(
    server: Server, path: str, body: dict[str, object]
) -> None:
    headers = login("alice@acme") | {"Content-Type": "application/json", "Idempotency-Key": path}
    first, again = (server.get(path, headers, json.dumps(body).encode()) for _ in range(2))
    assert (first.status, first.body, first.headers["Location"]) == (201, again.body, again.headers["Location"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert first.headers["Location"] == f"{path}/{first.json()['id']}"


def test_nothing_is_answered_that_the_description_does_not_tell(
    server: Server, operations: list[Operation], things: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    before = newest_event(server)
    known = {
        # Behind it there is an event at once: an idle stream would be waited for.
        "/events$": {"after": before, "types": "accepted"},
        "/recordings/": things["recordings"],
        "/calls/.*/recording/": {"id": recorded_call(server)["id"]},
        "/extensions/": things["extensions"],
        "/agents/": things["queues"],
        "/campaigns/.*/": things["campaigns"],
    }
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(
        CONFIGURATION
        + "".join(
            KNOWN.format(path=path, parameters=", ".join(f'{name} = "{value}"' for name, value in values.items()))
            for path, values in known.items()
        )
    )
    done = subprocess.run(
        [SCHEMATHESIS, "--config-file", configuration, "run", f"{server.base}/api/v1/openapi.json", "--no-color"],
        check=False,
        text=True,
        capture_output=True,
        cwd=tmp_path,
        timeout=2 * SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Tested: {len(operations)}" in done.stdout
