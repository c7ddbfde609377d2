"""Findings on what a trial observed, and on what a plan cannot fulfil."""

from collections.abc import Collection, Iterator, Sequence

from tritongen.model.evidence import AxisProof, AxisVerdict, BatchVerdict, Trial
from tritongen.model.facts import NAMED_LATER
from tritongen.model.findings import Finding, Severity, finding
from tritongen.model.serving_plan import InstanceKind
from tritongen.model.tensors import DType
from tritongen.planner.batching import OVERHEAD_MS, BatchPlan
from tritongen.planner.context import ModelInput
from tritongen.planner.instances import Share, Split

# Chosen: more names say no more.
_MAX_NAMED = 4


def trial_findings(model: str, trial: Trial) -> Iterator[Finding]:
    """Every warning of a trial, the most serious first; none when it went well."""
    if not trial.ok:
        yield _not_run(model, trial)
        return
    if trial.code:
        message = f"the model ran on its first input, and the trial ended early: {trial.error}"
        yield finding(trial.code, Severity.WARNING, message, model=model)
    for sentence in trial.mismatches:
        yield finding("TG207", Severity.WARNING, sentence, model=model)
    if not trial.deterministic:
        message = "the same input gives different outputs"
        yield finding("TG209", Severity.WARNING, message, model=model)
    if trial.proof.verdict is BatchVerdict.COUPLED:
        yield finding("TG206", Severity.WARNING, trial.proof.reason, model=model)
    for axis in {item.label: item for item in reversed(trial.axes) if item.narrow}.values():
        yield _narrow(model, axis)


def _not_run(model: str, trial: Trial) -> Finding:
    """A failed run; one on made-up values is a question for real ones."""
    code, message, fix = trial.code or "TG201", f"the model did not run: {trial.error}", ""
    if trial.refused and code == "TG201":
        made = (f"{one.name} ({one.values})" for one in trial.refused[:_MAX_NAMED])
        more = len(trial.refused) - _MAX_NAMED
        rest = f" and {more} more inputs" if more > 0 else ""
        message += f"; made up were {', '.join(made)}{rest}"
        # Of a text, or an encoded image, a file is one element.
        texts = [one.name for one in trial.refused if one.dtype is DType.BYTES]
        files = f"{{ {texts[0]}: DIR/* }}" if len(trial.refused) == len(texts) == 1 else "FILE.npz"
        fix = (
            "Read the runtime's message; declare real input shapes or ranges in tritongen.yaml, "
            f"or name real inputs there: models.{model}.samples: {files}"
        )
    return finding(code, Severity.WARNING, message, model=model, fix=fix)


def _narrow(model: str, axis: AxisProof) -> Finding:
    """An axis that takes less than the file or tritongen.yaml says, once for all its inputs."""
    fix = ""
    if axis.verdict is AxisVerdict.FIXED:
        name = axis.symbol or f'"{axis.label}"'
        fix = (
            "Export the model with that axis dynamic, or say that clients send no other size: "
            f"models.{model}.axes: {{ {name}: {{ min: {axis.bound}, max: {axis.bound} }} }}"
        )
    message = f"input {axis.input!r}, {axis.sentence}"
    return finding("TG200", Severity.WARNING, message, model=model, field=axis.input, fix=fix)


def callee_findings(
    models: Sequence[ModelInput], pipelines: Collection[str]
) -> tuple[Finding, ...]:
    """Models that others call by their name and that this server does not have.

    Args:
        models: that are served.
        pipelines: names of pipelines, which can be called as well.
    """
    served = {model.facts.name for model in models} | set(pipelines)
    return tuple(
        finding(
            "TG146",
            Severity.WARNING,
            f"{model.facts.name} calls {callee}, which is not served here",
            model=model.facts.name,
            path=model.facts.path,
        )
        for model in models
        for callee in (model.facts.python.callees if model.facts.python is not None else ())
        if callee not in served and callee != NAMED_LATER
    )


def plan_findings(
    model: ModelInput, split: Split, share: Share, batch: BatchPlan, cores: int
) -> Iterator[Finding]:
    """What a model's plan rests on less than was wished, and what it cannot fulfil.

    Args:
        model: with intent and trial.
        split: its instances and threads.
        share: its cores.
        batch: how it batches.
        cores: of the whole target.
    """
    yield from split.findings
    name, trial = model.facts.name, model.trial
    if trial is None:
        message = f"{name} is planned from syntax alone; it was not run"
        yield finding("TG312", Severity.INFO, message)
    else:
        yield from trial_findings(name, trial)
        if model.verdict is BatchVerdict.DISPROVEN and model.intent.batch is True:
            yield finding(
                "TG205",
                Severity.ERROR,
                f"tritongen.yaml demands batching, the trial disproves it: {trial.proof.reason}",
                field="batch",
                fix="Leave `batch` and an overlay's `max_batch_size` out to serve it without "
                "batching, or make its first axis a true batch axis.",
            )
    yield from _too_many_threads(name, split, cores)
    yield from _too_high_a_rate(model, split, share, batch)


def _too_many_threads(name: str, split: Split, cores: int) -> Iterator[Finding]:
    threads = split.threads.value
    if split.kind.value is InstanceKind.CPU and threads > cores:
        message = f"one instance has {threads} threads, the target has {cores} cores"
        fix = f"Lower models.{name}.threads in tritongen.yaml, or raise target.cpus."
        yield finding("TG305", Severity.ERROR, message, fix=fix, field="threads")


def _too_high_a_rate(
    model: ModelInput, split: Split, share: Share, batch: BatchPlan
) -> Iterator[Finding]:
    rate = model.intent.planning_rate
    if rate is None or split.kind.value is not InstanceKind.CPU:
        return
    limit = batch.max_batch_size.value if batch.batching is not None else 1
    threads = split.threads.value
    known = threads if threads in {cost.threads for cost in model.costs} else 1
    items = [
        cost.ms / cost.batch
        for cost in model.costs
        if cost.batch <= max(limit, 1) and cost.threads == known
    ]
    # A client that sends several rows pays for each of them.
    busy = rate * model.intent.request_batch * min(items, default=0.0) / 1000
    if busy > split.instances.value:
        message = (
            f"{rate:g} requests/s keep {busy:.3g} instances busy, the plan has "
            f"{split.instances.value}; the queue would grow without end"
        )
        yield finding("TG315", Severity.WARNING, message, field="rate")
        return
    # Beside its execution each request costs the server itself a part of a core.
    own_ms = (model.served.front_end_ms if model.served is not None else 0.0) or OVERHEAD_MS
    work = busy * threads + rate * own_ms / 1000
    if work > share.cores:
        message = (
            f"{rate:g} requests/s keep {work:.3g} cores busy, {own_ms:.2g} ms of each in the "
            f"server itself; the plan has {share.cores}: the queue would grow without end"
        )
        yield finding("TG315", Severity.WARNING, message, field="rate")
