"""What a worker does with a leg's audio: played files, echo, recordings, speech, rooms; with real phones."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import secrets
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from driven_worker import PATIENCE, DrivenWorker
from raw_peer import RawPeer, header, offer
from testbed import audio
from testbed.capture import UdpSink
from testbed.phone import Phone
from testbed.process import TestbedError, wait_until
from testbed.sipp import Sipp

from sipcore.domain.commands import (
    AnswerLeg,
    BridgeLegs,
    EchoLeg,
    HangUpLeg,
    JoinRoom,
    ListenForSpeech,
    PassAudio,
    PlayAudio,
    PlayTone,
    StartRecording,
    StopListening,
    StopPlaying,
    StopRecording,
)
from sipcore.domain.events import (
    BeepHeard,
    LegAnswered,
    LegEnded,
    LegPlaced,
    PlaybackFinished,
    RecordingFinished,
    SpeechStarted,
    SpeechStopped,
)
from sipcore.domain.tones import ToneKind, tone
from sipcore.sip import wire

LOW_HZ, HIGH_HZ = 500.0, 1300.0
BUSY = tone(ToneKind.BUSY, "FR")
BUSY_HZ = 440.0


@dataclass
class Files:
    """WAV files as this program makes them."""

    low: str
    high: str
    missing: str
    text: str

    @classmethod
    def written_to(cls, folder: Path) -> Files:
        files = cls(*(str(folder / f"{name}.wav") for name in ("low", "high", "missing", "text")))
        audio.write_wav(Path(files.low), audio.sine(LOW_HZ, 0.517), 8000)
        audio.write_wav(Path(files.high), audio.sine(HIGH_HZ, 0.533), 8000)
        Path(files.text).write_text("no audio at all")
        return files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files.written_to(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def phones() -> Iterator[tuple[Phone, Phone, Phone]]:
    with Phone("101", tone_hz=700) as first, Phone("102", tone_hz=900) as second, Phone("103", tone_hz=1100) as third:
        yield first, second, third


@pytest.fixture(scope="module")
def phone(phones: tuple[Phone, Phone, Phone]) -> Phone:
    return phones[0]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def running(recordings: Path) -> Iterator[DrivenWorker]:
    with DrivenWorker(recordings) as worker:
        yield worker


@pytest.fixture
def worker(running: DrivenWorker) -> Iterator[DrivenWorker]:
    """The worker, whose legs end with the test."""
    yield running
    legs = {event.leg for event in running.told(LegPlaced)} - {event.leg for event in running.told(LegEnded)}
    for leg in legs:
        running.send(HangUpLeg(leg))
        running.end_of(leg)


def call_at(phone: Phone, leg: str) -> int:
    """The number of a leg's call at its phone, whose report may come a moment after ours."""
    number: int = phone.wait_for("incoming", PATIENCE, call_id=leg)["call"]
    return number


def place(worker: DrivenWorker, phone: Phone) -> tuple[str, int]:
    leg = worker.place_answered(phone.extension, phone.port)
    return leg, call_at(phone, leg)


def lengths(recording: audio.Recording, hz: float) -> list[float]:
    """How long a tone sounded, each time."""
    return [segment.length for segment in audio.cadence(recording, hz)]


# -- files


def test_files_are_heard_whole_one_after_the_other_and_their_end_is_told(
    worker: DrivenWorker, phone: Phone, files: Files
) -> None:
    leg, call = place(worker, phone)
    worker.send(PlayAudio(leg, "greeting", (files.low, files.high, files.low)))
    worker.wait(PlaybackFinished, leg=leg, playback="greeting")
    phone.wait_heard(None, PATIENCE, call)
    heard = phone.recording(call)
    (first, second), (between,) = audio.cadence(heard, LOW_HZ), audio.cadence(heard, HIGH_HZ)
    for part, length in ((first, 0.517), (between, 0.533), (second, 0.517)):
        assert part.length == pytest.approx(length, abs=0.06)
    assert first.end <= between.start + 0.04
    assert between.end <= second.start + 0.04
    assert worker.told(wire.CommandFailed, leg=leg) == []


@pytest.mark.parametrize("names", [("low",), ("low", "high")])
def test_a_loop_goes_on_until_it_is_stopped_and_does_not_finish(
    worker: DrivenWorker, phone: Phone, files: Files, names: tuple[str, ...]
) -> None:
    leg, call = place(worker, phone)
    worker.send(PlayAudio(leg, "music", tuple(getattr(files, name) for name in names), loop=True))
    wait_until(lambda: sum(lengths(phone.recording(call), LOW_HZ)) > 1.5, PATIENCE, "the file is not repeated")
    if len(names) > 1:
        assert sum(lengths(phone.recording(call), HIGH_HZ)) > 0.9
    worker.send(StopPlaying(leg))
    phone.wait_heard(None, PATIENCE, call)
    assert worker.told(PlaybackFinished, leg=leg) == []


