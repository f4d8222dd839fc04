"""The command line: what runs a server and looks after it, and what talks to one that runs (`api/commands/`).

Exit codes: 0 all well, 1 the call failed, 2 something was wrong with the settings, the arguments or the server.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from argon2 import PasswordHasher

from api.commands import calls, campaigns, do_not_call, events, keys, queues, recordings, records, schedules
from api.commands.console import WRONG, ConfigOption, err, out, told_in_one_line
from api.commands.dial import dial
from api.commands.trunks import trunks

# Rich tracebacks would show local variables, passwords among them.
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="One HTTP request makes two phones talk.",
)
for group in (calls, schedules, campaigns, do_not_call, records, recordings, queues, events, keys):
    app.add_typer(group.app, name=group.__name__.rpartition(".")[2].replace("_", "-"))
app.command()(dial)
app.command()(trunks)


@app.command()
def serve(config: ConfigOption) -> None:
    """Run the server."""
    # The composition root loads the whole house, which `dial` and `hash-password` do without.
    from api.main import serve as run  # noqa: PLC0415

    with told_in_one_line():
        code = run(config)
    raise typer.Exit(code)


@app.command()
def check(config: ConfigOption) -> None:
    """Check the settings and name everything that is wrong with them."""
    from api.main import check as run  # noqa: PLC0415 - as in `serve`

    with told_in_one_line():
        out.print(run(config))


@app.command()
def migrate(config: ConfigOption) -> None:
    """Make the database's schema, or bring an older one up to date; servers go on meanwhile."""
    from api.main import migrate as run  # noqa: PLC0415 - as in `serve`

    with told_in_one_line():
        out.print(run(config))


@app.command()
def edge(
    config: ConfigOption,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write kamailio.cfg and edge.db, the table of who may register, into this folder."
        ),
    ] = None,
) -> None:
    """Print the configuration of the Kamailio that stands in front of the nodes, or write all of its files."""
    from api.main import edge as run  # noqa: PLC0415 - as in `serve`

    with told_in_one_line():
        typer.echo(run(config, output), nl=False)


@app.command("hash-password")
def hash_password() -> None:
    """Print the argon2 hash of a password, for `password_hash` in the settings.

    Asks for the password, or reads one line when the input is not a terminal.
    """
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        err.print("click2call: the password is empty")
        raise typer.Exit(WRONG)
    out.print(PasswordHasher().hash(password))


def main() -> None:
    """Run the command line."""
    app()
