"""A user agent that shares no code with ours, baresip, calls and is called.

It lives in a network namespace of its own, which only root can make.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from server import Server
from testbed.baresip import Baresip
from testbed.kamailio import Kamailio
from testbed.netns import NetworkNamespace, RootNeededError, require_root
from testbed.phone import Phone, PhoneCall
from testbed.process import wait_until

BARESIP_HZ, PHONE_HZ = 900.0, 500.0

# acme calls its phones itself; pbx reaches them through a trunk, where both are registered.
TABLES = """
[trunks.pbx]
proxy = "{trunk}"
registrar = "{trunk}"
username = "trunkuser"
password = "trunkpass"
[orgs.acme]
caller_id = "+12025550100"
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.extensions.101]
contact = "{phone}"
[orgs.acme.extensions.103]
contact = "{baresip}"
[orgs.pbx]
trunk = "pbx"
[orgs.pbx.users.alice]
password = "s3cret"
[orgs.pbx.extensions.101]
[orgs.pbx.extensions.103]
"""


@dataclass(frozen=True)
class Bed:
    """baresip on one end of a wire; a phone, a trunk and the server on the other."""

    server: Server
    trunk: Kamailio
    phone: Phone
    baresip: Baresip

    def click(self, dial1: str, dial2: str, org: str = "acme") -> tuple[dict[str, str], PhoneCall]:
        """Place a call that both answer; return the reply and the phone's end."""
        answered = len(self.baresip.events("CALL_ESTABLISHED"))
        answer = self.server.dial(dial1, dial2, org=org).json()
        assert answer["status"] == "ok", answer
        uid = answer["dial1"] if dial1 == "101" else answer["dial2"]
        call = wait_until(
            lambda: next((call for call in self.phone.calls() if call.call_id == uid), None),
            10.0,
            lambda: f"the phone has no call {uid}",
        )
        self.baresip.wait_for("CALL_ESTABLISHED", 10.0, answered + 1)
        return answer, call

    def hear_each_other(self, call: PhoneCall) -> None:
        """Wait until each hears the other's tone."""
        self.phone.wait_heard(BARESIP_HZ, 10.0, call.number)
        self.baresip.wait_heard(PHONE_HZ, 10.0)


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    try:
        require_root()
    except RootNeededError as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(str(reason))
        pytest.skip(str(reason))
    with ExitStack() as stack:
        namespace = stack.enter_context(NetworkNamespace())
        users = {"trunkuser": "trunkpass", "101": "pw101", "103": "pw103"}
        trunk = stack.enter_context(Kamailio(users, host=namespace.outside))
        phone = stack.enter_context(
            Phone("101", host=namespace.outside, tone_hz=PHONE_HZ, registrar=trunk.uri, password="pw101")
        )
        baresip = stack.enter_context(
            Baresip("103", tone_hz=BARESIP_HZ, registrar=trunk.address, password="pw103", namespace=namespace)
        )
        tables = TABLES.format(trunk=trunk.uri, phone=phone.uri, baresip=baresip.uri)
        folder: Path = tmp_path_factory.mktemp("server")
        # The server must be where baresip reaches it.
        address = {"CLICK2CALL__SIP__ADDRESS": namespace.outside}
        server = stack.enter_context(Server(folder, tables, environ=address))
        yield Bed(server, trunk, phone, baresip)


def test_baresip_is_called_first_and_hangs_up(bed: Bed) -> None:
    answer, call = bed.click("103", "101")
    bed.hear_each_other(call)
    bed.baresip.hang_up()
    bed.phone.wait_for("ended", 10.0, call=call.number)
    record = bed.server.wait_record(answer["dial1"])
    assert record["disposition"] == "answered"
    assert [leg["sip_code"] for leg in record["legs"]] == [200, 200]


def test_baresip_is_called_second_and_hangs_up(bed: Bed) -> None:
    answer, call = bed.click("101", "103")
    bed.hear_each_other(call)
    bed.baresip.hang_up()
    bed.phone.wait_for("ended", 10.0, call=call.number)
    assert bed.server.wait_record(answer["dial1"])["disposition"] == "answered"


@pytest.mark.parametrize(("dial1", "dial2"), [("103", "101"), ("101", "103")], ids=["first", "second"])
def test_baresip_is_let_go_when_the_other_hangs_up(bed: Bed, dial1: str, dial2: str) -> None:
    closed = len(bed.baresip.events("CALL_CLOSED"))
    _, call = bed.click(dial1, dial2)
    bed.phone.wait_for("answered", 10.0, call=call.number)
    bed.phone.hang_up(call.number)
    bed.baresip.wait_for("CALL_CLOSED", 10.0, closed + 1)


def test_digits_cross_between_baresip_and_a_phone(bed: Bed) -> None:
    _, call = bed.click("103", "101")
    bed.hear_each_other(call)
    bed.baresip.send_digits("45*")
    bed.phone.wait_digits("45*", 10.0, call.number)
    before = bed.baresip.digits_received()
    bed.phone.send_digits("12#", call=call.number)
    wait_until(lambda: bed.baresip.digits_received() == f"{before}12#", 10.0, bed.baresip.digits_received)
    bed.baresip.hang_up()
    bed.phone.wait_for("ended", 10.0, call=call.number)


def test_baresip_is_reached_through_the_trunk_where_it_is_registered(bed: Bed) -> None:
    bed.server.wait_trunk("pbx", "registered")
    _, call = bed.click("101", "103", org="pbx")
    bed.hear_each_other(call)
    bed.baresip.hang_up()
    bed.phone.wait_for("ended", 10.0, call=call.number)


def test_baresip_calls_a_phone_through_the_trunk(bed: Bed) -> None:
    calls = len(bed.phone.calls())
    bed.baresip.call(f"sip:101@{bed.trunk.address}")
    call = wait_until(lambda: next(iter(bed.phone.calls()[calls:]), None), 10.0, "the phone does not ring")
    bed.phone.wait_for("answered", 10.0, call=call.number)
    bed.hear_each_other(call)
    bed.baresip.hang_up()
    bed.phone.wait_for("ended", 10.0, call=call.number)


def test_baresip_calls_the_server_and_is_told_that_nobody_is_there(bed: Bed) -> None:
    closed = len(bed.baresip.events("CALL_CLOSED"))
    bed.baresip.call(f"sip:101@{bed.baresip.outside}:{bed.server.sip_port}")
    assert bed.baresip.wait_for("CALL_CLOSED", 10.0, closed + 1)["param"] == "404 Not Found"
    answer, call = bed.click("103", "101")
    bed.hear_each_other(call)
    bed.baresip.hang_up()
    assert bed.server.wait_record(answer["dial1"])["disposition"] == "answered"