def test_what_is_played_takes_the_place_of_what_was_played_before(
    worker: DrivenWorker, phone: Phone, files: Files
) -> None:
    leg, call = place(worker, phone)
    worker.send(PlayAudio(leg, "music", (files.low,), loop=True))
    phone.wait_heard(LOW_HZ, PATIENCE, call)
    worker.send(PlayTone(leg, BUSY))
    phone.wait_heard(BUSY_HZ, PATIENCE, call)
    worker.send(PlayAudio(leg, "music", (files.high,), loop=True))
    phone.wait_heard(HIGH_HZ, PATIENCE, call, last=0.6)
    worker.send(EchoLeg(leg))
    phone.wait_heard(700, PATIENCE, call, last=0.6)
    wait_until(lambda: not phone.hears(HIGH_HZ, call), PATIENCE, "what was played before is still heard")
    worker.send(PlayAudio(leg, "last", (files.low,)))
    worker.wait(PlaybackFinished, leg=leg)
    phone.wait_heard(None, PATIENCE, call)
    assert [event.playback for event in worker.told(PlaybackFinished, leg=leg)] == ["last"]


def test_files_that_are_played_to_a_leg_without_media_begin_when_it_is_answered(
    worker: DrivenWorker, phone: Phone, files: Files
) -> None:
    phone.behave("ring")
    leg = worker.place(phone.extension, phone.port)
    worker.send(PlayAudio(leg, "greeting", (files.low, files.high)))
    call = call_at(phone, leg)
    phone.behave("answer")
    assert worker.told(PlaybackFinished, leg=leg) == []
    phone.answer(call)
    worker.wait(PlaybackFinished, leg=leg)
    phone.wait_heard(None, PATIENCE, call)
    assert lengths(phone.recording(call), LOW_HZ) == [pytest.approx(0.517, abs=0.06)]
    assert lengths(phone.recording(call), HIGH_HZ) == [pytest.approx(0.533, abs=0.06)]


def test_what_is_played_goes_on_after_the_far_end_held_the_call(
    worker: DrivenWorker, phone: Phone, files: Files
) -> None:
    leg, call = place(worker, phone)
    worker.send(PlayAudio(leg, "music", (files.low,), loop=True))
    phone.wait_heard(LOW_HZ, PATIENCE, call)
    for change, status in ((phone.hold, "local_hold"), (phone.unhold, "active")):
        nth = len(phone.events("media", call=call, status=status)) + 1
        # While the worker still asks for one codec, the phone cannot ask for anything.
        wait_until(lambda do=change: _is_done(do, call), PATIENCE, "the phone may not change the call")
        phone.wait_for("media", PATIENCE, nth=nth, call=call, status=status)
    phone.wait_heard(LOW_HZ, PATIENCE, call)


def test_what_is_played_goes_on_when_the_far_end_changes_codec_and_port(worker: DrivenWorker, files: Files) -> None:
    with RawPeer() as peer, UdpSink() as before, UdpSink() as after:
        leg = worker.place("301", peer.port)
        invite = peer.receive("INVITE ", leg)
        worker.send(PlayAudio(leg, "music", (files.low,), loop=True))
        peer.respond(invite, 200, worker.port, sdp=offer(before.port))
        worker.wait(LegAnswered, leg=leg)
        wait_until(lambda: _sounds(before, 0), PATIENCE, "nothing is heard")
        changed = offer(after.port).replace("RTP/AVP 0", "RTP/AVP 8").replace("0 PCMU", "8 PCMA").replace("1 1", "1 2")
        ends = {"sender": header(invite, "To"), "to": header(invite, "From")}
        peer.request("INVITE", worker.port, call_id=leg, sdp=changed, cseq=7, **ends)
        peer.acknowledge(peer.receive("SIP/2.0 200", leg), worker.port)
        wait_until(lambda: _sounds(after, 8), PATIENCE, "nothing is heard after the change")
        peer.request("BYE", worker.port, call_id=leg, cseq=8, **ends)
        worker.end_of(leg)


def _sounds(sink: UdpSink, payload_type: int) -> bool:
    """Tell whether a packet of this payload type came that is not silent."""
    payloads = [packet.data[12:] for packet in sink.packets() if packet.data[1] & 0x7F == payload_type]
    return any(len(set(payload)) > 5 for payload in payloads)


def _is_done(change: Callable[[int], None], call: int) -> bool:
    try:
        change(call)
    except TestbedError:
        return False
    return True


