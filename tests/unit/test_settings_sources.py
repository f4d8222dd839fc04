"""Settings from the environment, and secrets kept outside the settings file."""

import argon2
import pytest

from config.loader import load
from sipcore.domain.errors import SettingsError

ORGANISATION = """
[trunks.main]
proxy = "sip:trunk.example"
[orgs.Acme]
trunk = "main"
[orgs.Acme.users.alice]
password = "s3cret"
[orgs.Acme.extensions.101]
record = true
"""


@pytest.fixture
def load_with(tmp_path):
    def load_text(text, environ=None):
        path = tmp_path / "click2call.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, environ or {})

    return load_text


@pytest.fixture
def problems_with(load_with):
    def load_and_fail(text, environ=None):
        with pytest.raises(SettingsError) as caught:
            load_with(text, environ)
        assert "s3cret" not in str(caught.value)
        return list(caught.value.problems)

    return load_and_fail


@pytest.fixture(scope="module")
def password_hash():
    return argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("s3cret")


def test_variables_override_the_file(load_with):
    settings = load_with(
        ORGANISATION + '[server]\nlisten = "127.0.0.1:8080"\n',
        {
            "CLICK2CALL__SERVER__LISTEN": "0.0.0.0:9090",
            "CLICK2CALL__SERVER__ACCESS_LOG": "false",
            "CLICK2CALL__LOG__FORMAT": "json",
            "CLICK2CALL__SIP__RING_SECONDS": "45",
            "CLICK2CALL__SIP__ALLOWED_PEERS": '["192.0.2.7"]',
            "CLICK2CALL__ORGS__ACME__CALLS_PER_SECOND": "2.5",
            "CLICK2CALL__ORGS__ACME__USERS__ALICE__PASSWORD": "12345",
            "CLICK2CALL__ORGS__ACME__EXTENSIONS__101__CALLER_ID": "+12025550101",
            "CLICK2CALL__TRUNKS__MAIN__REALM": '"quoted"',
            "CLICK2CALL_HOME": "not ours",
            "PATH": "/bin",
        },
    )

    assert settings.server.listen == ("0.0.0.0", 9090)
    assert (settings.server.access_log, settings.log.format, settings.sip.ring_seconds) == (False, "json", 45)
    assert [str(network) for network in settings.sip.allowed_peers] == ["192.0.2.7/32"]
    assert settings.orgs["Acme"].calls_per_second == 2.5
    assert settings.orgs["Acme"].users["alice"].password.get_secret_value() == "12345"
    assert settings.orgs["Acme"].extensions["101"].caller_id == "+12025550101"
    assert settings.trunks["main"].realm == "quoted"


def test_names_of_variables_are_matched_without_case(load_with):
    settings = load_with('[server]\nlisten = "127.0.0.1:1"\n', {"CLICK2CALL__server__Listen": "127.0.0.1:2"})
    assert settings.server.listen_port == 2


def test_a_variable_cannot_smuggle_in_another_key(load_with):
    settings = load_with(ORGANISATION, {"CLICK2CALL__ORGS__ACME__USERS__ALICE__PASSWORD": '"a"#b'})
    assert settings.orgs["Acme"].users["alice"].password.get_secret_value() == "a"
    with pytest.raises(SettingsError, match="expected a whole number, got a string"):
        load_with("", {"CLICK2CALL__SIP__WARM_WORKERS": "1\nother = 2"})


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("SERVR__LISTEN", "`SERVR` is an unknown key, did you mean `server`?"),
        ("SERVER__LISTN", "`LISTN` in server is an unknown key, did you mean `listen`?"),
        ("ORGS__ACNE__TRUNK", "`ACNE` in orgs is an unknown key, did you mean `Acme`?"),
        ("ORGS__ACME__USERS__BOB__PASSWORD", "`BOB` in orgs.Acme.users is an unknown key"),
        ("SERVER__LISTEN__PORT", "server.listen is not a table"),
        ("", "`` is an unknown key"),
    ],
)
def test_a_variable_that_names_nothing_is_an_error(problems_with, name, problem):
    text = ORGANISATION + '[server]\nlisten = "127.0.0.1:1"\n'
    assert problems_with(text, {f"CLICK2CALL__{name}": "s3cret"}) == [f"environment CLICK2CALL__{name}: {problem}"]


