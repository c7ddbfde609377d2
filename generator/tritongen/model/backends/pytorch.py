"""The pytorch backend: TorchScript, AOT Inductor packages, and modules in Python."""

from tritongen.model.backends import backend_rules as rule
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.tensors import DType

TORCHSCRIPT_PLATFORM = "pytorch_libtorch"
AOTI_PLATFORM = "torch_aoti"
PYTHON_RUNTIME = "model.py"

_REFUSED = frozenset({DType.UINT16, DType.UINT32, DType.UINT64})
# ATen asks MKL's variable first, then OpenMP's.
_ATEN_VARIABLES = ("MKL_NUM_THREADS", "OMP_NUM_THREADS")


def index_of(name: str) -> int | None:
    """The position that a name states: ``INPUT__2`` is 2; split at the first ``__``.

    None for a name of another form; ``my__in__0`` is one.
    """
    _, separator, digits = name.partition("__")
    return int(digits) if separator and digits.isdecimal() and digits.isascii() else None


def _names(facts: ModelFacts, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> tuple[str, ...]:
    """Names that the backend maps to other positions than meant, or cannot map."""
    arguments = [argument.name for argument in facts.torch.arguments] if facts.torch else []
    faults: list[str] = []
    if arguments and len(inputs) != len(arguments) and not takes_dict(facts):
        faults.append(
            f"forward() takes {len(arguments)} arguments ({', '.join(arguments)}), and "
            f"{len(inputs)} inputs are declared"
        )
    by_name = bool(arguments) and set(inputs) <= set(arguments)
    if arguments and not by_name and not takes_dict(facts):
        faults += _index_faults("inputs", inputs, len(arguments))
    faults += _index_faults("outputs", outputs, None)
    return tuple(faults)


def takes_dict(facts: ModelFacts) -> bool:
    """Whether `forward` takes one dictionary of tensors: inputs are then its keys."""
    arguments = facts.torch.arguments if facts.torch else ()
    return len(arguments) == 1 and arguments[0].type.startswith("Dict[")


def _index_faults(role: str, names: tuple[str, ...], count: int | None) -> list[str]:
    positions = [index_of(name) for name in names]
    if any(position is None for position in positions):
        return []  # the order in the configuration counts, which the planner keeps
    if len(set(positions)) < len(positions):
        return [f"two {role} have the same number after `__`: {', '.join(names)}"]
    greatest = max((position for position in positions if position is not None), default=0)
    if count is not None and greatest >= count:
        return [f"{role} are numbered up to {greatest}, and there are {count}, counted from 0"]
    return []


_AOTI = rule.BackendRules(
    name="pytorch",
    flavour=AOTI_PLATFORM,
    since="26.03",
    artefacts=(
        rule.Artefact(ModelFormat.TORCH_AOTI, "model.pt2", platform=AOTI_PLATFORM, since="26.03"),
    ),
    refused_dtypes=_REFUSED,
    bf16_since="26.11",
    threads=rule.ThreadRule(
        scope=rule.ThreadScope.PROCESS,
        environment=_ATEN_VARIABLES,
        unset="one thread for every core of the host; no parameter is read",
    ),
    naming="ARGS[0], KWARGS[name], RESULT, RESULT[0] and so on, or INPUT__0 and OUTPUT__0",
    trial="torch",
)

_PYTHON_MODULE = rule.BackendRules(
    name="pytorch",
    flavour=PYTHON_RUNTIME,
    since="24.01",
    artefacts=(),
    platforms=(TORCHSCRIPT_PLATFORM,),
    refused_dtypes=_REFUSED,
    threads=rule.ThreadRule(
        scope=rule.ThreadScope.PROCESS_PER_INSTANCE,
        intra_key="NUM_THREADS",
        inter_key="NUM_INTEROP_THREADS",
        default=1,
        unset="one thread",
    ),
    parameters=(
        rule.number("NUM_THREADS", "threads that share one operator, per instance", "1", minimum=1),
        rule.number(
            "NUM_INTEROP_THREADS",
            "threads for forked parts of a model, per instance",
            "1",
            minimum=1,
        ),
        rule.text(
            "TORCH_COMPILE_OPTIONAL_PARAMETERS",
            'JSON object of arguments to torch.compile, such as {"disable": true}',
        ),
    ),
)

PYTORCH = rule.BackendRules(
    name="pytorch",
    artefacts=(rule.Artefact(ModelFormat.TORCHSCRIPT, "model.pt", platform=TORCHSCRIPT_PLATFORM),),
    flavours=(_AOTI, _PYTHON_MODULE),
    platforms=(TORCHSCRIPT_PLATFORM, AOTI_PLATFORM),
    refused_dtypes=_REFUSED,
    threads=rule.ThreadRule(
        scope=rule.ThreadScope.PROCESS,
        intra_key="INTRA_OP_THREAD_COUNT",
        inter_key="INTER_OP_THREAD_COUNT",
        environment=_ATEN_VARIABLES,
        unset="one thread for every core of the host",
    ),
    states=True,
    naming="inputs: names of forward()'s arguments, else <name>__<index>, else in its order; "
    "outputs: <name>__<index>, else in the order of the returned tuple",
    names=_names,
    parameters=(
        rule.number(
            "INTRA_OP_THREAD_COUNT",
            "threads that share one operator; the first model that sets it decides for the server",
            "the cores of the host",
            since="24.05",
        ),
        rule.number(
            "INTER_OP_THREAD_COUNT",
            "threads for forked parts of a model; the first model that sets it decides",
            "the cores of the host",
            since="24.05",
        ),
        rule.switch("DISABLE_OPTIMIZED_EXECUTION", "switches the JIT's optimiser off", "false"),
        rule.switch("INFERENCE_MODE", "loads and runs without autograd's records", "true"),
        rule.switch("DISABLE_CUDNN", "switches cuDNN off", "false"),
        rule.switch("ENABLE_WEIGHT_SHARING", "instances on a device share their weights", "false"),
        rule.switch("ENABLE_CACHE_CLEANING", "empties the CUDA cache after each run", "false"),
        rule.switch("ENABLE_TENSOR_FUSER", "the JIT's tensor fuser, for the server", "untouched"),
        rule.switch(
            "ENABLE_JIT_PROFILING", "the JIT's profiling mode, for the server", "untouched"
        ),
        rule.switch("ENABLE_JIT_EXECUTOR", "the JIT's executor mode, for the server", "untouched"),
        rule.switch("ENABLE_NVFUSER", "the nvFuser, for the server", until="23.12"),
    ),
    trial="torch",
    embedded="torch in Python",
)
