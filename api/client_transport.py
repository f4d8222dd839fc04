"""Requests to one server and how they fail: what every part of the client goes through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
from httpx_sse import SSEError
from pydantic import ValidationError

from api.models import Model
from sipcore.domain.errors import Click2CallError

ANSWER_SECONDS: Final = 10.0
"""How long the server may take to answer, beyond the time that the request lets it wait."""

ModelT = TypeVar("ModelT", bound=Model)


class ClientError(Click2CallError):
    """What was asked of a server did not come about."""

    error_id = "client"


class UnreachableError(ClientError):
    """The server cannot be reached, or was lost before its answer was whole."""

    error_id = "unreachable"


class UnexpectedAnswerError(ClientError):
    """Something answers, but not as a Click2Call server does."""

    error_id = "unexpected_answer"


class RefusedError(ClientError):
    """The server refused; nothing was done.

    Args:
        status: of HTTP.
        detail: what was wrong, for people.
        error_id: the problem's stable id.
        parameter: what part of the request it is about, or None.
        retry_after: seconds after which it may succeed, or None.
    """

    error_id = "refused"

    def __init__(
        self, status: int, detail: str, error_id: str | None, parameter: str | None, retry_after: int | None
    ) -> None:
        super().__init__(f"refused ({status}): {detail}")
        self.status = status
        self.detail = detail
        self.error_id = error_id or type(self).error_id
        self.parameter = parameter
        self.retry_after = retry_after


class Transport:
    """The connection to one server.

    Args:
        url: of the server, without a path.
        key: a Bearer key; in its place:
        user: as `user@organisation`, with its `password`.

    Raises:
        ClientError: the URL is none.
    """

    def __init__(self, url: str, *, key: str | None = None, user: str = "", password: str = "") -> None:
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL:
            address = httpx.URL()
        if address.scheme not in {"http", "https"} or not address.host:
            raise ClientError(f"{url} is no http:// or https:// address")
        self._url = url
        self._http = httpx.Client(
            base_url=address,
            auth=None if key else httpx.BasicAuth(user, password),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=ANSWER_SECONDS,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _pages(self, model: type[Any], path: str, query: Mapping[str, str]) -> Iterator[Any]:
        cursor: str | None = ""
        while cursor is not None:
            page: Any = self._get(model, path, {**query, **({"cursor": cursor} if cursor else {})})
            yield from page.items
            cursor = page.next

    def _get(self, model: type[ModelT], path: str, query: Mapping[str, str] | None = None) -> ModelT:
        return self._read(model, self._ask("GET", path, params=query))

    def _read(self, model: type[ModelT], response: httpx.Response) -> ModelT:
        try:
            return model.model_validate_json(response.content, extra="ignore")
        except ValidationError as error:
            raise self._unexpected() from error

    def _json(self, response: httpx.Response) -> Mapping[str, Any]:
        try:
            told = response.json()
        except ValueError as error:
            raise self._unexpected() from error
        if not isinstance(told, dict):
            raise self._unexpected()
        return told

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        with self._failures_told():
            response = self._http.request(method, path, **request)
            self._check(response)
            return response

    @contextmanager
    def _streamed(self, path: str, query: Mapping[str, str]) -> Iterator[httpx.Response]:
        with self._failures_told(), self._http.stream("GET", path, params=query) as response:
            self._check(response)
            yield response

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        try:
            yield
        except SSEError as error:
            raise self._unexpected() from error
        except httpx.HTTPError as error:
            raise UnreachableError(f"cannot reach {self._url}: {error or type(error).__name__}") from error

    def _check(self, response: httpx.Response) -> None:
        """Let an answer pass that tells of success."""
        if response.is_success:
            return
        response.read()
        told = self._json(response)
        # Problem details (RFC 9457), or an error of the URL call.
        detail, parameter = told.get("detail"), told.get("parameter")
        if detail is None and "reason" in told:
            detail = told["reason"] if parameter is None else f"{parameter}: {told['reason']}"
        if detail is None:
            raise self._unexpected()
        wait = response.headers.get("Retry-After", "")
        retry_after = int(wait) if wait.isdecimal() else None
        raise RefusedError(response.status_code, detail, told.get("error_id"), parameter, retry_after)

    def _unexpected(self) -> UnexpectedAnswerError:
        return UnexpectedAnswerError(f"{self._url} does not answer as a Click2Call server")
