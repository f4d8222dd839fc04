"""The parts of PJSIP's C interface that pjsua2 does not wrap, and how its endpoint is set up."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Protocol

import pjsua2 as pj

_C = ctypes.CDLL(pj._pjsua2.__file__)  # noqa: SLF001 - the extension module is where the C symbols are
_C.pjsua_get_pjsip_endpt.restype = ctypes.c_void_p
_C.pjsip_endpt_register_module.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
for _info_of in (_C.pjsip_rx_data_get_info, _C.pjsip_tx_data_get_info):
    _info_of.argtypes = [ctypes.c_void_p]
    _info_of.restype = ctypes.c_void_p
_C.pjsip_endpt_respond_stateless.argtypes = [
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p
]  # fmt: skip
_PR_SET_TIMERSLACK = 29
_DEFAULT_SLACK_NS = 50_000
_MEDIA_THREAD_SLACK_NS = 40_000_000
"""PJMEDIA's own thread polls every 10 ms also when there is nothing to poll. A thread inherits the timer slack of the
one that makes it: with this slack the idle poll is rarer, and packets still wake it at once."""
_CODECS = {"PCMU/8000/1": 255, "PCMA/8000/1": 254, "G722/16000/1": 253}
"""Codecs offered, with their priority. All others are off: Speex above all, which the library would offer first."""
_BRIDGE_HZ = 8000
QUIET = 0


class WatchMessage(Protocol):
    """Is shown a message: what the library calls it, and its text."""

    def __call__(self, info: bytes, text: bytes, *, sent: bool) -> None:
        """Look at it."""
        ...


def text_of(raw: str) -> str:
    """Make text of what pjsua2 hands over: octets that are not UTF-8 come as lone surrogates, which nothing encodes."""
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def max_legs() -> int:
    """Ask the library how many calls it was built for (PJSUA_MAX_CALLS)."""
    return int(_C.pjsua_call_get_max_count())


def open_call_ids() -> set[int]:
    """Tell which calls still have a dialog or a transaction.

    pjsua2 reports a call that we hang up as disconnected at once, while its CANCEL or BYE may take another 32 s; the
    call occupies its slot until then.
    """
    ids = (ctypes.c_int * max_legs())()
    count = ctypes.c_uint(max_legs())
    _C.pjsua_enum_calls(ids, ctypes.byref(count))
    return set(ids[: count.value])


def _set_timer_slack(nanoseconds: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(nanoseconds), 0, 0, 0)


def create_endpoint(address: str, port: int) -> Any:
    """Make the process's one endpoint, bound to an address, with no sound device and a single thread of control.

    Raises:
        pj.Error: the port is in use or the address is not ours.
    """
    _C.pj_log_set_level(QUIET)
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.maxCalls = 1000  # clamped to what the library was built for
    config.uaConfig.userAgent = "Click2Call"
    config.logConfig.level = config.logConfig.consoleLevel = QUIET
    config.medConfig.clockRate = _BRIDGE_HZ
    config.medConfig.channelCount = 1
    config.medConfig.hasIoqueue = True
    config.medConfig.threadCnt = 1
    config.medConfig.sndAutoCloseTime = -1
    config.medConfig.noVad = True
    config.medConfig.ecTailLen = 0
    _set_timer_slack(_MEDIA_THREAD_SLACK_NS)
    try:
        endpoint.libInit(config)
    finally:
        _set_timer_slack(_DEFAULT_SLACK_NS)
    create_transport(endpoint, pj.PJSIP_TRANSPORT_UDP, address, port)
    endpoint.libStart()
    endpoint.audDevManager().setNoDev()
    for codec in endpoint.codecEnum2():
        endpoint.codecSetPriority(codec.codecId, _CODECS.get(codec.codecId, 0))
    return endpoint


def create_transport(endpoint: Any, kind: int, address: str, port: int) -> int:
    """Open a SIP transport; return its id."""
    config = pj.TransportConfig()
    config.port = port
    config.boundAddress = address
    return int(endpoint.transportCreate(kind, config))


class _Text(ctypes.Structure):
    """pj_str_t."""

    _fields_ = (("ptr", ctypes.c_void_p), ("slen", ctypes.c_ssize_t))


class _Received(ctypes.Structure):
    """pjsip_rx_data, as far as needed: a message that was received."""

    _fields_ = (
        ("transport_and_packet", ctypes.c_byte * 4424),
        ("text", ctypes.c_void_p),
        ("length", ctypes.c_int),
        ("parsed", ctypes.c_void_p),
        ("info", ctypes.c_void_p),
    )


class _Sent(ctypes.Structure):
    """pjsip_tx_data, as far as needed: a message that is being sent."""

    _fields_ = (
        ("links_and_pool", ctypes.c_void_p * 3),
        ("name", ctypes.c_char * 32),
        ("info", ctypes.c_void_p),
        ("state", ctypes.c_byte * 344),
        ("text", ctypes.c_void_p),
        ("end", ctypes.c_void_p),
    )


_OnMessage = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)


class _Module(ctypes.Structure):
    """pjsip_module: hooks into the way of each message."""

    _fields_ = (
        ("prev", ctypes.c_void_p),
        ("next", ctypes.c_void_p),
        ("name", _Text),
        ("id", ctypes.c_int),
        ("priority", ctypes.c_int),
        ("load", ctypes.c_void_p),
        ("start", ctypes.c_void_p),
        ("stop", ctypes.c_void_p),
        ("unload", ctypes.c_void_p),
        ("on_rx_request", _OnMessage),
        ("on_rx_response", _OnMessage),
        ("on_tx_request", _OnMessage),
        ("on_tx_response", _OnMessage),
        ("on_tsx_state", ctypes.c_void_p),
    )


_AT_THE_WIRE = 7
"""Before the transport layer's own module (8), which writes a message that is to be sent: last of all for those, and
first of all for what came."""
_BEFORE_CALLS = 40
"""After the layers of transactions (16) and dialogs (32), which keep to themselves what was sent again and what belongs
to a dialog; before the calls' own usage (48) and pjsua (64)."""
_modules: list[tuple[_Module, Any]] = []
"""The library keeps pointers to them."""


