"""Cases: ensembles."""

from collections.abc import Mapping

from support.lint import BASE
from support.lint_cases import Case, plus, swap

EMPTY_VERSION: Mapping[str, bytes] = {"1/.keep": b""}
OK = Case("ens_ok", BASE)
FIXED = Case("ens_flat", swap("max_batch_size: 8", "max_batch_size: 0"))
TWO = Case(
    "ens_two",
    swap(
        'input [ { name: "IN"',
        'input [ { name: "IN2" data_type: TYPE_FP32 dims: [ 4 ] }, { name: "IN"',
    ),
)
OPTIONAL = Case(
    "ens_optional",
    swap(
        'input [ { name: "IN"',
        'input [ { name: "IN2" data_type: TYPE_FP32 dims: [ 4 ] optional: true }, { name: "IN"',
    ),
)
STREAM = Case("ens_stream", plus("model_transaction_policy { decoupled: true }"))
STREAM2 = Case("ens_stream2", plus("model_transaction_policy { decoupled: true }"))
CORE = 'platform: "ensemble"'


def step(
    model: str, inputs: Mapping[str, str], outputs: Mapping[str, str], version: str = "-1"
) -> str:
    """One step; an empty version leaves the field out."""
    maps = "".join(f'input_map {{ key: "{k}" value: "{v}" }} ' for k, v in inputs.items())
    maps += "".join(f'output_map {{ key: "{k}" value: "{v}" }} ' for k, v in outputs.items())
    numbered = f"model_version: {version} " if version else ""
    named = f'model_name: "{model}" ' if model else ""
    return f"{{ {named}{numbered}{maps}}}"


def ensemble(
    *steps: str,
    batch: int = 8,
    dtype: str = "TYPE_FP32",
    dims: str = "4",
    inputs: str = "IN",
    outputs: str = "OUT",
    more: str = "",
    head: str = CORE,
) -> str:
    """An ensemble with the given names of inputs and outputs, separated by blanks."""
    lines = [head, f"max_batch_size: {batch}"]
    for side, names in (("input", inputs), ("output", outputs)):
        lines += [
            f'{side} {{ name: "{name}" data_type: {dtype} dims: [ {dims} ] }}'
            for name in names.split()
        ]
    listed = ", ".join(steps)
    lines.append(f"ensemble_scheduling {{ step [ {listed} ] }}" if steps else "")
    return "\n".join((*lines, more, ""))


DIRECT = step("ens_ok", {"IN": "IN"}, {"OUT": "OUT"})


def case(
    name: str,
    config: str,
    codes: tuple[str, ...] = (),
    words: str = "",
    rules: tuple[int, ...] = (),
    needs: tuple[Case, ...] = (OK,),
) -> Case:
    """An ensemble, with the folder of its version."""
    return Case(name, config, codes, words, rules, EMPTY_VERSION, needs)


