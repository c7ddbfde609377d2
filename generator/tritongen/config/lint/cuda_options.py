"""Fields of `optimization.cuda`, which the TensorRT backend alone reads."""

from collections.abc import Iterator

from tritongen.config.lint.linted_model import LintedModel
from tritongen.config.lint.repository_view import LintContext
from tritongen.model.findings import Finding

_CUDA = "optimization.cuda"
_FIELDS = ("graphs", "busy_wait_events", "output_copy_stream", "graph_spec")


def read_by_tensorrt(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """CUDA graphs, busy waiting and the stream for outputs do nothing in other backends."""
    if model.config.backend in {"", "tensorrt"} or model.is_ensemble:
        return
    for name in _FIELDS:
        if getattr(model.config.optimization.cuda, name):
            message = f"backend {model.config.backend} does not read {name}; TensorRT's does"
            yield model.warning("TG614", f"{_CUDA}.{name}", message)


def graph_sizes(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """A CUDA graph is made for a batch that can occur."""
    if model.config.backend != "tensorrt":
        return
    most = model.config.max_batch_size
    for field, spec in model.each(f"{_CUDA}.graph_spec"):
        size = spec.batch_size
        if most == 0 and size != 0:
            message = f"a graph for {size} rows, and the model takes no batches"
            yield model.error("TG547", f"{field}.batch_size", message, "Write batch_size: 0.")
        elif most > 0 and not 1 <= size <= most:
            message = f"a graph for {size} rows; batches have 1 to {most}"
            yield model.error("TG547", f"{field}.batch_size", message)
    if model.config.optimization.cuda.graph_spec and not model.config.optimization.cuda.graphs:
        message = "graph_spec without graphs: true makes no graph"
        yield model.warning("TG614", f"{_CUDA}.graph_spec", message, "Write graphs: true.")
