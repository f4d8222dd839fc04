"""What all commands share: where they write, and how they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer
from rich.console import Console

from api.models import Model
from sipcore.domain.errors import Click2CallError, SettingsError

WRONG: Final = 2
ModelT = TypeVar("ModelT", bound=Model)

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


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object for each, for programs.")]


def show(items: Iterable[ModelT], columns: Mapping[str, Callable[[ModelT], object]], *, as_json: bool) -> None:
    """Print resources: as lines of JSON as they come, or as a table when all are there.

    Args:
        items: what is printed.
        columns: of the table, by their headings; None is shown as a dash.
        as_json: which of both.
    """
    if as_json:
        for item in items:
            out.print(item.model_dump_json())
        return
    rows = [tuple(columns), *(tuple(_cell(read(item)) for read in columns.values()) for item in items)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        out.print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else str(value)
