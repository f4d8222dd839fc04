"""The settings of who may ask: users and Bearer keys, and what each is good for."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import PlainValidator, model_validator

from config.secret import BearerKey, KeyHash, PasswordHash, Secret
from config.table import Table
from config.values import expected, refused
from sipcore.domain.directory import USUAL_SCOPES, Scope
from sipcore.domain.issued_key import digest_of


def _known(value: object) -> frozenset[Scope]:
    if not isinstance(value, list) or not value or any(name not in Scope.__members__.values() for name in value):
        raise expected(f"a list of one or more of {', '.join(Scope)}")
    return frozenset(Scope(name) for name in value)


Scopes = Annotated[frozenset[Scope], PlainValidator(_known)]


class UserSettings(Table):
    """`[orgs.ORG.users.NAME]`."""

    password: Secret | None = None
    password_hash: PasswordHash | None = None
    scopes: Scopes = USUAL_SCOPES

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if (self.password is None) == (self.password_hash is None):
            raise refused("expected exactly one of `password` and `password_hash`")
        return self


class ApiKeySettings(Table):
    """`[orgs.ORG.api_keys.NAME]`."""

    key: BearerKey | None = None
    key_hash: KeyHash | None = None
    scopes: Scopes = USUAL_SCOPES

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.key is None) == (self.key_hash is None):
            raise refused("expected exactly one of `key` and `key_hash`")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the key, 64 lower-case hex digits."""
        if self.key is not None:
            return digest_of(self.key.get_secret_value())
        return self.key_hash.get_secret_value().partition(":")[2].lower() if self.key_hash else ""
