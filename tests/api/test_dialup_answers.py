"""What `dialup` answers: byte for byte, in four formats, at once or after the first stage."""

from __future__ import annotations

import asyncio
import json

import pytest
from lxml import etree

from api.handlers import dialup
from sipcore.domain.errors import (
    LimitReachedError,
    NoLegCapacityError,
    NotAllowedError,
    ShuttingDownError,
    StoreUnavailableError,
)
from sipcore.service.calls import DialRequest

HTML = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Click2Call</title></head><body>{}</body></html>'
)
TYPES = {
    "text": "text/plain; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "xml": "application/xml; charset=utf-8",
    "json": "application/json; charset=utf-8",
}
BOTH = "<dial1>uid-1</dial1><dial2>uid-2</dial2>"


async def test_without_response_the_answer_is_200_and_empty(site):
    site.calls.pending = True
    answer = await site.dialup()
    assert (answer.code, answer.body) == (200, b"")
    assert site.calls.dialled == [DialRequest("acme", "alice", "101", "+12025550123", None, 20)]


@pytest.mark.parametrize("path", ["/API/dialup.php", "/API/dialup"])
async def test_both_paths_dial(site, path):
    answer = await site.fetch(f"{path}?user=alice&pass=s3cret&org=acme&dial1=101&dial2=102&SetCID=103&Timeout=7")
    assert answer.code == 200
    assert site.calls.dialled == [DialRequest("acme", "alice", "101", "102", "103", 7)]


@pytest.mark.parametrize(
    ("wanted", "show", "fail_reason", "body"),
    [
        ("text", "no", None, "ok"),
        ("text", "no", "Busy", "Fail: Busy"),
        ("text", "yes", None, "ok\ndial1=uid-1\ndial2=uid-2"),
        ("text", "yes", "No answer", "Fail: No answer\ndial1=uid-1\ndial2=uid-2"),
        ("json", "no", None, '{"status":"ok"}'),
        ("json", "no", "Busy", '{"status":"Fail","reason":"Busy"}'),
        ("json", "yes", None, '{"status":"ok","dial1":"uid-1","dial2":"uid-2"}'),
        ("json", "yes", "Busy", '{"status":"Fail","reason":"Busy","dial1":"uid-1","dial2":"uid-2"}'),
        ("xml", "no", None, "<response><status>ok</status></response>"),
        ("xml", "no", "Busy", "<response><status>Fail</status><reason>Busy</reason></response>"),
        ("xml", "yes", None, f"<response><status>ok</status>{BOTH}</response>"),
        ("xml", "yes", "Busy", f"<response><status>Fail</status><reason>Busy</reason>{BOTH}</response>"),
        ("html", "no", None, HTML.format("<p>ok</p>")),
        ("html", "yes", "Busy", HTML.format("<p>Fail: Busy</p><p>dial1=uid-1</p><p>dial2=uid-2</p>")),
    ],
)
async def test_the_first_stage_is_told_in_the_format_asked_for(site, wanted, show, fail_reason, body):
    site.calls.fail_reason = fail_reason
    answer = await site.dialup({"Response": "yes", "showUID": show, "RFormat": wanted})
    assert answer.code == 200
    assert answer.body.decode() == body
    assert answer.headers["Content-Type"] == TYPES[wanted]
    assert answer.headers["Cache-Control"] == "no-store"


