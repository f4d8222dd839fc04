import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from testbed.audio import dominant_hz, level_db, read_wav, silences, tones

from sipcore.audio import make_prompts
from sipcore.audio.library import AudioLibrary
from sipcore.audio.prompts import SHIPPED, shipped_prompts
from sipcore.domain.errors import AudioFileError
from sipcore.domain.prompts import ALL_PROMPTS, Prompt

SECONDS = {Prompt.BEEP: (0.4, 0.4), Prompt.MUSIC: (10, 20)}
SPOKEN = [name for name in ALL_PROMPTS if name not in SECONDS]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return AudioLibrary(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def own(tmp_path):
    """Put recordings of single tones into an organisation's directory."""

    def put(name: str, hz: float, rate: int = 16_000) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, 0.5 * np.sin(2 * np.pi * hz * np.arange(rate // 2) / rate), rate)
        return path

    return put


@pytest.mark.parametrize("name", ALL_PROMPTS)
def test_every_prompt_ships_with_the_program_and_is_heard(name):
    path = shipped_prompts()[name]
    with wave.open(str(path)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 8000)
    recording = read_wav(path)
    shortest, longest = SECONDS.get(name, (0.3, 4))
    assert shortest <= recording.seconds <= longest
    assert -26 < level_db(recording.samples) < -8
    assert np.abs(recording.samples).max() < 0.9


def test_prompts_differ_and_none_is_left_over_and_all_are_small():
    files = sorted((SHIPPED / "en").iterdir())
    assert [path.stem for path in files] == sorted(ALL_PROMPTS)
    words = [path for path in files if not path.stem.startswith("digit_")]  # which sound as numbers do
    assert len({path.read_bytes() for path in words}) == len(words)
    assert sum(path.stat().st_size for path in files) < 3_000_000


@pytest.mark.parametrize("name", SPOKEN)
def test_spoken_pieces_follow_each_other_without_a_pause(name):
    recording = read_wav(shipped_prompts()[name])
    assert all(gap.start > 0 or gap.length < 0.25 for gap in silences(recording))
    edges = [gap.length for gap in silences(recording) if gap.start == 0 or gap.end == recording.seconds]
    assert max(edges, default=0) < 0.25


def test_the_beep_is_a_tone_of_1000_hz():
    assert [round(tone.hz) for tone in tones(shipped_prompts()[Prompt.BEEP])] == [1000]


def test_the_music_has_no_gap_where_it_begins_anew():
    samples = read_wav(shipped_prompts()[Prompt.MUSIC]).samples
    around = np.concatenate([samples[-4000:], samples[:4000]])
    steps = np.abs(np.diff(around))
    assert steps[3999] < 3 * np.percentile(steps, 90)
    for part in np.array_split(around, 10):
        assert level_db(part) > -35


def test_the_script_makes_the_files_that_ship(tmp_path):
    make_prompts.make(tmp_path)
    for name, shipped in shipped_prompts().items():
        made = read_wav(tmp_path / f"{name}.wav")
        # eSpeak NG never says a text twice in quite the same way.
        assert made.seconds == pytest.approx(read_wav(shipped).seconds, abs=0.1), name
        assert level_db(made.samples) == pytest.approx(level_db(read_wav(shipped).samples), abs=1), name


def test_without_a_directory_all_prompts_are_those_that_ship_copied_unchanged(library):
    paths = library.prompts("en", None)
    assert set(paths) == set(ALL_PROMPTS)
    assert all(Path(path).is_absolute() and SHIPPED not in Path(path).parents for path in paths.values())
    assert all(Path(paths[name]).read_bytes() == path.read_bytes() for name, path in shipped_prompts().items())


def test_a_directorys_recordings_replace_those_that_ship(library, own, tmp_path):
    own("busy.flac", 600)
    own("number_7.ogg", 700)
    paths = library.prompts("en", tmp_path)
    assert dominant_hz(Path(paths["busy"])) == pytest.approx(600, abs=2)
    assert dominant_hz(Path(paths["number_7"])) == pytest.approx(700, abs=2)
    assert {name for name in paths if paths[name] != library.prompts("en", None)[name]} == {"busy", "number_7"}


def test_recordings_of_the_language_come_before_the_others(library, own, tmp_path):
    own("busy.wav", 600)
    own("goodbye.wav", 650)
    own("de/busy.wav", 700)
    german, english = library.prompts("de", tmp_path), library.prompts("en", tmp_path)
    assert dominant_hz(Path(german["busy"])) == pytest.approx(700, abs=2)
    assert dominant_hz(Path(english["busy"])) == pytest.approx(600, abs=2)
    assert german["goodbye"] == english["goodbye"]


def test_files_that_are_no_prompts_are_left_alone(library, own, tmp_path):
    own("welcome.wav", 600)
    (tmp_path / "busy.txt").write_text("The number is busy.")
    assert library.prompts("en", tmp_path) == library.prompts("en", None)


def test_a_damaged_recording_and_a_missing_directory_are_refused(library, own, tmp_path):
    own("busy.wav", 600).write_bytes(b"RIFF")
    with pytest.raises(AudioFileError, match=r"/busy\.wav: cannot be read as audio: "):
        library.prompts("en", tmp_path)
    with pytest.raises(AudioFileError, match="/no: cannot be read: No such file or directory"):
        library.prompts("en", tmp_path / "no")


def test_two_recordings_of_one_prompt_are_refused(library, own, tmp_path):
    own("busy.wav", 600)
    own("busy.flac", 600)
    with pytest.raises(AudioFileError, match=r"several recordings of one prompt: busy\.flac and busy\.wav"):
        library.prompts("en", tmp_path)
