"""The trial itself, as the child runs it, from loading to the last measurement."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tritongen.model.agreement import TOLERANCES, gap
from tritongen.model.evidence import NOT_LOADED, BatchProof, BatchVerdict, Cost, ObservedTensor
from tritongen.model.graph_work import GraphWork
from tritongen.model.samples import Array, InputRecipe, make_inputs, zero_inputs
from tritongen.model.tensors import DType, TensorKind, TensorSpec, fits, show_shape
from tritongen.system import process_usage
from tritongen.trial.axis_runs import AxisProver
from tritongen.trial.batch_proof import ROWS, Prover, obstacle
from tritongen.trial.child_report import COUNTING, Reporter
from tritongen.trial.child_request import Feed, TrialRequest
from tritongen.trial.costs import Stopwatch
from tritongen.trial.feeding import Fed, find_axes, find_inputs, usual_inputs
from tritongen.trial.onnx_runtime import OnnxRuntime
from tritongen.trial.operator_work import Executed, graph_work
from tritongen.trial.python_runtime import PythonSession
from tritongen.trial.real_samples import naming, real_rows, run_samples
from tritongen.trial.runtime import LoadedModel, ModelRuntime, RuntimeRefusal, first_response
from tritongen.triton.sample_tensors import Sample

# Parts of the wall clock: for finding inputs, and for the proof's further seeds.
_SEARCH_SHARE = 0.4
_PROOF_SHARE = 0.2
# The first seed of the proof runs 9 rows; a safe part of the time that is left must hold them.
_PROOF_ROWS = 9
_REPEATS = 2
# Axes may take two seconds, or such a part of what the rest of the trial took; chosen, so that a
# long trial takes at most half as long again, and a busy machine leaves no short one without them.
_AXES_S, _AXES_SHARE = 2.0, 0.4
_AXES_END_SHARE = 0.95
# Operations are counted where that takes at most this part of what is left, by the model's first
# load and run. Chosen: without a count nothing is lost but an estimate for other machines.
_WORK_SHARE = 0.3


def perform(
    request: TrialRequest,
    runtime: ModelRuntime,
    report: Reporter,
    samples: Sequence[Sample] = (),
) -> None:
    """Run the trial, on samples where there are any; report every result once it is known."""
    begun = time.monotonic()
    ran = _run_all(request, runtime, report, samples, begun)
    # With the model unloaded again, and last: what it may cost takes nothing with it.
    left = begun + request.limits.timeout_s * _AXES_END_SHARE - time.monotonic()
    if isinstance(runtime, OnnxRuntime) and ran is not None and ran.seconds < left * _WORK_SHARE:
        report.stage(COUNTING)
        report.known(work=_work(runtime, Path(request.path), ran, request.seed))


@dataclass(frozen=True, slots=True)
class _Ran:
    """A model that ran.

    Attributes:
        recipes: its inputs.
        batched: whether axis 0 is a proven batch axis.
        seconds: what loading it twice and running it take.
    """

    recipes: tuple[InputRecipe, ...]
    batched: bool
    seconds: float


def _work(runtime: OnnxRuntime, path: Path, ran: _Ran, seed: int) -> GraphWork | None:
    """Operations and bytes by rows; None where this runtime does not tell them."""
    executions: list[list[Executed]] = []
    try:
        for rows in (1, 2) if ran.batched else (1,):
            sized = [one.with_rows(rows) for one in ran.recipes] if ran.batched else ran.recipes
            executions.append(runtime.operators(path, make_inputs(sized, seed)))
        return graph_work(executions[0], executions[1] if ran.batched else None)
    except (RuntimeRefusal, LookupError, TypeError, ValueError):
        return None


def _run_all(
    request: TrialRequest,
    runtime: ModelRuntime,
    report: Reporter,
    samples: Sequence[Sample],
    begun: float,
) -> _Ran | None:
    """Everything that needs the model loaded as Triton does; None where it does not run."""
    report.known(runtime=runtime.name, seed=request.seed)
    idle = process_usage.resident_bytes(os.getpid())
    process_usage.reset_peak()
    try:
        report.stage("loading the model")
        model = runtime.load(Path(request.path), threads=1)
        load_s = time.monotonic() - begun
        reported = tuple(model.inputs)
        report.known(reported_inputs=reported, reported_outputs=tuple(model.outputs))
        report.stage("running 1 row")
        search_end = begun + request.limits.timeout_s * _SEARCH_SHARE
        request, fed = _find(request, model, search_end, samples, report)
        if request.open_shapes:
            report.stage("running other sizes")
            reported, outputs = find_axes(model, fed, request.seed)
            report.known(reported_inputs=reported, reported_outputs=outputs)
            report.stage("running 1 row")
    except RuntimeRefusal as refusal:
        report.known(ok=False, code=_code(refusal), error=refusal.message)
        return None
    run = _TrialRun(request, model, fed, report, begun)
    proof = run.prove()
    if isinstance(model, PythonSession):
        report.known(decoupled=model.decoupled)
    batched = proof.verdict is BatchVerdict.PROVEN
    report.stage("running all-zero inputs")
    report.known(zeros_ok=_zeros_run(model, run.fed.recipes, batched=batched))
    report.known(peak_bytes=max(0, process_usage.peak_bytes() - idle))
    left = begun + request.limits.timeout_s * 0.8 - time.monotonic()
    budget = min(request.limits.time_budget_s, left)
    if budget > 0:
        watch = Stopwatch(runtime, model, run.fed.recipes, request, batched, load_s)
        _measure(watch, budget, idle, report)
    rows = proof.verdict in {BatchVerdict.PROVEN, BatchVerdict.COUPLED}
    now, end = time.monotonic(), begun + request.limits.timeout_s * _AXES_END_SHARE
    deadline = min(end, now + max(_AXES_S, _AXES_SHARE * (now - begun)))
    # Last: a size that ends the process takes nothing with it.
    AxisProver(model, request, run.fed, reported, rows, deadline, report).prove()
    return _Ran(run.fed.recipes, batched, 2 * (load_s + run.fed.seconds))


def _code(refusal: RuntimeRefusal) -> str:
    if refusal.for_good:
        return NOT_LOADED
    if "locale with name:" in refusal.message:
        return "TG218"
    return "TG203" if refusal.out_of_memory else "TG201"


def _find(
    request: TrialRequest,
    model: LoadedModel,
    deadline: float,
    samples: Sequence[Sample],
    report: Reporter,
) -> tuple[TrialRequest, Fed]:
    """Inputs that run, and the request with the guess that they rest on.

    Raises:
        RuntimeRefusal: nothing runs; the message is that of the first attempt.
    """
    first: RuntimeRefusal | None = None
    real = real_rows(samples)
    for feeds in (request.inputs, *request.guesses):
        try:
            with naming(*samples):
                fed = find_inputs(model, feeds, request.seed, deadline, real, request.axes)
            run_samples(model, samples, fed.recipes, request.seed, deadline)
            return replace(request, inputs=feeds), fed
        except RuntimeRefusal as refusal:
            first = first or refusal
            if time.monotonic() > deadline:
                break
    if first is not None and first.about_inputs:
        report.known(refused=_observed(usual_inputs(request.inputs, real, request.axes)))
    raise first or RuntimeRefusal("the model takes no inputs that could be generated")


@dataclass(slots=True)
class _TrialRun:
    """A model that runs on some inputs.

    Attributes:
        request: with the inputs that run.
        model: loaded.
        fed: how they ran.
        report: told of everything that becomes known.
        begun: `time.monotonic()` of the trial's begin.
    """

    request: TrialRequest
    model: LoadedModel
    fed: Fed
    report: Reporter
    begun: float

    def prove(self) -> BatchProof:
        """Observed tensors, determinism, the verdict; inputs of the user's full sizes follow it."""
        self._observe()
        self.report.stage("running the same row again")
        changing = self._changing_output()
        self.report.known(deterministic=changing is None)
        proof = self._verdict(changing)
        self.report.known(proof=proof)
        full = _full_sizes(self.request.inputs, self.fed)
        if proof.verdict is not BatchVerdict.PROVEN and full:
            self.report.stage("running the sizes of tritongen.yaml")
            with suppress(RuntimeRefusal):
                outputs = self.model.run(make_inputs(full, self.request.seed))
                self.fed = replace(self.fed, recipes=full, outputs=outputs)
                self._observe()
        return proof

    def _observe(self) -> None:
        inputs = _observed(self.fed.recipes)
        outputs = _observed_outputs(first_response(self.fed.outputs))
        mismatches = tuple(_mismatches(self.request.interface.outputs, outputs))
        self.report.known(ok=True, inputs=inputs, outputs=outputs, mismatches=mismatches)

    def _changing_output(self) -> str | None:
        """The first output that differs between runs on the same input, None when none does."""
        inputs = make_inputs(self.fed.recipes, self.request.seed)
        tolerance = TOLERANCES[self.request.precision]
        for _ in range(_REPEATS):
            try:
                again = self.model.run(inputs)
            except RuntimeRefusal:
                # It ran before; a model that refuses its own input later is no more reliable.
                return next(iter(self.fed.outputs), None)
            for name, array in self.fed.outputs.items():
                other = again.get(name)
                if (
                    other is None
                    or array.shape != other.shape
                    or gap(name, array, other, tolerance).exceeds
                ):
                    return name
        return None

    def _verdict(self, changing: str | None) -> BatchProof:
        known = obstacle(self.request.inputs, self.request.batch)
        if known is not None:
            return known
        if not self.fed.one_row:
            reason = f"the runtime refuses a single row: {self.fed.first_refusal}"
            return BatchProof(BatchVerdict.DISPROVEN, reason)
        if changing is not None:
            return BatchProof(
                BatchVerdict.UNTESTED,
                f"output {changing!r} differs between two runs on the same input, so rows cannot "
                "be compared",
            )
        timeout_s = self.request.limits.timeout_s
        left = self.begun + timeout_s - time.monotonic()
        if self.fed.seconds * _PROOF_ROWS > left * 0.7:
            return BatchProof(
                BatchVerdict.UNTESTED,
                f"one run takes {self.fed.seconds:.1f} s, too long to compare 2 and 3 rows within "
                "the trial's time limit",
            )
        prover = Prover(
            self.model,
            self.fed.recipes,
            self.request,
            time.monotonic() + timeout_s * _PROOF_SHARE,
            self.report.running,
        )
        proof = prover.prove()
        if proof.verdict is BatchVerdict.PROVEN:
            # Known from here on, whatever many rows do to the process.
            self.report.known(proof=proof)
            proof = prover.prove_most()
        return proof


