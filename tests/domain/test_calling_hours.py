"""When numbers may be called: hours of the week by the clocks of where they are, over changes of summer time too."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sipcore.domain.calling_hours import DEFAULT_HOURS, CallingHours, HoursByCountry
from sipcore.domain.errors import ParameterError

NEW_YORK, LOS_ANGELES = ZoneInfo("America/New_York"), ZoneInfo("America/Los_Angeles")
BERLIN, TOKYO, LONDON = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/London")


def hours(text):
    return CallingHours.parse(text, "hours")


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


OFFICE = hours("mon-fri 09:00-20:00")


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-01-07 07:59", "2026-01-07 08:00"),  # Wednesday, before nine in Berlin
        ("2026-01-07 08:00", "2026-01-07 08:00"),
        ("2026-01-07 18:59", "2026-01-07 18:59"),
        ("2026-01-07 19:00", "2026-01-08 08:00"),  # the last minute is the one before 20:00
        ("2026-01-09 19:30", "2026-01-12 08:00"),  # Friday evening: Monday
        ("2026-01-10 12:00", "2026-01-12 08:00"),
    ],
)
def test_a_number_is_called_at_the_next_moment_inside_the_hours_of_its_clock(now, opens):
    assert OFFICE.next_open(utc(now), [BERLIN]) == utc(opens)


def test_the_same_moment_is_inside_in_one_zone_and_outside_in_another():
    noon_in_berlin = utc("2026-01-07 11:00")
    assert OFFICE.next_open(noon_in_berlin, [BERLIN]) == noon_in_berlin
    assert OFFICE.next_open(noon_in_berlin, [NEW_YORK]) == utc("2026-01-07 14:00")


def test_a_number_of_several_zones_is_called_when_it_is_inside_in_all_of_them():
    both = [NEW_YORK, LOS_ANGELES]
    assert OFFICE.next_open(utc("2026-01-07 14:00"), both) == utc("2026-01-07 17:00")
    assert OFFICE.next_open(utc("2026-01-08 00:59"), both) == utc("2026-01-08 00:59")
    assert OFFICE.next_open(utc("2026-01-08 01:00"), both) == utc("2026-01-08 17:00")


def test_hours_that_the_zones_of_a_number_never_share_never_come():
    assert hours("mon-fri 09:00-12:00").next_open(utc("2026-01-07 12:00"), [BERLIN, TOKYO]) is None


def test_days_may_go_over_the_end_of_the_week_and_several_windows_stand_in_one_day():
    weekend = hours("sat-mon 10:00-11:00,sat 15:00-24:00")
    assert weekend.next_open(utc("2026-01-07 12:00"), [UTC]) == utc("2026-01-10 10:00")
    assert weekend.next_open(utc("2026-01-10 11:00"), [UTC]) == utc("2026-01-10 15:00")
    assert weekend.next_open(utc("2026-01-10 23:59"), [UTC]) == utc("2026-01-10 23:59")
    assert weekend.next_open(utc("2026-01-11 11:00"), [UTC]) == utc("2026-01-12 10:00")


def test_the_hours_follow_the_clocks_when_summer_time_begins_and_ends():
    # Berlin: 29 March and 25 October 2026.
    assert OFFICE.next_open(utc("2026-03-27 20:00"), [BERLIN]) == utc("2026-03-30 07:00")
    assert OFFICE.next_open(utc("2026-10-23 19:00"), [BERLIN]) == utc("2026-10-26 08:00")


def test_hours_that_begin_where_clocks_are_put_forward_begin_with_the_next_minute_that_there_is():
    early = hours("sun 02:30-04:00")
    assert early.next_open(utc("2026-03-28 12:00"), [BERLIN]) == utc("2026-03-29 01:00")
    # 02:00-03:00 does not exist on that Sunday.
    assert hours("sun 02:00-03:00").next_open(utc("2026-03-28 12:00"), [BERLIN]) == utc("2026-04-05 00:00")


def test_an_hour_that_clocks_show_twice_counts_the_first_time():
    # 02:00-03:00 comes at 00:00Z and again at 01:00Z.
    twice = hours("sun 02:00-02:30")
    first = utc("2026-10-25 00:00")
    assert twice.next_open(first - timedelta(hours=3), [BERLIN]) == first
    assert twice.next_open(first + timedelta(minutes=70), [BERLIN]) == utc("2026-11-01 01:00")


def test_every_moment_that_is_given_is_inside_and_no_earlier_one_is():
    windows = hours("mon-fri 09:00-20:00, sat 10:00-14:00")
    zones = [NEW_YORK, LONDON]
    for step in range(0, 24 * 60, 7):
        now = utc("2026-03-06 00:00") + timedelta(minutes=step * 6)
        opens = windows.next_open(now, zones)
        assert windows.next_open(opens, zones) == opens
        before = opens - timedelta(minutes=1)
        assert before < now or windows.next_open(before, zones) == opens


@pytest.mark.parametrize(
    "text",
    [
        "",
        "09:00-20:00",
        "mon 9:00-20:00",
        "mon-fri 09:00-20:00;sat 10:00-14:00",
        "mon 20:00-09:00",
        "mon 09:00-09:00",
        "mon 09:00-24:01",
        "mon 25:00-26:00",
        "day 09:00-10:00",
        "mon 09:00-20:00,",
    ],
)
def test_what_are_no_hours_is_refused_with_an_example(text):
    with pytest.raises(ParameterError, match=r"^hours: (must be days and hours|hours must end)"):
        hours(text)


def test_a_country_has_its_own_hours_or_those_of_all_others():
    rules = HoursByCountry.parse({"default": "mon-fri 09:00-20:00", "FR": "mon-fri 10:00-13:00"}, "calling_hours")
    assert rules.of("FR") == hours("mon-fri 10:00-13:00")
    assert rules.of("DE") == rules.of(None) == OFFICE
    assert HoursByCountry.parse({"FR": "sat 10:00-13:00"}, "calling_hours").of("DE") == DEFAULT_HOURS
    with pytest.raises(ParameterError, match="codes of countries"):
        HoursByCountry.parse({"UK": "sat 10:00-13:00"}, "calling_hours", {"FR", "GB"})
