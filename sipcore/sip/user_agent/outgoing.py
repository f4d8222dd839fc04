"""A leg that we place."""

from __future__ import annotations

from typing import Any

import pjsua2 as pj

from sipcore.domain.commands import PlaceLeg
from sipcore.domain.events import LegEarlyMediaStarted, LegPlaced, LegRang
from sipcore.sip.user_agent.accounts import sip_uri
from sipcore.sip.user_agent.leg import Leg, LegHost, message_of, sip_header
from sipcore.sip.user_agent.messages import contacts_of, is_same_trunk

_RINGING = range(180, 190)


class OutgoingLeg(Leg):
    """One outgoing call.

    Args:
        account: pjsua2's account.
        command: what it is.
        address: IPv4 address of the host that it is placed to.
        host: takes its reports.
    """

    def __init__(self, account: Any, command: PlaceLeg, address: str, host: LegHost) -> None:
        super().__init__(account, command.leg, address, host)
        self._plan = command.plan
        self._heard = False
        self._reason = ""
        self._early_media = False
        self._redirected = False

    def place(self) -> None:
        """Send the INVITE.

        Raises:
            pj.Error: no call slot, media port or transport was to be had.
        """
        plan = self._plan
        parameters = pj.CallOpParam(True)
        parameters.opt.audioCount = 1
        parameters.opt.videoCount = 0
        parameters.opt.customCallId = self.uid
        parameters.txOption.localUri = plan.from_uri
        for name, value in plan.headers:
            parameters.txOption.headers.append(sip_header(name, value))
        if plan.trunk is None and self._address != plan.at.host:
            parameters.txOption.targetUri = sip_uri(plan.at, plan.user, address=self._address)
        self.makeCall(sip_uri(plan.at, plan.user), parameters)

    def release(self, reason: str = "") -> None:
        """Send CANCEL or BYE, whichever the state asks for.

        An INVITE that nothing was heard of cannot be cancelled yet (RFC 3261 section 9.1). The library would send the
        CANCEL later by itself, and without the Reason header: with one we wait ourselves.
        """
        if reason and not (self._heard or self._up) and self.alive and not self._released:
            self._hung_up, self._reason = True, reason
            return
        super().release(reason)

    def onCallTsxState(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Notice the first answer to the INVITE, also a 100, which changes no state of the call."""
        transaction = prm.e.body.tsxState.tsx
        if transaction.method != "INVITE":
            return
        # Not an INVITE that is sent anew with credentials.
        self._heard = self._up or transaction.statusCode >= pj.PJSIP_SC_TRYING
        if self._heard and self._reason:
            self._host.release_later(self.uid, self._reason)

    def onCallMediaState(self, prm: Any) -> None:  # noqa: N802 - pjsua2's name
        """Report early media, too."""
        super().onCallMediaState(prm)
        if self.audio is not None and not self._early_media and self.getInfo().state == pj.PJSIP_INV_STATE_EARLY:
            self._early_media = True
            self._tell(LegEarlyMediaStarted(self.uid))

    def onCallRedirected(self, prm: Any) -> Any:  # noqa: N802 - pjsua2's name
        """Follow a redirect to the same trunk, once."""
        plan = self._plan
        # `prm.targetUri` is printed as for a From header, without port, parameters and headers (RFC 3261 section
        # 19.1.1), which are just what could lead elsewhere: so the response is read, and followed when it is no choice.
        targets = contacts_of(message_of(prm.e))
        if plan.trunk is None or self._redirected or len(targets) != 1:
            return pj.PJSIP_REDIRECT_REJECT
        if is_same_trunk(targets[0], plan.at, self._address):
            self._redirected = True
            return pj.PJSIP_REDIRECT_ACCEPT_REPLACE
        return pj.PJSIP_REDIRECT_REJECT

    def _advanced(self, info: Any) -> None:
        if info.state == pj.PJSIP_INV_STATE_CALLING:
            self._tell(LegPlaced(self.uid))
        elif info.state == pj.PJSIP_INV_STATE_EARLY and info.lastStatusCode in _RINGING:
            self._tell(LegRang(self.uid, info.lastStatusCode))
