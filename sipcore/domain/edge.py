"""The edge, a SIP proxy in front of the nodes: how its phones are called there.

An extension that registers is `ORGANISATION-NUMBER` at the edge, as several organisations may have an extension 101. It
is user name, name of the credentials and address of record in one, and asks for no DNS name of the organisation's own.
"""

from __future__ import annotations

ORIGIN_HEADER = "X-Click2Call-Origin"
"""In an INVITE that the edge passes on: `trunk=NAME`, or `extension=USER` of whoever has authenticated."""


def sip_user(organisation: str, number: str) -> str:
    """Write the SIP user of an extension."""
    return f"{organisation}-{number}"


def extension_of(user: str) -> tuple[str, str]:
    """Tell organisation and number of a SIP user; a number has no hyphen, a name may have some."""
    organisation, _, number = user.rpartition("-")
    return organisation, number
