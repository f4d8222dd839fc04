"""One line per HTTP request. The query string is never in it: `dialup` carries passwords there."""

from __future__ import annotations

import structlog
from tornado.web import RequestHandler

from sipcore.service.authentication import Caller

_LONGEST_PATH = 200
_log = structlog.get_logger("http")


def log_request(handler: RequestHandler) -> None:
    """Write the line of a finished request: method, path without query, status, duration, and who asked.

    Health checks and looks at the metrics that went well are logged at debug level: they come every few seconds.
    """
    request = handler.request
    status = int(handler.get_status())
    facts: dict[str, object] = {
        "method": request.method,
        "path": request.path[:_LONGEST_PATH],
        "status": status,
        "ms": round(1000 * request.request_time(), 2),
        "ip": request.remote_ip,
    }
    caller: Caller | None = getattr(handler, "caller", None)
    if caller is not None:
        facts |= {"organisation": caller.organisation, "user": caller.user}
    if getattr(handler, "client_gone", False):
        facts["client_gone"] = True
    write = _log.debug if request.path in {"/healthz", "/readyz", "/metrics"} and status < 400 else _log.info  # noqa: PLR2004
    write("request", **facts)
