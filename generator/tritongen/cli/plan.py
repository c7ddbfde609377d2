"""`tritongen plan`."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from tritongen.cli import output
from tritongen.cli.output import bold, dim, good, say
from tritongen.cli.parser import DEFAULT_REPOSITORY, CommandParser, models_folder, positive_int

if TYPE_CHECKING:
    from tritongen.fleet.capacity.capacity_plan import CapacityPlan, ModelForecast, Option
    from tritongen.fleet.capacity.language_models import CardFit
    from tritongen.fleet.plan_fleet import FleetPlan
    from tritongen.model.findings import Finding

EXAMPLES = """\
  tritongen plan ./models                              which machines, how many, at what cost
  tritongen plan ./models --provider azure --top 5     the five best of one provider
  tritongen plan ./models --price-list ours.csv        with prices of your own
  tritongen plan ./models --format json > options.json
  tritongen plan ./models --what-if 'rate × 3'        whether it holds, and what it costs
"""
# A percentile beyond this means that the queue grows as long as the overload lasts.
_OVERLOADED_S = 60.0
# Chosen: who wants more reads the JSON.
_SHOWN_GPUS = 4


def register(parser: CommandParser) -> None:
    """Add its options."""
    parser.add_known_models()
    purpose = "with the evidence; the plan is stored beside it"
    parser.add_repository_option("-r", "--repository", purpose=purpose)
    parser.add_argument(
        "--catalogue", type=Path, metavar="CSV", help="machine types instead of the shipped ones"
    )
    parser.add_argument(
        "--price-list", type=Path, metavar="CSV", help="prices over those of the catalogue"
    )
    parser.add_argument("--provider", default="", help="such as azure, aws or gcp")
    parser.add_argument("--region", default="", help="such as eastus")
    parser.add_argument(
        "--machine", action="append", default=[], metavar="TYPE",
        help="consider this machine type; several times for several",
    )  # fmt: skip
    parser.add_argument(
        "--top", type=positive_int, default=10, metavar="N",
        help="options to show (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE",
        help="where to store the plan (default: REPO.plan.json)",
    )  # fmt: skip
    parser.add_argument(
        "--what-if", default="", metavar="CASE",
        help="'rate × 3', 'MODEL rate × 3' or 'one replica less'; stores nothing",
    )  # fmt: skip
    parser.add_flags(dry_run="store nothing", no_trial="run no model")
    parser.add_format()


def run(options: argparse.Namespace) -> int:
    """Plan, print the options, store the best one."""
    from tritongen import api

    choices = api.PlanOptions(
        repository=options.repository,
        catalogue=options.catalogue,
        price_list=options.price_list,
        provider=options.provider,
        region=options.region,
        machines=tuple(options.machine),
        trial=not options.no_trial,
        write=not options.dry_run,
        output=options.output,
        what_if=options.what_if,
    )
    with output.ProgressBar() as bar:
        planned = api.plan(models_folder(options), choices, top=options.top, progress=bar.told)
    output.present(options.format, planned.to_dict, lambda: _print(planned.fleet, options))
    return int(planned.exit_code)


def _print(planned: "FleetPlan", options: argparse.Namespace) -> None:
    plan = planned.plan
    if options.what_if:
        say(f"{bold('what if')}: {options.what_if}")
    if plan.options:
        _print_options(plan, options.top)
    _print_gpus(planned)
    _print_language_models(planned)
    output.print_findings(_grouped(planned.findings))
    output.print_left_out({item.model: [item.code] for item in planned.left_out})
    if planned.path is not None:
        say(good(f"stored in {planned.path}"))
        output.suggest(f"{_rebuild(planned, options)}tritongen export kubernetes -o deploy")


def _print_options(plan: "CapacityPlan", top: int) -> None:
    """Machine types for the models whose times are known."""
    _print_traffic(plan)
    output.print_table(
        ("machine", "region", "replicas", "USD/month", "USD/million", "p99 ms", "busy", "feasible"),
        [_row(option) for option in plan.options[:top]],
        drop=("USD/million", "region", "busy"),
    )
    more = len(plan.options) - top
    if more > 0:
        say(dim(f"and {more} more; --top {len(plan.options)} shows all"))
    best = plan.best
    if best is not None:
        say()
        say(f"{bold('best')}: {best.reason}")
        _print_services(best)
        low = f"{plan.lower_bound_usd_per_month:,.2f} USD"
        say(
            dim(
                f"cost is {best.lower_bound_ratio:.2f} × the least possible ({low} a month); "
                f"price of {best.machine.price_date or 'unknown date'}, {best.machine.price_source}"
            )
        )


def _print_gpus(planned: "FleetPlan") -> None:
    """The cheapest machine types with each kind of GPU."""
    from tritongen.fleet.capacity.option_ranking import replica_range
    from tritongen.planner.roofline import UNCERTAINTY

    cheapest = {option.card: option for option in reversed(planned.on_gpus.options)}
    shown = sorted(cheapest.values(), key=lambda option: option.usd_per_month)[:_SHOWN_GPUS]
    if not shown:
        return
    say()
    by = f"by roofline alone, not measured; times may be {UNCERTAINTY:g} times as long or as short"
    if unpredicted := shown[0].unpredicted:
        names = f"{', '.join(unpredicted)} by memory alone"
        by = f"{by}; {names}" if shown[0].rows else names
    say(f"{bold('with GPUs')}: {by}")
    rows = [
        (
            option.machine.name,
            f"{option.machine.gpus} × {option.card}",
            f"{option.machine.provider} {option.machine.region}",
            replica_range(option.fewest, option.replicas),
            _money(option.usd_per_month),
            f"{option.execution_ms:.3g}" if option.rows else "–",
        )
        for option in shown
    ]
    header = ("machine", "GPUs", "region", "replicas", "USD/month", "execution ms")
    output.print_table(header, rows, drop=("region",))


def _print_language_models(planned: "FleetPlan") -> None:
    """Memory of each on the target's card, and the cards that hold it."""
    from tritongen.fleet.plan_on_gpus import measuring_command
    from tritongen.planner.context import mebibytes

    for model in planned.on_gpus.language_models:
        demand, here = model.demand, model.here
        gpus = f"{demand.split} GPU{'s' if demand.split > 1 else ''}"
        say()
        say(f"{bold(model.name)}: a language model on {gpus}, by memory alone")
        told = (here.share_sentence, here.cache_sentence) if here is not None else ()
        for line in filter(None, told):
            say(f"  {line}")
        say(f"  measure it: {measuring_command(model)}")
        if not model.cards:
            key = f"models.{model.name}.gpu_memory.weights"
            say(dim(f"  how large its weights are is not known here: state {key}"))
            continue
        say(dim(f"  {mebibytes(demand.size.weight_bytes)} weights by {demand.size.source}"))
        rows = [_card_row(fit) for fit in model.cards]
        header = ("card", "GPUs", "KV cache on each", "tokens", "requests at a time")
        output.print_table(header, rows, drop=("tokens",))


