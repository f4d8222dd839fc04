"""The configuration of the Kamailio that is the edge."""

from __future__ import annotations

import ipaddress
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from string import Template

from config.edge.settings import EdgeSettings
from config.edge.tables import write_tables
from config.model import Settings
from config.problems import Problem
from sipcore.domain.errors import SettingsError, StartUpError

DIRECTORY = Path("/etc/kamailio/click2call")
"""Where the tables are when nobody says otherwise."""
CONFIGURATION = "kamailio.cfg"
TABLES = "edge.db"
_FAILURES_BY_USER = 5
_FAILURES_BY_ADDRESS = 50
"""More than one by one phone of an office with a wrong secret, which stops at its own limit."""


class _ConfigTemplate(Template):
    """A template that leaves `$` to Kamailio, whose variables start with it."""

    delimiter = "@@"


_TEMPLATE = _ConfigTemplate((Path(__file__).parent / CONFIGURATION).read_text(encoding="utf-8"))


def edge_of(settings: Settings, source: str) -> EdgeSettings:
    """Return the edge of a site.

    Args:
        settings: of the site.
        source: the file that they are from.

    Raises:
        SettingsError: it has none.
    """
    if settings.edge is None:
        raise SettingsError(source, (str(Problem(("edge",), "expected this table, got nothing")),))
    return settings.edge


def check_node(settings: Settings, source: str) -> None:
    """Check that a server is one of the nodes behind its edge, which would take its calls for a stranger's.

    Args:
        settings: of the server.
        source: the file that they are from.

    Raises:
        SettingsError: it is not, or some of its ports are not named.
    """
    own, ports = settings.sip.address, settings.sip.ports
    edge = settings.edge
    if edge is None or any(
        node.address == own and ports.start in node.ports and ports[-1] in node.ports for node in edge.nodes
    ):
        return
    text = f'expected the sip.address and sip.ports of this node ("{own}:{ports.start}-{ports[-1]}") among them'
    raise SettingsError(source, (str(Problem(("edge", "nodes"), text)),))


def configuration(settings: Settings, edge: EdgeSettings, directory: Path = DIRECTORY) -> str:
    """Write `kamailio.cfg`.

    Args:
        settings: of the site.
        edge: their edge.
        directory: where its tables are.
    """
    return _TEMPLATE.substitute(
        address=f"{edge.address.host}:{edge.address.port}",
        realm=edge.realm,
        database=directory.absolute() / TABLES,
        processes=edge.processes,
        ping_seconds=edge.ping_seconds,
        trunks="\n".join(_trunks(settings)),
        failures_by_user=_FAILURES_BY_USER,
        failures_by_address=_FAILURES_BY_ADDRESS,
    )


def write_edge(settings: Settings, edge: EdgeSettings, directory: Path) -> None:
    """Write configuration and tables into a folder, both readable for their owner alone: the folder's owner.

    Raises:
        StartUpError: it cannot be written to.
    """
    config, tables = directory / CONFIGURATION, directory / TABLES
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        config.touch(mode=0o600)
        config.write_text(configuration(settings, edge, directory), encoding="utf-8")
        write_tables(settings, edge, tables)
        if os.geteuid() == 0:
            # Kamailio seldom runs as root; whoever the folder is for reads what is in it.
            owner = directory.stat()
            for path in (config, tables):
                os.chown(path, owner.st_uid, owner.st_gid)
    except (OSError, sqlite3.Error) as error:
        raise StartUpError(f"cannot write the edge's files into {directory}: {error}") from error


def _trunks(settings: Settings) -> Iterator[str]:
    """Write how a trunk is known: by its host, and by its port where several trunks have one host."""
    hosts: dict[str, dict[int, set[str]]] = {}
    for name, trunk in settings.trunks.items():
        for at in (trunk.proxy, trunk.registrar):
            if at is not None:
                hosts.setdefault(at.host, {}).setdefault(at.port, set()).add(name)
    for host, ports in hosts.items():
        yield f"\tif ({_comes_from(host)}) {{"
        yield "\t\tsetflag(FROM_TRUNK);"
        yield f'\t\t$avp(trunk) = "{_only(set().union(*ports.values()))}";'
        if len(ports) > 1:
            for port, names in ports.items():
                yield f'\t\tif ($sp == {port}) {{ $avp(trunk) = "{_only(names)}"; }}'
        yield "\t\treturn;"
        yield "\t}"


def _only(names: set[str]) -> str:
    """Return the one name, or nothing when there are several."""
    return next(iter(names)) if len(names) == 1 else ""


def _comes_from(host: str) -> str:
    try:
        return f'$si == "{ipaddress.IPv4Address(host)}"'
    except ValueError:
        return f'dns_int_match_ip("{host}", "$si")'
