"""From a TOML file and the environment to `Settings`, or to a list of everything that is wrong."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.audio import audio_problems
from config.environment import Overrides, override
from config.lines import LineIndex
from config.model import Settings
from config.origin import AudioSource, Origin
from config.problems import Problem, problems_of
from config.references import reference_problems
from sipcore.domain.errors import SettingsError

_POSITION = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


def load(path: Path, environ: Mapping[str, str], audio: AudioSource | None = None) -> Settings:
    """Read and check the settings.

    Args:
        path: the TOML file. Audio files and `file:` secrets are relative to its folder.
        environ: environment variables: overrides (`CLICK2CALL__SERVER__LISTEN`) and `env:NAME` secrets.
        audio: reads what the settings let calls play; without it audio files and texts are not looked at.

    Raises:
        SettingsError: the file cannot be read or is wrong; every problem is listed, in the order of the file's lines,
            none of them shows a secret.
        StartUpError: `audio` cannot write what it made.
    """
    text = _read(path)
    raw = _parse(path, text)
    overrides = override(raw, environ)
    problems: list[Problem] = []
    settings = None
    try:
        settings = Settings.model_validate(raw, context=Origin(path.parent, environ, audio))
    except ValidationError as error:
        problems.extend(problems_of(error))
    problems.extend(reference_problems(raw))
    if settings is not None and audio is not None:
        problems.extend(audio_problems(settings, audio))
    if settings is None or problems or overrides.problems:
        raise SettingsError(str(path), (*overrides.problems, *_placed(problems, text, overrides)))
    return settings


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(str(path), (f"cannot read the settings file: {error.strerror}",)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = f"line {line}: expected UTF-8, got the byte 0x{error.object[error.start]:02x}"
        raise SettingsError(str(path), (problem,)) from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError is one; so is a number of thousands of digits
        raise SettingsError(str(path), (_syntax_problem(str(error), text),)) from error
    except RecursionError as error:
        raise SettingsError(str(path), ("expected TOML, got arrays or tables nested too deeply",)) from error


def _syntax_problem(message: str, text: str) -> str:
    match = _POSITION.fullmatch(message)
    if match is None:
        return f"expected TOML: {message}"
    lines = text.split("\n")
    line, column = (match[2], match[3]) if match[2] else (len(lines), len(lines[-1]) + 1)
    return f"line {line}, column {column}: expected TOML: {match[1]}"


def _placed(problems: list[Problem], text: str, overrides: Overrides) -> Iterator[str]:
    """Say of each problem where its key was set; in the order of the lines."""
    lines = LineIndex(text)
    for problem in sorted(problems, key=lambda problem: lines.line_of(problem.path) or 0):
        if variable := overrides.variable_of(problem.path):
            yield f"environment {variable}: {problem}"
        elif line := lines.line_of(problem.path):
            yield f"line {line}: {problem}"
        else:
            yield str(problem)
