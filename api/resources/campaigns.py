"""`/api/v1/campaigns`: lists of numbers that are dialled within their calling hours."""

from __future__ import annotations

import http
from collections.abc import Awaitable, Callable, Mapping, Sequence

from api.campaign_models import (
    Campaign,
    CampaignNumberPage,
    CampaignNumberQuery,
    CampaignPage,
    NewCampaign,
    PlaceQuery,
    RefusedLinePage,
    UploadReport,
)
from api.handlers.campaign_results import CampaignResultsHandler
from api.handlers.uploads import FORMATS, UploadHandler
from api.models import PageQuery
from api.operations import Asked, Operation
from api.spreadsheet import CONTENT_TYPE
from sipcore.domain.campaign import Campaign as Kept
from sipcore.domain.campaign import CampaignAction, CampaignNumber, CampaignTerms, RetryRules
from sipcore.domain.causes import Disposition
from sipcore.domain.directory import Scope
from sipcore.domain.number_file import ListFormat
from sipcore.domain.public_events import written_time
from sipcore.domain.retry import RetryPolicy
from sipcore.service.authentication import Authenticator, Caller
from sipcore.service.campaigns import Campaigns
from sipcore.service.number_upload import CampaignUpload

_PATH = "/api/v1/campaigns"
_SUMMARIES: Mapping[CampaignAction, str] = {
    CampaignAction.START: "Begin to dial the numbers of a campaign",
    CampaignAction.PAUSE: "Dial no further number until the campaign is resumed; calls go on",
    CampaignAction.RESUME: "Go on with a paused campaign",
    CampaignAction.STOP: "Dial nothing more of a campaign, ever, and hang up what rings; those who talk go on",
}


