"""What a client asks of campaigns and of the do-not-call list: a part of `api.client.Client`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote

import httpx

from api.campaign_models import (
    AddedDoNotCall,
    Campaign,
    CampaignNumber,
    CampaignNumberPage,
    CampaignPage,
    DoNotCallNumber,
    DoNotCallPage,
    RefusedLine,
    RefusedLinePage,
    UploadReport,
)
from api.models import Model

ModelT = TypeVar("ModelT", bound=Model)

_CAMPAIGNS, _DO_NOT_CALL = "/api/v1/campaigns", "/api/v1/do-not-call"
_UPLOAD_SECONDS: Final = 3600.0
"""How long a list may take to be sent and read."""
_PAGE: Final[Mapping[str, str]] = {"limit": "1000"}


class CampaignRequests(ABC):
    """Campaigns, by id. Every method raises a `ClientError` when it cannot do what it says."""

    def campaigns(self) -> Iterator[Campaign]:
        """Return all campaigns, newest first."""
        return self._pages(CampaignPage, _CAMPAIGNS, {})

    def campaign(self, campaign_id: str) -> Campaign:
        """Return a campaign, and how many of its numbers stand how."""
        return self._read(Campaign, self._ask("GET", _path(campaign_id)))

    def make_campaign(self, wanted: Mapping[str, Any]) -> Campaign:
        """Make a campaign without numbers.

        Args:
            wanted: the members of `NewCampaign`.
        """
        return self._read(Campaign, self._ask("POST", _CAMPAIGNS, json=wanted))

    def add_numbers(self, campaign_id: str, chunks: Iterable[bytes], media: str = "text/csv") -> UploadReport:
        """Add a list of numbers to a campaign.

        Args:
            campaign_id: which.
            chunks: the list, piece by piece; it is not held as a whole.
            media: its type.
        """
        return self._upload(f"{_path(campaign_id)}/numbers", chunks, media)

    def change_campaign(self, campaign_id: str, action: Literal["start", "pause", "resume", "stop"]) -> Campaign:
        """Start, pause, resume or stop a campaign."""
        return self._read(Campaign, self._ask("POST", f"{_path(campaign_id)}/{action}"))

    def campaign_numbers(self, campaign_id: str, state: str | None = None) -> Iterator[CampaignNumber]:
        """Return the numbers of a campaign in their order, all or those that stand so."""
        wanted = _PAGE if state is None else {**_PAGE, "state": state}
        return self._pages(CampaignNumberPage, f"{_path(campaign_id)}/numbers", wanted)

    def refused_lines(self, campaign_id: str) -> Iterator[RefusedLine]:
        """Return the lines of a campaign's lists that were not accepted."""
        return self._pages(RefusedLinePage, f"{_path(campaign_id)}/refusals", _PAGE)

    @contextmanager
    def campaign_results(self, campaign_id: str) -> Iterator[Iterator[bytes]]:
        """Open the results of a campaign: CSV, to be read once."""
        with self._streamed(f"{_path(campaign_id)}/results.csv", {}) as response:
            yield response.iter_bytes()

    def do_not_call(self) -> Iterator[DoNotCallNumber]:
        """Return the numbers that campaigns never dial, in their order."""
        return self._pages(DoNotCallPage, _DO_NOT_CALL, _PAGE)

    def add_do_not_call(self, numbers: list[str]) -> list[str]:
        """Add numbers to that list; return them as E.164 writes them."""
        return self._read(AddedDoNotCall, self._ask("POST", _DO_NOT_CALL, json={"numbers": numbers})).numbers

    def import_do_not_call(self, chunks: Iterable[bytes], media: str = "text/csv") -> UploadReport:
        """Add a list of numbers to it; arguments as of `add_numbers`."""
        return self._upload(f"{_DO_NOT_CALL}/import", chunks, media)

    def remove_do_not_call(self, number: str) -> None:
        """Let campaigns dial a number again."""
        self._ask("DELETE", f"{_DO_NOT_CALL}/{quote(number, safe='')}")

    def _upload(self, path: str, chunks: Iterable[bytes], media: str) -> UploadReport:
        headers = {"Content-Type": media}
        answer = self._ask("POST", path, content=chunks, headers=headers, timeout=_UPLOAD_SECONDS)
        return self._read(UploadReport, answer)

    @abstractmethod
    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response: ...

    @abstractmethod
    def _read(self, model: type[ModelT], response: httpx.Response) -> ModelT: ...

    @abstractmethod
    def _pages(self, model: type[Any], path: str, query: Mapping[str, str]) -> Iterator[Any]: ...

    @abstractmethod
    def _streamed(self, path: str, query: Mapping[str, str]) -> AbstractContextManager[httpx.Response]: ...


def _path(campaign_id: str) -> str:
    return f"{_CAMPAIGNS}/{quote(campaign_id, safe='')}"
