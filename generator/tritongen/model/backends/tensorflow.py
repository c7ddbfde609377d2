"""The tensorflow backend, which Triton's images ship up to 25.02."""

from tritongen.model.backends import backend_rules as rule
from tritongen.model.facts import ModelFormat

LAST_RELEASE = "25.02"

TENSORFLOW = rule.BackendRules(
    name="tensorflow",
    artefacts=(
        rule.Artefact(
            ModelFormat.SAVEDMODEL,
            "model.savedmodel",
            platform="tensorflow_savedmodel",
            until=LAST_RELEASE,
        ),
        rule.Artefact(
            ModelFormat.GRAPHDEF,
            "model.graphdef",
            platform="tensorflow_graphdef",
            until=LAST_RELEASE,
        ),
    ),
    platforms=("tensorflow_savedmodel", "tensorflow_graphdef"),
    until=LAST_RELEASE,
    default_cpu_instances=2,
    completes="inputs, outputs, max_batch_size and dynamic_batching of a SavedModel, from its "
    "signature; nothing of a GraphDef",
    threads=rule.ThreadRule(
        scope=rule.ThreadScope.PROCESS,
        intra_key="TF_NUM_INTRA_THREADS",
        inter_key="TF_NUM_INTER_THREADS",
        pooled=True,
        unset="one thread for every core of the host, in each of two pools",
    ),
    parameters=(
        rule.number(
            "TF_NUM_INTRA_THREADS",
            "threads that share one operator; the first session decides for the server",
            "0: the cores of the host",
            minimum=0,
        ),
        rule.number(
            "TF_NUM_INTER_THREADS",
            "operators that run side by side; the first session decides for the server",
            "0: the cores of the host",
            minimum=0,
        ),
        rule.switch("TF_USE_PER_SESSION_THREADS", "each session has pools of its own", "false"),
        rule.text("TF_GRAPH_TAG", "tag of the SavedModel's graph", "serve"),
        rule.text("TF_SIGNATURE_DEF", "signature of the SavedModel", "serving_default"),
        rule.number("MAX_SESSION_SHARE_COUNT", "instances that share a session", "1", minimum=1),
        rule.text("TF_INIT_OPS_FILE", "JSON with the operators that initialise a GraphDef"),
    ),
)
