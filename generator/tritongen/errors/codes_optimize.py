"""TG21x to TG24x: rewriting and quantising models."""

from tritongen.errors.code import Code

OPTIMIZE_CODES: tuple[Code, ...] = (
    Code(
        "TG210",
        "rewrite is not proven",
        "The original is kept; export the model again as the reason says.",
    ),
    Code(
        "TG211",
        "model cannot be rewritten",
        "Convert it to ONNX; `tritongen optimize` rewrites ONNX models only.",
    ),
    Code(
        "TG212",
        "model cannot be run for a proof",
        "Describe its inputs in tritongen.yaml (shape, values), or give real ones with --data.",
    ),
    Code("TG213", "rewrite failed", "The original is kept; read the reason."),
    Code("TG214", "optimising ran out of time", "Raise --timeout, or give fewer samples."),
    Code("TG215", "optimising ran out of memory", "Raise --memory, or give fewer samples."),
    Code(
        "TG216",
        "model crashed the runtime while it was optimised",
        "The original is kept; try another version of onnxruntime.",
    ),
    Code(
        "TG220",
        "evaluation data cannot be read",
        "Give a .npz file, a folder of .npy files, or `module:function` in tritongen.yaml.",
    ),
    Code(
        "TG221",
        "evaluation data do not fit the model",
        "Name the arrays after the inputs; axis 0 holds the samples.",
    ),
    Code(
        "TG222",
        "no evaluation data",
        "Give --data FILE, or `accuracy: {data: FILE}` in tritongen.yaml; without them a variant "
        "is offered and never chosen.",
    ),
    Code(
        "TG223",
        "evaluation callable failed",
        "Correct it; it runs as `function(outputs, labels)` and returns one number, more is "
        "better.",
    ),
    Code(
        "TG224",
        "metric does not fit outputs and labels",
        "Choose another metric, or name the output with `accuracy: {output: NAME}`.",
    ),
    Code(
        "TG225",
        "too few samples",
        "Give at least 2 samples to calibrate and evaluate on; some hundred are better.",
    ),
    Code(
        "TG230",
        "accuracy gate is not met",
        "Raise --max-drop if the loss is acceptable, or give more and more typical samples.",
    ),
    Code(
        "TG231",
        "model cannot be quantised",
        "Serve the original; read the reason.",
    ),
    Code(
        "TG232",
        "quantising is not worth it",
        "Serve the original; measure again on the target's CPU if it differs from this one.",
    ),
    Code(
        "TG240",
        "unknown variant",
        "See `tritongen optimize MODELS -m MODEL`, or the folder .variants beside the models.",
    ),
    Code(
        "TG241",
        "variant of another original",
        "The original has changed since: run `tritongen optimize` again.",
    ),
    Code(
        "TG242",
        "variant is damaged",
        "Delete its folder and run `tritongen optimize` again.",
    ),
    Code(
        "TG243",
        "fixed variant is served",
        "To leave the model out instead, set `skip: true` for it in tritongen.yaml.",
    ),
    Code(
        "TG244",
        "fix that moves an axis",
        "Serve it with `tritongen build MODELS --variant MODEL=fixed`, and change the clients.",
    ),
)