async def test_the_whole_answer_is_as_lean_on_the_wire_as_the_contract_says(site):
    query = b"user=alice&pass=s3cret&org=acme&dial1=101&dial2=102&response=YES"
    answer = await site.raw(b"GET /API/dialup.php?" + query + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    names = {line.split(b":")[0].lower() for line in head.split(b"\r\n")[1:]}
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b"ok"
    assert b"server" not in names
    assert b"etag" not in names


async def test_an_answer_waits_for_the_first_stage(site):
    site.calls.pending = True
    asking = asyncio.create_task(site.dialup({"Response": "yes"}))
    await site.calls.arrived.wait()
    assert not asking.done()
    site.calls.first_stages[0].set_result(None)
    assert (await asking).body == b"ok"


async def test_an_answer_that_is_overdue_says_no_answer_and_the_call_goes_on(site, monkeypatch):
    monkeypatch.setattr(dialup, "ANSWER_MARGIN_SECONDS", -0.98)
    site.calls.pending = True
    answer = await site.dialup({"Response": "yes", "Timeout": "1"})
    assert answer.body == b"Fail: No answer"
    assert not site.calls.first_stages[0].done()


async def test_a_client_that_goes_away_leaves_its_call_alone_and_no_error_in_the_log(site, caplog):
    site.calls.pending = True
    _, writer = await asyncio.open_connection("127.0.0.1", site.port)
    query = b"user=alice&pass=s3cret&org=acme&dial1=101&dial2=102&Response=yes"
    writer.write(b"GET /API/dialup.php?" + query + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    await site.calls.arrived.wait()
    writer.close()
    async with asyncio.timeout(5):
        while not site.logged:  # noqa: ASYNC110 - a list of log lines has no event
            await asyncio.sleep(0)
    assert site.logged[0]["client_gone"] is True
    assert not site.calls.first_stages[0].done()
    assert [record for record in caplog.records if record.levelname in {"WARNING", "ERROR"}] == []


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (NotAllowedError("SetCID", "is no number of the organisation"), 403, "SetCID: is no number"),
        (LimitReachedError("max_calls", 5), 429, "max_calls"),
        (NoLegCapacityError("no free leg"), 503, "no free leg"),
        (StoreUnavailableError(), 503, "service unavailable"),
        (ShuttingDownError("the server is being stopped"), 503, "being stopped"),
    ],
)
async def test_a_refused_call_is_told_with_its_own_status_also_without_response(site, error, status, words):
    site.calls.error = error
    answer = await site.dialup()
    assert answer.code == status
    assert words in answer.body.decode()
    assert answer.headers.get("Retry-After") == ("5" if status == 429 else None)


async def test_what_goes_wrong_inside_is_500_without_its_text_and_logged_without_the_query(site):
    site.calls.error = RuntimeError("the inside")
    answer = await site.dialup({"RFormat": "json"})
    assert (answer.code, answer.body) == (500, b'{"status":"error","reason":"internal server error"}')
    failed = next(entry for entry in site.logged if entry["event"] == "request failed")
    assert "RuntimeError: the inside" in failed["exception"]
    assert "exc_info" not in failed  # a renderer would show the password among the frames' local variables
    assert "s3cret" not in repr(site.logged)


async def test_an_error_is_told_in_every_format_with_the_name_of_the_parameter(site):
    reason = "must be a whole number of seconds from 1 to 300"
    bodies = {
        wanted: (await site.dialup({"Timeout": "0", "rformat": wanted.upper()})).body.decode() for wanted in TYPES
    }
    assert bodies["text"] == f"error: Timeout: {reason}"
    assert bodies["html"] == HTML.format(f"<p>error: Timeout: {reason}</p>")
    assert json.loads(bodies["json"]) == {"status": "error", "parameter": "Timeout", "reason": reason}
    document = etree.fromstring(bodies["xml"])
    assert [(child.tag, child.text) for child in document] == [
        ("status", "error"),
        ("parameter", "Timeout"),
        ("reason", reason),
    ]


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_never_dial(site, method):
    answer = await site.dialup(method=method, allow_nonstandard_methods=True)
    assert (answer.code, answer.headers["Allow"]) == (405, "GET, POST")
    assert site.calls.dialled == []


async def test_a_head_with_a_body_never_dials(site):
    answer = await site.dialup(method="HEAD", body=b"Response=yes", allow_nonstandard_methods=True)
    assert answer.code == 405
    assert site.calls.dialled == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch"),
        ("Sec-Purpose", "prefetch;prerender"),
        ("Sec-Purpose", "Prefetch; anonymous-client-ip"),
        ("X-Moz", "prefetch"),
    ],
)
async def test_a_prefetch_never_dials(site, name, value):
    answer = await site.dialup(headers={name: value})
    assert answer.code == 403
    assert name in answer.body.decode()
    assert site.calls.dialled == []


async def test_a_conditional_request_dials_like_any_other(site):
    answer = await site.dialup({"Response": "yes"}, headers={"If-None-Match": "*"})
    assert (answer.code, answer.body) == (200, b"ok")


async def test_many_requests_on_one_connection_are_answered_in_order(site):
    one = b"GET /API/dialup.php?user=alice&pass=s3cret&org=acme&dial1=%d&dial2=1&Response=yes HTTP/1.1\r\nHost: x\r\n"
    last = b"Connection: close\r\n\r\n"
    answer = await site.raw(b"".join(one % n + b"\r\n" for n in range(5)) + one % 5 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 6
    assert [request.dial1 for request in site.calls.dialled] == ["0", "1", "2", "3", "4", "5"]
