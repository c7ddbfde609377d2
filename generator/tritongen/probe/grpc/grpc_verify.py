"""Whether a response is right, and what need not be looked at again."""

from tritongen.probe.grpc.grpc_response import InferResponse, MessageError, decode_response
from tritongen.probe.grpc.http2_stream import Slot
from tritongen.probe.grpc.response_template import Knowledge, Layout
from tritongen.probe.load_engine import FailureCode, Target

# Of a larger response only so much is kept to be looked at; the rest is counted.
KEEP = 65_536


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
    except MessageError as fault:
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


def _differs(decoded: InferResponse, target: Target, slot: Slot) -> str:
    reference = target.reference(slot.request)
    for output, raw in zip(decoded.outputs, decoded.raw, strict=False):
        if reference.get(output.name, raw) != raw:
            return f"output {output.name} differs from the reference"
    return ""
