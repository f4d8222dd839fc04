"""`/api/v1/docs`: Swagger UI, with nothing from elsewhere; and the description for programs that know OpenAPI 3.0."""

from __future__ import annotations

import json
import re

import pytest

from api.openapi_3_0 import in_openapi_3_0


@pytest.mark.parametrize("path", ["/api/v1/docs", "/api/v1/docs/"])
async def test_the_page_and_all_that_it_names_is_served_to_anybody_under_a_strict_policy(site, path):
    page = await site.fetch(path)
    assert (page.code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    named = re.findall(r'(?:src|href)="([^"]*)"', page.body.decode())
    assert len(named) == 4
    for each in named:
        assert each.startswith("/api/v1/docs/")
        file = await site.fetch(each)
        assert (file.code, len(file.body) > 0, file.headers["Content-Security-Policy"]) == (200, True, policy)
    script = (await site.fetch("/api/v1/docs/start.js")).body.decode()
    (description,) = re.findall(r'url: "([^"]*)"', script)
    assert "http" not in script
    assert json.loads((await site.fetch(description)).body)["openapi"] == "3.0.3"


@pytest.mark.parametrize("name", ["nothing", "index.html.bak", "..%2fmain.py", "%2e%2e%2f__init__.py"])
async def test_no_other_file_is_served(site, name):
    assert (await site.fetch(f"/api/v1/docs/{name}")).code == 404


def test_the_description_is_said_in_the_words_of_openapi_3_0():
    reference = {"$ref": "#/components/schemas/Leg"}
    null = {"type": "null"}
    schema = {
        "properties": {
            "text": {"anyOf": [{"type": "string", "examples": ["a", "b"]}, null], "default": None},
            "leg": {"anyOf": [reference, null]},
            "either": {"anyOf": [{"type": "string"}, {"type": "integer"}, null]},
            "described": {**reference, "description": "one"},
            "never": null,
            "kind": {"const": "x"},
            "seconds": {"type": "number", "exclusiveMinimum": 0},
            "headers": {"additionalProperties": {"const": 1}, "propertyNames": {"pattern": "^X-"}},
            "const": {"type": "string"},
        },
    }
    document = {
        "openapi": "3.1.0",
        "info": {"title": "t", "version": "1", "license": {"name": "MIT", "identifier": "MIT"}},
        "paths": {},
        "components": {"schemas": {"Thing": schema}},
    }
    told = in_openapi_3_0(document)
    assert told["openapi"] == "3.0.3"
    assert told["info"] == {"title": "t", "version": "1", "license": {"name": "MIT"}}
    assert told["components"]["schemas"]["Thing"]["properties"] == {
        "text": {"type": "string", "example": "a", "nullable": True, "default": None},
        "leg": {"allOf": [reference], "nullable": True},
        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}], "nullable": True},
        "described": {"description": "one", "allOf": [reference]},
        "never": {"nullable": True, "enum": [None]},
        "kind": {"enum": ["x"]},
        "seconds": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
        "headers": {"additionalProperties": {"enum": [1]}},
        "const": {"type": "string"},
    }
    assert document["components"]["schemas"]["Thing"] is schema
    assert "anyOf" in schema["properties"]["text"]
