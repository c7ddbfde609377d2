"""TG0xx: the tool and its files. TG3xx: the YAML and the plan. TG7xx: repository and lock."""

from tritongen.errors.code import Code

TOOL_CODES: tuple[Code, ...] = (
    Code(
        "TG001",
        "internal error",
        "Report it with the command and this message; nothing was written.",
    ),
    Code(
        "TG002", "file not found", "Check the path, and the folder from which you run the command."
    ),
    Code("TG003", "file cannot be read", "Check its permissions and that it is a regular file."),
    Code(
        "TG004", "file cannot be written", "Check the permissions of the folder and the free space."
    ),
    Code(
        "TG005",
        "no space left",
        "Free some space and run the command again; the old files are intact.",
    ),
    Code("TG006", "missing optional package", "Install the extra that the message names."),
    Code("TG007", "interrupted", "Run the command again; nothing was left half-done."),
    Code("TG008", "another run is at work", "Wait for it, or end it, and run the command again."),
    Code("TG009", "bad command line", "See `tritongen COMMAND --help`."),
    Code("TG010", "out of memory", "Run it where more memory is free."),
    Code(
        "TG011",
        "state or cache that the tool did not make",
        "Look where it comes from, remove it, and run the command again.",
    ),
    Code("TG301", "tritongen.yaml is not valid YAML", "Correct the line that the message names."),
    Code("TG302", "tritongen.yaml is too large", "Keep it under 1 MB and without nested aliases."),
    Code(
        "TG303",
        "unknown key",
        "Remove it or correct its spelling; `tritongen init --schema` lists the keys.",
    ),
    Code("TG304", "value of the wrong type or out of range", "Correct the value."),
    Code("TG305", "values that contradict each other", "Change one of the two."),
    Code("TG306", "unknown model", "Name a model that is in the folder, or remove the entry."),
    Code(
        "TG307",
        "overlay is not a valid ModelConfig",
        "Use the field names of Triton's ModelConfig.",
    ),
    Code("TG308", "pipeline step that is not served", "Name a model of the folder that is served."),
    Code("TG309", "pipeline that is not connected", "Connect each input and output by one name."),
    Code(
        "TG310",
        "more models than cores",
        "Give the target more cores, or split the models over several servers.",
    ),
    Code(
        "TG311",
        "memory is short for the plan",
        "Give the target more memory, or fewer models or instances.",
    ),
    Code(
        "TG312",
        "planned from syntax alone",
        "Run `tritongen build` without --no-trial to prove the batch axis.",
    ),
    Code(
        "TG313",
        "overlay breaks the thread rule",
        "Lower instance count or threads, or raise target.cpus.",
    ),
    Code(
        "TG314",
        "latency goal cannot be met by one execution",
        "Relax the goal, or make the model cheaper (`tritongen optimize`).",
    ),
    Code(
        "TG315",
        "rate exceeds what the cores can serve",
        "Add cores or replicas, or make the model cheaper.",
    ),
    Code(
        "TG316",
        "target machine has fewer cores than planned",
        "Set target.cpus in tritongen.yaml and build again.",
    ),
    Code("TG317", "tuned for other cores", "Run `tritongen tune` again for this target."),
    Code(
        "TG318",
        "sequence that the model cannot form",
        "Name inputs and outputs of the model whose types and shapes agree.",
    ),
    Code("TG319", "tensors of a pipeline that do not fit", "Make types and shapes equal."),
    Code(
        "TG370",
        "step that does not suit the model",
        "Choose another step, declare the model's inputs, or write the step by hand.",
    ),
    Code("TG701", "drift", "Run `tritongen build` and commit the result."),
    Code(
        "TG702",
        "hand edit",
        "Move the edit into `overlay:` in tritongen.yaml, or build with --force.",
    ),
    Code(
        "TG703",
        "file that tritongen did not write",
        "Move it away, or choose another output folder with -o.",
    ),
    Code(
        "TG704",
        "lock cannot be read",
        "Restore tritongen.lock from version control, or move the repository away and build again.",
    ),
    Code(
        "TG705",
        "weights are missing",
        "Run `tritongen build` to fill them in from the models folder.",
    ),
    Code(
        "TG706",
        "weights differ from the lock",
        "Run `tritongen build` again, or restore the model file.",
    ),
    Code(
        "TG707",
        "no evidence for this model",
        "Run `tritongen build` where the model can be tried, and commit the lock.",
    ),
    Code(
        "TG708",
        "no model repository here",
        "Run `tritongen build MODELS` first, or name the repository.",
    ),
)
