"""One node of a test: a call engine over a fake SIP port and a real database."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sipcore.domain.commands import PlaceLeg
from sipcore.domain.directory import Directory, Extension, Organisation, SipAddress, SipHost, Trunk
from sipcore.service.admission import EngineSettings
from sipcore.service.call_engine import CallEngine
from sipcore.service.calls import DialRequest, LiveDirectory
from sipcore.service.nodes import Nodes
from sipcore.service.numbers import PhoneNumberPlan
from sipcore.sip.fake import FakeSipPort
from sipcore.store.records import open_store

AGENT, CUSTOMER = "101", "+12025550123"


def organisation(**changes):
    at = SipHost("127.0.0.1", 25061)
    extensions = {number: Extension(number, SipAddress(number, at)) for number in (AGENT, "102")}
    return replace(Organisation("acme", trunk="main", extensions=extensions, caller_id="+12025550100"), **changes)


class NodeSite:
    """A context manager; `store` is open and the engine runs within it."""

    def __init__(self, url, *, patience=2.0, **changes):
        self._url, self._patience = url, patience
        trunk = Trunk("main", SipHost("127.0.0.1", 25070))
        self.directory = LiveDirectory(Directory({"acme": organisation(**changes)}, {"main": trunk}))
        self.port = FakeSipPort(workers=8)

    async def __aenter__(self):
        self.store = await open_store(self._url, busy_timeout=self._patience)
        self.engine = CallEngine(self.port, self.store, self.directory, PhoneNumberPlan(), EngineSettings())
        self.nodes = Nodes(self.store.nodes)
        await self.nodes.start()
        self.engine.start()
        return self

    async def __aexit__(self, *_):
        await self.engine.stop(patience_seconds=0)
        await self.nodes.stop()
        await self.store.close()

    async def die(self):
        """Lose all connections and do nothing more, as a process that is killed."""
        self.nodes._task.cancel()
        self.store.nodes._life.terminate()
        self.engine._pump.cancel()
        await self.store.close()

    async def dial(self, dial1=AGENT, dial2=CUSTOMER):
        call = await self.engine.dial(DialRequest("acme", "alice", dial1, dial2))
        await self.port.settled()
        return call

    @property
    def dialled(self):
        return [command.leg for _, command in self.port.commands if isinstance(command, PlaceLeg)]

    async def written(self, call_id):
        """Return the record of a call once its end is in the database."""
        async with asyncio.timeout(30):
            while not await self._is_over(call_id):  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.02)
        return await self.store.get("acme", call_id)

    async def _is_over(self, call_id):
        record = await self.store.get("acme", call_id)
        return record is not None and record.ended_at is not None