def test_legs_hear_the_same_file_each_in_its_own_time(worker: DrivenWorker, phone: Phone, files: Files) -> None:
    legs = [place(worker, phone) for _ in range(3)]
    for leg, _ in legs:
        worker.send(PlayAudio(leg, "same", (files.low, files.high)))
    for leg, call in legs:
        worker.wait(PlaybackFinished, leg=leg)
        phone.wait_heard(None, PATIENCE, call)
        assert lengths(phone.recording(call), LOW_HZ) == [pytest.approx(0.517, abs=0.06)]


@pytest.mark.parametrize("names", [("missing",), ("low", "missing"), ("text",), ()])
def test_files_that_cannot_be_played_have_failed_and_finished(
    worker: DrivenWorker, phone: Phone, files: Files, names: tuple[str, ...]
) -> None:
    leg, _ = place(worker, phone)
    worker.send(PlayAudio(leg, "greeting", tuple(getattr(files, name) for name in names)))
    assert worker.wait(PlaybackFinished, leg=leg).playback == "greeting"
    assert worker.told(wire.CommandFailed, leg=leg, command="PlayAudio")


def test_a_worker_plays_more_often_than_its_bridge_has_ports(worker: DrivenWorker, phone: Phone, files: Files) -> None:
    leg, _ = place(worker, phone)
    for nth in range(1, 15):
        worker.send(*[PlayAudio(leg, "replaced", (files.low,)), PlayTone(leg, BUSY)] * 10)
        worker.send(PlayAudio(leg, "whole", (files.low,)))
        worker.wait(PlaybackFinished, nth=nth, leg=leg)
    assert {event.playback for event in worker.told(PlaybackFinished, leg=leg)} == {"whole"}
    assert worker.told(wire.CommandFailed, leg=leg) == []


# -- recordings


