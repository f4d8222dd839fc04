"""Callers who wait in queues, on real phones: what they hear meanwhile, who takes their calls, and what follows."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server import Server
from testbed import audio
from testbed.phone import Phone
from testbed.process import TestbedError, wait_until

CALLER_HZ, AGENT_HZ, OTHER_HZ = 700.0, 1000.0, 1300.0
MUSIC_HZ = 500.0
SPOKEN: dict[str, float] = {"you_are_number": 1600.0, "number_1": 1800.0, "number_2": 2000.0, "in_the_queue": 2200.0}
"""Prompts of the organisation: tones, so that what was said can be told from what was heard."""
SPOKEN_SECONDS = 0.6
POSITION_SECONDS = 5
AUTHORIZATION = {"Authorization": "Basic " + base64.b64encode(b"alice@acme:s3cret").decode()}

TABLES = """
[orgs.acme]
prompts = "{folder}/prompts"
[orgs.acme.users.alice]
password = "s3cret"
[orgs.acme.extensions.101]
contact = "sip:101@127.0.0.1:{caller}"
[orgs.acme.extensions.102]
contact = "sip:102@127.0.0.1:{agent}"
[orgs.acme.extensions.103]
contact = "sip:103@127.0.0.1:{other}"
[orgs.acme.extensions.104]
contact = "sip:104@127.0.0.1:{second}"
[orgs.acme.queues.700]
agents = ["102"]
music = "{folder}/music.wav"
position_seconds = {position}
[orgs.acme.queues.701]
agents = ["102"]
music = "{folder}/music.wav"
max_wait_seconds = 1
then = "103"
[orgs.acme.queues.702]
agents = ["102", "103"]
strategy = "linear"
music = "{folder}/music.wav"
[orgs.acme.queues.704]
agents = ["102", "103"]
strategy = "ring_all"
[orgs.acme.queues.703]
agents = ["102"]
music = "{folder}/music.wav"
max_waiting = 1
"""


class Bed:
    """The server, two callers, an agent, and somebody else."""

    def __init__(self, server: Server, phones: tuple[Phone, Phone, Phone, Phone]) -> None:
        self.server = server
        self.caller, self.agent, self.other, self.second = self.phones = phones

    def dial(self, dial1: str, dial2: str, **parameters: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.server.dial(dial1, dial2, **parameters).json()
        assert answer["status"] == "ok", answer
        return answer

    def queue(self, number: str) -> dict[str, Any]:
        answer = self.server.get(f"/api/v1/queues/{number}", AUTHORIZATION)
        assert answer.status == 200, answer
        status: dict[str, Any] = answer.json()
        return status

    def states(self, number: str) -> dict[str, str]:
        return {agent["number"]: agent["state"] for agent in self.queue(number)["agents"]}

    def set(self, queue: str, action: str, agent: str = "102") -> None:
        answer = self.server.get(f"/api/v1/queues/{queue}/agents/{agent}/{action}", AUTHORIZATION, b"")
        assert answer.status == 200, answer

    def wait_waiting(self, number: str, count: int) -> None:
        wait_until(
            lambda: self.queue(number)["waiting"] == count, 5.0, lambda: f"not {count} waiting: {self.queue(number)}"
        )

    def wait_free(self) -> None:
        """Wait until no agent's leg is left, and nobody rests."""
        wait_until(lambda: set(self.states("702").values()) == {"free"}, 30.0, lambda: f"not free: {self.queue('702')}")


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    folder = tmp_path_factory.mktemp("server")
    write_sounds(folder)
    with (
        Phone("101", tone_hz=CALLER_HZ) as caller,
        Phone("102", tone_hz=AGENT_HZ) as agent,
        Phone("103", tone_hz=OTHER_HZ) as other,
        Phone("104", tone_hz=CALLER_HZ) as second,
    ):
        tables = TABLES.format(
            folder=folder,
            caller=caller.port,
            agent=agent.port,
            other=other.port,
            second=second.port,
            position=POSITION_SECONDS,
        )
        with Server(folder, tables) as server:
            yield Bed(server, (caller, agent, other, second))


