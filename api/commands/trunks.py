"""`click2call trunks`: the organisation's trunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from api.client import Client
from api.commands.connection import connected
from api.commands.console import JsonOption, show
from api.models import TrunkStatus

_COLUMNS: Final[dict[str, Callable[[TrunkStatus], object]]] = {
    "NAME": lambda trunk: trunk.name,
    "STATE": lambda trunk: trunk.state,
    "SIP": lambda trunk: trunk.sip_code,
    "TEXT": lambda trunk: trunk.text,
}


@connected
def trunks(client: Client, *, as_json: JsonOption = False) -> None:
    """Print your organisation's trunk, and where its registration stands."""
    show(client.trunks(), _COLUMNS, as_json=as_json)
