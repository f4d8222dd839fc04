"""SIGHUP: organisations and trunks are read again, calls in progress go on, and bad settings change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from server import Server
from testbed.kamailio import Kamailio
from testbed.phone import Phone, PhoneCall
from testbed.process import free_port, wait_until
from testbed.sipp import Sipp

CUSTOMER = "+13125550142"
OTHER_CUSTOMER = "+14155550143"
USERS = {"trunkuser": "trunkpass", "otheruser": "otherpass"}

ORGANISATION = """
[orgs.{name}]
country = "US"
caller_id = "+12025550100"
[orgs.{name}.users.alice]
password = "{password}"
[orgs.{name}.extensions.101]
contact = "{contact}"
"""


@dataclass(frozen=True)
class Bed:
    """The server with one worker for calls and one that registers, so that all calls meet in one process."""

    server: Server
    trunk: Kamailio
    agent: Phone
    customer: Phone
    busy: Sipp

    def tables(self, name: str = "acme", *, password: str = "s3cret", trunk: str = "", extensions: str = "") -> str:
        """Return an organisation whose extension 101 is the agent, with these further lines."""
        head, users = ORGANISATION.format(name=name, password=password, contact=self.agent.uri).split("[orgs", 2)[1:]
        return f"[orgs{head}" + (f'trunk = "{trunk}"\n' if trunk else "") + f"[orgs{users}{extensions}"
