"""Whatever the API answers in these tests is held against its description; here, that this finds what is wrong."""

from __future__ import annotations

import json

import pytest
from described_answers import DescribedAnswers

THING = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "count": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
    "required": ["id", "count"],
}
PROBLEM = {
    "type": "object",
    "properties": {"status": {"type": "integer"}},
    "required": ["status"],
    "additionalProperties": True,
}
DOCUMENT = {
    "paths": {
        "/things/{id}": {
            "get": {
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
                    "404": {
                        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
                    },
                }
            },
            "delete": {"responses": {"204": {"description": "gone"}}},
        },
        "/things/all": {"get": {"responses": {"200": {"content": {"text/csv": {}}}}}},
    },
    "components": {"schemas": {"Thing": THING, "Problem": PROBLEM}},
}
JSON, PROBLEM_JSON = "application/json", "application/problem+json"


def wrong(method, path, status, media="", body=None):
    sent = b"" if body is None else json.dumps(body).encode()
    return list(DescribedAnswers(DOCUMENT).wrong(method, path, status, media, sent))


@pytest.mark.parametrize(
    "answer",
    [
        ("GET", "/things/1", 200, JSON, {"id": "1", "count": None}),
        ("GET", "/things/1", 404, PROBLEM_JSON, {"status": 404, "detail": "none"}),
        ("GET", "/things/1", 500, PROBLEM_JSON, {"status": 500}),
        ("PUT", "/things/1", 405, PROBLEM_JSON, {"status": 405}),
        ("GET", "/things/all", 200, "text/csv", "id"),
        ("DELETE", "/things/1", 204),
        ("GET", "/others", 404, PROBLEM_JSON, {"status": 404}),
    ],
)
def test_an_answer_as_it_is_described_is_right(answer):
    assert wrong(*answer) == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (("GET", "/things/1", 200, JSON, {"id": "1"}), '"count" is a required property'),
        (("GET", "/things/1", 200, JSON, {"id": 1, "count": 1}), 'id: 1 is not of type "string"'),
        (("GET", "/things/1", 200, JSON, {"id": "1", "count": 1, "more": 1}), "Additional properties"),
        (("GET", "/things/1", 404, PROBLEM_JSON, {"detail": "none"}), '"status" is a required property'),
        (("GET", "/things/1", 404, JSON, {"status": 404}), "the type 'application/json'"),
        (("GET", "/things/1", 409, PROBLEM_JSON, {"status": 409}), "the status is none of ['200', '404']"),
        (("GET", "/things/all", 200, JSON, {"id": "1", "count": 1}), "the type 'application/json'"),
        (("DELETE", "/things/1", 204, JSON, {}), "the type 'application/json'"),
        (("GET", "/others", 200, JSON, {}), "the status is none of []"),
    ],
)
def test_what_is_not_as_it_is_described_is_told(answer, told):
    (found,) = wrong(*answer)
    assert told in found
