"""The command line: `click2call serve`, `check`, `migrate`, `edge`, `keys`, `hash-password` and `dial`.

Exit codes: 0 all well, 1 the call failed, 2 something was wrong with the settings, the arguments or the server.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from argon2 import PasswordHasher

from api.commands import keys
from api.commands.console import WRONG, ConfigOption, err, out, told_in_one_line
from api.dial_command import Dialling, dial_and_watch
from sipcore.service.calls import DEFAULT_RING_SECONDS

INTERRUPTED: Final = 130
"""As a shell reports a program that Ctrl-C ended."""

# Rich tracebacks would show local variables, passwords among them.
app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="One HTTP request makes two phones talk.",
)
app.add_typer(keys.app, name="keys")


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


@app.command()
def dial(  # noqa: PLR0913 - each is an option of the command line
    dial1: Annotated[str, typer.Argument(help="Destination 1, which rings first; several: 101,102.")],
    dial2: Annotated[str, typer.Argument(help="Destination 2, dialled when destination 1 has answered.")],
    *,
    organisation: Annotated[str, typer.Option("--org", envvar="CLICK2CALL_ORG", help="Your organisation.")],
    user: Annotated[str, typer.Option("--user", envvar="CLICK2CALL_USER", help="Your user name in it.")],
    password: Annotated[
        str,
        typer.Option(
            "--password", envvar="CLICK2CALL_PASSWORD", prompt=True, hide_input=True, help="Asked for when missing."
        ),
    ],
    url: Annotated[str, typer.Option(envvar="CLICK2CALL_URL", help="The running server.")] = "http://127.0.0.1:8080",
    set_cid: Annotated[str | None, typer.Option("--set-cid", help="Caller identity to show.")] = None,
    timeout: Annotated[
        int, typer.Option(min=1, max=300, help="Seconds that destination 1 may ring.")
    ] = DEFAULT_RING_SECONDS,
) -> None:
    """Place a call through a running server and tell each of its steps; with several numbers, how each stands.

    Ctrl-C stops watching; the call goes on.
    """
    dialling = Dialling(
        url=url,
        organisation=organisation,
        user=user,
        password=password,
        dial1=dial1,
        dial2=dial2,
        set_cid=set_cid,
        ring_seconds=timeout,
    )
    try:
        with told_in_one_line():
            joined = asyncio.run(dial_and_watch(dialling, out.print))
    except KeyboardInterrupt:
        err.print("no longer watching; the call goes on")
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(0 if joined else 1)


def main() -> None:
    """Run the command line."""
    app()
