"""`click2call records`: what became of calls."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from api.client import Client
from api.commands.calls import RECORD_COLUMNS
from api.commands.connection import connected
from api.commands.console import JsonOption, out, show

app = typer.Typer(no_args_is_help=True, help="Records of calls.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the record.")]
_TIME = "a time as RFC 3339 writes it"


@app.command("list")
@connected
def list_records(  # noqa: PLR0913 - each is an option of the command line
    client: Client,
    *,
    uid: Annotated[str | None, typer.Option(help="Of the call with this UniqueID.")] = None,
    number: Annotated[str | None, typer.Option(help="Of calls with this number.")] = None,
    disposition: Annotated[str | None, typer.Option(help="Of calls that ended so.")] = None,
    batch: Annotated[str | None, typer.Option(help="Of the calls of this batch.")] = None,
    since: Annotated[str | None, typer.Option(help=f"Accepted then or later: {_TIME}.")] = None,
    until: Annotated[str | None, typer.Option(help=f"Accepted before: {_TIME}.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Print records, newest first."""
    found = client.records(uid=uid, number=number, disposition=disposition, batch=batch, since=since, until=until)
    show(islice(found, limit), RECORD_COLUMNS, as_json=as_json)


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
