"""`click2call keys`: Bearer keys, made and revoked in the database itself, whether a server runs or not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import typer

from api.commands.console import ConfigOption, out, told_in_one_line
from sipcore.domain.directory import USUAL_SCOPES, Scope
from sipcore.domain.errors import StartUpError
from sipcore.domain.issued_key import IssuedKey
from sipcore.service.key_ring import KeyRing

app = typer.Typer(no_args_is_help=True, help="Bearer keys of an organisation.")

OrganisationOption = Annotated[str, typer.Option("--org", envvar="CLICK2CALL_ORG", help="The organisation.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    organisation: OrganisationOption,
    config: ConfigOption,
    scopes: Annotated[
        list[Scope] | None, typer.Option("--scope", help="What it is good for; more than one may be given.")
    ] = None,
) -> None:
    """Make a key and print it; nobody can be told again."""
    from api.main import with_keys  # noqa: PLC0415 - it loads the whole house

    async def make(keys: KeyRing, organisations: Collection[str]) -> str:
        if organisation not in organisations:
            raise StartUpError(f"there is no organisation {organisation} in the settings")
        _, key = await keys.issue(organisation, name, scopes or USUAL_SCOPES)
        return key

    with told_in_one_line():
        typer.echo(with_keys(config, make))


@app.command("list")
def list_keys(organisation: OrganisationOption, config: ConfigOption) -> None:
    """Print the keys that were made, newest first: id, scopes, when it was made, whether it is revoked, name."""
    from api.main import with_keys  # noqa: PLC0415 - as above

    async def read(keys: KeyRing, _: Collection[str]) -> tuple[IssuedKey, ...]:
        return await keys.list(organisation)

    with told_in_one_line():
        for key in with_keys(config, read):
            state = "good" if key.revoked_at is None else "revoked"
            out.print(f"{key.id}  {','.join(sorted(key.scopes))}  {key.created_at:%Y-%m-%d %H:%M}  {state}  {key.name}")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="Of the key, as `list` prints it.")],
    organisation: OrganisationOption,
    config: ConfigOption,
) -> None:
    """Make a key good for nothing; servers that run notice within 5 seconds."""
    from api.main import with_keys  # noqa: PLC0415 - as above

    async def end(keys: KeyRing, _: Collection[str]) -> None:
        if await keys.revoke(organisation, key_id) is None:
            raise StartUpError(f"{organisation} has no key with the id {key_id}")

    with told_in_one_line():
        with_keys(config, end)
        out.print("revoked")
