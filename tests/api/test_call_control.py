"""What `/api/v1/calls` wants of a call beside its numbers, and what it does with one that is in progress."""

from __future__ import annotations

import json

import pytest
from test_calls import CALL, ask, place
from test_records import LIVE

from sipcore.domain.call_options import CallOptions, LegOptions
from sipcore.domain.errors import CallStateError, NoLegCapacityError, ParameterError
from sipcore.domain.role import Role
from sipcore.service.calls import FurtherLeg

FURTHER = {"destination": "102"}
BODIES = {"digits": {"leg": 2, "digits": "1w2"}, "join": FURTHER, "transfer": FURTHER}


@pytest.fixture
def call(site):
    """A call in progress."""
    site.control.records["acme", "r1"] = LIVE
    site.live["acme", "r1"] = LIVE
    return site


async def change(site, what, body, call_id="r1"):
    return await ask(
        site, f"/{call_id}/{what}", method="POST", body=json.dumps(body), headers={"Content-Type": "application/json"}
    )


async def test_a_call_is_placed_with_what_is_wanted_of_it(call):
    body = {
        **CALL,
        "leg1": {"digits": "7"},
        "leg2": {"headers": {"X-Order": "4711", "X-Colour": "blau und grün"}},
        "max_seconds": 60,
        "reference": "order 4711",
    }
    assert (await place(call, body)).code == 201
    headers = (("X-Order", "4711"), ("X-Colour", "blau und grün"))
    wanted = CallOptions(LegOptions(digits="7"), LegOptions(headers), 60, "order 4711")
    assert [request.options for request in call.calls.dialled] == [wanted]


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"leg1": {"headers": {"X-A": ""}}}, "leg1.headers.X-A"),
        ({"leg1": {"headers": {"X-A": 1}}}, "leg1.headers.X-A"),
        ({"leg1": {"headers": [["X-A", "1"]]}}, "leg1.headers"),
        ({"leg2": {"headers": {f"X-{number}": "1" for number in range(11)}}}, "leg2.headers"),
        ({"leg2": {"digits": "1;2"}}, "leg2.digits"),
        ({"leg2": {"digits": "1\n"}}, "leg2.digits"),
        ({"leg2": {"number": "1"}}, "leg2.number"),
        ({"max_seconds": 0}, "max_seconds"),
        ({"max_seconds": 1.5}, "max_seconds"),
        ({"reference": "a" * 129}, "reference"),
        ({"reference": ""}, "reference"),
    ],
)
async def test_what_cannot_be_wanted_is_a_problem_that_names_the_member(call, body, parameter):
    answer = await place(call, {**CALL, **body})
    assert (answer.code, json.loads(answer.body)["parameter"]) == (400, parameter)
    assert call.calls.dialled == []


@pytest.mark.parametrize(
    ("what", "body", "asked"),
    [
        ("digits", {"leg": 1, "digits": "1w2,#"}, ("digits", Role.FIRST, "1w2,#")),
        ("digits", {"leg": 3, "digits": "9"}, ("digits", Role.THIRD, "9")),
        ("join", FURTHER, ("join", FurtherLeg("102"))),
        (
            "transfer",
            {"destination": "+12025550124", "headers": {"X-A": "b"}, "digits": "5"},
            ("transfer", FurtherLeg("+12025550124", LegOptions((("X-A", "b"),), "5"))),
        ),
    ],
)
async def test_a_call_in_progress_is_changed_and_told(call, what, body, asked):
    answer = await change(call, what, body)
    assert (answer.code, json.loads(answer.body)["id"]) == (200, LIVE.id)
    assert call.control.asked == [asked]


@pytest.mark.parametrize("what", BODIES)
async def test_a_call_that_is_not_there_is_the_same_problem_as_another_organisations(call, what):
    call.control.records["other", "r9"] = LIVE
    answers = [await change(call, what, BODIES[what], call_id) for call_id in ("r2", "r9")]
    assert [answer.code for answer in answers] == [404, 404]
    assert answers[0].body == answers[1].body
    assert call.control.asked == []


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize(
    ("error", "status"),
    [(CallStateError("not now"), 409), (NoLegCapacityError("full"), 503), (ParameterError("destination", "no"), 400)],
)
async def test_what_cannot_be_done_is_a_problem_with_a_stable_id(call, what, error, status):
    call.control.error = error
    answer = await change(call, what, BODIES[what])
    assert (answer.code, json.loads(answer.body)["error_id"]) == (status, error.error_id)


@pytest.mark.parametrize(
    ("what", "body", "parameter"),
    [
        ("digits", {"leg": 4, "digits": "1"}, "leg"),
        ("digits", {"leg": "1", "digits": "1"}, "leg"),
        ("digits", {"leg": 1}, "digits"),
        ("digits", {"leg": 1, "digits": ""}, "digits"),
        ("join", {}, "destination"),
        ("join", {"destination": "102", "reference": "x"}, "reference"),
        ("transfer", {"destination": ["102"]}, "destination"),
    ],
)
async def test_a_bad_body_changes_nothing(call, what, body, parameter):
    answer = await change(call, what, body)
    assert (answer.code, json.loads(answer.body)["parameter"]) == (400, parameter)
    assert call.control.asked == []
