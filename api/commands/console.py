"""What all commands share: where they write, and how they fail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from sipcore.domain.errors import Click2CallError, SettingsError

WRONG: Final = 2

out = Console(markup=False, highlight=False, soft_wrap=True)
err = Console(markup=False, highlight=False, soft_wrap=True, stderr=True)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The settings (TOML).")]


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Turn what this program raises on purpose into a line for the operator and exit code 2."""
    try:
        yield
    except SettingsError as error:
        for problem in error.problems:
            err.print(f"{error.source}: {problem}")
        raise typer.Exit(WRONG) from error
    except Click2CallError as error:
        err.print(f"click2call: {error}")
        raise typer.Exit(WRONG) from error
