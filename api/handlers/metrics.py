"""`/metrics`, for Prometheus."""

from __future__ import annotations

import hmac
import http

from prometheus_client.exposition import choose_encoder

from api.handlers.base import Handler
from api.metrics import Metrics


class MetricsHandler(Handler):
    """Answers with all metrics, to anybody, or to those who bring the token of the settings."""

    allowed = ("GET", "HEAD")

    def initialize(self, metrics: Metrics, token: str | None) -> None:
        """Take over what the routes give to every request."""
        self._metrics = metrics
        self._token = token

    def get(self) -> None:
        """Answer in the format that the reader prefers."""
        if self._token is not None:
            given = self.request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode()):
                self.set_status(http.HTTPStatus.UNAUTHORIZED)
                self.set_header("WWW-Authenticate", 'Bearer realm="metrics"')
                self.write_refusal(http.HTTPStatus.UNAUTHORIZED, "the token of the settings is needed")
                return
        encode, content_type = choose_encoder(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.finish(encode(self._metrics.registry))

    head = get
