"""`tritongen optimize`."""

import argparse
import shlex
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from tritongen.api.documents import findings_json
from tritongen.cli import output
from tritongen.cli.output import bold, dim, good, say
from tritongen.cli.parser import CommandParser, gibibytes, models_folder, positive_float
from tritongen.errors import ExitCode
from tritongen.model.codec import view
from tritongen.model.intent import Metric

if TYPE_CHECKING:
    from tritongen.model.variants import Proof, Variant
    from tritongen.optimize.optimize_models import OptimizedModel

EXAMPLES = """\
  tritongen optimize ./models -m wine              what could be fixed, tried and proven
  tritongen optimize ./models -m wine --fix        keep the fixed model as a variant
  tritongen optimize ./models -m ocr --quantize --data samples.npz --max-drop 0.01
"""


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_known_models()
    parser.add_model_names()
    parser.add_flags(
        fix="keep the fixes that are proven",
        quantize="8-bit variants (and FP16 for target.gpus)",
        graph="a variant with the graph optimised offline",
        openvino="a variant as OpenVINO IR, which Triton's openvino backend serves",
        accelerate="variants configured for TensorRT (target.gpus) or OpenVINO (an Intel CPU)",
    )
    _add_gate(parser)
    parser.add_argument(
        "--labels", choices=("bytes", "indices"), default="bytes",
        help="text labels of a classifier as texts, or as indices with labels.txt "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--isa", choices=("auto", "avx2", "avx512", "vnni", "amx", "arm"), default="auto",
        help="instruction sets of the target's CPU (default: this machine's)",
    )  # fmt: skip
    _add_limits(parser)
    parser.add_untrusted()
    purpose = "whose lock holds the target's cores"
    parser.add_repository_option("-r", "--repository", "-o", "--output", purpose=purpose)
    parser.add_format()


def _add_gate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", default="", metavar="FILE",
        help="samples: a .npz file, or a folder of .npy files, named after the inputs, with "
        "`labels` (default: accuracy.data of tritongen.yaml)",
    )  # fmt: skip
    parser.add_argument(
        "--metric", choices=[item.value for item in Metric if item is not Metric.CALLABLE],
        default="", help="default: top1 for labels, else likeness to the original's outputs",
    )  # fmt: skip
    parser.add_argument(
        "--max-drop", type=_drop, metavar="LOSS",
        help="greatest accepted loss of the metric (default: tritongen.yaml, else 0.01)",
    )  # fmt: skip


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--budget", type=positive_float, default=60.0, metavar="SECONDS",
        help="for the searches and measurements of each variant (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=positive_float, default=900.0, metavar="SECONDS",
        help="for each piece of work (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--memory", type=gibibytes, metavar="GIB", help="for each piece (default: by size)"
    )


def _drop(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, got {text!r}")
    return value


def run(options: argparse.Namespace) -> int:
    """Optimise and print; exit 4 when the accuracy gate is not met."""
    from tritongen.optimize.child_jobs import ChildLimits
    from tritongen.optimize.optimize_models import OptimizeOptions, named_code, optimize
    from tritongen.repository.project import load_project

    project = load_project(
        models_folder(options), options.repository, only=frozenset(options.model)
    )
    if not options.untrusted:
        output.tell_of_code(project.root, named_code(project, options.data))
    wanted = OptimizeOptions(
        fix=options.fix,
        quantize=options.quantize,
        graph=options.graph,
        openvino=options.openvino,
        accelerate=options.accelerate,
        data=options.data,
        metric=options.metric,
        max_drop=options.max_drop,
        string_labels=options.labels == "bytes",
        isa=options.isa,
        limits=ChildLimits(options.timeout, options.memory),
        budget_s=options.budget,
        code=not options.untrusted,
    )
    models = optimize(project, wanted, lambda text: output.progress(f"{text} …"))
    output.present(
        options.format,
        lambda: {"models": [_json(model) for model in models]},
        lambda: _print(models, options),
    )
    missed = any(model.gate_missed for model in models)
    return int(ExitCode.GOAL_NOT_MET if missed else ExitCode.OK)


def _json(model: "OptimizedModel") -> dict[str, object]:
    return {
        **view(model, "name", "steps"),
        "variants": [_variant_json(variant) for variant in model.variants],
        "chosen": model.chosen,
        "findings": findings_json(model.findings),
    }


def _variant_json(variant: "Variant") -> dict[str, object]:
    ends = ("value", "low", "high")
    return {
        "name": variant.name,
        "path": variant.path or None,
        **view(variant, "size_bytes", "verdict", "reason", "accuracy"),
        "speedup": view(variant.speedup, *ends) if variant.speedup is not None else None,
        "speedups": [view(item, *ends, "batch", "threads") for item in variant.speedups],
        **view(variant, "rows_equal", "recipe"),
    }


def _print(models: "tuple[OptimizedModel, ...]", options: argparse.Namespace) -> None:
    for number, model in enumerate(models):
        if number:
            say()
        _print_model(model, options.models)
    _suggest(models, options)


def _print_model(model: "OptimizedModel", models: Path) -> None:
    from tritongen.optimize.accelerators import plan_command

    say(bold(model.name))
    for step in model.steps:
        mark = good("done") if step.applied else dim("left")
        say(f"  {mark} {step.name}: {step.reason}")
        if command := plan_command(step):
            say(dim(f"       or a plan, made in the target's image: {command}"), wrap=False)
        if step.proof is not None and step.proof.tolerance:
            say(dim(f"       {_proof_text(step.proof)}"))
    if model.variants:
        output.print_table(
            ("  variant", "size", "verdict", "accuracy", "speed-up"),
            [_row(variant) for variant in model.variants],
        )
    output.print_findings(model.findings)
    if model.chosen:
        how = shlex.join(_build_words(models, model))
        say(f"  serve: {good(model.chosen)}, with `{how}`")
    else:
        say("  serve: the original")


def _build_words(models: Path, *chosen: "OptimizedModel") -> list[str]:
    """The command that serves the chosen variants."""
    options = (("--variant", f"{model.name}={model.chosen}") for model in chosen)
    return ["tritongen", "build", str(models), *chain.from_iterable(options)]


def _proof_text(proof: "Proof") -> str:
    rows = {True: "rows equal alone and together", False: "rows change with their neighbours"}
    tail = f"; {rows[proof.rows_equal]}" if proof.rows_equal is not None else ""
    return (
        f"{proof.inputs} inputs, greatest difference {proof.max_abs_diff:.2g} "
        f"(allowed {proof.tolerance:.2g}){tail}"
    )


def _row(variant: "Variant") -> tuple[str, ...]:
    accuracy = variant.accuracy
    measured = accuracy.scores if accuracy is not None else "equal"
    return (
        f"  {variant.name}",
        f"{variant.size_bytes / 2**20:.2f} MiB",
        variant.verdict.value,
        measured,
        str(variant.speedup) if variant.speedup is not None else "",
    )


def _suggest(models: "tuple[OptimizedModel, ...]", options: argparse.Namespace) -> None:
    chosen = [model for model in models if model.chosen]
    if chosen:
        output.suggest(shlex.join(_build_words(options.models, *chosen)))
    elif not options.fix and any(step.cures for model in models for step in model.steps):
        output.suggest(shlex.join(["tritongen", "optimize", str(options.models), "--fix"]))
