"""Responses as tritonclient's `InferResult` reads them, and whether they are right."""

from dataclasses import dataclass, field
from typing import Any

from tritongen.model.tensors import DType
from tritongen.probe.load_engine import FailureCode, LoadTarget
from tritongen.triton.messages import TensorMeta
from tritongen.triton.tensor_bytes import encode

# Chosen: larger values are read only to be compared, since what reads them holds up the load.
MAX_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class InferResponse:
    """What a response says.

    Attributes:
        model: the model's name.
        outputs: in order.
        result: tritonclient's.
    """

    model: str
    outputs: tuple[TensorMeta, ...]
    result: Any = field(compare=False, repr=False)

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """Bytes of each output, None where they stand in JSON or in shared memory.

        Raises:
            ValueError, TypeError, AttributeError: a size is none.
        """
        said = self.result.get_response()
        if isinstance(said, dict):
            return tuple(_binary_size(output) for output in said["outputs"])
        return tuple(map(len, said.raw_output_contents)) or (None,) * len(self.outputs)


def _binary_size(output: dict[str, Any]) -> int | None:
    size = output.get("parameters", {}).get("binary_data_size")
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError("a size is negative")
    return size


def read_response(result: Any) -> InferResponse:  # noqa: ANN401  (tritonclient has no types)
    """What an `InferResult` of either protocol says.

    Raises:
        Exception: of any kind, where it holds no inference response.
    """
    said = result.get_response()
    if isinstance(said, dict):
        outputs = tuple(
            TensorMeta(str(o["name"]), str(o["datatype"]), tuple(int(dim) for dim in o["shape"]))
            for o in said["outputs"]
        )
        return InferResponse(str(said["model_name"]), outputs, result)
    outputs = tuple(TensorMeta(o.name, o.datatype, tuple(o.shape)) for o in said.outputs)
    if len(said.raw_output_contents) not in {0, len(outputs)}:
        raise ValueError(f"{len(said.raw_output_contents)} tensors for {len(outputs)} outputs")
    return InferResponse(said.model_name, outputs, result)


def judge(
    answer: InferResponse, target: LoadTarget, request: object, *, values: bool = True
) -> tuple[str, str] | None:
    """The failure code and message of a response that is looked at in full, None when it is right.

    Args:
        answer: the response.
        target: says what was expected, and learns the sizes of the outputs.
        request: that was answered.
        values: whether the response was kept as a whole.
    """
    plan = target.plan
    wrong = plan.expectation.fault(answer.model, answer.outputs)
    if wrong:
        return FailureCode.WRONG_RESPONSE, wrong
    reference = target.reference(request)
    sizes = answer.sizes
    for output, size in zip(answer.outputs, sizes, strict=True):
        wanted = reference.get(output.name)
        if not values or plan.placed or size is None or (wanted is None and size > MAX_READ_BYTES):
            continue
        try:
            found = answer.result.as_numpy(output.name)
            same = wanted is None or encode(found, DType(output.datatype)) == wanted
        except Exception as fault:  # noqa: BLE001  (tritonclient fails in any way on what it cannot read)
            what = f"the values of output {output.name} cannot be read ({type(fault).__name__})"
            return FailureCode.MALFORMED, what
        if not same:
            return FailureCode.WRONG_VALUES, f"output {output.name} differs from the reference"
    target.seen = {o.name: size or 0 for o, size in zip(answer.outputs, sizes, strict=True)}
    return None
