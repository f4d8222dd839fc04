"""The command line, with `dial` against the real HTTP application."""

from __future__ import annotations

import asyncio
import sys
import types
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from typer.testing import CliRunner

from api import cli
from api.commands import dial as dialling
from sipcore.domain.causes import Disposition
from sipcore.domain.errors import NotAllowedError, StartUpError
from sipcore.domain.record import CallRecord, LegRecord
from sipcore.service.calls import DialRequest

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
LOGIN = {"CLICK2CALL_ORG": "acme", "CLICK2CALL_USER": "alice", "CLICK2CALL_PASSWORD": "s3cret"}


def at(milliseconds):
    return START + timedelta(milliseconds=milliseconds)


def run(*arguments, **options):
    return CliRunner().invoke(cli.app, arguments, **options)


class Progress:
    """A call in progress: each look at it shows the next of its records, the last one for ever."""

    def __init__(self, *records):
        self.records = list(records)

    def get(self, _key):
        return self.records.pop(0) if len(self.records) > 1 else self.records[0]


def progress(*, leg2, end):
    ringing = LegRecord("uid-1", "101", ringing_at=at(120))
    answered = replace(ringing, answered_at=at(900))
    accepted = CallRecord("r1", "acme", "alice", "101", "102", None, START, (ringing, LegRecord("uid-2", "102")))
    return Progress(
        replace(accepted, legs=(answered, LegRecord("uid-2", "102"))),
        replace(accepted, legs=(answered, leg2), joined_at=leg2.answered_at),
        replace(accepted, legs=(answered, leg2), joined_at=leg2.answered_at, **end),
    )


@pytest.fixture
async def dial(site, monkeypatch):
    monkeypatch.setattr(dialling, "POLL_SECONDS", 0)

    async def dial(*arguments, typed=None, **environment):
        env = LOGIN | {"CLICK2CALL_URL": site.url} | environment
        return await asyncio.to_thread(run, "dial", *arguments, env=env, input=typed)

    return dial


async def test_dial_tells_each_step_of_a_call_that_was_joined(site, dial):
    leg2 = LegRecord("uid-2", "102", ringing_at=at(950), answered_at=at(1500))
    site.live = progress(leg2=leg2, end={"ended_at": at(9000), "disposition": Disposition.ANSWERED})
    result = await dial("101", "102", "--set-cid", "+1202", "--timeout", "9")
    assert result.stdout.splitlines() == [
        "ringing 101",
        "ok",
        "   0.120 s  leg 1 ringing",
        "   0.900 s  leg 1 answered",
        "   0.950 s  leg 2 ringing",
        "   1.500 s  leg 2 answered",
        "   1.500 s  joined",
        "   9.000 s  ended: answered",
    ]
    assert result.exit_code == 0
    assert site.calls.dialled == [DialRequest("acme", "alice", "101", "102", "+1202", 9)]


async def test_dial_exits_1_when_the_call_was_not_joined(site, dial):
    site.calls.fail_reason = "Busy"
    leg2 = LegRecord("uid-2", "102", Disposition.BUSY, 486, 17, "remote", ended_at=at(950))
    site.live = progress(leg2=leg2, end={"ended_at": at(4000), "disposition": Disposition.BUSY})
    result = await dial("101", "102")
    assert result.stdout.splitlines()[1] == "Fail: Busy"
    assert result.stdout.splitlines()[-2:] == ["   0.950 s  leg 2 busy (SIP 486)", "   4.000 s  ended: busy"]
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("reason", "disposition", "told", "code"),
    [
        (None, Disposition.ANSWERED, "answered", 0),
        ("No answer", Disposition.NO_ANSWER, "failed: No answer", 1),
    ],
)
async def test_dial_tells_how_each_of_several_numbers_stands_until_all_are_over(
    site, dial, reason, disposition, told, code
):
    site.calls.ends = True
    site.calls.fail_reasons = {"+12025550123": "Busy", "102": reason}
    over = CallRecord("r1", "acme", "alice", "+12025550123", "800", None, START, (), ended_by="dial1", ended_at=at(1))
    answered = LegRecord("u", "102", answered_at=None if reason else at(1))
    site.store.records = [
        replace(over, disposition=Disposition.BUSY),
        replace(over, dial1="102", disposition=disposition, legs=(answered,)),
    ]
    result = await dial("+12025550123, 102", "800", "--timeout", "9")
    lines = result.stdout.splitlines()
    assert lines[0] == f"batch {site.store.batches[0].id}: 2 numbers"
    # Whether a look falls between a start and its end is chance.
    settled = [line for line in lines[1:-1] if not line.endswith(": ringing")]
    assert settled == ["+12025550123: failed: Busy", f"102: {told}"]
    assert lines[-1] == f"finished: {'2 failed' if reason else '1 answered, 1 failed'}"
    assert (result.exit_code, result.stderr) == (code, "")
    assert [request.ring_seconds for request in site.calls.dialled] == [9, 9]


