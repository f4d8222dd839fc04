"""`/api/v1/keys`: Bearer keys of the organisation, made and revoked."""

from __future__ import annotations

import http

from api.models import Key, KeyPage, MadeKey, NewKey
from api.operations import Asked, Operation
from sipcore.domain.directory import Scope
from sipcore.domain.issued_key import IssuedKey
from sipcore.domain.public_events import written_time
from sipcore.service.key_ring import KeyRing


class KeysResource:
    """Keys that were made; those of the settings are not among them.

    Args:
        keys: makes and revokes them.
    """

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def operations(self) -> list[Operation]:
        """Return what can be done."""
        path = "/api/v1/keys"
        return [
            Operation(
                name="makeKey", method="POST", path=path, tag="keys", scope=Scope.ADMIN,
                summary="Make a Bearer key; it is told this once", body=NewKey, answer=MadeKey,
                status=http.HTTPStatus.CREATED, act=self.make,
            ),
            Operation(
                name="listKeys", method="GET", path=path, tag="keys", scope=Scope.ADMIN,
                summary="All keys that were made, newest first", answer=KeyPage,
                act=self.list,
            ),
            Operation(
                name="revokeKey", method="DELETE", path=f"{path}/{{id}}", tag="keys", scope=Scope.ADMIN,
                summary="Make a key good for nothing; doing it again changes nothing", answer=Key,
                act=self.revoke,
            ),
        ]  # fmt: skip

    async def make(self, asked: Asked[None, NewKey]) -> object:
        """Make one."""
        scopes = [Scope(word) for word in asked.body.scopes]
        issued, key = await self._keys.issue(asked.organisation, asked.body.name, scopes)
        return {**key_as_json(issued), "key": key}

    async def list(self, asked: Asked[None, None]) -> object:
        """Return them all."""
        return {"items": [key_as_json(key) for key in await self._keys.list(asked.organisation)]}

    async def revoke(self, asked: Asked[None, None]) -> object:
        """Revoke one."""
        key = await self._keys.revoke(asked.organisation, asked.path["id"])
        return None if key is None else key_as_json(key)


def key_as_json(key: IssuedKey) -> dict[str, object]:
    """Return a key as the JSON API shows it."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": written_time(key.created_at),
        "revoked_at": written_time(key.revoked_at),
    }
