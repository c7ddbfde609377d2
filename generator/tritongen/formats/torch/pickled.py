"""Files of `torch.save`: weights, or whole modules, that only their own code can run."""

from tritongen.formats.parsing.pickles import Made, Name, Pickle
from tritongen.formats.parsing.wire import DamagedError
from tritongen.formats.parsing.zip_archives import Archive
from tritongen.formats.reading import ModelSource, ranked
from tritongen.formats.torch.archive import pickle_in, root_of, weight_bytes
from tritongen.formats.torch.pickled_weights import weights_of
from tritongen.model.facts import ModelFacts
from tritongen.system.paths import read_head

_FIX = (
    "Export the model from its training code: torch.onnx.export (fastest on a CPU), or "
    "torch.jit.script(model).save('model.pt')."
)


def read_torch_pickle(source: ModelSource) -> ModelFacts:
    """What the file holds, and why it cannot be served; nothing is unpickled.

    Raises:
        OSError: it cannot be opened.
    """
    counts, size, what = {}, 0, "weights"
    try:
        if read_head(source.file, 2) == b"PK":
            with Archive(source.file) as archive:
                data = pickle_in(archive, f"{root_of(archive)}data.pkl")
                size = weight_bytes(archive)
                if data is not None:
                    counts = dict(weights_of(data.value).counts)
                    what = _what(data)
    except DamagedError:
        pass  # the pickle is not loaded either way; its size is told without it
    fault = source.finding(
        "TG129",
        f"a pickle of {what} without the code that runs it; loading it would run whatever code it "
        "holds",
        fix=_FIX,
    )
    return ModelFacts(
        source.model,
        source.path,
        source.format,
        parameters=sum(counts.values()),
        weight_bytes=size,
        precisions=ranked(counts),
        findings=(fault,),
    )


def _what(data: Pickle) -> str:
    """Weights by name, or the class of a whole module."""
    if isinstance(data.value, Made) and isinstance(data.value.of, Name):
        name = data.value.of
        if name.name != "OrderedDict":
            return f"the module {name.full}"
    return "weights"
