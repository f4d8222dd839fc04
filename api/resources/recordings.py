"""`/api/v1/recordings`: the audio of calls."""

from __future__ import annotations

from api.handlers.recordings import RecordingHandler
from api.operations import Operation
from sipcore.domain.directory import Scope
from sipcore.service.authentication import Authenticator
from sipcore.service.recording_archive import RecordingArchive

_AUDIO = ("audio/wav", "audio/flac", "audio/ogg")


class RecordingsResource:
    """What was recorded of the organisation's calls.

    Args:
        recordings: keeps it.
        authenticator: knows who is asking.
    """

    def __init__(self, recordings: RecordingArchive, authenticator: Authenticator) -> None:
        self._of_recordings = {"authenticator": authenticator, "recordings": recordings}

    def operations(self) -> list[Operation]:
        """Return what can be done."""
        return [
            Operation(
                name="getRecording", method="GET", path="/api/v1/recordings/{id}", tag="recordings", scope=Scope.READ,
                summary="The audio of a recording, or the part of it that a Range header asks for",
                media=_AUDIO, in_parts=True, problems=frozenset({409, 416}),
                handler=(RecordingHandler, self._of_recordings),
            ),
            Operation(
                name="deleteRecording", method="DELETE", path="/api/v1/recordings/{id}", tag="recordings",
                scope=Scope.CALL, summary="Delete the audio of a recording", status=204,
                problems=frozenset({409}), handler=(RecordingHandler, self._of_recordings),
            ),
        ]  # fmt: skip
