"""`click2call calls`: the calls in progress."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import typer

from api.client import Client
from api.commands.connection import connected
from api.commands.console import JsonOption, show
from api.models import Record

app = typer.Typer(no_args_is_help=True, help="Calls in progress.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the call, which is its record's too.")]

RECORD_COLUMNS: Final[dict[str, Callable[[Record], object]]] = {
    "ID": lambda record: record.id,
    "ACCEPTED": lambda record: record.accepted_at,
    "DIAL1": lambda record: record.dial1,
    "DIAL2": lambda record: record.dial2,
    "USER": lambda record: record.user,
    "DISPOSITION": lambda record: record.disposition or "in progress",
}


@app.command("list")
@connected
def list_calls(client: Client, *, as_json: JsonOption = False) -> None:
    """Print the calls in progress, newest first."""
    show(client.calls(), RECORD_COLUMNS, as_json=as_json)


@app.command("show")
@connected
def show_call(client: Client, call_id: IdArgument) -> None:
    """Print a call, in progress or over, as JSON."""
    show([client.call(call_id)], {}, as_json=True)


@app.command("hangup")
@connected
def hang_up(client: Client, call_id: IdArgument) -> None:
    """Hang a call up; one that is over stays as it is."""
    show([client.hang_up(call_id)], RECORD_COLUMNS, as_json=False)
