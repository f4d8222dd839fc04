"""From settings to the directory that calls are looked up in."""

from __future__ import annotations

from dataclasses import replace

from pydantic import SecretStr

from config.model import (
    KINDS,
    ExtensionSettings,
    OrganisationSettings,
    Settings,
    TrunkSettings,
    UserSettings,
)
from sipcore.domain.directory import ApiKey, Directory, Extension, Organisation, SipHost, Trunk, User


def directory_of(settings: Settings) -> Directory:
    """Make the directory: organisations, users, extensions and trunks, with secrets in the clear."""
    return Directory(
        organisations={name: _organisation(name, org) for name, org in settings.orgs.items()},
        trunks={name: _trunk(name, trunk) for name, trunk in settings.trunks.items()},
        sip_address=settings.sip.address,
    )


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _trunk(name: str, trunk: TrunkSettings) -> Trunk:
    def over_its_transport(host: SipHost) -> SipHost:
        return replace(host, transport=trunk.transport)

    return Trunk(
        name=name,
        proxy=over_its_transport(trunk.proxy),
        registrar=over_its_transport(trunk.registrar) if trunk.registrar else None,
        username=trunk.username or "",
        password=_plain(trunk.password) or "",
        realm=trunk.realm,
        number_format=trunk.number_format,
        identity=trunk.identity,
        register_seconds=trunk.register_seconds,
        any_caller_id=trunk.any_caller_id,
    )


def _organisation(name: str, org: OrganisationSettings) -> Organisation:
    return Organisation(
        name=name,
        country=org.country,
        time_zone=org.time_zone,
        trunk=org.trunk,
        caller_id=org.caller_id,
        caller_ids=org.caller_ids,
        ident=_plain(org.ident),
        users={user_name: _user(user_name, user) for user_name, user in org.users.items()},
        api_keys={key_name: ApiKey(key_name, api_key.digest) for key_name, api_key in org.api_keys.items()},
        extensions={number: _extension(number, extension) for number, extension in org.extensions.items()},
        sip_addresses=org.sip_addresses,
        other_numbers=_other_numbers(org),
        allowed_prefixes=org.allowed_prefixes,
        max_calls=org.max_calls,
        calls_per_second=org.calls_per_second,
    )


def _user(name: str, user: UserSettings) -> User:
    return User(name, password=_plain(user.password), password_hash=_plain(user.password_hash))


def _extension(number: str, extension: ExtensionSettings) -> Extension:
    contact = extension.contact
    if contact is not None and not contact.user:
        contact = replace(contact, user=number)
    return Extension(number, contact=contact, caller_id=extension.caller_id, record=extension.record)


def _other_numbers(org: OrganisationSettings) -> dict[str, str]:
    numbers = {app.number: KINDS["apps"] for app in org.apps.values()}
    for table in (key for key in KINDS if key not in ("extensions", "apps")):
        numbers.update(dict.fromkeys(getattr(org, table), KINDS[table]))
    return numbers