class CampaignsResource:
    """The organisation's campaigns.

    Args:
        campaigns: keeps them.
        authenticator: knows who is asking.
    """

    def __init__(self, campaigns: Campaigns, authenticator: Authenticator) -> None:
        self._campaigns = campaigns
        self._authenticator = authenticator

    def operations(self) -> list[Operation]:
        """Return what can be done."""
        one = f"{_PATH}/{{id}}"
        return [
            Operation(
                name="makeCampaign", method="POST", path=_PATH, tag="campaigns", scope=Scope.CALL,
                summary="Make a campaign; numbers are added to it, then it is started",
                body=NewCampaign, answer=Campaign, status=http.HTTPStatus.CREATED,
                problems=frozenset({422}), act=self.make, again=self.get,
            ),
            Operation(
                name="listCampaigns", method="GET", path=_PATH, tag="campaigns", scope=Scope.READ,
                summary="The campaigns, newest first, a page at a time",
                query=PageQuery, answer=CampaignPage, act=self.list,
            ),
            Operation(
                name="getCampaign", method="GET", path=one, tag="campaigns", scope=Scope.READ,
                summary="A campaign, and how many of its numbers stand how",
                answer=Campaign, act=self.get,
            ),
            *(
                Operation(
                    name=f"{action}Campaign", method="POST", path=f"{one}/{action}", tag="campaigns", scope=Scope.CALL,
                    summary=_SUMMARIES[action], answer=Campaign, problems=frozenset({409}), act=self._acts(action),
                )
                for action in CampaignAction
            ),
            *self._of_numbers(f"{one}/numbers"),
            Operation(
                name="listRefusedLines", method="GET", path=f"{one}/refusals", tag="campaigns", scope=Scope.READ,
                summary="The lines of a campaign's lists that were not accepted, and why, a page at a time",
                query=PlaceQuery, answer=RefusedLinePage, act=self.refusals,
            ),
            Operation(
                name="exportCampaign", method="GET", path=f"{one}/results.csv", tag="campaigns", scope=Scope.READ,
                summary="What became of each number of a campaign, for a spreadsheet", media=(CONTENT_TYPE,),
                handler=(
                    CampaignResultsHandler, {"authenticator": self._authenticator, "campaigns": self._campaigns},
                ),
            ),
        ]  # fmt: skip

    def _of_numbers(self, path: str) -> list[Operation]:
        reading = Operation(
            name="listCampaignNumbers", method="GET", path=path, tag="campaigns", scope=Scope.READ,
            summary="The numbers of a campaign and their attempts, a page at a time",
            query=CampaignNumberQuery, answer=CampaignNumberPage, act=self.numbers,
        )  # fmt: skip
        of_handler = {"authenticator": self._authenticator, "operations": {"GET": reading}, "begin": self.upload}
        return [
            Operation(
                name="addCampaignNumbers", method="POST", path=path, tag="campaigns", scope=Scope.CALL,
                summary="Add a list of numbers, a line for each, to a campaign that is not over",
                uploads=tuple(FORMATS), answer=UploadReport, problems=frozenset({409}),
                handler=(UploadHandler, of_handler),
            ),
            reading,
        ]  # fmt: skip

    async def make(self, asked: Asked[None, NewCampaign]) -> object:
        """Make one."""
        body = asked.body
        rules = {
            outcome: RetryPolicy(rule.retries, rule.after)
            for outcome in Disposition
            if (rule := getattr(body.retries, outcome, None)) is not None
        }
        terms = CampaignTerms(
            name=body.name,
            dial2=body.dial2,
            set_cid=body.set_cid,
            ring_seconds=body.ring_seconds,
            hours=body.hours,
            concurrency=body.concurrency,
            calls_per_second=body.calls_per_second,
            retry=RetryRules(rules, body.max_attempts),
        )
        return _campaign_as_json(await self._campaigns.create(asked.organisation, asked.caller.user, terms, asked.made))

    async def list(self, asked: Asked[PageQuery, None]) -> object:
        """Return a page of them."""
        page = await self._campaigns.find(asked.organisation, asked.query.cursor)
        return {"items": [_campaign_as_json(campaign) for campaign in page.items], "next": page.next}

    async def get(self, asked: Asked[None, None]) -> object:
        """Return one."""
        found = await self._campaigns.get(asked.organisation, asked.path["id"])
        return None if found is None else _campaign_as_json(found)

    async def numbers(self, asked: Asked[CampaignNumberQuery, None]) -> object:
        """Return a page of a campaign's numbers."""
        query = asked.query
        found = await self._campaigns.numbers(
            asked.organisation, asked.path["id"], query.state, query.cursor, query.limit + 1
        )
        if found is None:
            return None
        page = found[: query.limit]
        following = str(page[-1].position) if len(found) > query.limit else None
        return {"items": [_number_as_json(number) for number in page], "next": following}

    async def refusals(self, asked: Asked[PlaceQuery, None]) -> object:
        """Return a page of refused lines."""
        query = asked.query
        found = await self._campaigns.refusals(asked.organisation, asked.path["id"], query.cursor, query.limit + 1)
        if found is None:
            return None
        page = found[: query.limit]
        items = [{"line": line.line, "text": line.text, "reason": line.reason} for _, line in page]
        return {"items": items, "next": str(page[-1][0]) if len(found) > query.limit else None}

    async def upload(self, caller: Caller, path: Sequence[str], file_format: ListFormat) -> CampaignUpload | None:
        """Begin to take a list of numbers."""
        return await self._campaigns.upload(caller.organisation, path[0], file_format)

    def _acts(self, action: CampaignAction) -> Callable[[Asked[None, None]], Awaitable[object]]:
        async def act(asked: Asked[None, None]) -> object:
            found = await self._campaigns.act(asked.organisation, asked.path["id"], action)
            return None if found is None else _campaign_as_json(found)

        return act


def _campaign_as_json(campaign: Kept) -> dict[str, object]:
    terms = campaign.terms
    rules = terms.retry.by_outcome.items()
    return {
        "id": campaign.id,
        "user": campaign.user,
        "name": terms.name,
        "state": campaign.state,
        "dial2": terms.dial2,
        "set_cid": terms.set_cid,
        "ring_seconds": terms.ring_seconds,
        "hours": terms.hours,
        "concurrency": terms.concurrency,
        "calls_per_second": terms.calls_per_second,
        "retries": {outcome: {"retries": rule.retries, "after": rule.seconds} for outcome, rule in rules},
        "max_attempts": terms.retry.max_attempts,
        "created_at": written_time(campaign.created_at),
        "started_at": written_time(campaign.started_at),
        "ended_at": written_time(campaign.ended_at),
        "numbers": sum(campaign.counts.values()),
        "refused": campaign.refused,
        "counts": dict(campaign.counts),
    }


def _number_as_json(number: CampaignNumber) -> dict[str, object]:
    return {
        "position": number.position,
        "number": number.number,
        "reference": number.reference,
        "state": number.state,
        "outcome": number.outcome,
        "next_at": written_time(number.next_at),
        "reason": number.reason,
        "attempts": [
            {
                "number": made.number,
                "record_id": made.record_id,
                "begun_at": written_time(made.begun_at),
                "outcome": made.outcome,
            }
            for made in number.attempts
        ],
    }
