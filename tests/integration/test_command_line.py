"""The command line as an operator types it, and the three ways to log in, against the running server."""

from __future__ import annotations

import base64
import os
import subprocess
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from server import CLICK2CALL, Answer, Server
from testbed.phone import Phone
from testbed.process import free_port
from testbed.sipp import Sipp

SAMPLES = Path(__file__).parents[2] / "config"
PASSWORD = "correct horse, bättery staple"
KEY = "k-0123456789-abcdefghijklmnop"
TABLES = """
[orgs.acme]
country = "US"
caller_id = "+12025550100"
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.users.bob]
password_hash = "{bobs_hash}"
[orgs.acme.api_keys.crm]
key = "{key}"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:{first}"
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:{second}"
[orgs.acme.extensions.103]
contact = "sip:103@127.0.0.1:{busy}"
"""


def click2call(*words: str, typed: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CLICK2CALL, *words],
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "COLUMNS": "100", "TERM": "dumb", **environ},
    )


@pytest.fixture(scope="module")
def phones() -> Iterator[tuple[Phone, Phone]]:
    with Phone("101", tone_hz=500.0) as first, Phone("102", tone_hz=900.0) as second:
        yield first, second


@pytest.fixture(scope="module")
def busy() -> Iterator[Sipp]:
    with Sipp("busy") as peer:
        yield peer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, phones: tuple[Phone, Phone], busy: Sipp) -> Iterator[Server]:
    hashed = click2call("hash-password", typed=f"{PASSWORD}\n")
    assert hashed.returncode == 0, hashed.stderr
    tables = TABLES.format(
        bobs_hash=hashed.stdout.strip(), key=KEY, first=phones[0].port, second=phones[1].port, busy=busy.port
    )
    with Server(tmp_path_factory.mktemp("server"), tables) as running:
        yield running


@pytest.fixture
def login(server: Server) -> dict[str, str]:
    return {
        "CLICK2CALL_URL": server.base,
        "CLICK2CALL_ORG": "acme",
        "CLICK2CALL_USER": "alice",
        "CLICK2CALL_PASSWORD": "s3cret",
    }


# -- help and check


def test_help_names_every_command_and_how_each_is_used() -> None:
    overview = click2call("--help")
    assert overview.returncode == 0
    for command, promised in {
        "serve": "--config",
        "check": "--config",
        "hash-password": "password_hash",
        "dial": "--timeout",
    }.items():
        assert f" {command} " in overview.stdout
        told = click2call(command, "--help")
        assert (told.returncode, told.stderr) == (0, "")
        assert f"Usage: click2call {command}" in told.stdout
        assert promised in told.stdout


@pytest.mark.parametrize(
    ("sample", "summary"),
    [
        ("sample.toml", "ok: organisations: acme; trunks: none\n"),
        ("trunk.sample.toml", "ok: organisations: acme; trunks: main\n"),
    ],
)
def test_check_finds_nothing_wrong_with_the_samples(sample: str, summary: str) -> None:
    done = click2call("check", "--config", str(SAMPLES / sample))
    assert (done.returncode, done.stdout, done.stderr) == (0, summary, "")


def test_check_names_every_wrong_key_with_its_line_and_what_was_expected(tmp_path: Path) -> None:
    (settings := tmp_path / "bad.toml").write_text(
        '[server]\nlisten = "everywhere"\nlisen = 1\n\n[trunks.main]\nproxy = "sip:user@127.0.0.1"\n'
        '[orgs.acme]\ntrunk = "mian"\n[orgs.acme.users.alice]\npassword = "hunter2"\npassword_hash = "hunter2"\n'
    )
    done = click2call("check", "--config", str(settings))
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.removeprefix(f"{settings}: ").split(": ")[:2] for line in done.stderr.splitlines()] == [
        ["line 2", "server.listen"],
        ["line 3", "server.lisen"],
        ["line 6", "trunks.main.proxy"],
        ["line 8", "orgs.acme.trunk"],
        ["line 11", "orgs.acme.users.alice.password_hash"],
    ]
    assert 'expected an address and port such as "127.0.0.1:8080", got "everywhere"' in done.stderr
    assert "hunter2" not in done.stderr


# -- dial


def test_dial_shows_each_step_until_a_phone_hangs_up(login: dict[str, str], phones: tuple[Phone, Phone]) -> None:
    running = subprocess.Popen(
        [CLICK2CALL, "dial", "101", "102"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **login},
    )
    assert running.stdout is not None
    try:
        told = []
        for line in running.stdout:
            told.append(line.rstrip("\n"))
            if line.endswith("  joined\n"):
                # Each step is shown while the call goes on, not at its end.
                phones[0].wait_heard(900.0)
                phones[1].wait_heard(500.0)
                phones[0].hang_up()
        assert running.wait(10) == 0
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
    assert told[:2] == ["ringing 101", "ok"]
    steps = [line.partition(" s  ") for line in told[2:]]
    assert [what for _, _, what in steps] == [
        "leg 1 ringing", "leg 1 answered", "leg 2 ringing", "leg 2 answered", "joined", "ended: answered",
    ]  # fmt: skip
    seconds = [float(second) for second, _, _ in steps]
    assert seconds == sorted(seconds)


