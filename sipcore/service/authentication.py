"""Who is asking: users with plain or argon2 passwords, and Bearer keys.

Whatever is wrong with credentials, the answer is the same `AuthenticationError` after the same work, so that
nobody learns from it which organisations and users exist.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from sipcore.domain.directory import USUAL_SCOPES, Directory, Scope, User
from sipcore.domain.errors import AuthenticationError, LimitReachedError, MissingScopeError
from sipcore.domain.issued_key import IssuedKey, digest_of
from sipcore.service.calls import LiveDirectory
from sipcore.service.key_ring import KeyRing

CACHE_SECONDS = 60.0
"""How long a verified argon2 password is taken on trust before it is verified again."""
CACHE_ENTRIES = 4096
"""How many verified passwords are remembered at most; the oldest make room."""
VERIFICATIONS_AT_ONCE = 2
"""How many argon2 verifications run at the same time (each takes 64 MiB and a core for some 50 ms)."""
VERIFICATIONS_WAITING = 64
"""How many more may wait; beyond, `LimitReachedError`: a flood of wrong passwords is turned away."""

_REFUSED = "user, pass, org or ident is wrong"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody whose credentials were right.

    Attributes:
        organisation: name of the organisation.
        user: name of the user, or of the API key; empty when the organisation's ident alone told who asks.
        scopes: what the credentials are good for.
    """

    organisation: str
    user: str
    scopes: frozenset[Scope] = USUAL_SCOPES

    def need(self, scope: Scope) -> None:
        """Check that the credentials are good for something.

        Raises:
            MissingScopeError: they are not.
        """
        if scope not in self.scopes:
            raise MissingScopeError(scope)


@dataclass(frozen=True, slots=True)
class _Verified:
    """A password that argon2 has verified: against which hash, and until when (monotonic seconds) that holds."""

    password_hash: str
    until: float


class Authenticator:
    """Checks credentials against the directory in force.

    Plain passwords and remembered ones are answered at once; argon2 runs in threads, a few at a time.

    Args:
        directory: whose organisations count.
        keys: Bearer keys that were made beside those of the settings, or None: there are none.
        hasher: verifies argon2 hashes, and makes the one that unknown users are checked against.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        directory: LiveDirectory,
        keys: KeyRing | None = None,
        *,
        hasher: PasswordHasher | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._issued = keys
        self._hasher = hasher or PasswordHasher()
        self._clock = clock
        self._cache_key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        self._dummy_hash = self._hasher.hash(secrets.token_hex(16))
        self._running = asyncio.Semaphore(VERIFICATIONS_AT_ONCE)
        self._pending = 0
        self._keys_of: Directory | None = None
        self._keys: dict[str, Caller] = {}

    async def password(self, organisation: str, user: str, password: str) -> Caller:
        """Check a user's password.

        Raises:
            AuthenticationError: the organisation, the user or the password is wrong.
            LimitReachedError: too many verifications are waiting already.
        """
        entry = self._user(organisation, user)
        if entry is None:
            await self._verify(self._dummy_hash, password)
            raise AuthenticationError(_REFUSED)
        caller = Caller(organisation, user, entry.scopes)
        if entry.password_hash is not None:
            await self._check_hash(caller, entry.password_hash, password)
        elif entry.password is None or not hmac.compare_digest(entry.password.encode(), password.encode()):
            # A wrong plain password costs what an unknown user costs: otherwise the time tells them apart.
            await self._verify(self._dummy_hash, password)
            raise AuthenticationError(_REFUSED)
        return caller

    def ident(self, organisation: str, ident: str) -> Caller:
        """Check an organisation's secret identification, in a time that does not tell how much of it is right.

        Returns:
            The organisation, and no user.

        Raises:
            AuthenticationError: the organisation or the ident is wrong, or the organisation has none.
        """
        entry = self._directory.current.organisations.get(organisation)
        expected = self._dummy_hash if entry is None or entry.ident is None else entry.ident
        # Digests are of one length, so that the ident's own is not told either.
        given, right = (hmac.digest(self._cache_key, text.encode(), "sha256") for text in (ident, expected))
        if not hmac.compare_digest(given, right) or entry is None or entry.ident is None:
            raise AuthenticationError(_REFUSED)
        return Caller(organisation, "")

    async def bearer(self, key: str) -> Caller:
        """Check an API key; it belongs to one organisation, so nothing else needs to be known.

        Raises:
            AuthenticationError: no organisation has this key.
            StoreUnavailableError: it is none of the settings, and the database does not answer.
        """
        directory = self._directory.current
        if self._keys_of is not directory:
            self._keys = {
                entry.digest.lower(): Caller(organisation.name, entry.name, entry.scopes)
                for organisation in directory.organisations.values()
                for entry in organisation.api_keys.values()
            }
            self._keys_of = directory
        # A dictionary's timing can tell of the digest only, from which no key can be built.
        digest = digest_of(key)
        caller = self._keys.get(digest)
        if caller is None and self._issued is not None:
            caller = self._caller_of(await self._issued.find(digest))
        if caller is None:
            raise AuthenticationError(_REFUSED)
        return caller

    def _caller_of(self, key: IssuedKey | None) -> Caller | None:
        if key is None or key.organisation not in self._directory.current.organisations:
            return None
        return Caller(key.organisation, key.name, key.scopes)

    def _user(self, organisation: str, user: str) -> User | None:
        entry = self._directory.current.organisations.get(organisation)
        return None if entry is None else entry.users.get(user)

    async def _check_hash(self, caller: Caller, password_hash: str, password: str) -> None:
        message = f"{len(caller.organisation)}:{caller.organisation}{len(caller.user)}:{caller.user}{password}"
        cached = hmac.digest(self._cache_key, message.encode(), "sha256")
        if self._is_remembered(cached, password_hash):
            return
        if not await self._verify(password_hash, password, cached):
            raise AuthenticationError(_REFUSED)
        self._verified[cached] = _Verified(password_hash, self._clock() + CACHE_SECONDS)
        self._verified.move_to_end(cached)
        while len(self._verified) > CACHE_ENTRIES:
            self._verified.popitem(last=False)

    def _is_remembered(self, cached: bytes, password_hash: str) -> bool:
        entry = self._verified.get(cached)
        return entry is not None and entry.password_hash == password_hash and self._clock() < entry.until

    async def _verify(self, password_hash: str, password: str, cached: bytes | None = None) -> bool:
        if self._pending >= VERIFICATIONS_AT_ONCE + VERIFICATIONS_WAITING:
            raise LimitReachedError("logins", 1)
        self._pending += 1
        try:
            async with self._running:
                # Several requests with the same password that arrive together need one verification only.
                if cached is not None and self._is_remembered(cached, password_hash):
                    return True
                return await asyncio.to_thread(self._matches, password_hash, password)
        finally:
            self._pending -= 1

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except VerifyMismatchError:
            return False
