"""A server that cannot start says why: one clear line for each problem, exit code 2, no traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from server import CLICK2CALL, SPOOL, Server
from testbed.audio import sine, write_wav
from testbed.phone import Phone
from testbed.process import PortRange, free_port

HOST = "127.0.0.1"
PHONES = """
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:{port}"
"""


@dataclass(frozen=True)
class Site:
    """A settings file that is right, until a test makes one thing of it wrong."""

    folder: Path
    listen: str
    database: str
    ports: range
    address: str = HOST
    user: str = "nobody"
    spool: Path = SPOOL
    more: str = ""

    @property
    def sip_ports(self) -> range:
        return self.ports[-2:]

    @property
    def config(self) -> Path:
        return self.folder / "click2call.toml"

    def serve(self, *prefix: str) -> tuple[int, list[str]]:
        """Write the settings, run the server, and return its exit code and the lines that it said."""
        rtp = self.ports[:-2]
        self.config.write_text(
            f'[server]\nlisten = "{self.listen}"\n'
            f'[storage]\ndatabase = "{self.database}"\nspool = "{self.spool}"\n'
            f'[sip]\naddress = "{self.address}"\nports = "{self.sip_ports.start}-{self.sip_ports.stop - 1}"\n'
            f'rtp_ports = "{rtp.start}-{rtp.stop - 1}"\nuser = "{self.user}"\n'
            f"{self.more}"
        )
        return run_to_its_end(self.config, *prefix)


def run_to_its_end(config: Path, *prefix: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [*prefix, CLICK2CALL, "serve", "--config", str(config)],
        cwd=config.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=40,
    )
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()


@contextmanager
def held(kind: socket.SocketKind, *ports: int) -> Iterator[None]:
    """Keep ports busy, as another program would."""
    sockets = []
    try:
        for port in ports:
            sockets.append(socket.socket(socket.AF_INET, kind))
            if kind is socket.SOCK_STREAM:
                # Connections of an earlier test may still be in TIME_WAIT there.
                sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sockets[-1].bind((HOST, port))
            if kind is socket.SOCK_STREAM:
                sockets[-1].listen()
        yield
    finally:
        for each in sockets:
            each.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    database = f"sqlite:///{tmp_path}/records.db"
    ports = PortRange(66)
    yield Site(tmp_path, f"{HOST}:{free_port('tcp')}", database, ports.ports)
    ports.release()


def test_a_missing_settings_file_is_told(tmp_path: Path) -> None:
    code, lines = run_to_its_end(tmp_path / "nowhere.toml")
    assert code == 2
    assert lines == [f"{tmp_path}/nowhere.toml: cannot read the settings file: No such file or directory"]


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    (config := tmp_path / "broken.toml").write_text("[server]\nlisten = \n")
    code, lines = run_to_its_end(config)
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"{config}: line 2, column 10: expected TOML")


def test_every_wrong_key_has_a_line_of_its_own(site: Site) -> None:
    wrong = '[log]\nlevl = "info"\n[orgs.acme]\ncountry = "Narnia"\n[orgs.acme.users.alice]\npassword = 5\n'
    code, lines = replace(site, more=wrong).serve()
    assert code == 2
    told = [line.removeprefix(f"{site.config}: ") for line in lines]
    assert [line.split(": ")[:2] for line in told] == [
        ["line 12", "log.levl"],
        ["line 14", "orgs.acme.country"],
        ["line 16", "orgs.acme.users.alice.password"],
    ]
    assert "unknown key, did you mean `level`?" in told[0]


def test_an_http_port_in_use_is_told(site: Site) -> None:
    with held(socket.SOCK_STREAM, int(site.listen.rpartition(":")[2])):
        code, lines = site.serve()
    assert (code, lines) == (2, [f"click2call: cannot listen on {site.listen}: Address already in use"])


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_unusable_listen_address_is_told(site: Site, host: str) -> None:
    code, lines = replace(site, listen=f"{host}:8080").serve()
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"click2call: cannot listen on {host}:8080: ")


def test_an_unusable_sip_address_is_told(site: Site) -> None:
    code, lines = replace(site, address="192.0.2.1").serve()
    assert code == 2
    assert len(lines) == 1
    assert re.fullmatch(r"click2call: SIP on 192\.0\.2\.1:\d+: Cannot assign requested address", lines[0])


def test_all_sip_ports_in_use_are_told(site: Site) -> None:
    with held(socket.SOCK_DGRAM, *site.sip_ports):
        code, lines = site.serve()
    assert code == 2
    assert len(lines) == 1
    assert re.fullmatch(r"click2call: SIP on 127\.0\.0\.1:\d+: Address already in use", lines[0])


def test_with_one_sip_port_in_use_the_others_do_the_work(tmp_path: Path) -> None:
    with Phone("101") as phone:
        server = Server(tmp_path, PHONES.format(port=phone.port), sip_ports=3)
        with held(socket.SOCK_DGRAM, server.sip_port), server:
            answer = server.dial("101", "101").json()
            assert answer["status"] == "ok"
            phone.wait_for("answered", nth=2)
            phone.hang_up()
            assert server.wait_record(answer["dial1"])["disposition"] == "answered"
            assert {each.invite.partition("SIP/2.0/UDP 127.0.0.1:")[2][:5] for each in phone.calls()} <= {
                str(server.sip_port + 1),
                str(server.sip_port + 2),
            }


def test_a_directory_in_place_of_the_database_is_told(site: Site) -> None:
    code, lines = replace(site, database=f"sqlite:///{site.folder}").serve()
    assert (code, lines) == (2, [f"click2call: storage.database: {site.folder} is a directory"])


def test_a_file_that_is_no_database_is_told(site: Site) -> None:
    (site.folder / "records.db").write_text("Dear diary,\n" * 1000)
    code, lines = site.serve()
    assert (code, lines) == (2, [f"click2call: storage.database: {site.folder}/records.db: file is not a database"])
    assert (site.folder / "records.db").read_text() == "Dear diary,\n" * 1000


def test_a_database_of_another_program_is_told_and_left_alone(site: Site) -> None:
    with closing(sqlite3.connect(site.folder / "records.db")) as other:
        other.execute("CREATE TABLE calls (id TEXT)")
        other.commit()
    code, lines = site.serve()
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith(f"click2call: storage.database: {site.folder}/records.db: ")


def test_a_place_where_no_database_can_be_made_is_told(site: Site) -> None:
    code, lines = replace(site, database="sqlite:////proc/records.db").serve()
    assert code == 2
    assert len(lines) == 1
    assert lines[0].startswith("click2call: storage.database: cannot make /proc/records.db: ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start the server as somebody who may write nothing")
def test_a_database_that_may_not_be_written_is_told(site: Site) -> None:
    # As an ordinary user without a home: pytest's own folders are closed to others, so one beside them is used.
    folder = Path("/tmp") / f"click2call-{os.getpid()}"  # noqa: S108 - made with a name of our own, and removed
    folder.mkdir(mode=0o755)
    try:
        (folder / "records.db").touch(mode=0o644)
        # All else that the server writes is open to it.
        for name in ("spool", "var"):
            (folder / name).mkdir()
            (folder / name).chmod(0o777)
        config = replace(site, database=f"sqlite:///{folder}/records.db", folder=folder, spool=folder / "spool")
        code, lines = config.serve("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    finally:
        shutil.rmtree(folder)
    assert code == 2
    assert lines == [
        f"click2call: storage.database: {folder}/records.db and its directory must be writable for this user"
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's workers stay what they are")
def test_an_unknown_user_for_the_workers_is_told(site: Site) -> None:
    code, lines = replace(site, user="no-such-user").serve()
    assert (code, lines) == (2, ["click2call: sip.user: there is no user 'no-such-user' on this machine"])


def test_an_audio_file_that_is_missing_or_damaged_is_told_with_its_line(site: Site) -> None:
    site = replace(site, more='[orgs.acme.messages.800]\naudio = "notice.wav"\n')
    told = f"{site.config}: line 12: orgs.acme.messages.800.audio: expected an audio file; {site.folder}/notice.wav "
    code, lines = site.serve()
    assert (code, lines) == (2, [f"{told}cannot be read: No such file or directory"])
    write_wav(site.folder / "notice.wav", sine(700, 1.0), 8000)
    os.truncate(site.folder / "notice.wav", 8044)
    code, lines = site.serve()
    assert (code, lines) == (2, [f"{told}is cut off: it holds 8000 of 16000 octets of audio"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's workers run as somebody else")
def test_a_spool_that_workers_cannot_reach_is_told_with_the_folder_that_is_used(site: Site) -> None:
    closed = site.folder / "spool"
    site.folder.chmod(0o700)
    code, lines = replace(site, spool=closed, more='[log]\nformat = "json"\n', address="192.0.2.1").serve()
    told = json.loads(lines[0])
    used = Path(told["used"])
    try:
        assert (code, told["level"], told["spool"], told["user"]) == (2, "warning", str(closed), "nobody")
        assert (used / "audio").is_dir()
    finally:
        shutil.rmtree(used)
