import os
import stat
import threading
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile
from testbed.audio import level_db, read_wav, tone_level_db

from sipcore.audio import library as library_module
from sipcore.audio.library import AudioLibrary
from sipcore.domain.errors import AudioFileError, StartUpError

CD_HZ = 44_100
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "flac": ("FLAC", "PCM_24"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "w64": ("W64", "PCM_16"),
}


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


@pytest.fixture
def library(cache):
    return AudioLibrary(cache)


def sine(hz: float, seconds: float, rate: int = CD_HZ, amplitude: float = 0.5):
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def stereo(left, right):
    return np.stack([left, right], axis=1)


def put(path: Path, samples, *, rate: int = CD_HZ, kind: str = "wav") -> Path:
    form, subtype = FORMATS[kind]
    soundfile.write(path, samples, rate, format=form, subtype=subtype)
    return path


def refusal(library: AudioLibrary, path: Path) -> str:
    with pytest.raises(AudioFileError) as caught:
        library.converted(path)
    assert caught.value.path == str(path)
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    return caught.value.reason


@pytest.mark.parametrize("kind", FORMATS)
def test_any_format_becomes_16_bit_mono_at_8000_hz_of_the_same_length_level_and_pitch(tmp_path, library, kind):
    # The left channel has a second tone that 8000 Hz cannot carry.
    left = sine(700, 1.5) + sine(6000, 1.5, amplitude=0.2)
    made = library.converted(put(tmp_path / f"notice.{kind}", stereo(left, sine(700, 1.5)), kind=kind))
    with wave.open(str(made)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 8000)
        assert sound.getnframes() == 12_000
    heard = read_wav(made).between(0.1, 1.4).samples
    assert tone_level_db(heard, 8000, 700) == pytest.approx(-6.0, abs=0.2)
    assert tone_level_db(heard, 8000, 2000) < -60  # where 6000 Hz would be folded to
    assert level_db(heard) == pytest.approx(-6.0, abs=0.2)


def test_the_header_is_the_plain_one_of_44_octets(tmp_path, library):
    made = library.converted(put(tmp_path / "a.wav", sine(700, 0.5, 8000), rate=8000)).read_bytes()
    assert made[:4] + made[8:16] + made[36:40] == b"RIFFWAVEfmt data"
    assert int.from_bytes(made[4:8], "little") == len(made) - 8
    assert int.from_bytes(made[40:44], "little") == len(made) - 44 == 8000


def test_what_has_the_right_form_already_keeps_every_sample(tmp_path, library):
    samples = np.random.default_rng(1).integers(-28_000, 28_000, 4000, dtype=np.int16)
    path = put(tmp_path / "a.wav", samples, rate=8000)
    assert library.converted(path).read_bytes() == path.read_bytes()


def test_channels_are_mixed_down_without_clipping(tmp_path, library):
    made = library.converted(put(tmp_path / "a.wav", stereo(sine(500, 1.0), sine(900, 1.0))))
    heard = read_wav(made).between(0.1, 0.9).samples
    assert tone_level_db(heard, 8000, 500) == pytest.approx(-12.0, abs=0.2)
    assert tone_level_db(heard, 8000, 900) == pytest.approx(-12.0, abs=0.2)


def test_what_is_too_loud_is_turned_down_and_not_clipped(tmp_path, library):
    made = library.converted(put(tmp_path / "a.wav", sine(700, 1.0, amplitude=3.0), kind="float.wav"))
    heard = read_wav(made).samples
    assert np.abs(heard).max() == pytest.approx(10 ** (-1 / 20), abs=0.01)
    assert tone_level_db(heard[800:7200], 8000, 2100) < -50  # clipping would make the third harmonic


def test_an_hour_is_converted_block_by_block(tmp_path, library, monkeypatch):
    longest = 0
    read = soundfile.SoundFile.read

    def watched(sound, frames, **options):
        nonlocal longest
        longest = max(longest, frames)
        return read(sound, frames, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", watched)
    put(tmp_path / "long.wav", np.zeros((CD_HZ * 20, 2)))
    made = library.converted(tmp_path / "long.wav")
    assert read_wav(made).seconds == 20
    assert longest < 2 * CD_HZ


def test_a_click_is_made_long_enough_for_a_player(tmp_path, library):
    made = library.converted(put(tmp_path / "click.wav", np.full(10, 0.5)))
    assert read_wav(made).seconds == 0.025


def test_everybody_may_read_it_and_nothing_else_is_left(tmp_path, library, cache):
    before = os.umask(0o077)
    try:
        made = library.converted(put(tmp_path / "a.wav", sine(700, 0.1)))
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.stat().st_mode) == 0o644
    assert list(cache.iterdir()) == [made]


def test_a_file_is_converted_once_under_whatever_name(tmp_path, library, cache, monkeypatch):
    path = put(tmp_path / "a.wav", sine(700, 0.1))
    made = library.converted(path)
    monkeypatch.setattr(library_module, "convert", lambda *_: pytest.fail("decoded again"))
    assert library.converted(path) == made
    assert AudioLibrary(cache).converted(path.rename(tmp_path / "b.wav")) == made


