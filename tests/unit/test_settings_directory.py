import hashlib
from pathlib import Path

import pytest

from config.directory import directory_of
from config.loader import load
from sipcore.domain.directory import (
    Announcement,
    ApiKey,
    App,
    Directory,
    Extension,
    ExternalNumber,
    HuntStrategy,
    Inbound,
    Ivr,
    Organisation,
    Queue,
    RingGroup,
    SipAddress,
    SipHost,
    Trunk,
    User,
)

HASH = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$Q2xpY2syQ2FsbENsaWNrMkNhbGw"

SETTINGS = f"""
sip.address = "192.0.2.1"
[trunks.main]
proxy = "sip:trunk.example:5070"
registrar = "sip:registrar.example"
username = "trunkuser"
password = "trunkpass"
realm = "trunk.example"
transport = "tcp"
number_format = "national"
identity = ["from", "remote-party-id", "privacy"]
register_seconds = 60
any_caller_id = false
[trunks.pbx]
proxy = "sip:192.0.2.2"
[orgs.acme]
country = "GB"
time_zone = "Europe/London"
trunk = "main"
caller_id = "+442079460000"
caller_ids = ["+442079460001"]
ident = "org-secret"
allowed_prefixes = ["+44"]
max_calls = 3
calls_per_second = 2
users.alice.password = "s3cret"
users.bob.password_hash = "{HASH}"
api_keys.crm.key = "k3y"
api_keys.erp.key_hash = "sha256:{"AB" * 32}"
sip_addresses.desk = "sip:front.desk@192.0.2.9:5080"
extensions.101 = {{ contact = "sip:alice@192.0.2.3:5062", caller_id = "+442079460101", record = true }}
extensions.102.contact = "sip:192.0.2.4"
extensions.103 = {{}}
extensions.104 = {{ confirm = true, auto_answer = true }}
external_numbers."+442079460200".confirm = true
inbound = {{ "+442079460000" = "700", last_agent = true }}
internal_numbers = ["2xx"]
ring_groups.600 = {{ members = ["101", "102"], strategy = "linear", ring_seconds = 10 }}
ring_groups.601 = {{ members = ["600", "+442079460123"], ring_seconds = 30 }}
queues.700.agents = ["101"]
queues.700.music = "music.wav"
queues.700.max_waiting = 9
queues.700.then = "800"
queues.700.position_seconds = 30
queues.700.pacing = 1.5
messages.800.text = "We are closed"
messages.801 = {{ audio = "open.wav", repeats = 2, key = "1", then = "600" }}
ivrs.900 = {{ prompt = "menu.wav", options = {{ "1" = "600" }}, direct_dial = true }}
apps.echo = {{ number = "*43", kind = "echo" }}
apps.box = {{ number = "*97", kind = "voicemail", audio = "greeting.wav", max_seconds = 60 }}
[orgs.beta]
"""


class Audio:
    """Says what it was asked for, in place of making it ready."""

    def converted(self, path):
        return Path("/ready") / path.name

    def spoken(self, text, language):
        return Path(f"/{language}") / text

    def prompts(self, language, directory):
        return {"busy": f"/{language}/{directory}/busy"}


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "click2call.toml"
    path.write_text(SETTINGS)
    return directory_of(load(path, {}), Audio())


def test_trunks_take_their_transport_and_default_port_with_them(directory):
    assert directory.trunks["main"] == Trunk(
        name="main",
        proxy=SipHost("trunk.example", 5070, "tcp"),
        registrar=SipHost("registrar.example", 5060, "tcp"),
        username="trunkuser",
        password="trunkpass",
        realm="trunk.example",
        number_format="national",
        identity=("from", "remote-party-id", "privacy"),
        register_seconds=60,
        any_caller_id=False,
    )


def test_what_the_settings_leave_out_is_the_directorys_default(directory):
    assert directory.trunks["pbx"] == Trunk(name="pbx", proxy=SipHost("192.0.2.2", 5060))
    assert directory.organisations["beta"] == Organisation(name="beta", prompts={"busy": "/en/None/busy"})
    assert Directory().sip_address == "127.0.0.1"


def test_an_organisation_is_taken_over_whole(directory):
    assert directory.sip_address == "192.0.2.1"
    assert directory.organisations["acme"] == Organisation(
        name="acme",
        country="GB",
        time_zone="Europe/London",
        trunk="main",
        caller_id="+442079460000",
        caller_ids=("+442079460001",),
        ident="org-secret",
        users={"alice": User("alice", password="s3cret"), "bob": User("bob", password_hash=HASH)},
        api_keys={
            "crm": ApiKey("crm", hashlib.sha256(b"k3y").hexdigest()),
            "erp": ApiKey("erp", "ab" * 32),
        },
        extensions={
            "101": Extension("101", SipAddress("alice", SipHost("192.0.2.3", 5062)), "+442079460101", record=True),
            "102": Extension("102", SipAddress("102", SipHost("192.0.2.4", 5060))),
            "103": Extension("103"),
            "104": Extension("104", confirm=True, auto_answer=True),
        },
        external_numbers={"+442079460200": ExternalNumber("+442079460200", confirm=True)},
        inbound=Inbound({"+442079460000": "700"}, last_agent=True),
        internal_numbers=("2xx",),
        sip_addresses={"desk": SipAddress("front.desk", SipHost("192.0.2.9", 5080))},
        ring_groups={
            "600": RingGroup("600", ("101", "102"), HuntStrategy.LINEAR, ring_seconds=10, total_seconds=20),
            "601": RingGroup("601", ("600", "+442079460123"), HuntStrategy.RING_ALL, ring_seconds=30, total_seconds=30),
        },
        queues={
            "700": Queue(
                "700",
                ("101",),
                music="/ready/music.wav",
                max_waiting=9,
                then="800",
                position_seconds=30,
                pacing=1.5,
            )
        },
        announcements={
            "800": Announcement("800", "/en/We are closed"),
            "801": Announcement("801", "/ready/open.wav", repeats=2, key="1", then="600"),
        },
        ivrs={"900": Ivr("900", "/ready/menu.wav", {"1": "600"}, direct_dial=True)},
        apps={
            "*43": App("echo", "*43", "echo"),
            "*97": App("box", "*97", "voicemail", "/ready/greeting.wav", max_seconds=60),
        },
        prompts={"busy": "/en/None/busy"},
        allowed_prefixes=("+44",),
        max_calls=3,
        calls_per_second=2,
    )
