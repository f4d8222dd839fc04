"""The keys of destinations and of calls that come in: their defaults, their limits, and what they say of each other."""

from pathlib import Path

import pytest

from config.directory import directory_of
from config.loader import load
from sipcore.domain.directory import Extension, Inbound, Organisation, RingGroup
from sipcore.domain.errors import SettingsError
from sipcore.domain.parties import MAX_DEPTH

ACME = '[trunks.main]\nproxy = "sip:127.0.0.1"\n[orgs.acme]\n'  # what is added begins on line 4
TRUNK = 'trunk = "main"\n'
PHONE = '[orgs.acme.extensions.101]\ncontact = "sip:101@127.0.0.1"\n'
GROUP = 'ring_groups.6 = {{members = ["101"], {}}}'
QUEUE = 'queues.7 = {{agents = ["101"], {}}}'
MESSAGE = 'messages.8 = {{text = "a", {}}}'
IVR = 'ivrs.9 = {{prompt = "a", options = {{"1" = "101"}}, {}}}'
APP = 'apps.a = {{number = "*4", kind = "voicemail", {}}}'
EXTENSION = "extensions.102 = {{{}}}"
EXTERNAL = 'external_numbers."+12025550177" = {{{}}}'


class NoAudio:
    def converted(self, path):
        return path

    def spoken(self, text, _language):
        return Path(text)

    def prompts(self, _language, _directory):
        return {}


@pytest.fixture
def settings_of(tmp_path):
    def read(text):
        path = tmp_path / "click2call.toml"
        path.write_text(text, encoding="utf-8")
        return load(path, {})

    return read


@pytest.fixture
def problems_in(settings_of):
    def read_and_fail(text):
        with pytest.raises(SettingsError) as caught:
            settings_of(text)
        return list(caught.value.problems)

    return read_and_fail


@pytest.fixture
def acme(settings_of):
    """The organisation that calls are looked up in, by what is written of it."""

    def made(text, *, head=ACME + TRUNK) -> Organisation:
        return directory_of(settings_of(f"{head}{text}\n{PHONE}"), NoAudio()).organisations["acme"]

    return made


WRONG = [
    (GROUP, "total_seconds = 0", "1 or more, got 0"),
    (GROUP, "total_seconds = 604801", "604800 or less, got 604801"),
    (GROUP, 'total_seconds = "20"', "a whole number, got a string"),
    (QUEUE, "max_waiting = 0", "1 or more, got 0"),
    (QUEUE, 'then = "x"', "a number of the organisation or an E.164 number"),
    (QUEUE, "position_seconds = 4", "5 or more, got 4"),
    (QUEUE, "position_seconds = 3601", "3600 or less, got 3601"),
    (QUEUE, "wrap_up_seconds = -1", "0 or more, got -1"),
    (QUEUE, "wrap_up_seconds = 3601", "3600 or less, got 3601"),
    (QUEUE, "pacing = 0", "more than 0, got 0"),
    (QUEUE, "pacing = 10.5", "10.0 or less, got 10.5"),
    (QUEUE, "pacing = nan", "a finite number, got nan"),
    (MESSAGE, "repeats = 0", "1 or more, got 0"),
    (MESSAGE, "repeats = 21", "20 or less, got 21"),
    (IVR, "timeout_seconds = 0", "1 or more, got 0"),
    (IVR, "timeout_seconds = 61", "60 or less, got 61"),
    (IVR, "repeats = -1", "0 or more, got -1"),
    (IVR, "repeats = 21", "20 or less, got 21"),
    (IVR, "barge_in = 1", "true or false, got a number"),
    (IVR, 'direct_dial = "yes"', "true or false, got a string"),
    (APP, "max_seconds = 4", "5 or more, got 4"),
    (APP, "max_seconds = 3601", "3600 or less, got 3601"),
    (EXTENSION, "confirm = 1", "true or false, got a number"),
    (EXTENSION, 'auto_answer = "phone"', "true or false, got a string"),
    (EXTERNAL, "confirm = 0", "true or false, got a number"),
]


