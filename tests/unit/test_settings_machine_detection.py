"""`[orgs.ORG.machine_detection]`."""

import pytest

from config.loader import load
from sipcore.domain.errors import SettingsError
from sipcore.domain.machine_detection import BeepParameters, DetectionParameters, MachineAction, MachineDetection

ACME = '[orgs.acme]\nmessages.800.text = "We called you"\n[orgs.acme.extensions.101]\ncontact = "sip:127.0.0.1"\n'
TABLE = "[orgs.acme.machine_detection]\n"  # what is added begins on line 6


def loaded(folder, keys):
    path = folder / "click2call.toml"
    path.write_text(ACME + TABLE + keys)
    return load(path, {}).orgs["acme"].machine_detection.detection


@pytest.mark.parametrize("keys", ["", 'action = "continue"\n'])
def test_machines_are_not_looked_for_unless_asked(tmp_path, keys):
    assert loaded(tmp_path, keys) is None


def test_what_is_left_out_is_the_detectors_default(tmp_path):
    assert loaded(tmp_path, "enabled = true\n") == MachineDetection()


def test_every_key_is_taken_over(tmp_path):
    keys = """
        enabled = true
        action = "announce"
        announcement = "800"
        initial_silence_ms = 3000
        greeting_ms = 1600
        after_greeting_silence_ms = 900
        total_ms = 3800
        min_word_ms = 120
        between_words_silence_ms = 60
        maximum_words = 4
        beep_silence_ms = 3500
        max_beep_seconds = 20
    """
    assert loaded(tmp_path, keys) == MachineDetection(
        parameters=DetectionParameters(3000, 1600, 900, 3800, 120, 60, 4),
        action=MachineAction.ANNOUNCE,
        announcement="800",
        beep=BeepParameters(silence_ms=3500, max_wait_ms=20_000),
    )


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("enabled = 1", "line 6: {}.enabled: expected true or false"),
        ('action = "voicemail"', 'line 6: {}.action: expected "hang_up", "continue" or "announce", got "voicemail"'),
        ('action = "announce"', "line 5: {}: expected `announcement` beside `action = "),
        ("total_ms = 3801", "line 6: {}.total_ms: expected 3800 or less, got 3801"),
        ("total_ms = 999", "line 6: {}.total_ms: expected 1000 or more"),
        ("initial_silence_ms = 4001", "line 6: {}.initial_silence_ms: expected 4000 or less"),
        ("greeting_ms = 499", "line 6: {}.greeting_ms: expected 500 or more"),
        ("after_greeting_silence_ms = 199", "line 6: {}.after_greeting_silence_ms: expected 200 or more"),
        ("min_word_ms = 501", "line 6: {}.min_word_ms: expected 500 or less"),
        ("between_words_silence_ms = 19", "line 6: {}.between_words_silence_ms: expected 20 or more"),
        ("maximum_words = 0", "line 6: {}.maximum_words: expected 1 or more"),
        ("beep_silence_ms = 999", "line 6: {}.beep_silence_ms: expected 1000 or more"),
        ("max_beep_seconds = 301", "line 6: {}.max_beep_seconds: expected 300 or less"),
        ("greeting = 1500", "line 6: {}.greeting: "),
        ('announcement = "101"', 'line 6: {}.announcement: expected the number of an announcement (800), got "101"'),
        ('announcement = "801"', 'line 6: {}.announcement: expected the number of an announcement (800), got "801"'),
        ('announcement = "+12025550123"', "line 6: {}.announcement: expected "),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path, keys, problem):
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, keys)
    (found,) = caught.value.problems
    assert found.startswith(problem.format("orgs.acme.machine_detection"))
