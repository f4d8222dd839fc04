"""The test bed's own tests: every peer does what it says before it judges the server."""

# SPDX-License-Identifier: GPL-2.0-or-later

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from testbed import audio, scenarios
from testbed.baresip import Baresip
from testbed.capture import UdpSink
from testbed.kamailio import Kamailio
from testbed.netns import NetworkNamespace, RootNeededError, require_root
from testbed.phone import Phone
from testbed.process import Child, MissingProgramError, TestbedError, find_program, free_port, is_bound, wait_until
from testbed.sipp import Sipp

BED = Path(__file__).parents[2] / "sip-testbed"
USERS = {"101": "pw101", "102": "pw102", "trunkuser": "trunkpass"}


@pytest.fixture
def caller():
    with Phone("100", tone_hz=440) as phone:
        yield phone


@pytest.fixture
def call(caller):
    return lambda peer: caller.call(peer.uri())


@pytest.fixture
def as_root():
    try:
        require_root()
    except RootNeededError as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(str(reason))
        pytest.skip(str(reason))


def story(peer):
    """The messages in the order in which the peer sent (>) and received (<) them."""
    return [f"{'>' if m.direction == 'sent' else '<'}{m.method or m.code}" for m in peer.messages()]


# -- audio


def test_a_mix_of_tones_is_told_apart_by_frequency_and_level():
    mix = audio.sine(440, 0.5, level_db=-12) + audio.sine(480, 0.5, level_db=-15)
    strongest, second = audio.tones(audio.Recording(mix, 8000))
    assert (strongest.hz, second.hz) == (pytest.approx(440, abs=1), pytest.approx(480, abs=1))
    assert (strongest.level_db, second.level_db) == (pytest.approx(-12, abs=0.5), pytest.approx(-15, abs=0.5))


def test_noise_and_silence_hold_no_tone():
    noise = np.random.default_rng(1).normal(0, 0.003, 8000)
    assert audio.tones(audio.Recording(noise, 8000)) == []
    assert audio.dominant_hz(audio.Recording(np.zeros(8000), 8000)) is None
    assert not audio.has_tone(noise, 8000, 440)


def test_the_harmonics_of_a_companded_tone_are_not_tones():
    encoded = np.frombuffer(audio.mu_law(audio.sine(620, 1.0)), np.uint8)
    inverted = ~encoded.astype(int) & 0xFF
    magnitude = (((inverted & 0x0F) << 1 | 0x21) << ((inverted >> 4) & 7)) - 33
    decoded = np.where(inverted & 0x80, -1, 1) * magnitude / 8159
    assert [tone.hz for tone in audio.tones(audio.Recording(decoded, 8000))] == [pytest.approx(620, abs=1)]
    assert audio.level_db(decoded) == pytest.approx(-9, abs=0.2)


def test_a_ringback_cadence_is_measured():
    on = audio.sine(440, 0.4, level_db=-13) + audio.sine(480, 0.4, level_db=-13)
    ringback = audio.Recording(np.concatenate([on, np.zeros(6400), on]), 8000)
    first, second = audio.cadence(ringback, 440, 480)
    assert (first.start, first.end) == (pytest.approx(0.0, abs=0.04), pytest.approx(0.4, abs=0.04))
    assert (second.start, second.end) == (pytest.approx(1.2, abs=0.04), pytest.approx(1.6, abs=0.04))
    (gap,) = audio.silences(ringback)
    assert gap.length == pytest.approx(0.8, abs=0.06)
    assert {round(tone.hz) for tone in audio.tone_at(ringback, 1.25, 1.55)} == {440, 480}
    assert audio.cadence(ringback, 350) == []


def test_a_recording_whose_header_has_no_size_yet_is_read(tmp_path):
    path = tmp_path / "growing.wav"
    audio.write_wav(path, audio.sine(700, 0.5), 8000)
    data = bytearray(path.read_bytes())
    data[4:8] = data[40:44] = bytes(4)
    path.write_bytes(data + b"\x00")
    assert audio.read_wav(path).seconds == pytest.approx(0.5)
    assert audio.dominant_hz(path) == pytest.approx(700, abs=1)


