"""Which calls are recorded, and whose recordings they are: the table of the click-to-call contract.

It is decided by who talks, not by what was dialled: a ring group, a queue or a menu stands for the phone that answered
there. A line is a number in the organisation's own terms (`LegPlan.line`): an extension's number is inside, E.164 is
outside, and so is an empty one (a named SIP address, or a caller from outside).
"""

from __future__ import annotations

from dataclasses import dataclass

from sipcore.domain.dialplan import NumberPlan
from sipcore.domain.directory import Extension, Organisation
from sipcore.domain.role import Role


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose recording it is.

    Attributes:
        extension: number of the agent's extension.
        role: on which side of the call the agent is.
    """

    extension: str
    role: Role


def owner_of(
    line1: str, line2: str, set_cid: str | None, organisation: Organisation, numbers: NumberPlan
) -> Owner | None:
    """Decide whether a call is recorded.

    | line 1 | line 2 | recorded when | agent |
    |---|---|---|---|
    | inside | outside | SetCID is absent, or the agent's own extension or number | line 1 |
    | outside | inside | the same | line 2 |
    | inside | inside | the same | line 1 |
    | outside | outside | SetCID is an extension of the organisation | that extension, at line 1 |

    And only when the agent's `record` is on. With any other SetCID it is not.

    Args:
        line1: who talks as party 1.
        line2: who talks as party 2.
        set_cid: caller identity as the request gave it, or None.
        organisation: whose call it is.
        numbers: for a SetCID that is written in the national form.

    Returns:
        Whose recording it is, or None: it is not recorded.
    """
    if _is_inside(line1):
        owner = Owner(line1, Role.FIRST)
    elif _is_inside(line2):
        owner = Owner(line2, Role.SECOND)
    elif set_cid is not None:
        # Whoever clicked talks on line 1, somewhere outside, as this extension.
        owner = Owner(set_cid, Role.FIRST)
    else:
        return None
    agent = organisation.extensions.get(owner.extension)
    if agent is None or not agent.record or not _is_own(set_cid, agent, organisation, numbers):
        return None
    return owner


def _is_inside(line: str) -> bool:
    return bool(line) and not line.startswith("+")


def _is_own(set_cid: str | None, agent: Extension, organisation: Organisation, numbers: NumberPlan) -> bool:
    """Tell whether a SetCID leaves the call the agent's; a number that is an extension's is never read as another."""
    if set_cid is None or set_cid == agent.number:
        return True
    if set_cid in organisation.extensions or agent.caller_id is None:
        return False
    return numbers.e164(set_cid, organisation.country) == agent.caller_id
