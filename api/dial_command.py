"""The client behind `click2call dial`: places a call through a running server and tells how it goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import urlencode, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from api.parameters import apart
from sipcore.domain.errors import Click2CallError

POLL_SECONDS: Final = 0.2
"""How often the record of a call in progress, or the batch, is read."""
_ANSWER_SECONDS: Final = 10.0
"""How long the server may take to answer, beyond the time that the request lets it wait."""

Tell = Callable[[str], None]
Resource = dict[str, Any]


class DialCommandError(Click2CallError):
    """The server cannot be reached, does not answer as it should, or refused the request."""

    error_id = "dial_command"


@dataclass(frozen=True, slots=True)
class Dialling:
    """What `click2call dial` was asked for.

    Attributes:
        url: of the server, without a path.
        organisation, user, password: who asks.
        dial1, dial2: the destinations; dial1 may name several.
        set_cid: caller identity, or None.
        ring_seconds: how long destination 1 may ring.
    """

    url: str
    organisation: str
    user: str
    password: str = field(repr=False)
    dial1: str
    dial2: str
    set_cid: str | None
    ring_seconds: int


async def dial_and_watch(dialling: Dialling, tell: Tell) -> bool:
    """Place the call, then tell each of its steps until it has ended; of many calls, how each number stands.

    Returns:
        Whether both parties were joined; of many numbers, whether one was answered.

    Raises:
        DialCommandError: with the one line that says what is wrong.
    """
    address = urlsplit(dialling.url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise DialCommandError(f"{dialling.url} is no http:// or https:// address")
    client = AsyncHTTPClient(force_instance=True)
    watch = _dial_many if len(apart(dialling.dial1)) > 1 else _dial_one
    try:
        return await watch(client, dialling, tell)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise DialCommandError(f"{dialling.url} does not answer as a Click2Call server") from error
    finally:
        client.close()


async def _dial_one(client: AsyncHTTPClient, dialling: Dialling, tell: Tell) -> bool:
    tell(f"ringing {dialling.dial1}")
    placed = await _place(client, dialling, {"Response": "yes", "showUID": "yes"})
    answer = json.loads(placed.body)
    tell(answer["status"] if "reason" not in answer else f"{answer['status']}: {answer['reason']}")
    told: set[str] = set()
    while True:
        page = await _read(client, dialling, f"/api/v1/records?{urlencode({'uid': answer['dial1']})}")
        record = page["items"][0]
        for step in _steps(record):
            if step not in told:
                told.add(step)
                tell(step)
        if record["ended_at"] is not None:
            return bool(record["joined_at"] is not None)
        await asyncio.sleep(POLL_SECONDS)


async def _dial_many(client: AsyncHTTPClient, dialling: Dialling, tell: Tell) -> bool:
    placed = await _place(client, dialling, {})
    path = placed.headers["Link"].partition("<")[2].partition(">")[0]
    told: dict[str, str] = {}
    while True:
        batch = await _read(client, dialling, path)
        if not told:
            tell(f"batch {batch['id']}: {batch['numbers']} numbers")
        for result in batch["results"]:
            news = result["status"] if result["reason"] is None else f"{result['status']}: {result['reason']}"
            if told.setdefault(result["number"], "queued") != news:
                told[result["number"]] = news
                tell(f"{result['number']}: {news}")
        if batch["ended_at"] is not None:
            counted = (f"{count} {status}" for status, count in batch["counts"].items() if count)
            tell(f"{batch['state']}: {', '.join(counted)}")
            return bool(batch["counts"]["answered"])
        await asyncio.sleep(POLL_SECONDS)


async def _place(client: AsyncHTTPClient, dialling: Dialling, answer: dict[str, str]) -> HTTPResponse:
    """Send the request, with the parameters of its answer beside its own."""
    form = {
        "user": dialling.user,
        "pass": dialling.password,
        "org": dialling.organisation,
        "dial1": dialling.dial1,
        "dial2": dialling.dial2,
        "Timeout": str(dialling.ring_seconds),
        "RFormat": "json",
        **answer,
    }
    if dialling.set_cid is not None:
        form["SetCID"] = dialling.set_cid
    request = HTTPRequest(
        f"{dialling.url.rstrip('/')}/API/dialup.php",
        method="POST",
        body=urlencode(form),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        request_timeout=dialling.ring_seconds + _ANSWER_SECONDS,
        follow_redirects=False,
    )
    return await _fetch(client, request)


async def _read(client: AsyncHTTPClient, dialling: Dialling, path: str) -> Resource:
    request = HTTPRequest(
        dialling.url.rstrip("/") + path,
        auth_username=f"{dialling.user}@{dialling.organisation}",
        auth_password=dialling.password,
        request_timeout=_ANSWER_SECONDS,
        follow_redirects=False,
    )
    return cast("Resource", json.loads((await _fetch(client, request)).body))


async def _fetch(client: AsyncHTTPClient, request: HTTPRequest) -> HTTPResponse:
    """Return a 200 answer."""
    try:
        response = await client.fetch(request, raise_error=False)
    except (OSError, HTTPClientError) as error:
        server = urlsplit(request.url)
        raise DialCommandError(f"cannot reach {server.scheme}://{server.netloc}: {error}") from error
    if response.code != 200:  # noqa: PLR2004 - HTTP OK
        refusal = json.loads(response.body)
        where = f"{refusal['parameter']}: " if "parameter" in refusal else ""
        raise DialCommandError(f"refused ({response.code}): {where}{refusal.get('reason') or refusal.get('detail')}")
    return response


def _steps(record: Resource) -> Iterator[str]:
    """Tell everything that has happened so far, in the order of time."""
    happened: list[tuple[str, str]] = []
    for number, leg in enumerate(record["legs"], start=1):
        happened.append((leg["ringing_at"], f"leg {number} ringing"))
        happened.append((leg["answered_at"], f"leg {number} answered"))
        if leg["answered_at"] is None:
            code = "" if leg["sip_code"] is None else f" (SIP {leg['sip_code']})"
            happened.append((leg["ended_at"], f"leg {number} {leg['disposition']}{code}"))
    happened.append((record["joined_at"], "joined"))
    happened.append((record["ended_at"], f"ended: {record['disposition']}"))
    start = datetime.fromisoformat(record["accepted_at"])
    # Sorting is stable: what happened in the same millisecond stays in the order of a call.
    for moment, what in sorted((step for step in happened if step[0] is not None), key=lambda step: step[0]):
        yield f"{(datetime.fromisoformat(moment) - start).total_seconds():8.3f} s  {what}"
