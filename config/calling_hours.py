"""`[orgs.ORG.calling_hours]`."""

from __future__ import annotations

from typing import Annotated

import phonenumbers
from pydantic import AfterValidator

from config.values import refused
from sipcore.domain.calling_hours import HoursByCountry
from sipcore.domain.errors import ParameterError


def _hours(texts: dict[str, str]) -> dict[str, str]:
    try:
        HoursByCountry.parse(texts, "calling_hours", phonenumbers.SUPPORTED_REGIONS)
    except ParameterError as error:
        raise refused(str(error)) from error
    return texts


CallingHoursSettings = Annotated[dict[str, str], AfterValidator(_hours)]
"""When campaigns may call: hours by the country of the number, and `default` for all others."""
