"""Can Triton serve it? Inputs, outputs and versions, held against a release and its backend."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from tritongen.model.backends import BackendRules, backend_for
from tritongen.model.declared_tensors import OPEN_FORMATS
from tritongen.model.facts import ModelFacts, OnnxFacts
from tritongen.model.findings import Finding, Severity
from tritongen.model.releases import RELEASES, Release, at_least
from tritongen.model.tensors import DType, TensorKind, TensorSpec, show_shape

# protobuf reads no message of 2 GiB or more.
_PROTOBUF_LIMIT_BYTES = 1 << 31

# Greatest opset that a release knows, for the domains that grow.
_OPSETS: Mapping[str, Callable[[Release], int]] = {
    "ai.onnx": lambda release: release.onnx_opset,
    "ai.onnx.ml": lambda release: release.onnx_ml_opset,
}

# ONNX Runtime promises nothing for older ones, and lacks many of their operators.
_FIRST_OPSET = 7

# Domains that have had version 1 only, in every ONNX Runtime.
_FIRST_ONLY = frozenset({"ai.onnx.preview.training", "ai.onnx.training", "com.microsoft"})


def validate(facts: ModelFacts, release: Release, *, library: bool = False) -> tuple[Finding, ...]:
    """What stands against serving a model, and what its server would get wrong.

    Args:
        facts: as read; findings that it holds already are not repeated.
        release: the target.
        library: whether the overlay names a library with the model's own operators.
    """
    rules = backend_for(facts.format)
    found: list[Finding] = []
    for role, specs in (("input", facts.inputs), ("output", facts.outputs)):
        for spec in specs:
            found += _tensor(facts, role, spec, rules, release)
        found += _duplicates(facts, role, specs)
    found += _served(facts, rules, release)
    if facts.onnx is not None or (facts.format not in OPEN_FORMATS and not facts.outputs):
        found += _counts(facts)
    if facts.onnx is not None:
        found += _batch_axis(facts)
        found += _versions(facts, facts.onnx, release)
        found += _custom(facts, facts.onnx.custom_domains, library=library)
        found += _size(facts)
    return tuple(found)


def _tensor(
    facts: ModelFacts, role: str, spec: TensorSpec, rules: BackendRules | None, release: Release
) -> Iterator[Finding]:
    """Everything about one input or output."""
    yield from _name(facts, role, spec)
    if spec.kind is not TensorKind.TENSOR:
        yield _container(facts, role, spec)
        return
    yield from _dtype(facts, role, spec, rules, release)
    yield from _shape(facts, role, spec, rules)


def _name(facts: ModelFacts, role: str, spec: TensorSpec) -> Iterator[Finding]:
    """Names that were seen to break a server; blanks, slashes and dots do not."""
    if not spec.name:
        yield facts.finding("TG116", f"an {role} has no name")
    elif "\0" in spec.name:
        message = f"{role} {spec.name!r}: Triton cuts a name at its NUL character"
        yield facts.finding("TG116", message, field=spec.name)
    elif not spec.name.isprintable():
        message = f"{role} {spec.name!r} has invisible characters; clients must spell them exactly"
        yield facts.finding("TG116", message, severity=Severity.WARNING, field=spec.name)


def _duplicates(facts: ModelFacts, role: str, specs: tuple[TensorSpec, ...]) -> Iterator[Finding]:
    for name, count in Counter(spec.name for spec in specs).items():
        if count > 1 and name:
            message = f"{count} {role}s have the name {name!r}"
            yield facts.finding("TG116", message, field=name)


def _container(facts: ModelFacts, role: str, spec: TensorSpec) -> Finding:
    what = f"{role} {spec.name!r} is {spec.declared_type}; Triton serves tensors only"
    code, fix = "TG110", ""
    if spec.kind is TensorKind.SPARSE:
        code = "TG112"
    elif spec.kind is TensorKind.OPTIONAL:
        code = "TG111"
    elif spec.declared_type.startswith("seq(map("):
        fix = (
            "Export the classifier without ZipMap (skl2onnx: options={'zipmap': False}), "
            "or run `tritongen optimize --fix`."
        )
    return facts.finding(code, what, fix=fix, field=spec.name)


def _dtype(
    facts: ModelFacts, role: str, spec: TensorSpec, rules: BackendRules | None, release: Release
) -> Iterator[Finding]:
    if spec.dtype is None and facts.format in OPEN_FORMATS and not spec.declared_type:
        return  # told with everything else that the file leaves open
    if not spec.declared_type:
        message = f"{role} {spec.name!r} declares no element type"
        fix = "Run onnx.shape_inference.infer_shapes on the model and save it again."
        yield facts.finding("TG113", message, fix=fix, field=spec.name)
    elif spec.dtype is None:
        message = f"{role} {spec.name!r} is {spec.declared_type}, which Triton has no name for"
        fix = "Cast it inside the model, for instance to FLOAT."
        yield facts.finding("TG113", message, fix=fix, field=spec.name)
    elif rules is not None and (refusal := _refusal(spec.dtype, rules, release)):
        message = f"{role} {spec.name!r} is {spec.dtype}, which {refusal[0]}"
        yield facts.finding("TG114", message, fix=refusal[1], field=spec.name)


def _refusal(dtype: DType, rules: BackendRules, release: Release) -> tuple[str, str] | None:
    """Why the backend refuses a type and what to do, None when it does not."""
    cast = "Cast it inside the model, for instance to FP32."
    brain = dtype is DType.BF16
    if dtype in rules.refused_dtypes or (brain and not rules.bf16_since):
        return f"the {rules.name} backend does not serve", cast
    if not brain or at_least(release.tag, rules.bf16_since):
        return None
    return (
        f"the {rules.name} backend of Triton {release.tag} does not serve",
        f"Set target.triton to {rules.bf16_since} or later, or cast it to FP32 inside the model.",
    )


def _shape(
    facts: ModelFacts, role: str, spec: TensorSpec, rules: BackendRules | None
) -> Iterator[Finding]:
    if spec.shape is None:
        yield from _unshaped(facts, role, spec)
    elif not spec.shape and rules is not None and not rules.scalars:
        message = f"{role} {spec.name!r} is a scalar, which the {rules.name} backend refuses"
        fix = "Give it one axis of size 1 in the model."
        yield facts.finding("TG115", message, fix=fix, field=spec.name)
    elif not spec.shape:
        message = f"{role} {spec.name!r} is a scalar"
        yield facts.finding("TG115", message, severity=Severity.INFO, field=spec.name)
    elif any(isinstance(dim, int) and dim < 1 for dim in spec.shape):
        message = f"{role} {spec.name!r} declares {show_shape(spec.shape)}; Triton refuses a size 0"
        yield facts.finding("TG128", message, field=spec.name)


def _unshaped(facts: ModelFacts, role: str, spec: TensorSpec) -> Iterator[Finding]:
    if facts.format in OPEN_FORMATS:
        return  # told with everything else that the file leaves open
    if facts.onnx is not None:
        message = (
            f"{role} {spec.name!r} declares no shape; "
            "where ONNX Runtime cannot infer it, Triton takes it for a scalar"
        )
        yield facts.finding("TG121", message, severity=Severity.WARNING, field=spec.name)
        return
    message = f"{role} {spec.name!r} declares no rank"
    fix = f"Declare models.{facts.name}.{role}s.{spec.name}.dims in tritongen.yaml."
    yield facts.finding("TG121", message, fix=fix, field=spec.name)


def _served(facts: ModelFacts, rules: BackendRules | None, release: Release) -> Iterator[Finding]:
    """Whether the target's image loads the format, under names that mean what they say."""
    artefact = rules.artefact(facts.format) if rules is not None else None
    if rules is None or artefact is None:
        return
    if artefact.until and not at_least(artefact.until, release.tag):
        message = (
            f"Triton {release.tag} has no {rules.name} backend; images up to {artefact.until} do"
        )
        fix = f"Convert the model to ONNX, or set target.triton to {artefact.until}."
        yield facts.finding("TG136", message, fix=fix)
    if artefact.since and not at_least(release.tag, artefact.since):
        message = f"Triton {release.tag} does not load {facts.format.value} yet"
        fix = f"Set target.triton to {artefact.since} or later."
        yield facts.finding("TG136", message, fix=fix)
    inputs = tuple(spec.name for spec in facts.inputs)
    outputs = tuple(spec.name for spec in facts.outputs)
    if facts.servable:
        for fault in rules.names(facts, inputs, outputs):
            fix = f"The backend takes {rules.naming}."
            yield facts.finding("TG137", fault, fix=fix)


