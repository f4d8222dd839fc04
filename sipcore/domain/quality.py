"""How well a leg could be heard: what RTP and RTCP told, and an estimate of the opinion of whoever listened.

The estimate is the E-model of ITU-T Recommendation G.107 (06/2015): a rating R, from what impairs a connection, and
the mean opinion score (MOS) that belongs to it. What we cannot know (levels, echo, noise) has the model's defaults.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

_SLR, _RLR, _STMR, _LSTR, _DS, _DR = 8.0, 2.0, 15.0, 18.0, 3.0, 3.0
_TELR, _WEPL, _QDU, _ADVANTAGE = 65.0, 110.0, 1.0, 0.0
_NC, _N_FOR, _PS, _PR = -70.0, -64.0, 35.0, 35.0
"""Default values of G.107, table 2: loudness in dB, noise in dBm0p and dBm0, room noise in dB(A)."""
_BEST_MOS, _WORST_MOS = 4.5, 1.0


class Impairment(NamedTuple):
    """What a codec costs.

    Attributes:
        ie: equipment impairment factor Ie, without loss.
        bpl: packet-loss robustness factor Bpl: the greater, the less a lost packet is heard.
    """

    ie: float
    bpl: float


_G711 = Impairment(0.0, 25.1)
IMPAIRMENTS = MappingProxyType(
    {
        # G.113 (11/2007) appendix I, G.711 with the concealment of its own appendix I: the library conceals losses.
        "PCMU": _G711,
        "PCMA": _G711,
        # The narrow-band model has no figures for G.722, of which our bridge carries just the band of G.711.
        "G722": _G711,
    }
)


@dataclass(frozen=True, slots=True)
class StreamQuality:
    """One direction of a leg's audio.

    Attributes:
        packets: RTP packets that arrived here, or that we sent.
        lost: packets that did not arrive, by their sequence numbers; of what we sent as the far end's RTCP told, None
            when it told nothing.
        jitter_ms: mean interarrival jitter (RFC 3550 section 6.4.1), None when nobody measured it.
        mos: estimate of the mean opinion score, 1.0 to 4.5, None when nothing was heard or the codec has no figures.
    """

    packets: int
    lost: int | None
    jitter_ms: float | None
    mos: float | None


@dataclass(frozen=True, slots=True)
class LegQuality:
    """Both directions of a leg's audio.

    Attributes:
        codec: by its name in SDP, for example `PCMU`.
        round_trip_ms: mean round trip to the far end by RTCP (RFC 3550 section 6.4.1), None when it sent none.
        received: what the far end said.
        sent: what it was to hear.
    """

    codec: str
    round_trip_ms: float | None
    received: StreamQuality
    sent: StreamQuality


def mean_opinion_score(codec: str, *, loss: float, delay_ms: float, burst_ratio: float = 1.0) -> float | None:
    """Estimate what listeners would say, rounded to hundredths; None for a codec that has no figures.

    Args:
        codec: as in `LegQuality`.
        loss: share of the packets that were lost, 0 to 1.
        delay_ms: from mouth to ear.
        burst_ratio: BurstR, mean length of a gap against that of random loss; 1: losses were random.
    """
    impairment = IMPAIRMENTS.get(codec)
    if impairment is None:
        return None
    return round(score_of_rating(rating(impairment, loss=loss, delay_ms=delay_ms, burst_ratio=burst_ratio)), 2)


def score_of_rating(r: float) -> float:
    """Turn a rating into a MOS (G.107 annex B, equation B-4)."""
    if r >= 100:  # noqa: PLR2004 - the end of the scale
        return _BEST_MOS
    score = 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6
    # Below 6.5 the cubic is under 1.
    return max(score, _WORST_MOS) if r > 0 else _WORST_MOS


def rating(impairment: Impairment, *, loss: float, delay_ms: float, burst_ratio: float = 1.0) -> float:
    """Compute the rating R = Ro - Is - Id - Ie,eff + A (G.107 equation 7-1)."""
    noise = _noise()
    ro = 15 - 1.5 * (_SLR + noise)
    percent = 100 * loss
    # Equation 7-29.
    lossy = impairment.ie + (95 - impairment.ie) * percent / (percent / burst_ratio + impairment.bpl)
    return ro - _simultaneous(ro, noise, delay_ms) - _delay(ro, noise, delay_ms) - lossy + _ADVANTAGE


def _noise() -> float:
    """No, the sum of all noise in dBm0p (equations 7-3 to 7-7)."""
    olr = _SLR + _RLR
    sending = _PS - _SLR - _DS - 100 + 0.004 * (_PS - olr - _DS - 14) ** 2
    pre = _PR + 10 * math.log10(1 + 10 ** ((10 - _LSTR) / 10))
    receiving = _RLR - 121 + pre + 0.008 * (pre - 35) ** 2
    return _decibel(_NC, sending, receiving, _N_FOR + _RLR)


def _decibel(*levels: float) -> float:
    return 10 * math.log10(sum(10 ** (level / 10) for level in levels))


def _root(number: float, degree: int) -> float:
    return math.pow(number, 1 / degree)


def _simultaneous(ro: float, noise: float, delay_ms: float) -> float:
    """Is, what comes along with the voice: too loud, too much side tone, quantization (equations 7-8 to 7-17)."""
    xolr = _SLR + _RLR + 0.2 * (64 + noise - _RLR)
    loudness = 20 * (_root(1 + (xolr / 8) ** 8, 8) - xolr / 8)
    stmro = -10 * math.log10(10 ** (-_STMR / 10) + math.exp(-delay_ms / 4) * 10 ** (-_TELR / 10))
    side_tone = 12 * _root(1 + ((stmro - 13) / 6) ** 8, 8) - 28 * _root(1 + ((stmro + 1) / 19.4) ** 35, 35)
    side_tone += -13 * _root(1 + ((stmro - 3) / 33) ** 13, 13) + 29
    q = 37 - 15 * math.log10(_QDU)
    g = 1.07 + 0.258 * q + 0.0602 * q**2
    y = (ro - 100) / 15 + 46 / 8.4 - g / 9
    z = 46 / 30 - g / 40
    quantization = 15 * math.log10(1 + 10**y + 10**z)
    return loudness + side_tone + quantization


def _delay(ro: float, noise: float, delay_ms: float) -> float:
    """Id, what delay does: talker's and listener's echo, and waiting for each other (equations 7-18 to 7-28)."""
    terv = _TELR - 40 * math.log10((1 + delay_ms / 10) / (1 + delay_ms / 150)) + 6 * math.exp(-0.3 * delay_ms**2)
    roe = -1.5 * (noise - _RLR)
    echo = roe - (80 + 2.5 * (terv - 14))
    talker = (echo / 2 + math.sqrt(echo**2 / 4 + 100) - 1) * (1 - math.exp(-delay_ms))
    listener_echo = ro - 10.5 * (_WEPL + 7) / _root(2 * delay_ms + 1, 4)
    listener = listener_echo / 2 + math.sqrt(listener_echo**2 / 4 + 169)
    return talker + listener + _waiting(delay_ms)


def _waiting(delay_ms: float) -> float:
    """Idd, what a delay above 100 ms does to a conversation even without any echo (equations 7-27 and 7-28)."""
    if delay_ms <= 100:  # noqa: PLR2004 - equation 7-27
        return 0.0
    x = math.log10(delay_ms / 100) / math.log10(2)
    return 25 * (_root(1 + x**6, 6) - 3 * _root(1 + (x / 3) ** 6, 6) + 2)
