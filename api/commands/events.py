"""`click2call events`: what happens, as it happens."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from api.client import Client
from api.commands.connection import connected
from api.commands.console import out

app = typer.Typer(no_args_is_help=True, help="Events of calls, queues and trunks.")


@app.command()
@connected
def follow(
    client: Client,
    *,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on behind this event; without it from now on.")
    ] = None,
    types: Annotated[list[str] | None, typer.Option("--type", help="Only this type; may be given again.")] = None,
) -> None:
    """Print each event as a line of JSON, until Ctrl-C. A server that restarts is waited for; nothing is missed."""
    for event in client.events(after=after, types=tuple(types or ())):
        out.print(json.dumps(event.body, ensure_ascii=False))
