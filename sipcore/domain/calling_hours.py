"""When numbers may be called: hours of the week, by the clocks of where they are.

Days are Python's, 0 for Monday; times are minutes from midnight by the local clock.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from sipcore.domain.errors import ParameterError
from sipcore.domain.schedule_date import first_moment

DEFAULT_COUNTRY = "default"
"""Names the hours of countries that have none of their own."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(_DAYS)
_WINDOW = re.compile(rf"({_DAY})(?:-({_DAY}))? ([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])", re.ASCII)
_MINUTES_OF_DAY = 1440
_WEEK_DAYS = 7
_SEARCH = timedelta(days=15)
"""Clocks repeat after a week; a change to or from summer time may shift what would have been shared in the first."""


@dataclass(frozen=True, slots=True)
class Window:
    """Hours on some days.

    Attributes:
        days: on which.
        opens: the first minute.
        closes: the minute after the last, at most 1440.
    """

    days: frozenset[int]
    opens: int
    closes: int


@dataclass(frozen=True, slots=True)
class CallingHours:
    """Hours of the week, 1 window or more."""

    windows: tuple[Window, ...]

    @classmethod
    def parse(cls, text: str, parameter: str) -> CallingHours:
        """Read `mon-fri 09:00-20:00, sat 10:00-14:00`.

        Args:
            text: windows, separated by commas; the last minute of a day is before 24:00.
            parameter: what the request or the settings call it.

        Raises:
            ParameterError: it is none.
        """
        return cls(tuple(_window(part.strip().lower(), parameter) for part in text.split(",")))

    def next_open(self, now: datetime, zones: Sequence[tzinfo]) -> datetime | None:
        """Return the first moment from now on that is inside these hours in all zones.

        Args:
            now: aware.
            zones: where the number may be, 1 or more.

        Returns:
            The moment, in UTC; None: no such moment comes.
        """
        moment = now.astimezone(UTC)
        while moment - now < _SEARCH:
            latest = max(self._next_open_in(moment, zone) for zone in zones)
            if latest == moment:
                return moment
            moment = latest
        return None

    def _next_open_in(self, moment: datetime, zone: tzinfo) -> datetime:
        today = moment.astimezone(zone).date()
        # A window of yesterday's may end late today where clocks were set back or a date was left out.
        intervals = (
            interval
            for offset in range(-1, _WEEK_DAYS + 2)
            for interval in self._intervals(today + timedelta(days=offset), zone)
        )
        return min(max(opens, moment) for opens, closes in intervals if closes > moment)

    def _intervals(self, day: date, zone: tzinfo) -> Iterator[tuple[datetime, datetime]]:
        for window in self.windows:
            if day.weekday() in window.days:
                # A minute that the clocks show twice opens, and closes, the first time.
                yield _moment(day, window.opens, zone), _moment(day, window.closes, zone)


DEFAULT_HOURS = CallingHours((Window(frozenset(range(_WEEK_DAYS)), 8 * 60, 21 * 60),))
"""Every day 08:00-21:00."""


@dataclass(frozen=True, slots=True)
class HoursByCountry:
    """Calling hours of an organisation or a campaign.

    Attributes:
        default: of countries that have none of their own.
        by_country: by ISO 3166-1 alpha-2 code.
    """

    default: CallingHours = DEFAULT_HOURS
    by_country: Mapping[str, CallingHours] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Mapping[str, str], parameter: str, countries: Container[str] | None = None) -> HoursByCountry:
        """Read hours by country; without `default` the others have `DEFAULT_HOURS`.

        Args:
            texts: by `default` and the codes of countries.
            parameter: what the request or the settings call it.
            countries: codes that there are; None: they were looked at before.

        Raises:
            ParameterError: one is none, or a key is no country's code.
        """
        for country in texts:
            if country != DEFAULT_COUNTRY and countries is not None and country not in countries:
                must_be = "the keys must be `default` and codes of countries (ISO 3166-1 alpha-2), for example FR"
                raise ParameterError(parameter, f"{must_be}; {country} is none")
        read = {key: CallingHours.parse(text, f"{parameter}.{key}") for key, text in texts.items()}
        return cls(read.pop(DEFAULT_COUNTRY, DEFAULT_HOURS), read)

    def of(self, country: str | None) -> CallingHours:
        """Return the hours for numbers of a country; None: of no country, or it is not known."""
        return self.default if country is None else self.by_country.get(country, self.default)


def _window(text: str, parameter: str) -> Window:
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise ParameterError(parameter, "must be days and hours, for example `mon-fri 09:00-20:00, sat 10:00-14:00`")
    first, last = _DAYS.index(found[1]), _DAYS.index(found[2] or found[1])
    count = (last - first) % _WEEK_DAYS + 1
    opens, closes = int(found[3]) * 60 + int(found[4]), int(found[5]) * 60 + int(found[6])
    if not opens < closes <= _MINUTES_OF_DAY:
        raise ParameterError(parameter, "hours must end after they begin, and on the same day: 24:00 at the latest")
    return Window(frozenset((first + offset) % _WEEK_DAYS for offset in range(count)), opens, closes)


def _moment(day: date, minute: int, zone: tzinfo) -> datetime:
    return first_moment(datetime.combine(day, time()) + timedelta(minutes=minute), zone)
