"""The `error_id`s that programs rely on: docs/api.md has them all, and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import api.application  # noqa: F401 - all errors that the API can answer are known once it is imported
from api.handlers.resource import ERROR_IDS, OTHER_ERROR_ID
from sipcore.domain.errors import AttemptWithdrawnError, Click2CallError, DoNotCallError

DOCS = Path(__file__).parents[2] / "docs" / "api.md"
NEVER_ANSWERED = {AttemptWithdrawnError, DoNotCallError}
"""Told to the scheduler and the dialler, not to clients."""


def errors(of: type[Click2CallError] = Click2CallError) -> Iterator[type[Click2CallError]]:
    for kind in of.__subclasses__():
        yield kind
        yield from errors(kind)


def test_the_documentation_lists_each_error_id_with_its_status():
    rows = re.findall(r"^\| `(\w+)` \| (\d{3}) \| \S", DOCS.read_text().partition("### Problems")[2], re.MULTILINE)
    # What is 500 is answered as `internal`, whatever it is.
    raised = {
        (kind.error_id, kind.http_status)
        for kind in errors()
        if kind.http_status != 500 and kind not in NEVER_ANSWERED and kind.__module__.startswith(("api.", "sipcore."))
    }
    told = {(error_id, int(status)) for status, error_id in ERROR_IDS.items()} | {(OTHER_ERROR_ID, 400)}
    documented = {(error_id, int(status)) for error_id, status in rows}
    assert documented == raised | told, "docs/api.md, Problems: each error_id has one row"
    assert len(rows) == len(documented)
