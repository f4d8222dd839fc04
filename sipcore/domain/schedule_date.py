"""The moment that a date of a request means, in the organisation's time zone."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from sipcore.domain.errors import ParameterError

_LOCAL = re.compile(r"[0-9]{12}")
_WITH_OFFSET = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE)
_MINUTE = timedelta(minutes=1)


def read_date(text: str, zone: tzinfo, now: datetime, *, parameter: str = "Date") -> datetime:
    """Read a date.

    Args:
        text: `YYYYMMDDhhmm` in the zone, or a moment of RFC 3339 with its offset.
        zone: the organisation's.
        now: the present (aware). The minute that has begun already is not the past: it means at once.
        parameter: what the request calls it.

    Returns:
        The moment, in UTC. A local time that does not exist means the next minute that does, an ambiguous one its
        first.

    Raises:
        ParameterError: it is no date, or the past.
    """
    try:
        moment = _moment(text, zone)
    except (ValueError, OverflowError):
        raise ParameterError(
            parameter, "must be a date YYYYMMDDhhmm in the organisation's time zone, or RFC 3339 with an offset"
        ) from None
    if moment <= now - _MINUTE:
        raise ParameterError(parameter, f"is in the past: it means {moment:%Y-%m-%dT%H:%MZ}, and now is {now:%H:%MZ}")
    return moment


def _moment(text: str, zone: tzinfo) -> datetime:
    if _LOCAL.fullmatch(text):
        return first_moment(datetime.strptime(text, "%Y%m%d%H%M"), zone)  # noqa: DTZ007 - the zone is looked up next
    if not _WITH_OFFSET.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text.upper()).astimezone(UTC)


def first_moment(local: datetime, zone: tzinfo) -> datetime:
    """Return the first moment at which clocks of a zone show a time, or the next minute that they do show.

    Args:
        local: naive, of a whole minute.
        zone: where.

    Raises:
        OverflowError: there is none in the calendar.
    """
    while True:
        # PEP 495: fold=0 is the first of two, and a time that does not exist does not come back the same.
        moment = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) == local:
            return moment
        local += _MINUTE
