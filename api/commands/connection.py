"""Which server a command talks to, and who asks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import typer

from api.client import Client
from api.commands.console import told_in_one_line

P = ParamSpec("P")

INTERRUPTED: Final = 130
"""As a shell reports a program that Ctrl-C ended."""

_PANEL: Final = "The server, and who asks"
_URL = Annotated[str, typer.Option(envvar="CLICK2CALL_URL", help="The running server.", rich_help_panel=_PANEL)]
_KEY = Annotated[
    str | None,
    typer.Option(envvar="CLICK2CALL_KEY", help="A Bearer key, in place of the others.", rich_help_panel=_PANEL),
]
_ORGANISATION = Annotated[
    str | None, typer.Option("--org", envvar="CLICK2CALL_ORG", help="Your organisation.", rich_help_panel=_PANEL)
]
_USER = Annotated[
    str | None, typer.Option("--user", envvar="CLICK2CALL_USER", help="Your user in it.", rich_help_panel=_PANEL)
]
_PASSWORD = Annotated[
    str | None,
    typer.Option("--password", envvar="CLICK2CALL_PASSWORD", help="Asked for when missing.", rich_help_panel=_PANEL),
]
_OPTIONS: Final[dict[str, tuple[Any, str | None]]] = {
    "url": (_URL, "http://127.0.0.1:8080"),
    "key": (_KEY, None),
    "organisation": (_ORGANISATION, None),
    "user": (_USER, None),
    "password": (_PASSWORD, None),
}


def connected(command: Callable[Concatenate[Client, P], None]) -> Callable[P, None]:
    """Make a command line's command of one that wants a client: it gets the options that say which and whose.

    What the client raises becomes a line for the operator and exit code 2, and Ctrl-C exit code 130.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        given: Any = {name: kwargs.pop(name) for name in _OPTIONS}
        with told_in_one_line(), _client(**given) as client:
            try:
                command(client, *args, **kwargs)
            except KeyboardInterrupt:
                raise typer.Exit(INTERRUPTED) from None

    take_options(run, command, 0, _OPTIONS)
    return run


def take_options(
    run: Callable[..., None], command: Callable[..., None], position: int, options: Mapping[str, tuple[Any, str | None]]
) -> None:
    """Let what runs a command have further options in place of one of the command's parameters.

    Args:
        run: takes them, and makes of them what the command wants.
        command: whose other parameters it has.
        position: of the one that is not an option.
        options: annotation and default by name.
    """
    parameters = list(inspect.signature(command, eval_str=True).parameters.values())
    del parameters[position]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in options.items()
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del run.__wrapped__  # type: ignore[attr-defined]


def _client(url: str, key: str | None, organisation: str | None, user: str | None, password: str | None) -> Client:
    if key is not None:
        return Client(url, key=key)
    missing = [name for name, value in (("--org", organisation), ("--user", user)) if value is None]
    if missing:
        raise typer.BadParameter(f"give --key, or {' and '.join(missing)}")
    if password is None:
        password = typer.prompt("Password", hide_input=True, err=True)
    return Client(url, user=f"{user}@{organisation}", password=password)
