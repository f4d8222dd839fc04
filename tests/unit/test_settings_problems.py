from pathlib import Path

import pytest

from config.loader import load
from sipcore.domain.errors import SettingsError


@pytest.fixture
def problems_in(tmp_path):
    def load_and_fail(text: str) -> list[str]:
        path = Path(tmp_path / "click2call.toml")
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SettingsError) as caught:
            load(path, {})
        return list(caught.value.problems)

    return load_and_fail


ACME = '[trunks.main]\nproxy = "sip:127.0.0.1"\n[orgs.acme]\n'  # what is added begins on line 4
ALICE = "[orgs.acme.users.alice]\n"
PHONE = '[orgs.acme.extensions.101]\ncontact = "sip:101@127.0.0.1"\n'  # two lines


@pytest.mark.parametrize(
    ("table", "key", "expectation"),
    [
        ("server", 'listen = "8080"', 'an address and port such as "127.0.0.1:8080", got "8080"'),
        ("server", 'listen = "127.0.0.1:65536"', 'an address and port such as "127.0.0.1:8080", got "127.0.0.1:65536"'),
        ("server", 'listen = "[::g]:1"', 'an address and port such as "127.0.0.1:8080", got "[::g]:1"'),
        ("server", "listen = 8080", "a string, got a number"),
        ("server", 'access_log = "yes"', "true or false, got a string"),
        ("storage", "recordings = true", "a string, got true"),
        ("log", 'format = "xml"', '"console" or "json", got "xml"'),
        ("log", 'level = "trace"', '"debug", "info", "warning" or "error", got "trace"'),
        ("sip", 'address = "phones.example"', "the IPv4 address that phones and trunks reach this machine at, got"),
        ("sip", 'address = "0.0.0.0"', "the IPv4 address that phones and trunks reach this machine at, one that can"),
        ("sip", 'ports = "15099-15060"', "a range of ports between 1 and 65535 such as"),
        ("sip", 'ports = "0-10"', "a range of ports between 1 and 65535 such as"),
        ("sip", "ports = 15060", "a string, got a number"),
        ("sip", 'rtp_ports = "20001-29999"', "a range that begins with an even port"),
        ("sip", 'rtp_ports = "15098-19999"', "a range that does not overlap sip.ports (15060-15099), got"),
        ("sip", 'rtp_ports = "20000-20638"', "640 ports or more (16 for each of the 40 SIP ports), got"),
        ("sip", "max_call_seconds = 0", "1 or more, got 0"),
        ("sip", "ring_seconds = 1.5", "a whole number, got a number"),
        ("sip", "warm_workers = -1", "0 or more, got -1"),
        ("sip", "idle_worker_seconds = true", "a whole number, got true"),
        ("sip", 'user = "No Body"', "the name of a user of this machine"),
        ("trunks.b", 'proxy = "sips:trunk.example"', "a SIP address such as"),
        ("trunks.b", 'proxy = "sip:[::1]"', "a SIP address such as"),
        ("trunks.b", 'proxy = "sip:300.1.1.1"', "a SIP address such as"),
        ("trunks.b", 'proxy = "sip:trunk.example:0"', "a SIP address such as"),
        ("trunks.b", 'proxy = "sip:user@trunk.example"', "a SIP address without a user"),
        ("trunks.b", 'proxy = "sip:a.example;transport=tcp"', "a SIP address without `;transport=`: the trunk's `tr"),
        ("trunks.b", 'proxy = "sip:a.example;lr"', "a SIP address without parameters"),
        ("trunks.b", 'proxy = "sip:a.example?X-Evil=1"', "a SIP address without parameters"),
        ("orgs.b", 'country = "us"', "a country code (ISO 3166-1 alpha-2, upper case)"),
        ("orgs.b", 'country = "XX"', "a country code (ISO 3166-1 alpha-2, upper case)"),
        ("orgs.b", 'time_zone = "EDT5"', "an IANA time zone"),
        ("orgs.b", 'time_zone = "America"', "an IANA time zone"),
        ("orgs.b", 'time_zone = "../../etc/passwd"', "an IANA time zone"),
        ("orgs.b", 'caller_id = "2025550100"', "an E.164 number"),
        ("orgs.b", 'caller_id = "+999999"', "an E.164 number"),
        ("orgs.b", 'caller_id = "+1202555"', "an E.164 number"),
        ("orgs.b", 'caller_id = "+\u0661\u0662\u0660\u0662\u0665\u0665\u0665\u0660\u0661"', "an E.164 number"),
        ("orgs.b", 'caller_ids = "+12025550100"', "an array, got a string"),
        ("orgs.b", 'caller_ids = ["+12025550100", "+12025550100"]', "an array without repetitions"),
        ("orgs.b", "max_calls = 0", "1 or more, got 0"),
        ("orgs.b", "calls_per_second = 0", "more than 0, got 0"),
        ("orgs.b", "calls_per_second = inf", "a finite number, got inf"),
        ("orgs.b", "max_calls = 1979-05-27", "a whole number, got a date or time"),
    ],
)
def test_a_wrong_value_is_told_with_line_key_and_expectation(problems_in, table, key, expectation):
    trunk_needs = 'username = "u"\n' if table == "trunks.b" else "\n"
    (problem,) = problems_in(f"\n[{table}]\n{trunk_needs}{key}\n")
    assert problem.startswith(f"line 4: {table}.{key.split(' = ')[0]}: expected {expectation}")


