"""Models of Triton's Python backend, whose stub was compiled for numpy 1, with this numpy."""

import numpy as np
import pytest

from support.serving_models import ONE_INSTANCE, tensor_text
from tritongen.domain.tensors import DType
from tritongen.serving.wire import numpy_dtype

MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        responses = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            backwards = x[:, ::-1]  # not contiguous
            kept = x.copy()
            kept.flags.writeable = False
            outputs = [
                pb_utils.Tensor("backwards", backwards),
                pb_utils.Tensor("kept", kept),
                pb_utils.Tensor("type", np.array([[str(x.dtype).encode()]], dtype=object)),
            ]
            assert outputs[0].as_numpy().tolist() == backwards.tolist()
            responses.append(pb_utils.InferenceResponse(outputs))
        return responses
"""

TYPES = [dtype for dtype in DType if dtype is not DType.BF16]  # it has no numpy type there


def sample(dtype: DType) -> np.ndarray:
    if dtype is DType.BYTES:
        return np.array([[b"", b"\0\xff", b"x" * 70000], ["é".encode(), b"a", b"b"]], dtype=object)
    return np.array([[0, 1, 0], [1, 0, 1]]).astype(numpy_dtype(dtype)) * numpy_dtype(dtype).type(1)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_arrays_of_every_type(strict_server, dtype):
    name = strict_server.unique("python")
    config = (
        'backend: "python"\nmax_batch_size: 4\n'
        + ONE_INSTANCE
        + tensor_text("input", "x", dtype.config_name, [3])
        + tensor_text("output", "backwards", dtype.config_name, [3])
        + tensor_text("output", "kept", dtype.config_name, [3])
        + tensor_text("output", "type", "TYPE_STRING", [1])
    )
    assert strict_server.try_model(name, config, {"1/model.py": MODEL.encode()}) is None
    x = sample(dtype)
    for given in (x[:1], x):
        got = strict_server.client.infer(name, {"x": given})
        assert got["backwards"].tolist() == given[:, ::-1].tolist()
        assert got["kept"].tolist() == given.tolist()
        assert got["type"].ravel().tolist() == [str(given.dtype).encode()]
    log = "\n".join(strict_server.server.logs(200))
    assert "Traceback" not in log.rpartition(f"loading: {name}")[2]
    strict_server.unload(name)
