"""perf_analyzer's names for options of `probe`; none of them stands in the list of `--help`.

A name with the same meaning leads to our option itself. One with another form or meaning is
translated, so that what was typed for perf_analyzer asks for what it asked for there. For what has
no counterpart the answer says what to do instead.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tritongen.cli.output import remark
from tritongen.cli.parser import CommandParser, positive_float, positive_int
from tritongen.errors import InvalidInputError

SECTION = """
names of perf_analyzer, which mean here what they mean there:
  -b -f -H -i -l -p -r -s -t -x --concurrency-range --request-rate-range --request-distribution
  --input-data --percentile --random-seed --sequence-length --shared-memory --ssl-…; any other one
  is answered with what to use instead (docs/from-perf-analyzer.md)
"""
# Ours by theirs, where the two mean the same.
SAME: Mapping[str, str] = MappingProxyType(
    {
        "--model-name": "--model", "-b": "--batch", "--batch-size": "--batch", "-H": "--header",
        "-t": "--concurrency",
        "--request-distribution": "--arrivals", "--sequence-length": "--sequence",
        "--random-seed": "--seed", "--ssl-grpc-use-ssl": "--tls",
        "--ssl-grpc-root-certifications-file": "--ca", "--ssl-https-ca-certificates-file": "--ca",
        "--ssl-grpc-certificate-chain-file": "--cert",
        "--ssl-https-client-certificate-file": "--cert",
        "--ssl-grpc-private-key-file": "--key", "--ssl-https-private-key-file": "--key",
    }
)  # fmt: skip
_ALWAYS = "requests never wait for each other here"
# What changes nothing of a result here, and why; whether it has a value.
NEEDLESS: Mapping[str, tuple[str, bool]] = MappingProxyType(
    {
        "-a": (_ALWAYS, False), "--async": (_ALWAYS, False), "--sync": (_ALWAYS, False),
        "--max-threads": ("one process sends them all; --processes 2 where it has no time", True),
        "--binary-search": ("a range with -l is always searched so", False),
        "--verbose-csv": ("every column is always written", False),
        "--bls-composing-models": ("every model's statistics are read", True),
        "--log-frequency": ("progress is told on a terminal", True),
    }
)  # fmt: skip
_WARM_UP = "Leave it out: warm-up ends where the data say so; --request-count has none."
_WINDOWS = "Leave it out: a level ends when it is precise (-s); --request-count N ends it with N."
_TRACE = "Leave it out, and start the server with `tritongen up --server-flag trace-config=…`."
_NO_GPU = "Leave it out: CPU and memory of the server are always told, those of GPUs are not."
_SEQUENCES = "Use --concurrency for so many at once; all have --sequence steps."
_TEXTS = "Use --values NAME=choice(one,two), or --data FILE."
_SERVER_ONLY = "Leave it out: only a running Triton is measured, see -u and `tritongen up`."
_PEM = "Leave it out: certificates and keys are in PEM."
_EXPORT = "Use -o FILE.json, which has histograms and a timeline instead of every request."
# What cannot be asked for here, and what to do instead; whether it has a value.
ABSENT: Mapping[str, tuple[str, bool]] = MappingProxyType(
    {
        "-c": ("Use --concurrency 1:N.", True), "-d": ("Use --find knee.", False),
        "-z": ("Use --values NAME=zeros for each input.", False),
        "--service-kind": (_SERVER_ONLY, True), "--model-repository": (_SERVER_ONLY, True),
        "--triton-server-directory": (_SERVER_ONLY, True), "--endpoint": (_SERVER_ONLY, True),
        "--model-signature-name": (_SERVER_ONLY, True),
        "--measurement-mode": (_WINDOWS, True), "--measurement-request-count": (_WINDOWS, True),
        "--warmup-request-count": (_WARM_UP, True),
        "--request-intervals": ("Use --schedule FILE, with the time of each request.", True),
        "--periodic-concurrency-range": ("Use --concurrency 1:64:8, or --schedule ramp.", True),
        "--request-period": ("Use --concurrency 1:64:8, or --schedule ramp.", True),
        "--num-of-sequences": (_SEQUENCES, True), "--serial-sequences": (_SEQUENCES, False),
        "--sequence-length-variation": (_SEQUENCES, True),
        "--sequence-id-range": ("Leave it out: identities begin at 1,000,000,000.", True),
        "--string-length": (_TEXTS, True), "--string-data": (_TEXTS, True),
        "--output-shared-memory-size": ("Leave it out: --shm measures what is needed.", True),
        "--input-tensor-format": ("Leave it out: tensors travel in binary.", True),
        "--output-tensor-format": ("Leave it out: tensors travel in binary.", True),
        "--profile-export-file": (_EXPORT, True), "--enable-mpi": ("Use --processes 2.", False),
        "--collect-metrics": (_NO_GPU, False), "--metrics-url": (_NO_GPU, True),
        "--metrics-interval": (_NO_GPU, True),
        "--ssl-https-verify-host": ("Use --insecure, which accepts any certificate.", True),
        "--ssl-https-client-certificate-type": (_PEM, True),
        "--ssl-https-private-key-type": (_PEM, True),
        "--trace-level": (_TRACE, True), "--trace-rate": (_TRACE, True),
        "--trace-count": (_TRACE, True),
    }
)  # fmt: skip
# Their length of a window, ms, and how many there are at most.
_WINDOW_MS, _TRIALS = 5_000.0, 10


def add_names(parser: CommandParser) -> None:
    """Let a parser of `probe` take perf_analyzer's names."""
    for theirs, ours in SAME.items():
        parser.add_alias(ours, theirs)
    for names, (take, form) in TRANSLATED.items():
        parser.add_argument(
            *names, action=_Translated, take=take, type=form, dest=argparse.SUPPRESS,
            help=argparse.SUPPRESS, default=argparse.SUPPRESS,
        )  # fmt: skip
    for answers, action in ((NEEDLESS, _Needless), (ABSENT, _Absent)):
        for name, (answer, valued) in answers.items():
            parser.add_argument(
                name, action=action, answer=answer, nargs=None if valued else 0,
                dest=argparse.SUPPRESS, help=argparse.SUPPRESS,
            )  # fmt: skip
    parser.set_defaults(model_version="")