@pytest.mark.parametrize(("table", "key", "expectation"), WRONG)
def test_a_wrong_value_is_told_with_its_key_and_line(problems_in, table, key, expectation):
    (problem,) = problems_in(ACME + TRUNK + table.format(key) + "\n" + PHONE)
    path = table.split(" = ")[0]
    assert problem.startswith(f"line 5: orgs.acme.{path}.{key.split(' = ')[0]}: expected {expectation}")


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ('internal_numbers = ["1xx", "1xx"]', "internal_numbers: expected an array without repetitions"),
        ('internal_numbers = ["1xx", "+1"]', "internal_numbers[1]: expected the shape of a number such as"),
        ('internal_numbers = ["1XX"]', "internal_numbers[0]: expected the shape of a number such as"),
        ('internal_numbers = [""]', "internal_numbers[0]: expected the shape of a number such as"),
        ('internal_numbers = "1xx"', "internal_numbers: expected an array, got a string"),
        ("inbound.last_agent = 1", "inbound.last_agent: expected true or false, got a number"),
        ('inbound."2025550100" = "101"', "inbound.2025550100: expected an E.164 number such as"),
        ('inbound."+12025550100" = "sip:x"', 'inbound."+12025550100": expected a number of the organisation or'),
        ("external_numbers.2025550177.confirm = true", "external_numbers.2025550177: expected an E.164 number"),
        ('messages.8 = {text = "a", then = "101"}', "messages.8: expected `key` beside `then`"),
        ('apps.a = {number = "*4", kind = "echo", audio = "a.wav"}', "apps.a: expected `audio` with the kinds music"),
    ],
)
def test_a_wrong_key_is_told_with_its_line(problems_in, key, problem):
    (told,) = problems_in(ACME + TRUNK + key + "\n" + PHONE)
    assert told.startswith(f"line 5: orgs.acme.{problem}")


class TestDefaults:
    def test_of_what_is_left_out(self, acme):
        made = acme(
            "\n".join(table.format("").replace(", }", "}") for table in (GROUP, QUEUE, MESSAGE, IVR, APP, EXTENSION))
        )
        queue, menu = made.queues["7"], made.ivrs["9"]
        assert (queue.max_waiting, queue.then, queue.position_seconds) == (None, None, None)
        assert (queue.wrap_up_seconds, queue.pacing, queue.max_wait_seconds) == (0, 1.0, 300)
        assert (menu.timeout_seconds, menu.repeats, menu.barge_in, menu.direct_dial) == (5, 2, True, False)
        assert (made.announcements["8"].repeats, made.apps["*4"].max_seconds) == (1, 180)
        assert made.extensions["102"] == Extension("102", confirm=False, auto_answer=False)
        assert (made.inbound, made.internal_numbers, made.external_numbers) == (Inbound({}, last_agent=False), (), {})

    @pytest.mark.parametrize(
        ("keys", "total"),
        [
            ("", 20),
            ("ring_seconds = 7", 7),
            ('strategy = "linear"', 40),
            ('strategy = "random", ring_seconds = 7', 14),
            ('strategy = "linear", total_seconds = 25', 25),
            ("total_seconds = 90", 90),
        ],
    )
    def test_of_a_groups_time_is_that_of_its_members(self, acme, keys, total):
        made = acme(GROUP.format(keys).replace('["101"]', '["101", "+12025550177"]').replace(", }", "}"))
        assert made.ring_groups["6"].total_seconds == total


class TestCallsThatComeIn:
    def test_the_last_agent_is_no_number(self, acme):
        made = acme('inbound = {"+12025550100" = "101", last_agent = true}')
        assert made.inbound == Inbound({"+12025550100": "101"}, last_agent=True)

    def test_organisations_may_all_want_the_last_agent(self, settings_of):
        settings = settings_of("[orgs.a.inbound]\nlast_agent = true\n[orgs.b.inbound]\nlast_agent = true\n")
        assert all(org.inbound.last_agent for org in settings.orgs.values())


class TestNumbersOfThePbx:
    def test_may_be_named_anywhere_by_their_shape(self, acme):
        made = acme(
            'internal_numbers = ["15x"]\ninbound."+12025550100" = "150"\n'
            'queues.7 = {agents = ["151"], then = "152"}\nmessages.8 = {text = "a", key = "1", then = "153"}\n'
            'ivrs.9 = {prompt = "a", options = {"1" = "154"}}\nring_groups.6.members = ["155"]'
        )
        assert made.internal_numbers == ("15x",)
        assert made.inbound.routes == {"+12025550100": "150"}

    @pytest.mark.parametrize("target", ["15", "1500", "16x", "160"])
    def test_of_another_shape_lead_nowhere(self, problems_in, target):
        text = f'internal_numbers = ["15x"]\ninbound."+12025550100" = "{target}"\n'
        (problem,) = problems_in(ACME + TRUNK + text)
        assert problem.startswith('line 6: orgs.acme.inbound."+12025550100": expected a number')

    def test_are_reached_through_a_trunk(self, problems_in):
        (problem,) = problems_in(ACME + 'internal_numbers = ["1xx"]\n')
        assert problem.startswith("line 4: orgs.acme.internal_numbers: expected the key `trunk` beside it, got nothing")

    def test_that_only_groups_and_queues_name_are_extensions_like_others(self, acme):
        made = acme(
            'ring_groups.6.members = ["101", "102", "61"]\nring_groups.61.members = ["+12025550177"]\n'
            + QUEUE.format("ring_seconds = 9").replace("101", "103")
        )
        assert sorted(made.extensions) == ["101", "102", "103"]
        assert (made.extensions["102"], made.extensions["103"]) == (Extension("102"), Extension("103"))
        assert made.extensions["101"].contact is not None
        assert made.ring_groups["6"] == RingGroup("6", ("101", "102", "61"), total_seconds=20)


