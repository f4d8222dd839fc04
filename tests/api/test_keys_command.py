"""`click2call keys`, on a database of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api import cli

SETTINGS = """
[storage]
database = "sqlite:///{folder}/records.db"
spool = "{folder}/spool"
[orgs.acme]
country = "US"
"""


@pytest.fixture
def keys(tmp_path: Path):
    config = tmp_path / "click2call.toml"
    config.write_text(SETTINGS.format(folder=tmp_path))

    def keys(*arguments: str, organisation: str = "acme"):
        given = ["keys", *arguments, "--org", organisation, "--config", str(config)]
        return CliRunner().invoke(cli.app, given)

    return keys


def test_a_key_is_made_listed_and_revoked(keys):
    made = keys("create", "for the CRM", "--scope", "read", "--scope", "admin")
    assert made.exit_code == 0
    key = made.stdout.strip()
    assert key.startswith("c2c_")
    listed = keys("list").stdout
    assert key not in listed
    key_id, scopes, *_, state, name = listed.strip().split("  ")
    assert (scopes, state, name) == ("admin,read", "good", "for the CRM")
    assert keys("revoke", key_id).exit_code == 0
    assert "  revoked  for the CRM" in keys("list").stdout


def test_without_scopes_a_key_calls_and_reads(keys):
    keys("create", "crm")
    assert "  call,read  " in keys("list").stdout


@pytest.mark.parametrize(
    ("arguments", "organisation", "told"),
    [
        (["create", "crm"], "nowhere", "there is no organisation nowhere in the settings"),
        (["revoke", "0" * 32], "acme", f"acme has no key with the id {'0' * 32}"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(keys, arguments, organisation, told):
    result = keys(*arguments, organisation=organisation)
    assert (result.exit_code, result.stderr) == (2, f"click2call: {told}\n")
