"""`/api/v1/docs`: Swagger UI over the description of the JSON API."""

from __future__ import annotations

import http
from pathlib import Path
from typing import Final

from swagger_ui_bundle import swagger_ui_path
from tornado.web import HTTPError

from api.handlers.base import Handler

_OURS: Final = Path(__file__).parents[1] / "docs"
_PAGE: Final = (_OURS / "index.html", "text/html; charset=utf-8")
_FILES: Final = {
    "start.js": (_OURS / "start.js", "text/javascript; charset=utf-8"),
    "swagger-ui-bundle.js": (Path(str(swagger_ui_path)) / "swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    "swagger-ui.css": (Path(str(swagger_ui_path)) / "swagger-ui.css", "text/css; charset=utf-8"),
    "favicon-32x32.png": (Path(str(swagger_ui_path)) / "favicon-32x32.png", "image/png"),
}
# The icons of Swagger UI's style sheet stand in it as data.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing from elsewhere, nothing that stands in the page itself, and no frame around it."""


class DocsHandler(Handler):
    """The page and its files, for anybody; they are no secret, and have none in them."""

    def set_default_headers(self) -> None:
        """Allow the page what it needs."""
        self.set_header("Content-Security-Policy", _POLICY)

    async def get(self, name: str | None = None) -> None:
        """Answer with the page, or a file of this name."""
        found = _FILES.get(name) if name else _PAGE
        if found is None:
            raise HTTPError(http.HTTPStatus.NOT_FOUND)
        path, kind = found
        self.set_header("Content-Type", kind)
        self.finish(path.read_bytes())
