import pytest

from sipcore.domain.prompts import ALL_PROMPTS, Prompt, clock_prompts, digit_prompts, number_prompts


@pytest.mark.parametrize(
    ("number", "pieces"),
    [
        (0, "number_0"),
        (59, "number_59"),
        (60, "number_60"),
        (61, "number_60 number_1"),
        (99, "number_90 number_9"),
        (100, "number_1 hundred"),
        (342, "number_3 hundred number_42"),
        (990, "number_9 hundred number_90"),
        (1000, "number_1 thousand"),
        (1007, "number_1 thousand number_7"),
        (1234, "number_1 thousand number_2 hundred number_34"),
        (9999, "number_9 thousand number_9 hundred number_90 number_9"),
    ],
)
def test_a_number_is_put_together_as_it_is_said(number, pieces):
    assert " ".join(number_prompts(number)) == pieces


def test_every_number_is_said_with_recorded_pieces_and_none_like_another():
    said = [number_prompts(number) for number in range(10_000)]
    assert {piece for pieces in said for piece in pieces} <= set(ALL_PROMPTS)
    assert len(set(said)) == 10_000


@pytest.mark.parametrize("number", [-1, 10_000])
def test_numbers_that_nobody_recorded_are_refused(number):
    with pytest.raises(ValueError, match=f"no prompts for the number {number}"):
        number_prompts(number)


@pytest.mark.parametrize(
    ("time", "pieces"),
    [
        ((0, 0), "number_12 oh_clock a_m"),
        ((0, 1), "number_12 oh number_1 a_m"),
        ((9, 10), "number_9 number_10 a_m"),
        ((11, 59), "number_11 number_59 a_m"),
        ((12, 0), "number_12 oh_clock p_m"),
        ((13, 0), "number_1 oh_clock p_m"),
        ((19, 5), "number_7 oh number_5 p_m"),
        ((23, 30), "number_11 number_30 p_m"),
    ],
)
def test_the_time_is_said_on_the_12_hour_clock(time, pieces):
    assert " ".join(clock_prompts(*time)) == pieces


def test_every_minute_of_a_day_is_said_with_recorded_pieces_and_none_like_another():
    said = [clock_prompts(hour, minute) for hour in range(24) for minute in range(60)]
    assert {piece for pieces in said for piece in pieces} <= set(ALL_PROMPTS)
    assert len(set(said)) == 24 * 60


def test_keys_are_spelled_one_by_one():
    assert digit_prompts("*10#") == ("star", "digit_1", "digit_0", "pound")


def test_names_are_unique_and_fit_for_files():
    assert len(set(ALL_PROMPTS)) == len(ALL_PROMPTS)
    assert all(name.replace("_", "").isalnum() and name.islower() for name in ALL_PROMPTS)
    assert set(Prompt) <= set(ALL_PROMPTS)
