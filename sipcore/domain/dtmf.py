"""Digits that are sent one after the other, with pauses between them."""

from __future__ import annotations

DIGITS = "0123456789*#ABCD"
"""Events 0 to 15 of RFC 4733 section 3.2."""
PAUSES = {"w": 0.5, ",": 1.0}
"""Seconds that a character stands for."""
SPACING_SECONDS = 0.25
"""From the beginning of one digit to that of the next: 160 ms of it, and more silence than any receiver asks for
(ITU-T Q.24: 40 to 70 ms)."""


class DigitSequence:
    """Digits on their way."""

    def __init__(self) -> None:
        self._rest = ""
        self._due = 0.0

    def add(self, digits: str, now: float) -> None:
        """Append digits, of `DIGITS` and `PAUSES`; they wait for those that are there."""
        self._due = max(self._due, now)
        self._rest += digits

    def next_deadline(self) -> float | None:
        """When `take` gives the next digit, or goes on from a pause; None when there are none left."""
        return self._due if self._rest else None

    def take(self, now: float) -> str:
        """Give the digit that is due, or an empty text: never two at once, however late it is asked."""
        while self._rest and now >= self._due:
            character, self._rest = self._rest[0], self._rest[1:]
            if character not in PAUSES:
                self._due = now + SPACING_SECONDS
                return character
            self._due += PAUSES[character]
        return ""