def test_names_that_differ_by_case_only_cannot_be_overridden(problems_with):
    assert problems_with("[orgs.acme]\n[orgs.ACME]\n", {"CLICK2CALL__ORGS__ACME__COUNTRY": "DE"}) == [
        "environment CLICK2CALL__ORGS__ACME__COUNTRY: orgs has acme and ACME, which the environment cannot tell apart",
    ]


def test_two_variables_for_one_key_are_an_error(problems_with):
    assert problems_with("", {"CLICK2CALL__LOG__LEVEL": "info", "CLICK2CALL__LOG__level": "error"}) == [
        "environment CLICK2CALL__LOG__level: CLICK2CALL__LOG__LEVEL sets the same key",
    ]


def test_a_wrong_value_from_a_variable_names_the_variable_not_a_line(problems_with):
    text = '[server]\nlisten = "127.0.0.1:1"\n'
    environ = {"CLICK2CALL__SERVER__LISTEN": "here", "CLICK2CALL__SIP": '{ ring_seconds = "s", ports = "1" }'}
    assert problems_with(text, environ)[0] == (
        "environment CLICK2CALL__SIP: sip.ring_seconds: expected a whole number, got a string"
    )
    assert problems_with(text, environ)[1] == (
        "environment CLICK2CALL__SERVER__LISTEN: server.listen: "
        'expected an address and port such as "127.0.0.1:8080", got "here"'
    )


def test_secrets_come_from_files_beside_the_settings_and_from_variables(load_with, tmp_path, password_hash):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "trunk").write_text("tr unk\n")
    (tmp_path / "hash").write_bytes(password_hash.encode() + b"\r\n")
    (tmp_path / "database").write_text("postgresql://u:s3cret@db.example/click2call")
    settings = load_with(
        """
        storage.database = "file:database"
        trunks.main = { proxy = "sip:trunk.example", username = "u", password = "file:secrets/trunk" }
        [orgs.acme]
        ident = "env:ACME_IDENT"
        users.alice.password_hash = "file:hash"
        users.bob.password = "env:BOB"
        api_keys.crm.key = "env:CRM_KEY"
        """,
        {"ACME_IDENT": "ident from outside", "BOB": "file:is-not-looked-up-again", "CRM_KEY": "k3y"},
    )

    acme = settings.orgs["acme"]
    assert settings.storage.database.get_secret_value() == "postgresql://u:s3cret@db.example/click2call"
    assert settings.trunks["main"].password.get_secret_value() == "tr unk"
    assert acme.ident.get_secret_value() == "ident from outside"
    assert acme.users["alice"].password_hash.get_secret_value() == password_hash
    assert acme.users["bob"].password.get_secret_value() == "file:is-not-looked-up-again"
    assert acme.api_keys["crm"].key.get_secret_value() == "k3y"


def test_only_the_last_newline_of_a_secret_file_is_dropped(load_with, tmp_path):
    (tmp_path / "password").write_text(" s3cret \n")
    settings = load_with('orgs.a.users.b.password = "file:password"')
    assert settings.orgs["a"].users["b"].password.get_secret_value() == " s3cret "


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("file:absent", "cannot read the file {folder}/absent that holds it: No such file or directory"),
        ("file:", "cannot read the file {folder} that holds it: Is a directory"),
        ("file:latin1", "expected file:PATH of a readable file in UTF-8"),
        ("file:two-lines", "expected a secret of one line, not empty and without control characters"),
        ("file:empty", "expected a secret of one line, not empty and without control characters"),
        ("env:ABSENT", "the environment variable ABSENT that holds it is not set"),
        ("env:s3cret with blanks", "expected the name of an environment variable after env:"),
        ("env:EMPTY", "expected a secret of one line, not empty and without control characters"),
        ("", "expected a secret of one line, not empty and without control characters"),
        ("s3cret\\u0000", "expected a secret of one line, not empty and without control characters"),
    ],
)
def test_a_secret_that_cannot_be_had_is_told(problems_with, tmp_path, value, problem):
    (tmp_path / "latin1").write_bytes(b"s3cret\xff")
    (tmp_path / "two-lines").write_text("s3cret\ns3cret\n")
    (tmp_path / "empty").write_text("\n")
    assert problems_with(f'\norgs.acme.ident = "{value}"', {"EMPTY": ""}) == [
        f"line 2: orgs.acme.ident: {problem.format(folder=tmp_path)}"
    ]


