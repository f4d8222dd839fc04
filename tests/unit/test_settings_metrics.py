"""`[metrics]`: who reads them."""

import pytest

from config.loader import load
from sipcore.domain.errors import SettingsError


def loaded(folder, text):
    path = folder / "click2call.toml"
    path.write_text(text)
    return load(path, {}).metrics


def test_without_a_word_anybody_reads_and_no_organisation_is_named(tmp_path):
    assert (loaded(tmp_path, "").token, loaded(tmp_path, "").organisations) == (None, False)


def test_organisations_are_named_to_those_with_a_token(tmp_path):
    metrics = loaded(tmp_path, '[metrics]\ntoken = "t0ken"\norganisations = true\n')
    assert (metrics.token.get_secret_value(), metrics.organisations) == ("t0ken", True)


def test_organisations_are_not_named_to_everybody(tmp_path):
    with pytest.raises(SettingsError, match=r"metrics: expected `token` beside `organisations`"):
        loaded(tmp_path, "[metrics]\norganisations = true\n")
