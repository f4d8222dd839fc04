"""A leg that somebody else places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import pjsua2 as pj

from sipcore.sip.user_agent.leg import Leg, LegHost
from sipcore.sip.user_agent.library import text_of
from sipcore.sip.user_agent.messages import Parties, call_id_of, parties_of

_TEMPORARILY_UNAVAILABLE = 480


@dataclass(frozen=True, slots=True)
class Offer:
    """An INVITE that came in.

    Attributes:
        text: the whole message.
        call_id: its Call-ID.
        parties: whom it is for and from.
        address, port: where it came from.
    """

    text: str
    call_id: str
    parties: Parties
    address: str
    port: int

    @classmethod
    def of(cls, prm: Any) -> Self:
        """Read what the callback of the library is given, which lives no longer than that."""
        text = text_of(prm.rdata.wholeMsg)
        address, _, port = prm.rdata.srcAddress.rpartition(":")
        return cls(text, call_id_of(text), parties_of(text), address, int(port))


class IncomingLeg(Leg):
    """One call that came in.

    Args:
        account: pjsua2's account.
        offer: its INVITE.
        host: takes its reports.
        call_id: pjsua2's number of the call.
    """

    def __init__(self, account: Any, offer: Offer, host: LegHost, call_id: int) -> None:
        super().__init__(account, offer.call_id, offer.address, host, call_id)
        self._answered = False

    def answer_with(self, sip_code: int) -> None:
        """Send a response, unless a final one was sent already: 1xx to ring, 200 to answer, 300 to 699 to refuse."""
        if not self.alive or self._hung_up or self._answered:
            return
        parameters = pj.CallOpParam(True)
        parameters.opt.audioCount = 1
        parameters.opt.videoCount = 0
        parameters.statusCode = sip_code
        if sip_code >= pj.PJSIP_SC_MULTIPLE_CHOICES:
            self._hung_up = True
            self._end(parameters)
        else:
            self.answer(parameters)
            self._answered = sip_code >= pj.PJSIP_SC_OK

    def _end(self, parameters: Any) -> None:
        if not self._answered and not parameters.statusCode:
            # The library's own choice, 603, would keep a caller from trying anywhere else.
            parameters.statusCode = _TEMPORARILY_UNAVAILABLE
        super()._end(parameters)
