"""`/API/dialup.php`: one request, two phones talking.

Only GET and POST dial. HEAD and other methods get 405; a browser's prefetch (`Sec-Purpose`, `Purpose` or `X-Moz`)
gets 403, so that it asks again when the person really clicks.
"""

from __future__ import annotations

import asyncio
import http
import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict
from datetime import datetime
from typing import Any

from tornado.web import stream_request_body

from api.bodies import MAX_BYTES, TooLongError, read_body, read_query
from api.credentials import CHALLENGE, NO_LOGIN, Login, identify, read_authorization
from api.handlers.base import Handler, phrase
from api.idempotency import HEADER, answer_of, give_again, header_key
from api.parameters import DialupParameters, Format, Pair, answer_format, read_parameters
from api.rendering import CONTENT_TYPES, Fields, answer_fields, error_fields, render, result_fields, scheduled_fields
from sipcore.domain.attempt_outcome import first_stage_reason
from sipcore.domain.batch import NumberState
from sipcore.domain.causes import FAIL_REASONS, Disposition
from sipcore.domain.directory import Scope
from sipcore.domain.errors import AuthenticationError, Click2CallError, LimitReachedError, ParameterError
from sipcore.domain.idempotency import fingerprint
from sipcore.domain.schedule import NewSchedule
from sipcore.service.authentication import Authenticator, Caller
from sipcore.service.batches import Batches, BatchRequest
from sipcore.service.calls import AcceptedCall, Calls, DialRequest
from sipcore.service.idempotency import Idempotency, Turn
from sipcore.service.live_batch import LiveBatch
from sipcore.service.schedules import ScheduleRequest, Schedules
from sipcore.service.store import RecordStore

ANSWER_MARGIN_SECONDS = 2.0
"""How much longer than Timeout a `Response=yes` may wait for its answer."""
DRAINED_BYTES = 1 << 20
"""Longest body that is read (and dropped) to its end, so that its sender reads our 413 and not a reset."""

_PREFETCH = re.compile(r"\s*prefetch\b", re.IGNORECASE)
_WHO_AND_WHICH = {"user", "password", "organisation", "request_id"}
"""Parameters that do not tell what is asked for."""
_PARTIES = ("dial1", "dial2")
_UNKNOWN_REASON = FAIL_REASONS[Disposition.NO_ANSWER]
_WRONG_CREDENTIALS = "user, pass, org or ident is wrong"