@pytest.mark.parametrize(
    ("trunk_key", "path", "expectation"),
    [
        ('transport = "sctp"', "transport", '"udp" or "tcp", got "sctp"'),
        ('transport = "tls"', "transport", '"udp" or "tcp"; for TLS put a SIP proxy'),
        ('number_format = "+"', "number_format", '"plus_e164", "e164" or "national", got "+"'),
        ('identity = ["from", "pai"]', "identity[1]", '"from", "p-asserted-identity", "remote-party-id" or "privacy"'),
        ('registrar = "sip:a_b@x"', "registrar", "a SIP address without a user"),
        ('username = "u;x=y"', "username", "1 to 64 letters, digits and"),
        (
            r'realm = "a\r\nX-Evil: 1"',
            "realm",
            r"text without control characters, double quotes and angle brackets, got",
        ),
        (r'realm = "a\"b"', "realm", r'text without control characters, double quotes and angle brackets, got "a\"b"'),
        ('realm = "<a>"', "realm", "text without control characters, double quotes and angle brackets"),
        (r'realm = "a\u0000"', "realm", "text without control characters, double quotes and angle brackets"),
        ("register_seconds = 4", "register_seconds", "5 or more, got 4"),
        ("any_caller_id = 1", "any_caller_id", "true or false, got a number"),
    ],
)
def test_a_wrong_key_of_a_trunk_is_told(problems_in, trunk_key, path, expectation):
    problems = problems_in(f'[trunks.main]\nproxy = "sip:trunk.example"\n{trunk_key}\n')
    assert problems[0].startswith(f"line 3: trunks.main.{path}: expected {expectation}")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "extensions.10a = {}",
            "line 4: orgs.acme.extensions.10a: expected 1 to 32 of the characters 0-9, * and #, got",
        ),
        (
            f"extensions.{'1' * 33} = {{}}",
            f"line 4: orgs.acme.extensions.{'1' * 33}: expected 1 to 32 of the characters",
        ),
        ('users."a b".password = "x"', 'line 4: orgs.acme.users."a b": expected a name of 1 to 64 letters'),
        ('inbound = { "202" = "+12025550123" }', "line 4: orgs.acme.inbound.202: expected an E.164 number such as"),
        ('sip_addresses.desk = "sip:10.0.0.1"', "line 4: orgs.acme.sip_addresses.desk: expected a SIP address with a"),
        (
            'extensions.1.contact = "sip:a b@10.0.0.1"',
            "line 4: orgs.acme.extensions.1.contact: expected a SIP address s",
        ),
        (
            'allowed_prefixes = ["+1", "0"]',
            "line 4: orgs.acme.allowed_prefixes[1]: expected the beginning of an E.164 n",
        ),
        ("ring_groups.6 = {}", "line 4: orgs.acme.ring_groups.6.members: expected this key, got nothing"),
        (
            "ring_groups.6.members = []",
            "line 4: orgs.acme.ring_groups.6.members: expected 1 entry or more, got nothing",
        ),
        (
            'ring_groups.6 = {members = ["1"], ring_seconds = 301}',
            "line 4: orgs.acme.ring_groups.6.ring_seconds: expec",
        ),
        ('queues.7 = {agents = ["1"], strategy = "fair"}', "line 4: orgs.acme.queues.7.strategy: expected"),
        ("messages.8 = {}", "line 4: orgs.acme.messages.8: expected exactly one of `audio` and `text`"),
        ('messages.8 = {audio = "a", text = "b"}', "line 4: orgs.acme.messages.8: expected exactly one of `audio` and"),
        ('messages.8 = {audio = "a", key = "1"}', "line 4: orgs.acme.messages.8: expected `then` beside `key`"),
        (
            'messages.8 = {text = "a", key = "12", then = "8"}',
            "line 4: orgs.acme.messages.8.key: expected one of the k",
        ),
        (r'messages.8 = {audio = "a\u0000b"}', "line 4: orgs.acme.messages.8.audio: expected text without control cha"),
        (
            'ivrs.9 = {prompt = "a", options = {}}',
            "line 4: orgs.acme.ivrs.9.options: expected 1 entry or more, got noth",
        ),
        (
            'ivrs.9 = {prompt = 5, options = {"1" = "9"}}',
            "line 4: orgs.acme.ivrs.9.prompt: expected a string, got a nu",
        ),
        ('apps.a = {number = "*4", kind = "fax"}', 'line 4: orgs.acme.apps.a.kind: expected "echo", "music", "confer'),
        ('apps.a = {number = "+4", kind = "echo"}', "line 4: orgs.acme.apps.a.number: expected 1 to 32 of the charact"),
        ("users = 5", "line 4: orgs.acme.users: expected a table, got a number"),
        ("users.alice = []", "line 4: orgs.acme.users.alice: expected a table, got an array"),
        ("users.alice = {}", "line 4: orgs.acme.users.alice: expected exactly one of `password` and `password_hash`"),
        ("api_keys.crm = {}", "line 4: orgs.acme.api_keys.crm: expected exactly one of `key` and `key_hash`"),
    ],
)
def test_a_wrong_key_of_an_organisation_is_told(problems_in, text, problem):
    problems = problems_in(ACME + text + '\n[orgs.other]\ntrunk = "main"\n')
    assert [found for found in problems if found.startswith(problem)], problems


