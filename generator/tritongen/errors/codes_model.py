"""TG1xx: model files and their I/O. TG2xx: the trial run."""

from tritongen.errors.code import Code

MODEL_CODES: tuple[Code, ...] = (
    Code(
        "TG101",
        "no models found",
        "Point at a folder that holds one folder a model, or model files.",
    ),
    Code(
        "TG102",
        "model file is damaged",
        "Export the model again; compare its size with the original.",
    ),
    Code("TG103", "model file is empty", "Export or copy the model again."),
    Code(
        "TG104",
        "format not recognised",
        "Use a format that Triton serves: ONNX, TorchScript, OpenVINO IR, …",
    ),
    Code(
        "TG105",
        "format recognised, not readable yet",
        "Convert the model to ONNX, or write its config.pbtxt by hand.",
    ),
    Code(
        "TG106",
        "model name cannot be served",
        "Rename the folder or file: letters, digits, `_`, `-` and `.` only.",
    ),
    Code(
        "TG107",
        "path leaves the model folder",
        "Keep the model and its data files inside its own folder.",
    ),
    Code(
        "TG108",
        "external data is missing",
        "Copy the data file beside the model, under the name that the model states.",
    ),
    Code("TG109", "several model files in one folder", "Keep one model a folder."),
    Code(
        "TG110",
        "non-tensor input or output",
        "Replace it by tensors: `tritongen optimize --fix`, or export without ZipMap.",
    ),
    Code(
        "TG111",
        "optional input or output",
        "Make it always present: `tritongen optimize --fix`, or export it so.",
    ),
    Code("TG112", "sparse input or output", "Export the model with a dense tensor."),
    Code(
        "TG113",
        "element type that Triton has no name for",
        "Cast the tensor to a type that Triton knows.",
    ),
    Code(
        "TG114",
        "element type that the backend refuses",
        "Cast the tensor to a type that the backend serves, or raise target.triton.",
    ),
    Code(
        "TG115",
        "scalar input or output",
        "It is served as dims [1]; reshape it in the model to be explicit.",
    ),
    Code(
        "TG116",
        "name that cannot be served",
        "Rename the input or output: `tritongen optimize --fix`, or in the model.",
    ),
    Code(
        "TG117",
        "IR version newer than the target's runtime",
        "Raise target.triton, export with an older IR version, or `tritongen optimize --fix`.",
    ),
    Code(
        "TG118",
        "opset newer than the target's runtime",
        "Raise target.triton, export with an older opset, or `tritongen optimize --fix`.",
    ),
    Code("TG119", "custom operators", "Set model_operations.op_library_filename in the overlay."),
    Code(
        "TG120",
        "no inputs or no outputs",
        "Export the model with at least one input and one output.",
    ),
    Code(
        "TG121", "shape is not declared", "Run the trial, or declare the shape in tritongen.yaml."
    ),
    Code(
        "TG122",
        "static batch axis",
        "Export with a dynamic first axis, or `tritongen optimize --fix`.",
    ),
    Code("TG123", "weights larger than the protobuf limit", "Save the model with external data."),
    Code(
        "TG124",
        "existing config.pbtxt is not used",
        "Move what must stay into `overlay:` in tritongen.yaml.",
    ),
    Code("TG125", "duplicate model name", "Rename one of the two folders or files."),
    Code("TG126", "model name is a reserved folder", "Rename it."),
    Code(
        "TG127",
        "opset unknown to the tool's table",
        "Raise target.triton, or check the model on that server.",
    ),
    Code(
        "TG128",
        "declared dimension is invalid",
        "Export with positive or symbolic dimensions, or `tritongen optimize --fix`.",
    ),
    Code(
        "TG129",
        "weights cannot be loaded safely",
        "Export the model to ONNX (for scikit-learn: skl2onnx).",
    ),
    Code(
        "TG130",
        "versions that differ",
        "One configuration serves all versions: give the others a model folder of their own.",
    ),
    Code(
        "TG131",
        "version folder is ignored",
        "Name version folders 1, 2, 3 and so on.",
    ),
    Code(
        "TG132",
        "opset older than the runtime supports",
        "Convert it: `tritongen optimize --fix`, or export with opset 7 or later.",
    ),
    Code(
        "TG133",
        "inputs or outputs are not described",
        "Declare type and dims in tritongen.yaml, or let the trial find them.",
    ),
    Code("TG134", "the target lacks the hardware", "Set target.gpus, or convert the model."),
    Code(
        "TG135",
        "declaration contradicts the model",
        "Correct the declaration in tritongen.yaml, or the model.",
    ),
    Code(
        "TG136",
        "format that the target release does not serve",
        "Change target.triton, or convert the model.",
    ),
    Code(
        "TG137",
        "names that the backend maps to other tensors",
        "Use the names that the backend's convention asks for.",
    ),
    Code(
        "TG138",
        "archive that does more than hold a model",
        "Do not load the file; get it again from a source that you trust.",
    ),
    Code(
        "TG139",
        "bounded dimension that the backend refuses",
        "Convert the model with a dynamic or fixed size there.",
    ),
    Code("TG140", "plan that runs on its own GPU only", "Build it on the machine that serves it."),
    Code("TG141", "model that calls other models", "Serve the models that it calls beside it."),
    Code(
        "TG142",
        "signature that the backend cannot call",
        "Export a model whose forward() takes and returns tensors.",
    ),
    Code(
        "TG143",
        "answers other than the library's",
        "Check the answers against the library that wrote the file.",
    ),
    Code(
        "TG144",
        "state that clients carry themselves",
        "Let the server keep it with `sequence` in tritongen.yaml, or leave it to the clients.",
    ),
    Code(
        "TG145",
        "model that the runtime does not load",
        "`tritongen optimize --fix`, or mend what ONNX Runtime's words say and export it again.",
    ),
    Code("TG146", "called model that is not served", "Put it into the models folder."),
    Code("TG147", "model's code was not run", "Run `tritongen build`, whose trial runs it."),
    Code(
        "TG148",
        "another file of the model's name",
        "Move it out of the models folder, or rename it; to use it, make it servable first.",
    ),
    Code(
        "TG201",
        "trial failed",
        "Read the runtime's message; declare real input shapes or ranges in tritongen.yaml.",
    ),
    Code("TG202", "trial ran out of time", "Raise --trial-timeout, or build with --no-trial."),
    Code("TG203", "trial ran out of memory", "Raise --trial-memory, or build with --no-trial."),
    Code(
        "TG204",
        "model crashed the runtime",
        "Check the model with another runtime version; it is not planned for batching.",
    ),
    Code(
        "TG205",
        "batch axis disproven",
        "The model is served without batching; export it with a true batch axis.",
    ),
    Code(
        "TG206",
        "rows change with their neighbours",
        "Dynamic batching stays off; use a statically quantised variant.",
    ),
    Code(
        "TG207",
        "declared shape is wrong",
        "`tritongen optimize --fix`, or correct the model's value_info. The configuration repeats "
        "what the runtime reports, which need not be what came back.",
    ),
    Code("TG208", "batch axis not tested", "Run the trial, or declare it in tritongen.yaml."),
    Code(
        "TG209",
        "output is not deterministic",
        "Export the model without random operators, or state `batch: true` in tritongen.yaml.",
    ),
)
