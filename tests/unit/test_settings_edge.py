"""`[edge]` and the phones that register there: what the nodes and what the Kamailio of the edge make of it."""

from __future__ import annotations

import hashlib
import sqlite3
import stat
from contextlib import closing

import pytest

from config.directory import directory_of
from config.edge.configuration import configuration, edge_of, write_edge
from config.loader import load
from sipcore.audio.library import AudioLibrary
from sipcore.domain.directory import SipAddress, SipHost
from sipcore.domain.errors import SettingsError, StartUpError

EDGE = SipHost("192.0.2.5", 5070)
SECRET = "not-guessed"
TABLES = f"""
[edge]
address = "sip:192.0.2.5:5070"
domain = "sip.example"
nodes = ["192.0.2.11:15060-15061", "192.0.2.12:15060"]
[trunks.main]
proxy = "sip:192.0.2.20"
registrar = "sip:reg.example:5080"
username = "trunkuser"
password = "trunkpass"
realm = "trunk"
transport = "tcp"
[trunks.far]
proxy = "sip:far.example"
[trunks.line1]
proxy = "sip:192.0.2.30"
[trunks.line2]
proxy = "sip:192.0.2.30:5062"
[orgs.acme]
trunk = "main"
extensions.101.secret = "{SECRET}"
extensions.102.contact = "sip:192.0.2.40"
extensions.103 = {{}}
[orgs.beta]
extensions.101.secret = "also-guessed"
"""


@pytest.fixture
def site(tmp_path):
    def loaded(text=TABLES):
        path = tmp_path / "click2call.toml"
        path.write_text(text)
        return load(path, {})

    return loaded


@pytest.fixture
def problem(site):
    def found(text):
        with pytest.raises(SettingsError) as caught:
            site(text)
        (only,) = caught.value.problems
        return only

    return found


def rows(path, table, columns="*"):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()  # noqa: S608 - of this module


def md5(text):
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


class TestTheNodes:
    def test_call_a_phone_that_registers_at_the_edge(self, site, tmp_path):
        directory = directory_of(site(), AudioLibrary(tmp_path))
        acme, beta = directory.organisations["acme"].extensions, directory.organisations["beta"].extensions
        assert acme["101"].contact == SipAddress("acme-101", EDGE)
        assert beta["101"].contact == SipAddress("beta-101", EDGE)
        assert acme["102"].contact == SipAddress("102", SipHost("192.0.2.40", 5060))
        assert acme["103"].contact is None
        assert (directory.edge, directory.sip_address) == (EDGE, "sip.example")

    def test_reach_trunks_through_the_edge_and_leave_it_to_register(self, site, tmp_path):
        trunk = directory_of(site(), AudioLibrary(tmp_path)).trunks["main"]
        assert (trunk.next_hop, trunk.registrar) == (EDGE, None)
        assert trunk.proxy == SipHost("192.0.2.20", 5060, "tcp")


class TestTheTables:
    @pytest.fixture
    def made(self, site, tmp_path):
        settings = site()
        write_edge(settings, edge_of(settings, ""), tmp_path / "edge")
        return tmp_path / "edge"

    def test_have_digests_and_never_a_password(self, made):
        digest = md5(f"acme-101:sip.example:{SECRET}")
        subscribers = rows(made / "edge.db", "subscriber")
        assert subscribers[0] == ("acme-101", "sip.example", digest)
        assert [user for user, *_ in subscribers] == ["acme-101", "beta-101"]
        written = b"".join(path.read_bytes() for path in made.iterdir())
        assert all(secret not in written for secret in (SECRET.encode(), b"trunkpass"))

    def test_are_for_their_owner_alone(self, made):
        assert {stat.S_IMODE(path.stat().st_mode) for path in made.iterdir()} == {0o600}

    def test_name_every_port_of_every_node_as_not_yet_seen(self, made):
        assert rows(made / "edge.db", "dispatcher", "destination, setid, flags") == [
            ("sip:192.0.2.11:15060", 1, 9),
            ("sip:192.0.2.11:15061", 1, 9),
            ("sip:192.0.2.12:15060", 1, 9),
        ]

    def test_register_at_the_trunks_that_want_it(self, made):
        columns = (
            "l_uuid, l_username, l_domain, r_username, r_domain, realm, auth_username, auth_ha1, auth_proxy, expires"
        )
        digest = md5("trunkuser:trunk:trunkpass")
        assert rows(made / "edge.db", "uacreg", columns) == [
            ("main", "trunkuser", "sip.example", "trunkuser", "reg.example", "trunk", "trunkuser", digest,
             "sip:reg.example:5080;transport=tcp", 300)
        ]  # fmt: skip

    def test_made_anew_leave_the_phones_where_they_registered(self, site, made):
        with closing(sqlite3.connect(made / "edge.db")) as connection, connection:
            connection.execute(
                "INSERT INTO location (ruid, username, contact, expires, callid, cseq, last_modified)"
                " VALUES ('r', 'acme-101', 'sip:a@192.0.2.50', '2030-01-01', 'c', 1, '2026-01-01')"
            )
        settings = site(TABLES.replace('"192.0.2.12:15060"', '"192.0.2.13:15060"').partition("[orgs.beta]")[0])
        write_edge(settings, edge_of(settings, ""), made)
        assert rows(made / "edge.db", "location", "username") == [("acme-101",)]
        assert [user for user, *_ in rows(made / "edge.db", "subscriber")] == ["acme-101"]
        assert ("sip:192.0.2.13:15060",) in rows(made / "edge.db", "dispatcher", "destination")

    def test_that_cannot_be_written_are_told_in_one_line(self, site, tmp_path):
        (tmp_path / "file").touch()
        settings = site()
        with pytest.raises(StartUpError, match="cannot write the edge's files into"):
            write_edge(settings, edge_of(settings, ""), tmp_path / "file")


