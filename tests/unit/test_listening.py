"""What a leg's listener tells of frames: speech, its end, beeps, and nothing of tones that are neither."""

import numpy as np
import pytest
from testbed.audio import sine

from sipcore.domain.events import BeepHeard, SpeechStarted, SpeechStopped
from sipcore.domain.tones import ToneKind, tone
from sipcore.sip.listening import FRAME_BYTES, FRAME_MS, SpeechListener

RATE = 8000
NOISE = 0.002


def silence(seconds):
    return np.zeros(round(seconds * RATE))


def voice(seconds, *, pitch=120.0):
    """Something like a voice: many harmonics of a pitch that glides, in syllables."""
    time = np.arange(round(seconds * RATE)) / RATE
    turns = 2 * np.pi * np.cumsum(pitch * (1 + 0.2 * np.sin(2 * np.pi * 2 * time))) / RATE
    harmonics = sum(np.sin(n * turns) / n**0.5 for n in range(3, 20))
    return 0.05 * harmonics * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * time))


def heard(*sounds, noise=NOISE):
    """Every event, with the time at which it was told, after half a second of the line's noise."""
    line = np.concatenate([silence(0.5), *sounds, silence(1.0)])
    line = line + np.random.default_rng(1).normal(0, noise, len(line))
    pcm = (np.clip(line, -1, 1) * 32767).astype("<i2").tobytes()
    listener, events = SpeechListener("leg"), []
    for index in range(len(pcm) // FRAME_BYTES):
        for event in listener.feed(pcm[index * FRAME_BYTES : (index + 1) * FRAME_BYTES]):
            events.append(event)
            assert event.leg == "leg"
            assert event.at_ms <= (index + 1) * FRAME_MS
    return events


def beeps(events):
    return [event.at_ms for event in events if isinstance(event, BeepHeard)]


def test_speech_is_told_with_when_it_began_and_ended():
    started, stopped = heard(voice(1.0))
    assert started == SpeechStarted("leg", pytest.approx(500, abs=60))
    assert stopped == SpeechStopped("leg", pytest.approx(1580, abs=120))


@pytest.mark.parametrize("noise", [0.0, 0.0005, 0.005])
def test_silence_and_the_noise_of_a_line_are_no_speech(noise):
    assert heard(silence(3.0), noise=noise) == []


def test_a_pause_between_words_ends_speech_and_a_short_gap_does_not():
    assert len(heard(voice(0.6), silence(0.6), voice(0.6))) == 4
    assert len(heard(voice(0.6), silence(0.06), voice(0.6))) == 2


@pytest.mark.parametrize("hz", [520, 640, 850, 1000, 1400, 2000, 2500])
@pytest.mark.parametrize("seconds", [0.17, 0.5, 1.5])
def test_a_beep_is_told_at_its_end(hz, seconds):
    (event,) = heard(sine(hz, seconds))
    assert event == BeepHeard("leg", pytest.approx(500 + 1000 * seconds, abs=2 * FRAME_MS))


def test_a_tone_that_does_not_end_is_told_after_two_seconds():
    assert heard(sine(2100, 5.0)) == [BeepHeard("leg", pytest.approx(2500, abs=2 * FRAME_MS))]


def test_a_beep_after_speech_is_told():
    events = heard(voice(1.0), silence(0.5), sine(1000, 0.4), silence(0.5))
    assert [type(event) for event in events] == [SpeechStarted, SpeechStopped, BeepHeard]
    assert beeps(events) == [pytest.approx(2400, abs=2 * FRAME_MS)]


def test_fax_tones_are_beeps_and_no_speech():
    events = heard(sine(1100, 0.5), silence(3.0), sine(1100, 0.5))
    assert events == [BeepHeard("leg", 1000), BeepHeard("leg", 4500)]


def test_special_information_tones_are_beeps_and_no_speech():
    assert beeps(heard(*(sine(hz, 0.33) for hz in (950, 1400, 1800)))) != []


@pytest.mark.parametrize("kind", ToneKind)
@pytest.mark.parametrize("country", ["US", "DE", "GB", "FR", "JP", "AU"])
def test_call_progress_tones_are_neither_speech_nor_beeps(country, kind):
    sounds = []
    while sum(map(len, sounds)) < 5 * RATE:
        for burst in tone(kind, country).bursts:
            seconds = burst.on_ms / 1000
            sounds.append(sine(burst.hz, seconds, level_db=-16))
            if burst.hz2:
                sounds[-1] = sounds[-1] + sine(burst.hz2, seconds, level_db=-16)
            sounds.append(silence(burst.off_ms / 1000))
    assert heard(*sounds) == []


@pytest.mark.parametrize("low", [697, 770, 852, 941])
@pytest.mark.parametrize("high", [1209, 1336, 1477, 1633])
def test_digits_are_no_beeps(low, high):
    assert beeps(heard(sine(low, 0.5, level_db=-12) + sine(high, 0.5, level_db=-12))) == []


def test_a_tone_shorter_than_a_beep_is_none():
    assert beeps(heard(sine(1000, 0.1))) == []


def test_what_is_too_quiet_to_be_meant_for_us_is_neither_speech_nor_a_beep():
    assert heard(0.005 * voice(1.0), silence(0.5), sine(1000, 0.5, level_db=-60), noise=0.0) == []


def test_a_note_that_fades_is_no_beep():
    note = sine(1000, 0.5)
    assert beeps(heard(note * 10 ** np.linspace(0, -2, len(note)))) == []


def test_a_tone_that_glides_is_no_beep():
    time = np.arange(RATE) / RATE
    assert beeps(heard(0.3 * np.sin(2 * np.pi * (600 * time + 400 * time**2)))) == []


@pytest.mark.parametrize("frame", [b"", bytes(FRAME_BYTES - 2), bytes(2 * FRAME_BYTES)])
def test_a_frame_of_another_length_is_refused(frame):
    with pytest.raises(ValueError, match=f"a frame of {FRAME_BYTES} bytes, got {len(frame)}"):
        SpeechListener("leg").feed(frame)