# -- ports, processes, packets


def test_free_ports_are_free_and_not_given_twice_in_a_row():
    ports = [free_port() for _ in range(30)]
    assert len(set(ports)) == 30
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", ports[0]))
        assert is_bound("udp", ports[0])
    assert not is_bound("udp", ports[0])


def test_a_missing_program_is_named_with_the_line_that_installs_it():
    with pytest.raises(MissingProgramError, match="apt-get install -y kamailio kamailio-sqlite-modules sip-tester"):
        find_program("no-such-program")


def test_a_child_that_ends_at_once_tells_why(tmp_path):
    child = Child([sys.executable, "-c", "import sys; sys.exit('no luck')"], tmp_path / "log")
    with pytest.raises(TestbedError, match="no luck"):
        wait_until(lambda: False, 5, "", alive=child.death)
    child.stop()


def test_the_sink_counts_every_packet_and_knows_when_none_came():
    with UdpSink() as sink, UdpSink() as sender:
        assert sink.settle() == 0
        for number in range(20):
            sender.send(b"%d" % number, (sink.host, sink.port))
        assert sink.settle() == 20
        assert [packet.data for packet in sink.packets()][:2] == [b"0", b"1"]
        assert sink.packets()[0].source == (sender.host, sender.port)
    assert not is_bound("udp", sink.port)


