"""Text, fields that the target knows, name, backend and platform."""

import re
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches

from tritongen.config.lint.linted_model import ENSEMBLE, PLATFORMS, LintedModel, image_backends
from tritongen.config.lint.repository_view import LintContext
from tritongen.config.lint.templates import stopped_lines
from tritongen.model.backends import BACKENDS, BackendRules
from tritongen.model.findings import Finding
from tritongen.model.releases import at_least

# First release whose parser knows a field; older ones refuse the whole file.
_FIELDS_SINCE: dict[str, str] = {
    "sequence_batching.state.use_same_buffer_for_input_output": "23.12",
    "sequence_batching.state.use_growable_memory": "23.12",
    "sequence_batching.iterative_sequence": "23.12",
    "runtime": "24.01",
    "input.is_non_linear_format_io": "24.08",
    "output.is_non_linear_format_io": "24.08",
    "model_metrics": "24.11",
    "ensemble_scheduling.max_inflight_requests": "25.11",
}
_PYTHON_RUNTIME = "model.py"
_INDEX = re.compile(r"\[(?:[0-9]+|\"(?:[^\"\\]|\\.)*\")\]")
# Likeness from which an unknown backend's name is a known one misspelt; chosen: one letter that is
# wrong, lost or added.
_MISSPELT = 0.85
_SAFE_NAME = re.compile(r"[A-Za-z0-9_.\-]+")


