"""`click2call recordings`: the audio of calls."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from api.client import Client, ClientError
from api.commands.connection import connected
from api.commands.console import out

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
        if output == "-":
            sys.stdout.buffer.writelines(audio.chunks)
            return
        path = Path(Path(audio.file_name).name if output is None else output)
        # Whoever finds the file finds all of it.
        part = path.with_name(f"{path.name}.part")
        try:
            with part.open("wb") as file:
                file.writelines(audio.chunks)
            part.replace(path)
        except OSError as error:
            raise ClientError(f"{path}: {error.strerror or error}") from error
        finally:
            part.unlink(missing_ok=True)
    out.print(str(path))
