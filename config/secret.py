"""Secrets of the settings: written in place, or as `file:PATH` or `env:NAME`; never in the text of an error."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

import argon2
from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo

from config.origin import Origin, origin_of
from config.values import database_url, expected, refused, webhook_url

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# RFC 6750 section 2.1: what can follow `Authorization: Bearer`.
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
# RFC 9106 section 3.1, in bytes; the salt's is what the reference implementation takes.
_ARGON2_MIN_SALT = 8
_ARGON2_MIN_HASH = 4
_SIGNING_SECRET_LENGTH = 16
_PHONE_SECRET_LENGTH = 8
"""Registrars are searched for short ones all day."""
_KEY_HASH = re.compile(r"sha256:[0-9A-Fa-f]{64}")


def _from_file(name: str, origin: Origin) -> str:
    path = origin.resolve(name)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise refused(f"cannot read the file {path} that holds it: {error.strerror}") from error
    except ValueError:  # not UTF-8, or a NUL in the name; the cause would carry the file's content
        raise refused("expected file:PATH of a readable file in UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r")


def _from_variable(name: str, origin: Origin) -> str:
    if _VARIABLE.fullmatch(name) is None:
        raise refused("expected the name of an environment variable after env:")
    if name not in origin.environ:
        raise refused(f"the environment variable {name} that holds it is not set")
    return origin.environ[name]


def _look_up(value: object, info: ValidationInfo) -> object:
    """Replace `file:PATH` and `env:NAME` by what they stand for."""
    if not isinstance(value, str):
        return value
    if value.startswith("file:"):
        value = _from_file(value.removeprefix("file:"), origin_of(info))
    elif value.startswith("env:"):
        value = _from_variable(value.removeprefix("env:"), origin_of(info))
    if not value or any(unicodedata.category(character) == "Cc" for character in value):
        raise expected("a secret of one line, not empty and without control characters")
    return value


def _argon2_hash(value: SecretStr) -> SecretStr:
    what = expected('an argon2 hash ("$argon2id$...") as `click2call hash-password` prints it')
    try:
        parameters = argon2.extract_parameters(value.get_secret_value())
    except ValueError:  # not kept as a cause: it may carry parts of the hash
        raise what from None
    if parameters.salt_len < _ARGON2_MIN_SALT or parameters.hash_len < _ARGON2_MIN_HASH:
        raise what
    return value


def _bearer_key(value: SecretStr) -> SecretStr:
    if _BEARER.fullmatch(value.get_secret_value()) is None:
        raise expected("a key of letters, digits and ._~+/- (RFC 6750)")
    return value


def _key_hash(value: SecretStr) -> SecretStr:
    if _KEY_HASH.fullmatch(value.get_secret_value()) is None:
        raise expected('the SHA-256 of the key as "sha256:" and 64 hex digits')
    return value


def _database(value: SecretStr) -> SecretStr:
    database_url(value.get_secret_value())
    return value


def _webhook_url(value: SecretStr) -> SecretStr:
    webhook_url(value.get_secret_value())
    return value


def _of_length(least: int) -> AfterValidator:
    def validate(value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < least:
            raise expected(f"{least} characters or more")
        return value

    return AfterValidator(validate)


Secret = Annotated[SecretStr, BeforeValidator(_look_up)]
PasswordHash = Annotated[Secret, AfterValidator(_argon2_hash)]
BearerKey = Annotated[Secret, AfterValidator(_bearer_key)]
KeyHash = Annotated[Secret, AfterValidator(_key_hash)]
Database = Annotated[Secret, AfterValidator(_database)]
"""A database URL, which may hold a password."""
WebhookUrl = Annotated[Secret, AfterValidator(_webhook_url)]
"""An http or https address, which may hold a token."""
SigningSecret = Annotated[Secret, _of_length(_SIGNING_SECRET_LENGTH)]
PhoneSecret = Annotated[Secret, _of_length(_PHONE_SECRET_LENGTH)]
"""The password that a phone registers with."""
