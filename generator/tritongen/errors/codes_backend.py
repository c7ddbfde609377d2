"""TG5xx: what makes a backend refuse a model, and the thread rule."""

from tritongen.errors.code import Code

BACKEND_CODES: tuple[Code, ...] = (
    Code("TG501", "parameter value that the backend refuses", "Use an accepted value."),
    Code("TG502", "parameter newer than the target release", "Remove it, or raise the release."),
    Code("TG503", "parameter that the target release dropped", "Remove it."),
    Code("TG504", "element type that the backend refuses", "Use a type that the backend serves."),
    Code(
        "TG505",
        "BF16 needs a newer release",
        "Raise the release, or cast the tensor to FP32 in the model.",
    ),
    Code("TG506", "inputs of model and configuration differ in number", "List every input."),
    Code("TG507", "tensor that the model does not have", "Use the model's own names."),
    Code("TG508", "element type differs from the model's", "Write the model's own type."),
    Code(
        "TG509",
        "model cannot batch",
        "Set max_batch_size to 0, or export the model with a dynamic first axis.",
    ),
    Code("TG510", "dims differ from the model's", "Write the model's own dims, -1 where dynamic."),
    Code("TG511", "scalar with other dims", "Write dims: [ 1 ]."),
    Code("TG512", "optional input with batching", "Set max_batch_size to 0, or drop optional."),
    Code(
        "TG513",
        "ragged input of the wrong shape",
        "Drop allow_ragged_batch; the model's input must have shape [-1].",
    ),
    Code(
        "TG514",
        "control or state tensor differs from the model",
        "Use the model's own name, type and shape.",
    ),
    Code("TG515", "unknown execution accelerator", "Use tensorrt, cuda or openvino."),
    Code("TG516", "unknown accelerator option", "Remove it or correct its spelling."),
    Code("TG517", "instance kind that the backend refuses", "Use a kind that the backend serves."),
    Code("TG518", "model that the backend cannot load", "See `tritongen inspect`."),
    Code("TG519", "execution environment is missing", "Add the archive to the model's folder."),
    Code("TG520", "required parameter is missing", "Add it."),
    Code("TG521", "max_batch_size is required", "Write one above 0."),
    Code(
        "TG522",
        "batches of one size only",
        "Set max_batch_size to 0 and write the batch axis as -1 in dims.",
    ),
    Code(
        "TG523",
        "state that the backend does not hand back",
        "Serve the model with a backend that does, or let clients carry the state.",
    ),
    Code("TG524", "warm-up of a model that keeps state", "Remove model_warmup."),
    Code(
        "TG525",
        "decoupled model without its policy",
        "Add model_transaction_policy { decoupled: true }.",
    ),
    Code(
        "TG531",
        "threads exceed the cores",
        "Lower instance counts or threads until their sum fits the cores.",
    ),
    Code(
        "TG532",
        "threads are not limited",
        "Set the backend's thread parameter and the instance count together.",
    ),
    Code("TG533", "threads that no parameter limits", "Limit them by environment variables."),
    Code("TG534", "parameter without effect", "Remove it, or set what it depends on."),
    Code(
        "TG535",
        "caller that holds what others wait for",
        "Take rate_limiter away from the model that calls others.",
    ),
)
