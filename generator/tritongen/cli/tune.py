"""`tritongen tune`."""

import argparse
import logging
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from tritongen.cli import output
from tritongen.cli.parser import (
    CommandParser,
    add_declared_options,
    declared_options,
    models_folder,
    positive_float,
    seconds,
    whole,
    writable_file,
)
from tritongen.errors import InvalidInputError
from tritongen.tune.tune_options import TuneOptions

_log = logging.getLogger(__name__)
EXAMPLES = """\
  tritongen tune ./models                       every model, each on its share of the target's cores
  tritongen tune ./models -m ocr --budget 60s   one model in one minute
  tritongen tune ./models -m ocr --cpus 2 --goal 'p99<20ms'
  tritongen tune ./models -m ocr --goal 'rate=300,p99<50ms'    with as few cores as possible
  tritongen tune ./models -m ocr --resume       go on after a kill
  tritongen tune ./models --model-analyzer-config profile.yaml

goals:
  throughput           most requests per second (@16: by 16 clients that wait for their answers)
  p99<20ms             most requests per second while the 99th percentile stays below 20 ms
  rate=300             lowest 99th percentile at 300 requests per second (also latency@300/s)
  p99<50ms@300/s       the same, and at most 50 ms
  rate=300,p99<50ms    fewest cores that hold 50 ms at 300 requests per second
"""
# Seconds between lines of progress where there is no terminal. Chosen.
_LINE_S = 5.0


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_known_models()
    add_declared_options(parser, TuneOptions, _TYPES)
    parser.add_argument(
        "--model-analyzer-config", type=Path, metavar="FILE",
        help="models, objectives and constraints of Model Analyzer in place of --goal",
    )  # fmt: skip
    parser.add_untrusted()
    parser.add_repository_option(
        "-r", "--repository", "-o", "--output", purpose="whose lock takes the evidence"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="a page with plots")
    parser.add_flags(all="every candidate of every model, those only predicted, too")
    parser.add_format()


# What reads a flag's text, by field of the options.
_TYPES: dict[str, Callable[[str], object]] = {
    "budget_s": partial(seconds, most=86_400.0, what="a time such as 90s or 2m"),
    "cpus": positive_float,
    "wheel": Path,
    "seed": whole,
}


def run(options: argparse.Namespace) -> int:
    """Tune, print, and tell by the exit code whether the goals are met."""
    from tritongen import api
    from tritongen.cli.tune_output import print_report
    from tritongen.tune.tune_page import write_page

    if options.html is not None:
        writable_file(options.html)
    wanted = _wanted(options)
    with Live() as live:
        tuned = api.tune(
            models_folder(options),
            wanted,
            repository=options.repository,
            untrusted=options.untrusted,
            progress=live.told,
            notice=output.say_error,
        )
    report = tuned.report
    output.present(
        options.format,
        tuned.to_dict,
        lambda: print_report(report, options.models, whole=options.all, dry_run=wanted.dry_run),
    )
    if options.html is not None:
        write_page(report, options.html)
    return 128 + report.interrupted if report.interrupted else int(tuned.exit_code)


def _wanted(options: argparse.Namespace) -> TuneOptions:
    """The options, with the goals of Model Analyzer's file where one is named."""
    wanted, path = declared_options(TuneOptions, options), options.model_analyzer_config
    if path is None:
        return wanted
    from tritongen.tune.model_analyzer import read_goals

    if wanted.goal:
        fix = "Leave one of them out."
        raise InvalidInputError("TG009", "--model-analyzer-config names the goals", fix=fix)
    found = read_goals(path)
    for note in found.notes:
        output.remark(f"warning TG953 {path}: {note}")
    models = wanted.models or found.models
    for name in models:
        if goal := found.by_model.get(name, found.goal):
            output.remark(f"goal of {name}: {goal}")
    return replace(wanted, models=models, goal=found.goal, goals=found.by_model)


class Live:
    """Progress on stderr: one line that rewrites itself on a terminal, a line now and then else."""

    def __init__(self) -> None:
        self.bar = output.ProgressBar()
        self._told = 0.0

    def __enter__(self) -> "Live":
        self.bar.__enter__()
        return self

    def __exit__(self, *rest: object) -> None:
        self.bar.__exit__(*rest)

    def told(self, what: str, done: int, total: int) -> None:
        """What is done before the search, and where that stands."""
        if total:
            self._say(f"{what} · {100 * done // total} %", always=False)
        elif what:
            _log.info("%s", what)
            self._say(f"{what} …", always=True)

    def _say(self, text: str, *, always: bool) -> None:
        if sys.stderr.isatty():
            # A line that wraps could not be rewritten.
            self.bar(text[: max(20, shutil.get_terminal_size().columns - 1)], 0, 0)
            return
        now = time.monotonic()
        if always or now - self._told >= _LINE_S:
            self._told = now
            output.remark(text)
