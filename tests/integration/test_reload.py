"""SIGHUP: organisations and trunks are read again, calls in progress go on, and bad settings change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import argon2
import pytest
from server import SPOOL, Server
from testbed.audio import read_wav, sine, write_wav
from testbed.kamailio import Kamailio
from testbed.phone import Phone, PhoneCall
from testbed.process import wait_until
from testbed.sipp import Sipp

CUSTOMER = "+13125550142"
AGENT_HZ, CUSTOMER_HZ = 500.0, 900.0
ACCOUNT, OTHER_ACCOUNT = ("trunkuser", "trunkpass"), ("otheruser", "otherpass")

# From shows the account, so that a phone sees which one called it.
TRUNK = """
[trunks.main]
proxy = "{proxy}"
registrar = "{proxy}"
username = "{username}"
password = "{password}"
identity = ["p-asserted-identity"]
"""
ORGANISATION = """
[orgs.{name}]
country = "US"
caller_id = "+12025550100"
{trunk}
[orgs.{name}.users.alice]
{login}
[orgs.{name}.extensions.101]
contact = "{contact}"
"""


@dataclass(frozen=True)
class Bed:
    """The server and its peers. One worker carries all calls, so that old and new settings meet in it."""

    server: Server
    trunk: Kamailio
    agent: Phone
    customer: Phone
    busy: Sipp

    def trunk_table(self, account: tuple[str, str] = ACCOUNT) -> str:
        username, password = account
        return TRUNK.format(proxy=self.trunk.uri, username=username, password=password)

    def organisation_table(
        self, name: str = "acme", *, trunk: str = 'trunk = "main"', login: str = 'password = "s3cret"'
    ) -> str:
        return ORGANISATION.format(name=name, trunk=trunk, login=login, contact=self.agent.uri)

    def extension_table(self, number: str, name: str = "acme") -> str:
        """Return a phone that is busy."""
        return f'[orgs.{name}.extensions.{number}]\ncontact = "sip:{number}@{self.busy.address}"\n'

    def reload(self, tables: str) -> None:
        """Let the server take these settings over."""
        before = len(self.server.log_lines("settings reloaded"))
        self.server.write(tables)
        self.server.reload()
        self.server.wait_log("settings reloaded", before + 1)

    def refuse(self, tables: str) -> list[str]:
        """Let the server read settings that it refuses, and return why."""
        self.server.write(tables)
        return self.refuse_file()

    def refuse_file(self) -> list[str]:
        event = "settings not reloaded; the old ones stay"
        before = len(self.server.log_lines(event))
        self.server.reload()
        problems: list[str] = self.server.wait_log(event, before + 1)["problems"]
        return problems

    @contextmanager
    def call_through_the_trunk(self) -> Iterator[tuple[PhoneCall, PhoneCall]]:
        """Have agent and customer talk while the body runs; afterwards they still do, undisturbed, and then part."""
        answer = self.server.dial("101", CUSTOMER).json()
        assert answer["status"] == "ok", answer
        ends = (call_of(self.agent, answer["dial1"]), call_of(self.customer, answer["dial2"]))
        self.hear_each_other(*ends)
        before = [len(end.events) for end in ends]
        yield ends
        self.hear_each_other(*ends)
        assert [len(end.events) for end in ends] == before, "no re-INVITE, no hold, no end"
        # By the agent, so that the server has to send a BYE through the trunk as it was.
        self.agent.hang_up(ends[0].number)
        self.customer.wait_for("ended", 10.0, call=ends[1].number)
        assert self.server.wait_record(answer["dial1"])["disposition"] == "answered"

    def hear_each_other(self, agents: PhoneCall, customers: PhoneCall) -> None:
        """Wait until each hears the other's tone in audio that arrives from now on."""
        for phone, call, hz in ((self.agent, agents, CUSTOMER_HZ), (self.customer, customers, AGENT_HZ)):
            heard = phone.recording(call.number).seconds
            wait_until(
                lambda phone=phone, call=call, heard=heard: phone.recording(call.number).seconds > heard + 0.3,
                10.0,
                f"phone {phone.extension} hears nothing more",
                interval=0.03,
            )
            phone.wait_heard(hz, 10.0, call.number)

    def customer_is_called_from(self) -> str:
        """Click through the trunk, hang up when both have answered, and return the From that the customer saw."""
        answer = self.server.dial("101", CUSTOMER).json()
        assert answer["status"] == "ok", answer
        agents, customers = call_of(self.agent, answer["dial1"]), call_of(self.customer, answer["dial2"])
        self.customer.wait_for("answered", 10.0, call=customers.number)
        self.customer.hang_up(customers.number)
        self.agent.wait_for("ended", 10.0, call=agents.number)
        return customers.remote


