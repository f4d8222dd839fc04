"""`click2call recordings`: the audio of calls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.client import Client
from api.commands.connection import connected
from api.commands.console import out
from api.commands.output import write_octets

app = typer.Typer(no_args_is_help=True, help="Recordings of calls.")

IdArgument = Annotated[str, typer.Argument(metavar="ID", help="`recording_id` of a record.")]


@app.command("get")
@connected
def get(
    client: Client,
    recording_id: IdArgument,
    *,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; - is the standard output. Default: its name."),
    ] = None,
) -> None:
    """Fetch the audio of a recording."""
    with client.recording(recording_id) as audio:
        name = Path(audio.file_name).name if output is None else output
        write_octets(audio.chunks, name)
    if name != "-":
        out.print(name)
