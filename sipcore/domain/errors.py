"""The one exception hierarchy of the project.

Every error carries a stable `error_id` for programs, an HTTP status for the API, and a text that tells a
person what was wrong and what to do.
"""

from __future__ import annotations


class Click2CallError(Exception):
    """Anything this program raises on purpose.

    Attributes:
        error_id: stable, machine readable name of the kind of error.
        http_status: the status with which the HTTP API answers it.
    """

    error_id = "internal"
    http_status = 500


class ParameterError(Click2CallError):
    """A request parameter is missing, malformed or contradicts another one (HTTP 400).

    Args:
        parameter: name of the parameter as the contract spells it, for example `Timeout`.
        reason: what is wrong with it, for the person who sent it.
    """

    error_id = "bad_parameter"
    http_status = 400

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"{parameter}: {reason}")
        self.parameter = parameter
        self.reason = reason


class NotAllowedError(ParameterError):
    """The destination or the caller identity is not allowed to this organisation (HTTP 403)."""

    error_id = "not_allowed"
    http_status = 403


class EventsGoneError(ParameterError):
    """Events that followed the one that was named may have been deleted: they are too old (HTTP 410)."""

    error_id = "events_gone"
    http_status = 410


class AuthenticationError(Click2CallError):
    """Wrong user, password, key or organisation; which one is never told (HTTP 401)."""

    error_id = "wrong_credentials"
    http_status = 401


class MissingScopeError(Click2CallError):
    """The credentials are right, and not good for this (HTTP 403).

    Args:
        scope: which one they lack.
    """

    error_id = "missing_scope"
    http_status = 403

    def __init__(self, scope: str) -> None:
        super().__init__(f"these credentials lack the scope {scope}")
        self.scope = scope


class LimitReachedError(Click2CallError):
    """The organisation is over one of its limits (HTTP 429).

    Args:
        limit: name of the setting that was reached, for example `max_calls`.
        retry_after: whole seconds after which the request may succeed.
    """

    error_id = "limit_reached"
    http_status = 429

    def __init__(self, limit: str, retry_after: int) -> None:
        super().__init__(f"over the limit {limit}, try again in {retry_after} s")
        self.limit = limit
        self.retry_after = retry_after


class NoLegCapacityError(Click2CallError):
    """No worker can carry the legs that the call needs; nothing was dialled (HTTP 503)."""

    error_id = "no_leg_capacity"
    http_status = 503


class ShuttingDownError(Click2CallError):
    """The server is being stopped: it takes no new call, and leaves long work to its next start (HTTP 503)."""

    error_id = "shutting_down"
    http_status = 503


class StoreUnavailableError(Click2CallError):
    """The database did not take the call's record; nothing was dialled (HTTP 503)."""

    error_id = "store_unavailable"
    http_status = 503


class StoreInDoubtError(StoreUnavailableError):
    """The database was lost while it took something, and did not say whether it has; nothing was dialled (HTTP 503)."""


class ScheduleRunningError(Click2CallError):
    """The future call has begun already, or is over: it cannot be changed any more (HTTP 409)."""

    error_id = "schedule_running"
    http_status = 409


class AttemptWithdrawnError(Click2CallError):
    """What was to be tried was cancelled meanwhile, or another one tries it; nothing was dialled."""

    error_id = "attempt_withdrawn"
    http_status = 409


class CampaignStateError(Click2CallError):
    """The campaign is not in a state in which that can be done (HTTP 409)."""

    error_id = "campaign_state"
    http_status = 409


class DoNotCallError(Click2CallError):
    """The number is on the organisation's do-not-call list; it was not dialled."""

    error_id = "do_not_call"
    http_status = 409


class NotRecordedError(Click2CallError):
    """The call is not being recorded, or no more (HTTP 409)."""

    error_id = "not_recorded"
    http_status = 409


class CallStateError(Click2CallError):
    """The call is not where what was asked of it can be done (HTTP 409)."""

    error_id = "call_state"
    http_status = 409


class RecordingPendingError(Click2CallError):
    """The recording is not ready yet (HTTP 409)."""

    error_id = "recording_pending"
    http_status = 409


class StartUpError(Click2CallError):
    """The program cannot start: its text is the one line that the operator reads (exit code 2)."""

    error_id = "start_up"


class SettingsError(StartUpError):
    """The settings are wrong.

    Args:
        source: the file (or `environment`) in which the problems stand.
        problems: one line each: where, which key, what was expected.
    """

    error_id = "bad_settings"

    def __init__(self, source: str, problems: tuple[str, ...]) -> None:
        super().__init__(f"{source}: " + "; ".join(problems))
        self.source = source
        self.problems = problems


class AudioFileError(StartUpError):
    """An audio file is missing, damaged, empty or no audio at all.

    Args:
        path: the file.
        reason: what is wrong with it.
    """

    error_id = "bad_audio_file"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class SpeechError(StartUpError):
    """A text cannot be spoken."""

    error_id = "no_speech"


class InvalidTransitionError(Click2CallError):
    """A state machine met an event that its table does not list for its state: our bug, not the peer's fault.

    Args:
        machine: which machine.
        state: the state it was in.
        event: what it was fed.
        story: its last transitions, oldest first.
    """

    error_id = "invalid_transition"

    def __init__(self, machine: str, state: str, event: str, story: tuple[str, ...]) -> None:
        super().__init__(f"{machine} in state {state} cannot take {event}; before: {' / '.join(story) or 'nothing'}")
        self.story = story