@pytest.mark.parametrize("end", ["stop", "our hang-up", "their hang-up"])
def test_a_recording_holds_what_the_far_end_said_until_it_ends(
    worker: DrivenWorker, phone: Phone, files: Files, recordings: Path, end: str
) -> None:
    leg, call = place(worker, phone)
    recording = secrets.token_hex(16)
    worker.send(StartRecording(leg, recording), PlayAudio(leg, "clock", (files.low, files.high)))
    worker.wait(PlaybackFinished, leg=leg)
    if end == "stop":
        worker.send(StopRecording(leg, recording))
    elif end == "our hang-up":
        worker.send(HangUpLeg(leg))
    else:
        phone.hang_up(call)
    finished = worker.wait(RecordingFinished, leg=leg)
    with wave.open(str(recordings / f"{recording}.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (8000, 1, 2)
        assert file.getnframes() / 8000 == finished.seconds
    assert finished.recording == recording
    assert finished.seconds == pytest.approx(1.05, abs=0.4)
    assert audio.dominant_hz(recordings / f"{recording}.wav") == pytest.approx(700, abs=2)
    if end != "stop":
        worker.end_of(leg)
        assert worker.of_leg(leg)[-2:] == ["RecordingFinished", "LegEnded"]


def test_a_recording_of_a_leg_that_is_never_answered_ends_with_it(worker: DrivenWorker, phone: Phone) -> None:
    phone.behave("ring")
    leg = worker.place(phone.extension, phone.port)
    call_at(phone, leg)
    phone.behave("answer")
    recording = secrets.token_hex(16)
    worker.send(StartRecording(leg, recording), HangUpLeg(leg))
    assert worker.wait(RecordingFinished, leg=leg) == RecordingFinished(leg, recording, 0.0)
    worker.end_of(leg)
    assert worker.of_leg(leg)[-2:] == ["RecordingFinished", "LegEnded"]


@pytest.mark.parametrize("recording", ["../" + "0" * 29, "/tmp/" + "0" * 27, "0" * 31, "0" * 33, "A" * 32, ""])  # noqa: S108
def test_a_recording_whose_id_is_none_is_not_begun(
    worker: DrivenWorker, phone: Phone, recordings: Path, recording: str
) -> None:
    before = set(recordings.parent.rglob("*"))
    leg, _ = place(worker, phone)
    worker.send(StartRecording(leg, recording))
    assert worker.wait(RecordingFinished, leg=leg) == RecordingFinished(leg, recording, 0.0)
    assert worker.told(wire.CommandFailed, leg=leg, command="StartRecording")
    assert set(recordings.parent.rglob("*")) == before


# -- speech


PROMPT = Path(__file__).parents[2] / "sipcore/audio/prompts/en/press_1_to_accept.wav"


@pytest.fixture(scope="module")
def speaker() -> Iterator[DrivenWorker]:
    """A far end that plays what it is told: another worker."""
    with DrivenWorker() as worker:
        worker.allow_incoming(4)
        yield worker


def answered_by(speaker: DrivenWorker, worker: DrivenWorker) -> str:
    leg = worker.place("700", speaker.port)
    speaker.wait(wire.LegOffered, leg=leg)
    speaker.send(AnswerLeg(leg))
    worker.wait(LegAnswered, leg=leg)
    return leg


def test_somebody_who_speaks_is_heard_to_begin_and_to_stop(worker: DrivenWorker, speaker: DrivenWorker) -> None:
    leg = answered_by(speaker, worker)
    worker.send(ListenForSpeech(leg))
    speaker.send(PlayAudio(leg, "prompt", (str(PROMPT),)))
    speaker.wait(PlaybackFinished, leg=leg)
    started, stopped = worker.wait(SpeechStarted, leg=leg), worker.wait(SpeechStopped, leg=leg)
    assert 0 <= started.at_ms < stopped.at_ms
    with wave.open(str(PROMPT)) as file:
        length_ms = file.getnframes() / 8
    spoken_ms = sum(
        after.at_ms - before.at_ms
        for before, after in zip(worker.told(SpeechStarted, leg=leg), worker.told(SpeechStopped, leg=leg), strict=False)
    )
    assert 0.5 * length_ms < spoken_ms < 1.2 * length_ms


def test_a_beep_is_no_speech(worker: DrivenWorker, speaker: DrivenWorker, files: Files) -> None:
    leg = answered_by(speaker, worker)
    worker.send(ListenForSpeech(leg))
    speaker.send(PlayAudio(leg, "beep", (files.high,)))
    assert worker.wait(BeepHeard, leg=leg).at_ms > 500
    assert worker.told(SpeechStarted, leg=leg) == []


def test_nothing_is_heard_after_listening_has_ended_and_time_begins_anew_with_it(
    worker: DrivenWorker, speaker: DrivenWorker, files: Files
) -> None:
    leg = answered_by(speaker, worker)
    worker.send(ListenForSpeech(leg), StopListening(leg))
    speaker.send(PlayAudio(leg, "beep", (files.high,)))
    speaker.wait(PlaybackFinished, leg=leg, playback="beep")
    worker.send(ListenForSpeech(leg))
    speaker.send(PlayAudio(leg, "again", (files.high,)))
    assert 400 < worker.wait(BeepHeard, leg=leg).at_ms < 5000
    speaker.wait(PlaybackFinished, leg=leg, playback="again")
    assert len(worker.told(BeepHeard, leg=leg)) == 1


# -- who hears whom


def test_every_leg_of_a_room_hears_all_others_and_not_itself(
    worker: DrivenWorker, phones: tuple[Phone, Phone, Phone]
) -> None:
    members = [(phone, *place(worker, phone)) for phone in phones]
    for _, leg, _ in members:
        worker.send(JoinRoom(leg, "800"))
    tones = {700.0, 900.0, 1100.0}
    for phone, own in zip(phones, (700.0, 900.0, 1100.0), strict=True):
        wait_until(lambda it=phone, hz=own: _heard(it) == tones - {hz}, PATIENCE, lambda it=phone: str(it.heard()))
    phones[0].hang_up(members[0][2])
    worker.end_of(members[0][1])
    wait_until(lambda: _heard(phones[1]) == {1100.0}, PATIENCE, "who left is still heard")
    outsider, call = place(worker, phones[0])
    worker.send(JoinRoom(outsider, "801"))
    wait_until(lambda: phones[0].recording(call).seconds > 1, PATIENCE, "no audio")
    assert _heard(phones[0]) == set()
    assert _heard(phones[1]) == {1100.0}


def _heard(phone: Phone) -> set[float]:
    """The phones' tones in the latest half second."""
    return {hz for hz in (700.0, 900.0, 1100.0) if phone.hears(hz)}


def test_a_leg_can_be_heard_by_several_while_it_hears_one(
    worker: DrivenWorker, phones: tuple[Phone, Phone, Phone]
) -> None:
    first, second, third = (place(worker, phone)[0] for phone in phones)
    worker.send(BridgeLegs(first, second), PassAudio(first, third))
    for phone, wanted in zip(phones, ({900.0}, {700.0}, {700.0}), strict=True):
        wait_until(lambda it=phone, w=wanted: _heard(it) == w, PATIENCE, lambda it=phone: str(it.heard()))


# -- headers


def test_headers_that_make_a_phone_answer_by_itself_arrive_as_they_are(worker: DrivenWorker) -> None:
    headers = (
        ("Alert-Info", "<http://127.0.0.1>;info=alert-autoanswer;delay=0"),
        ("Call-Info", "<sip:127.0.0.1>;answer-after=0"),
        ("Answer-Mode", "Auto"),
    )
    with Sipp("answer") as peer:
        leg = worker.place("101", peer.port, headers)
        worker.wait(LegAnswered, leg=leg)
        invite = peer.wait_for("INVITE", timeout=PATIENCE)
        assert [(name, invite.header(name)) for name, _ in headers] == list(headers)
        worker.send(HangUpLeg(leg))
        worker.end_of(leg)
