"""`tritongen init`."""

import argparse
from shlex import quote

from tritongen.cli.output import emit, emit_json, good, say, say_lines, suggest
from tritongen.cli.parser import DEFAULT_REPOSITORY, CommandParser, existing_folder
from tritongen.errors import ExitCode, InvalidInputError
from tritongen.model.codec import shallow, view
from tritongen.model.printable import json_text

EXAMPLES = """\
  tritongen init ./models                      draft ./models/tritongen.yaml
  tritongen init --schema > tritongen.schema.json
  tritongen init ./models --step image --model resnet     a step in Python before resnet
  tritongen init ./models --step labels --model resnet    and one after it
"""


def register(parser: CommandParser) -> None:
    """Add its options."""
    from pathlib import Path

    parser.add_argument("models", type=Path, nargs="?", metavar="MODELS", help="folder of models")
    parser.add_flags(
        schema="print the file's JSON schema",
        stdout="print the draft, write nothing",
    )
    parser.add_argument(
        "--step", choices=("image", "text", "table", "labels"),
        help="draft a step in Python before --model, or after it (labels)",
    )  # fmt: skip
    parser.add_argument("--model", default="", metavar="MODEL", help="the model of the step")
    parser.add_argument(
        "--name", default="", metavar="NAME", help="of the step (default: MODEL_STEP)"
    )
    parser.add_flags(force="replace an existing file")
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Write the draft, or print the schema."""
    if options.schema:
        from tritongen.intent import json_schema

        if options.format == "json":
            emit_json({"schema": json_schema()})
        else:
            emit(json_text(json_schema(), indent=2))
        return int(ExitCode.OK)
    if options.models is None:
        raise InvalidInputError("TG009", "name the folder of models", where="tritongen init")
    if options.step or options.model or options.name:
        return _draft_step(options)
    from tritongen.repository.drafts import draft_intent
    from tritongen.system.files import write_atomic

    draft = draft_intent(existing_folder(options.models), force=options.force or options.stdout)
    if not options.stdout:
        write_atomic(draft.path, draft.text.encode())
    if options.format == "json":
        emit_json({**view(draft, "path", "models", "text"), "written": not options.stdout})
    elif options.stdout:
        say_lines(draft.text)
    else:
        say(good(f"wrote {draft.path}"))
        suggest(f"tritongen build {quote(str(options.models))}")
    return int(ExitCode.OK)


def _draft_step(options: argparse.Namespace) -> int:
    """Write a step, or print it, and say how it joins its model."""
    if not options.step or not options.model:
        raise InvalidInputError(
            "TG009", "a step needs --step and --model", where="tritongen init --step"
        )
    from tritongen.repository.drafts import ScaffoldKind, draft_step, write_step
    from tritongen.repository.project import load_project

    root = existing_folder(options.models)
    project = load_project(root, DEFAULT_REPOSITORY)
    step = draft_step(project, ScaffoldKind(options.step), options.model, options.name)
    if not options.stdout:
        write_step(root, step, force=options.force)
    if options.format == "json":
        emit_json({**shallow(step, whole=True), "written": not options.stdout})
        return int(ExitCode.OK)
    for path, text in step.files.items():
        if options.stdout:
            say_lines(f"{text}\n")
        else:
            say(good(f"wrote {root / path}"))
    say()
    say(f"Add to {root / 'tritongen.yaml'}, and see what it plans:")
    say()
    say_lines(f"{step.pipeline}\n")
    suggest(f"tritongen build {quote(str(options.models))} --dry-run")
    return int(ExitCode.OK)
