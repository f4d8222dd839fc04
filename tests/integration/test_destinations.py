"""Menus, announcements, apps and phones that must accept a call: real phones, and what they hear by its spectrum.

Every prompt is a tone of its own here, so that what was played is told by its frequency; phones send tones, too.
"""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import base64
import contextlib
import io
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from server import Server
from testbed import audio
from testbed.phone import Phone
from testbed.process import TestbedError, wait_until

import sipcore.audio
from sipcore.domain.events import BeepHeard, SpeechStarted
from sipcore.sip.listening import FRAME_BYTES, SpeechListener

FIRST_HZ, SECOND_HZ, THIRD_HZ = 700.0, 1000.0, 1250.0
MENU, SUBMENU, NOTICE, SHORT_NOTICE, GREETING, MUSIC = 500.0, 560.0, 900.0, 660.0, 820.0, 1120.0
INVALID, GOODBYE, BUSY, NO_ANSWER, PRESS_1, BEEP = 1500.0, 1700.0, 1900.0, 2100.0, 2300.0, 2500.0
RINGBACK = (440.0, 480.0)
PROMPTS = {
    "invalid_choice": (INVALID, 0.6),
    "goodbye": (GOODBYE, 0.6),
    "busy": (BUSY, 1.0),
    "no_answer": (NO_ANSWER, 1.0),
    "press_1_to_accept": (PRESS_1, 1.0),
    "please_leave_a_message": (GREETING, 1.0),
    "beep": (BEEP, 0.4),
    "music": (MUSIC, 1.0),
}
FILES = {"menu": (MENU, 2.0), "submenu": (SUBMENU, 2.0), "notice": (NOTICE, 1.5), "short": (SHORT_NOTICE, 0.8)}
TABLES = """
[trunks.main]
proxy = "sip:127.0.0.1:{trunk}"
[orgs.acme]
country = "US"
time_zone = "America/New_York"
caller_id = "+12025550100"
prompts = "{folder}/prompts"
trunk = "main"
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:{first}"
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:{second}"
[orgs.acme.extensions.103]
contact = "sip:103@127.0.0.1:{third}"
[orgs.acme.extensions.112]
contact = "sip:102@127.0.0.1:{second}"
confirm = true
[orgs.acme.ivrs.900]
prompt = "{folder}/menu.wav"
options = {{ "1" = "102", "2" = "103", "5" = "901" }}
timeout_seconds = 1
repeats = 1
direct_dial = true
[orgs.acme.ivrs.901]
prompt = "{folder}/submenu.wav"
options = {{ "0" = "900" }}
barge_in = false
timeout_seconds = 1
repeats = 0
[orgs.acme.messages.800]
audio = "{folder}/notice.wav"
repeats = 2
[orgs.acme.messages.801]
audio = "{folder}/short.wav"
key = "1"
then = "102"
[orgs.acme.apps.echo]
number = "*43"
kind = "echo"
[orgs.acme.apps.music]
number = "*44"
kind = "music"
[orgs.acme.apps.clock]
number = "*45"
kind = "clock"
[orgs.acme.apps.room]
number = "*46"
kind = "conference"
[orgs.acme.apps.box]
number = "*47"
kind = "voicemail"
max_seconds = 30
[orgs.acme.machine_detection]
enabled = true
[orgs.globex]
country = "US"
caller_id = "+12025550110"
trunk = "main"
[orgs.globex.users.alice]
password = "s3cret"
[orgs.globex.extensions.101]
contact = "sip:101@127.0.0.1:{first}"
[orgs.globex.messages.800]
audio = "{folder}/notice.wav"
[orgs.globex.machine_detection]
enabled = true
action = "announce"
announcement = "800"
"""