def test_a_changed_file_is_converted_again(tmp_path, library):
    made = library.converted(put(tmp_path / "a.wav", sine(700, 0.1)))
    changed = library.converted(put(tmp_path / "a.wav", sine(900, 0.1)))
    assert made != changed
    assert made.exists()


def test_threads_that_want_the_same_file_get_it_once(tmp_path, library, monkeypatch):
    conversions: list[Path] = []
    made: list[Path] = []
    everybody_asks = threading.Barrier(8)
    convert, opened = library_module.convert, library_module.opened

    def opened_together(path):
        everybody_asks.wait(10)
        return opened(path)

    monkeypatch.setattr(library_module, "opened", opened_together)
    monkeypatch.setattr(library_module, "convert", lambda *what: (conversions.append(what[0]), convert(*what)))
    path = put(tmp_path / "a.flac", sine(700, 2.0), kind="flac")
    threads = [threading.Thread(target=lambda: made.append(library.converted(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == len(conversions) == 1


@pytest.mark.parametrize("kind", [*(kind for kind in FORMATS if kind != "float.wav")])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_refused_and_nothing_is_written(tmp_path, library, cache, kind, share):
    path = put(tmp_path / f"notice.{kind}", stereo(sine(700, 1.5), sine(800, 1.5)), kind=kind)
    os.truncate(path, round(path.stat().st_size * share))
    assert refusal(library, path).startswith(("is cut off: ", "cannot be read as audio: "))
    assert list(cache.iterdir()) == []


def test_a_file_that_was_cut_off_tells_how_much_is_there(tmp_path, library):
    path = put(tmp_path / "notice.wav", sine(700, 0.5, 8000), rate=8000)
    os.truncate(path, 44 + 3000)
    assert refusal(library, path) == "is cut off: it holds 3000 of 8000 octets of audio"


def test_a_wav_file_that_came_through_a_pipe_is_taken(tmp_path, library):
    path = put(tmp_path / "notice.wav", sine(700, 0.5, 8000), rate=8000)
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = b"\xff" * 4
    path.write_bytes(data)
    assert read_wav(library.converted(path)).seconds == 0.5


def test_damage_inside_is_refused_where_the_format_shows_it(tmp_path, library, cache):
    path = put(tmp_path / "notice.flac", np.random.default_rng(1).normal(0, 0.1, CD_HZ), kind="flac")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    assert refusal(library, path).startswith("cannot be read as audio: ")
    assert list(cache.iterdir()) == []


def wav_header(rate: int, channels: int = 1, data: bytes = b"") -> bytes:
    form = (1).to_bytes(2, "little") + channels.to_bytes(2, "little") + rate.to_bytes(4, "little")
    form += (rate * 2 * channels % 2**32).to_bytes(4, "little") + (2 * channels).to_bytes(2, "little") + b"\x10\x00"
    chunks = b"WAVEfmt \x10\x00\x00\x00" + form + b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(chunks).to_bytes(4, "little") + chunks


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read as audio: "),
        (b"RIFF", "cannot be read as audio: "),
        (b"<html>not found</html>\n" * 100, "cannot be read as audio: "),
        (wav_header(8000), "holds no audio"),
        (wav_header(8000, channels=0, data=bytes(800)), "cannot be read as audio: "),
        (wav_header(7, data=bytes(800)), "has the sample rate 7 Hz, which no recording has"),
        (wav_header(2_000_000, data=bytes(800)), "has the sample rate 2000000 Hz, which no recording has"),
    ],
)
def test_what_is_no_recording_is_refused_and_nothing_is_written(tmp_path, library, cache, content, reason):
    path = tmp_path / "notice.wav"
    path.write_bytes(content)
    assert refusal(library, path).startswith(reason)
    assert list(cache.iterdir()) == []


def test_samples_that_are_no_numbers_are_refused(tmp_path, library, cache):
    path = put(tmp_path / "a.wav", np.array([0.0, np.nan] * 500), kind="float.wav")
    assert refusal(library, path) == "holds samples that are no numbers"
    assert list(cache.iterdir()) == []


def test_a_recording_of_more_than_half_a_day_is_refused(tmp_path, library):
    path = tmp_path / "long.wav"
    path.write_bytes(wav_header(1000, data=bytes(2)))
    seconds = 12 * 3600 + 1
    with path.open("r+b") as file:
        file.seek(40)
        file.write((2000 * seconds).to_bytes(4, "little"))
        file.truncate(44 + 2000 * seconds)
    assert refusal(library, path) == "is longer than 12 hours"


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path, library):
    os.mkfifo(tmp_path / "pipe.wav")
    assert refusal(library, tmp_path / "no.wav") == "cannot be read: No such file or directory"
    assert refusal(library, tmp_path) == "cannot be read: Is a directory"
    assert refusal(library, tmp_path / "pipe.wav") == "cannot be read: not a regular file"


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    path = put(tmp_path / "a.wav", sine(700, 0.1))
    with pytest.raises(StartUpError, match=r"cannot write .*/gone/.*\.wav: No such file or directory"):
        AudioLibrary(tmp_path / "gone").converted(path)
