"""The call detail record: one per accepted call, with one entry per leg.

All times are aware datetimes in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

from sipcore.domain.attempt import Attempt
from sipcore.domain.causes import WORKER_DIED, Disposition
from sipcore.domain.ladder import LegLadder
from sipcore.domain.quality import LegQuality


@dataclass(frozen=True, slots=True)
class LegRecord:
    """What became of one leg.

    Attributes:
        uid: UniqueID, the Call-ID on the wire.
        number: the number as dialled (user part of the Request-URI), or as given when it was never dialled.
        disposition: None while the leg is not settled.
        sip_code: final SIP status, None when the leg was never placed or got none.
        cause: hangup cause (Q.850), None while not settled.
        ended_by: `remote`, `local` (this program) or `network`; None while not settled.
        placed_at, ringing_at, answered_at, ended_at: when each step happened; None when it did not.
        party: which party's leg it is: `dial1`, `dial2` (also whoever it was transferred to), or `third`.
        answered_by: `human`, `machine` or `unknown`, as machine detection heard it; None: it did not listen.
        extension: the extension whose phone it was, or None: another number's, or no phone's.
        quality: how its audio was, known at its end; None: it had none, or its worker died.
    """

    uid: str
    number: str
    disposition: Disposition | None = None
    sip_code: int | None = None
    cause: int | None = None
    ended_by: str | None = None
    placed_at: datetime | None = None
    ringing_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    party: str = "dial1"
    answered_by: str | None = None
    extension: str | None = None
    quality: LegQuality | None = None


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One accepted request.

    Attributes:
        id: of the record, 32 hex digits.
        organisation: name of the organisation.
        user: name of the user or API key that asked; of a call that came in, the trunk it came from.
        dial1, dial2: the numbers as given.
        set_cid: the caller identity as given, or None.
        accepted_at: when the request was accepted.
        joined_at: when both parties' audio was joined, or None.
        ended_at: when the last leg was over, None while the call is in progress.
        disposition: of the whole call, None while in progress.
        ended_by: `dial1`, `dial2`, `third`, `request` (hung up through the API), `limit` (`max_call_seconds`),
            `worker` (died), `shutdown`, `error` (ours), or `restart` (found unsettled at a start); None while in
            progress.
        recording_id: id of the recording, or None.
        recording_state: where that one stands, or None: there is none. While the call goes on a word of
            `sipcore.domain.call_recording.RecordingState`, after it one of `sipcore.domain.recording.RecordingEnd`. It
            is no part of the record: records that differ in it alone are the same.
        batch_id: id of the request for many numbers that it is a part of, or None.
        reference: the client's own name for it, or None.
        direction: `outbound`, or `inbound` when a trunk or phone called us.
        attempt: which attempt the call is, or None. It is stored beside the record and not read with it.
        node: id of the node that carries the call, or None: the database knows.
        ladder: the SIP messages of its legs, in the record that is written at the call's end alone. They are stored
            beside the record, not as long as it, and not read with it.
        legs: those of dial1, of dial2, of thirds; one each, or one for every phone that was rung.
    """

    id: str
    organisation: str
    user: str
    dial1: str
    dial2: str
    set_cid: str | None
    accepted_at: datetime
    legs: tuple[LegRecord, ...]
    joined_at: datetime | None = None
    ended_at: datetime | None = None
    disposition: Disposition | None = None
    ended_by: str | None = None
    recording_id: str | None = None
    recording_state: str | None = field(default=None, compare=False)
    batch_id: str | None = None
    direction: str = "outbound"
    reference: str | None = None
    attempt: Attempt | None = field(default=None, compare=False)
    node: str | None = field(default=None, compare=False)
    ladder: tuple[LegLadder, ...] = field(default=(), compare=False)


def interrupted(record: CallRecord, now: datetime, ended_by: str) -> CallRecord:
    """Complete a record whose call nobody carries on; what is known of its legs stays."""
    legs = tuple(_interrupted_leg(leg, now) if leg.disposition is None else leg for leg in record.legs)
    return replace(record, legs=legs, ended_at=now, disposition=Disposition.INTERRUPTED, ended_by=ended_by)


def _interrupted_leg(leg: LegRecord, now: datetime) -> LegRecord:
    cause, disposition = WORKER_DIED.cause, WORKER_DIED.disposition
    return replace(leg, disposition=disposition, cause=cause, ended_by="local", ended_at=now)


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records of an organisation are wanted; None means any.

    Attributes:
        uid: UniqueID of either leg.
        number: dial1 or dial2 as given, or a leg's number as dialled.
        disposition: of the whole call.
        since: accepted at or after this time (aware).
        until: accepted before this time (aware).
        batch: id of the batch that it is a part of.
        reference: the client's own name for the call.
        extension: of a leg, whichever way it came to be rung or to call.
    """

    uid: str | None = None
    number: str | None = None
    disposition: Disposition | None = None
    since: datetime | None = None
    until: datetime | None = None
    batch: str | None = None
    reference: str | None = None
    extension: str | None = None


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One page of records, newest first.

    Attributes:
        items: at most the limit that was asked for.
        next: cursor of the next page, opaque, or None at the end.
    """

    items: tuple[CallRecord, ...]
    next: str | None
