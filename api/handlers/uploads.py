"""Lists of numbers as bodies of requests, read as they come and never held as a whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.message import Message
from typing import Any, Final

from tornado.http1connection import HTTP1Connection
from tornado.web import stream_request_body

from api.bodies import CHARSETS, TooLongError
from api.campaign_models import RefusedLine, UploadReport
from api.handlers.operation import ContentTypeError, OperationHandler
from api.operations import Operation
from sipcore.domain.directory import Scope
from sipcore.domain.errors import Click2CallError
from sipcore.domain.number_file import ListFormat
from sipcore.service.authentication import Authenticator, Caller
from sipcore.service.number_upload import NumberUpload

FORMATS: Final[Mapping[str, ListFormat]] = {
    "text/csv": ListFormat.CSV,
    "application/jsonl": ListFormat.JSON_LINES,
    "application/x-ndjson": ListFormat.JSON_LINES,
}
MAX_UPLOAD_BYTES: Final = 512 * 1024 * 1024
"""A million lines with the longest references are shorter."""
UPLOAD_SECONDS: Final = 3600.0
"""How long a list may take to come."""

Begin = Callable[[Caller, Sequence[str], ListFormat], Awaitable[NumberUpload[Any] | None]]
"""Begins to take a list, by who brings it, the values of the path's places, and how it is written; None: there is
nothing that could take it."""


@stream_request_body
class UploadHandler(OperationHandler):
    """The operations of one path of which POST takes a list."""

    def initialize(  # type: ignore[override]
        self, authenticator: Authenticator, operations: Mapping[str, Operation], begin: Begin
    ) -> None:
        """Take over what the routes give to every request."""
        super().initialize(authenticator, operations)
        self.allowed = (*operations, "POST")  # type: ignore[misc]
        self._begin = begin
        self._upload: NumberUpload[Any] | None = None

    async def prepare(self) -> None:
        """Look at who brings a list, and what for, before any of it is read."""
        if self.request.method != "POST":
            return
        try:
            caller = await self.authenticate(Scope.CALL)
            upload = await self._begin(caller, self.path_args, self._format())
        except Click2CallError as error:
            self.refuse(error)
            return
        if upload is None:
            self.refuse_unknown()
            return
        connection = self.request.connection
        if isinstance(connection, HTTP1Connection):
            connection.set_max_body_size(MAX_UPLOAD_BYTES)
            connection.set_body_timeout(UPLOAD_SECONDS)
        self._upload = upload

    async def data_received(self, chunk: bytes) -> None:
        """Take a piece; the next one is read when this one is written."""
        if self._upload is None:
            return
        try:
            await self._upload.feed(chunk)
        except Click2CallError as error:
            self._upload = None
            self.refuse(error)

    async def post(self, *_path: str) -> None:
        """Answer with what became of the lines."""
        if self._upload is None:
            return
        try:
            report = await self._upload.end()
        except Click2CallError as error:
            self.refuse(error)
            return
        shown = [RefusedLine(line=each.line, text=each.text, reason=each.reason) for each in report.refusals]
        answer = UploadReport(accepted=report.accepted, refused=report.refused, refusals=shown)
        self.set_header("Content-Type", "application/json; charset=utf-8")
        self.finish(answer.model_dump_json())

    def _format(self) -> ListFormat:
        headers = self.request.headers
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise ContentTypeError("Content-Encoding", "compressed bodies are not read")
        if int(headers.get("Content-Length", "0")) > MAX_UPLOAD_BYTES:
            raise TooLongError("body", MAX_UPLOAD_BYTES)
        header = Message()
        header["Content-Type"] = headers.get("Content-Type", "")
        kind = header.get_content_type()
        if kind not in FORMATS or "Content-Type" not in headers:
            raise ContentTypeError("Content-Type", f"must be {', '.join(FORMATS)}")
        if (header.get_content_charset() or CHARSETS[0]) not in CHARSETS:
            raise ContentTypeError("Content-Type", "must be UTF-8, or name no charset")
        return FORMATS[kind]
