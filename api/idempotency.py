"""Requests that name themselves, so that they may be sent again: `Idempotency-Key`, and `reqid` of `dialup`."""

from __future__ import annotations

from collections.abc import Mapping

from tornado.web import RequestHandler

from sipcore.domain.idempotency import KeptAnswer, checked_key

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
"""Tells that an answer is the first one, given again."""
_KEPT_HEADERS = ("Content-Type", "Link", "Location")


def header_key(headers: Mapping[str, str]) -> str | None:
    """Return the key that the header names, with or without the quotes of RFC 9651, or None.

    Raises:
        ParameterError: it is malformed.
    """
    key = headers.get(HEADER)
    if key is None:
        return None
    quoted = len(key) > 1 and key[0] == key[-1] == '"'
    return checked_key(HEADER, key[1:-1] if quoted else key)


def answer_of(handler: RequestHandler, body: bytes) -> KeptAnswer:
    """Tell what a handler answers with a body."""
    told = handler._headers  # noqa: SLF001 - Tornado has no other way to read them
    headers = {name: told[name] for name in _KEPT_HEADERS if name in told}
    return KeptAnswer(handler.get_status(), headers, body.decode())


def give_again(handler: RequestHandler, answer: KeptAnswer) -> None:
    """Answer as the first time."""
    handler.set_status(answer.status)
    for name, value in answer.headers.items():
        handler.set_header(name, value)
    handler.set_header(REPLAYED, "true")
    handler.finish(answer.body)
