"""The python backend."""

from tritongen.model.backends import backend_rules as rule
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.lock import THREADS


def _settings(facts: ModelFacts, _release: str) -> tuple[rule.Setting, ...]:
    path = facts.python.environment if facts.python is not None else ""
    if not path:
        return ()
    why = "the packed environment that lies beside model.py"
    return (rule.Setting("EXECUTION_ENV_PATH", f"$$TRITON_MODEL_DIRECTORY/{path}", why),)


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
    settings=_settings,
    trial="a stand-in for triton_python_backend_utils",
    embedded="Triton's own",
)
