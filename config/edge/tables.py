"""The tables of the edge, an SQLite file beside its configuration: who may register, the nodes, the trunks' bindings.

Kamailio reads them by its own modules (auth_db, dispatcher, uac), and keeps its phones' bindings in the last one
(usrloc). Rows are replaced in one transaction while it runs: phones count at once, the others after a reload.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from config.edge.settings import EdgeSettings
from config.model import Settings, TrunkSettings
from sipcore.domain.edge import sip_user

_SCHEMA = """
CREATE TABLE IF NOT EXISTS version (table_name TEXT PRIMARY KEY, table_version INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS subscriber (username TEXT PRIMARY KEY, domain TEXT NOT NULL, ha1 TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS dispatcher (
    id INTEGER PRIMARY KEY, setid INTEGER NOT NULL, destination TEXT NOT NULL, flags INTEGER NOT NULL,
    priority INTEGER NOT NULL DEFAULT 0, attrs TEXT NOT NULL DEFAULT '', description TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS uacreg (
    id INTEGER PRIMARY KEY, l_uuid TEXT NOT NULL UNIQUE, l_username TEXT NOT NULL, l_domain TEXT NOT NULL,
    r_username TEXT NOT NULL, r_domain TEXT NOT NULL, realm TEXT NOT NULL, auth_username TEXT NOT NULL,
    auth_password TEXT NOT NULL DEFAULT '', auth_ha1 TEXT NOT NULL, auth_proxy TEXT NOT NULL, expires INTEGER NOT NULL,
    flags INTEGER NOT NULL DEFAULT 0, reg_delay INTEGER NOT NULL DEFAULT 0, contact_addr TEXT NOT NULL DEFAULT '',
    socket TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS location (
    id INTEGER PRIMARY KEY, ruid TEXT NOT NULL UNIQUE, username TEXT NOT NULL, domain TEXT, contact TEXT NOT NULL,
    received TEXT, path TEXT, expires TIMESTAMP NOT NULL, q REAL NOT NULL DEFAULT 1, callid TEXT NOT NULL,
    cseq INTEGER NOT NULL, last_modified TIMESTAMP NOT NULL, flags INTEGER NOT NULL DEFAULT 0,
    cflags INTEGER NOT NULL DEFAULT 0, user_agent TEXT NOT NULL DEFAULT '', socket TEXT, methods INTEGER, instance TEXT,
    reg_id INTEGER NOT NULL DEFAULT 0, server_id INTEGER NOT NULL DEFAULT 0, connection_id INTEGER NOT NULL DEFAULT 0,
    keepalive INTEGER NOT NULL DEFAULT 0, "partition" INTEGER NOT NULL DEFAULT 0
);
"""
_VERSIONS = {"subscriber": 7, "dispatcher": 4, "uacreg": 5, "location": 9}
"""As Kamailio 5.6 asks for them."""
_OURS = ("version", "subscriber", "dispatcher", "uacreg")
_NODES = 1
_ASKED_FIRST = 1 | 8
"""Inactive, and asked by pings: nobody is sent to a port before something there has answered."""


def write_tables(settings: Settings, edge: EdgeSettings, path: Path) -> None:
    """Write the rows that the settings ask for, in place of earlier ones; phones' bindings stay.

    Args:
        settings: all of them.
        edge: their edge.
        path: the SQLite file; it is made readable for its owner alone.

    Raises:
        OSError, sqlite3.Error: it cannot be written.
    """
    path.touch(mode=0o600)
    path.chmod(0o600)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_SCHEMA)
        with connection:
            for table in _OURS:
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - a name of this module
            connection.executemany("INSERT INTO version VALUES (?, ?)", _VERSIONS.items())
            connection.executemany("INSERT INTO subscriber VALUES (?, ?, ?)", _subscribers(settings, edge.realm))
            connection.executemany(
                "INSERT INTO dispatcher (setid, destination, flags) VALUES (?, ?, ?)", _destinations(edge)
            )
            connection.executemany(
                "INSERT INTO uacreg (l_uuid, l_username, l_domain, r_username, r_domain, realm, auth_username,"
                " auth_ha1, auth_proxy, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (_binding(name, trunk, edge) for name, trunk in settings.trunks.items() if trunk.registrar is not None),
            )


def digest(user: str, realm: str, password: str) -> str:
    """Return what digest authentication needs in place of the password: A1, hashed (RFC 2617 section 3.2.2.2)."""
    return hashlib.md5(f"{user}:{realm}:{password}".encode(), usedforsecurity=False).hexdigest()


def _subscribers(settings: Settings, realm: str) -> Iterator[tuple[str, str, str]]:
    for name, organisation in settings.orgs.items():
        for number, extension in organisation.extensions.items():
            if extension.secret is not None:
                user = sip_user(name, number)
                yield user, realm, digest(user, realm, extension.secret.get_secret_value())


def _destinations(edge: EdgeSettings) -> Iterator[tuple[int, str, int]]:
    for node in edge.nodes:
        for port in node.ports:
            yield _NODES, f"sip:{node.address}:{port}", _ASKED_FIRST


def _binding(name: str, trunk: TrunkSettings, edge: EdgeSettings) -> tuple[str | int, ...]:
    registrar, username = trunk.registrar or trunk.proxy, trunk.username or ""
    password = trunk.password.get_secret_value() if trunk.password is not None else ""
    transport = "" if trunk.transport == "udp" else f";transport={trunk.transport}"
    return (
        name,
        username,
        edge.realm,
        username,
        registrar.host,
        trunk.realm,
        username,
        digest(username, trunk.realm, password),
        f"sip:{registrar.host}:{registrar.port}{transport}",
        trunk.register_seconds,
    )