class _Hidden(argparse.Action):
    """An option that has no value of its own."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,  # noqa: ANN401  (argparse's own)
        option_string: str | None = None,
    ) -> None:  # fmt: skip
        """See `argparse`."""
        del parser
        self.taken(namespace, values, str(option_string))

    def taken(self, namespace: argparse.Namespace, value: Any, name: str) -> None:  # noqa: ANN401  (as above)
        """The option was given under that name."""
        raise NotImplementedError


class _Translated(_Hidden):
    """One that is told in our options."""

    def __init__(self, take: Callable[[argparse.Namespace, Any], None], **settings: Any) -> None:  # noqa: ANN401  (as above)
        super().__init__(**settings)
        self._take = take

    def taken(self, namespace: argparse.Namespace, value: Any, name: str) -> None:  # noqa: ANN401  (as above)
        """Write it into ours."""
        del name
        self._take(namespace, value)


class _Answered(_Hidden):
    """One for which there is an answer only."""

    def __init__(self, answer: str, **settings: Any) -> None:  # noqa: ANN401  (as above)
        super().__init__(**settings)
        self._answer = answer


class _Needless(_Answered):
    """One that changes nothing."""

    def taken(self, namespace: argparse.Namespace, value: Any, name: str) -> None:  # noqa: ANN401  (as above)
        """Say so."""
        del namespace, value
        remark(f"{name} changes nothing: {self._answer}")


class _Absent(_Answered):
    """One that has no counterpart."""

    def taken(self, namespace: argparse.Namespace, value: Any, name: str) -> None:  # noqa: ANN401  (as above)
        """Refuse it, with what to do instead."""
        del namespace, value
        raise InvalidInputError(
            "TG921", f"{name} of perf_analyzer has no counterpart", fix=self._answer
        )


def _concurrency(found: argparse.Namespace, text: str) -> None:
    found.concurrency = _by_one(text)


def _rate(found: argparse.Namespace, text: str) -> None:
    found.rate = _by_one(text)
    found.arrivals = found.arrivals or "constant"  # their default


def _by_one(text: str) -> str:
    """A range in steps of one where it names no other, as theirs goes."""
    first, *rest = text.split(":")
    return f"{first}:{rest[0]}:1" if len(rest) == 1 else text


def _limit(found: argparse.Namespace, name: str, value: float) -> None:
    """A latency that must hold, at a percentile, else on average."""
    known = found.__dict__.setdefault("their_limit", {})
    known[name] = value
    if "ms" in known:
        what = f"p{known['percentile']:g}" if "percentile" in known else "mean"
        found.goal = f"{what}<{known['ms']:g}ms"


def _time(found: argparse.Namespace, name: str, value: float) -> None:
    """The longest time for a level: windows of so many milliseconds, at most so many of them."""
    known = found.__dict__.setdefault("their_time", {"ms": _WINDOW_MS, "trials": _TRIALS})
    known[name] = value
    found.time_budget = known["ms"] * known["trials"] / 1e3


def _set(name: str) -> Callable[[argparse.Namespace, Any], None]:
    return lambda found, value: setattr(found, name, value)


def _protocol(text: str) -> str:
    if text.lower() not in {"http", "grpc"}:
        raise argparse.ArgumentTypeError(f"must be http or grpc, got {text!r}")
    return text.lower()


def _share(text: str) -> float:
    return positive_float(text) / 100.0


def _data(found: argparse.Namespace, text: str) -> None:
    if text == "zero":
        what = "--input-data zero of perf_analyzer has no counterpart"
        raise InvalidInputError("TG921", what, fix="Use --values NAME=zeros for each input.")
    found.data = None if text == "random" else Path(text)


def _csv(found: argparse.Namespace, text: str) -> None:
    found.output, found.format = Path(text), "csv"


def _compression(found: argparse.Namespace, text: str) -> None:
    if text not in {"none", "gzip", "deflate"}:
        what = f"must be none, gzip or deflate, got {text!r}"
        raise InvalidInputError("TG009", f"--grpc-compression-algorithm {what}")
    found.compression = "" if text == "none" else text


def _memory(found: argparse.Namespace, text: str) -> None:
    if text not in {"none", "system"}:
        what = f"--shared-memory {text} of perf_analyzer has no counterpart"
        raise InvalidInputError("TG921", what, fix="Use --shm: system shared memory.")
    found.shm = text == "system"


def _verify_peer(found: argparse.Namespace, text: str) -> None:
    found.insecure = text == "0"


# What translates a name, and what reads its text.
TRANSLATED: Mapping[
    tuple[str, ...], tuple[Callable[[argparse.Namespace, Any], None], Callable[[str], Any]]
] = MappingProxyType(
    {
        ("-x", "--model-version"): (_set("model_version"), str),
        ("-i",): (_set("protocol"), _protocol),
        ("--concurrency-range",): (_concurrency, str),
        ("--request-rate-range",): (_rate, str),
        ("-l", "--latency-threshold"): (lambda f, v: _limit(f, "ms", v), positive_float),
        ("--percentile",): (lambda f, v: _limit(f, "percentile", v), positive_int),
        ("-p", "--measurement-interval"): (lambda f, v: _time(f, "ms", v), positive_float),
        ("-r", "--max-trials"): (lambda f, v: _time(f, "trials", v), positive_int),
        ("-s", "--stability-percentage"): (_set("width"), _share),
        ("-f", "--latency-report-file"): (_csv, str),
        ("--input-data",): (_data, str),
        ("--grpc-compression-algorithm",): (_compression, str),
        ("--shared-memory",): (_memory, str),
        ("--ssl-https-verify-peer",): (_verify_peer, str),
    }
)


def all_names() -> tuple[str, ...]:
    """Every name of perf_analyzer's that is known, those apart that are ours, too."""
    translated = (name for names in TRANSLATED for name in names)
    return tuple(sorted({*SAME, *translated, *NEEDLESS, *ABSENT}))
