"""What the library knows of a leg's audio, read while it still does: just before each of its streams is destroyed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sipcore.domain.quality import LegQuality, StreamQuality, mean_opinion_score

_PACKET_US = 20_000
_FIXED_DELAY_MS = 40.0
"""From mouth to ear beside network and jitter buffer: a packet is gathered where it is sent, and one in our bridge."""


@dataclass(slots=True)
class _Mean:
    """Mean of the library's own means (`MathStat`, in microseconds), each weighted by how many values it is of."""

    count: int = 0
    total: float = 0.0

    def add(self, stat: Any) -> None:
        self.count += stat.n
        self.total += stat.n * stat.mean

    @property
    def value(self) -> float | None:
        return self.total / self.count if self.count else None

    @property
    def milliseconds(self) -> float | None:
        return None if self.value is None else round(self.value / 1000, 1)


class Measured:
    """Sums over the streams of one leg: a re-INVITE may end one and begin another."""

    def __init__(self) -> None:
        self._codec = ""
        self._received = self._received_lost = self._sent = 0
        self._sent_lost: int | None = None
        self._buffer_ms = 0.0
        self._round_trip, self._jitter, self._sent_jitter, self._gaps = _Mean(), _Mean(), _Mean(), _Mean()

    def add(self, info: Any, stat: Any) -> None:
        """Add one stream.

        Args:
            info: pjsua2's `StreamInfo`; the last stream that carried anything names the codec.
            stat: pjsua2's `StreamStat` of it.
        """
        rtcp = stat.rtcp
        received, sent = rtcp.rxStat, rtcp.txStat
        if received.pkt or sent.pkt:
            self._codec = info.codecName.upper()
            self._buffer_ms = float(stat.jbuf.avgDelayMsec)
        self._received += received.pkt
        self._received_lost += received.loss
        self._jitter.add(received.jitterUsec)
        self._gaps.add(received.lossPeriodUsec)
        self._sent += sent.pkt
        if sent.updateCount:
            self._sent_lost = (self._sent_lost or 0) + sent.loss
            self._sent_jitter.add(sent.jitterUsec)
        self._round_trip.add(rtcp.rttUsec)

    def quality(self) -> LegQuality | None:
        """Tell how the audio was, or None when there was none."""
        if not (self._received or self._sent):
            return None
        sent_loss = None if self._sent_lost is None or not self._sent else min(self._sent_lost / self._sent, 1.0)
        expected = self._received + self._received_lost
        received_loss = self._received_lost / expected if self._received else None
        gap = (self._gaps.value or 0.0) / _PACKET_US
        burst_ratio = max(1.0, gap * (1 - (received_loss or 0.0)))
        return LegQuality(
            codec=self._codec,
            round_trip_ms=self._round_trip.milliseconds,
            received=StreamQuality(
                self._received, self._received_lost, self._jitter.milliseconds, self._score(received_loss, burst_ratio)
            ),
            sent=StreamQuality(self._sent, self._sent_lost, self._sent_jitter.milliseconds, self._score(sent_loss)),
        )

    def _score(self, loss: float | None, burst_ratio: float = 1.0) -> float | None:
        if loss is None:
            return None
        delay = (self._round_trip.milliseconds or 0.0) / 2 + self._buffer_ms + _FIXED_DELAY_MS
        return mean_opinion_score(self._codec, loss=loss, delay_ms=delay, burst_ratio=burst_ratio)
