"""Python models of every kind that a probe meets: slow, picky, stateful, decoupled, an ensemble."""

from pathlib import Path

from support.triton import write_model


def tensor(name: str, dims: str, kind: str = "TYPE_FP32") -> str:
    return f'{{ name: "{name}" data_type: {kind} dims: [{dims}] }}'


def python_config(
    name: str, dims: str = "4", kind: str = "TYPE_FP32", more: str = "", batch: int = 8
) -> str:
    return (
        f'name: "{name}"\nbackend: "python"\nmax_batch_size: {batch}\n'
        f"input [{tensor('IN', dims, kind)}]\noutput [{tensor('OUT', dims, kind)}]\n"
        f"instance_group [{{ count: 1 kind: KIND_CPU }}]\n{more}\n"
    )


ECHO = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("OUT", pb_utils.get_input_tensor_by_name(r, "IN").as_numpy())]
            )
            for r in requests
        ]
"""
SLOW = ECHO.replace("    def execute(self, requests):\n", """\
    def execute(self, requests):
        import time
        time.sleep(0.01)
""")  # fmt: skip
PICKY = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            ids = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            if ids.min() < 100 or ids.max() >= 200:
                error = pb_utils.TritonError("id out of range", pb_utils.TritonError.INVALID_ARG)
                answers.append(pb_utils.InferenceResponse([], error))
            else:
                answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", ids)]))
        return answers
"""
DECOUPLED = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            values = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            for _ in range(3):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", values)]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
        return None
"""
STATEFUL = """
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.steps = {}

    def execute(self, requests):
        answers = []
        for request in requests:
            def value(name):
                return pb_utils.get_input_tensor_by_name(request, name).as_numpy().flat[0]

            # A slot without a request is filled with an empty one, which is not ready.
            if value("READY"):
                sequence = int(value("CORRID"))
                if value("START"):
                    self.steps[sequence] = 0
                self.steps[sequence] += 1
                if value("END") and self.steps.pop(sequence) != 5:
                    raise pb_utils.TritonModelException("a sequence of another length")
            out = pb_utils.get_input_tensor_by_name(request, "IN").as_numpy()
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("OUT", out)]))
        return answers
"""
SEQUENCE_BATCHING = """
sequence_batching {
  control_input [
    { name: "START" control [{ kind: CONTROL_SEQUENCE_START fp32_false_true: [0, 1] }] },
    { name: "READY" control [{ kind: CONTROL_SEQUENCE_READY fp32_false_true: [0, 1] }] },
    { name: "END" control [{ kind: CONTROL_SEQUENCE_END fp32_false_true: [0, 1] }] },
    { name: "CORRID" control [{ kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 }] }
  ]
}
"""
ENSEMBLE = f"""
name: "pipeline"
platform: "ensemble"
max_batch_size: 8
input [{tensor("IN", "4")}]
output [{tensor("OUT", "4")}]
ensemble_scheduling {{
  step [
    {{ model_name: "echo" model_version: -1
       input_map {{ key: "IN" value: "IN" }} output_map {{ key: "OUT" value: "between" }} }},
    {{ model_name: "slow" model_version: -1
       input_map {{ key: "IN" value: "between" }} output_map {{ key: "OUT" value: "OUT" }} }}
  ]
}}
"""


def fill(repository: Path) -> None:
    models = {
        "echo": (python_config("echo"), ECHO),
        "slow": (python_config("slow"), SLOW),
        "batching": (python_config("batching", more="dynamic_batching { }"), SLOW),
        "large": (python_config("large", "3, 224, 224"), ECHO),
        "strings": (python_config("strings", "-1", "TYPE_STRING"), ECHO),
        "single": (python_config("single", "2, -1", batch=0), ECHO),
        "picky": (python_config("picky", "8", "TYPE_INT64"), PICKY),
        "stateful": (python_config("stateful", more=SEQUENCE_BATCHING), STATEFUL),
        "decoupled": (
            python_config(
                "decoupled", more="model_transaction_policy { decoupled: true }", batch=0
            ),
            DECOUPLED,
        ),
    }
    for name, (config, code) in models.items():
        write_model(repository, name, config, {"1/model.py": code.encode()})
    write_model(repository, "pipeline", ENSEMBLE, {"1/.keep": b""})
