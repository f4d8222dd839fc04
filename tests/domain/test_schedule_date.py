"""Which moment a date of a request means."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipcore.domain.errors import ParameterError
from sipcore.domain.schedule_date import first_moment, read_date

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kolkata", "UTC"]


def utc(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("202601151230", "America/New_York", utc(2026, 1, 15, 17, 30)),
        ("202607151230", "America/New_York", utc(2026, 7, 15, 16, 30)),
        # From 02:00 to 03:00 on 8 March 2026 there is no time in New York.
        ("202603080159", "America/New_York", utc(2026, 3, 8, 6, 59)),
        ("202603080200", "America/New_York", utc(2026, 3, 8, 7, 0)),
        ("202603080230", "America/New_York", utc(2026, 3, 8, 7, 0)),
        ("202603080300", "America/New_York", utc(2026, 3, 8, 7, 0)),
        # From 01:00 to 02:00 on 1 November 2026 every time comes twice.
        ("202611010059", "America/New_York", utc(2026, 11, 1, 4, 59)),
        ("202611010130", "America/New_York", utc(2026, 11, 1, 5, 30)),
        ("202611010200", "America/New_York", utc(2026, 11, 1, 7, 0)),
        # Half an hour, in the other hemisphere.
        ("202610040215", "Australia/Lord_Howe", utc(2026, 10, 3, 15, 30)),
        ("202604050145", "Australia/Lord_Howe", utc(2026, 4, 4, 14, 45)),
        ("203001010000", "UTC", utc(2030, 1, 1)),
        ("2026-01-15T12:30:10+01:00", "America/New_York", utc(2026, 1, 15, 11, 30, 10)),
        ("2026-01-15t12:30:10.5z", "America/New_York", utc(2026, 1, 15, 12, 30, 10, 500000)),
    ],
)
def test_a_date_means_one_moment(text, zone, moment):
    assert read_date(text, ZoneInfo(zone), NOW) == moment


def test_a_day_that_a_zone_left_out_means_the_next_midnight():
    assert first_moment(datetime(2011, 12, 30, 9), ZoneInfo("Pacific/Apia")) == utc(2011, 12, 30, 10)  # noqa: DTZ001


@given(
    st.datetimes(datetime(1980, 1, 1), datetime(2037, 12, 31)),  # noqa: DTZ001 - the clock of some zone
    st.sampled_from(ZONES).map(ZoneInfo),
)
def test_it_is_the_first_moment_at_which_a_clock_shows_the_time_or_a_later_one(local, zone):
    local = local.replace(second=0, microsecond=0)
    moment = first_moment(local, zone)
    shown = moment.astimezone(zone).replace(tzinfo=None)
    assert shown >= local
    # An hour before, and at any minute since, it showed less: there is no earlier one, for a gap or for a fold.
    before = [(moment - timedelta(minutes=m)).astimezone(zone).replace(tzinfo=None) for m in (1, 30, 60, 120)]
    assert all(clock < local for clock in before)


@pytest.mark.parametrize(
    "text",
    ["", "2026011512", "20260115123000", "202613011230", "202602300000", "000001010000", "\uff12\uff102601151230",
     " 202601151230", "2026-01-15T12:30", "2026-01-15", "2026-99-15T12:30:00Z", "tomorrow", "999912312359"],
)  # fmt: skip
def test_what_is_no_date_is_told_so(text):
    with pytest.raises(ParameterError, match="Date: must be a date YYYYMMDDhhmm"):
        read_date(text, NEW_YORK, NOW)


def test_the_past_is_refused_and_the_minute_that_has_begun_is_now():
    now = utc(2026, 1, 15, 12, 30, 59)
    assert read_date("202601151230", UTC, now) == utc(2026, 1, 15, 12, 30)
    with pytest.raises(ParameterError, match="date: is in the past"):
        read_date("202601151229", UTC, now, parameter="date")
    assert read_date("9999-12-31T23:59:59Z", UTC, now) == utc(9999, 12, 31, 23, 59, 59)
    # The first of the two is meant, and over, when the second has not come yet.
    with pytest.raises(ParameterError, match="is in the past"):
        read_date("202611010130", NEW_YORK, utc(2026, 11, 1, 6, 15))
