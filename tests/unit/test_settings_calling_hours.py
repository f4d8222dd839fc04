"""`[orgs.ORG.calling_hours]`: when campaigns may call."""

import pytest

from config.directory import directory_of
from config.loader import load
from sipcore.audio.library import AudioLibrary
from sipcore.domain.calling_hours import DEFAULT_HOURS, CallingHours
from sipcore.domain.errors import SettingsError


def loaded(folder, text):
    path = folder / "click2call.toml"
    path.write_text(text)
    return directory_of(load(path, {}), AudioLibrary(folder)).organisations["acme"].calling_hours


def test_without_the_table_the_default_holds_everywhere(tmp_path):
    assert loaded(tmp_path, "[orgs.acme]\n").of("FR") == DEFAULT_HOURS


def test_countries_may_have_hours_of_their_own(tmp_path):
    table = '[orgs.acme.calling_hours]\ndefault = "mon-fri 09:00-20:00"\nFR = "mon-fri 10:00-13:00"\n'
    hours = loaded(tmp_path, table)
    assert hours.of("FR") == CallingHours.parse("mon-fri 10:00-13:00", "")
    assert hours.of("US") == CallingHours.parse("mon-fri 09:00-20:00", "")


@pytest.mark.parametrize("line", ['FR = "always"', 'France = "mon 09:00-10:00"', 'UK = "mon 09:00-10:00"', "FR = 9"])
def test_hours_that_are_none_are_named(tmp_path, line):
    with pytest.raises(SettingsError, match=r"orgs\.acme\.calling_hours"):
        loaded(tmp_path, f"[orgs.acme.calling_hours]\n{line}\n")