@pytest.fixture(autouse=True)
def _hung_up(bed: Bed) -> Iterator[None]:
    """Start and leave with phones that answer and have no call, and agents who are there."""
    yield
    for phone in bed.phones:
        for call in phone.active_calls():
            # By now the other's BYE may have ended it.
            with contextlib.suppress(TestbedError):
                phone.hang_up(call.number)
        for call in phone.calls():
            phone.wait_for("ended", call=call.number)
        phone.behave("answer")
    for number in ("700", "701", "702", "703"):
        bed.set(number, "resume")
    bed.wait_free()


def write_sounds(folder: Path) -> None:
    (folder / "prompts").mkdir()
    audio.write_wav(folder / "music.wav", audio.sine(MUSIC_HZ, 2.0), 8000)
    for name, hz in SPOKEN.items():
        audio.write_wav(folder / "prompts" / f"{name}.wav", audio.sine(hz, SPOKEN_SECONDS), 8000)


def wait_hears_only(phone: Phone, hz: float, call: int | None = None, timeout: float = 5.0) -> None:
    """Wait until one tone and no other fills a stretch of what a phone hears, its beginning no longer in it."""

    def tones_heard() -> list[float]:
        recording = phone.recording(call)
        return [round(tone.hz, -1) for tone in audio.tones(recording.last(0.3))] if recording.seconds > 0.3 else []

    wait_until(
        lambda: tones_heard() == [hz], timeout, lambda: f"{phone.extension} hears {tones_heard()}, not {hz} alone"
    )


def hear_each_other(caller: Phone, agent: Phone, agent_hz: float = AGENT_HZ) -> None:
    wait_hears_only(caller, agent_hz)
    wait_hears_only(agent, CALLER_HZ)


def spoken_to(phone: Phone) -> list[str]:
    """Name the prompts that a phone has heard, in order, whether or not they were heard to their end."""
    recording = phone.recording()
    heard = [
        (segment.start, name)
        for name, hz in SPOKEN.items()
        for segment in audio.cadence(recording, hz)
        if segment.length > SPOKEN_SECONDS / 2
    ]
    return [name for _, name in sorted(heard)]


def test_a_caller_hears_music_until_the_agents_own_call_ends_and_then_both_hear_each_other(bed):
    bed.dial("102", "103")
    wait_hears_only(bed.agent, OTHER_HZ)
    answer = bed.dial("101", "703")
    wait_hears_only(bed.caller, MUSIC_HZ)
    assert bed.states("703") == {"102": "busy"}
    assert bed.queue("703")["waiting"] == 1
    bed.other.hang_up()
    hear_each_other(bed.caller, bed.agent)
    bed.caller.hang_up()
    record = bed.server.wait_record(answer["dial1"])
    assert record["disposition"] == "answered"
    assert [(leg["uid"], leg["number"]) for leg in record["legs"]] == [
        (answer["dial1"], "101"),
        (answer["dial2"], "102"),
    ]


def test_the_position_is_spoken_between_the_music(bed):
    bed.set("700", "pause")
    bed.dial("101", "700")
    wait_hears_only(bed.caller, MUSIC_HZ)
    bed.dial("104", "700")
    wait_hears_only(bed.second, MUSIC_HZ)
    wait_until(
        lambda: len(spoken_to(bed.caller)) == 3 and len(spoken_to(bed.second)) == 3,
        POSITION_SECONDS + 5,
        lambda: f"heard {spoken_to(bed.caller)} and {spoken_to(bed.second)}",
    )
    assert spoken_to(bed.caller) == ["you_are_number", "number_1", "in_the_queue"]
    assert spoken_to(bed.second) == ["you_are_number", "number_2", "in_the_queue"]
    wait_hears_only(bed.caller, MUSIC_HZ)
    # The second one is the first as soon as the first one is gone.
    bed.caller.hang_up()
    wait_until(
        lambda: spoken_to(bed.second)[3:] == ["you_are_number", "number_1", "in_the_queue"],
        POSITION_SECONDS + 5,
        lambda: f"heard {spoken_to(bed.second)}",
    )


