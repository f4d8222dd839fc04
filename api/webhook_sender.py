"""Delivering events to webhooks over HTTP: signed, to addresses that were checked, and without following anybody.

A host name is looked up once for each attempt, its addresses are checked, and the connection goes to one of those that
passed, while the Host header and the name in the certificate stay the URL's. So an answer of the DNS that changes
between the check and the connection changes nothing (DNS rebinding).
"""

from __future__ import annotations

import socket
import time
from typing import Any

from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.netutil import DefaultExecutorResolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from sipcore.domain.public_events import StoredEvent
from sipcore.domain.webhook import CONNECT_SECONDS, TOTAL_SECONDS, Delivery, Webhook, refusal, signature

_MOST_AT_ONCE = 10_000
"""One delivery for each webhook is under way at most, and none shall wait for another one's receiver."""
_LONGEST_ANSWER = 1_000_000


class RefusedAddressError(OSError):
    """The name has no address that may be told events."""


class CheckedResolver(DefaultExecutorResolver):
    """Looks names up, and gives only those of their addresses that events may be sent to."""

    def initialize(self, *, allow_private: bool) -> None:
        """Take over whether private networks are allowed."""
        self._allow_private = allow_private

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        """Return family and address of each way to the host.

        Raises:
            RefusedAddressError: none of its addresses is allowed.
            OSError: it has none.
        """
        found = await super().resolve(host, port, family)
        judged = [(way, refusal(way[1][0], allow_private=self._allow_private)) for way in found]
        allowed = [way for way, reason in judged if reason is None]
        if not allowed:
            raise RefusedAddressError("; ".join(dict.fromkeys(reason for _, reason in judged if reason)))
        return allowed


class HttpWebhookSender:
    """Sends events as POST requests."""

    def __init__(self) -> None:
        self._clients = {
            allow_private: SimpleAsyncHTTPClient(
                force_instance=True,
                resolver=CheckedResolver(allow_private=allow_private),
                max_clients=_MOST_AT_ONCE,
                max_body_size=_LONGEST_ANSWER,
            )
            for allow_private in (False, True)
        }

    async def send(self, webhook: Webhook, event: StoredEvent) -> Delivery:
        """POST an event; whatever goes wrong is in what it returns."""
        request = _request(webhook, event)
        try:
            answer = await self._clients[webhook.allow_private].fetch(request, raise_error=False)
        except HTTPClientError as error:  # 599: no answer
            return Delivery(None, str(error))
        except (OSError, ValueError) as error:
            # ValueError: an answer that is no HTTP.
            return Delivery(None, str(error) or type(error).__name__)
        return Delivery(answer.code)

    def close(self) -> None:
        """Break off what is under way."""
        for client in self._clients.values():
            client.close()


def _request(webhook: Webhook, event: StoredEvent) -> HTTPRequest:
    body = event.json()
    return HTTPRequest(
        webhook.url,
        method="POST",
        headers={
            "Content-Type": "application/json",
            "Click2Call-Event": event.type,
            "Click2Call-Event-Id": event.public_id,
            "Click2Call-Signature": signature(webhook.secret, int(time.time()), body),
        },
        body=body,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=TOTAL_SECONDS,
        follow_redirects=False,
        decompress_response=False,
        user_agent="Click2Call",
    )
