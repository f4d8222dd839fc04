import threading
from importlib import metadata

import numpy as np
import pytest
from testbed.audio import level_db, read_wav

from sipcore.audio import library as library_module
from sipcore.audio.library import AudioLibrary
from sipcore.audio.speech import speak
from sipcore.domain.errors import SpeechError


@pytest.fixture
def library(tmp_path):
    return AudioLibrary(tmp_path)


def test_a_text_becomes_a_file_of_its_length_that_is_heard(library):
    short = read_wav(library.spoken("Good morning.", "en"))
    long = read_wav(library.spoken("Good morning. Our office opens at nine. Please call again later.", "en"))
    assert 0.5 < short.seconds < 2
    assert long.seconds > 3 * short.seconds
    assert short.rate == long.rate == 8000
    assert -30 < level_db(short.samples) < -6


def test_a_text_is_spoken_once(library, monkeypatch):
    made = library.spoken("Good morning.", "en")
    monkeypatch.setattr(library_module, "speak", lambda *_: pytest.fail("spoken again"))
    assert library.spoken("Good morning.", "en") == made


def test_languages_have_voices_of_their_own(library):
    english, german, british = (library.spoken("Ja, genau.", language) for language in ("en", "de", "en-GB"))
    assert len({path.read_bytes() for path in (english, german, british)}) == 3


def test_threads_do_not_mix_their_words():
    texts = [" ".join(["word"] * count) for count in range(1, 25, 2)]
    alone = [len(speak(text, "en").samples) for text in texts]
    together: dict[int, int] = {}

    def say(index: int) -> None:
        together[index] = len(speak(texts[index], "en").samples)

    threads = [threading.Thread(target=say, args=(index,)) for index in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # eSpeak NG never says a text twice in quite the same way.
    assert [together[index] for index in range(len(texts))] == pytest.approx(alone, rel=0.04)


def test_an_unknown_language_and_a_text_without_words_are_refused(library, tmp_path):
    with pytest.raises(SpeechError, match="speech does not know the language 'xx'"):
        library.spoken("Good morning.", "xx")
    with pytest.raises(SpeechError, match=r"nothing of the text '\.\.\.' can be spoken"):
        library.spoken("...", "en")
    assert list(tmp_path.iterdir()) == []


def test_markup_in_a_text_is_not_obeyed():
    plain = speak("one two three", "en").samples
    assert len(speak("<break time='9s'/> one two three", "en").samples) != len(plain)
    assert len(speak("one [[w'0n]] two", "en").samples) > len(speak("one two", "en").samples)
    assert np.abs(plain).max() <= 1


def test_without_the_extra_the_line_that_installs_it_is_told(library, monkeypatch):
    def nothing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", nothing)
    with pytest.raises(SpeechError, match=r"pip install 'click2call\[speech\]'"):
        library.spoken("Good morning.", "en")
