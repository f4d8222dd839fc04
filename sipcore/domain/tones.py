"""Call progress tones by country (ITU-T E.180 supplement 2, "Various tones used in national networks")."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ToneKind(StrEnum):
    """Which call progress tone."""

    RINGBACK = "ringback"
    BUSY = "busy"
    CONGESTION = "congestion"


@dataclass(frozen=True, slots=True)
class Burst:
    """One sounding part of a cadence and the silence after it.

    Attributes:
        hz: the first frequency.
        hz2: the second frequency sounding with it, or 0.
        on_ms, off_ms: lengths in milliseconds.
    """

    hz: int
    hz2: int
    on_ms: int
    off_ms: int


@dataclass(frozen=True, slots=True)
class Tone:
    """A cadence that repeats until it is stopped."""

    kind: ToneKind
    bursts: tuple[Burst, ...]


def _cadence(hz: int, hz2: int, *lengths: int) -> tuple[Burst, ...]:
    pairs = zip(lengths[::2], lengths[1::2], strict=True)
    return tuple(Burst(hz, hz2, on_ms, off_ms) for on_ms, off_ms in pairs)


def _plan(
    ringback: tuple[Burst, ...], busy: tuple[Burst, ...], congestion: tuple[Burst, ...]
) -> dict[ToneKind, tuple[Burst, ...]]:
    return {ToneKind.RINGBACK: ringback, ToneKind.BUSY: busy, ToneKind.CONGESTION: congestion}


def _european(
    ring_on: int = 1000, ring_off: int = 4000, busy: int = 500, congestion: int = 250
) -> dict[ToneKind, tuple[Burst, ...]]:
    """The 425 Hz plan that ITU-T E.180 recommends, with a country's own lengths."""
    return _plan(
        _cadence(425, 0, ring_on, ring_off),
        _cadence(425, 0, busy, busy),
        _cadence(425, 0, congestion, congestion),
    )


_NORTH_AMERICAN = _plan(_cadence(440, 480, 2000, 4000), _cadence(480, 620, 500, 500), _cadence(480, 620, 250, 250))
_RECOMMENDED = _european()
_PLANS: dict[str, dict[ToneKind, tuple[Burst, ...]]] = {
    "US": _NORTH_AMERICAN,
    "CA": _NORTH_AMERICAN,
    "GB": _plan(
        _cadence(400, 450, 400, 200, 400, 2000),
        _cadence(400, 0, 375, 375),
        _cadence(400, 0, 400, 350, 225, 525),
    ),
    "IE": _plan(_cadence(400, 450, 400, 200, 400, 2000), _cadence(425, 0, 500, 500), _cadence(425, 0, 250, 250)),
    "AU": _plan(_cadence(400, 450, 400, 200, 400, 2000), _cadence(425, 0, 375, 375), _cadence(425, 0, 375, 375)),
    "NZ": _plan(_cadence(400, 450, 400, 200, 400, 2000), _cadence(400, 0, 500, 500), _cadence(400, 0, 250, 250)),
    "JP": _plan(_cadence(400, 416, 1000, 2000), _cadence(400, 0, 500, 500), _cadence(400, 0, 500, 500)),
    "FR": _plan(_cadence(440, 0, 1500, 3500), _cadence(440, 0, 500, 500), _cadence(440, 0, 250, 250)),
    "IN": _plan(_cadence(400, 0, 400, 200, 400, 2000), _cadence(400, 0, 750, 750), _cadence(400, 0, 250, 250)),
    "CN": _plan(_cadence(450, 0, 1000, 4000), _cadence(450, 0, 350, 350), _cadence(450, 0, 700, 700)),
    "AT": _plan(_cadence(420, 0, 1000, 5000), _cadence(420, 0, 400, 400), _cadence(420, 0, 200, 200)),
    "DE": _european(busy=480, congestion=240),
    "ES": _plan(
        _cadence(425, 0, 1500, 3000),
        _cadence(425, 0, 200, 200),
        _cadence(425, 0, 200, 200, 200, 200, 200, 600),
    ),
    "BR": _plan(_cadence(425, 0, 1000, 4000), _cadence(425, 0, 250, 250), _cadence(425, 0, 250, 250, 750, 250)),
    "RU": _european(ring_on=800, ring_off=3200, busy=400, congestion=200),
    "NL": _european(),
    "IT": _european(congestion=200),
    "CH": _european(congestion=200),
    "PL": _european(),
    "SE": _plan(_cadence(425, 0, 1000, 5000), _cadence(425, 0, 250, 250), _cadence(425, 0, 250, 750)),
}


def tone(kind: ToneKind, country: str) -> Tone:
    """Return the tone of a country (ISO 3166-1 alpha-2), or the 425 Hz one of ITU-T E.180 for others."""
    return Tone(kind, _PLANS.get(country, _RECOMMENDED)[kind])
