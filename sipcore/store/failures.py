"""What went wrong, in our own terms."""

from __future__ import annotations

import sqlalchemy as sa

from sipcore.domain.errors import StoreUnavailableError


def reason_of(error: Exception) -> str:
    """Give the driver's own words, without the statement that SQLAlchemy adds to them."""
    if isinstance(error, sa.exc.StatementError) and error.orig is not None:
        return str(error.orig)
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def unavailable(error: Exception) -> StoreUnavailableError:
    """Make the error that the service knows, chained to what happened."""
    failure = StoreUnavailableError(f"the database failed: {reason_of(error)}")
    failure.__cause__ = error
    return failure


def blames_the_database(error: Exception) -> bool:
    """Tell a failure of the database (locked, full, unreadable, gone) from one of a row that it refused."""
    return isinstance(error, sa.exc.OperationalError | sa.exc.InternalError | OSError) or (
        # The drivers raise the bare class for a file that is corrupt or no database.
        type(error) is sa.exc.DatabaseError
    )
