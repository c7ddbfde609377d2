"""The proof of dynamic axes: the model runs at the sizes that a search asks for.

Each run is announced with what is known so far, so that a size that ends the process costs the
verdict on its own axis alone.
"""

import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import le

from tritongen.model.evidence import AxisProof, AxisVerdict, ReportedTensor
from tritongen.model.samples import InputRecipe, make_inputs
from tritongen.system import process_usage
from tritongen.trial.axes import Answer, Proofs, Reply, Sizes, follow, search_axes
from tritongen.trial.child_report import Reporter
from tritongen.trial.child_request import TrialRequest
from tritongen.trial.feeding import Fed, open_sizes, resized
from tritongen.trial.runtime import LoadedModel, RuntimeRefusal
from tritongen.trial.sizes import axis_labels

# Time and memory are taken to grow with the square of a size, as attention's do.
_GROWTH = 2
# One run may take so much of the time that is left, and of the memory that the process may take.
_RUN_SHARE = 0.5
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(slots=True)
class AxisProver:
    """Proves the axes of one loaded model.

    Attributes:
        model: loaded.
        request: its inputs, and what the user says of its axes.
        fed: inputs that ran.
        reported: the inputs as the runtime sees them.
        batched: whether axis 0 is the batch, which has a proof of its own.
        deadline: `time.monotonic()` after which nothing is run.
        report: told of each run and of what is known.
    """

    model: LoadedModel
    request: TrialRequest
    fed: Fed
    reported: Sequence[ReportedTensor]
    batched: bool
    deadline: float
    report: Reporter
    _took: dict[tuple[int, ...], tuple[float, int]] = field(default_factory=dict)
    _tried: dict[str, dict[int, bool]] = field(default_factory=dict)
    _found: Proofs = field(default_factory=dict)

    def prove(self) -> None:
        """Report the proof of every open axis."""
        sizes = open_sizes(self.request.inputs, self.fed.recipes, batched=self.batched)
        self._tried = {label: {size: True} for label, size in sizes.items()}
        self._found = self._unsearched()
        first = {label: size for label, size in sizes.items() if label not in self._found}
        self._search(first, self.fed.recipes, self._found)
        # Axes that seem fixed, with zeros: where these run at other sizes, values are at fault.
        zeros = tuple(replace(recipe, values="zeros") for recipe in self.fed.recipes)
        doubted: Proofs = {}
        narrow = {name: n for name, n in first.items() if self._found[name].refuses}
        self._search(narrow, zeros, doubted)
        for name, proof in doubted.items():
            if proof.verdict is not AxisVerdict.FIXED:
                why = "other sizes run with zeros only; describe real values in tritongen.yaml"
                self._found[name] = AxisProof(reason=why)
        self.report.known(axes=self._proofs(self._found))

    def _axes(self) -> Iterator[tuple[str, int, str, list[str], int]]:
        """Input, position, dimension, labels and size, where the runtime knows it, of each axis."""
        known = {(item.name, at): n for item in self.reported for at, n in enumerate(item.dims)}
        for feed in self.request.inputs:
            for axis, dim in enumerate(feed.shape or ()):
                labels, size = axis_labels(feed, axis), known.get((feed.name, axis), -1)
                # Where the runs alone tell which axes vary, those that do not are no dynamic ones.
                varies = labels and not (self.request.open_shapes and size > 0)
                if varies and not (self.batched and axis == 0):
                    yield feed.name, axis, str(dim or ""), labels, size

    def _unsearched(self) -> Proofs:
        """Axes whose size stands in the graph, or is computed from others."""
        found: Proofs = {}
        for name, axis, dim, labels, size in self._axes():
            words = _WORD.findall(dim)
            if words and labels == [f"{name}[{axis}]"]:
                computed = AxisProof(reason=f"sizes are computed: {dim}")
                found |= dict.fromkeys([*labels, *words], computed)
            elif dim in {"", *labels} and size > 0:
                why = f"the runtime finds {size} in the graph"
                fixed = AxisProof("", 0, "", AxisVerdict.FIXED, size, (), why, narrow=True)
                found[labels[0]] = fixed
        return found

    def _search(self, first: Sizes, recipes: Sequence[InputRecipe], found: Proofs) -> None:
        self._took = {tuple(first.values()): (self.fed.seconds, 0)}
        search = search_axes(first, self.request.axes, found)
        follow(search, lambda sizes: self._run(first, sizes, recipes))

    def _run(self, first: Sizes, sizes: Sizes, recipes: Sequence[InputRecipe]) -> Reply:
        if words := self._too_much(sizes):
            return Answer.NOT_RUN, words
        moved = {label: size for label, size in sizes.items() if size != first[label]}
        self._announce(moved)
        more = {label: size - first[label] for label, size in moved.items()}
        longer = resized(self.request.inputs, recipes, more)
        before, begun = process_usage.resident_bytes(os.getpid()), time.monotonic()
        process_usage.reset_peak()
        try:
            outputs = self.model.run(make_inputs(longer, self.request.seed))
        except RuntimeRefusal as refusal:
            answer = Answer.NOT_RUN if refusal.out_of_memory else Answer.REFUSED
            return answer, refusal.message
        for name, array in outputs.items() if self.batched else ():
            # A length that the graph has baked in makes several rows of a multiple of it.
            if array.shape[:1] != self.fed.outputs.get(name, array).shape[:1]:
                return Answer.REFUSED, f"output {name!r} has {array.shape[0]} rows for one"
        taken = max(0, process_usage.peak_bytes() - before)
        self._took[tuple(sizes.values())] = time.monotonic() - begun, taken
        for label, size in moved.items():
            self._tried[label][size] = True
        return Answer.RAN, ""

    def _too_much(self, sizes: Sizes) -> str:
        """Why these sizes are better not run, by what smaller ones took; empty where they are."""
        wanted = tuple(sizes.values())
        below = [own for own in self._took if all(map(le, own, wanted))]
        like = max(below or list(self._took)[:1], key=math.prod)
        growth = (math.prod(wanted) / math.prod(like)) ** _GROWTH
        seconds, taken = self._took[like]
        if seconds * growth > (self.deadline - time.monotonic()) * _RUN_SHARE:
            return "it would take too long"
        allowed = self.request.limits.address_space * _RUN_SHARE
        return "it would take too much memory" if 0 < allowed < taken * growth else ""

    def _announce(self, moved: Sizes) -> None:
        """What is about to run, and what holds should the process end there."""
        pending = {}
        for label, size in moved.items():
            ran = [n for n, well in self._tried[label].items() if well]
            self._tried[label].setdefault(size, False)
            proof = AxisProof(reason=f"the process ended at {size}", narrow=True)
            if len(ran) > 1:
                proof = replace(proof, verdict=AxisVerdict.BOUNDED, bound=max(ran))
            pending[label] = proof
        self.report.known(axes=self._proofs(pending | self._found))
        self.report.stage("running " + ", ".join(f"{label} of {n}" for label, n in moved.items()))

    def _proofs(self, found: Mapping[str, AxisProof]) -> tuple[AxisProof, ...]:
        """One for each open axis; a sum of several has none of its own."""
        proofs = []
        for name, axis, dim, labels, _ in self._axes():
            symbol = dim if labels != [f"{name}[{axis}]"] else ""
            proof = AxisProof(reason=f"it follows {' and '.join(labels)}")
            if symbol in {"", labels[0]}:
                proof = found.get(labels[0], AxisProof())
            tried = tuple(self._tried.get(symbol or labels[0], ()))
            proofs.append(replace(proof, input=name, axis=axis, symbol=symbol, tried=tried))
        return tuple(proofs)
