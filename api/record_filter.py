"""Which records a request asks for: the filters of `/api/v1/records`, the same for a page and for a file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from api.models import Cursor, Query, Time, Token
from sipcore.domain.call_options import check_reference
from sipcore.domain.causes import Disposition
from sipcore.domain.errors import ParameterError
from sipcore.domain.record import RecordFilter

_TOKEN = re.compile(r"[\x21-\x7e]{1,256}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+ -]\d\d:\d\d)", re.ASCII)


class RecordFileQuery(Query):
    """Which records."""

    uid: Annotated[Token | None, Field(description="UniqueID of a leg")] = None
    number: Annotated[Token | None, Field(description="dial1 or dial2 as given, or a leg's as dialled")] = None
    extension: Annotated[Token | None, Field(description="whose phone was rung, or called")] = None
    disposition: Disposition | None = None
    batch: Annotated[Token | None, Field(description="id of a request for many numbers")] = None
    reference: Annotated[str | None, Field(description="what the request called the call")] = None
    since: Annotated[Time | None, Field(description="accepted then or later")] = None
    until: Annotated[Time | None, Field(description="accepted before")] = None


class RecordQuery(RecordFileQuery):
    """Which records, and which page of them."""

    cursor: Cursor = None


def read_values(given: Mapping[str, Sequence[str]], model: type[Query]) -> dict[str, str]:
    """Read the values of a query.

    Like every name of this server, one may come twice with the same value only.

    Args:
        given: all names of the query with their values.
        model: has those that there are; a filter that is misspelt would select everything.

    Raises:
        ParameterError: naming the one that is wrong.
    """
    return {name: _value(name, values, model) for name, values in given.items()}


def _value(name: str, values: Sequence[str], model: type[Query]) -> str:
    if name not in model.model_fields:
        raise ParameterError(name[:64], "is not known here")
    if len(set(values)) > 1:
        raise ParameterError(name, "is given twice with different values")
    value = values[0]
    if name == "number" and value.startswith(" "):
        value = f"+{value[1:]}"  # a + that was not escaped in the query
    if name == "reference":
        check_reference(value)
    elif name not in {"since", "until"} and not _TOKEN.fullmatch(value):
        raise ParameterError(name, "must be 1 to 256 printable ASCII characters without spaces")
    return value


def record_filter(values: Mapping[str, str]) -> RecordFilter:
    """Make the filter of a query's values.

    Raises:
        ParameterError: naming the one that is wrong.
    """
    return RecordFilter(
        uid=values.get("uid"),
        number=values.get("number"),
        extension=values.get("extension"),
        disposition=_disposition(values.get("disposition")),
        batch=values.get("batch"),
        reference=values.get("reference"),
        since=_moment("since", values.get("since")),
        until=_moment("until", values.get("until")),
    )


def _disposition(value: str | None) -> Disposition | None:
    if value is None:
        return None
    if value not in Disposition.__members__.values():
        raise ParameterError("disposition", f"must be one of {', '.join(Disposition)}")
    return Disposition(value)


def _moment(name: str, value: str | None) -> datetime | None:
    if value is None:
        return None
    problem = ParameterError(name, "must be a time as RFC 3339 writes it, for example 2026-01-31T08:00:00Z")
    if not _RFC3339.fullmatch(value):
        raise problem
    try:
        # A + that was not escaped in the query arrives as a space.
        return datetime.fromisoformat(value.upper().replace(" ", "+")).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise problem from error