def test_dial_exits_1_when_destination_1_is_busy(login: dict[str, str]) -> None:
    done = click2call("dial", "103", "102", **login)
    assert done.stdout.splitlines()[:2] == ["ringing 103", "Fail: Busy"]
    assert done.stdout.splitlines()[-1].endswith("  ended: busy")
    assert (done.returncode, done.stderr) == (1, "")


def test_dial_exits_1_when_destination_2_is_busy(login: dict[str, str]) -> None:
    done = click2call("dial", "101", "103", **login)
    told = done.stdout.splitlines()
    assert told[:2] == ["ringing 101", "ok"]
    assert [line.partition(" s  ")[2] for line in told[2:]] == [
        "leg 1 ringing", "leg 1 answered", "leg 2 busy (SIP 486)", "ended: busy",
    ]  # fmt: skip
    assert done.returncode == 1


def test_dial_exits_2_with_one_line_when_the_password_is_wrong(
    login: dict[str, str], server: Server, phones: tuple[Phone, Phone]
) -> None:
    calls, rows = len(phones[0].calls()), server.rows("SELECT count(*) FROM calls")
    done = click2call("dial", "101", "102", **{**login, "CLICK2CALL_PASSWORD": "wr0ng"})
    assert done.returncode == 2
    assert done.stderr == "click2call: refused (401): user, pass, org or ident is wrong\n"
    assert (len(phones[0].calls()), server.rows("SELECT count(*) FROM calls")) == (calls, rows)


def test_dial_exits_2_with_one_line_when_no_server_is_there(login: dict[str, str]) -> None:
    nowhere = f"http://127.0.0.1:{free_port('tcp')}"
    done = click2call("dial", "101", "102", **{**login, "CLICK2CALL_URL": nowhere})
    assert done.returncode == 2
    assert done.stderr.startswith(f"click2call: cannot reach {nowhere}: ")
    assert len(done.stderr.splitlines()) == 1


# -- the ways to log in, each with a call to the busy phone, which ends at once


def ask(server: Server, headers: dict[str, str] | None = None, **parameters: str) -> Answer:
    wanted = {"dial1": "103", "dial2": "101", "Response": "yes", **parameters}
    return server.get("/API/dialup.php?" + urllib.parse.urlencode(wanted), headers)


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_user_with_an_argon2_password_calls(server: Server) -> None:
    answer = ask(server, user="bob", org="acme", **{"pass": PASSWORD})
    assert (answer.status, answer.body) == (200, "Fail: Busy")
    assert server.rows("SELECT user FROM calls ORDER BY accepted_at DESC LIMIT 1") == [("bob",)]
    # Remembered as verified, and still compared.
    assert ask(server, user="bob", org="acme", **{"pass": PASSWORD}).status == 200
    assert ask(server, user="bob", org="acme", **{"pass": PASSWORD + "x"}).status == 401


def test_http_basic_calls_with_the_organisation_in_the_user_or_beside_it(server: Server) -> None:
    assert ask(server, basic("alice@acme", "s3cret")).body == "Fail: Busy"
    assert ask(server, basic("bob", PASSWORD), org="acme").body == "Fail: Busy"


def test_a_bearer_key_calls_for_its_organisation(server: Server) -> None:
    answer = ask(server, {"Authorization": f"Bearer {KEY}"})
    assert (answer.status, answer.body) == (200, "Fail: Busy")
    assert server.rows("SELECT organisation, user FROM calls ORDER BY accepted_at DESC LIMIT 1") == [("acme", "crm")]


def test_every_wrong_login_gets_the_same_answer_and_nothing_is_dialled(server: Server, busy: Sipp) -> None:
    dialled = len(busy.received("INVITE"))
    refused = [
        ask(server, user="alice", org="acme", **{"pass": "s3cre"}),
        ask(server, user="nobody", org="acme", **{"pass": "s3cret"}),
        ask(server, user="alice", org="elsewhere", **{"pass": "s3cret"}),
        ask(server, basic("alice@acme", "s3cre")),
        ask(server, basic("alice@elsewhere", "s3cret")),
        ask(server, {"Authorization": "Bearer k-wrong"}),
        ask(server, {"Authorization": f"Bearer {KEY}"}, org="elsewhere"),
        ask(server, {"Authorization": "Basic ???"}),
    ]
    assert {(answer.status, answer.body) for answer in refused} == {(401, "error: user, pass, org or ident is wrong")}
    assert len(busy.received("INVITE")) == dialled
