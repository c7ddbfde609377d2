"""`plan` for programs."""

from dataclasses import dataclass

from tritongen.api.arguments import StrPath, models_path, refuse_unless_positive, writable_file
from tritongen.api.documents import findings_json, left_out_json
from tritongen.api.result import ApiResult
from tritongen.errors import ExitCode
from tritongen.fleet import plan_fleet as room
from tritongen.fleet.capacity.capacity_plan import Option, Range, ServicePlan
from tritongen.fleet.capacity.gpu_options import GpuOption
from tritongen.fleet.capacity.language_models import LanguageModelPlan
from tritongen.fleet.plan_fleet import PlanOptions
from tritongen.fleet.plan_on_gpus import measuring_command
from tritongen.model.codec import shallow, significant, view
from tritongen.model.findings import Finding
from tritongen.model.progress import Progress, silent


@dataclass(frozen=True, slots=True)
class PlannedFleet(ApiResult):
    """Which machines, how many, at what cost.

    Attributes:
        fleet: ranked options, findings, and where the plan is stored.
        top: most options in the document.
    """

    fleet: room.FleetPlan
    top: int = 10

    @property
    def findings(self) -> tuple[Finding, ...]:
        """On traffic, evidence, prices and result."""
        return self.fleet.findings

    @property
    def exit_code(self) -> ExitCode:
        """Whether no option is feasible, or a model is left out."""
        if not self.fleet.feasible:
            return ExitCode.GOAL_NOT_MET
        return ExitCode.FINDINGS if self.fleet.left_out else ExitCode.OK

    def _document(self) -> dict[str, object]:
        return _json(self.fleet, self.top)


def plan(
    models: StrPath | None = None,
    options: PlanOptions | None = None,
    *,
    top: int = 10,
    progress: Progress = silent,
) -> PlannedFleet:
    """Which machines, how many, at what cost; the best option is stored beside the repository.

    Args:
        models: folder of models, or one model file; what the repository was built from when None.
        options: how to plan; as the command does without options when None.
        top: most options in the document.
        progress: told of each model that is run.

    Raises:
        InvalidInputError: TG002 no such folder, TG009 an argument, TG32x traffic, TG33x prices,
            TG341 no service times, TG353 services.
        EnvironmentProblem: TG004, the plan cannot be stored.
    """
    options = options or PlanOptions()
    refuse_unless_positive(top=top)
    if options.output is not None and options.write:
        writable_file(options.output)
    root = models_path(models, options.repository)
    found = room.plan(
        root, options, lambda name, done, total: progress(f"trying {name}", done, total)
    )
    return PlannedFleet(found, top)


def _json(planned: room.FleetPlan, top: int) -> dict[str, object]:
    plan = planned.plan
    return {
        "options": [_option(option) for option in plan.options[:top]],
        "considered": len(plan.options),
        "traffic": [
            {
                "model": one.model,
                "mean_per_s": significant(one.mean_rate),
                "peak_per_s": significant(one.peak_rate),
                "pattern": one.pattern,
            }
            for one in plan.traffic
        ],
        "lower_bound_usd_per_month": significant(plan.lower_bound_usd_per_month),
        "nearest": [
            {**shallow(near, whole=True), "usd_per_month": significant(near.usd_per_month)}
            for near in plan.nearest
        ],
        "gpus": [_gpu(option) for option in planned.on_gpus.options[:top]],
        "language_models": [_engine(model) for model in planned.on_gpus.language_models],
        "assumptions": plan.assumptions,
        "plan_file": planned.path,
        "left_out": left_out_json(planned.left_out),
        "findings": findings_json(planned.findings),
    }


def _option(option: Option) -> dict[str, object]:
    machine, worst, usage = option.machine, option.worst, option.utilization
    return {
        "machine": machine.name,
        **view(machine, "provider", "region", "usd_per_hour", "price_date", "price_source"),
        "replicas": {"min": option.least, "max": option.most},
        "services": [_service(service) for service in option.services],
        "usd_per_month": significant(option.usd_per_month),
        "static_usd_per_month": significant(option.static_usd_per_month),
        "usd_per_million": significant(option.usd_per_million),
        "p99_us": _range_us(worst.p99_s) if worst is not None else None,
        "utilization": {"mean": significant(usage[0]), "peak": significant(usage[1])}
        if usage
        else None,
        "spare": significant(1.0 - usage[1]) if usage else None,
        "binding": option.binding,
        "lower_bound_ratio": significant(option.lower_bound_ratio),
        **view(option, "feasible", "reason", "estimate"),
    }


def _gpu(option: GpuOption) -> dict[str, object]:
    machine = option.machine
    return {
        "machine": machine.name,
        **view(machine, "provider", "region", "usd_per_hour", "price_date", "price_source"),
        "gpu": option.card,
        "gpus": machine.gpus,
        "replicas": {"min": option.fewest, "max": option.replicas},
        "usd_per_month": significant(option.usd_per_month),
        "execution_ms": significant(option.execution_ms),
        "rows": option.rows,
        "unpredicted": option.unpredicted,
        "estimate": "roofline, not measured",
    }


def _engine(model: LanguageModelPlan) -> dict[str, object]:
    demand = model.demand
    return {
        "model": model.name,
        "gpus": demand.split,
        "engines": demand.engines,
        "memory_share": significant(demand.share),
        "weight_bytes": demand.size.weight_bytes or None,
        "token_bytes": demand.size.token_bytes or None,
        "max_tokens": demand.length or None,
        "size_from": demand.size.source,
        "cards": [
            {
                "gpu": fit.card,
                "gpus": fit.gpus or None,
                "fits": fit.gpus == demand.split,
                "cache_bytes": fit.memory.cache_bytes if fit.gpus else None,
                "tokens": fit.memory.tokens if fit.gpus else None,
                "requests": fit.requests if fit.gpus else None,
            }
            for fit in model.cards
        ],
        "measure": measuring_command(model),
    }


def _service(service: ServicePlan) -> dict[str, object]:
    return {
        **view(service, "name", "models"),
        "cpus": service.placement.cores,
        **view(service, "memory_bytes", "instances", "threads"),
        "split": [
            {
                "model": one.name,
                **view(one, "instances", "threads"),
                "max_batch_size": one.max_batch,
                "queue_delay_us": None if one.delay_s is None else _us(one.delay_s),
            }
            for one in service.placement.models
        ],
        "policy": service.policy,
        "replicas": {
            "min": service.least,
            "max": service.most,
            "mean": significant(service.mean_paid),
        },
        "endpoints": service.endpoints,
        "hourly": service.hourly,
        "rate_per_s": significant(service.rate_per_s),
        "concurrency": service.concurrency,
        "latency": [
            {
                **view(one, "model", "percentile"),
                "us": _range_us(one.latency_s),
                "goal_us": _us(one.limit_s),
                "stated": one.stated,
                "late_share": significant(one.late_share),
            }
            for one in service.forecasts
        ],
    }


def _range_us(latency_s: Range) -> dict[str, float]:
    return {"value": _us(latency_s.value), "low": _us(latency_s.low), "high": _us(latency_s.high)}


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 1)
