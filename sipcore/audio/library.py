"""Every piece of audio that calls play, made ready once: converted files, spoken texts, prompts."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

from sipcore.audio.conversion import PARAMETERS, Source, convert, opened, write
from sipcore.audio.prompts import own_prompts, shipped_prompts
from sipcore.audio.speech import speak, voice
from sipcore.domain.errors import StartUpError


class AudioLibrary:
    """A folder of 16-bit mono WAV files at 8000 Hz, named by what they were made of: nothing is made twice.

    Any thread may call it.

    Args:
        folder: where the files are; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._making = threading.Lock()

    def converted(self, path: Path) -> Path:
        """Return the converted form of an audio file of any format that libsndfile reads.

        Raises:
            AudioFileError: it is missing, damaged, empty, cut off, or no audio.
            StartUpError: the folder cannot be written.
        """
        with opened(path) as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
            return self._made(content, lambda target: convert(path, file, target))

    def spoken(self, text: str, language: str) -> Path:
        """Return a text as speech.

        Args:
            text: what is said.
            language: a tag such as `en` or `pt-br`.

        Raises:
            SpeechError: the extra `speech` is not installed, the language is unknown, or nothing can be spoken.
            StartUpError: the folder cannot be written.
        """

        def make(target: Path) -> None:
            speech = speak(text, language)
            write(Source.of(speech.samples, speech.rate_hz), target)

        return self._made(f"{voice(language)}: {text}", make)

    def prompts(self, language: str, directory: Path | None) -> dict[str, str]:
        """Return the absolute path of every prompt by its name (`sipcore.domain.prompts`).

        Args:
            language: a tag such as `en`.
            directory: an organisation's own recordings; what it lacks comes from those that ship with the program.

        Raises:
            AudioFileError: the directory, or a file in it, is of no use.
            StartUpError: the folder cannot be written.
        """
        own = {} if directory is None else own_prompts(directory, language)
        return self._shipped | {name: str(self.converted(path)) for name, path in own.items()}

    @functools.cached_property
    def _shipped(self) -> dict[str, str]:
        # Converting copies them: workers may not reach the folder that the program is installed in.
        return {name: str(self.converted(path)) for name, path in shipped_prompts().items()}

    def _made(self, origin: str, make: Callable[[Path], None]) -> Path:
        """Return the file that has been made, or is made now, of an origin."""
        name = hashlib.sha256(f"{PARAMETERS}\n{origin}".encode()).hexdigest()
        target = self._folder / f"{name}.wav"
        with self._making:
            if not target.exists():
                try:
                    make(target)
                except OSError as error:
                    raise StartUpError(f"cannot write {target}: {error.strerror}") from error
        return target
