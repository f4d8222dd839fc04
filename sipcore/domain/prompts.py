"""What this program says by itself: names of recorded pieces, and how they are put together.

The pieces are recordings in a language of the organisation's choice; their order is that of English.
"""

from __future__ import annotations

from enum import StrEnum

LARGEST_NUMBER = 9999
_NOON = 12
_TENS = 10
_HUNDRED = 100
_THOUSAND = 1000
_LAST_RECORDED = 59
_PIECES = (*range(_LAST_RECORDED + 1), 60, 70, 80, 90)


class Prompt(StrEnum):
    """A recorded piece that is no digit and no number; its value is its name as a file."""

    BUSY = "busy"
    NO_ANSWER = "no_answer"
    NOT_CONNECTED = "not_connected"
    UNREACHABLE = "unreachable"
    PRESS_1_TO_ACCEPT = "press_1_to_accept"
    INVALID_CHOICE = "invalid_choice"
    YOU_ARE_NUMBER = "you_are_number"
    IN_THE_QUEUE = "in_the_queue"
    PLEASE_LEAVE_A_MESSAGE = "please_leave_a_message"
    BEEP = "beep"
    GOODBYE = "goodbye"
    RECORDED_NOTICE = "recorded_notice"
    HUNDRED = "hundred"
    THOUSAND = "thousand"
    AT_THE_TONE = "at_the_tone"
    THE_TIME_IS = "the_time_is"
    OH = "oh"
    OH_CLOCK = "oh_clock"
    A_M = "a_m"
    P_M = "p_m"
    MUSIC = "music"
    STAR = "star"
    POUND = "pound"


_KEYS = {str(digit): f"digit_{digit}" for digit in range(10)} | {"*": Prompt.STAR.value, "#": Prompt.POUND.value}

ALL_PROMPTS: tuple[str, ...] = (
    *(prompt.value for prompt in Prompt),
    *(f"digit_{digit}" for digit in range(10)),
    *(f"number_{number}" for number in _PIECES),
)
"""Every name that a recording can have."""


def digit_prompts(digits: str) -> tuple[str, ...]:
    """Spell keys of a phone one by one.

    Args:
        digits: `0` to `9`, `*` and `#`.
    """
    return tuple(_KEYS[digit] for digit in digits)


def number_prompts(number: int) -> tuple[str, ...]:
    """Say a number: 1234 is "one thousand two hundred thirty-four".

    Args:
        number: 0 to 9999.

    Raises:
        ValueError: it is outside of that range.
    """
    if not 0 <= number <= LARGEST_NUMBER:
        raise ValueError(f"no prompts for the number {number}")
    if number <= _LAST_RECORDED:
        return (f"number_{number}",)
    if number < _HUNDRED:
        tens = number - number % _TENS
        return _followed_by((f"number_{tens}",), number - tens)
    unit, word = (_THOUSAND, Prompt.THOUSAND) if number >= _THOUSAND else (_HUNDRED, Prompt.HUNDRED)
    return _followed_by((f"number_{number // unit}", word.value), number % unit)


def _followed_by(pieces: tuple[str, ...], rest: int) -> tuple[str, ...]:
    return pieces + number_prompts(rest) if rest else pieces


def clock_prompts(hour: int, minute: int) -> tuple[str, ...]:
    """Say a time of day on the 12-hour clock: 19:05 is "seven oh five p m", 12:00 "twelve o'clock p m".

    Args:
        hour: 0 to 23.
        minute: 0 to 59.
    """
    spoken_hour = hour % _NOON or _NOON
    half = Prompt.P_M if hour >= _NOON else Prompt.A_M
    if minute == 0:
        minutes: tuple[str, ...] = (Prompt.OH_CLOCK.value,)
    elif minute < _TENS:
        minutes = (Prompt.OH.value, *number_prompts(minute))
    else:
        minutes = number_prompts(minute)
    return (*number_prompts(spoken_hour), *minutes, half.value)
