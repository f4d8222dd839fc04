"""`[orgs.ORG.recording]`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from config.table import Table
from config.values import FeatureCode, refused
from sipcore.domain.directory import RecordingRules
from sipcore.domain.recording import RecordingFormat

_RULES = RecordingRules()


class RecordingSettings(Table):
    """How the calls of agents whose `record` is on are recorded."""

    format: Literal["wav", "flac", "opus"] = "wav"
    start: Literal["joined", "answered"] = _RULES.start
    notice: bool = _RULES.notice
    pause_code: FeatureCode = _RULES.pause_code
    stop_code: FeatureCode = _RULES.stop_code
    retention_days: int | None = Field(default=None, ge=1, le=36_500)

    @model_validator(mode="after")
    def _codes_differ(self) -> Self:
        one, other = sorted((self.pause_code, self.stop_code), key=len)
        if one and other.startswith(one):
            raise refused("expected a `stop_code` and a `pause_code` of which none is the beginning of the other")
        return self

    @property
    def rules(self) -> RecordingRules:
        """What the domain makes of it."""
        return RecordingRules(**self.model_dump() | {"format": RecordingFormat(self.format)})
