"""Many numbers of one request: checked as a whole before any of them is dialled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sipcore.domain.dialplan import Destination, NumberPlan
from sipcore.domain.directory import Organisation
from sipcore.domain.errors import ParameterError
from sipcore.service.admission import destinations
from sipcore.service.calls import DialRequest

_CHECKED_TOGETHER = 25
"""Numbers that are checked before others get their turn: some milliseconds."""


async def checked(
    texts: Sequence[str], call_of: Callable[[str], DialRequest], organisation: Organisation, numbers: NumberPlan
) -> tuple[tuple[str, ...], Destination]:
    """Check every destination and the caller identity.

    Args:
        texts: destinations in dial1 as given, 1 or more.
        call_of: makes the call's request of one of them.
        organisation: who asks.
        numbers: the world's numbering plans.

    Returns:
        The numbers as given, each once, and dial2.

    Raises:
        ParameterError: a destination or the caller identity is malformed; of dial1 it tells which entry. Or dial2
            cannot talk to many.
        NotAllowedError: one of them is not allowed to the organisation.
    """
    # By number, as some destinations cannot be hashed. Two texts may mean the same.
    seen: dict[str, list[Destination]] = {}
    kept: list[str] = []
    for entry, text in enumerate(texts, start=1):
        if entry % _CHECKED_TOGETHER == 0:
            await asyncio.sleep(0)
        try:
            first, second, _ = destinations(call_of(text), organisation, numbers)
        except ParameterError as error:
            if error.parameter != "dial1" or len(texts) == 1:
                raise
            raise type(error)("dial1", f"entry {entry}: {error.reason}") from error
        alike = seen.setdefault(first.number, [])
        if first not in alike:
            alike.append(first)
            kept.append(text)
    if len(kept) > 1 and not second.serves_many:
        raise ParameterError("dial2", "several numbers need one that talks to many: a message, IVR, queue or app")
    return tuple(kept), second
