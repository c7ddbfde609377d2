"""`tritongen build`."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tritongen.cli import output
from tritongen.cli.output import dim, good, say, severe
from tritongen.cli.parser import CommandParser, gibibytes, models_folder, positive_float
from tritongen.model.counting import counted

if TYPE_CHECKING:
    from tritongen.api import BuildRequest
    from tritongen.repository.build import BuildResult
    from tritongen.repository.compare import DifferenceKind
    from tritongen.repository.render_repository import Outline

EXAMPLES = """\
  tritongen build ./models                     write model_repository/
  tritongen build ./models --check             exit 1 when the committed files are not up to date
  tritongen build ./models --diff              show what would change, write nothing
  tritongen build ./models --weights none      configurations and hashes only, for git
"""

# Models, and files that differ, without --all. Chosen: a build is told in a screenful.
_MAX_MODELS, _MAX_FILES = 10, 8


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_known_models()
    parser.add_repository_option("-r", "--repository", "-o", "--output", purpose="to write")
    parser.add_flags(
        parser.add_mutually_exclusive_group(),
        check="write nothing; exit 1 on drift",
        diff="write nothing; show the differences",
        dry_run="write nothing; show the plan",
    )
    parser.add_argument(
        "--weights",
        choices=("copy", "hardlink", "symlink", "none"),
        help="how weights get into the repository (default: tritongen.yaml, else copy)",
    )
    parser.add_flags(
        fix="make what cannot be served servable first, as `tritongen optimize --fix` does",
    )
    parser.add_argument(
        "--variant", action="append", default=[], type=_variant, metavar="MODEL=VARIANT",
        help="serve this variant of a model, or its `original`; may be repeated "
        "(default: what the lock says)",
    )  # fmt: skip
    parser.add_argument(
        "--cpus", type=positive_float, metavar="N", help="cores to plan for, over tritongen.yaml"
    )
    parser.add_flags(no_trial="run no model; plan from syntax")
    parser.add_untrusted()
    parser.add_flags(
        remeasure="run every model and read this machine anew",
    )
    parser.add_argument(
        "--trial-timeout", type=positive_float, default=60.0, metavar="SECONDS",
        help="per model (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--trial-memory", type=gibibytes, metavar="GIB", help="per model (default: by size)"
    )
    parser.add_flags(
        all="list every model and file",
        strict="for CI: write nothing and exit 2 where a model is left out",
        force="overwrite hand edits; they are kept as *.orig",
    )
    parser.add_format()


def _variant(text: str) -> tuple[str, str]:
    model, _, variant = text.partition("=")
    if not model or not variant:
        raise argparse.ArgumentTypeError(f"must be MODEL=VARIANT, got {text!r}")
    return model, variant


def run(options: argparse.Namespace) -> int:
    """Build, and report what changed."""
    from tritongen import api

    with output.ProgressBar() as bar:
        built = api.build(
            models_folder(options), _request(options), progress=bar.told, notice=output.say_error
        )
    output.present(options.format, built.to_dict, lambda: _print(built.result, options))
    return int(built.exit_code)


def _request(options: argparse.Namespace) -> "BuildRequest":
    from tritongen.api import BuildRequest

    return BuildRequest(
        repository=options.repository,
        mode="check"
        if options.check
        else "diff"
        if options.diff
        else "dry-run"
        if options.dry_run
        else "write",
        weights=options.weights,
        fix=options.fix,
        variants=dict(options.variant),
        cpus=options.cpus,
        trial=not options.no_trial,
        untrusted=options.untrusted,
        remeasure=options.remeasure,
        trial_timeout_s=options.trial_timeout,
        trial_memory_bytes=options.trial_memory,
        strict=options.strict,
        force=options.force,
    )


def _print(result: "BuildResult", options: argparse.Namespace) -> None:
    from tritongen.model.findings import Severity
    from tritongen.repository.absent_weights import ABSENT
    from tritongen.repository.build import LOCK_MOVED
    from tritongen.repository.stored_variants import FIX_TAKEN, LAYOUT_MOVED

    output.print_findings(item for item in result.findings if item.severity is not Severity.INFO)
    if options.diff:
        output.print_diffs(result.differences)
        output.print_left_out(dict(result.plan.refused))
        return
    print_models(result.models, whole=options.all)
    if absent := [item.model for item in result.findings if item.code == ABSENT]:
        say(dim(f"known from the lock alone, since their files are not here: {', '.join(absent)}"))
    fixed = [item.model for item in result.findings if item.code == FIX_TAKEN]
    if fixed:
        say(f"served as fixed, since the original cannot be: {', '.join(fixed)}")
    for item in result.findings:
        if item.code == LAYOUT_MOVED:
            say(f"{item.model}: {item.message}")
        if item.code == LOCK_MOVED:
            say(f"{item.message}: `tritongen explain {LOCK_MOVED}`")
    cores = result.plan.server.cores.value
    from tritongen.model.lock import is_rate_limited

    limited = is_rate_limited(result.plan.server.flags)
    held = f", of which the rate limiter lets {cores} run at a time" if limited else ""
    say(dim(f"{counted(result.threads, 'thread')} of {counted(cores, 'core')}{held}"))
    output.print_left_out(dict(result.plan.refused))
    if result.dropped:
        told = f"was served until now: {', '.join(result.dropped)}"
        say(severe(told, Severity.ERROR))
    _print_files(result, whole=options.all)
    if result.written:
        for path, name in result.kept.items():
            say(f"hand edit kept: {path} is now {name}")
    _conclude(result, options)


def _print_files(result: "BuildResult", *, whole: bool) -> None:
    """What has changed; of many, the files of the lock are counted, which follow the others."""
    from tritongen.repository.lock_file import is_of_lock

    told = [item for item in result.differences if whole or not is_of_lock(item.path)]
    told = told or list(result.differences)
    files = told[: None if whole else _MAX_FILES]
    for difference in files:
        say(f"{_told(difference.kind, result.written)}: {difference.path}")
    if rest := len(result.differences) - len(files):
        say(dim(f"and {rest} files more; --all lists them"))


def print_models(found: "Sequence[Outline]", *, whole: bool) -> None:
    """How each model is served, a screenful of them unless all are wanted."""
    models = found[: None if whole else _MAX_MODELS]
    told: dict[str, str] = {}
    output.print_table(
        ("model", "batch", "instances × threads", "dynamic batching"),
        [
            (
                f"{item.plan.name} ({item.variant})" if item.variant else item.plan.name,
                str(item.max_batch_size),
                f"{item.instances} × {item.threads}",
                _batching(item, told),
            )
            for item in models
        ],
    )
    if rest := len(found) - len(models):
        say(dim(f"and {rest} models more; --all lists them"))


def _told(kind: "DifferenceKind", written: bool) -> str:
    """A difference, or what has become of it."""
    from tritongen.repository.compare import DifferenceKind

    done = {
        DifferenceKind.WEIGHTS_ABSENT: "weights filled in",
        DifferenceKind.WEIGHTS_OLD: "weights replaced",
        DifferenceKind.WEIGHTS_FORM: "weights replaced",
        DifferenceKind.HAND_EDIT: "hand edit overwritten",
    }
    return done.get(kind, kind.value) if written else kind.value


def _batching(item: "Outline", told: dict[str, str]) -> str:
    """Whether requests are merged, and why not; an overlay needs no other reason.

    Args:
        item: the model.
        told: the first model of each sentence, which is told once.
    """
    if item.batching:
        return "on"
    off = item.plan.batching_off
    sentence = off.sentence if off is not None else ""
    if item.plan.batching is not None:
        sentence = "by the overlay"
    first = told.setdefault(sentence, item.plan.name)
    if first != item.plan.name:
        sentence = min(sentence, f"as {first}", key=len)
    return f"off: {sentence}" if sentence else "off"


def _conclude(result: "BuildResult", options: argparse.Namespace) -> None:
    if options.check:
        say("drift: run `tritongen build` and commit" if result.drift else good("up to date"))
    elif result.written:
        say(good(f"wrote {options.repository}"))
        output.suggest("tritongen up && tritongen verify")
    elif not options.dry_run:
        say(good("nothing to change"))
