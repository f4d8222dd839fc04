"""Figures, what they should be, and how both are shown."""

# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from benchmark.accounting import Load, cpu_model

_BUSY_CORES = 0.1
"""Above this the rest of the machine spoils the figures."""
_WIDTH = 140
"""Of the table where there is no terminal."""
_TENTHS_PER_MS = 10


@dataclass(frozen=True)
class Figure:
    """One thing that was measured.

    Attributes:
        name: what.
        unit: of its values; empty for counts.
        values: by statistic (`p50`, `p99` or `value`); None where there was nothing to measure.
        targets: by statistic, what the value should stay below; 0: it should be 0.
    """

    name: str
    unit: str
    values: Mapping[str, float | None]
    targets: Mapping[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether every target is met; None when there is no target."""
        if not self.targets:
            return None
        return all(_meets(self.values[statistic], target) for statistic, target in self.targets.items())

    def json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        rounded = {name: value if value is None else round(value, 3) for name, value in self.values.items()}
        return {"unit": self.unit, **rounded, "targets": dict(self.targets), "met": self.met}


@dataclass(frozen=True)
class Measurement:
    """What one measurement found.

    Attributes:
        name: which one.
        figures: what it measured.
        load: what the machine did meanwhile.
        details: what helps to understand the figures.
        remarks: what went wrong, in words.
    """

    name: str
    figures: Sequence[Figure]
    load: Load
    details: Mapping[str, Any] = field(default_factory=dict)
    remarks: Sequence[str] = ()

    @property
    def warnings(self) -> list[str]:
        """What a reader of the figures should know, one line each."""
        lines = [f"warning: {self.name}: {remark}" for remark in self.remarks]
        if self.load.other_cores > _BUSY_CORES:
            lines.append(
                f"warning: {self.name}: other work took {self.load.other_cores:.2f} cores; "
                "the figures are worse than on a quiet machine"
            )
        return lines

    def json_line(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(
            {
                "measurement": self.name,
                "figures": {figure.name: figure.json() for figure in self.figures},
                "load": self.load.json(),
                "machine": {"cores": os.cpu_count(), "cpu": cpu_model()},
                "details": dict(self.details),
                "remarks": list(self.remarks),
            }
        )


def single(name: str, unit: str, value: float | None, *, below: float | None = None) -> Figure:
    """Make a figure of one value."""
    return Figure(name, unit, {"value": value}, {} if below is None else {"value": below})


def spread(name: str, unit: str, samples: Sequence[float], *, below: tuple[float, float] | None = None) -> Figure:
    """Make a figure of the median and the 99th percentile (nearest rank)."""
    ranked = sorted(samples)
    values = {"p50": _percentile(ranked, 0.5), "p99": _percentile(ranked, 0.99)}
    return Figure(name, unit, values, {} if below is None else {"p50": below[0], "p99": below[1]})


def from_histogram(name: str, histogram: Sequence[tuple[int, int]]) -> Figure:
    """Make the same of the peer's histogram, in ms.

    Args:
        name: what.
        histogram: pairs of tenths of a millisecond and how often, ascending.
    """
    total = sum(count for _, count in histogram)

    def value(part: float) -> float | None:
        seen = 0
        for tenths, count in histogram:
            seen += count
            if seen >= part * total:
                return tenths / _TENTHS_PER_MS
        return None

    return Figure(name, "ms", {"p50": value(0.5), "p99": value(0.99)})


def show(measurements: Sequence[Measurement], to: TextIO) -> None:
    """Print the table of all figures, each with the load beside it."""
    table = Table(title=f"{cpu_model()}, {os.cpu_count()} cores", title_justify="left")
    for heading in ("measurement", "figure"):
        table.add_column(heading)
    for heading in ("measured", "target", "", "other\ncores", "load\naverage"):
        table.add_column(heading, justify="right", no_wrap=True)
    for measurement in measurements:
        for number, figure in enumerate(measurement.figures):
            table.add_row(
                "" if number else measurement.name,
                figure.name + (" p50 / p99" if "p50" in figure.values else ""),
                f"{' / '.join(_text(value) for value in figure.values.values())} {figure.unit}".strip(),
                " / ".join("0" if target == 0 else f"< {target:g}" for target in figure.targets.values()),
                {True: "met", False: "missed", None: ""}[figure.met],
                f"{measurement.load.other_cores:.2f}",
                f"{measurement.load.load_average:.2f}",
            )
        table.add_section()
    Console(file=to, width=None if to.isatty() else _WIDTH).print(table)


def _percentile(ranked: Sequence[float], part: float) -> float | None:
    return ranked[max(math.ceil(part * len(ranked)) - 1, 0)] if ranked else None


def _meets(value: float | None, target: float) -> bool:
    if value is None:
        return False
    return value < target if target else value == 0


def _text(value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:d}" if isinstance(value, int) else f"{value:.2f}"
