from ipaddress import IPv4Network
from pathlib import Path

import pytest

from config.directory import directory_of
from config.loader import load
from config.model import Settings
from sipcore.audio.library import AudioLibrary
from sipcore.domain.directory import SipAddress, SipHost
from sipcore.domain.errors import SettingsError

SAMPLES = Path(__file__).parents[2] / "config"

CONTRACT = """
[server]
listen = "127.0.0.1:8080"
[storage]
database = "sqlite:///var/click2call.db"      # or postgresql://user:password@host/name
recordings = "var/recordings"
[sip]
address = "127.0.0.1"                         # for SIP and RTP
ports = "15060-15099"                         # one per worker
rtp_ports = "20000-20999"

[trunks.main]
proxy = "sip:127.0.0.1:25070"                 # where INVITEs go
registrar = "sip:127.0.0.1:25070"             # leave out: do not register
username = "trunkuser"
password = "trunkpass"
realm = "*"
transport = "udp"                             # udp | tcp | tls
number_format = "plus_e164"                   # plus_e164 | e164 | national
identity = ["from", "p-asserted-identity"]    # which headers carry the caller identity

[orgs.acme]
country = "US"
time_zone = "America/New_York"
trunk = "main"
caller_id = "+12025550100"
caller_ids = ["+12025550199"]                 # further verified numbers
ident = "org-secret"
[orgs.acme.users.alice]
password = "s3cret"                           # or password_hash = "$argon2id$..."
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:25061"           # leave out: reached through the organisation's trunk (a PBX)
caller_id = "+12025550101"
record = true
[orgs.acme.inbound]
"+12025550100" = "700"                        # where a call to this number goes
[orgs.acme.ring_groups.600]
members = ["101", "102"]
strategy = "ring_all"                         # linear | round_robin | longest_idle | random
ring_seconds = 20
[orgs.acme.queues.700]
agents = ["101", "102"]
strategy = "longest_idle"
music = "music.wav"
max_wait_seconds = 300
[orgs.acme.messages.800]
audio = "notice.wav"                          # or text = "..." with the speech extra
key = "1"                                     # optional: press it to reach `then`
then = "101"
[orgs.acme.ivrs.900]
prompt = "menu.wav"
options = { "1" = "600", "2" = "700" }
[orgs.acme.apps.echo]
number = "*43"
kind = "echo"                                 # echo | music | conference | clock | hold
"""


def load_text(folder: Path, text: str) -> Settings:
    path = folder / "click2call.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, {})


def test_the_contracts_settings_load(tmp_path):
    settings = load_text(tmp_path, CONTRACT)
    acme = settings.orgs["acme"]

    assert (settings.server.listen_host, settings.server.listen_port) == ("127.0.0.1", 8080)
    assert settings.storage.database.get_secret_value() == "sqlite:///var/click2call.db"
    assert settings.storage.recordings == Path("var/recordings")
    assert (settings.sip.address, settings.sip.ports) == ("127.0.0.1", range(15060, 15100))
    assert settings.sip.rtp_ports == range(20000, 21000)
    assert acme.inbound.routes == {"+12025550100": "700"}
    assert acme.ring_groups["600"].members == ("101", "102")
    assert acme.queues["700"].music == tmp_path / "music.wav"
    assert acme.messages["800"].then == "101"
    assert acme.ivrs["900"].options == {"1": "600", "2": "700"}
    assert (acme.apps["echo"].number, acme.apps["echo"].kind) == ("*43", "echo")


def test_an_empty_file_means_the_defaults(tmp_path):
    settings = load_text(tmp_path, "")

    assert settings == Settings()
    assert (settings.server.listen, settings.server.access_log) == (("127.0.0.1", 8080), True)
    assert (settings.log.format, settings.log.level) == ("console", "info")
    assert (settings.sip.max_call_seconds, settings.sip.ring_seconds) == (14400, 120)
    assert (settings.sip.warm_workers, settings.sip.idle_worker_seconds) == (2, 60)
    assert (settings.sip.allowed_peers, settings.sip.user) == ((), "nobody")


