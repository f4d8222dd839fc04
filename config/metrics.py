"""`[metrics]`."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from config.secret import Secret
from config.table import Table
from config.values import refused


class MetricsSettings(Table):
    """Who reads `/metrics`, and what it shows."""

    token: Secret | None = None
    organisations: bool = False

    @model_validator(mode="after")
    def _tenants_are_shown_to_some_only(self) -> Self:
        if self.organisations and self.token is None:
            raise refused("expected `token` beside `organisations`: their names are not for everybody")
        return self
