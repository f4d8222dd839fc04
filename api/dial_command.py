"""The client behind `click2call dial`: places a call through a running server and tells how it goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, cast
from urllib.parse import urlencode, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest

from sipcore.domain.errors import Click2CallError

POLL_SECONDS: Final = 0.2
"""How often the record of a call in progress is read."""
_ANSWER_SECONDS: Final = 10.0
"""How long the server may take to answer, beyond the time that the request lets it wait."""

Tell = Callable[[str], None]
Record = dict[str, Any]


class DialCommandError(Click2CallError):
    """The server cannot be reached, does not answer as it should, or refused the request."""

    error_id = "dial_command"


@dataclass(frozen=True, slots=True)
class Dialling:
    """What `click2call dial` was asked for.

    Attributes:
        url: of the server, without a path.
        organisation, user, password: who asks.
        dial1, dial2: the destinations.
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
    """Place the call, then tell each of its steps until it has ended.

    Returns:
        Whether both parties were joined.

    Raises:
        DialCommandError: with the one line that says what is wrong.
    """
    address = urlsplit(dialling.url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise DialCommandError(f"{dialling.url} is no http:// or https:// address")
    client = AsyncHTTPClient(force_instance=True)
    try:
        tell(f"ringing {dialling.dial1}")
        answer = await _place(client, dialling)
        tell(answer["status"] if "reason" not in answer else f"{answer['status']}: {answer['reason']}")
        told: set[str] = set()
        while True:
            record = await _read_record(client, dialling, answer["dial1"])
            for step in _steps(record):
                if step not in told:
                    told.add(step)
                    tell(step)
            if record["ended_at"] is not None:
                return record["joined_at"] is not None
            await asyncio.sleep(POLL_SECONDS)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise DialCommandError(f"{dialling.url} does not answer as a Click2Call server") from error
    finally:
        client.close()


async def _place(client: AsyncHTTPClient, dialling: Dialling) -> dict[str, str]:
    form = {
        "user": dialling.user,
        "pass": dialling.password,
        "org": dialling.organisation,
        "dial1": dialling.dial1,
        "dial2": dialling.dial2,
        "Timeout": str(dialling.ring_seconds),
        "Response": "yes",
        "showUID": "yes",
        "RFormat": "json",
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
    return cast("dict[str, str]", await _fetch(client, request))


async def _read_record(client: AsyncHTTPClient, dialling: Dialling, uid: str) -> Record:
    request = HTTPRequest(
        f"{dialling.url.rstrip('/')}/api/v1/records?{urlencode({'uid': uid})}",
        auth_username=f"{dialling.user}@{dialling.organisation}",
        auth_password=dialling.password,
        request_timeout=_ANSWER_SECONDS,
        follow_redirects=False,
    )
    return cast("Record", (await _fetch(client, request))["items"][0])


async def _fetch(client: AsyncHTTPClient, request: HTTPRequest) -> dict[str, Any]:
    """Return the JSON object of a 200 answer."""
    try:
        response = await client.fetch(request, raise_error=False)
    except (OSError, HTTPClientError) as error:
        server = urlsplit(request.url)
        raise DialCommandError(f"cannot reach {server.scheme}://{server.netloc}: {error}") from error
    answer = json.loads(response.body)
    if response.code != 200:  # noqa: PLR2004 - HTTP OK
        where = f"{answer['parameter']}: " if "parameter" in answer else ""
        raise DialCommandError(f"refused ({response.code}): {where}{answer.get('reason') or answer.get('detail')}")
    return cast("dict[str, Any]", answer)


def _steps(record: Record) -> Iterator[str]:
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
