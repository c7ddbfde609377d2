"""How to tune: each option once, with the flag that the command line has for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tritongen.model.client_protocol import ClientProtocol
from tritongen.triton.server import RuntimeName

T = TypeVar("T")


def _option(
    default: T, *names: str, made: Callable[[Any], object] | None = None, **settings: object
) -> T:
    """A field with its flag on the command line.

    Args:
        default: of the field.
        names: of the flag.
        made: from what the command line holds to the field's value.
        settings: further ones of `argparse`.
    """
    flag = {"flags": names, "made": made, "settings": settings}
    return field(default=default, metadata=flag)


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """How to tune.

    Attributes:
        models: names; empty for all that are served.
        goal: as text; empty takes each model's from `tritongen.yaml`.
        budget_s: tuning time of each model.
        cpus: cores for the named models; None takes the target's and each model's share of them.
        protocol: what requests travel by; None takes that of the intent's clients.
        runtime: where candidates are served; None takes the embedded one where it serves them.
        image: of the container; the official one that fits when empty.
        wheel: local copy of the embedded Triton's wheel.
        seed: of the search.
        dry_run: change no file of the repository.
        resume: go on where an earlier run was killed.
        trial_timeout_s: for models that were never run.
        goals: of single models, in place of `goal`.
    """

    models: tuple[str, ...] = _option(
        (), "-m", "--model", made=lambda names: tuple(dict.fromkeys(names)), action="append",
        metavar="MODEL", help="only this model; may be repeated (default: every model)",
    )  # fmt: skip
    goal: str = _option(
        "", "--goal", metavar="GOAL",
        help="see below (default: rate and latency of tritongen.yaml, else throughput)",
    )  # fmt: skip
    budget_s: float = _option(
        120.0, "--budget", metavar="TIME",
        help="for each model, such as 90s or 2m (default: 120s)",
    )  # fmt: skip
    cpus: float | None = _option(
        None, "--cpus", metavar="N",
        help="cores for the named models (default: the target's, each model its share)",
    )  # fmt: skip
    protocol: ClientProtocol | None = _option(
        None, "--protocol", made=ClientProtocol, choices=("http", "grpc"),
        help="what requests travel by (default: that of the clients in tritongen.yaml, else http)",
    )  # fmt: skip
    runtime: RuntimeName | None = _option(
        None, "--runtime", made=RuntimeName, choices=("embedded", "docker"),
        help="where candidates are served (default: embedded, where it serves the models)",
    )  # fmt: skip
    image: str = _option("", "--image", metavar="IMAGE", help="of the container")
    wheel: Path | None = _option(
        None, "--triton-wheel", metavar="PATH", help="the embedded Triton's wheel, offline"
    )
    seed: int = _option(0, "--seed", metavar="N", help="of the search (default: %(default)s)")
    dry_run: bool = _option(
        False, "--dry-run", action="store_true", help="measure, and leave the repository as it is"
    )
    resume: bool = _option(
        False, "--resume", action="store_true", help="go on where an earlier run was killed"
    )
    trial_timeout_s: float = 60.0
    goals: Mapping[str, str] = field(default_factory=dict)

    def goal_of(self, model: str) -> str:
        """What is asked of a model; empty for its entry in `tritongen.yaml`."""
        return self.goals.get(model, self.goal)
