"""`click2call records`: what became of calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from itertools import islice
from typing import Annotated, Any, Concatenate, Final, Literal, ParamSpec

import typer

from api.client import Client, RecordsWanted
from api.commands.calls import RECORD_COLUMNS
from api.commands.connection import connected, take_options
from api.commands.console import JsonOption, out, show
from api.commands.output import write_octets

P = ParamSpec("P")


app = typer.Typer(no_args_is_help=True, help="Records of calls.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the record.")]
_TIME = "a time as RFC 3339 writes it"


_FILTERS: Final[dict[str, tuple[Any, str | None]]] = {
    name: (Annotated[str | None, typer.Option(help=text, rich_help_panel="Which records")], None)
    for name, text in {
        "uid": "Of the call with this UniqueID.",
        "number": "Of calls with this number.",
        "extension": "Of calls that rang this extension's phone, or came from it.",
        "disposition": "Of calls that ended so.",
        "batch": "Of the calls of this batch.",
        "reference": "Of calls that their requests called so.",
        "since": f"Accepted then or later: {_TIME}.",
        "until": f"Accepted before: {_TIME}.",
    }.items()
}


def _filtered(command: Callable[Concatenate[Client, RecordsWanted, P], None]) -> Callable[Concatenate[Client, P], None]:
    """Give a command the options that say which records."""

    @wraps(command)
    def run(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> None:
        wanted: Any = {name: kwargs.pop(name) for name in _FILTERS}
        command(client, wanted, *args, **kwargs)

    take_options(run, command, 1, _FILTERS)
    return run


@app.command("list")
@connected
@_filtered
def list_records(
    client: Client,
    wanted: RecordsWanted,
    *,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Print records, newest first."""
    show(islice(client.records(**wanted), limit), RECORD_COLUMNS, as_json=as_json)


@app.command()
@connected
@_filtered
def export(
    client: Client,
    wanted: RecordsWanted,
    *,
    form: Annotated[
        Literal["csv", "jsonl"], typer.Option("--format", help="A line for each call, or its whole record.")
    ] = "csv",
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Where to; - is the standard output.")
    ] = "-",
) -> None:
    """Write all records into one file, newest first. One that breaks off is told (exit code 2), and is no file."""
    write_octets(client.export_records(form, **wanted), output)


@app.command("show")
@connected
def show_record(
    client: Client,
    record_id: IdArgument,
    *,
    ladder: Annotated[bool, typer.Option("--ladder", help="Draw the SIP messages of its legs instead.")] = False,
) -> None:
    """Print a record as JSON."""
    if ladder:
        out.print(client.drawn_ladder(record_id), end="")
    else:
        show([client.record(record_id)], {}, as_json=True)
