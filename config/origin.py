"""Where settings came from: what relative file names and `env:` secrets are looked up in, and who reads audio files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import ValidationInfo


class AudioSource(Protocol):
    """Makes ready what the settings let calls play, and so finds out whether it is of any use."""

    def converted(self, path: Path) -> Path:
        """Make an audio file ready to be played, and return where it is; raises AudioFileError."""
        ...

    def spoken(self, text: str, language: str) -> Path:
        """Make a text ready to be played, and return where it is; raises SpeechError."""
        ...

    def prompts(self, language: str, directory: Path | None) -> Mapping[str, str]:
        """Make the prompts of a language and a directory ready, and return where they are; raises AudioFileError."""
        ...


@dataclass(frozen=True, slots=True)
class Origin:
    """Handed to pydantic as the validation context.

    Attributes:
        folder: the settings file's folder.
        environ: environment variables that `env:NAME` secrets are read from.
        audio: reads audio files; without it they are not looked at.
    """

    folder: Path = field(default_factory=Path)
    environ: Mapping[str, str] = field(default_factory=dict)
    audio: AudioSource | None = None

    def resolve(self, name: str) -> Path:
        """Return the path of a file that the settings name."""
        return self.folder / name


def origin_of(info: ValidationInfo) -> Origin:
    """Return the origin of what is being validated; without one: the current folder and no environment."""
    return info.context if isinstance(info.context, Origin) else Origin()