def test_after_waiting_in_vain_the_caller_is_led_on(bed):
    bed.set("701", "pause")
    answer = bed.dial("101", "701")
    wait_hears_only(bed.caller, MUSIC_HZ)
    hear_each_other(bed.caller, bed.other, OTHER_HZ)
    assert bed.queue("701")["waiting"] == 0
    bed.other.hang_up()
    legs = bed.server.wait_record(answer["dial1"])["legs"]
    assert [(leg["uid"], leg["number"]) for leg in legs] == [(answer["dial1"], "101"), (answer["dial2"], "103")]


def test_a_paused_agent_is_left_alone_until_it_resumes(bed):
    bed.set("700", "pause")
    rung = len(bed.agent.calls())
    bed.dial("101", "700")
    wait_hears_only(bed.caller, MUSIC_HZ)
    bed.wait_waiting("700", 1)
    assert len(bed.agent.calls()) == rung
    bed.set("700", "resume")
    hear_each_other(bed.caller, bed.agent)


def test_callers_are_served_in_the_order_in_which_they_came(bed):
    bed.set("700", "pause")
    bed.dial("101", "700")
    bed.wait_waiting("700", 1)
    bed.dial("104", "700")
    bed.wait_waiting("700", 2)
    bed.set("700", "resume")
    hear_each_other(bed.caller, bed.agent)
    wait_hears_only(bed.second, MUSIC_HZ)
    bed.caller.hang_up()
    hear_each_other(bed.second, bed.agent)


def test_an_agent_who_is_busy_elsewhere_is_followed_by_the_next_one_and_the_music_goes_on(bed):
    bed.agent.behave("reject", reject_code=486)
    bed.other.behave("ring")
    answer = bed.dial("101", "702")
    wait_until(bed.other.active_calls, 5.0, "the second agent is not rung")
    wait_hears_only(bed.caller, MUSIC_HZ)
    assert bed.states("702") == {"102": "resting", "103": "busy"}
    bed.other.answer()
    hear_each_other(bed.caller, bed.other, OTHER_HZ)
    bed.caller.hang_up()
    legs = bed.server.wait_record(answer["dial1"])["legs"]
    assert [(leg["number"], leg["disposition"]) for leg in legs] == [
        ("101", "answered"),
        ("102", "busy"),
        ("103", "answered"),
    ]


def test_when_all_agents_are_rung_the_first_who_answers_takes_the_call(bed):
    bed.agent.behave("ring")
    bed.other.behave("ring")
    bed.dial("101", "704")
    wait_until(lambda: bed.agent.active_calls() and bed.other.active_calls(), 5.0, "not both agents are rung")
    bed.other.answer()
    hear_each_other(bed.caller, bed.other, OTHER_HZ)
    wait_until(lambda: not bed.agent.active_calls(), 5.0, "the other agent is still rung")
    assert bed.states("704")["103"] == "busy"


def test_as_dial1_the_next_free_agent_is_rung_first(bed):
    bed.set("702", "pause", "102")
    answer = bed.dial("702", "101")
    hear_each_other(bed.caller, bed.other, OTHER_HZ)
    bed.caller.hang_up()
    legs = bed.server.wait_record(answer["dial1"])["legs"]
    assert [(leg["uid"], leg["number"]) for leg in legs] == [(answer["dial1"], "103"), (answer["dial2"], "101")]


def test_as_dial1_a_queue_whose_agents_are_away_fails_when_the_timeout_is_over(bed):
    bed.set("700", "pause")
    answer = bed.server.dial("700", "101", Timeout=1).json()
    assert (answer["status"], answer["reason"]) == ("Fail", "No answer")
    assert bed.caller.active_calls() == []


def test_a_full_queue_turns_the_next_caller_away(bed):
    bed.set("703", "pause")
    bed.dial("101", "703")
    bed.wait_waiting("703", 1)
    answer = bed.dial("104", "703")
    record = bed.server.wait_record(answer["dial1"])
    assert record["disposition"] == "busy"
    wait_hears_only(bed.caller, MUSIC_HZ)


def test_a_pause_survives_a_restart(bed):
    bed.set("700", "pause")
    since = bed.queue("700")["agents"][0]["since"]
    bed.server.stop()
    bed.server.start()
    (agent,) = bed.queue("700")["agents"]
    assert (agent["state"], agent["since"]) == ("paused", since)