ENSEMBLES: tuple[Case, ...] = (
    case("ens_fine", ensemble(DIRECT), rules=(41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51)),
    case(
        "ens_platform",
        ensemble(DIRECT, head='backend: "python"'),
        ("TG441",),
        "ensemble scheduling cannot be set for model 'ens_platform' whose platform is not ensemble",
        (41,),
    ),
    case(
        "ens_no_scheduling",
        ensemble(),
        ("TG441",),
        "ensemble scheduling must be set for ensemble ens_no_scheduling",
        (41,),
    ),
    case(
        "ens_instances",
        ensemble(DIRECT, more="instance_group [ { count: 1 } ]"),
        ("TG442",),
        "instance group should not be specified for ensemble 'ens_instances'",
        (42,),
    ),
    case(
        "ens_optimization",
        ensemble(DIRECT, more="optimization { }"),
        ("TG442",),
        "optimization should not be specified for ensemble 'ens_optimization'",
        (42,),
    ),
    case(
        "ens_warmup",
        ensemble(DIRECT, more='model_warmup { name: "w" batch_size: 1 }'),
        ("TG442",),
        "model_warmup can not be specified for ensemble",
        (42,),
    ),
    case(
        "ens_no_steps",
        ensemble(more="ensemble_scheduling { }"),
        ("TG443",),
        "must specify 'step' for ensemble 'ens_no_steps'",
        (43,),
    ),
    case(
        "ens_no_model",
        ensemble(step("", {"IN": "IN"}, {"OUT": "OUT"})),
        ("TG443",),
        "must specify 'model_name' in step 0 of ensemble",
        (43,),
    ),
    case(
        "ens_no_inputs",
        ensemble(step("ens_ok", {}, {"OUT": "OUT"})),
        ("TG443", "TG445", "TG446"),
        "must specify 'input_map' in step 0 of ensemble 'ens_no_inputs'",
        (43,),
    ),
    case(
        "ens_no_outputs",
        ensemble(step("ens_ok", {"IN": "IN"}, {})),
        ("TG443", "TG445"),
        "must specify 'output_map' in step 0 of ensemble 'ens_no_outputs'",
        (43,),
    ),
    case(
        "ens_written_twice",
        ensemble(DIRECT, DIRECT),
        ("TG444",),
        "can appear in an output map only once",
        (44,),
    ),
    case(
        "ens_input_unused",
        ensemble(DIRECT, inputs="IN EXTRA"),
        ("TG445",),
        "ensemble input 'EXTRA' for ensemble ens_input_unused' is not used",
        (45,),
    ),
    case(
        "ens_output_unwritten",
        ensemble(DIRECT, outputs="OUT EXTRA"),
        ("TG445",),
        "ensemble output 'EXTRA' for ensemble ens_output_unwritten' is not used",
        (45,),
    ),
    case(
        "ens_never_produced",
        ensemble(step("ens_two", {"IN": "IN", "IN2": "NOWHERE"}, {"OUT": "OUT"})),
        ("TG445",),
        "at least one of its depending tensors, 'NOWHERE', is not connected",
        (45,),
        needs=(TWO,),
    ),
    case(
        "ens_never_used",
        ensemble(DIRECT, step("ens_ok", {"IN": "IN"}, {"OUT": "SPARE"})),
        ("TG445",),
        "ensemble tensor 'SPARE' is unused in ensemble 'ens_never_used'",
        (45,),
    ),
    case(
        "ens_circle_of_tensors",
        ensemble(
            step("ens_two", {"IN": "IN", "IN2": "BACK"}, {"OUT": "OUT"}),
            step("ens_ok", {"IN": "OUT"}, {"OUT": "BACK"}),
        ),
        ("TG445",),
        "output 'OUT' for ensemble 'ens_circle_of_tensors' is not written",
        (45,),
        needs=(OK, TWO),
    ),
    case(
        "ens_unknown_input",
        ensemble(step("ens_ok", {"IN": "IN", "XX": "IN"}, {"OUT": "OUT"})),
        ("TG446",),
        "is mapping to non-existing input XX in model ens_ok",
        (46,),
    ),
    case(
        "ens_unknown_output",
        ensemble(step("ens_ok", {"IN": "IN"}, {"XX": "OUT"})),
        ("TG446",),
        "is mapped from non-existing output XX in model ens_ok",
        (46,),
    ),
    case(
        "ens_unmapped",
        ensemble(step("ens_two", {"IN": "IN"}, {"OUT": "OUT"})),
        ("TG446",),
        "input IN2 in model ens_two is not mapped to any ensemble tensors",
        (46,),
        needs=(TWO,),
    ),
    case(
        "ens_optional_unmapped",
        ensemble(step("ens_optional", {"IN": "IN"}, {"OUT": "OUT"})),
        rules=(46,),
        needs=(OPTIONAL,),
    ),
    case(
        "ens_type",
        ensemble(DIRECT, dtype="TYPE_INT32"),
        ("TG447",),
        "inconsistent data type: TYPE_INT32 is inferred from model ens_type while TYPE_FP32",
        (47,),
    ),
    case(
        "ens_shape",
        ensemble(DIRECT, dims="5"),
        ("TG448",),
        "inconsistent shape: [-1,5] is inferred from model ens_shape while [-1,4]",
        (48,),
    ),
    case("ens_wildcard", ensemble(DIRECT, dims="-1"), rules=(48,)),
    case(
        "ens_flat_step",
        ensemble(step("ens_flat", {"IN": "IN"}, {"OUT": "OUT"}), batch=0),
        rules=(49,),
        needs=(FIXED,),
    ),
    case(
        "ens_batch",
        ensemble(DIRECT, batch=16),
        ("TG449",),
        "allows maximum batch size 16, but it contains model ens_ok which only allows maximum",
        (49,),
    ),
    case("ens_flat_over_batching", ensemble(DIRECT, batch=0), ("TG647",), rules=(49,)),
    case(
        "ens_version_missing",
        ensemble(step("ens_ok", {"IN": "IN"}, {"OUT": "OUT"}, "")),
        ("TG450",),
        "depends on 'ens_ok' whose required version 0 is not loaded",
        (50,),
    ),
    case(
        "ens_version_other",
        ensemble(step("ens_ok", {"IN": "IN"}, {"OUT": "OUT"}, "5")),
        ("TG450",),
        "depends on 'ens_ok' whose required version 5 is not loaded",
        (50,),
    ),
    case(
        "ens_version_one", ensemble(step("ens_ok", {"IN": "IN"}, {"OUT": "OUT"}, "1")), rules=(50,)
    ),
    case(
        "ens_absent",
        ensemble(step("absent", {"IN": "IN"}, {"OUT": "OUT"})),
        ("TG450",),
        "contains models that are not available or ambiguous: absent",
        (50,),
    ),
    case(
        "ens_itself",
        ensemble(step("ens_itself", {"IN": "IN"}, {"OUT": "OUT"})),
        ("TG450",),
        "ircular",
        (50,),
    ),
    case(
        "ens_two_streams",
        ensemble(
            step("ens_stream", {"IN": "IN"}, {"OUT": "A"}),
            step("ens_stream2", {"IN": "IN"}, {"OUT": "B"}),
            step("ens_two", {"IN": "A", "IN2": "B"}, {"OUT": "OUT"}),
        ),
        ("TG451",),
        "receives inputs originated from different decoupled models",
        (51,),
        needs=(STREAM, STREAM2, TWO),
    ),
    case(
        "ens_one_stream",
        ensemble(
            step("ens_stream", {"IN": "IN"}, {"OUT": "A"}),
            step("ens_two", {"IN": "A", "IN2": "A"}, {"OUT": "OUT"}),
        ),
        rules=(51,),
        needs=(STREAM, TWO),
    ),
    Case(
        "ens_no_version",
        ensemble(DIRECT),
        ("TG452",),
        "the version policy of model 'ens_no_version'",
        (),
        {},
        (OK,),
    ),
    Case(
        "ens_as_backend",
        swap('"python"', '"ensemble"'),
        ("TG455",),
        "unable to find backend library for backend 'ensemble'",
    ),
)