def _counts(facts: ModelFacts) -> Iterator[Finding]:
    if not facts.outputs:
        yield facts.finding("TG120", "the model has no outputs")
    if not facts.inputs:
        message = "the model has no inputs: every answer is the same, or random"
        yield facts.finding("TG120", message, severity=Severity.WARNING)


def _batch_axis(facts: ModelFacts) -> Iterator[Finding]:
    """Triton batches a model only when every tensor's first axis is dynamic."""
    fixed = [
        spec.name
        for spec in (*facts.inputs, *facts.outputs)
        if spec.kind is TensorKind.TENSOR and spec.shape and isinstance(spec.shape[0], int)
    ]
    if fixed:
        names = ", ".join(repr(name) for name in fixed[:4]) + (", …" if len(fixed) > 4 else "")
        message = f"the first axis of {names} is fixed, so requests cannot be batched"
        yield facts.finding("TG122", message, severity=Severity.INFO, field=fixed[0])


def _versions(facts: ModelFacts, onnx: OnnxFacts, release: Release) -> Iterator[Finding]:
    """IR version and opsets against the target's ONNX Runtime."""
    if onnx.ir_version > release.onnx_ir:
        subject = f"IR version {onnx.ir_version}"
        limit = f"reads up to version {release.onnx_ir}"
        newer = _first(onnx.ir_version, lambda entry: entry.onnx_ir)
        yield _too_new(facts, release, "TG117", subject, limit, newer)
    for domain, version in onnx.opsets:
        if domain == "ai.onnx" and version < _FIRST_OPSET:
            supported = f"ONNX Runtime supports opset {_FIRST_OPSET} and later"
            message = f"opset {version} of ai.onnx: {supported}"
            yield facts.finding("TG132", message, severity=Severity.WARNING)
        known = _OPSETS.get(domain)
        if known is not None and version > known(release):
            limit, newer = f"knows up to {known(release)}", _first(version, known)
        elif domain in _FIRST_ONLY and version > 1:
            limit, newer = "knows version 1 only", None
        else:
            continue
        yield _too_new(facts, release, "TG118", f"opset {version} of {domain}", limit, newer)