class TestTheConfiguration:
    def test_knows_trunks_by_address_or_name_and_by_port_where_several_have_one_host(self, site):
        settings = site()
        text = configuration(settings, edge_of(settings, ""))
        assert '$si == "192.0.2.20"' in text
        assert 'dns_int_match_ip("far.example", "$si")' in text
        assert 'if ($sp == 5062) { $avp(trunk) = "line2"; }' in text
        assert "listen=udp:192.0.2.5:5070\n" in text
        assert 'auth_check("sip.example", "subscriber", "1")' in text

    def test_is_of_a_site_with_an_edge(self, site):
        with pytest.raises(SettingsError, match=r"click2call.toml: edge: expected this table, got nothing"):
            edge_of(site("[orgs.acme]\n"), "click2call.toml")


@pytest.mark.parametrize(
    ("change", "expectation"),
    [
        (('"sip:192.0.2.5:5070"', '"sip:edge.example"'), "edge.address: expected a SIP address of an IPv4 address"),
        (('"sip:192.0.2.5:5070"', '"sip:0.0.0.0"'), "edge.address: expected a SIP address of an IPv4 address"),
        (('"sip.example"', '"sip:example"'), "edge.domain: expected a host name or an IPv4 address"),
        (
            ('"192.0.2.12:15060"', '"node2:15060"'),
            "edge.nodes[1]: expected the `sip.address` and `sip.ports` of a node",
        ),
        (('"192.0.2.12:15060"', '"192.0.2.12"'), "edge.nodes[1]: expected a range of ports between 1 and 65535"),
        (('"192.0.2.12:15060"', '"192.0.2.11:15060-15061"'), "edge.nodes: expected an array without repetitions"),
        (('["192.0.2.11:15060-15061", "192.0.2.12:15060"]', "[]"), "edge.nodes: expected 1 entry or more"),
        (
            ('"192.0.2.12:15060"', '"192.0.2.11:15061-15070"'),
            "edge: expected nodes[0] and nodes[1] on ports of their own",
        ),
        (
            ('"192.0.2.12:15060"', '"192.0.2.5:5060-5080"'),
            "edge: expected `address` on a port of its own: 5070 is one of nodes[1]",
        ),
        (
            ('"sip:far.example"', '"sip:192.0.2.5:5070"'),
            "trunks: expected the trunk's own address as `proxy` of far, got that of the edge",
        ),
        (('realm = "trunk"\n', ""), "trunks.main: expected the realm that the trunk asks with"),
        (('"trunk"\n', '"*"\n'), "trunks.main.realm: expected the realm that the trunk asks with"),
        ((SECRET, "short"), "orgs.acme.extensions.101.secret: expected 8 characters or more"),
        (("extensions.103 = {}", 'extensions.1#.secret = "12345678"'), "expected a number without `#` beside `secret`"),
        (
            ("extensions.103 = {}", 'extensions.103 = { secret = "12345678", contact = "sip:192.0.2.9" }'),
            "orgs.acme.extensions.103: expected `contact` or `secret`, not both",
        ),
        (("[orgs.beta]", "[orgs.beta]\nextensions.9 = {}"), "extensions.9: expected the key `contact` or `secret`"),
    ],
)
def test_what_is_wrong_is_told(problem, change, expectation):
    wrong = TABLES.replace(*change)
    if "1#" in wrong:
        wrong = wrong.replace("1#", '"1#"')
    assert expectation in problem(wrong)


def test_a_secret_wants_an_edge(problem):
    text = '[orgs.beta]\nextensions.101.secret = "not-guessed"\n'
    assert problem(text).endswith("expected the table [edge] beside it, got nothing: it is where phones register")
