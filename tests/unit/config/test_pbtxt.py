"""The parser of `config.pbtxt`: messages, lines, faults."""

import pytest
from google.protobuf import text_format

from support.lint import BASE, codes
from tritongen.config.pbtxt import MAX_CONFIG_BYTES, map_path, parse_config
from tritongen.config.protobuf import new_model_config, same
from tritongen.model.findings import Severity

LINES = """# first
name: "m"
input [
  {
    name: "A"
    dims: [ 1,
      -1 ]
  },
  { name: "B" }
]
input { name: "C" }
parameters { key: "k\\"1" value { string_value: "v" } }
parameters {
  value { string_value: "2" }
  key: "second"
}
dynamic_batching {
  priority_queue_policy { key: 2 value { max_queue_size: 3 } }
}
"""


def parse(text: str):
    return parse_config(text, "m/config.pbtxt")


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("name", 2),
        ("input", 3),
        ("input[0]", 4),
        ("input[0].name", 5),
        ("input[0].dims", 6),
        ("input[0].dims[1]", 7),
        ("input[1].name", 9),
        ("input[2].name", 11),
        ('parameters["k\\"1"].string_value', 12),
        ('parameters["second"]', 13),
        ('parameters["second"].string_value', 14),
        ("dynamic_batching.priority_queue_policy[2].max_queue_size", 18),
    ],
)
def test_line_of_a_field(path, line):
    assert parse(LINES).line(path) == line


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("input[0].data_type", 4),
        ("input[0].reshape.shape[3]", 4),
        ('parameters["second"].other', 13),
        ('parameters["absent"]', 12),
        ("dynamic_batching.max_queue_delay_microseconds", 17),
        ("output[0].name", 0),
        ("", 0),
    ],
)
def test_line_of_a_field_that_is_not_written_is_that_of_its_parent(path, line):
    assert parse(LINES).line(path) == line


def test_keys_stand_in_paths_as_they_are_written():
    assert map_path("parameters", 'a"b') == 'parameters["a\\"b"]'
    assert map_path("priority_queue_policy", 3) == "priority_queue_policy[3]"


@pytest.mark.parametrize(
    "text",
    [
        BASE,
        LINES,
        'metric_tags { key: "a\\n\\x41\\101\\u00e9" value: \'q"\' "tail" }',
        "model_warmup { inputs { key: 'x' value { dims: [] zero_data: t } } }",
        "sequence_batching { direct { minimum_slot_utilization: 0.5 } }",
        "sequence_batching { direct { minimum_slot_utilization: 1e-2f } }",
        "sequence_batching { direct { minimum_slot_utilization: inf } }",
        "max_batch_size: -0x10",
        "input: { data_type: 11 } input < > , input { };",
        "dynamic_batching { }",
        "parameters { }",
    ],
)
def test_same_message_as_protobuf(text):
    expected = text_format.Parse(text, new_model_config())
    parsed = parse(text)
    assert parsed.ok
    assert same(parsed.message, expected)


def test_octal_numbers_are_read_as_triton_reads_them():
    assert parse("max_batch_size: 010").message.max_batch_size == 8


def test_every_fault_is_reported_with_line_and_column():
    text = (
        "bakcend: 'x'\ninput { nam: 'a' data_type: FP32 }\nmax_batch_size: 'x'\n"
        "output { dims: [ 1, ] }\n"
    )
    found = parse(text).findings
    assert [(item.code, item.location.line, item.location.field) for item in found] == [
        ("TG461", 1, "bakcend"),
        ("TG461", 2, "input[0].nam"),
        ("TG462", 2, "input[0].data_type"),
        ("TG463", 3, "max_batch_size"),
        ("TG463", 4, "output[0].dims"),
    ]
    assert [item.message.partition(":")[0] for item in found] == [
        "column 1",
        "column 9",
        "column 29",
        "column 17",
        "column 21",
    ]


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("maxBatchSize: 1", "Write `max_batch_size`."),
        ("instance_groups { }", "Write `instance_group`."),
        ("input { dtype: TYPE_FP32 }", "Write `data_type`."),
        ("input { data_type: FP32 }", "Write `TYPE_FP32`."),
        ("input { data_type: type_fp32 }", "Write `TYPE_FP32`."),
        ("instance_group { kind: CPU }", "Write `KIND_CPU`."),
        ("input { dims: [ 1, ] }", "Remove the comma before it."),
        ('response_cache { enable: "true" }', "Write it without quotes."),
        ("response_cache { enable: yes }", "Write true or false."),
        ("backend: python", "Put the value in double quotes."),
        ("input {", "Close the `{` of line 1."),
        ("// note", "Comments start with `#` in this format."),
        ("\ufeffname: 'm'", "Save the file as UTF-8 without a byte order mark."),
    ],
)
def test_cure_says_what_was_probably_meant(text, fix):
    assert parse(text).findings[0].fix == fix


def test_repeated_map_key_keeps_the_last_value_and_is_told():
    parsed = parse('metric_tags { key: "a" value: "1" }\nmetric_tags { key: "a" value: "2" }')
    assert parsed.ok
    assert parsed.message.metric_tags["a"] == "2"
    assert [(item.code, item.location.line) for item in parsed.findings] == [("TG601", 2)]


def test_bytes_that_are_no_text_are_replaced_and_told():
    parsed = parse('metric_tags { key: "a" value: "\\xff\ufffd" }')
    assert parsed.message.metric_tags["a"] == "\ufffd\ufffd"
    assert codes(parsed.findings) == {"TG602"}


def test_file_beyond_the_limit_is_not_read():
    parsed = parse("#" * (MAX_CONFIG_BYTES + 1))
    assert codes(parsed.findings) == {"TG466"}
    assert not parsed.ok


@pytest.mark.parametrize(
    "text",
    [
        "\x00\x01\x02 garbage",
        "\ufffd\ufffd",
        "\ud800",
        'name: "\ud800"',
        "{" * 100_000,
        "input {" * 100_000,
        "unknown { " * 100_000,
        "dims: [" * 50_000,
        "input { dims: [" + "[" * 100_000,
        "parameters { key: " * 50_000,
        "a" * 1_000_000,
        "1" * 100_000,
        f"max_batch_size: {'9' * 100_000}",
        f"name: '{'a' * 1_000_000}",
        "]" * 1000,
        "name",
        "name:",
        "input [",
        "input [ {",
        "name: -",
        "max_batch_size: -",
        "parameters { key",
        "parameters { key:",
        "[",
        "[[[[",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_garbage_is_a_finding_and_never_a_traceback(text):
    parsed = parse(text)
    errors = [item for item in parsed.findings if item.severity is Severity.ERROR]
    assert parsed.ok is not bool(errors)
    assert len(errors) <= 20


def test_faults_of_a_lost_file_end_after_some():
    assert len(parse("x: 1\n" * 1000).findings) == 20


def test_many_entries_of_a_map():
    text = "".join(f'metric_tags {{ key: "k{n}" value: "v" }}\n' for n in range(20_000))
    parsed = parse(text)
    assert len(parsed.message.metric_tags) == 20_000
    assert parsed.line('metric_tags["k19999"]') == 20_000