def test_unknown_keys_are_errors_with_a_suggestion(problems_in):
    assert problems_in('[serve]\nlisten = "127.0.0.1:1"\n[sip]\nRTP_Port = "1"\nzzz = 1\n[orgs.acme.user.bob]\n') == [
        "line 1: serve: unknown key, did you mean `server`?",
        "line 4: sip.RTP_Port: unknown key, did you mean `rtp_ports`?",
        "line 5: sip.zzz: unknown key",
        "line 6: orgs.acme.user: unknown key, did you mean `users`?",
    ]


def test_every_problem_is_told_in_the_order_of_the_lines(problems_in):
    text = ACME + 'trunk = "mian"\nmax_calls = "x"\ncountry = "xx"\n' + PHONE + "record = 1\nrecrod = true\n"
    assert [problem.split(": expected")[0].split(": unknown")[0] for problem in problems_in(text)] == [
        "line 4: orgs.acme.trunk",
        "line 5: orgs.acme.max_calls",
        "line 6: orgs.acme.country",
        "line 9: orgs.acme.extensions.101.record",
        "line 10: orgs.acme.extensions.101.recrod",
    ]


def test_a_long_value_is_shortened_and_stays_on_one_line(problems_in):
    (problem,) = problems_in('[log]\nformat = """' + "\n" * 500 + '"""')
    assert len(problem) < 150
    assert "\n" not in problem


def test_a_small_range_of_sip_ports_frees_the_rtp_default_only_where_they_meet(problems_in):
    (problem,) = problems_in('[sip]\nports = "20000-20001"\n')
    assert problem.startswith("line 1: sip.rtp_ports: expected a range that does not overlap sip.ports (20000-20001)")


@pytest.mark.parametrize(
    ("keys", "missing"),
    [
        ('registrar = "sip:trunk.example"', "`username` beside `registrar`"),
        ('password = "x"', "`username` beside `pas"),
    ],
)
def test_a_trunk_that_authenticates_has_a_username(problems_in, keys, missing):
    (problem,) = problems_in(f'[trunks.main]\nproxy = "sip:trunk.example"\n{keys}\n')
    assert problem.startswith(f"line 1: trunks.main: expected {missing}")


def test_an_unknown_trunk_is_told_with_those_that_exist(problems_in):
    assert problems_in(ACME + 'trunk = "mian"\n') == [
        'line 4: orgs.acme.trunk: expected the name of a trunk (main), got "mian"',
    ]


def test_an_extension_without_contact_needs_a_trunk(problems_in):
    (problem,) = problems_in("[orgs.acme]\n[orgs.acme.extensions.101]\nrecord = true\n")
    assert problem == (
        "line 2: orgs.acme.extensions.101: expected the key `contact` or `secret`, got nothing: "
        "the organisation has no trunk to reach it through"
    )


