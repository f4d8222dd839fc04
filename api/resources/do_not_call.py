"""`/api/v1/do-not-call`: numbers that the organisation's campaigns never dial."""

from __future__ import annotations

import http
from collections.abc import Sequence

from api.campaign_models import AddedDoNotCall, DoNotCallPage, DoNotCallQuery, NewDoNotCall, UploadReport
from api.handlers.uploads import FORMATS, UploadHandler
from api.operations import Asked, Operation
from sipcore.domain.directory import Scope
from sipcore.domain.number_file import ListFormat
from sipcore.domain.public_events import written_time
from sipcore.service.authentication import Authenticator, Caller
from sipcore.service.campaigns import Campaigns
from sipcore.service.number_upload import DoNotCallUpload

_PATH = "/api/v1/do-not-call"


class DoNotCallResource:
    """The organisation's do-not-call list.

    Args:
        campaigns: keeps it.
        authenticator: knows who is asking.
    """

    def __init__(self, campaigns: Campaigns, authenticator: Authenticator) -> None:
        self._campaigns = campaigns
        self._authenticator = authenticator

    def operations(self) -> list[Operation]:
        """Return what can be done."""
        of_upload = {"authenticator": self._authenticator, "operations": {}, "begin": self.upload}
        return [
            Operation(
                name="listDoNotCall", method="GET", path=_PATH, tag="do-not-call", scope=Scope.READ,
                summary="The numbers that campaigns never dial, in their order, a page at a time",
                query=DoNotCallQuery, answer=DoNotCallPage, act=self.list,
            ),
            Operation(
                name="addDoNotCall", method="POST", path=_PATH, tag="do-not-call", scope=Scope.CALL,
                summary="Add numbers; one that is there stays as it is",
                body=NewDoNotCall, answer=AddedDoNotCall, act=self.add,
            ),
            Operation(
                name="importDoNotCall", method="POST", path=f"{_PATH}/import", tag="do-not-call", scope=Scope.CALL,
                summary="Add a list of numbers, a line for each", uploads=tuple(FORMATS), answer=UploadReport,
                handler=(UploadHandler, of_upload),
            ),
            Operation(
                name="removeDoNotCall", method="DELETE", path=f"{_PATH}/{{number}}", tag="do-not-call",
                scope=Scope.CALL, summary="Let campaigns dial a number again; doing it again changes nothing",
                status=http.HTTPStatus.NO_CONTENT, act=self.remove,
            ),
        ]  # fmt: skip

    async def list(self, asked: Asked[DoNotCallQuery, None]) -> object:
        """Return a page of it."""
        query = asked.query
        found = await self._campaigns.barred(asked.organisation, query.cursor or "", query.limit + 1)
        page = found[: query.limit]
        items = [
            {"number": each.number, "added_at": written_time(each.added_at), "added_by": each.added_by} for each in page
        ]
        return {"items": items, "next": page[-1].number if len(found) > query.limit else None}

    async def add(self, asked: Asked[None, NewDoNotCall]) -> object:
        """Add numbers."""
        return {"numbers": await self._campaigns.bar(asked.organisation, asked.caller.user, asked.body.numbers)}

    async def remove(self, asked: Asked[None, None]) -> None:
        """Take a number away."""
        await self._campaigns.allow(asked.organisation, asked.path["number"])

    async def upload(self, caller: Caller, _path: Sequence[str], file_format: ListFormat) -> DoNotCallUpload:
        """Begin to take a list of numbers."""
        return self._campaigns.bar_list(caller.organisation, caller.user, file_format)
