"""What every answer carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tornado.httputil import HTTPHeaders
from tornado.web import OutputTransform

_HEADERS: Final[Mapping[str, str]] = {
    # Requests carry passwords in their URLs, so nothing may be cached and no page may pass its address on.
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class CommonHeaders(OutputTransform):
    """Adds the headers that a handler has not set itself, and takes away the one that names the program.

    It does so as the answer is written: a handler's default headers are set as its request comes in, and the phone of
    a click would wait for that.
    """

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Change the headers."""
        headers.pop("Server", None)
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        return super().transform_first_chunk(status_code, headers, chunk, finishing)
