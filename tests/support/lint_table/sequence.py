"""Cases: sequence batching."""

from support.lint_cases import FILES, Case, plus

_START = "{ kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] }"


def controls(*inputs: str) -> str:
    """The base configuration with sequence controls."""
    return plus(
        "sequence_batching { " + " ".join(f"control_input [ {{ {i} }} ]" for i in inputs) + " }"
    )


def state(initial: str, data: str = "data_type: TYPE_FP32 dims: [ 2 ]") -> str:
    """The base configuration with one sequence state."""
    return plus(
        'sequence_batching { state [ { input_name: "SI" output_name: "SO" '
        f"{data} {initial} }} ] }}"
    )


def initial(body: str) -> str:
    """One initial state."""
    return f"initial_state: {{ {body} }}"


SEQUENCE: tuple[Case, ...] = (
    Case("control_fine", controls(f'name: "START" control [ {_START} ]'), rules=(16, 17)),
    Case(
        "control_unnamed", controls(f"control [ {_START} ]"), ("TG416",), "must have a name", (16,)
    ),
    Case(
        "control_name_twice",
        controls(
            f'name: "S" control [ {_START} ]',
            'name: "S" control [ { kind: CONTROL_SEQUENCE_END fp32_false_true: [ 0, 1 ] } ]',
        ),
        ("TG416",),
        "is specified for multiple control kinds",
        (16,),
    ),
    Case(
        "control_without_pair",
        controls('name: "S" control [ { kind: CONTROL_SEQUENCE_START } ]'),
        ("TG417",),
        "must specify either 'int32_false_true'",
        (17,),
    ),
    Case(
        "control_two_pairs",
        controls(
            'name: "S" control [ { kind: CONTROL_SEQUENCE_READY fp32_false_true: [ 0, 1 ] '
            "int32_false_true: [ 0, 1 ] } ]"
        ),
        ("TG417",),
        "specifies more than one from",
        (17,),
    ),
    Case(
        "control_three_values",
        controls('name: "S" control [ { kind: CONTROL_SEQUENCE_END bool_false_true: [ true ] } ]'),
        ("TG417",),
        "must have exactly 2 entries",
        (17,),
    ),
    Case(
        "control_kind_twice",
        controls(f'name: "A" control [ {_START} ]', f'name: "B" control [ {_START} ]'),
        ("TG418",),
        "specifies multiple CONTROL_SEQUENCE_START tensors",
        (18,),
    ),
    Case(
        "correlation_with_pair",
        controls(
            'name: "C" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 '
            "int32_false_true: [ 0, 1 ] } ]"
        ),
        ("TG419",),
        "must not specify either 'int32_false_true'",
        (19,),
    ),
    Case(
        "correlation_type",
        controls('name: "C" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32 } ]'),
        ("TG419",),
        "unexpected data type for control CONTROL_SEQUENCE_CORRID",
        (19,),
    ),
    Case(
        "oldest_above",
        plus(
            "sequence_batching { oldest { max_candidate_sequences: 4 "
            "preferred_batch_size: [ 16 ] } }"
        ),
        ("TG420",),
        "sequence batching preferred batch size must be <= max batch size",
        (20,),
    ),
    Case(
        "oldest_negative",
        plus(
            "sequence_batching { oldest { max_candidate_sequences: 4 "
            "preferred_batch_size: [ -1 ] } }"
        ),
        ("TG420",),
        "sequence batching preferred batch size must be positive",
        (20,),
    ),
    Case("oldest_without_candidates", plus("sequence_batching { oldest { } }"), ("TG611",)),
    Case(
        "slots_above",
        plus("sequence_batching { direct { minimum_slot_utilization: 1.5 } }"),
        ("TG421",),
        "minimum slot utilization must be in range",
        (21,),
    ),
    Case(
        "slots_zero",
        plus("sequence_batching { direct { minimum_slot_utilization: 0 } }"),
        rules=(21,),
    ),
    Case(
        "initial_fine",
        state(initial('name: "I" data_type: TYPE_FP32 dims: [ 2 ] zero_data: true')),
        rules=(22,),
    ),
    Case(
        "initial_two",
        state(
            initial('name: "I" data_type: TYPE_FP32 dims: [ 2 ] zero_data: true')
            + " "
            + initial('name: "J" data_type: TYPE_FP32 dims: [ 2 ] zero_data: true')
        ),
        ("TG422",),
        "must contain exactly one or zero element",
        (22,),
    ),
    Case(
        "initial_type",
        state(initial('name: "I" data_type: TYPE_INT32 dims: [ 2 ] zero_data: true')),
        ("TG422",),
        "does not match the state data type",
        (22,),
    ),
    Case(
        "initial_unnamed",
        state(initial("data_type: TYPE_FP32 dims: [ 2 ] zero_data: true")),
        ("TG422",),
        "Field 'name' must be set when using initial_state",
        (22,),
    ),
    Case(
        "initial_rank",
        state(initial('name: "I" data_type: TYPE_FP32 dims: [ 1, 2 ] zero_data: true')),
        ("TG422",),
        "Number of dimensions in 'initial_state' doesn't match",
        (22,),
    ),
    Case(
        "initial_dynamic",
        state(initial('name: "I" data_type: TYPE_FP32 dims: [ -1 ] zero_data: true')),
        ("TG422",),
        "contains variable dimensions",
        (22,),
    ),
    Case(
        "initial_dims",
        state(initial('name: "I" data_type: TYPE_FP32 dims: [ 3 ] zero_data: true')),
        ("TG422",),
        "doesn't match 'state' dim description",
        (22,),
    ),
    Case(
        "initial_without_data",
        state(initial('name: "I" data_type: TYPE_FP32 dims: [ 2 ]')),
        ("TG422",),
        "to have state_data set",
        (22,),
    ),
    Case(
        "initial_short_file",
        state(initial('name: "I" data_type: TYPE_FP32 dims: [ 2 ] data_file: "zero"')),
        ("TG422",),
        "initial_state setting expects 8 bytes",
        (22,),
        files={**FILES, "initial_state/zero": b"1234"},
    ),
    Case(
        "initial_no_file",
        state(initial('name: "I" data_type: TYPE_FP32 dims: [ 2 ] data_file: "zero"')),
        ("TG422",),
        "failed to open text file",
        (22,),
    ),
    Case(
        "initial_file",
        state(initial('name: "I" data_type: TYPE_FP32 dims: [ 2 ] data_file: "zero"')),
        rules=(22,),
        files={**FILES, "initial_state/zero": b"12345678"},
    ),
    Case(
        "state_twice",
        plus(
            "sequence_batching { "
            + " ".join(
                f'state [ {{ input_name: "SI" output_name: "SO{i}" data_type: TYPE_FP32 '
                f'dims: [ 2 ] initial_state {{ name: "I{i}" data_type: TYPE_FP32 dims: [ 2 ] '
                "zero_data: true } } ]"
                for i in range(2)
            )
            + " }"
        ),
        ("TG422",),
        "specified more than once",
        (22,),
    ),
)
