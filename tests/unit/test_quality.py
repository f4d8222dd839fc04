"""The E-model against figures of ITU-T G.107, and a leg's quality from what the library measured."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sipcore.domain.quality import (
    IMPAIRMENTS,
    Impairment,
    LegQuality,
    StreamQuality,
    mean_opinion_score,
    rating,
    score_of_rating,
)
from sipcore.sip.user_agent.measuring import Measured

G711 = IMPAIRMENTS["PCMU"]


def test_with_all_default_values_the_rating_is_that_of_the_recommendation():
    # G.107 clause 7.7: R = 93.2.
    assert round(rating(G711, loss=0, delay_ms=0), 1) == 93.2


@pytest.mark.parametrize(
    ("r", "mos"), [(93.2, 4.41), (90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58), (100, 4.5), (0, 1.0)]
)
def test_ratings_become_the_scores_of_table_b_1(r, mos):
    assert score_of_rating(r) == pytest.approx(mos, abs=0.01)


def test_no_score_is_off_the_scale():
    scores = [score_of_rating(r / 4) for r in range(-80, 480)]
    assert scores == sorted(scores)
    assert (scores[0], scores[-1]) == (1.0, 4.5)


def test_loss_costs_what_equation_7_29_says():
    # Ie,eff = (95 - Ie) x Ppl / (Ppl / BurstR + Bpl), for G.729A with Ie 11 and Bpl 19 at 2 %: 11 + 84 x 2 / 21.
    clean = rating(Impairment(0, 19), loss=0, delay_ms=50)
    assert clean - rating(Impairment(11, 19), loss=0.02, delay_ms=50) == pytest.approx(11 + 8)
    assert clean - rating(Impairment(11, 19), loss=0.02, delay_ms=50, burst_ratio=2) == pytest.approx(11 + 8.4)


def test_delay_costs_little_below_and_much_above_what_a_conversation_bears():
    # ITU-T G.114: up to 150 ms one way are fine for most, and 400 ms are not for any.
    at = {delay: rating(G711, loss=0, delay_ms=delay) for delay in (0, 150, 400)}
    assert at[0] - at[150] < 5
    assert at[0] - at[400] > 30


def test_a_codec_without_figures_has_no_score():
    assert mean_opinion_score("opus", loss=0, delay_ms=50) is None
    assert mean_opinion_score("PCMA", loss=0, delay_ms=50) == 4.38


def mean(n=0, mean=0):
    return SimpleNamespace(n=n, mean=mean)


def stat(received=(0, 0), sent=(0, 0), updates=0, jitter=None, gaps=None, round_trip=None):
    nothing = mean()
    return SimpleNamespace(
        jbuf=SimpleNamespace(avgDelayMsec=20),
        rtcp=SimpleNamespace(
            rxStat=SimpleNamespace(
                pkt=received[0], loss=received[1], jitterUsec=jitter or nothing, lossPeriodUsec=gaps or nothing
            ),
            txStat=SimpleNamespace(pkt=sent[0], loss=sent[1], updateCount=updates, jitterUsec=nothing),
            rttUsec=round_trip or nothing,
        ),
    )


PCMU = SimpleNamespace(codecName="pcmu")


def test_a_leg_without_audio_has_no_quality():
    measured = Measured()
    assert measured.quality() is None
    measured.add(PCMU, stat())
    assert measured.quality() is None


def test_streams_of_one_leg_are_added_and_means_weighted():
    measured = Measured()
    measured.add(SimpleNamespace(codecName="G722"), stat((100, 0), (90, 0), jitter=mean(100, 1000)))
    measured.add(PCMU, stat((300, 4), (310, 2), 3, jitter=mean(300, 5000), round_trip=mean(2, 40_000)))
    assert measured.quality() == LegQuality(
        "PCMU",
        40.0,
        StreamQuality(400, 4, 4.0, mean_opinion_score("PCMU", loss=4 / 404, delay_ms=80)),
        StreamQuality(400, 2, None, mean_opinion_score("PCMU", loss=2 / 400, delay_ms=80)),
    )


def test_without_rtcp_nothing_is_said_of_what_the_far_end_heard():
    measured = Measured()
    measured.add(PCMU, stat((100, 0), (100, 0)))
    quality = measured.quality()
    assert quality.sent == StreamQuality(100, None, None, None)
    assert quality.round_trip_ms is None


def test_loss_in_bursts_is_heard_more():
    scores = []
    for gap_us in (20_000, 100_000):
        measured = Measured()
        measured.add(PCMU, stat((900, 100), gaps=mean(10, gap_us)))
        scores.append(measured.quality().received.mos)
    assert scores[1] < scores[0] - 0.2


def test_of_a_far_end_that_said_nothing_there_is_no_score():
    measured = Measured()
    measured.add(PCMU, stat((0, 0), (500, 0), 1))
    quality = measured.quality()
    assert (quality.received.mos, quality.sent.mos) == (None, mean_opinion_score("PCMU", loss=0, delay_ms=60))
