"""tritonclient over HTTP: a thread with a client and a connection of its own for each slot.

Its clients belong to the thread that made them. Its `async_infer` is no alternative: it sleeps for
10 ms with every request.
"""

import queue
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tritongen.model.client_protocol import ClientProtocol
from tritongen.probe.engines.client_bounds import BoundedClient, Budget
from tritongen.probe.engines.client_engine import (
    CallSlot,
    ClientEngine,
    Failure,
    message_of,
)
from tritongen.probe.engines.http_messages import MalformedResponseError
from tritongen.probe.engines.infer_calls import InferCall, client_module
from tritongen.probe.load_engine import EngineOptions, FailureCode, RequestPlan, clock_ns
from tritongen.triton.address import Endpoint, Tls

# What geventhttpclient says where a response ends too soon.
_CUT = ("closed", "Incomplete")
_COMPRESSIONS = ("request_compression_algorithm", "response_compression_algorithm")
_Inbox = queue.SimpleQueue[tuple[int, InferCall] | None]


@dataclass(slots=True, eq=False)
class _ThreadSlot(CallSlot):
    """See `CallSlot`; `inbox` is what its thread reads, None while it has none."""

    inbox: _Inbox | None = None


class HttpClientEngine(ClientEngine[_ThreadSlot]):
    """See `SlotEngine` for attributes and methods."""

    name = "tritonclient HTTP"
    _slot_kind = _ThreadSlot

    def __init__(
        self, endpoint: Endpoint, plans: Sequence[RequestPlan], options: EngineOptions
    ) -> None:
        """Prepare; nothing is opened yet."""
        super().__init__(endpoint, plans, options)
        self._budget = Budget()

    def _prepare(self, slot: _ThreadSlot) -> None:
        if slot.inbox is None:
            slot.inbox = self._hire(slot)

    def _hire(self, slot: _ThreadSlot) -> _Inbox:
        """A thread for the slot."""
        inbox: _Inbox = queue.SimpleQueue()
        self._start_thread(self._work, slot, inbox)
        return inbox

    def _work(self, slot: _ThreadSlot, inbox: _Inbox) -> None:
        """Runs in a thread: sends what comes, one after the other."""
        from gevent import get_hub  # tritonclient's own

        client, kind = None, self._options.compression or None
        compressed = dict.fromkeys(_COMPRESSIONS, kind)
        for number, call in iter(inbox.get, None):
            result = fault = None
            slot.sent = clock_ns()
            try:
                client = client or self._make_client()
                # tritonclient adds to the headers that it is given.
                headers = dict(self._endpoint.headers)
                result = client.infer(headers=headers, **compressed, **call)
            except Exception as raised:  # noqa: BLE001  (what tritonclient raises is a failed request)
                fault = raised
            self._answered(number, result, fault)
        if client is not None:
            client.close()
        # Its event loop is the thread's own, and would keep its descriptors open.
        get_hub().destroy(destroy_loop=True)

    def _make_client(self) -> BoundedClient:
        tls, limit_s = self._endpoint.tls, self._options.timeout_s
        client = client_module(ClientProtocol.HTTP).InferenceServerClient(
            self._endpoint.place,
            connection_timeout=self._options.connect_timeout_s,
            network_timeout=limit_s,
            ssl=tls is not None,
            ssl_context_factory=None if tls is None else partial(_context, tls),
            insecure=tls is not None and not tls.verify,
        )
        return BoundedClient(client, self._budget, limit_s)

    def _issue(self, slot: _ThreadSlot) -> None:
        if slot.inbox is None:
            slot.inbox = self._hire(slot)
        slot.inbox.put((slot.number, slot.request))

    def _abandon(self, slot: _ThreadSlot) -> None:
        """The thread ends once its call does, which has the same limit of time: `BoundedClient`."""
        self._release(slot)

    def _release(self, slot: _ThreadSlot) -> None:
        if slot.inbox is not None:
            slot.inbox.put(None)
            slot.inbox = None

    def _shut(self) -> None:
        """Each slot has its own client."""

    def _describe(self, slot: _ThreadSlot, fault: Exception) -> Failure:
        from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError  # likewise

        text, said = message_of(fault), getattr(fault, "status", None)
        if callable(said):
            return (f"HTTP {status}" if (status := said()) else FailureCode.MALFORMED), text
        if isinstance(fault, TimeoutError):
            return FailureCode.TIMEOUT, f"no answer within {self._options.timeout_s:g} s"
        if isinstance(fault, MalformedResponseError):
            return FailureCode.MALFORMED, str(fault)
        if isinstance(fault, HTTPConnectionClosed):
            return FailureCode.CONNECTION, "the connection was closed instead of an answer"
        if isinstance(fault, OSError):
            slot.broken = True
            return FailureCode.CONNECTION, text
        cut = isinstance(fault, HTTPParseError) and any(word in text for word in _CUT)
        return (FailureCode.CUT_SHORT if cut else FailureCode.MALFORMED), text


def _context(tls: Tls, **_: object) -> Any:  # noqa: ANN401  (gevent's kind of context)
    """As `Tls.context`, for gevent's sockets."""
    from gevent.ssl import create_default_context

    context = create_default_context(cafile=tls.authority)
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