class DialupHandler(Handler):
    """Places calls, one for each number, now or at a later time. This class serves requests without a body."""

    allowed = ("GET", "POST")

    def initialize(
        self,
        calls: Calls,
        batches: Batches,
        schedules: Schedules,
        authenticator: Authenticator,
        idempotency: Idempotency,
        store: RecordStore,
    ) -> None:
        """Take over what the routes give to every request."""
        self._calls = calls
        self._idempotency = idempotency
        self._store = store
        self._turn: Turn | None = None
        self._batches = batches
        self._schedules = schedules
        self._authenticator = authenticator
        self._wanted: Format = "text"
        self._login = NO_LOGIN
        self._challenges = False
        self._gone: asyncio.Future[str | None] | None = None
        self.client_gone = False

    def prepare(self) -> None:
        """Turn away what must never dial; methods without a function here are turned away by Tornado."""
        headers = self.request.headers
        for name in ("Sec-Purpose", "Purpose", "X-Moz"):
            if name in headers and _PREFETCH.match(headers[name]):
                self.set_status(http.HTTPStatus.FORBIDDEN)
                self._finish(error_fields(name, "a prefetch never dials"))
                return

    async def get(self) -> None:
        """Dial, and answer at once or (`Response=yes`) as soon as the first stage is over."""
        await self._dial(b"")

    post = get

    def on_connection_close(self) -> None:
        """Stop waiting for a client that went away; its call goes on."""
        super().on_connection_close()
        self.client_gone = True
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    async def _dial(self, body: bytes) -> None:
        # The parameters come first: what is said of them depends on the request alone, so anybody may read it.
        try:
            parameters = self._read(body)
            self.caller = await self._identify(parameters)
            self.caller.need(Scope.CALL)
            async with self._turn_of(parameters, self.caller) as self._turn:
                await self._carry_out(parameters, self.caller, self._turn)
        except Click2CallError as error:
            self.refuse(error)

    def _turn_of(self, parameters: DialupParameters, caller: Caller) -> AbstractAsyncContextManager[Turn | None]:
        """Wait for the turn of a request that names itself; any other has no need of one."""
        name, key = "reqid", parameters.request_id
        if key is None:
            name, key = HEADER, header_key(self.request.headers)
        if key is None:
            return nullcontext()
        asked = {name: value for name, value in asdict(parameters).items() if name not in _WHO_AND_WHICH}
        meaning = fingerprint({**asked, "by": caller.user, "format": self._wanted})
        return self._idempotency.turn(caller.organisation, key, meaning, name)

    async def _carry_out(self, parameters: DialupParameters, caller: Caller, turn: Turn | None) -> None:
        if turn is not None and turn.answer is not None:
            give_again(self, turn.answer)
            return
        if turn is not None and turn.resumed and await self._answer_from_records(parameters, caller, turn):
            return
        accepted = await self._accept(parameters, caller, None if turn is None else turn.id)
        if turn is not None:
            turn.accepted()
        if isinstance(accepted, NewSchedule):
            self._answer_scheduled(accepted.id, accepted.terms.date)
            return
        if isinstance(accepted, LiveBatch):
            self._point_at_batch(accepted.id)
        if parameters.wait:
            await self._answer_first_stage(parameters, accepted)
        else:
            self._finish(())

    def _point_at_batch(self, batch_id: str) -> None:
        self.set_header("Link", f'</api/v1/batches/{batch_id}>; rel="monitor"')

    def _answer_scheduled(self, schedule_id: str, date: datetime) -> None:
        self.set_header("Link", f'</api/v1/schedules/{schedule_id}>; rel="monitor"')
        self._finish(scheduled_fields(schedule_id, date))

    async def _answer_from_records(self, parameters: DialupParameters, caller: Caller, turn: Turn) -> bool:
        """Answer a request that a node which died had accepted, as far as is known; False: it had not."""
        if parameters.future is not None:
            schedule = await self._schedules.get(caller.organisation, turn.id)
            if schedule is not None:
                turn.accepted()
                self._answer_scheduled(turn.id, schedule.schedule.date)
            return schedule is not None
        found = await self._first_stage_of(caller.organisation, turn.id)
        if found is not None:
            turn.accepted()
            reason, uids = found
            fields = answer_fields(reason, uids if parameters.show_uids else None)
            self._finish(fields if parameters.wait else ())
        return found is not None

    async def _first_stage_of(self, organisation: str, made: str) -> tuple[str | None, tuple[str, str]] | None:
        """Read why the first stage failed (None: it did not), and the UniqueIDs; None: nothing was made."""
        report = await self._batches.get(organisation, made)
        if report is not None:
            self._point_at_batch(made)
            answered = any(result.status is NumberState.ANSWERED for result in report.results)
            return None if answered else _UNKNOWN_REASON, (report.results[0].uid1, report.results[0].uid2)
        record = await self._store.get(organisation, made)
        if record is None:
            return None
        first, second = (next((leg.uid for leg in record.legs if leg.party == party), "") for party in _PARTIES)
        return first_stage_reason(record), (first, second)

    def _read(self, body: bytes) -> DialupParameters:
        pairs: list[Pair] = []
        try:
            read_query(self.request.query, pairs)
            read_body(body, self.request.headers, pairs)
        finally:
            self._wanted = answer_format(pairs)
        names = {pair.name for pair in pairs}
        self._login = read_authorization(self.request.headers.get("Authorization"))
        if {"user", "pass"} <= names:
            # The header may be for a proxy on the way; the parameters can only be for us.
            self._login = NO_LOGIN
        self._challenges = self._login.given or names.isdisjoint({"user", "pass"})
        return read_parameters(
            pairs, login_needed=not self._login.given, organisation_needed=not self._login.names_organisation
        )

    async def _identify(self, parameters: DialupParameters) -> Caller:
        login = self._login
        if not login.given:
            login = Login(user=parameters.user, password=parameters.password)
        if parameters.future is None:
            return await identify(self._authenticator, login, parameters.organisation)
        return await self._identify_ident(login, parameters.organisation, parameters.future.ident)

    async def _identify_ident(self, login: Login, organisation: str | None, ident: str) -> Caller:
        """Check the ident, and the login too when there is one; there is one when the organisation wants it."""
        caller = None
        if login.given or login.user is not None or login.password is not None:
            caller = await identify(self._authenticator, login, organisation)
            organisation = caller.organisation
        by_ident = self._authenticator.ident(organisation or "", ident)
        if caller is None and self._schedules.user_required(by_ident.organisation):
            raise AuthenticationError(_WRONG_CREDENTIALS)
        return caller or by_ident

    async def _accept(
        self, parameters: DialupParameters, caller: Caller, made: str | None
    ) -> AcceptedCall | LiveBatch | NewSchedule:
        asked: dict[str, Any] = {
            "organisation": caller.organisation,
            "user": caller.user,
            "dial2": parameters.dial2,
            "set_cid": parameters.set_cid,
            "ring_seconds": parameters.ring_seconds,
            "id": made,
        }
        if (future := parameters.future) is not None:
            return await self._schedules.accept(
                ScheduleRequest(
                    dial1=parameters.dial1,
                    date=future.date,
                    retries=future.retries,
                    retry_seconds=future.retry_seconds,
                    **asked,
                )
            )
        if len(parameters.dial1) > 1:
            return await self._batches.dial(BatchRequest(dial1=parameters.dial1, **asked))
        return await self._calls.dial(DialRequest(dial1=parameters.dial1[0], **asked))

    async def _answer_first_stage(self, parameters: DialupParameters, accepted: AcceptedCall | LiveBatch) -> None:
        self._gone = asyncio.get_running_loop().create_future()
        # asyncio.wait leaves the futures alone when the time is over: the call goes on.
        # Who names a request may ask for its answer again.
        until = {accepted.first_stage} if self._turn is not None else {accepted.first_stage, self._gone}
        await asyncio.wait(
            until,
            timeout=parameters.ring_seconds + ANSWER_MARGIN_SECONDS,
            return_when=asyncio.FIRST_COMPLETED,
        )
        if self._turn is None and self._gone.done():
            return
        finished = accepted.first_stage.done()
        fail_reason = accepted.first_stage.result() if finished else FAIL_REASONS[Disposition.NO_ANSWER]
        fields = answer_fields(fail_reason, accepted.uids if parameters.show_uids else None)
        if isinstance(accepted, LiveBatch):
            results = accepted.report().results
            each = [result_fields(result, show_uids=parameters.show_uids) for result in results]
            self._finish([*fields, ("batch", accepted.id)], each)
        else:
            self._finish(fields)

    def _write_error(self, error: Click2CallError) -> None:
        self.set_status(error.http_status)
        if isinstance(error, AuthenticationError):
            if self._challenges:
                self.set_header("WWW-Authenticate", CHALLENGE)
            self._finish(error_fields(None, _WRONG_CREDENTIALS))
        elif isinstance(error, ParameterError):
            self._finish(error_fields(error.parameter, error.reason))
        else:
            if isinstance(error, LimitReachedError):
                self.set_header("Retry-After", str(error.retry_after))
            self._finish(error_fields(None, str(error) or phrase(error.http_status).lower()))

    def write_refusal(self, status: int, reason: str) -> None:  # noqa: ARG002 - the base class's signature
        """Write an error in the format that was asked for."""
        self._finish(error_fields(None, reason))

    def _finish(self, fields: Fields, results: Sequence[Fields] | None = None) -> None:
        self.set_header("Content-Type", CONTENT_TYPES[self._wanted])
        body = render(fields, self._wanted, results) if fields else b""
        if self._turn is not None and self._turn.made:
            self._turn.answered(answer_of(self, body))
        if not self.client_gone:
            self.finish(body)


@stream_request_body
class DialupBodyHandler(DialupHandler):
    """Places a call for a request with a body, which is read as it comes and dropped once it is too long."""

    def prepare(self) -> None:
        """Turn away what must never dial, and bodies that are too long to be read even to their end."""
        self._body = bytearray()
        super().prepare()
        length = self.request.headers.get("Content-Length", "")
        if length.isdecimal() and int(length[:16]) > DRAINED_BYTES and not self._finished:
            self.refuse(TooLongError("body"))

    def data_received(self, chunk: bytes) -> None:
        """Keep a part of the body, as far as it counts."""
        if len(self._body) <= MAX_BYTES:
            self._body += chunk

    async def get(self) -> None:
        """Dial with the parameters of query and body together."""
        if len(self._body) > MAX_BYTES:
            self.refuse(TooLongError("body"))
        else:
            await self._dial(bytes(self._body))

    post = get
