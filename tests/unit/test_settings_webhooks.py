"""`[orgs.ORG.webhooks.NAME]`, and what else the settings say about events."""

import pytest

from config.directory import directory_of
from config.loader import load
from sipcore.audio.library import AudioLibrary
from sipcore.domain.errors import SettingsError
from sipcore.domain.webhook import Webhook

SECRET = "0123456789abcdef"
TABLE = f'[orgs.acme]\n[orgs.acme.webhooks.crm]\nsecret = "{SECRET}"\n'  # what is added begins on line 4


def loaded(folder, text, environ=None):
    path = folder / "click2call.toml"
    path.write_text(text)
    return load(path, environ or {})


def problem(folder, keys):
    with pytest.raises(SettingsError) as caught:
        loaded(folder, TABLE + keys)
    (text,) = caught.value.problems
    return text


def test_every_key_is_taken_over(tmp_path):
    keys = 'url = "env:HOOK"\ntypes = ["ended", "digit"]\nallow_private = true\n[storage]\nevent_days = 30\n'
    url = "https://crm.example:8443/hook?token=7"
    settings = loaded(tmp_path, TABLE + keys, {"HOOK": url})
    organisation = directory_of(settings, AudioLibrary(tmp_path)).organisations["acme"]
    hook = Webhook("crm", url, SECRET, frozenset({"ended", "digit"}), allow_private=True)
    assert organisation.webhooks == {"crm": hook}
    assert not organisation.event_digits
    assert settings.storage.event_days == 30


def test_keys_are_told_in_events_where_the_settings_say_so(tmp_path):
    settings = loaded(tmp_path, "[orgs.acme]\nevent_digits = true\n")
    assert directory_of(settings, AudioLibrary(tmp_path)).organisations["acme"].event_digits


@pytest.mark.parametrize(
    ("url", "expectation"),
    [
        ("ftp://crm.example/", "expected an address such as"),
        ("crm.example/hook", "expected an address such as"),
        ("https:///hook", "expected an address such as"),
        ("https://crm.example:99999/", "expected an address such as"),
        ("https://user:pw@crm.example/", "without user, password and fragment"),
        ("https://crm.example/#x", "without user, password and fragment"),
        ("https://crm.example/ä", "printable ASCII"),
        ("https://crm.example/a b", "printable ASCII"),
    ],
)
def test_an_address_that_is_of_no_use_is_refused_and_not_shown(tmp_path, url, expectation):
    text = problem(tmp_path, f'url = "{url}"\n')
    assert text.startswith("line 4: orgs.acme.webhooks.crm.url: ")
    assert expectation in text
    assert url not in text


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "[::1]", "169.254.169.254"])
def test_a_private_address_is_refused_unless_it_is_allowed(tmp_path, host):
    assert "allow_private would allow it" in problem(tmp_path, f'url = "http://{host}/"\n')
    assert loaded(tmp_path, f'{TABLE}url = "http://{host}/"\nallow_private = true\n')


def test_an_address_of_no_single_host_is_refused_in_any_case(tmp_path):
    assert "no address of a single host" in problem(tmp_path, 'url = "http://224.0.0.1/"\nallow_private = true\n')


@pytest.mark.parametrize(
    ("keys", "expectation"),
    [
        ('types = ["hangup"]', "expected one of accepted, leg-1-ringing"),
        ('types = ["ended", "ended"]', "expected an array without repetitions"),
    ],
)
def test_types_are_those_that_there_are(tmp_path, keys, expectation):
    assert expectation in problem(tmp_path, f'url = "https://crm.example/"\n{keys}\n')


def test_a_short_secret_is_refused_and_not_shown(tmp_path):
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, '[orgs.acme.webhooks.crm]\nurl = "https://crm.example/"\nsecret = "hunter2"\n')
    assert "expected 16 characters or more" in caught.value.problems[0]
    assert "hunter2" not in str(caught.value)
