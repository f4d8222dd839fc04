"""`/api/v1/recordings`: fetching audio whole and in parts, deleting it; and the recording of a call in progress."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sipcore.domain.call_recording import RecordingAction
from sipcore.domain.errors import NotRecordedError
from sipcore.domain.record import CallRecord
from sipcore.domain.recording import OpenRecording, Recording, RecordingFormat

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AUDIO = bytes(range(256)) * 1024
ID = "a" * 32
CALL = CallRecord("c" * 32, "acme", "alice", "101", "102", None, NOON, (), recording_id=ID, recording_state="paused")


@pytest.fixture(autouse=True)
def _kept(site) -> None:
    keep(site, ID)


def keep(site, recording_id: str, form: RecordingFormat = RecordingFormat.WAV, organisation: str = "acme") -> None:
    site.recordings.files.path(recording_id, form).write_bytes(AUDIO)
    site.store.recordings[recording_id] = Recording(
        recording_id, "c" * 32, organisation, "101", form, NOON, 30.0, len(AUDIO)
    )


async def ask(site, path=f"/recordings/{ID}", user="alice@acme", **more):
    return await site.fetch(f"/api/v1{path}", auth_username=user, auth_password="s3cret", **more)


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        (RecordingFormat.WAV, "audio/wav"),
        (RecordingFormat.FLAC, "audio/flac"),
        (RecordingFormat.OPUS, "audio/ogg; codecs=opus"),
    ],
)
async def test_the_whole_audio_comes_with_its_type(site, form: RecordingFormat, kind: str) -> None:
    keep(site, "b" * 32, form)
    answer = await ask(site, f"/recordings/{'b' * 32}")
    assert (answer.code, answer.body) == (200, AUDIO)
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert f"{'b' * 32}.{form}" in answer.headers["Content-Disposition"]
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=1000-70999", 1000, 70999),
        ("bytes=1000-", 1000, len(AUDIO) - 1),
        ("bytes=-500", len(AUDIO) - 500, len(AUDIO) - 1),
        ("bytes=-99999999999999999999999", 0, len(AUDIO) - 1),
        ("bytes=5-99999999999999999999999", 5, len(AUDIO) - 1),
        ("BYTES = 7-8", 7, 8),
    ],
)
async def test_a_part_comes_as_it_was_asked_for(site, asked: str, first: int, last: int) -> None:
    answer = await ask(site, headers={"Range": asked})
    assert answer.code == 206
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(AUDIO)}"
    assert answer.body == AUDIO[first : last + 1]


@pytest.mark.parametrize(
    "asked", ["bytes=5-4", "bytes=0-1,5-6", "bytes=-", "items=0-1", "bytes=a-b", "bytes=²-", "0-1"]
)
async def test_what_is_no_single_range_counts_as_none(site, asked: str) -> None:
    answer = await ask(site, headers={"Range": asked})
    assert (answer.code, answer.body) == (200, AUDIO)


@pytest.mark.parametrize("asked", [f"bytes={len(AUDIO)}-", f"bytes={len(AUDIO) + 5}-{len(AUDIO) + 9}", "bytes=-0"])
async def test_a_range_behind_the_end_is_refused(site, asked: str) -> None:
    answer = await ask(site, headers={"Range": asked})
    assert answer.code == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(AUDIO)}"
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_part_of_another_recording_is_not_given_for_this_one(site) -> None:
    etag = (await ask(site)).headers["Etag"]
    same = await ask(site, headers={"Range": "bytes=0-9", "If-Range": etag})
    assert (same.code, same.body) == (206, AUDIO[:10])
    other = await ask(site, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
    assert (other.code, other.body) == (200, AUDIO)


async def test_head_tells_the_length_and_sends_no_audio(site) -> None:
    answer = await ask(site, method="HEAD")
    assert (answer.code, answer.body, answer.headers["Content-Length"]) == (200, b"", str(len(AUDIO)))


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
@pytest.mark.parametrize(
    ("user", "recording_id"),
    [("carol@other", ID), ("alice@acme", "b" * 32), ("alice@acme", "..%2F..%2Fetc%2Fpasswd"), ("alice@acme", "%00")],
)
async def test_unknown_ids_and_another_organisations_answer_the_same(site, method, user, recording_id) -> None:
    answer = await ask(site, f"/recordings/{recording_id}", user, method=method)
    unknown = await ask(site, f"/recordings/{'0' * 32}", method=method)
    assert (answer.code, answer.body) == (404, unknown.body)
    assert site.recordings.files.path(ID, RecordingFormat.WAV).exists()


async def test_nobody_fetches_anything_without_a_password(site) -> None:
    assert (await site.fetch(f"/api/v1/recordings/{ID}")).code == 401


async def test_a_deleted_recording_is_gone(site) -> None:
    answer = await ask(site, method="DELETE")
    assert (answer.code, answer.body) == (204, b"")
    assert not site.recordings.files.path(ID, RecordingFormat.WAV).exists()
    assert (await ask(site)).code == 404
    assert (await ask(site, method="DELETE")).code == 404


async def test_one_that_is_still_made_is_a_conflict(site) -> None:
    site.recordings.expect(OpenRecording("b" * 32, "c" * 32, "acme", "101", RecordingFormat.WAV, NOON))
    for method in ("GET", "DELETE"):
        answer = await ask(site, f"/recordings/{'b' * 32}", method=method)
        assert (answer.code, json.loads(answer.body)["error_id"]) == (409, "recording_pending")
    assert (await ask(site, f"/recordings/{'b' * 32}", "carol@other")).code == 404


async def test_a_file_that_somebody_took_away_is_not_found_and_logged(site) -> None:
    site.recordings.files.path(ID, RecordingFormat.WAV).unlink()
    assert (await ask(site)).code == 404
    assert any(line["event"] == "the file of a recording is missing" for line in site.logged)


@pytest.mark.parametrize("action", ["pause", "resume", "stop"])
async def test_the_recording_of_a_call_is_changed_and_its_record_answered(site, action: str) -> None:
    site.calls.recorded["acme", CALL.id] = CALL
    answer = await ask(site, f"/calls/{CALL.id}/recording/{action}", method="POST", body="")
    assert answer.code == 200
    record = json.loads(answer.body)
    assert (record["id"], record["recording_id"], record["recording_state"]) == (CALL.id, ID, "paused")
    assert site.calls.recording_changes == [RecordingAction(action)]


@pytest.mark.parametrize(("user", "call_id"), [("carol@other", CALL.id), ("alice@acme", "d" * 32)])
async def test_another_organisations_call_answers_as_an_unknown_one(site, user: str, call_id: str) -> None:
    site.calls.recorded["acme", CALL.id] = replace(CALL)
    answer = await ask(site, f"/calls/{call_id}/recording/stop", user, method="POST", body="")
    assert (answer.code, json.loads(answer.body)["error_id"]) == (404, "not_found")
    assert site.calls.recording_changes == []


async def test_a_call_that_is_not_recorded_is_a_conflict(site) -> None:
    site.calls.error = NotRecordedError("the call is not being recorded")
    answer = await ask(site, f"/calls/{CALL.id}/recording/pause", method="POST", body="")
    assert (answer.code, json.loads(answer.body)["error_id"]) == (409, "not_recorded")


async def test_other_methods_are_not_allowed(site) -> None:
    answer = await ask(site, f"/calls/{CALL.id}/recording/pause")
    assert (answer.code, answer.headers["Allow"]) == (405, "POST")
    answer = await ask(site, method="POST", body="")
    assert (answer.code, answer.headers["Allow"]) == (405, "GET, HEAD, DELETE")
    assert (await ask(site, f"/calls/{CALL.id}/recording/toggle", method="POST", body="")).code == 404
