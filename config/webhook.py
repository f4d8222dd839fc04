"""Who is told of events: `[orgs.ORG.webhooks.NAME]`."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import model_validator

from config.secret import SigningSecret, WebhookUrl
from config.table import Table
from config.values import EventTypes, refused
from sipcore.domain.webhook import refusal


class WebhookSettings(Table):
    """`[orgs.ORG.webhooks.NAME]`: who is told of events."""

    url: WebhookUrl
    secret: SigningSecret
    types: EventTypes = ()
    allow_private: bool = False

    @model_validator(mode="after")
    def _address_is_allowed(self) -> Self:
        # A name is looked up, and its addresses are checked, when an event is sent.
        host = urlsplit(self.url.get_secret_value()).hostname or ""
        try:
            reason = refusal(host, allow_private=self.allow_private)
        except ValueError:
            reason = None
        if reason is not None:
            raise refused(f"expected a public address in `url`: {reason}")
        return self
