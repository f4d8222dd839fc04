"""Each keyed request is carried out once, whichever node it comes to and how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Protocol

import structlog

from sipcore.domain.errors import StoreUnavailableError
from sipcore.domain.idempotency import KeptAnswer, KeyClaim, KeyReusedError, Standing

_log = structlog.get_logger(__name__)

LOOK_SECONDS = 0.1
"""How often it is looked whether another node has answered."""


class IdempotencyStore(Protocol):
    """Keeps keys and answers. Every method raises `StoreUnavailableError` when the database does not answer."""

    async def claim(self, organisation: str, key: str, fingerprint: str, now: datetime) -> KeyClaim:
        """Tell how a request stands; when no other node is at it, this one is from now on.

        Args:
            organisation: whose key it is.
            key: names the request.
            fingerprint: of the request.
            now: a key that is older than `KEPT` is forgotten.
        """
        ...

    async def keep_answer(self, organisation: str, claim_id: str, key: str, answer: KeptAnswer) -> None:
        """Keep the first answer."""
        ...

    async def drop_key(self, organisation: str, claim_id: str, key: str) -> None:
        """Forget a request that made nothing: it may be sent again."""
        ...


class Turn:
    """A request's turn to be carried out, or to be answered as it was before.

    Attributes:
        id: to be given to what the request makes.
        answer: the first answer, to be given again; None: carry it out.
        resumed: whether what the request makes may be there under `id` already.
    """

    def __init__(self, claim: KeyClaim) -> None:
        self.id = claim.id
        self.answer = claim.answer
        self.resumed = claim.standing is Standing.RESUMED
        self.made = False
        self.given: KeptAnswer | None = None

    def accepted(self) -> None:
        """Note that the request has made something: from here on it is never carried out again."""
        self.made = True

    def answered(self, answer: KeptAnswer) -> None:
        """Note the first answer."""
        self.given = answer


class Idempotency:
    """Gives keyed requests their turns.

    Args:
        store: keeps keys and answers.
    """

    def __init__(self, store: IdempotencyStore) -> None:
        self._store = store
        self._running: dict[tuple[str, str], tuple[str, asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def turn(self, organisation: str, key: str, fingerprint: str, parameter: str) -> AsyncIterator[Turn]:
        """Wait until nobody else is at the same request; keep its answer, or forget it when it has made nothing.

        Args:
            organisation: whose key it is.
            key: names the request.
            fingerprint: of the request.
            parameter: where the key was given, for the error.

        Raises:
            KeyReusedError: another request had this key.
            StoreUnavailableError: the database does not answer; nothing was begun.
        """
        place = organisation, key
        done = await self._queue_up(place, fingerprint, parameter)
        try:
            claim = await self._claim(place, fingerprint)
            if claim.fingerprint != fingerprint:
                raise KeyReusedError(parameter, "was given to a request that was another one")
            turn = Turn(claim)
            try:
                yield turn
            finally:
                if turn.answer is None:
                    await self._settle(place, turn)
        finally:
            del self._running[place]
            done.set_result(None)

    async def _queue_up(self, place: tuple[str, str], fingerprint: str, parameter: str) -> asyncio.Future[None]:
        while (running := self._running.get(place)) is not None:
            if running[0] != fingerprint:
                raise KeyReusedError(parameter, "was given to a request that is another one")
            await asyncio.wait([running[1]])
        done = asyncio.get_running_loop().create_future()
        self._running[place] = fingerprint, done
        return done

    async def _claim(self, place: tuple[str, str], fingerprint: str) -> KeyClaim:
        while True:
            claim = await self._store.claim(*place, fingerprint, datetime.now(UTC))
            if claim.standing is not Standing.RUNNING or claim.fingerprint != fingerprint:
                return claim
            await asyncio.sleep(LOOK_SECONDS)

    async def _settle(self, place: tuple[str, str], turn: Turn) -> None:
        organisation, key = place
        try:
            if turn.given is not None:
                await self._store.keep_answer(organisation, turn.id, key, turn.given)
            elif not turn.made:
                await self._store.drop_key(organisation, turn.id, key)
        except StoreUnavailableError as error:
            # The next request with this key finds what this one made under its id.
            _log.error("answer of a keyed request not kept", organisation=organisation, error=str(error))
