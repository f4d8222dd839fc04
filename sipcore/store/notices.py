"""What nodes tell each other through PostgreSQL, at the commit of the transaction that tells it."""

from __future__ import annotations

import sqlalchemy as sa

CHANNEL = "click2call"
"""Name of PostgreSQL's notification channel; a payload is the sender's application name, a topic, and a text."""
SCHEDULES_DUE = "schedules-due"
"""Topic: a future call may be due earlier than any was, or was cancelled."""
CAMPAIGNS_DUE = "campaigns-due"
"""Topic: a campaign has got numbers, or is to run, or to run no more."""
BATCHES_CANCELLED = "batches-cancelled"
"""Topic: a batch was cancelled."""
_NOTIFY = sa.text("SELECT pg_notify(:channel, current_setting('application_name') || :told)")


def notify(connection: sa.Connection, topic: str, text: str = "") -> None:
    """Tell all other nodes something when the transaction is committed; where there is one node nobody is told.

    Args:
        connection: in a transaction.
        topic: a word.
        text: at most 7,000 octets.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_NOTIFY, {"channel": CHANNEL, "told": f" {topic} {text}"})