@pytest.mark.parametrize(
    ("arguments", "environment", "line"),
    [
        (["101", "102"], {"CLICK2CALL_PASSWORD": "wrong"}, "refused (401): user, pass, org or ident is wrong"),
        (["", "102"], {}, "refused (400): dial1: "),
        (["101,102", "103"], {}, "refused (400): dial2: several numbers need"),
        (["101", "102"], {"CLICK2CALL_URL": "http://127.0.0.1:1"}, "cannot reach http://127.0.0.1:1"),
        (["101", "102"], {"CLICK2CALL_URL": "ftp://x"}, "ftp://x is no http:// or https:// address"),
        (["101", "102"], {"CLICK2CALL_URL": "127.0.0.1:8080"}, "is no http:// or https:// address"),
        (["101", "102"], {"CLICK2CALL_URL": "http://127.0.0.1:99999"}, "http://127.0.0.1:99999"),
    ],
)
async def test_what_keeps_dial_from_dialling_is_one_clear_line(site, dial, arguments, environment, line):
    result = await dial(*arguments, **environment)
    assert line in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.exit_code == 2
    assert "s3cret" not in result.output
    assert site.calls.dialled == []


async def test_what_the_server_does_not_allow_is_told(site, dial):
    site.calls.error = NotAllowedError("dial2", "the organisation may not dial this number")
    result = await dial("101", "102")
    assert "refused (403): dial2: the organisation may not dial this number" in result.stderr
    assert result.exit_code == 2


async def test_dial_takes_a_bearer_key_in_place_of_a_user(site, dial, bearer_key):
    site.live = progress(leg2=LegRecord("uid-2", "102"), end={"ended_at": at(2), "disposition": Disposition.BUSY})
    nobody = dict.fromkeys(LOGIN)
    assert (await dial("101", "102", CLICK2CALL_KEY=bearer_key, **nobody)).exit_code == 1
    assert [request.user for request in site.calls.dialled] == ["crm"]


async def test_something_else_that_listens_is_no_click2call_server(site, dial):
    result = await dial("101", "102", CLICK2CALL_URL=f"{site.url}/elsewhere")
    assert "does not answer as a Click2Call server" in result.stderr
    assert result.exit_code == 2


async def test_dial_asks_for_a_password_that_was_not_given(site, dial):
    site.live = progress(
        leg2=LegRecord("uid-2", "102", answered_at=at(1)), end={"ended_at": at(2), "disposition": Disposition.ANSWERED}
    )
    result = await dial("101", "102", typed="s3cret\n", CLICK2CALL_PASSWORD=None)
    assert result.exit_code == 0
    assert "s3cret" not in result.output


