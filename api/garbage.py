"""When Python's collector of reference cycles runs in the server."""

from __future__ import annotations

import gc

_YOUNG_GARBAGE = 20_000
"""Objects made before the collector looks at the young ones: a call makes some hundreds, so that few requests wait
for a collection."""


def collect_seldom() -> None:
    """Leave what was made at the start out of garbage collections, and make them seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_GARBAGE)