def call_of(phone: Phone, uid: str) -> PhoneCall:
    return wait_until(
        lambda: next((call for call in phone.calls() if call.call_id == uid), None),
        10.0,
        lambda: f"phone {phone.extension} has no call {uid}",
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    with ExitStack() as stack:
        customer = stack.enter_context(Phone("900", tone_hz=CUSTOMER_HZ))
        agent = stack.enter_context(Phone("101", tone_hz=AGENT_HZ))
        trunk = stack.enter_context(
            Kamailio(dict([ACCOUNT, OTHER_ACCOUNT]), next_hops={"+1": f"{customer.host}:{customer.port}"})
        )
        busy = stack.enter_context(Sipp("busy"))
        folder: Path = tmp_path_factory.mktemp("server")
        # One port for the worker that registers, and one for the worker that calls.
        server = Server(folder, "", sip="warm_workers = 1", sip_ports=2)
        stack.enter_context(server)
        yield Bed(server, trunk, agent, customer, busy)


@pytest.fixture
def bed(running: Bed) -> Bed:
    """Return the bed with the settings that every test starts from."""
    running.reload(running.trunk_table() + running.organisation_table())
    running.server.wait_trunk("main", "registered")
    return running


# -- what is new counts


def test_a_new_organisation_and_a_new_extension_can_be_called_while_a_call_goes_on(bed: Bed) -> None:
    assert bed.server.dial("101", "102", org="beta").status == 401
    assert bed.server.dial("103", "101").json()["reason"] == "Not connected"
    with bed.call_through_the_trunk():
        bed.reload(
            bed.trunk_table()
            + bed.organisation_table()
            + bed.extension_table("103")
            + bed.organisation_table("beta", trunk="")
            + bed.extension_table("102", "beta")
        )
        assert bed.server.dial("103", "101").json()["reason"] == "Busy"
        assert bed.server.dial("102", "101", org="beta").json()["reason"] == "Busy"


def test_an_organisation_that_is_gone_cannot_call_and_its_call_in_progress_goes_on(bed: Bed) -> None:
    answer = bed.server.dial("101", CUSTOMER).json()
    ends = call_of(bed.agent, answer["dial1"]), call_of(bed.customer, answer["dial2"])
    bed.hear_each_other(*ends)
    bed.reload(bed.organisation_table("beta", trunk=""))
    assert bed.server.dial("101", CUSTOMER).status == 401
    bed.hear_each_other(*ends)
    bed.agent.hang_up(ends[0].number)
    bed.customer.wait_for("ended", 10.0, call=ends[1].number)
    # Its users are gone, so the API does not tell; the record is complete all the same.
    query = f"SELECT calls.disposition FROM calls JOIN legs ON call_id = calls.id WHERE uid = '{answer['dial1']}'"  # noqa: S608 - our own UniqueID
    wait_until(lambda: bed.server.rows(query) == [("answered",)], 10.0, lambda: str(bed.server.rows(query)))


@pytest.mark.parametrize("hashed", [False, True], ids=["plain", "argon2"])
def test_a_users_old_password_is_refused_at_once(bed: Bed, hashed: bool) -> None:
    def settings(password: str) -> str:
        hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        login = f'password_hash = "{hasher.hash(password)}"' if hashed else f'password = "{password}"'
        return bed.trunk_table() + bed.organisation_table(login=login) + bed.extension_table("103")

    bed.reload(settings("first-one"))
    assert bed.server.dial("103", "101", **{"pass": "first-one"}).status == 200
    bed.reload(settings("second-one"))
    assert bed.server.dial("103", "101", **{"pass": "first-one"}).status == 401
    assert bed.server.dial("103", "101", **{"pass": "second-one"}).status == 200


# -- trunks


def test_a_trunk_that_is_gone_is_left_and_a_call_through_it_goes_on(bed: Bed) -> None:
    with bed.call_through_the_trunk():
        bed.reload(bed.organisation_table(trunk=""))
        refused = bed.server.dial("101", CUSTOMER)
        assert (refused.status, refused.json()["parameter"]) == (403, "dial2")
        assert bed.server.get("/readyz").json()["trunks"] == {}
        bed.trunk.wait_registered("trunkuser", 10.0, registered=False)


def test_a_call_that_rings_while_its_trunk_goes_is_put_through_all_the_same(bed: Bed) -> None:
    # A trunk that the worker has not used before, so that it cannot remember it.
    passing = bed.trunk_table().replace("[trunks.main]", "[trunks.passing]")
    bed.reload(passing + bed.organisation_table(trunk='trunk = "passing"'))
    bed.agent.behave("ring")
    try:
        with ThreadPoolExecutor(1) as clicks:
            rung = len(bed.agent.events("incoming"))
            click = clicks.submit(bed.server.dial, "101", CUSTOMER)
            bed.agent.wait_for("incoming", 10.0, nth=rung + 1)
            bed.reload(bed.organisation_table(trunk=""))
            bed.agent.answer()
            answer = click.result().json()
    finally:
        bed.agent.behave("answer")
    ends = call_of(bed.agent, answer["dial1"]), call_of(bed.customer, answer["dial2"])
    bed.hear_each_other(*ends)
    bed.customer.hang_up(ends[1].number)
    assert bed.server.wait_record(answer["dial1"])["disposition"] == "answered"


def test_a_trunks_new_account_is_used_while_a_call_of_the_old_one_goes_on(bed: Bed) -> None:
    with bed.call_through_the_trunk() as (_, customers):
        assert "sip:trunkuser@" in customers.remote
        bed.reload(bed.trunk_table(OTHER_ACCOUNT) + bed.organisation_table())
        bed.server.wait_trunk("main", "registered")
        bed.trunk.wait_registered("otheruser", 10.0)
        bed.trunk.wait_registered("trunkuser", 10.0, registered=False)
        assert "sip:otheruser@" in bed.customer_is_called_from()


def test_a_trunks_changed_password_takes_effect(bed: Bed) -> None:
    bed.reload(bed.trunk_table((ACCOUNT[0], "wrong")) + bed.organisation_table())
    assert bed.server.wait_trunk("main", "failed")["sip_code"] == 401
    assert bed.server.dial(CUSTOMER, "101").json()["reason"] == "Unreachable"
    bed.reload(bed.trunk_table() + bed.organisation_table())
    # At once, and not when the refused password would have been tried again.
    bed.server.wait_trunk("main", "registered")
    assert bed.trunk.registered("trunkuser")
    assert "sip:trunkuser@" in bed.customer_is_called_from()


def test_a_trunk_that_is_unchanged_is_not_registered_anew(bed: Bed) -> None:
    def registers() -> int:
        return bed.trunk.log.read_text().count("request REGISTER")

    before = registers()
    bed.reload(bed.trunk_table() + bed.organisation_table() + bed.extension_table("103"))
    assert bed.server.trunk("main")["state"] == "registered"
    assert "sip:trunkuser@" in bed.customer_is_called_from()
    assert registers() == before


# -- bad settings


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("contact =", "contcat =", "orgs.acme.extensions.101.contcat: unknown key, did you mean `contact`?"),
        ('country = "US"', 'country = "usa"', "orgs.acme.country: expected a country code"),
        ('trunk = "main"', 'trunk = "mian"', 'orgs.acme.trunk: expected the name of a trunk (main), got "mian"'),
        ('identity = ["p', 'identity = ["x', "trunks.main.identity[0]: expected "),
        ('password = "trunkpass"', "password = 5", "trunks.main.password: expected a string, got a number"),
    ],
    ids=["unknown key", "bad value", "dead reference", "bad entry", "wrong type"],
)
def test_bad_settings_are_refused_by_key_and_line_and_the_old_ones_stay(
    bed: Bed, old: str, new: str, problem: str
) -> None:
    good = bed.trunk_table() + bed.organisation_table()
    bad = good.replace(old, new) + bed.extension_table("103") + bed.organisation_table("beta", trunk="")
    (found,) = bed.refuse(bad)
    line = next(n for n, text in enumerate(bed.server.config.read_text().splitlines(), 1) if new in text)
    assert found.startswith(f"line {line}: {problem}")
    assert "trunkpass" not in found
    assert bed.server.dial("103", "101").json()["reason"] == "Not connected"
    assert bed.server.dial("101", "101", org="beta").status == 401
    assert bed.server.trunk("main")["state"] == "registered"
    assert "sip:trunkuser@" in bed.customer_is_called_from()