def answer_invites(refusal: Callable[[str], int | None]) -> None:
    """Answer INVITEs outside of dialogs before pjsua sees them, without a transaction.

    Args:
        refusal: asked at each, with its text; returns the status code to answer with, or None to let it in.

    Raises:
        RuntimeError: the library does not take the module.
    """
    endpoint = _C.pjsua_get_pjsip_endpt()

    def take(request: int) -> int:
        info = _C.pjsip_rx_data_get_info(request)
        if not ctypes.string_at(info).startswith(b"Request msg INVITE/"):
            return 0
        # One that cannot be found is empty, which is no message to let in.
        code = refusal(_octets_received(request, info).decode("utf-8", "replace"))
        if code is not None:
            _C.pjsip_endpt_respond_stateless(endpoint, request, code, None, None, None)
        return int(code is not None)

    _register(b"invite-gate", _BEFORE_CALLS, on_rx_request=_OnMessage(take))


def watch_messages(take: WatchMessage) -> None:
    """Have every message shown as it is on the wire, in both directions.

    Args:
        take: is shown what the library calls the message (`pjsip_rx_data_get_info`), and its text, which is empty
            when it cannot be found; `sent` tells the direction. It must not raise.

    Raises:
        RuntimeError: the library does not take the module.
    """

    def received(message: int) -> int:
        info = _C.pjsip_rx_data_get_info(message)
        take(ctypes.string_at(info), _octets_received(message, info), sent=False)
        return 0

    def sent(message: int) -> int:
        info = _C.pjsip_tx_data_get_info(message)
        found = _Sent.from_address(message)
        octets = ctypes.string_at(found.text, found.end - found.text) if found.info == info else b""
        take(ctypes.string_at(info), octets, sent=True)
        return 0

    on_received, on_sent = _OnMessage(received), _OnMessage(sent)
    _register(
        b"ladder",
        _AT_THE_WIRE,
        on_rx_request=on_received,
        on_rx_response=on_received,
        on_tx_request=on_sent,
        on_tx_response=on_sent,
    )


def _register(label: bytes, priority: int, **hooks: Any) -> None:
    name = ctypes.create_string_buffer(label)
    text = _Text(ctypes.addressof(name), len(name.value))
    module = _Module(name=text, id=-1, priority=priority, **hooks)
    _modules.append((module, name))
    status = _C.pjsip_endpt_register_module(_C.pjsua_get_pjsip_endpt(), ctypes.byref(module))
    if status != 0:
        raise RuntimeError(f"PJSIP takes no further module: status {status}")


def _octets_received(message: int, info: int) -> bytes:
    """Return a message as it came, or nothing when it cannot be found."""
    received = _Received.from_address(message)
    # The library keeps what it has told of the message: found where it should be, the rest is there too.
    return ctypes.string_at(received.text, received.length) if received.info == info else b""
