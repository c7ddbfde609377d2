"""The python backend."""

from tritongen.model.backends import backend_rules as rule
from tritongen.model.facts import ModelFormat
from tritongen.model.lock import THREADS

PYTHON = rule.BackendRules(
    name="python",
    artefacts=(rule.Artefact(ModelFormat.PYTHON, "model.py"),),
    optional_inputs=True,
    bf16_since="00.00",
    completes="what the model's auto_complete_config() adds",
    threads=rule.ThreadRule(
        scope=rule.ThreadScope.PROCESS_PER_INSTANCE,
        environment=THREADS,
        unset="as many threads as the libraries of model.py start",
    ),
    open_parameters=True,
    parameters=(
        rule.path("EXECUTION_ENV_PATH", "packed environment whose Python runs the model"),
        rule.choice(
            "FORCE_CPU_ONLY_INPUT_TENSORS",
            "inputs are handed over in the CPU's memory",
            "yes",
            choices=("yes", "no"),
        ),
    ),
    trial="a stand-in for triton_python_backend_utils",
    embedded="Triton's own",
)
