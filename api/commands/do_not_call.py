"""`click2call do-not-call`: numbers that campaigns never dial."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Annotated, Final

import typer

from api.campaign_models import DoNotCallNumber
from api.client import Client
from api.commands.campaigns import JsonLinesOption, LimitOption, ListArgument, media_of, opened, tell
from api.commands.connection import connected
from api.commands.console import JsonOption, out, show

app = typer.Typer(no_args_is_help=True, help="Numbers that campaigns never dial.")

_COLUMNS: Final[dict[str, Callable[[DoNotCallNumber], object]]] = {
    "NUMBER": lambda barred: barred.number,
    "ADDED": lambda barred: barred.added_at,
    "BY": lambda barred: barred.added_by,
}


@app.command("list")
@connected
def list_numbers(client: Client, *, limit: LimitOption = 1000, as_json: JsonOption = False) -> None:
    """Print the numbers, in their order."""
    show(islice(client.do_not_call(), limit), _COLUMNS, as_json=as_json)


@app.command()
@connected
def add(client: Client, numbers: Annotated[list[str], typer.Argument(help="One or more.")]) -> None:
    """Add numbers; print them as they are kept."""
    for number in client.add_do_not_call(numbers):
        out.print(number)


@app.command()
@connected
def remove(client: Client, number: Annotated[str, typer.Argument()]) -> None:
    """Let campaigns dial a number again."""
    client.remove_do_not_call(number)


@app.command("import")
@connected
def import_list(client: Client, file: ListArgument, *, jsonl: JsonLinesOption = False) -> None:
    """Add a list of numbers; tell how many were accepted, and on the standard error which were not."""
    with opened(file) as chunks:
        tell(client.import_do_not_call(chunks, media_of(file, jsonl=jsonl)))
