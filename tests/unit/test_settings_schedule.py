"""`[schedule]`, and who may ask for future calls."""

from datetime import timedelta

import pytest

from config.directory import directory_of
from config.loader import load
from sipcore.audio.library import AudioLibrary
from sipcore.domain.errors import SettingsError


def loaded(folder, text):
    path = folder / "click2call.toml"
    path.write_text(text)
    return load(path, {})


def test_five_minutes_late_is_not_too_late_and_an_ident_is_enough(tmp_path):
    settings = loaded(tmp_path, '[orgs.acme]\nident = "org-secret"\n')
    assert settings.schedule.grace == timedelta(minutes=5)
    assert not directory_of(settings, AudioLibrary(tmp_path)).organisations["acme"].future_calls_need_user


def test_an_organisation_decides_for_itself_whether_a_user_is_needed(tmp_path):
    text = "[schedule]\nrequire_user = true\ngrace_minutes = 30\n"
    text += "[orgs.acme]\n[orgs.other]\nschedule_require_user = false\n"
    settings = loaded(tmp_path, text)
    organisations = directory_of(settings, AudioLibrary(tmp_path)).organisations
    assert settings.schedule.grace == timedelta(minutes=30)
    assert [organisations[name].future_calls_need_user for name in ("acme", "other")] == [True, False]


@pytest.mark.parametrize("minutes", [0, 1441])
def test_a_grace_that_cannot_be_is_named(tmp_path, minutes):
    with pytest.raises(SettingsError, match=r"schedule\.grace_minutes"):
        loaded(tmp_path, f"[schedule]\ngrace_minutes = {minutes}\n")