@dataclass(frozen=True)
class Bed:
    """The server and three phones, 101 to 103; 112 is the second one, whose calls must be accepted."""

    server: Server
    first: Phone
    second: Phone
    third: Phone
    trunk_port: int

    def dial(self, dial1: str, dial2: str, **parameters: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.server.dial(dial1, dial2, **parameters).json()
        assert answer["status"] == "ok", answer
        return answer


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("audio")
    (folder / "prompts").mkdir()
    for place, named in ((folder / "prompts", PROMPTS), (folder, FILES)):
        for name, (hz, seconds) in named.items():
            audio.write_wav(place / f"{name}.wav", audio.sine(hz, seconds), 8000)
    with (
        Phone("101", tone_hz=FIRST_HZ) as first,
        Phone("102", tone_hz=SECOND_HZ) as second,
        Phone("103", tone_hz=THIRD_HZ) as third,
        Phone("trunk") as trunk,
    ):
        ports = {"first": first.port, "second": second.port, "third": third.port, "trunk": trunk.port}
        trunk.stop()
        with Server(tmp_path_factory.mktemp("server"), TABLES.format(folder=folder, **ports)) as server:
            yield Bed(server, first, second, third, trunk.port)


@pytest.fixture(autouse=True)
def _hung_up(bed: Bed) -> Iterator[None]:
    """Start and leave with phones that answer and have no call."""
    yield
    for phone in (bed.first, bed.second, bed.third):
        if phone.active_calls():
            # By now the other's BYE may have ended it.
            with contextlib.suppress(TestbedError):
                phone.hang_up()
        for call in phone.calls():
            phone.wait_for("ended", call=call.number)
        phone.behave("answer")


def new_call(phone: Phone, place: Any) -> int:
    """Do what makes a phone be called, and return the phone's number of the call once it was answered."""
    known = len(phone.calls())
    place()
    phone.wait_for("answered", call=known + 1)
    return known + 1


def runs(phone: Phone, call: int) -> list[float]:
    """Tell the tones that a phone heard in a call, one after the other, each once for as long as it went on."""
    recording = phone.recording(call)
    heard: list[float] = []
    at = 0.0
    while at + 0.1 <= recording.seconds:
        tones = audio.tones(recording.between(at, at + 0.1), most=1)
        hz = round(tones[0].hz, -1) if tones else 0.0
        if not heard or heard[-1] != hz:
            heard.append(hz)
        at += 0.1
    steady = [hz for hz in heard if hz in _KNOWN]
    return [hz for hz, before in zip(steady, [0.0, *steady], strict=False) if hz != before]


_KNOWN = {hz for hz, _ in (*PROMPTS.values(), *FILES.values())} | {FIRST_HZ, SECOND_HZ, THIRD_HZ}


def wait_runs(phone: Phone, call: int, *expected: float, timeout: float = 15.0) -> None:
    """Wait until a phone has heard these tones, one after the other, and no others between them."""
    wait_until(
        lambda: runs(phone, call)[: len(expected)] == list(expected),
        timeout,
        lambda: f"{phone.extension} heard {runs(phone, call)}, not {expected}",
        interval=0.1,
    )


def seconds_of(phone: Phone, call: int, hz: float) -> float:
    """How long a tone was heard in a call, all in all."""
    return sum(segment.length for segment in audio.cadence(phone.recording(call), hz))


def wait_only(phone: Phone, call: int, *hz: float, timeout: float = 8.0) -> None:
    """Wait until a phone hears these tones and nothing else."""

    def heard() -> list[float]:
        recording = phone.recording(call)
        return (
            sorted(round(tone.hz, -1) for tone in audio.tones(recording.last(0.4))) if recording.seconds > 0.4 else []
        )

    wait_until(lambda: heard() == sorted(hz), timeout, lambda: f"{phone.extension} hears {heard()}, not {hz}")


def legs(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(leg["number"], leg["disposition"]) for leg in record["legs"]]


class TestMenu:
    def test_a_key_ends_the_prompt_and_leads_to_the_phone_of_its_option(self, bed):
        call = new_call(bed.first, lambda: answers.append(bed.dial("101", "900")))
        wait_only(bed.first, call, MENU)
        known = len(bed.second.calls())
        bed.first.send_digits("1#")
        bed.second.wait_for("answered", call=known + 1)
        wait_only(bed.first, call, SECOND_HZ)
        wait_only(bed.second, known + 1, FIRST_HZ)
        assert seconds_of(bed.first, call, MENU) < FILES["menu"][1] - 0.2
        bed.first.send_digits("73")
        bed.second.wait_digits("73", call=known + 1)
        bed.second.hang_up()
        bed.first.wait_for("ended", call=call)
        record = bed.server.wait_record(answers.pop()["dial1"])
        assert (record["disposition"], record["ended_by"]) == ("answered", "dial2")
        assert legs(record) == [("101", "answered"), ("900", "answered"), ("102", "answered")]

    def test_without_a_key_it_is_played_again_and_then_it_hangs_up(self, bed):
        call = new_call(bed.first, lambda: answers.append(bed.dial("101", "900")))
        bed.first.wait_for("ended", 15.0, call=call)
        assert runs(bed.first, call) == [MENU, GOODBYE]
        prompts = audio.cadence(bed.first.recording(call), MENU)
        assert [round(prompt.length) for prompt in prompts] == [2, 2]
        assert bed.server.wait_record(answers.pop()["dial1"])["ended_by"] == "dial2"

    def test_a_wrong_key_is_told_and_the_menu_begins_again(self, bed):
        call = new_call(bed.first, lambda: bed.dial("101", "900"))
        wait_only(bed.first, call, MENU)
        bed.first.send_digits("7")
        wait_runs(bed.first, call, MENU, INVALID, MENU)

    def test_another_menu_takes_its_place_and_does_not_let_itself_be_interrupted(self, bed):
        call = new_call(bed.first, lambda: bed.dial("101", "900"))
        wait_only(bed.first, call, MENU)
        bed.first.send_digits("5")
        wait_only(bed.first, call, SUBMENU)
        bed.first.send_digits("0")
        wait_runs(bed.first, call, MENU, SUBMENU)
        bed.first.wait_for("ended", 10.0, call=call)
        assert runs(bed.first, call) == [MENU, SUBMENU, GOODBYE]
        assert seconds_of(bed.first, call, SUBMENU) == pytest.approx(FILES["submenu"][1], abs=0.15)

    def test_an_extension_can_be_dialled_directly(self, bed):
        call = new_call(bed.first, lambda: bed.dial("101", "900"))
        wait_only(bed.first, call, MENU)
        known = len(bed.third.calls())
        bed.first.send_digits("103")
        bed.third.wait_for("answered", call=known + 1)
        wait_only(bed.first, call, THIRD_HZ)

    def test_a_busy_phone_is_told_and_the_menu_begins_again(self, bed):
        bed.third.behave("reject")
        call = new_call(bed.first, lambda: answers.append(bed.dial("101", "900")))
        wait_only(bed.first, call, MENU)
        bed.first.send_digits("2")
        wait_runs(bed.first, call, MENU, BUSY, MENU)
        bed.first.hang_up()
        record = bed.server.wait_record(answers.pop()["dial1"])
        assert legs(record) == [("101", "answered"), ("900", "answered"), ("103", "busy")]

    def test_as_dial1_it_answers_at_once_and_talks_to_dial2(self, bed):
        call = new_call(bed.second, lambda: bed.dial("900", "102"))
        wait_only(bed.second, call, MENU)
        known = len(bed.third.calls())
        bed.second.send_digits("2")
        bed.third.wait_for("answered", call=known + 1)
        wait_only(bed.second, call, THIRD_HZ)
        wait_only(bed.third, known + 1, SECOND_HZ)


class TestAnnouncement:
    def test_it_is_played_to_its_end_as_often_as_it_should_and_hangs_up(self, bed):
        call = new_call(bed.first, lambda: answers.append(bed.dial("101", "800")))
        bed.first.wait_for("ended", 10.0, call=call)
        assert runs(bed.first, call) == [NOTICE]
        assert seconds_of(bed.first, call, NOTICE) == pytest.approx(2 * FILES["notice"][1], abs=0.08)
        assert bed.server.wait_record(answers.pop()["dial1"])["ended_by"] == "dial2"

    def test_its_key_leads_on_while_it_is_played(self, bed):
        call = new_call(bed.first, lambda: bed.dial("101", "801"))
        wait_only(bed.first, call, SHORT_NOTICE)
        known = len(bed.second.calls())
        bed.first.send_digits("1")
        bed.second.wait_for("answered", call=known + 1)
        wait_only(bed.first, call, SECOND_HZ)
        wait_only(bed.second, known + 1, FIRST_HZ)

    def test_its_key_leads_on_after_the_end_and_the_reason_is_told_when_nobody_is_there(self, bed):
        bed.second.behave("reject")
        call = new_call(bed.first, lambda: bed.dial("101", "801"))
        wait_only(bed.first, call, SHORT_NOTICE)
        wait_only(bed.first, call)
        bed.first.send_digits("1")
        bed.first.wait_for("ended", 10.0, call=call)
        assert runs(bed.first, call) == [SHORT_NOTICE, BUSY]

    def test_as_dial1_it_is_played_to_dial2(self, bed):
        call = new_call(bed.second, lambda: bed.dial("800", "102"))
        bed.second.wait_for("ended", 10.0, call=call)
        assert runs(bed.second, call) == [NOTICE]


class TestApps:
    def test_echo_lets_the_phone_hear_itself(self, bed):
        call = new_call(bed.first, lambda: bed.dial("101", "*43"))
        wait_only(bed.first, call, FIRST_HZ)

    def test_music_begins_again_at_its_end(self, bed):
        call = new_call(bed.first, lambda: bed.dial("101", "*44"))
        wait_until(
            lambda: seconds_of(bed.first, call, MUSIC) > 2.5 * PROMPTS["music"][1],
            10.0,
            lambda: f"{seconds_of(bed.first, call, MUSIC)} s of music",
            interval=0.2,
        )
        assert runs(bed.first, call) == [MUSIC]

    def test_the_clock_speaks_before_its_beep(self, bed):
        call = new_call(bed.first, lambda: bed.dial("101", "*45"))
        heard = wait_until(
            lambda: events if BeepHeard in map(type, events := hear(bed.first.recording(call))) else None,
            15.0,
            lambda: f"no beep but {hear(bed.first.recording(call))}",
            interval=0.2,
        )
        assert isinstance(heard[0], SpeechStarted)

    def test_everybody_in_a_conference_hears_everybody_else_and_not_itself(self, bed):
        phones = {FIRST_HZ: bed.first, SECOND_HZ: bed.second, THIRD_HZ: bed.third}
        calls = {
            hz: new_call(phone, lambda phone=phone: bed.dial(phone.extension, "*46")) for hz, phone in phones.items()
        }
        for hz, phone in phones.items():
            wait_only(phone, calls[hz], *(other for other in phones if other != hz))
            assert runs(phone, calls[hz])[0] == BEEP
        bed.second.hang_up()
        wait_only(bed.first, calls[FIRST_HZ], THIRD_HZ)
        wait_only(bed.third, calls[THIRD_HZ], FIRST_HZ)

    def test_a_voicemail_box_records_after_its_beep_until_the_hash_key(self, bed):
        call = new_call(bed.first, lambda: answers.append(bed.dial("101", "*47")))
        wait_runs(bed.first, call, GREETING, BEEP)
        wait_only(bed.first, call)
        spoken_from = bed.first.recording(call).seconds
        wait_until(lambda: bed.first.recording(call).seconds > spoken_from + 2, 5.0, lambda: "no audio")
        bed.first.send_digits("#")
        bed.first.wait_for("ended", 10.0, call=call)
        assert runs(bed.first, call) == [GREETING, BEEP, GOODBYE]
        assert seconds_of(bed.first, call, GOODBYE) == pytest.approx(PROMPTS["goodbye"][1], abs=0.08), "to its end"
        record = bed.server.wait_record(answers.pop()["dial1"])
        recorded = recording_of(bed, record)
        assert recorded.seconds == pytest.approx(2.4, abs=0.6)
        middle = recorded.between(0.3, recorded.seconds - 0.4)
        assert [round(tone.hz, -1) for tone in audio.tones(middle)] == [FIRST_HZ], (
            "the caller alone, no greeting or beep"
        )

    def test_a_caller_who_hangs_up_has_left_a_message_all_the_same(self, bed):
        call = new_call(bed.first, lambda: answers.append(bed.dial("101", "*47")))
        wait_only(bed.first, call, GREETING)
        bed.first.send_digits("#")
        wait_runs(bed.first, call, GREETING, BEEP)
        wait_only(bed.first, call)
        bed.first.hang_up()
        record = bed.server.wait_record(answers.pop()["dial1"])
        assert recording_of(bed, record).seconds > 0.2
        assert seconds_of(bed.first, call, GREETING) < PROMPTS["please_leave_a_message"][1] - 0.1


class TestWhoAnswers:
    def test_a_phone_that_must_accept_is_joined_after_the_key_1(self, bed):
        asked = len(bed.second.calls()) + 1
        call = new_call(bed.first, lambda: answers.append(bed.dial("101", "112")))
        bed.second.wait_for("answered", call=asked)
        wait_only(bed.second, asked, PRESS_1)
        wait_only(bed.first, call, *RINGBACK)
        bed.second.send_digits("2")
        bed.second.send_digits("1")
        wait_only(bed.first, call, SECOND_HZ)
        wait_only(bed.second, asked, FIRST_HZ)
        assert SECOND_HZ not in runs(bed.first, call)[:-1]
        bed.first.hang_up()
        assert bed.server.wait_record(answers.pop()["dial1"])["disposition"] == "answered"

    def test_a_phone_that_never_accepts_counts_as_not_answered(self, bed):
        asked = len(bed.second.calls()) + 1
        call = new_call(bed.first, lambda: answers.append(bed.dial("101", "112")))
        bed.second.wait_for("answered", call=asked)
        bed.second.wait_for("ended", 20.0, call=asked)
        prompts = audio.cadence(bed.second.recording(asked), PRESS_1)
        assert [round(prompt.length) for prompt in prompts] == [1, 1, 1]
        assert all(after.start - before.end > 2.5 for before, after in pairwise(prompts))
        wait_runs(bed.first, call, NO_ANSWER)
        bed.first.wait_for("ended", 10.0, call=call)
        record = bed.server.wait_record(answers.pop()["dial1"])
        assert (record["disposition"], record["joined_at"]) == ("no_answer", None)

    def test_a_machine_at_an_external_number_is_hung_up_on(self, bed):
        """A tone without end is a fax machine's."""
        with Phone("trunk", port=bed.trunk_port, tone_hz=1100.0) as machine:
            call = new_call(bed.first, lambda: answers.append(bed.dial("101", "+12025550123")))
            machine.wait_for("ended", 10.0)
            wait_runs(bed.first, call, NO_ANSWER)
            record = bed.server.wait_record(answers.pop()["dial1"])
        assert record["disposition"] == "no_answer"
        assert [leg["answered_by"] for leg in record["legs"]] == [None, "machine"]

    def test_one_who_says_nothing_is_joined(self, bed):
        with Phone("trunk", port=bed.trunk_port) as silent:
            answer = bed.dial("101", "+12025550123")
            silent.wait_for("answered")
            wait_only(silent, 1, FIRST_HZ)
            silent.hang_up()
            record = bed.server.wait_record(answer["dial1"])
        assert [leg["answered_by"] for leg in record["legs"]] == [None, "unknown"]

    def test_a_machine_hears_the_announcement_after_its_beep(self, bed, tmp_path):
        """It speaks for some seconds and beeps; nothing is said to it before, and the other side is not joined."""
        beep = audio.sine(1000.0, 0.5)
        silence = np.zeros(4000)
        greeting = np.concatenate([spoken("please_leave_a_message"), spoken("goodbye"), silence, beep, np.zeros(8000)])
        audio.write_wav(tmp_path / "machine.wav", greeting, 8000)
        with Phone("trunk", port=bed.trunk_port, greeting=tmp_path / "machine.wav") as machine:
            call = new_call(bed.first, lambda: answers.append(bed.dial("101", "+12025550123", org="globex")))
            machine.wait_for("ended", 20.0)
            heard = machine.recording(1)
            bed.first.wait_for("ended", 10.0, call=call)
            record = bed.server.wait_record(answers.pop()["dial1"], organisation="globex")
        assert [leg["answered_by"] for leg in record["legs"]] == [None, "machine"]
        assert record["disposition"] == "no_answer"
        (notice,) = audio.cadence(heard)
        assert audio.has_tone(heard.between(notice.start, notice.end).samples, heard.rate, NOTICE)
        assert notice.length == pytest.approx(FILES["notice"][1], abs=0.08)
        assert notice.start > (len(greeting) - 8000) / 8000

    def test_a_person_is_joined_soon_after_the_first_word(self, bed, tmp_path):
        audio.write_wav(
            tmp_path / "person.wav", np.concatenate([np.zeros(2400), spoken("number_7"), np.zeros(8000)]), 8000
        )
        with Phone("trunk", port=bed.trunk_port, greeting=tmp_path / "person.wav") as person:
            answer = bed.dial("101", "+12025550123", org="globex")
            person.wait_for("answered")
            wait_only(person, 1, FIRST_HZ)
            joined = audio.cadence(person.recording(1), FIRST_HZ)[0].start
            person.hang_up()
            record = bed.server.wait_record(answer["dial1"], organisation="globex")
        assert [leg["answered_by"] for leg in record["legs"]] == [None, "human"]
        assert joined < 4.0


answers: list[dict[str, Any]] = []
"""Of the calls that a test placed inside `new_call`."""


def recording_of(bed: Bed, record: dict[str, Any]) -> audio.Recording:
    """Fetch the recording that a record names, once it is ready; its channels are added up."""
    request = urllib.request.Request(
        f"{bed.server.base}/api/v1/recordings/{record['recording_id']}",
        headers={"Authorization": "Basic " + base64.b64encode(b"alice@acme:s3cret").decode()},
    )

    def fetched() -> bytes | None:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            with error:
                if error.code != HTTPStatus.CONFLICT:
                    raise
            return None

    octets = wait_until(fetched, 10.0, "the recording is not ready", interval=0.1)
    samples, rate = soundfile.read(io.BytesIO(octets), always_2d=True)
    return audio.Recording(samples.sum(axis=1), rate)


def spoken(prompt: str) -> audio.Samples:
    """A prompt in English as it ships: somebody who speaks."""
    return audio.read_wav(Path(sipcore.audio.__file__).parent / "prompts" / "en" / f"{prompt}.wav").samples


def hear(recording: audio.Recording) -> list[object]:
    """What a worker's listener tells of a recording."""
    listener = SpeechListener("recording")
    pcm = (recording.samples * 32767).astype("<i2").tobytes()
    frames = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)]
    return [event for frame in frames for event in listener.feed(frame)]
