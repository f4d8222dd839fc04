"""`[orgs.ORG.recording]`."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.loader import load
from sipcore.domain.directory import RecordingRules
from sipcore.domain.errors import SettingsError
from sipcore.domain.recording import RecordingFormat

ACME = '[orgs.acme.extensions.101]\ncontact = "sip:127.0.0.1"\nrecord = true\n[orgs.acme.recording]\n'


def loaded(folder: Path, keys: str) -> RecordingRules:
    path = folder / "click2call.toml"
    path.write_text(ACME + keys)
    return load(path, {}).orgs["acme"].recording.rules


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    assert loaded(tmp_path, "") == RecordingRules()


def test_every_key_is_taken_over(tmp_path: Path) -> None:
    keys = """
        format = "opus"
        start = "answered"
        notice = true
        pause_code = "*7"
        stop_code = "*8"
        retention_days = 90
    """
    assert loaded(tmp_path, keys) == RecordingRules(RecordingFormat.OPUS, "answered", True, "*7", "*8", 90)


def test_codes_can_be_turned_off(tmp_path: Path) -> None:
    assert loaded(tmp_path, 'pause_code = ""\n').pause_code == ""


@pytest.mark.parametrize(
    ("key", "expectation"),
    [
        ('format = "mp3"', '"wav", "flac" or "opus", got "mp3"'),
        ('start = "ringing"', '"joined" or "answered", got "ringing"'),
        ("notice = 1", "true or false, got a number"),
        ('pause_code = "*"', "2 to 8 of the keys 0-9, * and #, or nothing"),
        ('pause_code = "*1a"', "2 to 8 of the keys 0-9, * and #, or nothing"),
        ('stop_code = "*1"', "none is the beginning of the other"),
        ('stop_code = "*12"', "none is the beginning of the other"),
        ("retention_days = 0", "1 or more, got 0"),
        ("keep = true", "unknown key"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, key: str, expectation: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, f"{key}\n")
    (problem,) = caught.value.problems
    line = 4 if "none is" in expectation else 5
    assert problem.startswith(f"line {line}: orgs.acme.recording")
    assert expectation in problem
