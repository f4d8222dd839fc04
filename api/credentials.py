"""Credentials of a request: its Authorization header (RFC 7617 Basic, RFC 6750 Bearer) and its own parameters."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from sipcore.domain.errors import AuthenticationError
from sipcore.service.authentication import Authenticator, Caller

CHALLENGE = 'Basic realm="Click2Call", charset="UTF-8"'
"""What WWW-Authenticate says with 401 (RFC 7617 section 2.1)."""

_REFUSED = "user, pass, org or ident is wrong"


@dataclass(frozen=True, slots=True)
class Login:
    """What an Authorization header says; all fields None when it says nothing that can be used.

    Attributes:
        given: whether there was such a header.
        user, password: of Basic; `user` as it was sent, perhaps `user@org`.
        key: of Bearer.
    """

    given: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)

    @property
    def names_organisation(self) -> bool:
        """Whether the organisation is known from it: a key's own, or the one in `user@org`."""
        return self.given and (self.user is None or "@" in self.user)


NO_LOGIN = Login()
_UNUSABLE = Login(given=True)


def read_authorization(header: str | None) -> Login:
    """Read an Authorization header; a broken one or one of another scheme is given, but can never be right."""
    if header is None:
        return NO_LOGIN
    scheme, _, rest = header.partition(" ")
    scheme, rest = scheme.lower(), rest.strip()
    if scheme == "bearer" and rest:
        return Login(given=True, key=rest)
    if scheme != "basic":
        return _UNUSABLE
    try:
        user, colon, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return _UNUSABLE
    return Login(given=True, user=user, password=password) if colon else _UNUSABLE


async def identify(authenticator: Authenticator, login: Login, organisation: str | None = None) -> Caller:
    """Check a header's credentials, perhaps with an organisation that the request names beside them.

    Raises:
        AuthenticationError: they are wrong, or there are none.
        LimitReachedError: too many logins are being verified.
    """
    if login.key is not None:
        caller = await authenticator.bearer(login.key)
        if organisation not in {None, caller.organisation}:
            raise AuthenticationError(_REFUSED)
        return caller
    if login.user is None or login.password is None:
        raise AuthenticationError(_REFUSED)
    user = login.user
    if organisation is None:
        user, _, organisation = user.rpartition("@")
    else:
        user = user.removesuffix(f"@{organisation}")
    return await authenticator.password(organisation, user, login.password)