def _observed(recipes: Sequence[InputRecipe]) -> tuple[ObservedTensor, ...]:
    return tuple(
        ObservedTensor(recipe.name, recipe.dtype, recipe.shape, recipe.description)
        for recipe in recipes
    )


def _full_sizes(feeds: Sequence[Feed], fed: Fed) -> tuple[InputRecipe, ...] | None:
    """Recipes with the user's size of axis 0 too, None where they are those already."""
    sizes = {feed.name: feed.sizes for feed in feeds}
    full = tuple(
        replace(recipe, shape=sizes.get(recipe.name) or recipe.shape) for recipe in fed.recipes
    )
    return full if full != fed.recipes else None


def _zeros_run(session: LoadedModel, recipes: Sequence[InputRecipe], *, batched: bool) -> bool:
    """Whether all-zero inputs run, with one row and with the most rows that were compared."""
    for rows in (1, ROWS[-1]) if batched else (1,):
        sized = [recipe.with_rows(rows) for recipe in recipes] if batched else recipes
        try:
            session.run(zero_inputs(sized))
        except RuntimeRefusal:
            return False
    return True


def _measure(watch: Stopwatch, seconds: float, idle: int, report: Reporter) -> None:
    begun = time.monotonic()
    report.stage("measuring execution times")
    costs: list[Cost] = watch.rows(seconds)
    report.known(costs=tuple(costs), peak_bytes=max(0, process_usage.peak_bytes() - idle))
    report.stage("measuring execution times with more threads")
    for cost in watch.threads(seconds - (time.monotonic() - begun)):
        costs.append(cost)
        report.known(costs=tuple(costs))


def _observed_outputs(outputs: Mapping[str, Array]) -> tuple[ObservedTensor, ...]:
    by_name = {dtype.numpy_name: dtype for dtype in DType}
    return tuple(
        ObservedTensor(name, by_name[array.dtype.name], array.shape)
        for name, array in outputs.items()
        if array.dtype.name in by_name
    )


def _mismatches(declared: Sequence[TensorSpec], observed: Sequence[ObservedTensor]) -> list[str]:
    """One sentence for every output that did not come back as declared."""
    by_name = {item.name: item for item in observed}
    found = []
    for spec in declared:
        item = by_name.get(spec.name)
        if item is None or spec.kind is not TensorKind.TENSOR:
            continue
        if spec.dtype is not None and spec.dtype is not item.dtype:
            found.append(
                f"output {spec.name!r} is declared as {spec.dtype} and came back as {item.dtype}"
            )
        if spec.shape is not None and not fits(spec.shape, item.shape):
            found.append(
                f"output {spec.name!r} is declared as {show_shape(spec.shape)} and came back as "
                f"{list(item.shape)}"
            )
    return found
