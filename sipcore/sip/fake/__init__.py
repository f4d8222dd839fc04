"""A scripted fake of the SIP port: no process, no socket, no time that passes.

What a far end does is written down as a `Script` for the number it is dialled by, or ordered by calling a method. All
consequences are queued at once, in the order in which a worker would report them; `settled` waits until the reader
has taken them. Slots, links, rooms and lost workers follow the rules of `sipcore.sip.pool`, with the same code where
there is no SIP in it, and both pass the same contract tests.
"""

from sipcore.sip.fake.port import FakeSipPort
from sipcore.sip.fake.scripts import (
    ANSWERS,
    ANSWERS_LATE,
    EARLY_MEDIA,
    EARLY_MEDIA_THEN_ANSWERS,
    RINGS,
    SILENT,
    FakeLeg,
    FarEnd,
    OnCancel,
    Script,
    refuses,
)

__all__ = [
    "ANSWERS",
    "ANSWERS_LATE",
    "EARLY_MEDIA",
    "EARLY_MEDIA_THEN_ANSWERS",
    "RINGS",
    "SILENT",
    "FakeLeg",
    "FakeSipPort",
    "FarEnd",
    "OnCancel",
    "Script",
    "refuses",
]
