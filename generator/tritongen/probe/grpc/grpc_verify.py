"""Whether a response is right, and what need not be looked at again."""

from tritongen.probe.grpc.grpc_response import InferResponse, MessageError, decode_response
from tritongen.probe.grpc.http2_stream import StreamSlot
from tritongen.probe.grpc.response_template import ResponseTemplate
from tritongen.probe.load_engine import FailureCode


def judge(slot: StreamSlot) -> tuple[str, str] | None:
    """The failure code and message of a complete response, None when it is right."""
    head, target, templates = slot.head, slot.target, slot.templates
    if slot.size < 5 or len(head) < 5:
        return FailureCode.CUT_SHORT, "the message is shorter than its prefix"
    if head[0]:
        return FailureCode.MALFORMED, "the message is compressed though it must not be"
    if int.from_bytes(head[1:5], "big") + 5 != slot.size:
        return FailureCode.CUT_SHORT, "the message is not as long as its prefix says"
    known = templates.heads.get(slot.size)
    if known is not None and head.startswith(known):
        return None
    try:
        decoded = decode_response(bytes(head[5:]) + bytes(slot.size - len(head)))
    except MessageError as fault:
        return FailureCode.MALFORMED, str(fault)
    wrong = target.plan.expectation.fault(decoded.model, decoded.outputs)
    if wrong:
        return FailureCode.WRONG_RESPONSE, wrong
    different = _differs(decoded, slot)
    if different:
        return FailureCode.WRONG_VALUES, different
    sizes = [*map(len, decoded.raw), *([0] * (len(decoded.outputs) - len(decoded.raw)))]
    target.seen = {o.name: size for o, size in zip(decoded.outputs, sizes, strict=True)}
    templates.learn(slot.size, bytes(head[: 5 + decoded.head]))
    if slot.quick and slot.size <= len(head):
        templates.newest = ResponseTemplate(
            slot.first_block, bytes(head[: 5 + decoded.head]), slot.size, slot.last_block
        )
    return None


def _differs(decoded: InferResponse, slot: StreamSlot) -> str:
    reference = slot.target.reference(slot.request)
    for output, raw in zip(decoded.outputs, decoded.raw, strict=False):
        if reference.get(output.name, raw) != raw:
            return f"output {output.name} differs from the reference"
    return ""