def _first(version: int, known: Callable[[Release], int]) -> Release | None:
    """The first release that knows a version."""
    return next((release for release in RELEASES if known(release) >= version), None)


def _too_new(
    facts: ModelFacts,
    release: Release,
    code: str,
    subject: str,
    limit: str,
    newer: Release | None,
) -> Finding:
    runtime = f"ONNX Runtime {release.onnxruntime} of Triton {release.tag}"
    message = f"{subject}: {runtime} {limit}"
    if newer is not None:
        fix = f"Set target.triton to {newer.tag} or later, or export with an older version."
        return facts.finding(code, message, fix=fix)
    fix = "Export with an older version; no release known here reads it."
    return facts.finding("TG127" if code == "TG118" else code, message, fix=fix)


def _custom(facts: ModelFacts, domains: tuple[str, ...], *, library: bool) -> Iterator[Finding]:
    if not domains:
        return
    names = ", ".join(domains)
    if library:
        message = f"operators of {names} come from the library that the overlay names"
        yield facts.finding("TG119", message, severity=Severity.INFO)
        return
    message = f"operators of {names} are not part of ONNX Runtime as Triton ships it"
    training = all(domain.startswith("ai.onnx.") for domain in domains)
    fix = "Export the model for inference, without its training graph." if training else ""
    yield facts.finding("TG119", message, fix=fix)


def _size(facts: ModelFacts) -> Iterator[Finding]:
    for version in facts.versions:
        main = version.files[0] if version.files else None
        if main is not None and main.size >= _PROTOBUF_LIMIT_BYTES:
            message = f"{main.source} has {main.size} bytes; protobuf reads less than 2 GiB"
            fix = "Save it with onnx.save_model(…, save_as_external_data=True)."
            yield facts.finding("TG123", message, fix=fix)