def test_a_file_that_is_no_toml_or_is_gone_is_refused_and_a_good_one_taken_afterwards(bed: Bed) -> None:
    good = bed.trunk_table() + bed.organisation_table()
    (problem,) = bed.refuse(good + "[orgs.acme\n")
    last_line = len(bed.server.config.read_text().splitlines())
    assert problem.startswith(f"line {last_line}, column 11: expected TOML: ")
    bed.server.config.unlink()
    (problem,) = bed.refuse_file()
    assert problem == "cannot read the settings file: No such file or directory"
    assert "sip:trunkuser@" in bed.customer_is_called_from()
    bed.reload(good + bed.extension_table("103"))
    assert bed.server.dial("103", "101").json()["reason"] == "Busy"


def test_a_damaged_audio_file_changes_nothing_and_a_whole_one_is_taken(bed: Bed) -> None:
    notice = bed.server.folder / "notice.wav"
    good = bed.trunk_table() + bed.organisation_table() + '[orgs.acme.messages.800]\naudio = "notice.wav"\n'
    (problem,) = bed.refuse(good + bed.extension_table("103"))
    assert problem.endswith(f"expected an audio file; {notice} cannot be read: No such file or directory")
    assert bed.server.dial("103", "101").json()["reason"] == "Not connected"
    write_wav(notice, sine(700, 1.0, 16_000), 16_000)
    bed.reload(good + bed.extension_table("103"))
    assert bed.server.dial("103", "101").json()["reason"] == "Busy"
    assert any(read_wav(made).seconds == 1.0 for made in (SPOOL / "audio").iterdir())


def test_a_change_that_needs_a_restart_is_told(bed: Bed) -> None:
    good = bed.trunk_table() + bed.organisation_table()
    before = len(bed.server.log_lines("a restart is needed for changes of these tables"))
    bed.server.write(good)
    bed.server.config.write_text(bed.server.config.read_text().replace('level = "debug"', 'level = "info"'))
    bed.server.reload()
    told = bed.server.wait_log("a restart is needed for changes of these tables", before + 1)
    assert told["tables"] == ["log"]
