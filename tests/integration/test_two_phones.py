"""One request, two phones talking: real phones, real audio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from server import Server
from testbed.phone import Phone
from testbed.process import free_port

TABLES = """
[orgs.acme]
country = "US"
caller_id = "+12025550100"
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:{first}"
caller_id = "+12025550101"
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:{second}"
"""


@pytest.fixture(scope="module")
def phones() -> Iterator[tuple[Phone, Phone]]:
    with (
        Phone("101", port=free_port(), tone_hz=500.0) as first,
        Phone("102", port=free_port(), tone_hz=900.0) as second,
    ):
        yield first, second


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, phones: tuple[Phone, Phone]) -> Iterator[Server]:
    tables = TABLES.format(first=phones[0].port, second=phones[1].port)
    folder: Path = tmp_path_factory.mktemp("server")
    with Server(folder, tables) as running:
        yield running


def test_each_phone_hears_the_other_and_not_itself(server: Server, phones: tuple[Phone, Phone]) -> None:
    first, second = phones
    answer = server.dial("101", "102").json()
    assert answer["status"] == "ok"
    first.wait_heard_alone(900.0)
    second.wait_heard_alone(500.0)
    first.hang_up()
    second.wait_for("ended")
    record = server.wait_record(answer["dial1"])
    assert record["disposition"] == "answered"
    assert [leg["uid"] for leg in record["legs"]] == [answer["dial1"], answer["dial2"]]