def _card_row(fit: "CardFit") -> tuple[str, ...]:
    from tritongen.planner.context import mebibytes

    if not fit.gpus:
        return (fit.card, "more than 8", "", "", "")
    tokens, requests = fit.memory.tokens, fit.requests
    return (
        fit.card,
        str(fit.gpus),
        mebibytes(fit.memory.cache_bytes),
        "" if tokens is None else f"{tokens:,}",
        "" if requests is None else f"{requests:,}",
    )


def _rebuild(planned: "FleetPlan", options: argparse.Namespace) -> str:
    """The build that must come before an export: the repository as the plan splits the cores."""
    from tritongen.repository.project import read_lock

    lock, best = read_lock(options.repository), planned.plan.best
    cores = {service.placement.cores for service in best.services} if best is not None else set()
    # Services of different sizes are built one by one; the export says which.
    if lock is None or len(cores) != 1 or lock.target.cores in cores:
        return ""
    usual = options.repository == DEFAULT_REPOSITORY
    where = "" if usual else f" -r {quote(str(options.repository))}"
    return f"tritongen build{where} --cpus {cores.pop()} && "


def _grouped(findings: "Sequence[Finding]") -> "list[Finding]":
    """The same finding on several models once, with all their names."""
    names: dict[tuple[str, str, str], list[str]] = {}
    for item in findings:
        names.setdefault((item.code, item.message, item.fix), []).append(item.model)
    first = {(item.code, item.message, item.fix): item for item in reversed(findings)}
    return [replace(first[key], model=", ".join(models)) for key, models in names.items()]


def _print_traffic(plan: "CapacityPlan") -> None:
    from tritongen.planner.context import show_rate

    for one in plan.traffic:
        mean, peak = show_rate(one.mean_rate), show_rate(one.peak_rate)
        say(f"{one.model}: {mean}/s on average, {peak}/s at peak {dim(f'({one.pattern})')}")
    say()


def _row(option: "Option") -> tuple[str, ...]:
    from tritongen.fleet.capacity.option_ranking import replica_range

    machine, worst, usage = option.machine, option.worst, option.utilization
    about = "≈ " if option.estimate == "bound" and option.services else ""
    return (
        machine.name,
        f"{machine.provider} {machine.region}",
        replica_range(option.least, option.most) if option.services else "–",
        about + _money(option.usd_per_month),
        about + _money(option.usd_per_million),
        _latency(worst) if worst is not None else "–",
        f"{usage[0]:.0%}, {usage[1]:.0%} at peak" if usage else "–",
        "yes" if option.feasible else option.reason,
    )


def _latency(worst: "ModelForecast") -> str:
    p99 = worst.p99_s
    high = "overload" if p99.high >= _OVERLOADED_S else f"{p99.high * 1e3:.3g}"
    return f"{p99.value * 1e3:.3g} ({p99.low * 1e3:.3g}–{high})"


def _money(value: float) -> str:
    return f"{value:,.2f}" if math.isfinite(value) else "–"


def _print_services(option: "Option") -> None:
    from tritongen.fleet.capacity.option_ranking import replica_range

    rows = []
    for service in option.services:
        split = ", ".join(
            f"{one.name} {one.instances} × {one.threads}" for one in service.placement.models
        )
        rows.append(
            (
                service.name,
                replica_range(service.least, service.most),
                f"{service.mean_paid:.3g}",
                service.policy.value,
                f"{service.placement.cores}",
                split,
            )
        )
    output.print_table(("service", "replicas", "mean", "by", "cpus", "instances × threads"), rows)
