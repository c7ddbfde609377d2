"""The dali backend: pipelines that prepare data."""

from tritongen.model.backends import backend_rules as rule
from tritongen.model.facts import ModelFormat

DALI = rule.BackendRules(
    name="dali",
    artefacts=(
        rule.Artefact(ModelFormat.DALI, "model.dali"),
        rule.Artefact(ModelFormat.DALI_PYTHON, "dali.py"),
    ),
    completes="inputs, outputs, max_batch_size and dynamic_batching, from the pipeline",
    threads=rule.ThreadRule(
        scope=rule.ThreadScope.INSTANCE,
        intra_key="num_threads",
        default=1,
        unset="the threads that the pipeline was made with",
    ),
    parameters=(
        rule.number("num_threads", "threads of the pipeline", "the pipeline's own", minimum=1),
        rule.text("split_along_outer_axis", "outputs whose outer axis becomes the batch: O1:O2"),
    ),
)
