"""Lists of numbers on their way into the database; of each, no more than a block is in memory."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from sipcore.domain.campaign import Campaign, ListedNumber, RefusedLine
from sipcore.domain.dialplan import ExtensionDestination, ExternalDestination, NumberPlan, resolve
from sipcore.domain.directory import Organisation
from sipcore.domain.errors import ParameterError
from sipcore.domain.number_file import ListFormat, ListLine, NumberFile, bare
from sipcore.service.campaign_hours import CampaignHours
from sipcore.service.campaign_store import CampaignListStore

BLOCK = 500
"""Lines that are written together."""
REPORTED = 100
"""Refused lines that the report shows."""
_CHECKED_TOGETHER = 50
"""Lines that are checked before others get their turn: some milliseconds."""

Checked = TypeVar("Checked")


@dataclass(slots=True)
class UploadReport:
    """What became of the lines of a list.

    Attributes:
        accepted: how many were.
        refused: how many were not.
        refusals: the first `REPORTED` of those.
    """

    accepted: int = 0
    refused: int = 0
    refusals: list[RefusedLine] = field(default_factory=list)

    def add(self, accepted: int, refused: Sequence[RefusedLine]) -> None:
        """Count lines in."""
        self.accepted += accepted
        self.refused += len(refused)
        self.refusals += refused[: REPORTED - len(self.refusals)]


class NumberUpload(ABC, Generic[Checked]):
    """A list that comes piece by piece. What was written stays when the rest does not come.

    Args:
        file_format: how it is written.
    """

    def __init__(self, file_format: ListFormat) -> None:
        self._file = NumberFile(file_format)
        self._good: list[Checked] = []
        self._bad: list[RefusedLine] = []
        self.report = UploadReport()

    async def feed(self, piece: bytes) -> None:
        """Take a piece; return when what is complete of it is written.

        Raises:
            CampaignStateError: nothing can be added any more.
            StoreUnavailableError: what came since the last block is not written.
        """
        await self._take(self._file.feed(piece))

    async def end(self) -> UploadReport:
        """Take the end; tell what became of all lines.

        Raises:
            CampaignStateError, StoreUnavailableError: as `feed`.
        """
        await self._take(self._file.end())
        await self._flush()
        return self.report

    async def _take(self, lines: Iterator[ListLine]) -> None:
        for count, line in enumerate(lines, start=1):
            try:
                self._good.append(self._checked(line))
            except ParameterError as error:
                self._bad.append(RefusedLine(line.line, line.text, error.reason))
            if len(self._good) + len(self._bad) >= BLOCK:
                await self._flush()
            elif count % _CHECKED_TOGETHER == 0:
                await asyncio.sleep(0)

    async def _flush(self) -> None:
        if self._good or self._bad:
            good, self._good, bad, self._bad = self._good, [], self._bad, []
            self.report.add(*await self._write(good, bad))

    @abstractmethod
    def _checked(self, line: ListLine) -> Checked:
        """Make of a line what is written.

        Raises:
            ParameterError: it is refused.
        """

    @abstractmethod
    async def _write(self, good: list[Checked], bad: list[RefusedLine]) -> tuple[int, Sequence[RefusedLine]]:
        """Write a block; return how many are in, and which lines are not."""


def number_of(line: ListLine) -> str:
    """Return the number of a line.

    Raises:
        ParameterError: the line has none.
    """
    if line.problem is not None:
        raise ParameterError("number", line.problem)
    return line.number


class CampaignUpload(NumberUpload[ListedNumber]):
    """A list for a campaign.

    Args:
        campaign: takes the numbers.
        organisation: whose it is.
        numbers: the world's numbering plans.
        store: keeps them.
        file_format: how the list is written.
        now: the present; numbers may be dialled from then on, within their hours.
    """

    def __init__(
        self,
        campaign: Campaign,
        organisation: Organisation,
        numbers: NumberPlan,
        store: CampaignListStore,
        file_format: ListFormat,
        now: datetime,
    ) -> None:
        super().__init__(file_format)
        self._campaign = campaign
        self._organisation = organisation
        self._numbers = numbers
        self._store = store
        self._hours = CampaignHours(campaign.terms, organisation, now)

    def _checked(self, line: ListLine) -> ListedNumber:
        destination = resolve(number_of(line), self._organisation, self._numbers, parameter="number")
        if not isinstance(destination, ExternalDestination | ExtensionDestination):
            raise ParameterError("number", "is no telephone number and no extension")
        opens = self._hours.opens(destination.number)
        if opens is None:
            raise ParameterError("number", "may be in time zones whose calling hours never meet")
        return ListedNumber(line.line, destination.number, line.reference, opens)

    async def _write(self, good: list[ListedNumber], bad: list[RefusedLine]) -> tuple[int, Sequence[RefusedLine]]:
        return await self._store.add(self._campaign, good, bad)


class DoNotCallUpload(NumberUpload[str]):
    """A list of numbers that are never to be called.

    Args:
        organisation: whose list it is for.
        user: who brings it.
        numbers: the world's numbering plans.
        store: keeps them.
        file_format: how the list is written.
        now: the present.
    """

    def __init__(
        self,
        organisation: Organisation,
        user: str,
        numbers: NumberPlan,
        store: CampaignListStore,
        file_format: ListFormat,
        now: datetime,
    ) -> None:
        super().__init__(file_format)
        self._organisation = organisation
        self._user = user
        self._numbers = numbers
        self._store = store
        self._now = now

    def _checked(self, line: ListLine) -> str:
        return barrable(number_of(line), self._organisation, self._numbers)

    async def _write(self, good: list[str], bad: list[RefusedLine]) -> tuple[int, Sequence[RefusedLine]]:
        if good:
            await self._store.bar(self._organisation.name, good, self._user, self._now)
        return len(good), bad


def barrable(number: str, organisation: Organisation, numbers: NumberPlan, parameter: str = "number") -> str:
    """Return the E.164 form of a number that is not to be called, however it is written.

    Raises:
        ParameterError: it is no telephone number.
    """
    e164 = numbers.e164(bare(number), organisation.country)
    if e164 is None:
        raise ParameterError(parameter, "not a telephone number: give + and digits, or the national digits")
    return e164
