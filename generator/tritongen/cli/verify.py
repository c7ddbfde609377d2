"""`tritongen verify`."""

import argparse
from typing import TYPE_CHECKING

from tritongen.cli import output
from tritongen.cli.output import good, severe
from tritongen.cli.parser import CommandParser
from tritongen.cli.server_options import ADDRESS, add_server_options, server_access
from tritongen.cli.time_limit import time_limit
from tritongen.model.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritongen.serving.verify import VerifiedModel

EXAMPLES = """\
  tritongen verify                     every model of model_repository/ on this project's server
  tritongen verify -u HOST:8000        on another server that serves the same repository
  tritongen verify -u a:8000,b:8000     on every replica
  tritongen verify -u https://HOST/api/x --header-file key.txt
  tritongen verify --data ocr=new.npz  on these inputs instead of the samples in tritongen.yaml
"""


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_repository()
    parser.add_argument(
        "--data", action="append", default=[], metavar="[MODEL=]FILE",
        help="inputs of a model, and outputs where known (default: samples in tritongen.yaml)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=int, default=1, help="of made-up inputs (default: %(default)s)"
    )
    add_server_options(
        parser,
        metavar="ADDRESS[,ADDRESS]",
        help=f"{ADDRESS}; of several replicas, each is compared",
    )
    # Chosen: large models run here on a single thread, one after another.
    parser.add_time_limit(3600.0, "of the whole command")
    parser.add_untrusted()
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Compare and print; exit 1 when an output differs, or a model is stale or not compared."""
    from tritongen import api

    access = server_access(options)
    verify = api.verify  # its import takes none of the time that the server has
    with output.ProgressBar() as bar, time_limit(options.timeout):
        verified = verify(
            options.repository,
            url=options.url,
            access=access,
            data={
                model: path for model, _, path in (text.rpartition("=") for text in options.data)
            },
            seed=options.seed,
            untrusted=options.untrusted,
            progress=bar,
            notice=output.say_error,
        )
    output.present(
        options.format, verified.to_dict, lambda: _print(verified.models, own=not options.url)
    )
    return int(verified.exit_code)


def _print(models: "Sequence[VerifiedModel]", *, own: bool) -> None:
    several = any(one.server for one in models)
    output.print_table(
        (*(("server",) if several else ()), "model", "verdict", "greatest difference", ""),
        [
            (
                *((one.server,) if several else ()),
                one.name,
                _verdict(one),
                _difference(one),
                one.reason,
            )
            for one in models
        ],
        drop=("greatest difference",),
    )
    if own and any(one.stale for one in models):
        output.suggest("tritongen restart && tritongen verify")


def _verdict(model: "VerifiedModel") -> str:
    words = model.verdict.replace("-", " ")
    return good(words) if model.ok else severe(words, Severity.ERROR)


def _difference(model: "VerifiedModel") -> str:
    """The greatest one of any output; a dash where there are none to subtract."""
    greatest = max((item.max_abs_diff for item in model.outputs), default=0.0)
    return f"{greatest:.2g}" if model.ok or greatest else "–"
