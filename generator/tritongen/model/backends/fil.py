"""The fil backend: forests of decision trees."""

from tritongen.model.backends import backend_rules as rule
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.releases import at_least
from tritongen.model.tensors import DType

INPUT = "input__0"
OUTPUT = "output__0"
SHAP_OUTPUT = "treeshap_output"

_LAST_OLD, _RENAMED = "25.08", "25.09"
_UBJ_SINCE = "24.10"
_TYPES = {
    ModelFormat.XGBOOST_BINARY: "xgboost",
    ModelFormat.XGBOOST_JSON: "xgboost_json",
    ModelFormat.XGBOOST_UBJ: "xgboost_ubj",
    ModelFormat.LIGHTGBM: "lightgbm",
    ModelFormat.TREELITE: "treelite_checkpoint",
}


def _names(
    _facts: ModelFacts, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> tuple[str, ...]:
    faults = []
    if inputs != (INPUT,):
        faults.append(f"the only input is {INPUT}, not {', '.join(inputs)}")
    if not outputs or outputs[0] != OUTPUT or set(outputs) - {OUTPUT, SHAP_OUTPUT}:
        faults.append(f"the first output is {OUTPUT}, a second may be {SHAP_OUTPUT}")
    return tuple(faults)


def _settings(facts: ModelFacts, release: str) -> tuple[rule.Setting, ...]:
    """Type of the file, classifier or not, threshold and probabilities."""
    trees = facts.trees
    found = [rule.Setting("model_type", _TYPES[facts.format], f"the file is {facts.format.value}")]
    if trees is None:
        return tuple(found)
    classifies = str(trees.classifies).lower()
    key = "is_classifier" if at_least(release, _RENAMED) else "output_class"
    found.append(
        rule.Setting(key, classifies, f"the objective is {trees.objective or 'not stated'}")
    )
    if trees.classifies:
        found.append(
            rule.Setting("threshold", "0.5", "required for classifiers; half is the usual")
        )
        probabilities = str(trees.probabilities).lower()
        why = "answers are probabilities" if trees.probabilities else "answers are class numbers"
        found.append(rule.Setting("predict_proba", probabilities, why))
    return tuple(found)


FIL = rule.BackendRules(
    name="fil",
    artefacts=(
        rule.Artefact(ModelFormat.XGBOOST_JSON, "xgboost.json"),
        rule.Artefact(ModelFormat.XGBOOST_UBJ, "xgboost.ubj", since=_UBJ_SINCE),
        rule.Artefact(ModelFormat.XGBOOST_BINARY, "xgboost.model"),
        rule.Artefact(ModelFormat.LIGHTGBM, "model.txt"),
        rule.Artefact(ModelFormat.TREELITE, "checkpoint.tl"),
    ),
    refused_dtypes=frozenset(DType) - {DType.FP32},
    true_texts=("true",),
    false_texts=("false",),
    case_sensitive=True,
    kinds=("AUTO", "CPU", "GPU"),
    batching=rule.BatchSupport.REQUIRED,
    naming=f"{INPUT}, {OUTPUT} and, on wish, {SHAP_OUTPUT}",
    names=_names,
    settings=_settings,
    threads=rule.ThreadRule(
        scope=rule.ThreadScope.INSTANCE,
        intra_key="cpu_nthread",
        environment=("OMP_NUM_THREADS",),
        capped=True,
        unset="as many threads as OpenMP starts, one for every core of the host",
    ),
    parameters=(
        rule.choice(
            "model_type", "how the file is serialised", "xgboost", choices=tuple(_TYPES.values())
        ),
        rule.switch(
            "is_classifier",
            "whether classes are predicted",
            since=_RENAMED,
            required=True,
            instead="output_class",
        ),
        rule.switch("output_class", "whether classes are predicted; is_classifier now"),
        rule.decimal("threshold", "score above which a binary classifier answers 1"),
        rule.switch("predict_proba", "answers with probabilities instead of the class", "false"),
        rule.number("cpu_nthread", "threads an instance, on the CPU", "-1: OpenMP's"),
        rule.switch(
            "xgboost_allow_unknown_field",
            "ignores fields of XGBoost's JSON that are not known",
            "false",
        ),
        rule.choice(
            "layout",
            "order of the nodes in GPU memory",
            "depth_first",
            choices=("depth_first", "breadth_first", "layered"),
            since=_RENAMED,
        ),
        rule.choice(
            "chunk_size",
            "rows a GPU thread block works on",
            "1",
            choices=("1", "2", "4", "8", "16", "32"),
            since=_RENAMED,
        ),
        rule.number(
            "transfer_threshold",
            "rows above which a GPU instance moves its input to the GPU",
            "0",
            minimum=0,
        ),
        rule.switch("use_experimental_optimizations", "an older engine for the CPU", "false"),
        rule.text("algo", "GPU algorithm; layout now", until=_LAST_OLD),
        rule.text("threads_per_tree", "GPU threads a tree; chunk_size now", until=_LAST_OLD),
        rule.text("storage_type", "form of the forest in GPU memory", until=_LAST_OLD),
        rule.text("blocks_per_sm", "GPU occupancy", until=_LAST_OLD),
    ),
    trial="treelite",
    embedded="treelite in Python",
)

# The file that the backend opens, by its parameter model_type.
FIL_FILES = {_TYPES[item.format]: item.filename for item in FIL.artefacts}
