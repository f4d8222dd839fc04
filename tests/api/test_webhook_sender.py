"""Deliveries over HTTP: to checked addresses only, once each, and over in time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from dataclasses import replace

import pytest
from testbed.webhook import WebhookReceiver
from tornado.netutil import _client_ssl_defaults

from api import webhook_sender
from api.webhook_sender import CheckedResolver, HttpWebhookSender, RefusedAddressError
from sipcore.domain.public_events import StoredEvent
from sipcore.domain.webhook import Webhook

EVENT = StoredEvent(0x19A0000000000001, "acme", "ended", '{"version":1,"type":"ended"}')


@pytest.fixture
async def sender():
    sender = HttpWebhookSender()
    yield sender
    sender.close()


@pytest.fixture
def receiver():
    with WebhookReceiver() as receiver:
        yield receiver


def hook(url, *, allow_private=True):
    return Webhook("crm", url, "s3cret", allow_private=allow_private)


@pytest.fixture
def names(monkeypatch):
    """A DNS of the test's own: a list of answers for each name, one after the other."""
    answers, asked = {}, []
    real = socket.getaddrinfo

    def look_up(host, port, *args, **kwargs):
        if host not in answers:
            return real(host, port, *args, **kwargs)
        asked.append(host)
        addresses = answers[host].pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    answers["asked"] = asked
    return answers


async def test_a_delivery_is_one_post_of_the_event(sender, receiver):
    assert (await sender.send(hook(receiver.url + "?tenant=7"), EVENT)).delivered
    (delivery,) = receiver.deliveries
    assert delivery.path == "/hook?tenant=7"
    assert delivery.event == {"id": "19a0000000000001", "version": 1, "type": "ended"}
    assert delivery.headers["Content-Type"] == "application/json"
    assert delivery.headers["Click2Call-Event"] == "ended"
    assert delivery.headers["Host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("status", [201, 204, 400, 404, 410, 500])
async def test_the_receivers_status_is_told(sender, receiver, status):
    receiver.status = status
    assert (await sender.send(hook(receiver.url), EVENT)).status == status


async def test_a_redirect_is_not_followed(sender, receiver):
    receiver.status, receiver.location = 307, "/elsewhere"
    delivery = await sender.send(hook(receiver.url), EVENT)
    assert (delivery.status, delivery.delivered, len(receiver.deliveries)) == (307, False, 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_a_private_address_is_refused_however_it_is_written(sender, receiver, host):
    delivery = await sender.send(hook(f"http://{host}:{receiver.port}/hook", allow_private=False), EVENT)
    assert delivery.status is None
    assert "allow_private" in delivery.problem
    assert receiver.deliveries == []


async def test_a_name_is_looked_up_once_and_the_address_that_was_checked_is_used(sender, receiver, names):
    names["crm.example"] = [["127.0.0.1"], ["203.0.113.9"]]
    delivery = await sender.send(hook(f"http://crm.example:{receiver.port}/hook"), EVENT)
    assert delivery.delivered
    assert names["asked"] == ["crm.example"]
    assert receiver.deliveries[0].headers["Host"] == f"crm.example:{receiver.port}"


async def test_a_name_that_leads_inside_at_the_next_look_up_is_refused_then(names):
    names["rebind.example"] = [["8.8.8.8"], ["127.0.0.1"], ["127.0.0.1", "8.8.8.8"]]
    resolver = CheckedResolver(allow_private=False)
    assert await resolver.resolve("rebind.example", 80) == [(socket.AF_INET, ("8.8.8.8", 80))]
    with pytest.raises(RefusedAddressError, match="private network"):
        await resolver.resolve("rebind.example", 80)
    assert await resolver.resolve("rebind.example", 80) == [(socket.AF_INET, ("8.8.8.8", 80))]


async def test_tls_is_asked_for_the_name_in_the_address_and_checked(sender, names):
    names["crm.example"] = [["127.0.0.1"]]
    hello = asyncio.get_running_loop().create_future()

    async def talk(reader, writer):
        hello.set_result(await reader.read(4096))
        writer.close()

    async with listening(talk) as url:
        delivery = await sender.send(hook(url.replace("http://127.0.0.1", "https://crm.example")), EVENT)
    assert delivery.status is None
    assert b"crm.example" in await hello, "server name indication (RFC 6066 section 3)"
    context = _client_ssl_defaults()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


async def test_a_name_without_an_address_is_told(sender, monkeypatch):
    def nowhere(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    delivery = await sender.send(hook("http://nobody.example/hook"), EVENT)
    assert delivery.status is None
    assert "not known" in delivery.problem


async def test_a_receiver_that_is_not_there_is_told(sender):
    with WebhookReceiver() as gone:
        url = gone.url
    assert (await sender.send(hook(url), EVENT)).status is None


async def test_a_receiver_that_hangs_is_given_up_in_time(sender, receiver, monkeypatch):
    monkeypatch.setattr(webhook_sender, "TOTAL_SECONDS", 0.2)
    receiver.status = None
    delivery = await sender.send(hook(receiver.url), EVENT)
    assert (delivery.status, "Timeout" in delivery.problem) == (None, True)


@contextlib.asynccontextmanager
async def listening(talk):
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    server.close()


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HELLO\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 xyz\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    ],
)
async def test_an_answer_that_is_no_http_is_a_failure(sender, said):
    async def talk(reader, writer):
        await reader.readuntil(b"}")
        writer.write(said)
        writer.close()

    async with listening(talk) as url:
        delivery = await sender.send(hook(url), EVENT)
        assert not delivery.delivered


async def test_a_receiver_that_never_finishes_its_answer_is_given_up_in_time(sender, monkeypatch):
    monkeypatch.setattr(webhook_sender, "TOTAL_SECONDS", 0.3)
    gone = asyncio.Event()

    async def talk(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not gone.is_set():
                writer.write(b"x")
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(gone.wait(), 0.05)
        writer.close()

    async with listening(talk) as url:
        assert (await sender.send(hook(url), EVENT)).status is None
        gone.set()


async def test_the_body_is_signed_as_it_is_sent(sender, receiver):
    await sender.send(replace(hook(receiver.url), secret="other"), EVENT)
    (delivery,) = receiver.deliveries
    stamp = delivery.headers["Click2Call-Signature"].split(",")[0].removeprefix("t=")
    assert delivery.headers["Click2Call-Signature"] == webhook_sender.signature("other", int(stamp), delivery.body)
    assert json.loads(delivery.body)["id"] == EVENT.public_id
