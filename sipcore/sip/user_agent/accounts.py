"""The accounts of a worker: one per trunk with its credentials, and one without any for plain contacts.

Credentials live in the trunk's account only, so no other host can ask for them; the library carries eight accounts,
so the one that was used longest ago makes room.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pjsua2 as pj

from sipcore.domain.directory import SipHost, Transport, Trunk
from sipcore.sip.user_agent.library import text_of
from sipcore.sip.wire import RegistrationAnswered, UseTrunk, WorkerSettings

MAX_ACCOUNTS = 8
"""PJSUA_MAX_ACC of the published wheel."""
_SESSION_EXPIRES_SECONDS = 1800
"""RFC 4028 section 4.2 recommends it."""
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}")


def sip_uri(at: SipHost, user: str = "", *, address: str | None = None) -> str:
    """Write a SIP URI of checked parts (RFC 3261 section 19.1); `#` is escaped, as a user part demands.

    Args:
        at: host, port and transport.
        user: user part, or empty.
        address: written in place of the host when given.

    Raises:
        ValueError: a part holds a character that could end it.
    """
    host = address or at.host
    if not _HOST.fullmatch(host) or not re.fullmatch(r"[A-Za-z0-9*#+._-]*", user):
        raise ValueError(f"not fit for a SIP URI: {user!r} at {host!r}")
    userinfo = f"{user.replace('#', '%23')}@" if user else ""
    transport = "" if at.transport == "udp" else f";transport={at.transport}"
    return f"sip:{userinfo}{host}:{at.port}{transport}"


class _Account(pj.Account):
    """One account; what it learns of its registration goes to `report`.

    Args:
        on_incoming: told of calls that come in.
        hosts: addresses of the trunk whose account it is, or None.
    """

    def __init__(self, on_incoming: Callable[[_Account, Any], None], hosts: frozenset[str | None] | None) -> None:
        super().__init__()
        self._on_incoming = on_incoming
        self._hosts = hosts
        self.report: Callable[[int, str, int], None] | None = None

    def onRegState(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Pass the answer to a REGISTER on."""
        if self.report is not None:
            self.report(prm.code, text_of(prm.reason), prm.expiration)

    def onIncomingCall(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Pass the call on."""
        self._on_incoming(self, prm)

    def serves(self, address: str) -> bool:
        """Tell whether a call from there may use it.

        The caller chooses the account by its To header, and might then ask for the trunk's credentials (RFC 3261
        section 22.1): these are for the trunk's own hosts.
        """
        return self._hosts is None or address in self._hosts


class Accounts:
    """Makes, replaces and forgets accounts.

    Args:
        settings: of the worker, for its media ports.
        send: takes what goes to the parent.
        on_incoming: told the account and pjsua2's description of each call that comes in, inside its callback.
        account_in_use: tells whether a leg still uses an account of this id.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        send: Callable[[RegistrationAnswered], None],
        on_incoming: Callable[[Any, Any], None],
        account_in_use: Callable[[int], bool],
    ) -> None:
        self._settings = settings
        self._send = send
        self._on_incoming = on_incoming
        self._in_use = account_in_use
        self._by_trunk: dict[str, _Account] = {}
        self._used: dict[str, UseTrunk] = {}
        self._replaced: list[_Account] = []
        self._unregistering: set[str] = set()
        self._plain = self._create(self._config("click2call", settings.address))

    @property
    def unregistering(self) -> bool:
        """True while a binding is being taken back."""
        return bool(self._unregistering)

    def of(self, trunk: str | None) -> Any:
        """Find the account for a leg through a trunk that `use` was told of, or for a plain contact."""
        if trunk is None:
            return self._plain
        account = self._by_trunk.pop(trunk)
        self._by_trunk[trunk] = account  # most recently used last
        return account

    def use(self, message: UseTrunk) -> None:
        """Make or replace the account of a trunk unless it is as wanted; legs in progress keep the old one."""
        trunk, used = message.trunk, self._used.get(message.trunk.name)
        if used == message or (used is not None and message == dataclasses.replace(used, registrar_address=None)):
            # An account with a binding serves a leg as well as one without.
            return
        self.drop(trunk.name)
        self._make_room()
        config = self._config(trunk.username or "click2call", trunk.proxy.host)
        if trunk.outbound_proxy is not None:
            config.sipConfig.proxies.append(f"<{sip_uri(trunk.outbound_proxy, address=message.proxy_address)};lr>")
        elif message.proxy_address != trunk.proxy.host:
            # The parent resolved the name, so that DNS cannot stall this process; `hide` keeps the Route header,
            # which then only steers this process, off the wire.
            config.sipConfig.proxies.append(f"<{sip_uri(trunk.proxy, address=message.proxy_address)};lr;hide>")
        if trunk.username:
            credentials = pj.AuthCredInfo("digest", trunk.realm, trunk.username, 0, trunk.password)
            config.sipConfig.authCreds.append(credentials)
        if message.registrar_address is not None and trunk.registrar is not None:
            self._configure_registrar(config, trunk, message.registrar_address)
        account = self._create(config, frozenset({message.proxy_address, message.registrar_address}))
        if message.registrar_address is not None:
            account.report = self._reporter(trunk.name)
        self._by_trunk[trunk.name] = account
        self._used[trunk.name] = message

    def drop(self, trunk: str) -> None:
        """Forget a trunk. Its binding is taken back before a new account could make the same one again."""
        self._used.pop(trunk, None)
        account = self._by_trunk.pop(trunk, None)
        if account is None:
            return
        if account.report is not None or not self._in_use(account.getId()):
            account.report = None
            account.shutdown()
        else:
            self._replaced.append(account)

    def register(self, trunk: str) -> None:
        """Send a REGISTER; its answer comes as `RegistrationAnswered`.

        Raises:
            pj.Error: it could not be sent.
        """
        self._by_trunk[trunk].setRegistration(True)

    def transport_of(self, trunk: str) -> Transport:
        """Tell how SIP travels to a trunk's registrar."""
        used = self._used[trunk].trunk
        return used.registrar.transport if used.registrar is not None else used.proxy.transport

    def unregister_all(self) -> None:
        """Take every binding back (RFC 3261 section 10.2.2)."""
        for name, account in self._by_trunk.items():
            if account.report is not None and account.getInfo().regIsActive:
                self._unregistering.add(name)
                account.report = self._farewell(name)
                account.setRegistration(False)

    def forget_replaced(self) -> None:
        """Delete replaced accounts that no leg uses any more."""
        for account in [account for account in self._replaced if not self._in_use(account.getId())]:
            self._replaced.remove(account)
            account.report = None
            account.shutdown()

    def _make_room(self) -> None:
        self.forget_replaced()
        idle = [
            name
            for name, account in self._by_trunk.items()
            if account.report is None and not self._in_use(account.getId())
        ]
        excess = 2 + len(self._by_trunk) + len(self._replaced) - MAX_ACCOUNTS
        for name in idle[: max(excess, 0)]:
            self.drop(name)

    def _farewell(self, trunk: str) -> Callable[[int, str, int], None]:
        def report(_code: int, _reason: str, _expires_seconds: int) -> None:
            self._unregistering.discard(trunk)

        return report

    def _reporter(self, trunk: str) -> Callable[[int, str, int], None]:
        def report(code: int, reason: str, expires_seconds: int) -> None:
            # A transaction that nobody answered has no status of its own.
            self._send(RegistrationAnswered(trunk, code or 408, reason, expires_seconds))

        return report

    def _configure_registrar(self, config: Any, trunk: Trunk, address: str) -> None:
        registrar = trunk.registrar
        if registrar is None:
            return
        config.idUri = f"<sip:{trunk.username}@{registrar.host}>"
        config.regConfig.registrarUri = sip_uri(registrar)
        config.regConfig.registerOnAdd = False
        config.regConfig.timeoutSec = trunk.register_seconds
        # The parent decides when to register, refresh and retry: it also retries after answers that pjsua2 gives up on.
        config.regConfig.retryIntervalSec = 0
        config.regConfig.firstRetryIntervalSec = 0
        config.regConfig.delayBeforeRefreshSec = 0
        if address != registrar.host:
            config.regConfig.proxyUse = 0
            config.regConfig.registrarUri = sip_uri(registrar, address=address)

    def _config(self, user: str, host: str) -> Any:
        settings = self._settings
        config = pj.AccountConfig()
        config.idUri = f"<sip:{user}@{host}>"
        config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
        config.callConfig.timerSessExpiresSec = _SESSION_EXPIRES_SECONDS
        config.natConfig.iceEnabled = False
        config.natConfig.sipStunUse = pj.PJSUA_STUN_USE_DISABLED
        config.natConfig.mediaStunUse = pj.PJSUA_STUN_USE_DISABLED
        # Our Contact is the address that the settings name; rewriting it after a registration would re-register.
        config.natConfig.contactRewriteUse = 0
        config.mediaConfig.transportConfig.boundAddress = settings.address
        config.mediaConfig.transportConfig.port = settings.rtp_port
        config.mediaConfig.transportConfig.portRange = settings.rtp_ports
        return config

    def _create(self, config: Any, hosts: frozenset[str | None] | None = None) -> _Account:
        account = _Account(self._on_incoming, hosts)
        account.create(config)
        return account
