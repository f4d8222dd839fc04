"""Which file says what: an organisation's own recordings before those that ship with the program."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import soundfile

from sipcore.domain.errors import AudioFileError
from sipcore.domain.prompts import ALL_PROMPTS

SHIPPED = Path(__file__).parent / "prompts"
"""One folder a language, English among them."""
_ENGLISH = "en"
_EXTENSIONS = {form.lower() for form in soundfile.available_formats()} | {"aif", "aifc", "oga", "opus", "snd"}


def shipped_prompts() -> dict[str, Path]:
    """Return the file of every prompt, in English."""
    return {name: SHIPPED / _ENGLISH / f"{name}.wav" for name in ALL_PROMPTS}


def own_prompts(directory: Path, language: str) -> dict[str, Path]:
    """Return the files named PROMPT.EXT of a directory; those in its folder of the language come first.

    Files that are named otherwise are nobody's business.

    Args:
        directory: an organisation's recordings.
        language: a tag such as `en`.

    Raises:
        AudioFileError: the directory cannot be read, or has two files of one name.
    """
    found = _named(directory)
    in_language = directory / language
    return {**found, **_named(in_language)} if in_language.is_dir() else found


def _named(directory: Path) -> dict[str, Path]:
    files: defaultdict[str, list[Path]] = defaultdict(list)
    for path in _listed(directory):
        if path.stem in ALL_PROMPTS and path.suffix[1:].lower() in _EXTENSIONS:
            files[path.stem].append(path)
    for several in files.values():
        if len(several) > 1:
            names = " and ".join(path.name for path in several)
            raise AudioFileError(str(directory), f"has several recordings of one prompt: {names}")
    return {name: path for name, (path,) in files.items()}


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError as error:
        raise AudioFileError(str(directory), f"cannot be read: {error.strerror}") from error
