"""Call progress tones: each country hears its own."""

from __future__ import annotations

import pytest

from sipcore.domain.tones import _PLANS, Burst, Tone, ToneKind, tone

COUNTRIES = [*sorted(_PLANS), "ZZ"]
BUSY_IS_CONGESTION = {"AU", "JP"}
"""Japan has one tone for both; in Australia they differ in level alone, which a cadence does not tell."""


@pytest.mark.parametrize(
    ("kind", "country", "bursts"),
    [
        (ToneKind.RINGBACK, "US", (Burst(440, 480, 2000, 4000),)),
        (ToneKind.BUSY, "US", (Burst(480, 620, 500, 500),)),
        (ToneKind.CONGESTION, "US", (Burst(480, 620, 250, 250),)),
        (ToneKind.RINGBACK, "GB", (Burst(400, 450, 400, 200), Burst(400, 450, 400, 2000))),
        (ToneKind.CONGESTION, "GB", (Burst(400, 0, 400, 350), Burst(400, 0, 225, 525))),
        (ToneKind.RINGBACK, "DE", (Burst(425, 0, 1000, 4000),)),
        (ToneKind.BUSY, "DE", (Burst(425, 0, 480, 480),)),
        (ToneKind.RINGBACK, "SE", (Burst(425, 0, 1000, 5000),)),
        (ToneKind.CONGESTION, "SE", (Burst(425, 0, 250, 750),)),
        (
            ToneKind.CONGESTION,
            "ES",
            (Burst(425, 0, 200, 200), Burst(425, 0, 200, 200), Burst(425, 0, 200, 600)),
        ),
    ],
)
def test_a_country_hears_its_own_tone(kind: ToneKind, country: str, bursts: tuple[Burst, ...]) -> None:
    assert tone(kind, country) == Tone(kind, bursts)


def test_a_country_without_a_plan_of_its_own_hears_the_recommended_one() -> None:
    assert tone(ToneKind.RINGBACK, "ZZ") == Tone(ToneKind.RINGBACK, (Burst(425, 0, 1000, 4000),))


@pytest.mark.parametrize("kind", ToneKind)
@pytest.mark.parametrize("country", COUNTRIES)
def test_every_country_has_every_tone_in_telephone_bandwidth(country: str, kind: ToneKind) -> None:
    bursts = tone(kind, country).bursts
    assert bursts
    for burst in bursts:
        assert 300 <= burst.hz <= 3400
        assert burst.hz2 == 0 or 300 <= burst.hz2 <= 3400
        assert burst.on_ms > 0
        assert burst.off_ms > 0


@pytest.mark.parametrize("country", COUNTRIES)
def test_busy_and_congestion_can_be_told_apart(country: str) -> None:
    same = tone(ToneKind.BUSY, country).bursts == tone(ToneKind.CONGESTION, country).bursts
    assert same is (country in BUSY_IS_CONGESTION)


@pytest.mark.parametrize("country", COUNTRIES)
def test_ringback_is_mostly_silence_and_busy_is_not(country: str) -> None:
    ringing = tone(ToneKind.RINGBACK, country).bursts
    assert sum(burst.off_ms for burst in ringing) > sum(burst.on_ms for burst in ringing)
    busy = tone(ToneKind.BUSY, country).bursts
    assert sum(burst.off_ms for burst in busy) == sum(burst.on_ms for burst in busy)