def test_nothing_outlives_a_test_run_that_is_killed(tmp_path):
    program = (
        "import sys, time\n"
        "from testbed.kamailio import Kamailio\nfrom testbed.sipp import Sipp\nfrom testbed.phone import Phone\n"
        "from pathlib import Path\n"
        "k, s, p = Kamailio({'1': 'x'}), Sipp('answer'), Phone('1')\n"
        "[each.start() for each in (k, s, p)]\n"
        "children = Path(f'/proc/{k.pid}/task/{k.pid}/children').read_text().split()\n"
        "print(k.pid, s.pid, p.pid, *children, flush=True)\n"
        "time.sleep(60)\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(BED), "TMPDIR": str(tmp_path)},
    )
    pids = [int(word) for word in run.stdout.readline().split()]
    run.send_signal(signal.SIGKILL)
    run.wait()
    run.stdout.close()
    assert len(pids) > 5

    def ended(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_until(lambda: all(ended(pid) for pid in pids), 5, lambda: f"still there: {[p for p in pids if not ended(p)]}")


# -- trunk and phones


def test_two_registered_phones_hear_each_other_through_the_trunk_and_not_themselves():
    with (
        Kamailio(USERS) as trunk,
        Phone("101", tone_hz=440, registrar=trunk.uri, password="pw101") as alice,
        Phone("102", tone_hz=620, registrar=trunk.uri, password="pw102") as bob,
    ):
        assert trunk.registered("101")
        assert trunk.registered("102")
        alice.call(f"sip:102@{trunk.address}")
        alice.wait_for("answered")
        alice.wait_heard(620)
        bob.wait_heard(440)
        assert not alice.hears(440)
        assert not bob.hears(620)

        alice.send_digits("12#")
        bob.wait_digits("12#")
        bob.send_digits("9*", method="info")
        alice.wait_digits("9*")
        assert {event["method"] for event in alice.events("digit")} == {"info"}

        alice.hold()
        bob.wait_for("media", status="remote_hold")
        bob.wait_heard(None)
        alice.unhold()
        bob.wait_heard(440)

        bob.hang_up()
        assert alice.wait_for("ended")["code"] == 200
        assert alice.active_calls() == []
    assert not is_bound("udp", trunk.port)


def test_a_wrong_password_is_refused():
    with (
        Kamailio(USERS) as trunk,
        pytest.raises(TestbedError, match="not registered, 401"),
        Phone("101", registrar=trunk.uri, password="wrong"),
    ):
        pytest.fail("it registered")


def test_a_restarted_registrar_has_forgotten_everybody_until_they_register_again():
    with Kamailio(USERS) as trunk, Phone("101", registrar=trunk.uri, password="pw101") as phone:
        trunk.restart()
        assert not trunk.registered("101")
        phone.register()
        trunk.wait_registered("101")
        phone.unregister()
        trunk.wait_registered("101", registered=False)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("challenge", [401, 407, None])
def test_the_trunk_relays_a_number_to_its_next_hop_once_the_caller_is_known(transport, challenge):
    with (
        Sipp("answer") as far_end,
        Kamailio(USERS, next_hops={"+1": "127.0.0.1:9", "+1202": far_end.address}, challenge=challenge) as trunk,
        Phone("101", username="trunkuser", password="trunkpass", transport=transport) as phone,
        Sipp(scenarios.caller("+12025550123"), remote=trunk.address, calls=1) as stranger,
    ):
        if challenge is None:
            assert stranger.wait_end() == 0
        else:
            stranger.wait_for(challenge)
        known = len(far_end.received("INVITE"))
        suffix = ";transport=tcp" if transport == "tcp" else ""
        phone.call(f"sip:+12025550123@{trunk.address}{suffix}")
        phone.wait_for("answered")
        invite = far_end.wait_for("INVITE", count=known + 1)
        assert known == (1 if challenge is None else 0)
        assert invite.header("Proxy-Authorization") is None
        assert invite.message.uri.user == "+12025550123"
        phone.hang_up()
        far_end.wait_for("BYE", count=known + 1)
        assert phone.wait_for("ended")["code"] == 200
        phone.call(f"sip:999@{trunk.address}{suffix}")
        assert phone.wait_for("ended", nth=2)["code"] == 404


@pytest.mark.parametrize(
    ("behaviour", "reject_code", "code"), [("answer", 0, 200), ("reject", 603, 603), ("ring", 0, 487)]
)
def test_a_phone_behaves_as_told(caller, behaviour, reject_code, code):
    with Phone("101", behaviour=behaviour, reject_code=reject_code) as phone:
        placed = caller.call(phone.uri)
        phone.wait_for("incoming")
        if behaviour == "answer":
            caller.wait_for("answered", call=placed.number)
        if behaviour == "ring":
            caller.wait_for("ringing", call=placed.number)
        if behaviour != "reject":
            caller.hang_up()
        assert caller.wait_for("ended", call=placed.number)["code"] == code
        assert phone.calls()[0].call_id == placed.call_id
        assert phone.calls()[0].invite.startswith("INVITE sip:101@")


def test_a_phone_plays_early_media_before_it_answers(caller):
    with Phone("101", behaviour="early_media", answer_after=1.0, tone_hz=700, codec="G722") as phone:
        placed = caller.call(phone.uri)
        caller.wait_heard(700, call=placed.number)
        assert placed.state == "ringing"
        caller.wait_for("answered", call=placed.number)
        caller.hang_up()


async def test_waiting_for_a_peer_leaves_the_event_loop_free(call):
    with Sipp("busy") as peer:
        call(peer)
        assert (await peer.wait_for_async("ACK")).method == "ACK"


# -- scripted answers


@pytest.mark.parametrize(
    ("name", "code", "expected"),
    [
        ("busy", 486, ["<INVITE", ">486", "<ACK"]),
        ("decline", 603, ["<INVITE", ">603", "<ACK"]),
        ("not_found", 404, ["<INVITE", ">404", "<ACK"]),
        ("unavailable", 480, ["<INVITE", ">480", "<ACK"]),
        ("unavailable_after_ringing", 480, ["<INVITE", ">180", ">480", "<ACK"]),
        ("service_unavailable", 503, ["<INVITE", ">503", "<ACK"]),
        ("challenge_loop", 401, ["<INVITE", ">401", "<ACK"]),
        # A pjsua2 phone does not follow a redirect, and calls that 487.
        ("redirect", 487, ["<INVITE", ">302", "<ACK"]),
        ("bye_by_callee", 200, ["<INVITE", ">200", "<ACK", ">BYE", "<200"]),
    ],
)
def test_a_scenario_ends_the_call_as_its_name_says(caller, call, name, code, expected):
    with Sipp(name) as peer:
        placed = call(peer)
        assert caller.wait_for("ended", call=placed.number)["code"] == code
        peer.wait_for("ACK" if expected[-1] == "<ACK" else 200)
        assert story(peer) == expected


def test_any_final_code_can_be_answered(caller, call):
    with Sipp(scenarios.final(607, reason="Unwanted")) as peer:
        placed = call(peer)
        ended = caller.wait_for("ended", call=placed.number)
        assert (ended["code"], ended["reason"]) == (607, "Unwanted")


def test_a_redirect_names_its_contact(call):
    with Sipp(scenarios.redirect("sip:other@127.0.0.1:4444")) as peer:
        call(peer)
        assert peer.wait_for(302, direction="sent").header("contact") == "<sip:other@127.0.0.1:4444>"


def test_a_challenge_loop_never_gives_in():
    with Sipp("challenge_loop") as peer, Phone("1", password="x") as phone:
        phone.call(peer.uri())
        assert phone.wait_for("ended")["code"] == 401
        peer.wait_for("ACK", count=2)
        nonces = {trace.header("WWW-Authenticate") for trace in peer.sent(401)}
        assert len(peer.received("INVITE")) == len(nonces) > 1


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_answer_stays_in_the_call_until_bye_and_sends_no_audio(transport):
    with Sipp("answer", transport=transport) as peer, Phone("100", transport=transport, tone_hz=440) as caller:
        placed = caller.call(peer.uri())
        caller.wait_for("answered", call=placed.number)
        peer.media.wait_count(10)
        assert caller.heard(placed.number) == []
        caller.hang_up()
        caller.wait_for("ended", call=placed.number)
        peer.wait_for(200, count=2, direction="sent")
        assert story(peer) == ["<INVITE", ">200", "<ACK", "<BYE", ">200"]
        assert peer.count_packets() == 3
        assert peer.messages()[0].message.call_id == placed.call_id


def test_answer_late_rings_first(caller, call):
    with Sipp(scenarios.answer(ring=300)) as peer:
        placed = call(peer)
        assert caller.wait_for("ringing", call=placed.number)["code"] == 180
        assert caller.wait_for("answered", call=placed.number)
        ringing, answered = peer.sent(180)[0], peer.wait_for(200, direction="sent")
        assert (answered.time - ringing.time).total_seconds() == pytest.approx(0.3, abs=0.15)


@pytest.mark.parametrize("name", ["no_answer", "answer_late", "early_media"])
def test_ringing_ends_with_cancel(caller, call, name):
    with Sipp(name) as peer:
        placed = call(peer)
        caller.wait_for("ringing", call=placed.number)
        caller.hang_up()
        assert caller.wait_for("ended", call=placed.number)["code"] == 487
        peer.wait_for("ACK")
        assert story(peer)[2:] == ["<CANCEL", ">200", ">487", "<ACK"]


def test_never_responds_only_listens():
    with Sipp("never_responds") as peer, Phone("1") as phone:
        phone.call(peer.uri())
        peer.wait_for("INVITE", count=2)
        assert peer.sent() == []


def test_a_tone_can_follow_the_answer(caller, call):
    with Sipp(scenarios.answer(tone=800)) as peer:
        placed = call(peer)
        caller.wait_heard(800, call=placed.number)


def test_early_media_is_heard_before_the_answer(caller, call):
    with Sipp(scenarios.answer(ring=1000, code=183, early_media=True, tone=700)) as peer:
        placed = call(peer)
        assert caller.wait_for("ringing", call=placed.number)["code"] == 183
        caller.wait_heard(700, call=placed.number)
        assert placed.state == "ringing"
        caller.wait_for("answered", call=placed.number)


def test_an_echo_sends_the_phone_its_own_tone(caller, call):
    with Sipp("answer", echo=True) as peer:
        call(peer)
        caller.wait_heard(440)


def test_two_byes_cross(caller):
    with Sipp("bye_race") as peer, Kamailio({}, next_hops={"9": peer.address}, challenge=None) as trunk:
        placed = caller.call(f"sip:9@{trunk.address}")
        caller.wait_for("answered", call=placed.number)
        caller.hang_up()
        caller.wait_for("ended", call=placed.number)
        answer = peer.wait_for(200, count=2, direction="sent")
        peer.wait_for(200)
        assert answer.headers("cseq") == peer.received("BYE")[0].headers("cseq")
        assert story(peer)[3:5] == ["<BYE", ">BYE"]


def test_hold_and_resume_by_reinvite(caller, call):
    with Sipp(scenarios.hold(hold_after=100, hold_for=200)) as peer:
        placed = call(peer)
        caller.wait_for("media", call=placed.number, status="remote_hold")
        peer.wait_for("INVITE", count=2, direction="sent")
        wait_until(lambda: placed.media == "active", 5, lambda: placed.media)
        held, resumed = peer.sent("INVITE")
        assert "a=sendonly" in held.body
        assert "a=sendrecv" in resumed.body


def test_digits_by_info(caller, call):
    with Sipp(scenarios.info_digits("12#")) as peer:
        placed = call(peer)
        caller.wait_digits("12#", call=placed.number)
        assert {event["method"] for event in placed.events if event["event"] == "digit"} == {"info"}


def test_digits_by_rfc_4733_in_both_directions(caller, call):
    with Sipp("answer") as peer:
        placed = call(peer)
        caller.wait_for("answered", call=placed.number)
        peer.send_digits("159*#")
        caller.wait_digits("159*#", call=placed.number)
        caller.send_digits("77D", call=placed.number)
        wait_until(lambda: peer.digits_received() == "77D", 5, peer.digits_received)


def test_a_lost_ack_is_sent_again(caller, call):
    with Sipp(scenarios.lost_ack(repeats=1)) as peer:
        placed = call(peer)
        peer.wait_for("ACK", count=2)
        assert placed.state == "answered"
        caller.hang_up()
        caller.wait_for("ended", call=placed.number)
        assert story(peer)[:5] == ["<INVITE", ">200", "<ACK", ">200", "<ACK"]


@pytest.mark.parametrize("through_trunk", [False, True])
def test_an_answer_that_crosses_cancel_is_ended_by_ack_and_bye(through_trunk):
    with (
        Sipp("late_answer") as peer,
        Kamailio(USERS, next_hops={"9": peer.address}) as trunk,
        Phone("101", password="pw101") as phone,
    ):
        phone.call(f"sip:9@{trunk.address if through_trunk else peer.address}")
        phone.wait_for("ringing")
        phone.hang_up()
        phone.wait_for("ended")
        peer.wait_for("BYE")
        peer.wait_for(200, count=3, direction="sent")
        assert [word for word in story(peer) if word != ">100"] == [
            "<INVITE", ">180", "<CANCEL", ">200", ">200", "<ACK", "<BYE", ">200",
        ]  # fmt: skip


def test_of_two_forked_answers_the_second_is_released(caller, call):
    with Sipp(scenarios.fork(ring=100)) as peer:
        placed = call(peer)
        released = peer.wait_for("BYE", timeout=8)
        assert released.header("to").endswith("a")
        assert len({trace.header("to") for trace in peer.sent(180)}) == 2
        assert placed.state == "answered"
        caller.hang_up()
        assert peer.wait_for("BYE", count=2).header("to").endswith("b")


def test_a_scripted_caller_is_answered_by_a_phone():
    with Phone("101") as phone, Sipp(scenarios.caller("101"), remote=f"{phone.host}:{phone.port}", calls=1) as peer:
        assert peer.wait_end() == 0
        assert phone.wait_for("ended")["code"] == 200
        assert phone.calls()[0].state == "ended"


def test_every_scenario_is_accepted_by_sipp():
    for name in scenarios.SCENARIOS:
        with Sipp(name) as peer:
            assert peer.running, name


# -- another maker's phone


@pytest.mark.usefixtures("as_root")
def test_baresip_calls_and_is_called_with_audio_and_digits_both_ways():
    with Baresip("103", tone_hz=900) as other, Phone("101", host=other.outside, tone_hz=440) as phone:
        phone.call(other.uri)
        phone.wait_for("answered")
        phone.wait_heard(900)
        other.wait_heard(440)
        phone.send_digits("12")
        wait_until(lambda: other.digits_received() == "12", 5, other.digits_received)
        other.hang_up()
        phone.wait_for("ended")

        other.call(phone.uri)
        phone.wait_for("answered", nth=2)
        phone.wait_heard(900)
        other.wait_heard(440)
        other.send_digits("45*")
        phone.wait_digits("45*")
        phone.hang_up()
        other.wait_for("CALL_CLOSED", nth=2)


@pytest.mark.usefixtures("as_root")
def test_baresip_registers_at_the_trunk():
    with (
        NetworkNamespace() as namespace,
        Kamailio({"103": "pw103", "101": "pw101"}, host=namespace.outside) as trunk,
        Baresip("103", registrar=trunk.address, password="pw103", namespace=namespace) as other,
        Phone("101", host=namespace.outside, password="pw101", tone_hz=440) as phone,
    ):
        assert trunk.registered("103")
        phone.call(f"sip:103@{trunk.address}")
        phone.wait_for("answered")
        other.wait_heard(440)


@pytest.mark.usefixtures("as_root")
def test_a_namespace_leaves_nothing_behind():
    with NetworkNamespace() as namespace:
        name = namespace.interface
        assert Path(f"/sys/class/net/{name}").exists()
    assert not Path(f"/sys/class/net/{name}").exists()


# -- the command


def lab(directory, *words):
    done = subprocess.run(
        [sys.executable, BED / "lab.py", "--dir", directory, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_lab_starts_shows_and_stops(tmp_path):
    try:
        code, shown = lab(tmp_path, "start")
        assert code == 0, shown
        assert "tone 440 Hz, sip:101@127.0.0.1" in shown
        assert "never_responds" in lab(tmp_path, "show")[1]
        assert lab(tmp_path, "start")[0] == 2
    finally:
        code, said = lab(tmp_path, "stop")
    assert (code, said) == (0, "stopped\n")
    assert "no lab runs" in lab(tmp_path, "show")[1]
    assert "late_answer" in lab(tmp_path, "list")[1]


def test_the_lab_runs_one_scenario_in_the_terminal(caller):
    port = free_port()
    run = subprocess.Popen(
        [sys.executable, BED / "lab.py", "sipp", "busy", "--port", str(port), "--calls", "1"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert "busy" in run.stdout.readline() or run.poll() is None
    caller.call(f"sip:x@127.0.0.1:{port}")
    rest = run.stdout.read()
    assert run.wait(10) == 0
    run.stdout.close()
    assert "-> SIP/2.0 486 Busy Here" in rest


def test_a_phone_runs_from_the_shell():
    port = free_port()
    run = subprocess.Popen(
        [sys.executable, "-m", "testbed.phone", "--extension", "101", "--port", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(BED)},
    )
    assert f'"port": {port}' in run.stdout.readline()
    began = time.monotonic()
    run.stdin.close()
    assert run.wait(5) == 0
    assert time.monotonic() - began < 2
    run.stdout.close()
