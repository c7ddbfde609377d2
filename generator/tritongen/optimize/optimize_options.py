"""What `tritongen optimize` is asked to do."""

from dataclasses import dataclass, field

from tritongen.optimize.worker_process import ChildLimits


@dataclass(frozen=True, slots=True)
class OptimizeOptions:
    """What to do.

    Attributes:
        fix: keep the fixes; otherwise they are tried and shown.
        quantize: make 8-bit variants, and half precision ones for a target with a GPU.
        graph: save the graph optimised offline.
        openvino: convert to OpenVINO IR, which Triton serves by another backend.
        accelerate: keep variants with the accelerators of the target in their configuration.
        data: samples, over `accuracy.data` of tritongen.yaml; relative to the current folder.
        metric: over `accuracy.metric`.
        max_drop: over `accuracy.max_drop`.
        string_labels: serve text labels as texts; False makes them indices.
        isa: instruction sets of the target's CPU; ``auto`` takes this machine's.
        limits: of each piece of work.
        budget_s: seconds for the searches and measurements of each piece.
        code: whether functions that tritongen.yaml names may run.
    """

    fix: bool = False
    quantize: bool = False
    graph: bool = False
    openvino: bool = False
    accelerate: bool = False
    data: str = ""
    metric: str = ""
    max_drop: float | None = None
    string_labels: bool = True
    isa: str = "auto"
    limits: ChildLimits = field(default_factory=ChildLimits)
    budget_s: float = 60.0
    code: bool = True

    @property
    def elsewhere(self) -> bool:
        """Whether the target's CPU may be another one than this machine's."""
        return self.isa != "auto"
