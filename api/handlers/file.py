"""Answers that are a file, written as it is read from the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import structlog
from tornado.iostream import StreamClosedError

from api.handlers.resource import ResourceHandler
from sipcore.domain.errors import StoreUnavailableError

_log = structlog.get_logger("http")

STALLED_SECONDS: Final = 60.0
"""How long a reader may take none of what it was sent."""


class FileHandler(ResourceHandler):
    """Sends a file piece by piece, each made when the one before has left for the reader.

    Neither memory nor a transaction of the database is held for a reader who is slow.
    """

    async def send_file(self, of: str, name: str, content_type: str, pieces: AsyncIterator[str]) -> None:
        """Send it, and end the answer.

        Args:
            of: what it is a file of, for the log.
            name: that it is offered under.
            content_type: for HTTP.
            pieces: its text; reading them may raise `StoreUnavailableError`.
        """
        self.set_header("Content-Type", content_type)
        self.set_header("Content-Disposition", f'attachment; filename="{name}"')
        try:
            async for piece in pieces:
                self.write(piece)
                await asyncio.wait_for(self.flush(), STALLED_SECONDS)
        except StreamClosedError:
            return  # whoever read has enough
        except (StoreUnavailableError, TimeoutError) as error:
            # Broken off without the last chunk, so that nobody takes it for a whole file.
            organisation = self.caller and self.caller.organisation
            _log.warning(
                f"file of {of} broken off", organisation=organisation, file=name, reason=str(error) or "nobody reads"
            )
            self.detach().close()
            return
        self.finish()
