"""From settings to the directory that calls are looked up in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr

from config.edge.settings import EdgeSettings
from config.logins import UserSettings
from config.model import (
    AppSettings,
    ExtensionSettings,
    IvrSettings,
    MessageSettings,
    OrganisationSettings,
    QueueSettings,
    RingGroupSettings,
    Settings,
    TrunkSettings,
)
from config.origin import AudioSource
from config.values import is_e164
from config.webhook import WebhookSettings
from sipcore.domain.calling_hours import HoursByCountry
from sipcore.domain.directory import (
    Announcement,
    ApiKey,
    App,
    Directory,
    Extension,
    ExternalNumber,
    HuntStrategy,
    Inbound,
    Ivr,
    Organisation,
    Queue,
    RingGroup,
    SipAddress,
    SipHost,
    Trunk,
    User,
)
from sipcore.domain.edge import sip_user
from sipcore.domain.webhook import Webhook


def directory_of(settings: Settings, audio: AudioSource) -> Directory:
    """Make the directory: organisations, users, extensions and trunks, with secrets in the clear.

    Args:
        settings: as they were loaded.
        audio: makes the audio files ready, which may take a while the first time.

    Raises:
        Click2CallError: an audio file cannot be made ready.
    """
    edge = settings.edge
    return Directory(
        organisations={
            name: replace(
                _organisation(name, org, audio, edge),
                future_calls_need_user=settings.schedule.require_user
                if org.schedule_require_user is None
                else org.schedule_require_user,
            )
            for name, org in settings.orgs.items()
        },
        trunks={name: _trunk(name, trunk, edge) for name, trunk in settings.trunks.items()},
        sip_address=settings.sip.address if edge is None else edge.realm,
        edge=None if edge is None else edge.address,
    )


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _trunk(name: str, trunk: TrunkSettings, edge: EdgeSettings | None) -> Trunk:
    """Make a trunk; behind an edge calls go through that, which also registers."""

    def over_its_transport(host: SipHost) -> SipHost:
        return replace(host, transport=trunk.transport)

    return Trunk(
        name=name,
        proxy=over_its_transport(trunk.proxy),
        registrar=over_its_transport(trunk.registrar) if trunk.registrar and edge is None else None,
        outbound_proxy=None if edge is None else edge.address,
        username=trunk.username or "",
        password=_plain(trunk.password) or "",
        realm=trunk.realm,
        number_format=trunk.number_format,
        identity=trunk.identity,
        register_seconds=trunk.register_seconds,
        any_caller_id=trunk.any_caller_id,
    )


def _organisation(name: str, org: OrganisationSettings, audio: AudioSource, edge: EdgeSettings | None) -> Organisation:
    return Organisation(
        name=name,
        country=org.country,
        time_zone=org.time_zone,
        trunk=org.trunk,
        caller_id=org.caller_id,
        caller_ids=org.caller_ids,
        ident=_plain(org.ident),
        users={user_name: _user(user_name, user) for user_name, user in org.users.items()},
        api_keys={key_name: ApiKey(key_name, key.digest, key.scopes) for key_name, key in org.api_keys.items()},
        extensions={
            **_at_the_pbx(org),
            **{number: _extension(name, number, extension, edge) for number, extension in org.extensions.items()},
        },
        external_numbers={
            number: ExternalNumber(number, external.confirm) for number, external in org.external_numbers.items()
        },
        sip_addresses=org.sip_addresses,
        ring_groups={number: _ring_group(number, group) for number, group in org.ring_groups.items()},
        queues={number: _queue(number, queue, audio) for number, queue in org.queues.items()},
        announcements={
            number: _announcement(number, message, org.language, audio) for number, message in org.messages.items()
        },
        ivrs={number: _ivr(number, ivr, audio) for number, ivr in org.ivrs.items()},
        apps={app.number: _app(app_name, app, audio) for app_name, app in org.apps.items()},
        inbound=Inbound(org.inbound.routes, org.inbound.last_agent),
        internal_numbers=org.internal_numbers,
        allowed_prefixes=org.allowed_prefixes,
        max_calls=org.max_calls,
        calls_per_second=org.calls_per_second,
        prompts=audio.prompts(org.language, org.prompts),
        machine_detection=org.machine_detection.detection,
        recording=org.recording.rules,
        calling_hours=HoursByCountry.parse(org.calling_hours, "calling_hours"),
        event_digits=org.event_digits,
        webhooks={webhook_name: _webhook(webhook_name, webhook) for webhook_name, webhook in org.webhooks.items()},
    )


def _ready(path: Path | None, audio: AudioSource) -> str | None:
    return None if path is None else str(audio.converted(path))


def _ring_group(number: str, group: RingGroupSettings) -> RingGroup:
    """Make a ring group; without a limit of its own it rings for as long as its members may one after the other."""
    strategy = HuntStrategy(group.strategy)
    rounds = 1 if strategy is HuntStrategy.RING_ALL else len(group.members)
    total = group.total_seconds or group.ring_seconds * rounds
    return RingGroup(number, group.members, strategy, float(group.ring_seconds), float(total))


def _queue(number: str, queue: QueueSettings, audio: AudioSource) -> Queue:
    return Queue(
        number=number,
        agents=queue.agents,
        strategy=HuntStrategy(queue.strategy),
        ring_seconds=queue.ring_seconds,
        music=_ready(queue.music, audio),
        max_wait_seconds=queue.max_wait_seconds,
        max_waiting=queue.max_waiting,
        then=queue.then,
        position_seconds=queue.position_seconds,
        wrap_up_seconds=queue.wrap_up_seconds,
        pacing=queue.pacing,
    )


def _announcement(number: str, message: MessageSettings, language: str, audio: AudioSource) -> Announcement:
    file, text = message.audio, message.text or ""
    played = audio.spoken(text, language) if file is None else audio.converted(file)
    return Announcement(number, str(played), message.repeats, message.key, message.then)


def _ivr(number: str, ivr: IvrSettings, audio: AudioSource) -> Ivr:
    return Ivr(
        number=number,
        prompt=str(audio.converted(ivr.prompt)),
        options=ivr.options,
        timeout_seconds=ivr.timeout_seconds,
        repeats=ivr.repeats,
        barge_in=ivr.barge_in,
        direct_dial=ivr.direct_dial,
    )


def _app(name: str, app: AppSettings, audio: AudioSource) -> App:
    return App(name, app.number, app.kind, _ready(app.audio, audio), app.max_seconds)


def _at_the_pbx(org: OrganisationSettings) -> dict[str, Extension]:
    """Make the extensions that only ring groups and queues name: numbers of the PBX behind the trunk."""
    if org.trunk is None:
        return {}
    named = {number for group in org.ring_groups.values() for number in group.members}
    named |= {number for queue in org.queues.values() for number in queue.agents}
    return {number: Extension(number) for number in named - org.ring_groups.keys() if not is_e164(number)}


def _webhook(name: str, webhook: WebhookSettings) -> Webhook:
    return Webhook(
        name=name,
        url=webhook.url.get_secret_value(),
        secret=webhook.secret.get_secret_value(),
        types=frozenset(webhook.types),
        allow_private=webhook.allow_private,
    )


def _user(name: str, user: UserSettings) -> User:
    return User(name, _plain(user.password), _plain(user.password_hash), user.scopes)


def _extension(organisation: str, number: str, extension: ExtensionSettings, edge: EdgeSettings | None) -> Extension:
    contact = extension.contact
    if extension.secret is not None and edge is not None:
        contact = SipAddress(sip_user(organisation, number), edge.address)
    elif contact is not None and not contact.user:
        contact = replace(contact, user=number)
    return Extension(
        number,
        contact=contact,
        caller_id=extension.caller_id,
        record=extension.record,
        confirm=extension.confirm,
        auto_answer=extension.auto_answer,
    )