def text_faults(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """What Triton's parser refuses, and what it passes over in the text."""
    told = stopped_lines(model.view.config or "")
    for item in model.parsed.findings:
        if item.location.line not in told:
            yield replace(item, model=model.name)


def newer_fields(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Fields that the target release does not know make it refuse the whole file."""
    for path in model.parsed.lines:
        since = _FIELDS_SINCE.get(_INDEX.sub("", path))
        if since and not at_least(context.release.tag, since):
            yield model.error(
                "TG460",
                path,
                f"{path} came with Triton {since}; {context.release.tag} refuses a file with it",
            )


def name_is_folder(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """A written name must be the folder's."""
    name = model.parsed.message.name
    if name and name != model.name:
        yield model.error(
            "TG402",
            "name",
            f'name is "{name}" and the folder "{model.name}"; the directory name must equal it',
        )


def addressable_name(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """HTTP paths are not decoded by the server: a blank or `%` cannot be asked for."""
    if not _SAFE_NAME.fullmatch(model.name):
        yield model.folder_warning(
            "TG650", f'the model name "{model.name}" cannot stand in an HTTP path as it is'
        )


def no_configuration(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """Without auto-completion the file must exist."""
    if model.written:
        return
    if not context.autocomplete:
        yield model.folder_error("TG468", "there is no config.pbtxt, and auto-completion is off")
    else:
        yield model.folder_warning(
            "TG644",
            "there is no config.pbtxt: batch size, instances and threads are Triton's guesses",
        )


def backend_and_platform(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """The backend must be known, and the platform must be one of its own."""
    backend, platform = model.config.backend, model.config.platform
    accepted = PLATFORMS.get(backend)
    if platform == ENSEMBLE:
        if backend:
            message = f'an ensemble takes no backend; "{backend}" is set'
            yield model.error("TG404", "backend", message)
    elif not backend:
        yield _no_backend(model)
    elif backend == ENSEMBLE:
        yield model.error(
            "TG455",
            "backend",
            '"ensemble" is no backend; Triton would look for a library of that name',
            'Write platform: "ensemble" and no backend.',
        )
    elif accepted is not None and platform not in accepted:
        yield model.error(
            "TG405",
            "platform",
            f"unexpected 'platform' and 'backend' pair: \"{platform}\", "
            f'"{backend}" (accepted: {", ".join(accepted)})',
        )
    elif accepted is None and _contradicts(platform, backend):
        yield model.warning(
            "TG615",
            "platform",
            f'platform "{platform}" belongs to another backend; Triton does not check it for '
            f'"{backend}"',
        )


def _no_backend(model: LintedModel) -> Finding:
    platform, filename = model.config.platform, model.config.default_model_filename
    if platform:
        return model.error(
            "TG403",
            "platform",
            f'unexpected platform type "{platform}": no backend is named by it',
        )
    if filename:
        return model.error(
            "TG403", "default_model_filename", f'no backend is known by the file name "{filename}"'
        )
    return model.error(
        "TG403", "backend", "no backend is written, and no model file in the first folder tells it"
    )


def backend_written(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """The backend should not hang on which files lie in a folder."""
    written = model.parsed.message
    if model.written and not written.backend and model.config.backend and not model.is_ensemble:
        source = "platform" if written.platform else "the files"
        yield model.info(
            "TG645",
            "",
            f'backend is not written; Triton derives "{model.config.backend}" from {source}',
        )


def _contradicts(platform: str, backend: str) -> bool:
    owners = [name for name, platforms in PLATFORMS.items() if platform in platforms]
    return bool(owners) and backend not in owners


def backend_is_installed(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """The backend must be in the server, or lie beside the model."""
    backend, release, rules = model.config.backend, context.release.tag, model.rules
    known = image_backends(release)
    if not backend or backend == ENSEMBLE or model.is_ensemble or _own_library(model):
        return
    if context.backends is not None:
        if backend not in context.backends:
            served = ", ".join(sorted(context.backends)) or "none"
            message = f'unable to find the library of backend "{backend}": the server has {served}'
            yield model.error("TG455", "backend", message)
    elif rules and rules.until and not at_least(rules.until, release):
        last = rules.until
        message = f'backend "{backend}" is in the images up to {last}; {release} does not have it'
        fix = f"Convert the model to ONNX, or use an image up to {last}."
        if rules.own_scheduler:
            fix = f"Use an image up to {last}."
        yield model.error("TG455", "backend", message, fix)
    elif rules and rules.since and not at_least(release, rules.since):
        message = f'"{rules.flavour or backend}" came with Triton {rules.since}'
        yield model.error("TG455", "platform", f"{message}; {release} does not have it")
    elif backend not in known:
        near = get_close_matches(backend, sorted(known), n=1, cutoff=_MISSPELT)
        report = model.error if near else model.warning
        message = f'backend "{backend}" is in no image of Triton {release}; it must be installed'
        yield report("TG455", "backend", message, f'Did you mean "{near[0]}"?' if near else "")


def _own_library(model: LintedModel) -> bool:
    library = model.config.runtime or f"libtriton_{model.config.backend}.so"
    folders = ("", *(f"{folder}/" for folder in model.served.values()))
    return any(f"{folder}{library}" in model.view.files for folder in folders)


def runtime_library(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """`runtime` names a library file of the backend, or `model.py` of one written in Python."""
    runtime, backend = model.config.runtime, model.config.backend
    if not runtime or runtime == f"libtriton_{backend}.so":
        return
    if runtime == _PYTHON_RUNTIME:
        # Looked up in the backend's folder alone, unlike a library.
        entry = BACKENDS.get(backend)
        in_python = context.backends is not None and backend != "python"
        if entry is None or in_python or _has_flavour(entry):
            return
    elif _own_library(model):
        return
    if "/" in runtime or "\\" in runtime:
        yield model.warning(
            "TG456",
            "runtime",
            f'runtime "{runtime}" leaves the folder of the backend, which newer servers refuse',
        )
    elif context.backends is not None or backend in image_backends(context.release.tag):
        yield model.error(
            "TG456",
            "runtime",
            f'unable to find backend library "{runtime}" in the folders of version, model and '
            f'backend "{backend}"',
        )


def _has_flavour(entry: BackendRules) -> bool:
    return any(item.flavour == _PYTHON_RUNTIME for item in entry.flavours)


def repository_agents(model: LintedModel, context: LintContext) -> Iterator[Finding]:
    """A missing agent stops the model before anything else is looked at."""
    agents = model.config.model_repository_agents.agents
    if model.config.HasField("model_repository_agents") and not agents:
        yield model.error(
            "TG457",
            "model_repository_agents",
            "model_repository_agents without an agent ends the server",
            "Remove it.",
        )
    for field, agent in model.each("model_repository_agents.agents"):
        if agent.name not in context.agents:
            yield model.error(
                "TG457",
                f"{field}.name",
                f'unable to find the library of repository agent "{agent.name}"',
            )


def batching_strategy(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """A custom batching library and the sequence batcher exclude each other."""
    key = "TRITON_BATCH_STRATEGY_PATH"
    if key not in model.parameters or model.is_ensemble:
        return
    field = f'parameters["{key}"]'
    if model.config.HasField("sequence_batching"):
        yield model.error("TG458", field, f"{key} cannot be given with sequence_batching")
        return
    path = model.parameters[key]
    fix = "Put batchstrategy.so into the version folder and remove the parameter."
    if path.startswith("/"):
        message = f'batching library "{path}" must lie on the server, within the model folder'
        yield model.warning("TG458", field, message, fix)
    else:
        message = f'batching library "{path}" is looked up from the server\'s working directory'
        yield model.error("TG458", field, message, fix)


def model_metrics(model: LintedModel, _context: LintContext) -> Iterator[Finding]:
    """Every metric control names a family and its buckets."""
    for field, control in model.each("model_metrics.metric_control"):
        family = control.metric_identifier.family
        for name in ("metric_identifier", "histogram_options"):
            if not control.HasField(name):
                yield model.error("TG439", field, f"a metric control must specify {name}")
        if control.HasField("metric_identifier") and not family:
            yield model.error("TG439", f"{field}.metric_identifier", "metric family is empty")
        elif family and family != "nv_inference_first_response_histogram_ms":
            path = f"{field}.metric_identifier.family"
            yield model.warning("TG629", path, f'"{family}" cannot be customised')
        if control.HasField("histogram_options") and not control.histogram_options.buckets:
            yield model.error("TG439", f"{field}.histogram_options", "buckets are empty")
