"""How somebody hears why the other side was not reached: spoken where there is a recording, then as a tone."""

from __future__ import annotations

import pytest
from destination_stories import PROMPTS

from sipcore.domain.causes import Disposition
from sipcore.domain.commands import Command, PlayAudio, PlayTone, StopPlaying
from sipcore.domain.events import PlaybackFinished
from sipcore.domain.telling import Telling
from sipcore.domain.tones import ToneKind, tone

LEG = "leg-1"
REASONS = [
    (Disposition.BUSY, "busy", ToneKind.BUSY),
    (Disposition.NO_ANSWER, "no_answer", ToneKind.CONGESTION),
    (Disposition.NOT_CONNECTED, "not_connected", ToneKind.CONGESTION),
    (Disposition.UNREACHABLE, "unreachable", ToneKind.CONGESTION),
    (Disposition.INTERRUPTED, "unreachable", ToneKind.CONGESTION),
    (Disposition.CANCELLED, "unreachable", ToneKind.CONGESTION),
]


def playback_of(commands: list[Command]) -> str:
    (played,) = (command for command in commands if isinstance(command, PlayAudio))
    return played.playback


@pytest.mark.parametrize(("disposition", "prompt", "kind"), REASONS)
def test_the_reason_is_spoken_and_then_told_by_the_countrys_tone(
    disposition: Disposition, prompt: str, kind: ToneKind
) -> None:
    telling = Telling(LEG, disposition, "GB", PROMPTS)
    commands = telling.start()
    playback = playback_of(commands)
    assert commands == [StopPlaying(LEG), PlayAudio(LEG, playback, (PROMPTS[prompt],))]
    assert telling.feed(PlaybackFinished(LEG, playback)) == [PlayTone(LEG, tone(kind, "GB"))]


@pytest.mark.parametrize(("disposition", "prompt", "kind"), REASONS)
def test_the_tone_alone_tells_it_where_there_is_no_recording(
    disposition: Disposition, prompt: str, kind: ToneKind
) -> None:
    others = {name: file for name, file in PROMPTS.items() if name != prompt}
    assert Telling(LEG, disposition, "US", others).start() == [StopPlaying(LEG), PlayTone(LEG, tone(kind, "US"))]


def test_the_end_of_something_else_changes_nothing() -> None:
    telling = Telling(LEG, Disposition.BUSY, "US", PROMPTS)
    telling.start()
    assert telling.feed(PlaybackFinished(LEG, "music")) == []
