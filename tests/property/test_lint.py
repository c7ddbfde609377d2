"""No configuration, however wild, makes the lint raise; what tritongen writes has no errors."""

from typing import Any

from google.protobuf import text_format
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from support.lint import BASE, context, model_view
from support.lint_table import CASES
from support.plans import evidence, facts, intents
from tritongen.cli.output import document_text
from tritongen.config.lint import as_document, as_github, as_sarif, lint
from tritongen.config.pbtxt import parse_config
from tritongen.config.protobuf import new_model_config, same
from tritongen.model.cores import budget_of_limit
from tritongen.model.evidence import Evidence
from tritongen.model.findings import Severity
from tritongen.model.intent import Intent, Target
from tritongen.planner import plan_serving
from tritongen.repository.render_repository import render_models

# Words that the rules look for, so that random messages reach beyond the first rule.
WORDS = [
    "m", "IN", "OUT", "", "1", "-1", "python", "onnxruntime", "openvino", "fil", "pytorch",
    "tensorrt", "tensorflow", "ensemble", "onnxruntime_onnx", "tensorrt_plan", "torch_aoti",
    "model.py", "../x", "a/b", "/abs", "intra_op_thread_count", "execution_mode", "true", "yes",
    "EXECUTION_ENV_PATH", "$$TRITON_MODEL_DIRECTORY/x", "é\n\"'\\", "tensorrt", "cuda",
]  # fmt: skip
FILES = ["1/model.py", "2x/model.onnx", "01/a", "labels.txt", "warmup/x", "initial_state/x"]
NUMBERS = {
    FieldDescriptor.CPPTYPE_INT32: st.sampled_from([-(2**31), -2, -1, 0, 1, 2, 8, 2**31 - 1]),
    FieldDescriptor.CPPTYPE_INT64: st.sampled_from([-(2**63), -2, -1, 0, 1, 4, 2**63 - 1]),
    FieldDescriptor.CPPTYPE_UINT32: st.sampled_from([0, 1, 2, 2**32 - 1]),
    FieldDescriptor.CPPTYPE_UINT64: st.sampled_from([0, 1, 2, 2**64 - 1]),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32, allow_nan=False),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(allow_nan=False),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
}


def scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """Values of a field that is no message."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return st.one_of(st.sampled_from(WORDS), st.text(max_size=5))
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    return NUMBERS[field.cpp_type]


def fill(draw: st.DrawFn, message: Any) -> None:
    """Sets some fields of a message, those of messages within it too."""
    fields = list(message.DESCRIPTOR.fields)
    chosen = st.lists(st.sampled_from(fields), max_size=5, unique_by=lambda field: field.name)
    for field in draw(chosen) if fields else ():
        target = getattr(message, field.name)
        if field.message_type is None:
            value = scalars(field)
            if field.is_repeated:
                target.extend(draw(st.lists(value, max_size=3)))
            else:
                setattr(message, field.name, draw(value))
        elif field.message_type.GetOptions().map_entry:
            fill_map(draw, target, field)
        elif field.is_repeated:
            for _ in range(draw(st.integers(0, 2))):
                fill(draw, target.add())
        else:
            target.SetInParent()
            fill(draw, target)


def fill_map(draw: st.DrawFn, target: Any, field: FieldDescriptor) -> None:
    """Sets one or two entries of a map."""
    parts = field.message_type.fields_by_name
    for key in draw(st.lists(scalars(parts["key"]), max_size=2)):
        if parts["value"].message_type is None:
            target[key] = draw(scalars(parts["value"]))
        else:
            fill(draw, target[key])


@st.composite
def messages(draw: st.DrawFn) -> Any:
    """Any `ModelConfig`."""
    message = new_model_config()
    fill(draw, message)
    return message


@st.composite
def texts(draw: st.DrawFn) -> str:
    """The text of some case with a piece cut out, doubled or replaced."""
    text = draw(st.sampled_from([case.config or BASE for case in CASES]))
    start = draw(st.integers(0, len(text)))
    stop = draw(st.integers(start, min(len(text), start + 20)))
    pieces = st.sampled_from(["", "{", "}", "[", "]", '"', "-", ":", ","])
    piece = draw(st.one_of(pieces, st.text(max_size=5)))
    return text[:start] + piece + text[stop:]


def read(text: str) -> None:
    """Every step that `check` takes with a configuration."""
    view = (model_view("m", text, FILES), model_view("n", BASE))
    findings = lint(view, context(cores=2.0, rate_limiter=True))
    assert findings == lint(view, context(cores=2.0, rate_limiter=True))
    document_text(as_document(findings, "repository")).encode()
    as_github(findings, "repository").encode()
    as_sarif(findings, "1", "repository").encode()


@settings(max_examples=150, deadline=None)
@given(messages())
def test_any_message_is_read_back_and_linted(message):
    text = text_format.MessageToString(message)
    parsed = parse_config(text, "config.pbtxt")
    assert parsed.ok, parsed.findings
    assert same(parsed.message, message)
    read(text)


@settings(max_examples=150, deadline=None)
@given(texts())
def test_any_damaged_text_is_linted(text):
    read(text)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_linted(text):
    read(text)


@st.composite
def servers(draw: st.DrawFn) -> tuple[Any, Any]:
    """A plan and the models that it is for."""
    models = [draw(facts(f"m{number}")) for number in range(draw(st.integers(1, 4)))]
    target = Target(cpus=draw(st.integers(1, 16)), gpus=draw(st.sampled_from([0, 0, 1])))
    intent = Intent(target, models={model.name: draw(intents()) for model in models})
    seen = Evidence({model.name: draw(evidence(model)) for model in models})
    return plan_serving(models, intent, seen, budget_of_limit(target.cpus or 1)), tuple(models)


@settings(max_examples=60, deadline=None)
@given(servers())
def test_what_tritongen_writes_has_no_errors(server):
    plan, models = server
    known = {model.name: model for model in models}
    views = tuple(
        model_view(item.plan.name, item.text, ["1/model.onnx"], facts=known[item.plan.name])
        for item in render_models(plan, models)
    )
    flags = {name: value.value for name, value in plan.server.flags}
    resource, _, count = flags.get("rate-limit-resource", "").partition(":")
    # A plan with errors is not written: the user gives one instance more threads than cores.
    assume(all(item.severity is not Severity.ERROR for m in plan.models for item in m.findings))
    found = lint(
        views,
        context(
            cores=plan.server.cores.value,
            gpus=plan.server.gpus,
            rate_limiter="rate-limit" in flags,
            resources=((resource, int(count)),) if resource else (),
            cache="cache-config" in flags,
            environment=tuple((name, item.value) for name, item in plan.server.environment),
        ),
    )
    assert [item for item in found if item.severity is Severity.ERROR] == []
