"""When a number of a campaign may be called, by where it is."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sipcore.domain.calling_hours import HoursByCountry
from sipcore.domain.campaign import CampaignTerms
from sipcore.domain.directory import Organisation
from sipcore.service.numbers import Place, place


class CampaignHours:
    """The calling hours of one campaign, at one moment.

    Args:
        terms: of the campaign; without hours of its own the organisation's count.
        organisation: whose campaign it is; what has no known place is where it is.
        now: the moment.
    """

    def __init__(self, terms: CampaignTerms, organisation: Organisation, now: datetime) -> None:
        own = terms.hours
        self._hours = organisation.calling_hours if own is None else HoursByCountry.parse(own, "hours")
        self._at_home = Place(organisation.country, (organisation.time_zone,))
        self._now = now
        self._opens: dict[Place, datetime | None] = {}

    def opens(self, number: str) -> datetime | None:
        """Return the first moment from now on at which a number may be called; None: there is none.

        Args:
            number: E.164, or an extension.
        """
        where = place(number) if number.startswith("+") else self._at_home
        if where not in self._opens:
            zones = [ZoneInfo(name) for name in where.zones or self._at_home.zones]
            self._opens[where] = self._hours.of(where.country).next_open(self._now, zones)
        return self._opens[where]
