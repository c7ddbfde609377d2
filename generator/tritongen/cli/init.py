"""`tritongen init`."""

import argparse
from shlex import quote
from typing import TYPE_CHECKING

from tritongen.cli.output import emit, emit_json, good, say, say_lines, suggest
from tritongen.cli.parser import DEFAULT_REPOSITORY, CommandParser, existing_folder
from tritongen.errors import ExitCode, InvalidInputError
from tritongen.model.codec import shallow, view
from tritongen.model.printable import json_text

if TYPE_CHECKING:
    from tritongen.repository.drafts import Draft

EXAMPLES = """\
  tritongen init ./models                      draft ./models/tritongen.yaml
  tritongen init ./models --git                and lines for .gitignore and .gitattributes
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
    parser.add_flags(
        force="replace an existing file",
        git="add to .gitignore and .gitattributes what the project needs; an existing file stays",
    )
    parser.add_repository_option("-r", "--repository", purpose="for --git")
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
    draft, drafted = _draft(options)
    changed = _git_files(options, draft) if options.git else []
    if options.format == "json":
        more = {"git": changed} if options.git else {}
        emit_json({**view(draft, "path", "models", "text"), "written": drafted, **more})
    elif options.stdout:
        say_lines(draft.text)
    else:
        for path in ([draft.path] if drafted else []) + changed:
            say(good(f"wrote {path}"))
        suggest(f"tritongen build {quote(str(options.models))}")
    return int(ExitCode.OK)


def _draft(options: argparse.Namespace) -> "tuple[Draft, bool]":
    """The draft, and whether it was written: beside git's lines an existing file stays."""
    from tritongen.intent import INTENT_FILE
    from tritongen.repository.drafts import draft_intent
    from tritongen.system.files import write_atomic

    folder = existing_folder(options.models)
    stays = options.git and not options.force and (folder / INTENT_FILE).exists()
    draft = draft_intent(folder, force=options.force or options.stdout or stays)
    if options.stdout or stays:
        return draft, False
    write_atomic(draft.path, draft.text.encode())
    return draft, True


def _git_files(options: argparse.Namespace, draft: "Draft") -> list[str]:
    """Names of git's files that have changed."""
    from shutil import which

    from tritongen.repository.git_files import add_git_lines, git_lines

    lines = git_lines(
        options.models, options.repository, draft.suffixes, lfs=which("git-lfs") is not None
    )
    return [] if options.stdout else list(add_git_lines(lines))


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
