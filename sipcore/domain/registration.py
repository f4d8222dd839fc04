"""Registration of a trunk at its registrar (RFC 3261 section 10): when to send the next REGISTER.

A sans-IO machine of its own, so that the retry policy is tested by passing a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sipcore.domain.machine import Machine

FIRST_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 60.0
_MAX_DOUBLINGS = 10
REFUSED_RETRY_SECONDS = 120.0
"""After 4xx and 6xx answers, which a wrong password or a blocked account gives: retried too, but slowly, as many
registrars ban an address that insists."""
_REFRESH_AT = 0.75
"""Refresh after this share of the granted time, so that a lost refresh can be sent again before the binding ends."""
_MIN_REFRESH_SECONDS = 1.0
_OK = range(200, 300)
_PASSING_REFUSALS = frozenset({408, 423, 429, 480, 491})
"""4xx answers that tell of a passing state and not of wrong settings."""


class RegistrationState(StrEnum):
    """Where a trunk's registration stands; `none` for a trunk that does not register."""

    NONE = "none"
    UNREGISTERED = "unregistered"
    REGISTERING = "registering"
    REGISTERED = "registered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class TrunkState:
    """Where a trunk's registration stands, for people and programs outside.

    Attributes:
        trunk: name of the trunk.
        state: one of `RegistrationState`.
        sip_code: the last answer's status, or None.
        text: the last answer in words.
    """

    trunk: str
    state: RegistrationState
    sip_code: int | None = None
    text: str = ""


class Registration(Machine[RegistrationState]):
    """When to register a trunk, and where its registration stands.

    Args:
        trunk: name of the trunk.
    """

    def __init__(self, trunk: str) -> None:
        super().__init__(f"registration of {trunk}", RegistrationState.UNREGISTERED)
        self._trunk = trunk
        self._deadline: float | None = 0.0
        self._failures = 0
        self._sip_code: int | None = None
        self._text = ""

    def next_deadline(self) -> float | None:
        """When the next REGISTER is due, or None while one is on its way."""
        return self._deadline

    def on_deadline(self, now: float) -> bool:
        """Return True when a REGISTER shall be sent now."""
        if self._deadline is None or now < self._deadline:
            return False
        self._deadline = None
        if self.state is not RegistrationState.REGISTERED:
            self._enter(RegistrationState.REGISTERING, "due")
        return True

    def answered(self, sip_code: int, text: str, expires_seconds: float, now: float) -> None:
        """Take the final answer to a REGISTER.

        Args:
            sip_code: its status.
            text: its reason phrase.
            expires_seconds: granted time of a 2xx.
            now: the machine's time.
        """
        self._sip_code, self._text = sip_code, text
        if sip_code in _OK:
            self._failures = 0
            self._deadline = now + max(expires_seconds * _REFRESH_AT, _MIN_REFRESH_SECONDS)
            self._enter(RegistrationState.REGISTERED, str(sip_code))
            return
        self._deadline = now + self._retry_seconds(sip_code)
        self._failures += 1
        self._enter(RegistrationState.FAILED, str(sip_code))

    def worker_lost(self, now: float) -> None:
        """The process that held the registration died: another one registers at once, and later when that dies too."""
        self._deadline = now if self._failures == 0 else now + self._backoff()
        self._failures += 1
        self._enter(RegistrationState.UNREGISTERED, "worker lost")

    def status(self) -> TrunkState:
        """Tell where it stands."""
        return TrunkState(self._trunk, self.state, self._sip_code, self._text)

    def _retry_seconds(self, sip_code: int) -> float:
        refused = 400 <= sip_code < 500 or sip_code >= 600  # noqa: PLR2004 - classes of RFC 3261 section 7.2
        if refused and sip_code not in _PASSING_REFUSALS:
            return REFUSED_RETRY_SECONDS
        return self._backoff()

    def _backoff(self) -> float:
        doublings = min(self._failures, _MAX_DOUBLINGS)
        return float(min(FIRST_RETRY_SECONDS * 2**doublings, MAX_RETRY_SECONDS))