def test_keys_of_the_server_are_taken_over(tmp_path):
    settings = load_text(
        tmp_path,
        """
        server = { listen = "[::1]:0", access_log = false }
        log = { format = "json", level = "debug" }
        [sip]
        ports = "15060"
        rtp_ports = "20000-20015"
        allowed_peers = ["192.0.2.7", "198.51.100.0/24"]
        """,
    )

    assert (settings.server.listen_host, settings.server.listen_port) == ("::1", 0)
    assert (settings.log.format, settings.log.level) == ("json", "debug")
    assert (settings.sip.ports, settings.sip.rtp_ports) == (range(15060, 15061), range(20000, 20016))
    assert settings.sip.allowed_peers == (IPv4Network("192.0.2.7/32"), IPv4Network("198.51.100.0/24"))


def test_settings_cannot_be_changed_afterwards(tmp_path):
    settings = load_text(tmp_path, CONTRACT)
    with pytest.raises(ValueError, match="frozen"):
        settings.sip.address = "192.0.2.1"


def test_secrets_are_not_in_the_representation_of_settings(tmp_path):
    text = repr(load_text(tmp_path, CONTRACT))
    assert not [secret for secret in ("s3cret", "trunkpass", "org-secret", "sqlite:") if secret in text]


def test_the_sample_without_a_trunk_loads(tmp_path):
    settings = load(SAMPLES / "sample.toml", {})
    acme = directory_of(settings, AudioLibrary(tmp_path)).organisations["acme"]

    assert settings.server.listen == ("127.0.0.1", 8080)
    assert settings.trunks == {}
    assert (acme.country, acme.time_zone, acme.trunk) == ("US", "America/New_York", None)
    assert acme.users["alice"].password == "s3cret"
    assert acme.extensions["101"].contact == SipAddress("101", SipHost("127.0.0.1", 25061))
    assert acme.extensions["101"].caller_id == "+12025550101"
    assert acme.extensions["102"].contact == SipAddress("102", SipHost("127.0.0.1", 25062))


def test_the_sample_with_a_trunk_loads(tmp_path):
    directory = directory_of(load(SAMPLES / "trunk.sample.toml", {}), AudioLibrary(tmp_path))

    assert directory.organisations["acme"].trunk == "main"
    assert directory.organisations["acme"].extensions["103"].contact is None
    assert directory.trunks["main"].registrar == SipHost("127.0.0.1", 25070)


@pytest.mark.parametrize("sample", ["sample.toml", "trunk.sample.toml"])
def test_samples_hold_no_commented_out_settings(sample):
    comments = [line for line in (SAMPLES / sample).read_text().splitlines() if line.startswith("#")]
    assert not [comment for comment in comments if " = " in comment or comment.startswith(("#[", "# ["))]


def test_a_missing_file_is_one_clear_line(tmp_path):
    with pytest.raises(SettingsError) as caught:
        load(tmp_path / "absent.toml", {})
    assert caught.value.source == str(tmp_path / "absent.toml")
    assert caught.value.problems == ("cannot read the settings file: No such file or directory",)


def test_a_folder_in_place_of_the_file_is_one_clear_line(tmp_path):
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, {})
    assert caught.value.problems == ("cannot read the settings file: Is a directory",)


def test_a_file_that_is_not_utf_8_is_told_with_its_line(tmp_path):
    (tmp_path / "latin1.toml").write_bytes("[server]\n\n# Zürich\n".encode("latin-1"))
    with pytest.raises(SettingsError) as caught:
        load(tmp_path / "latin1.toml", {})
    assert caught.value.problems == ("line 3: expected UTF-8, got the byte 0xfc",)


def test_a_byte_order_mark_does_no_harm(tmp_path):
    (tmp_path / "bom.toml").write_bytes(b'\xef\xbb\xbf[server]\r\nlisten = "127.0.0.1:9090"\r\n')
    assert load(tmp_path / "bom.toml", {}).server.listen_port == 9090


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[server]\nlisten = 127.0.0.1:80\n", "line 2, column 15: expected TOML: Expected newline or end of document"),
        ("[server]\nlisten = ", "line 2, column 10: expected TOML: Invalid value"),
        ("[server]\n[server]\n", "line 2, column 8: expected TOML: Cannot declare ('server',) twice"),
        ('a = """\n\n', "line 3, column 1: expected TOML: Unterminated string"),
        ("a = " + "9" * 5000, "expected TOML: Exceeds the limit"),
        ("a = " + "[" * 5000, "expected TOML, got arrays or tables nested too deeply"),
    ],
)
def test_broken_toml_is_told_with_line_and_column(tmp_path, text, problem):
    with pytest.raises(SettingsError) as caught:
        load_text(tmp_path, text)
    (found,) = caught.value.problems
    assert found.startswith(problem)
