"""What an organisation is told of its campaigns."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sipcore.domain.attempt_outcome import SettledAttempt
from sipcore.domain.campaign import Campaign, CampaignNumberState, CampaignState
from sipcore.domain.public_events import EventType, PublicEvent, written_time

_OF_STATE: Mapping[CampaignState, EventType] = {
    CampaignState.DRAFT: EventType.CAMPAIGN_CREATED,
    CampaignState.RUNNING: EventType.CAMPAIGN_STARTED,
    CampaignState.PAUSED: EventType.CAMPAIGN_PAUSED,
    CampaignState.STOPPED: EventType.CAMPAIGN_STOPPED,
}


def entered(campaign: Campaign, state: CampaignState, time: datetime) -> PublicEvent:
    """Tell that a campaign was created, begins or goes on, pauses, or was stopped."""
    return PublicEvent(_OF_STATE[state], time, campaign.organisation, data=_of(campaign))


def ended(campaign: Campaign, time: datetime) -> PublicEvent:
    """Tell that nothing of a campaign is left to be dialled, and no call of it in progress."""
    data = _of(campaign) | {"state": campaign.state, "counts": dict(campaign.counts)}
    return PublicEvent(EventType.CAMPAIGN_ENDED, time, campaign.organisation, data=data)


def attempted(
    campaign_id: str, number: str, attempt: SettledAttempt, state: CampaignNumberState, next_at: datetime | None
) -> PublicEvent:
    """Tell what an attempt came to.

    Args:
        campaign_id: of the campaign.
        number: that was dialled.
        attempt: it is over.
        state: how the number stands now.
        next_at: when it is tried again at the earliest, or None.
    """
    data = {
        "campaign_id": campaign_id,
        "number": number,
        "attempt": attempt.number,
        "outcome": attempt.outcome,
        "state": state,
        "next_at": written_time(next_at),
    }
    return PublicEvent(EventType.CAMPAIGN_ATTEMPT, attempt.settled_at, attempt.organisation, attempt.call, data=data)


def _of(campaign: Campaign) -> dict[str, object]:
    return {"campaign_id": campaign.id, "name": campaign.terms.name, "user": campaign.user}
