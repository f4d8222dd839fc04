from pathlib import Path

import numpy as np
import pytest
import soundfile

from api.main import check
from config.loader import load
from sipcore.audio import library as library_module
from sipcore.audio.library import AudioLibrary
from sipcore.audio.spool import open_spool
from sipcore.domain.errors import SettingsError, SpeechError

ACME = '[trunks.main]\nproxy = "sip:127.0.0.1"\n[orgs.acme]\ntrunk = "main"\n'  # what is added begins on line 5
KEYS = {
    "messages.8.audio": 'messages.8.audio = "notice.wav"',
    "ivrs.9.prompt": 'ivrs.9 = {prompt = "notice.wav", options = {"1" = "101"}}\nextensions.101 = {}',
    "queues.7.music": 'queues.7 = {agents = ["101"], music = "notice.wav"}\nextensions.101 = {}',
}


@pytest.fixture
def write(tmp_path):
    def settings(text: str) -> Path:
        path = tmp_path / "click2call.toml"
        path.write_text(ACME + text, encoding="utf-8")
        return path

    return settings


@pytest.fixture
def notice(tmp_path):
    path = tmp_path / "notice.wav"
    soundfile.write(path, 0.5 * np.sin(np.arange(8000)), 8000)
    return path


def problems_of(path: Path) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        check(path)
    return list(caught.value.problems)


@pytest.mark.parametrize("key", KEYS)
def test_whole_audio_files_pass(write, notice, key):
    assert check(write(KEYS[key])).startswith("ok: ")
    assert notice.exists()


@pytest.mark.parametrize("key", KEYS)
def test_a_missing_a_damaged_and_an_empty_audio_file_are_told_with_line_key_and_name(write, notice, key):
    told = f"line 5: orgs.acme.{key}: expected an audio file; {notice} "
    path = write(KEYS[key])
    notice.write_bytes(notice.read_bytes()[:8044])
    assert problems_of(path) == [f"{told}is cut off: it holds 8000 of 16000 octets of audio"]
    soundfile.write(notice, np.zeros(0), 8000)
    assert problems_of(path) == [f"{told}holds no audio"]
    notice.write_bytes(b"no sound at all")
    (problem,) = problems_of(path)
    assert problem.startswith(f"{told}cannot be read as audio: ")
    notice.unlink()
    assert problems_of(path) == [f"{told}cannot be read: No such file or directory"]
    notice.mkdir()
    assert problems_of(path) == [f"{told}cannot be read: Is a directory"]


def test_audio_files_are_told_beside_everything_else_that_is_wrong(write):
    assert [
        problem.partition(": expected")[0]
        for problem in problems_of(write('country = "xx"\n' + KEYS["messages.8.audio"]))
    ] == [
        "line 5: orgs.acme.country",
        "line 6: orgs.acme.messages.8.audio",
    ]


def test_an_audio_file_that_the_environment_names_is_told_by_its_variable(write, tmp_path):
    path, name = write(KEYS["messages.8.audio"]), "CLICK2CALL__ORGS__ACME__MESSAGES__8__AUDIO"
    with pytest.raises(SettingsError) as caught:
        load(path, {name: "other.wav"}, AudioLibrary(tmp_path))
    assert caught.value.problems[0].startswith(
        f"environment {name}: orgs.acme.messages.8.audio: expected an audio file"
    )


def test_without_somebody_who_reads_them_audio_files_are_not_looked_at(write):
    assert load(write(KEYS["messages.8.audio"]), {}).orgs["acme"].messages["8"].audio is not None


def test_a_text_is_spoken_in_the_organisations_language(write):
    assert check(write('language = "de"\nmessages.8.text = "Wir haben geschlossen."')).startswith("ok: ")
    assert problems_of(write('language = "xx"\nmessages.8.text = "Closed."')) == [
        "line 6: orgs.acme.messages.8.text: expected a text that can be spoken; speech does not know the language 'xx'"
    ]


def test_a_text_without_the_extra_is_told_with_the_line_that_installs_it(write, monkeypatch):
    def voice(_language: str) -> str:
        raise SpeechError("speech needs an extra: pip install 'click2call[speech]'")

    monkeypatch.setattr(library_module, "voice", voice)
    (problem,) = problems_of(write('messages.8.text = "Closed."'))
    assert problem.startswith("line 5: orgs.acme.messages.8.text: expected a text that can be spoken; ")
    assert problem.endswith("pip install 'click2call[speech]'")


@pytest.mark.parametrize("language", ["English", "e", "en_US", "../en", ""])
def test_a_language_is_a_tag(write, language):
    (problem,) = problems_of(write(f'language = "{language}"'))
    assert problem.startswith(
        'line 5: orgs.acme.language: expected a language tag (BCP 47) such as "en" or "pt-br", got'
    )


def test_a_folder_of_prompts_is_relative_to_the_settings_file(write, tmp_path, notice):
    (tmp_path / "ours" / "en").mkdir(parents=True)
    notice.rename(tmp_path / "ours" / "en" / "busy.wav")
    path = write('prompts = "ours"')
    assert check(path).startswith("ok: ")
    assert load(path, {}).orgs["acme"].prompts == tmp_path / "ours"


def test_a_folder_of_prompts_that_is_missing_or_has_a_damaged_file_is_told(write, tmp_path):
    ours, path = tmp_path / "ours", write('prompts = "ours"')
    told = "line 5: orgs.acme.prompts: expected a folder of prompts; "
    assert problems_of(path) == [f"{told}{ours} cannot be read: No such file or directory"]
    ours.mkdir()
    (ours / "busy.wav").write_bytes(b"RIFF")
    (problem,) = problems_of(path)
    assert problem.startswith(f"{told}{ours}/busy.wav cannot be read as audio: ")


@pytest.mark.usefixtures("notice")
def test_a_second_start_decodes_nothing_again(write, tmp_path, monkeypatch):
    path, spool = write(KEYS["messages.8.audio"]), open_spool(tmp_path / "spool", None, None)
    load(path, {}, AudioLibrary(spool.audio))
    monkeypatch.setattr(library_module, "convert", lambda *_: pytest.fail("decoded again"))
    load(path, {}, AudioLibrary(spool.audio))
    assert len(list(spool.audio.iterdir())) == 1