BAD_DATABASE = "expected sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("orgs.a.ident = 5", "orgs.a.ident: expected a string, got a number"),
        ('orgs.a.ident = ["s3cret"]', "orgs.a.ident: expected a string, got an array"),
        ('orgs.a.users.b = "s3cret"', "orgs.a.users.b: expected a table, got a string"),
        ('orgs.a.users.b.pasword = "s3cret"', "orgs.a.users.b.pasword: unknown key, did you mean `password`?"),
        ('orgs.a.users.b.password_hash = "s3cret"', "orgs.a.users.b.password_hash: expected an argon2 hash"),
        ('orgs.a.users.b.password_hash = "$argon2id$s3cret"', "orgs.a.users.b.password_hash: expected an argon2 hash"),
        (
            'orgs.a.users.b.password_hash = "$argon2id$v=19$m=s3cret,t=1,p=1$YQ$YQ"',
            "orgs.a.users.b.password_hash: expect",
        ),
        ('orgs.a.users.b.password_hash = "$argon2id$v=19$m=8,t=1,p=1$$"', "orgs.a.users.b.password_hash: expected an"),
        ('orgs.a.users.b = {password="s3cret", password_hash=5}', "orgs.a.users.b.password_hash: expected a string"),
        ('orgs.a.api_keys.b.key = "s3cret key"', "orgs.a.api_keys.b.key: expected a key of letters, digits and"),
        ('orgs.a.api_keys.b.key_hash = "s3cret"', "orgs.a.api_keys.b.key_hash: expected the SHA-256 of the key as"),
        ('orgs.a.extensions.1.contact = "sip:u:s3cret@x.example"', "orgs.a.extensions.1.contact: expected a SIP addre"),
        ('storage.database = "mysql://u:s3cret@db/x"', f"storage.database: {BAD_DATABASE}"),
        ('storage.database = "postgresql://u:s3cret@/x"', f"storage.database: {BAD_DATABASE}"),
        ('storage.database = "postgresql://u:s3cret@db:port/x"', f"storage.database: {BAD_DATABASE}"),
        ('storage.database = "postgresql://u:s3cret@[db/x"', f"storage.database: {BAD_DATABASE}"),
        ('storage.database = "postgresql://u:s3cret@db/"', f"storage.database: {BAD_DATABASE}"),
        ('storage.database = "postgresql://u:s3cret@db/x#y"', f"storage.database: {BAD_DATABASE}"),
        (
            'storage.database = "postgresql://u:s3cret@db/x?host=y"',
            "storage.database: expected no option of a database but",
        ),
        (
            'storage.database = "postgresql://u:s3cret@db/x?sslmode=on"',
            "storage.database: expected no option of a data",
        ),
        ('storage.database = "sqlite://"', f"storage.database: {BAD_DATABASE}"),
        ('storage.database = "sqlite:///"', f"storage.database: {BAD_DATABASE}"),
    ],
)
def test_problems_never_show_a_secret(problems_with, text, problem):
    problems = problems_with(text)
    assert [found for found in problems if found.startswith(f"line 1: {problem}")], problems


def test_a_user_has_one_password_not_two(problems_with, password_hash):
    assert problems_with(f'[orgs.a.users.b]\npassword = "s3cret"\npassword_hash = "{password_hash}"\n') == [
        "line 1: orgs.a.users.b: expected exactly one of `password` and `password_hash`",
    ]


def test_a_key_has_one_form_not_two(problems_with):
    assert problems_with(f'[orgs.a.api_keys.b]\nkey = "s3cret"\nkey_hash = "sha256:{"0" * 64}"\n') == [
        "line 1: orgs.a.api_keys.b: expected exactly one of `key` and `key_hash`",
    ]
