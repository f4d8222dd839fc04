"""Where settings came from: what relative file names and `env:` secrets are looked up in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationInfo


@dataclass(frozen=True, slots=True)
class Origin:
    """Handed to pydantic as the validation context.

    Attributes:
        folder: the settings file's folder.
        environ: environment variables that `env:NAME` secrets are read from.
    """

    folder: Path = field(default_factory=Path)
    environ: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, name: str) -> Path:
        """Return the path of a file that the settings name."""
        return self.folder / name


def origin_of(info: ValidationInfo) -> Origin:
    """Return the origin of what is being validated; without one: the current folder and no environment."""
    return info.context if isinstance(info.context, Origin) else Origin()