def test_a_number_belongs_to_one_thing_only(problems_in):
    problems = problems_in(
        ACME
        + PHONE
        + '[orgs.acme.ring_groups.101]\nmembers = ["+12025550123"]\n'
        + '[orgs.acme.apps.echo]\nnumber = "101"\nkind = "echo"\n'
    )
    taken = 'expected a number of its own, got "101", which orgs.acme.extensions.101 has'
    assert problems == [
        f"line 6: orgs.acme.ring_groups.101: {taken}",
        f"line 9: orgs.acme.apps.echo.number: {taken}",
    ]


REFERENCES = [
    ('ring_groups.600 = {members = ["101", "999"]}', "ring_groups.600.members[1]", "an extension or ring group"),
    ('queues.700 = {agents = ["999"]}', "queues.700.agents[0]", "an extension"),
    ('messages.800 = {text = "a", key = "1", then = "999"}', "messages.800.then", "a number"),
    ('ivrs.900 = {prompt = "a", options = {"1" = "101", "2" = "999"}}', "ivrs.900.options.2", "a number"),
    ('inbound = {"+12025550100" = "999"}', 'inbound."+12025550100"', "a number"),
]


@pytest.mark.parametrize(("text", "path", "what"), REFERENCES)
def test_a_reference_to_nothing_is_told(problems_in, text, path, what):
    assert problems_in(ACME + text + "\n" + PHONE) == [
        f'line 4: orgs.acme.{path}: expected {what} that orgs.acme has, or an E.164 number, got "999"',
    ]


@pytest.mark.parametrize("text", [text for text, _, _ in REFERENCES])
def test_a_reference_may_lead_to_an_external_number(tmp_path, text):
    path = tmp_path / "click2call.toml"
    path.write_text(ACME + text.replace("999", "+12025550123") + "\n" + PHONE)
    assert load(path, {}).orgs["acme"].extensions["101"]


def test_members_and_agents_without_an_entry_are_the_pbxs_numbers_when_there_is_a_trunk(tmp_path):
    path = tmp_path / "click2call.toml"
    path.write_text(ACME + 'trunk = "main"\nring_groups.6.members = ["102"]\nqueues.7.agents = ["103"]\n')
    assert load(path, {}).orgs["acme"].queues["7"].agents == ("103",)


def test_members_and_agents_are_phones(problems_in):
    text = ACME + 'queues.7.agents = ["101"]\nring_groups.6.members = ["7"]\nqueues.71.agents = ["6"]\n' + PHONE
    member, agent = problems_in(text)
    assert member.startswith("line 5: orgs.acme.ring_groups.6.members[0]: ")
    assert member.endswith('expected an extension, ring group or E.164 number, got "7", a queue')
    assert agent.startswith("line 6: orgs.acme.queues.71.agents[0]: ")
    assert agent.endswith('expected an extension or E.164 number, got "6", a ring group')


def test_ring_groups_that_contain_each_other_are_refused(problems_in):
    problems = problems_in(
        ACME
        + 'ring_groups.1.members = ["2", "101"]\n'
        + 'ring_groups.2.members = ["3"]\n'
        + 'ring_groups.3.members = ["1"]\n'
        + 'ring_groups.4.members = ["4"]\n'
        + PHONE
    )
    assert sorted(problem.split("got ")[1].count(" > ") for problem in problems) == [1, 3]
    assert all("expected no loop of ring groups, got" in problem for problem in problems)
    assert "line 7: orgs.acme.ring_groups.4.members: expected no loop of ring groups, got 4 > 4" in problems


def test_ring_groups_may_share_a_member(tmp_path):
    path = tmp_path / "click2call.toml"
    groups = 'ring_groups.1.members = ["2", "3"]\nring_groups.2.members = ["3"]\nring_groups.3.members = ["101"]\n'
    path.write_text(ACME + groups + PHONE)
    assert load(path, {}).orgs["acme"].ring_groups["1"].members == ("2", "3")


def test_an_inbound_number_goes_to_one_organisation_only(problems_in):
    inbound = 'inbound = {"+12025550100" = "+12025550123"}\n'
    (problem,) = problems_in(f"[orgs.acme]\n{inbound}[orgs.beta]\n{inbound}")
    assert problem == (
        'line 4: orgs.beta.inbound."+12025550100": expected a number of its own, got "+12025550100", '
        'which orgs.acme.inbound."+12025550100" has'
    )


def test_an_api_key_tells_organisations_apart(problems_in):
    (problem,) = problems_in('[orgs.a.api_keys]\nx.key = "same"\n[orgs.b.api_keys]\ny.key = "same"\n')
    assert (
        problem == "expected different API keys in orgs.a.api_keys.x and orgs.b.api_keys.y: a key alone tells who asks"
    )
