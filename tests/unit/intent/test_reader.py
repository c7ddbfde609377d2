"""`tritongen.yaml`: every fault with path and line, nothing that harms."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from tritongen.errors import InvalidInputError
from tritongen.intent import json_schema, raise_faults, read_intent
from tritongen.intent.reader import parse_intent
from tritongen.model.intent import AxisIntent, WeightsMode, trial_declarations
from tritongen.model.sequence_intent import SequenceControl
from tritongen.model.tensors import DType

FULL = """
target: {triton: 26.10, cpus: 1.5, memory: 512MB, gpus: 1}
weights: symlink
models:
  ocr:
    rate: {average: 50, peak: 200}
    latency: {p95: 1.5s}
    request_batch: 2
    max_batch_size: 16
    accuracy: {max_drop: 0.01}
    response_cache: true
    versions: [1, 2]
    inputs:
      ids: {values: "int[0,30522)", shape: [1, 128]}
    outputs:
      y: {dtype: FP32, dims: [-1, 4]}
    overlay: {parameters: {enable_mem_arena: false}}
  bert:
  asr: {rate: 3, latency: 250us, skip: true}
"""


def test_every_key_arrives() -> None:
    document = parse_intent(FULL, "tritongen.yaml")
    assert document.faults == ()
    target, ocr = document.intent.target, document.intent.of("ocr")
    # YAML reads 26.10 as the number 26.1; the release is 26.10 all the same.
    assert (target.triton, target.cpus, target.memory_bytes, target.gpus) == (
        "26.10", 1.5, 512_000_000, 1,
    )  # fmt: skip
    assert document.intent.weights is WeightsMode.SYMLINK
    assert (ocr.rate, ocr.peak_rate, ocr.planning_rate) == (50, 200, 200)
    assert (ocr.percentile, ocr.latency_ms) == (95.0, 1500.0)
    assert (ocr.request_batch, ocr.max_batch_size, ocr.accuracy_drop) == (2, 16, 0.01)
    assert ocr.response_cache
    assert ocr.versions == (1, 2)
    assert ocr.inputs["ids"].values == "int[0,30522)"
    assert ocr.inputs["ids"].shape == (1, 128)
    assert ocr.outputs["y"].dtype is DType.FP32
    assert ocr.outputs["y"].dims == (-1, 4)
    assert ocr.overlay == {"parameters": {"enable_mem_arena": False}}
    assert document.intent.of("bert").rate is None
    assert document.intent.of("asr").latency_ms == pytest.approx(0.25)
    assert not document.intent.of("asr").serve


@pytest.mark.parametrize(
    ("text", "path", "line", "code", "words"),
    [
        ("target: {cpus: 0}", "target.cpus", 1, "TG304", "above 0"),
        ("target: {cpus: .nan}", "target.cpus", 1, "TG304", "a number"),
        ("target: {memory: lots}", "target.memory", 1, "TG304", "8GiB"),
        ("target: {triton: '99.99'}", "target.triton", 1, "TG304", "99.99"),
        ("target:\n  cpu: 2", "target.cpu", 2, "TG303", "did you mean `cpus`"),
        ("modles: {}", "modles", 1, "TG303", "did you mean `models`"),
        ("models: [a]", "models", 1, "TG304", "mapping"),
        ("models:\n  a:\n    rate: -1", "models.a.rate", 3, "TG304", "above 0"),
        (
            "models:\n  a:\n    rate:\n      average: 9\n      peak: 3",
            "models.a.rate.peak", 5, "TG305", "must not be below average",
        ),
        ("models: {a: {latency: 5}}", "models.a.latency", 1, "TG304", "duration"),
        (
            "models: {a: {axes: {seq: {min: 8, typical: 4}}}}",
            "models.a.axes.seq.typical", 1, "TG305", "must not be below min",
        ),
        (
            "models: {a: {axes: {seq: {min: 8, max: 4}}}}",
            "models.a.axes.seq.max", 1, "TG305", "must not be below min",
        ),
        ("models: {a: {axes: {seq: {max: 0}}}}", "models.a.axes.seq.max", 1, "TG304", "at least 1"),
        ("models: {a: {overload: reject}}", "models.a.overload", 1, "TG305", "a latency goal"),
        ("models: {a: {latency: {p99: 1s, p50: 1s}}}", "models.a.latency", 1, "TG305", "one"),
        ("models: {a: {batch: maybe}}", "models.a.batch", 1, "TG304", "true or false"),
        ("models: {a: {versions: []}}", "models.a.versions", 1, "TG304", "at least 1"),
        ("models: {a: {versions: [0]}}", "models.a.versions[0]", 1, "TG304", "at least 1"),
        ("models: {a: {overlay: 3}}", "models.a.overlay", 1, "TG304", "mapping"),
        ("models: {a: {instances: 1.5}}", "models.a.instances", 1, "TG304", "whole"),
        (
            "models: {a: {request_batch: 9, max_batch_size: 4}}",
            "models.a.request_batch", 1, "TG305", "max_batch_size",
        ),
        ("models: {a: {inputs: {x: {dtype: F}}}}", "models.a.inputs.x.dtype", 1, "TG304", "FP32"),
        ("weights: none\nweights: copy", "weights", 2, "TG304", "twice"),
        ("models: {a: {sequence: {}}}", "models.a.sequence", 1, "TG304", "a state or a control"),
        (
            "models: {a: {sequence: {state: {h: y, c: y}}}}",
            "models.a.sequence.state", 1, "TG305", "y is named twice",
        ),
        (
            "models: {a: {sequence: {state: {h: y}, controls: {start: h}}}}",
            "models.a.sequence", 1, "TG305", "h is named twice",
        ),
        (
            "models: {a: {response_cache: true, sequence: {state: {h: y}}}}",
            "models.a.response_cache", 1, "TG305", "depend on the requests before",
        ),
        (
            "models: {a: {request_batch: 2, sequence: {state: {h: y}}}}",
            "models.a.request_batch", 1, "TG305", "has one row",
        ),
        (
            "models: {a: {sequence: {state: {h: y}, initial: {c: f.bin}}}}",
            "models.a.sequence.initial.c", 1, "TG305", "is no state",
        ),
        (
            "models: {a: {sequence: {state: {h: y}, initial: {h: /etc/passwd}}}}",
            "models.a.sequence.initial.h", 1, "TG304", "below this folder",
        ),
        (
            "models: {a: {sequence: {state: {h: y}, idle: 5}}}",
            "models.a.sequence.idle", 1, "TG304", "duration",
        ),
    ],
)  # fmt: skip
def test_fault(text: str, path: str, line: int, code: str, words: str) -> None:
    (fault,) = parse_intent(text, "tritongen.yaml").faults
    assert (fault.path, fault.line, fault.code) == (path, line, code)
    assert words in fault.message


def test_axes_arrive_and_decide_what_is_fed_first() -> None:
    text = 'models: {a: {axes: {seq: {min: 1, typical: 128, max: 512}, "x[2]": {max: 8}}}}'
    model = parse_intent(text, "x").intent.of("a")
    assert model.axes == {"seq": AxisIntent(1, 128, 512), "x[2]": AxisIntent(0, 0, 8)}
    assert trial_declarations(model) == ("axes.seq: 1, 128, 512", "axes.x[2]: 0, 0, 8")
    usual = (16, 1, 512, 8)
    assert AxisIntent(1, 128, 512).among(usual) == (128,)
    assert AxisIntent().among(usual) == usual
    assert AxisIntent(maximum=8).among(usual) == (8, 1, 8)
    assert AxisIntent(minimum=9).among(usual) == (16, 512)
    assert AxisIntent(minimum=17, maximum=19).among(usual) == (17,)


def test_sequences_arrive() -> None:
    text = "state: {h: hn}, controls: {ready: mask}, strategy: direct, concurrent: 9, idle: 2s"
    document = parse_intent(f"models: {{a: {{sequence: {{{text}}}}}, b: {{}}}}", "t.yaml")
    assert document.faults == ()
    sequence = document.intent.of("a").sequence
    assert sequence is not None
    assert (sequence.state, sequence.controls) == ({"h": "hn"}, {SequenceControl.READY: "mask"})
    assert sequence.own_inputs == {"h", "mask"}
    assert (sequence.strategy, sequence.concurrent, sequence.idle_ms) == ("direct", 9, 2000.0)
    assert document.intent.of("b").sequence is None


def test_all_faults_are_reported_together() -> None:
    document = parse_intent("target: {cpus: -1}\nmodels:\n  a: {rate: x, foo: 1}\n", "t.yaml")
    with pytest.raises(InvalidInputError) as caught:
        raise_faults(document.faults, document.path)
    assert len(caught.value.details) == 3
    assert all("line " in detail and "[TG30" in detail for detail in caught.value.details)
    assert caught.value.where == "t.yaml"


@pytest.mark.parametrize("text", ["a: [1", "\t- x: y", "a: !!python/object:os.system x", "\x00"])
def test_not_yaml(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_intent(text, "t.yaml")
    assert caught.value.code == "TG301"


def test_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(InvalidInputError) as caught:
        parse_intent("\n".join(lines), "t.yaml")
    assert caught.value.code == "TG302"


def test_alias_to_itself_is_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_intent("models: &m\n  a: *m\n", "t.yaml")
    assert caught.value.code in {"TG301", "TG302"}


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_intent("[" * 5000, "t.yaml")
    assert caught.value.code in {"TG301", "TG302"}


def test_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "tritongen.yaml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(InvalidInputError) as caught:
        read_intent(path)
    assert caught.value.code == "TG302"


def test_missing_file_means_defaults(tmp_path: Path) -> None:
    document = read_intent(tmp_path / "tritongen.yaml")
    assert document.intent.target.cpus is None
    assert document.intent.models == {}


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "tritongen.yaml"
    path.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InvalidInputError) as caught:
        read_intent(path)
    assert caught.value.code == "TG301"
    assert caught.value.what == "not UTF-8 text: byte 0 is 0xff"


def test_schema_accepts_what_the_reader_accepts_and_no_more() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(yaml.safe_load(FULL))
    for wrong in ({"target": {"cpus": 0}}, {"modles": {}}, {"models": {"a": {"batch": "maybe"}}}):
        assert not validator.is_valid(wrong)


def test_the_command_prints_the_schema() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tritongen", "init", "--schema"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout)["title"] == "tritongen.yaml"


@pytest.mark.parametrize(
    ("overlay", "batch", "limit"),
    [
        ("max_batch_size: 0", False, 0),
        ("max_batch_size: null", False, 0),
        ("max_batch_size: 8", True, 8),
        ("max_batch_size: 8, input: [], output: []", None, 8),
        ("backend: python", None, None),
        ("max_batch_size: many", None, None),
        ("max_batch_size: -1", None, None),
    ],
)
def test_an_overlays_batch_size_is_the_wish(
    overlay: str, batch: bool | None, limit: int | None
) -> None:
    model = parse_intent(f"models: {{a: {{overlay: {{{overlay}}}}}}}", "x").intent.of("a")
    assert (model.batch, model.max_batch_size) == (batch, limit)


MISTAGGED = (
    '!!int "abc"', '!!int ""', '!!float ""', "!!float x", "!!bool x", "!!timestamp x", "2001-99-99",
    '!!timestamp "2001-01-01 99:99:99"', '!!int "0x"', '!!int "-"', '!!int "1:"',
    "9" * 5000, "0x" + "f" * 101, "1" + ":1" * 400_000, "1" + ":1" * 400_000 + ".5",
)  # fmt: skip


@pytest.mark.parametrize("value", MISTAGGED, ids=lambda value: value[:20])
def test_a_value_that_its_type_does_not_fit_is_told_with_its_place(value: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_intent(f"models:\n  m:\n    rate: {value}\n", "tritongen.yaml")
    assert caught.value.code == "TG301"
    assert caught.value.where == "tritongen.yaml"
    assert caught.value.what.startswith("line 3, column 11: ")
    assert len(caught.value.what) < 200


@pytest.mark.parametrize(
    "value",
    ["9" * 100, "-" + "9" * 99, "0x" + "f" * 98, "1" + ":59" * 33, "1.0e+308", ".inf", ".nan"],
)
@pytest.mark.parametrize(
    "text",
    [
        "target: {cpus: V}", "target: {memory: V}", "target: {gpus: V}", "target: {triton: V}",
        "models: {m: {rate: {average: V, peak: V}}}", "models: {m: {latency: {p95: V}}}",
        "models: {m: {max_batch_size: V, request_batch: V, versions: [V]}}",
        "models: {m: {inputs: {a: {shape: [V], values: V}}, accuracy: {max_drop: V}}}",
        "models: {V: {rate: 1}}",
    ],
)  # fmt: skip
def test_any_number_is_a_value_or_a_fault(text: str, value: str) -> None:
    document = parse_intent(text.replace("V", value), "tritongen.yaml")
    assert all(str(fault) for fault in document.faults)


def test_an_exponent_without_a_sign_is_told_how_to_be_written(tmp_path: Path) -> None:
    path = tmp_path / "tritongen.yaml"
    path.write_text("models: {ocr: {rate: 1e3}}\n")
    (fault,) = read_intent(path).faults
    assert "1.0e+9" in str(fault)
    path.write_text("models: {ocr: {rate: 1.0e+3}}\n")
    assert read_intent(path).intent.of("ocr").rate == 1000.0


def test_rows_of_a_request_are_a_number_or_the_usual_one_and_the_most():
    for text, usual, most in (("4", 4, 4), ("{typical: 2, max: 32}", 2, 32), ("{max: 8}", 1, 8)):
        own = parse_intent(f"models: {{m: {{request_batch: {text}}}}}", "").intent.of("m")
        assert (own.request_batch, own.most_rows) == (usual, most)
    text = "models: {m: {request_batch: {typical: 2, max: 32}, max_batch_size: 16}}"
    (fault,) = parse_intent(text, "").faults
    assert (fault.path, fault.code) == ("models.m.request_batch", "TG305")


def test_samples_are_a_path_or_one_for_each_tensor():
    for text, paths in (("a.npz", {"": "a.npz"}), ("{X: 'a/*.jpg'}", {"X": "a/*.jpg"})):
        own = parse_intent(f"models: {{m: {{samples: {text}}}}}", "").intent.of("m")
        assert own.samples == paths
    (fault,) = parse_intent("models: {m: {samples: [a.npz]}}", "").faults
    assert fault.path == "models.m.samples"


def test_a_fault_found_later_stands_at_the_line_of_its_value(tmp_path):
    path = tmp_path / "tritongen.yaml"
    path.write_text("models:\n  ocr:\n    rate: {average: 1, peak: 2}\n    latency: 5ms\n")
    document = read_intent(path)
    assert document.fault("models.ocr.latency", "too short").line == 4
    assert document.fault("models.ocr.rate", "too low").line == 3
    assert read_intent(tmp_path / "none.yaml").fault("models.ocr", "none").line == 0
