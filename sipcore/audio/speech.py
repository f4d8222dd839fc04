"""Speech by eSpeak NG, which the extra `speech` (the package espeakng-loader) brings along.

The library keeps everything in global variables: one thread at a time talks to it, and the voice is set anew for every
text.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np

from sipcore.audio.conversion import Samples
from sipcore.domain.errors import SpeechError

# speak_lib.h
_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_POSITION_IN_CHARACTERS = 1
_UTF8 = 1
_OK = 0
_FULL_SCALE = 32768

_PACKAGE = "espeakng-loader"
_VOICES = {"en": "en-us", "en-gb": "en", "zh": "cmn"}
"""Where eSpeak NG has another voice under the tag of a language, or none. English is American here, as the clock and
the numbers of the prompts are."""
_LOCK = threading.Lock()
_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int16), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True, slots=True)
class Speech:
    """What was spoken.

    Attributes:
        samples: full scale is 1.0.
        rate_hz: their rate.
    """

    samples: Samples
    rate_hz: int


def voice(language: str) -> str:
    """Return the name and version of the voice of a language (a tag such as `en` or `pt-br`), for a cache's key.

    Raises:
        SpeechError: the extra is not installed.
    """
    return f"{_name(language)} of {_PACKAGE} {_version()}"


def speak(text: str, language: str) -> Speech:
    """Speak a text; takes about a thousandth of the time that it then lasts.

    Raises:
        SpeechError: the extra is not installed, the language is unknown to it, or nothing of the text can be spoken.
    """
    pieces: list[bytes] = []

    def take(samples: Any, count: int, _events: object) -> int:
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, count * 2))
        return 0

    callback = _SynthCallback(take)
    encoded = text.encode()
    with _LOCK:
        library, rate = _library()
        if library.espeak_SetVoiceByName(_name(language).encode()) != _OK:
            raise SpeechError(f"speech does not know the language {language!r}")
        library.espeak_SetSynthCallback(callback)
        done = library.espeak_Synth(encoded, len(encoded) + 1, 0, _POSITION_IN_CHARACTERS, 0, _UTF8, None, None)
    samples = np.frombuffer(b"".join(pieces), np.int16)
    if done != _OK or not samples.any():
        raise SpeechError(f"nothing of the text {text!r} can be spoken")
    return Speech(np.divide(samples, _FULL_SCALE, dtype=np.float32), rate)


def _version() -> str:
    try:
        return metadata.version(_PACKAGE)
    except metadata.PackageNotFoundError as error:
        raise SpeechError("speech needs an extra: pip install 'click2call[speech]'") from error


def _name(language: str) -> str:
    return _VOICES.get(language.lower(), language.lower())


@functools.cache
def _library() -> tuple[Any, int]:
    """Load the library; return it and its sample rate in Hz."""
    _version()
    import espeakng_loader  # noqa: PLC0415 - of an extra, which is there

    data = espeakng_loader.get_data_path()
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Synth.argtypes = [
        *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int, ctypes.c_uint, ctypes.c_uint),
        *(ctypes.c_void_p, ctypes.c_void_p),
    ]
    # Left to itself the library ends the program when it does not find its data.
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, data.encode(), _DO_NOT_EXIT)
    if rate <= 0:
        raise SpeechError(f"eSpeak NG does not take its data in {data}")
    return library, rate
