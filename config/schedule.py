"""`[schedule]`."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from config.table import Table


class ScheduleSettings(Table):
    """Future calls of all organisations."""

    grace_minutes: int = Field(default=5, ge=1, le=1440)
    require_user: bool = False

    @property
    def grace(self) -> timedelta:
        """How late a number may be dialled that was due while no server ran."""
        return timedelta(minutes=self.grace_minutes)