async def test_ctrl_c_stops_watching_only(site, dial, monkeypatch):
    def interrupt(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(dialling.time, "sleep", interrupt)
    site.live = progress(leg2=LegRecord("uid-2", "102"), end={})
    result = await dial("101", "102")
    assert (result.exit_code, result.stderr) == (130, "no longer watching; the call goes on\n")
    assert site.calls.hung_up == []


def test_dial_without_a_user_is_a_usage_error():
    result = run("dial", "101", "102", env={"CLICK2CALL_ORG": "acme", "CLICK2CALL_PASSWORD": "x"})
    assert result.exit_code == 2
    assert "give --key, or --user" in result.output


def test_check_sums_up_good_settings(tmp_path):
    settings = tmp_path / "good.toml"
    settings.write_text('[orgs.acme]\ncountry = "US"\n')
    result = run("check", "--config", str(settings))
    assert (result.exit_code, result.stdout) == (0, "ok: organisations: acme; trunks: none\n")


def test_check_names_each_problem_on_its_own_line(tmp_path):
    settings = tmp_path / "bad.toml"
    settings.write_text('[server]\nlisten = 5\nnonsense = "x"\n')
    result = run("check", "--config", str(settings))
    lines = result.stderr.splitlines()
    assert result.exit_code == 2
    assert [line.startswith(f"{settings}: line ") for line in lines] == [True, True]
    assert "listen" in lines[0]
    assert "nonsense" in lines[1]


def test_check_of_a_missing_file_is_one_line(tmp_path):
    result = run("check", "--config", str(tmp_path / "none.toml"))
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1


def test_hash_password_prints_a_hash_that_verifies():
    result = run("hash-password", input="pässword with space \n")
    assert result.exit_code == 0
    assert PasswordHasher().verify(result.stdout.strip(), "pässword with space ")


@pytest.mark.parametrize("typed", ["", "\n"])
def test_an_empty_password_is_refused(typed):
    result = run("hash-password", input=typed)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "click2call: the password is empty\n"


@pytest.fixture
def composition_root(monkeypatch):
    root = types.ModuleType("api.main")
    monkeypatch.setitem(sys.modules, "api.main", root)
    return root


def test_serve_hands_its_file_to_the_composition_root_and_exits_as_it_says(composition_root):
    served = []
    composition_root.serve = lambda config: served.append(config) or 7
    result = run("serve", "--config", "some.toml")
    assert (served, result.exit_code) == ([Path("some.toml")], 7)


def test_serve_that_cannot_start_says_so_in_one_line(composition_root):
    def refuse(_config):
        raise StartUpError("cannot listen on 127.0.0.1:8080: address already in use")

    composition_root.serve = refuse
    result = run("serve", "--config", "some.toml")
    assert result.exit_code == 2
    assert result.stderr == "click2call: cannot listen on 127.0.0.1:8080: address already in use\n"


class TestEdge:
    def test_writes_into_a_folder_what_it_would_print(self, tmp_path):
        settings = tmp_path / "site.toml"
        settings.write_text('[edge]\naddress = "sip:192.0.2.5"\nnodes = ["192.0.2.11:15060-15099"]\n')
        printed = run("edge", "--config", str(settings))
        assert printed.exit_code == 0
        assert printed.stdout.startswith("#!KAMAILIO\n")
        written = run("edge", "--config", str(settings), "--output", str(tmp_path / "edge"))
        assert written.stdout == f"ok: kamailio.cfg and edge.db are in {tmp_path / 'edge'}\n"
        assert (tmp_path / "edge" / "edge.db").exists()
        text = (tmp_path / "edge" / "kamailio.cfg").read_text()
        assert text == printed.stdout.replace("/etc/kamailio/click2call", str(tmp_path / "edge"))

    def test_does_not_know_a_node_that_it_is_not_told_of(self, tmp_path):
        settings = tmp_path / "site.toml"
        settings.write_text('[edge]\naddress = "sip:192.0.2.5"\nnodes = ["192.0.2.11:15060-15098"]\n')
        for address in ("192.0.2.12", "192.0.2.11"):
            result = run("serve", "--config", str(settings), env={"CLICK2CALL__SIP__ADDRESS": address})
            assert result.exit_code == 2
            assert f'sip.ports of this node ("{address}:15060-15099") among them' in result.stderr

    def test_of_a_site_without_one_says_so(self, tmp_path):
        settings = tmp_path / "site.toml"
        settings.write_text("[orgs.acme]\n")
        result = run("edge", "--config", str(settings))
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == f"{settings}: edge: expected this table, got nothing\n"