def chain(levels, last="101"):
    """Groups 1, 2, 3 and so on, each in the one before; the last one has a member that is no group."""
    numbers = [*range(1, levels + 1)]
    return "".join(f'ring_groups.{n}.members = ["{n + 1 if n < levels else last}"]\n' for n in numbers)


class TestDestinationsInsideEachOther:
    def test_may_be_as_deep_as_calls_follow_them(self, settings_of):
        assert settings_of(ACME + chain(MAX_DEPTH) + PHONE).orgs["acme"].ring_groups

    def test_may_not_be_deeper_and_the_way_is_told(self, problems_in):
        way = " > ".join([*map(str, range(1, MAX_DEPTH + 2)), "101"])
        assert problems_in(ACME + chain(MAX_DEPTH + 1) + PHONE) == [
            f"line 4: orgs.acme.ring_groups.1: expected at most {MAX_DEPTH} destinations around another one, got {way}"
        ]

    def test_are_told_once_for_the_outermost(self, problems_in):
        (problem,) = problems_in(ACME + chain(MAX_DEPTH + 3, last="+12025550177"))
        assert problem.startswith("line 4: orgs.acme.ring_groups.1: expected at most")

    def test_count_whatever_kind_they_are(self, problems_in):
        text = (
            'ivrs.91 = {prompt = "a", options = {"1" = "71"}}\n'
            'queues.71 = {agents = ["101"], then = "81"}\n'
            'messages.81 = {text = "a", key = "1", then = "1"}\n'
        )
        assert (
            problems_in(ACME + chain(MAX_DEPTH - 2) + text + PHONE)[0]
            .split("got ")[1]
            .startswith("91 > 71 > 81 > 1 > 2")
        )

    def test_menus_take_each_others_place_and_may_lead_back(self, settings_of):
        def menus(*more: str) -> str:
            following = ((n, f'"1" = "{n + 1 if n < 39 else 101}"') for n in range(20, 40))
            return "".join(
                f'ivrs.{n} = {{prompt = "a", options = {{{", ".join((first, *more))}}}}}\n' for n, first in following
            )

        for back in ((), ('"0" = "20"',), ('"9" = "39"', '"0" = "20"')):
            assert len(settings_of(ACME + menus(*back) + PHONE).orgs["acme"].ivrs) == 20

    def test_a_menu_does_not_hide_how_deep_the_one_that_it_leads_to_is(self, problems_in):
        text = 'ivrs.91 = {prompt = "a", options = {"1" = "92"}}\nivrs.92 = {prompt = "a", options = {"1" = "1"}}\n'
        (problem,) = problems_in(ACME + chain(MAX_DEPTH) + text + PHONE)
        assert problem.split("got ")[1].startswith("91 > 92 > 1 > 2")

    def test_announcements_and_queues_may_lead_back_too(self, settings_of):
        text = (
            'messages.8 = {text = "a", key = "1", then = "8"}\n'
            'queues.7 = {agents = ["101"], then = "71"}\nqueues.71 = {agents = ["101"], then = "7"}\n'
        )
        assert settings_of(ACME + text + PHONE).orgs["acme"].queues["71"].then == "7"

    def test_many_that_lead_to_each_other_are_checked_in_no_time(self, settings_of):
        menus = ", ".join(f'"{key}" = "{{}}{key}"' for key in range(10))
        text = "".join(f'ivrs.5{n} = {{prompt = "a", options = {{{menus.replace("{}", "5")}}}}}\n' for n in range(10))
        assert len(settings_of(ACME + text).orgs["acme"].ivrs) == 10
