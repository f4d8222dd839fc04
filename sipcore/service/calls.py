"""What the API asks of call control: the request, what comes back at once, and what comes back later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from sipcore.domain.attempt import Attempt
from sipcore.domain.call_options import CallOptions, LegOptions
from sipcore.domain.call_recording import RecordingAction
from sipcore.domain.directory import Directory, Organisation
from sipcore.domain.errors import AuthenticationError
from sipcore.domain.record import CallRecord
from sipcore.domain.role import Role

DEFAULT_RING_SECONDS = 20
"""How long destination 1 rings when the request does not say."""


@dataclass(frozen=True, slots=True)
class DialRequest:
    """One click, authenticated, with its texts as given.

    Attributes:
        organisation, user: who asks; both exist.
        dial1, dial2: the destinations as given (a `+` lost in a query string is already restored).
        set_cid: caller identity as given, or None.
        ring_seconds: how long destination 1 may ring, 1 to 300.
        batch_id: id of the request for many numbers that it is a part of, or None.
        uids: UniqueIDs that both parties were given already, or None.
        id: id that its record was given already, or None.
        attempt: which attempt of something that is dialled at its time it is, or None. It is written with the call's
            record, before anything is dialled.
        options: what is wanted beside the numbers.
        dial_over: what `QueueBoard.count_dial` returned, where whoever asks has counted the call already. It is called
            when the first stage is over, or nothing is dialled.
    """

    organisation: str
    user: str
    dial1: str
    dial2: str
    set_cid: str | None = None
    ring_seconds: int = DEFAULT_RING_SECONDS
    batch_id: str | None = None
    uids: tuple[str, str] | None = None
    id: str | None = None
    attempt: Attempt | None = None
    options: CallOptions = field(default_factory=CallOptions)
    dial_over: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class AcceptedCall:
    """A call under way.

    Attributes:
        id: id of its record.
        uid1, uid2: UniqueIDs of leg 1 and leg 2.
        first_stage: done when destination 1 answered (None) or failed (the contract's reason, for example `Busy`).
            It is never cancelled by whoever waits for it: wrap it in `asyncio.shield`.
        over: done when the whole call has ended.
    """

    id: str
    uid1: str
    uid2: str
    first_stage: asyncio.Future[str | None]
    over: asyncio.Future[None]

    @property
    def uids(self) -> tuple[str, str]:
        """Both legs' UniqueIDs."""
        return self.uid1, self.uid2


class Calls(Protocol):
    """Places calls."""

    async def dial(self, request: DialRequest) -> AcceptedCall:
        """Accept a call and start ringing destination 1.

        Raises:
            ParameterError: a destination or the caller identity is malformed, or of a kind that cannot be dialled.
            NotAllowedError: the destination or the caller identity is not allowed to the organisation.
            LimitReachedError: the organisation is over one of its limits.
            NoLegCapacityError, StoreUnavailableError, ShuttingDownError: nothing was dialled.
        """
        ...

    def hang_up(self, organisation: str, call_id: str, by: str = "request") -> bool:
        """End a call of the organisation; False when it has none of this id in progress.

        Args:
            organisation: whose call.
            call_id: id of its record.
            by: what the record names as the one who ended it: `request` or `shutdown`.
        """
        ...

    def change_recording(self, organisation: str, call_id: str, action: RecordingAction) -> CallRecord | None:
        """Pause, resume or stop the recording of a call in progress; doing it again changes nothing.

        Returns:
            The call's record, or None when the organisation has no call of this id in progress.

        Raises:
            NotRecordedError: it is not being recorded.
        """
        ...


@dataclass(frozen=True, slots=True)
class FurtherLeg:
    """Whom a call in progress is to ring.

    Attributes:
        destination: as given.
        options: what is wanted of the leg.
    """

    destination: str
    options: LegOptions = field(default_factory=LegOptions)


class CallControl(Protocol):
    """Changes calls in progress. What it returns is the call's record; None: the organisation has no such call now."""

    def send_digits(self, organisation: str, call_id: str, role: Role, digits: str) -> CallRecord | None:
        """Send digits to a party, one after the other.

        Raises:
            ParameterError: they cannot be sent.
            CallStateError: nobody is there who could take them.
        """
        ...

    async def join_third(self, organisation: str, call_id: str, wanted: FurtherLeg) -> CallRecord | None:
        """Ring a third party, which joins the two when it answers.

        Raises:
            ParameterError, NotAllowedError: it cannot be rung.
            CallStateError: it cannot be joined now.
            NoLegCapacityError: no worker has room for it; the two go on talking.
        """
        ...

    async def transfer(self, organisation: str, call_id: str, wanted: FurtherLeg) -> CallRecord | None:
        """Release party 2 and ring somebody else in its place.

        Raises:
            ParameterError, NotAllowedError: it cannot be rung.
            CallStateError: it cannot be transferred now.
            NoLegCapacityError: no worker has room for it; the two go on talking.
        """
        ...


class LiveDirectory:
    """The directory in force; a reload of the settings replaces it between two requests."""

    def __init__(self, directory: Directory) -> None:
        self.current = directory

    def organisation(self, name: str) -> Organisation:
        """Return an organisation whose credentials were right.

        Raises:
            AuthenticationError: a reload has removed it since.
        """
        organisation = self.current.organisations.get(name)
        if organisation is None:
            raise AuthenticationError("the organisation is gone from the settings")
        return organisation
