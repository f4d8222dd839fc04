"""What is wrong with texts and prompts: what needs an organisation's language to be found out."""

from __future__ import annotations

from collections.abc import Iterator

from config.model import Settings
from config.origin import AudioSource
from config.problems import Problem
from sipcore.domain.errors import AudioFileError, SpeechError


def audio_problems(settings: Settings, audio: AudioSource) -> Iterator[Problem]:
    """Find every text that cannot be spoken, and every directory of prompts that is of no use."""
    for name, org in settings.orgs.items():
        if org.prompts is not None:
            try:
                audio.prompts(org.language, org.prompts)
            except AudioFileError as error:
                yield Problem(("orgs", name, "prompts"), f"expected a folder of prompts; {error.path} {error.reason}")
        for number, message in org.messages.items():
            if message.text is not None:
                try:
                    audio.spoken(message.text, org.language)
                except SpeechError as error:
                    path = ("orgs", name, "messages", number, "text")
                    yield Problem(path, f"expected a text that can be spoken; {error}")
