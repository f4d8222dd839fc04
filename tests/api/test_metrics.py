"""`/metrics`: what is counted, what is read off the server, and who may see it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families
from test_records import LIVE, START

from api.metrics import Metrics
from sipcore.domain.causes import Disposition
from sipcore.domain.commands import JoinQueue
from sipcore.domain.recording import OpenRecording, RecordingAlarm, RecordingFormat
from sipcore.domain.refusal import Refusal
from sipcore.domain.registration import RegistrationState, TrunkState
from sipcore.domain.webhook import Delivery
from sipcore.service.event_recorder import NobodyListens


async def scrape(site, **headers) -> dict[tuple[str, ...], float]:
    """Read all samples: by name, and the values of the labels that are not empty by the labels' names."""
    answer = await site.fetch("/metrics", headers=headers)
    assert answer.code == 200
    return {
        (sample.name, *(value for value in sample.labels.values() if value)): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def at(seconds: float):
    return START + timedelta(seconds=seconds)


def in_progress(name: str, *, joined: bool = False, direction: str = "outbound"):
    first, second = LIVE.legs
    first = replace(first, placed_at=at(0.004), ringing_at=at(0.604), answered_at=at(4.004))
    second = replace(second, placed_at=at(4.006), ringing_at=at(5.006), answered_at=at(8.006) if joined else None)
    return replace(LIVE, id=name, legs=(first, second), joined_at=at(8.007) if joined else None, direction=direction)


def over(record, disposition: Disposition, seconds: float):
    return replace(record, ended_at=at(seconds), disposition=disposition)


async def test_calls_are_counted_as_they_begin_and_end_and_shown_while_they_last(site, metrics):
    answered, busy, inbound = in_progress("a"), in_progress("b"), in_progress("c", direction="inbound")
    for record in (answered, answered, busy, inbound, in_progress("a", joined=True)):
        metrics.calls.stepped(record)
    seen = await scrape(site)
    assert seen["click2call_calls_accepted_total", "outbound"] == 2
    assert seen["click2call_calls_accepted_total", "inbound"] == 1
    assert seen["click2call_calls_in_progress", "outbound", "joined"] == 1
    assert seen["click2call_calls_in_progress", "outbound", "connecting"] == 1
    assert seen["click2call_calls_in_progress", "inbound", "connecting"] == 1
    metrics.calls.stepped(over(in_progress("a", joined=True), Disposition.ANSWERED, 68.007))
    metrics.calls.stepped(over(busy, Disposition.BUSY, 6))
    seen = await scrape(site)
    assert seen["click2call_calls_ended_total", "outbound", "answered"] == 1
    assert seen["click2call_calls_ended_total", "outbound", "busy"] == 1
    assert [name for name in seen if name[0] == "click2call_calls_in_progress"] == [
        ("click2call_calls_in_progress", "inbound", "connecting")
    ]
    assert (seen["click2call_call_talk_seconds_count",], seen["click2call_call_talk_seconds_sum",]) == (1, 60)


async def test_how_long_legs_took_is_counted_once_when_it_is_known(site, metrics):
    metrics.calls.stepped(in_progress("a"))
    assert (await scrape(site))["click2call_first_invite_seconds_count",] == 0
    # Joined: all is known, though the call goes on.
    for record in (in_progress("a", joined=True), over(in_progress("a", joined=True), Disposition.ANSWERED, 9)):
        metrics.calls.stepped(record)
        seen = await scrape(site)
        assert seen["click2call_first_invite_seconds_count",] == 1
        assert seen["click2call_first_invite_seconds_sum",] == pytest.approx(0.004)
        assert seen["click2call_second_invite_seconds_sum",] == pytest.approx(0.002)
        assert seen["click2call_leg_post_dial_delay_seconds_sum", "dial1"] == pytest.approx(0.6)
        assert seen["click2call_leg_post_dial_delay_seconds_sum", "dial2"] == pytest.approx(1.0)
        assert seen["click2call_leg_answer_seconds_sum", "dial2"] == pytest.approx(4.0)


async def test_refused_calls_are_counted_by_their_reasons_which_are_shown_from_the_start(site, metrics):
    assert {(await scrape(site))["click2call_calls_refused_total", reason] for reason in Refusal} == {0}
    for reason in (Refusal.NO_ROUTE, Refusal.NO_ROUTE, Refusal.NO_DATABASE):
        metrics.calls.refused(reason)
    seen = await scrape(site)
    assert {reason: seen["click2call_calls_refused_total", reason] for reason in Refusal} == {
        "no_route": 2, "no_database": 1, "limit": 0, "no_room": 0, "stopping": 0, "error": 0,
    }  # fmt: skip


async def test_a_step_is_passed_on_to_whoever_is_told_of_steps():
    told = []

    class Listener(NobodyListens):
        def stepped(self, record):
            told.append(record)

    calls = Metrics().calls
    calls.then = Listener()
    calls.stepped(LIVE)
    assert told == [LIVE]


async def test_workers_and_their_slots_are_shown_as_they_are(site):
    seen = await scrape(site)
    shown = {name[0].removeprefix("click2call_"): value for name, value in seen.items()}
    assert (shown["leg_slots"], shown["leg_slots_reserved"], shown["leg_slots_free"]) == (12, 4, 8)
    assert (shown["workers"], shown["workers_startable"]) == (3, 7)
    assert (shown["workers_started_total"], shown["workers_died_total"]) == (5, 1)


async def test_a_trunk_that_registers_is_shown_with_whether_it_is_registered(site):
    site.trunks[:] = [
        TrunkState("main", RegistrationState.REGISTERED, 200),
        TrunkState("other", RegistrationState.FAILED, 403),
        TrunkState("static", RegistrationState.NONE),
    ]
    seen = await scrape(site)
    assert {name[1]: value for name, value in seen.items() if name[0] == "click2call_trunk_registered"} == {
        "main": 1, "other": 0,
    }  # fmt: skip


async def test_queues_are_summed_up_unless_organisations_are_to_be_told_apart(site):
    site.queues.line_busy("acme", "101")
    site.queues.execute("acme", JoinQueue("uid-1", "701", "wait"))
    seen = await scrape(site)
    assert seen["click2call_queue_waiting",] == 1
    assert 0 <= seen["click2call_queue_longest_wait_seconds",] < 5
    # 101 is an agent of both queues.
    assert seen["click2call_queue_agents", "busy"] == 2
    assert seen["click2call_queue_agents", "free"] == 1


class TestWithOrganisations:
    @pytest.fixture
    def metrics(self):
        return Metrics(organisations=True)

    @pytest.fixture
    def metrics_token(self):
        return "t0ken"

    async def test_everything_of_an_organisation_has_its_name(self, site, metrics):
        metrics.calls.stepped(in_progress("a"))
        metrics.calls.stepped(over(in_progress("a"), Disposition.BUSY, 6))
        metrics.calls.stepped(in_progress("b"))
        site.told_outside.delays["acme", "crm"] = None
        seen = await scrape(site, Authorization="Bearer t0ken")
        assert seen["click2call_calls_accepted_total", "outbound", "acme"] == 2
        assert seen["click2call_calls_ended_total", "outbound", "busy", "acme"] == 1
        assert seen["click2call_calls_in_progress", "outbound", "acme", "connecting"] == 1
        assert seen["click2call_queue_waiting", "acme", "700"] == 0
        assert seen["click2call_webhook_delay_seconds", "acme", "crm"] == 0

    @pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer t0kenx"}, {"Authorization": "Basic t0ken"}])
    async def test_without_the_token_nothing_is_shown(self, site, given):
        answer = await site.fetch("/metrics", headers=given)
        assert (answer.code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="metrics"')
        assert b"click2call" not in answer.body


async def test_nothing_names_an_organisation_when_anybody_may_read(site, metrics):
    metrics.calls.stepped(in_progress("a"))
    site.told_outside.delays["acme", "crm"] = time.time() - 60
    body = (await site.fetch("/metrics")).body
    assert b"acme" not in body
    assert b"crm" not in body
    assert (await scrape(site))["click2call_webhook_delay_seconds",] == pytest.approx(60, abs=5)


async def test_requests_are_counted_by_route_and_never_by_what_was_asked(site):
    for path in ("/api/v1/records/r1", "/api/v1/records/r2", "/nowhere/s3cret", "/API/dialup.php?pass=s3cret"):
        await site.fetch(path)
    seen = await scrape(site)
    assert seen["click2call_http_requests_total", "GET", "/api/v1/records/{id}", "401"] == 2
    assert seen["click2call_http_requests_total", "GET", "none", "404"] == 1
    assert seen["click2call_http_requests_total", "GET", "/API/dialup", "400"] == 1
    assert seen["click2call_http_request_seconds_count", "/api/v1/records/{id}"] == 2
    assert not any("s3cret" in label for name in seen for label in name)


async def test_a_method_that_somebody_made_up_is_no_label(site):
    await site.raw(b"BREW /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    seen = await scrape(site)
    assert seen["click2call_http_requests_total", "other", "/healthz", "405"] == 1


async def test_recordings_in_trouble_late_calls_and_deliveries_are_counted(site, metrics):
    news = []
    recording = OpenRecording("r" * 32, "c1", "acme", None, RecordingFormat.WAV, START)
    metrics.recordings(news.append)(alarm := RecordingAlarm(recording, "the disk is full"))
    metrics.scheduled(3.5)
    metrics.scheduled(-0.1)  # the clock was set back
    metrics.delivered(Delivery(204))
    metrics.delivered(Delivery(500))
    metrics.delivered(Delivery(None, "refused"))
    site.told_outside.pending = 7
    seen = await scrape(site)
    assert news == [alarm]
    assert seen["click2call_recording_errors_total",] == 1
    assert seen["click2call_schedule_lateness_seconds_sum",] == 3.5
    assert seen["click2call_schedule_lateness_seconds_bucket", "5.0"] == 2
    assert seen["click2call_webhook_deliveries_total", "delivered"] == 1
    assert seen["click2call_webhook_deliveries_total", "failed"] == 2
    assert seen["click2call_events_unstored",] == 7


async def test_the_process_and_what_runs_in_it_are_told(site):
    seen = await scrape(site)
    assert seen["process_resident_memory_bytes",] > 0
    assert any(name[0] == "click2call_build_info" for name in seen)


async def test_a_reader_that_knows_openmetrics_gets_them(site):
    answer = await site.fetch("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")
    plain = await site.fetch("/metrics")
    assert plain.headers["Content-Type"].startswith("text/plain; version=")


async def test_a_look_at_the_metrics_is_no_line_in_the_log(site):
    await scrape(site)
    assert [line["log_level"] for line in site.logged if line.get("path") == "/metrics"] == ["debug"]
