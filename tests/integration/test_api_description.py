"""schemathesis asks a server everything that its own description allows, and much that it does not."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from server import Server
from testbed.phone import Phone
from testbed.process import free_port, wait_until

SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")
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
"""
CONFIGURATION = """
seed = 20260301
continue-on-failure = true
max-stream-events = 1
request-timeout = 10
[generation]
max-examples = 6
deterministic = true
database = "none"
[auth.basic]
username = "alice@acme"
password = "s3cret"
[checks.positive_data_acceptance]
# What a number, a cursor or a time means, no schema can tell.
expected-statuses = ["2xx", 400, 401, 403, 404, 409, 410, 422, 429]
[[operations]]
# A WebSocket is what another client asks for.
include-operation-id = "followEventsOverWebSocket"
checks.positive_data_acceptance.enabled = false
[[operations]]
# An idle stream has no event, and the answer is looked at when the time is over.
include-operation-id = "followEvents"
request-timeout = 1
"""
KNOWN = """
[[operations]]
include-path-regex = "{path}"
parameters = {{ {parameters} }}
"""
"""What else no schema can tell: something that is there."""


def ask(server: Server, method: str, path: str, body: object = None) -> Any:
    """Send a request that has to be granted, and return its answer."""
    credentials = base64.b64encode(b"alice@acme:s3cret").decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
    answer = server.get(path, headers, None if body is None else json.dumps(body).encode(), method=method)
    assert 200 <= answer.status < 300, answer
    return answer.json()


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
        yield stack.enter_context(Server(tmp_path_factory.mktemp("server"), tables))


def test_nothing_is_answered_that_the_description_does_not_tell(server: Server, tmp_path: Path) -> None:
    known = {
        "/recordings/": {"id": recording_of_an_ended_call(server)},
        "/calls/.*/recording/": {"id": recorded_call(server)["id"]},
        "/extensions/": {"number": "101"},
        "/agents/": {"number": "700", "agent": "101"},
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
    operations = [ways for path in ask(server, "GET", "/api/v1/openapi.json")["paths"].values() for ways in path]
    assert f"Tested: {len(operations)}" in done.stdout
