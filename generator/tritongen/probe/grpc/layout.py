"""The bytes of a whole response that was found right, as a pattern for the next ones.

A small response comes as three frames: HEADERS, one DATA, HEADERS with the trailers. Between two
of them only the stream's number and the tensor's values differ; everything else is compared.
"""

from tritongen.probe.engine import FailureCode, Target
from tritongen.probe.grpc.frames import DATA, END_HEADERS, END_STREAM, HEAD, HEADERS, lead
from tritongen.probe.grpc.protobuf import ProtobufError
from tritongen.probe.grpc.response import Decoded, decode_response
from tritongen.probe.grpc.stream import Slot

# Of a larger response only so much is kept to be looked at; the rest is counted.
KEEP = 65_536


class Layout:
    """The pattern of one kind of response.

    Attributes:
        size: bytes of all three frames.
        lead: of the first frame, up to the stream.
        first: its headers, and the lead of the DATA frame.
        data_stream: position of the DATA frame's stream.
        body: the message up to the first tensor's values.
        tail: position of the last frame.
        tail_lead: of it, up to the stream.
        trailers: its headers.
        payload: bytes of the DATA frame, for flow control.
    """

    __slots__ = (
        "body",
        "data_stream",
        "first",
        "lead",
        "payload",
        "size",
        "tail",
        "tail_lead",
        "trailers",
    )

    def __init__(self, headers: bytes, body: bytes, payload: int, trailers: bytes) -> None:
        self.lead = lead(HEADERS, END_HEADERS, len(headers))
        self.first = headers + lead(DATA, 0, payload)
        self.data_stream = HEAD + len(headers) + 5
        self.body = body
        self.payload = payload
        self.tail = self.data_stream + 4 + payload
        self.tail_lead = lead(HEADERS, END_HEADERS | END_STREAM, len(trailers))
        self.trailers = trailers
        self.size = self.tail + HEAD + len(trailers)

    def matches(self, data: bytes, begin: int, key: bytes) -> bool:
        """Whether such a response of that stream lies at that position."""
        where = begin + self.data_stream
        tail = begin + self.tail
        return (
            data.startswith(self.lead, begin)
            and data.startswith(self.first, begin + HEAD)
            and data.startswith(key, where)
            and data.startswith(self.body, where + 4)
            and data.startswith(self.tail_lead, tail)
            and data.startswith(key, tail + 5)
            and data.startswith(self.trailers, tail + HEAD)
        )


class Knowledge:
    """What is known of one target's responses.

    Attributes:
        layout: of the last one that was looked at in full, None before and when it has another
            form.
        heads: beginnings of messages that were found right, by the length of the message.
    """

    __slots__ = ("_most", "heads", "layout")

    def __init__(self) -> None:
        self.layout: Layout | None = None
        self.heads: dict[int, bytes] = {}
        self._most = 64

    def set_aside(self) -> None:
        """Look at the next response in full."""
        self.layout = None
        self.heads.clear()

    def learn(self, size: int, head: bytes) -> None:
        """A message of that length with this beginning is right."""
        if len(self.heads) < self._most:
            self.heads[size] = head


def judge(slot: Slot, target: Target, knowledge: Knowledge) -> tuple[str, str] | None:
    """The failure code and message of a complete response, None when it is right."""
    head = slot.head
    if slot.size < 5 or len(head) < 5:
        return FailureCode.CUT_SHORT, "the message is shorter than its prefix"
    if head[0]:
        return FailureCode.MALFORMED, "the message is compressed though it must not be"
    if int.from_bytes(head[1:5], "big") + 5 != slot.size:
        return FailureCode.CUT_SHORT, "the message is not as long as its prefix says"
    known = knowledge.heads.get(slot.size)
    if known is not None and head.startswith(known):
        return None
    try:
        decoded = decode_response(bytes(head[5:]) + bytes(slot.size - len(head)))
    except ProtobufError as fault:
        return FailureCode.MALFORMED, str(fault)
    wrong = target.plan.expectation.fault(decoded.model, decoded.outputs)
    if wrong:
        return FailureCode.WRONG_RESPONSE, wrong
    different = _differs(decoded, target, slot)
    if different:
        return FailureCode.WRONG_VALUES, different
    sizes = [*map(len, decoded.raw), *([0] * (len(decoded.outputs) - len(decoded.raw)))]
    target.seen = {o.name: size for o, size in zip(decoded.outputs, sizes, strict=True)}
    knowledge.learn(slot.size, bytes(head[: 5 + decoded.head]))
    if slot.quick and slot.size <= len(head):
        knowledge.layout = Layout(
            slot.first_block, bytes(head[: 5 + decoded.head]), slot.size, slot.last_block
        )
    return None


def _differs(decoded: Decoded, target: Target, slot: Slot) -> str:
    reference = target.reference(slot.request)
    for output, raw in zip(decoded.outputs, decoded.raw, strict=False):
        if reference.get(output.name, raw) != raw:
            return f"output {output.name} differs from the reference"
    return ""
