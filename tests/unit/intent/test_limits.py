"""What just agrees is taken, and the next value is a fault, with the place of what to change."""

import pytest

from tritongen.errors import InvalidInputError
from tritongen.intent import yaml_tree
from tritongen.intent.edit import with_rates
from tritongen.intent.reader import json_schema, parse_intent, read_intent
from tritongen.intent.value_shapes import FaultList, KnownKeys, ListOf, Number, ShapedKey, Words
from tritongen.intent.yaml_tree import MAX_BYTES, MAX_DEPTH, parse
from tritongen.model.business import Grouping, PatternKind


@pytest.mark.parametrize(
    "text",
    [
        "models: {a: {rate: {average: 5, peak: 5}}}",
        "models: {a: {rate: {peak: 5}}}",
        "models: {a: {request_batch: 4, max_batch_size: 4}}",
        "models: {a: {request_batch: 4, max_batch_size: 0}}",
        "models: {a: {request_batch: 4}}",
        "models: {a: {overload: reject, latency: 5ms}}",
        "models: {a: {overload: queue}}",
        "models: {a: {batch: false, max_batch_size: 1}}",
        "models: {a: {batch: true, max_batch_size: 1}}",
        "models: {a: {batch: true}}",
        "models: {a: {skip: true}}",
        "models: {a: {skip: true, serve: false}}",
        "models: {a: {skip: false, serve: true}}",
        "models: {a: {batch: true, overlay: {max_batch_size: 1}}}",
        "models: {a: {batch: false, overlay: {max_batch_size: 0}}}",
        "models: {a: {max_batch_size: 8, overlay: {max_batch_size: 8}}}",
        "models: {a: {axes: {s: {min: 8, typical: 8, max: 8}}}}",
        "models: {a: {axes: {s: {typical: 8, max: 9}}}}",
        "models: {a: {sequence: {controls: {start: s}}}}",
        "models: {a: {sequence: {state: {h: y}, initial: {h: a.bin}}}}",
        "models: {a: {request_batch: 1, response_cache: false, sequence: {state: {h: y}}}}",
        "scaling: {max_replicas: 2}\navailability: {replicas: 2}",
        "scaling: {max_replicas: 1}",
        "scaling: {interval: 1s}",
        "services: {one-a: [a], two-b: [b]}",
        "services: separate",
        "models: {a: {pattern: {file: a.csv}}}",
        "models: {a: {pattern: {kind: history, file: a.csv}}}",
        "models: {a: {accuracy: {max_drop: 0}}, b: {accuracy: {max_drop: 1}}}",
        "target: {gpus: 0, cpus: 0.001}",
        "target: {gpus: 64, cpus: 4096}",
    ],
)
def test_what_just_agrees(text):
    assert parse_intent(text, "tritongen.yaml").faults == ()


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("models: {a: {batch: false, max_batch_size: 2}}", "models.a.max_batch_size",
         "contradicts batch: false"),
        ("models: {a: {batch: true, max_batch_size: 0}}", "models.a.max_batch_size",
         "contradicts batch: true"),
        ("models: {a: {skip: true, serve: true}}", "models.a.skip", "contradicts serve: true"),
        ("models: {a: {batch: true, overlay: {max_batch_size: 0}}}",
         "models.a.overlay.max_batch_size", "contradicts batch: true"),
        ("models: {a: {batch: false, overlay: {max_batch_size: 1}}}",
         "models.a.overlay.max_batch_size", "contradicts batch: false"),
        ("models: {a: {max_batch_size: 4, overlay: {max_batch_size: 5}}}",
         "models.a.overlay.max_batch_size", "is above max_batch_size: 4"),
        ("models: {a: {request_batch: 5, max_batch_size: 4}}", "models.a.request_batch",
         "must not be above"),
        ("scaling: {max_replicas: 1}\navailability: {replicas: 2}", "scaling.max_replicas",
         "must not be below 2 replicas"),
        ("scaling: {interval: 0.999s}", "scaling.interval", "must be at least 1s"),
        ("services: {one-a: [a], two-b: [a]}", "services.two-b", "a is in one-a already"),
        ("services: {one-a: [a, a]}", "services.one-a", "a is in one-a already"),
        ("models: {a: {pattern: {kind: history}}}", "models.a.pattern", "needs its `file`"),
        ("models: {a: {pattern: {kind: constant, file: a.csv}}}", "models.a.pattern",
         "only a history has a `file`"),
        ("models: {a: {axes: {s: {typical: 9, max: 8}}}}", "models.a.axes.s.max",
         "must not be below typical"),
        ("models: {a: {accuracy: {max_drop: 1.1}}}", "models.a.accuracy.max_drop", "at most 1"),
        ("models: {a: {accuracy: {max_drop: -0.1}}}", "models.a.accuracy.max_drop", "at least 0"),
        ("target: {gpus: 65}", "target.gpus", "must be at most 64, got 65"),
        ("target: {gpus: true}", "target.gpus", "must be a whole number, got True"),
        ("models: {a: {services: 3}}", "models.a.services", "unknown key"),
        ("pipelines: {p: {outputs: [y]}}", "pipelines.p.steps", "is missing"),
        ("weights: 3", "weights", "must be one of copy, hardlink, symlink, none, got 3"),
        ("models: {a: {versions: 1}}", "models.a.versions", "must be a list, got 1"),
        ("target: 3", "target", "must be a mapping, got 3"),
    ],
)  # fmt: skip
def test_what_disagrees_is_told_at_the_value_to_change(text, path, words):
    faults = parse_intent(text, "tritongen.yaml").faults
    assert any(fault.path == path and words in fault.message for fault in faults), faults


def test_a_bare_value_is_one_for_the_usual_key():
    text = "models: {a: {pattern: black-friday, rate: 3, latency: 5ms}}\ntraffic: ramp-burst\n"
    document = parse_intent(f"{text}services: together\navailability: 3", "")
    assert document.faults == ()
    own, business = document.intent.of("a"), document.intent.business
    assert own.pattern.kind is PatternKind.BLACK_FRIDAY
    assert (own.rate, own.percentile, own.latency_ms) == (3, 99.0, 5.0)
    assert (business.pattern.kind, business.grouping) == (PatternKind.RAMP_BURST, Grouping.TOGETHER)
    assert business.min_replicas == 3
    named = parse_intent("services: {web: [a, b]}\ntraffic: {burstiness: 2}", "").intent.business
    assert (dict(named.services), named.burstiness) == ({"web": ("a", "b")}, 2.0)
    assert parse_intent("", "").intent.business.burstiness == 1.0


def test_a_file_of_just_the_greatest_size_is_read(tmp_path):
    path = tmp_path / "tritongen.yaml"
    line = "weights: none\n"
    path.write_text(line + "#" * (MAX_BYTES - len(line)))
    assert read_intent(path).faults == ()
    path.write_text(line + "#" * (MAX_BYTES - len(line) + 1))
    with pytest.raises(InvalidInputError) as caught:
        read_intent(path)
    assert caught.value.code == "TG302"


@pytest.mark.parametrize(
    ("fits", "exceeds"),
    [
        ("[" * MAX_DEPTH + "]" * MAX_DEPTH, "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2)),
        ("x" * MAX_BYTES, "x" * (MAX_BYTES + 1)),
        ("9" * 100, "9" * 101),
    ],
    ids=["depth", "characters", "digits"],
)
def test_the_bounds_of_a_document(fits, exceeds):
    parse(fits, "")
    with pytest.raises(InvalidInputError):
        parse(exceeds, "")


def test_a_document_has_so_many_values(monkeypatch):
    monkeypatch.setattr(yaml_tree, "MAX_NODES", 5)
    assert parse("[1, 2, 3, 4]", "").value is not None
    with pytest.raises(InvalidInputError):
        parse("[1, 2, 3, 4, 5]", "")


def test_what_is_not_yaml_is_told_with_line_and_column():
    with pytest.raises(InvalidInputError) as caught:
        parse("a: 1\nb: [1\nc: 2", "f.yaml")
    assert caught.value.what.startswith("line 3, column ")
    with pytest.raises(InvalidInputError) as caught:
        parse(f'a: !!int "{"x" * 41}"', "")
    assert "x" * 40 + "…'" in caught.value.what
    with pytest.raises(InvalidInputError) as caught:
        parse(f'a: !!int "{"x" * 40}"', "")
    assert "x" * 40 + "'" in caught.value.what


def test_lines_are_those_of_keys_and_items():
    found = parse("a:\n  - 1\n  - b: 2\n? [x]\n: 3\n", "")
    assert found.lines == {"": 1, "a": 1, "a[0]": 2, "a[1]": 3, "a[1].b": 3, "?": 4}
    faults = FaultList(found.lines)
    assert [faults.line_of(path) for path in ("a[1].c.d", "a[7]", "z.y", "")] == [3, 1, 1, 1]
    assert FaultList({}).line_of("a.b") == 0


def test_a_value_is_shown_up_to_sixty_signs():
    for size, tail in ((58, "'"), (59, "…")):
        faults = FaultList({})
        Words(("a",)).parse("x" * size, "p", faults)
        assert faults.items[0].message.endswith(tail)
        assert len(faults.items[0].message) == len("must be one of a, got ") + (
            60 if tail == "'" else 58
        )


def test_numbers_within_their_bounds():
    def faults_of(value: object, shape: Number) -> int:
        faults = FaultList({})
        shape.parse(value, "p", faults)
        return len(faults.items)

    closed, above = Number(1, 3), Number(above=1)
    assert [faults_of(value, closed) for value in (0.9, 1, 3, 3.1)] == [1, 0, 0, 1]
    assert [faults_of(value, above) for value in (1, 1.1, float("inf"), True)] == [1, 0, 1, 1]
    assert [faults_of(value, Number(whole=True)) for value in (1.0, 1.5, "1", None)] == [0, 1, 1, 1]
    assert closed.schema() == {"type": "number", "minimum": 1, "maximum": 3}
    assert Number(whole=True, above=0).schema() == {"type": "integer", "exclusiveMinimum": 0}


def test_a_list_with_a_wrong_item_is_none():
    faults = FaultList({})
    shape = ListOf(Number(1), min_items=2)
    assert shape.parse([1, 2], "p", faults) == (1, 2)
    assert faults.items == []
    assert shape.parse([1, 0], "p", faults) is None
    assert shape.parse([1], "p", faults) is None
    assert [fault.path for fault in faults.items] == ["p[1]", "p"]


def test_a_bare_value_is_accepted_only_where_a_key_is_meant():
    keys = {"one": ShapedKey(Number(), "a number")}
    faults = FaultList({})
    assert KnownKeys(keys, "one").parse(3, "p", faults) == {"one": 3}
    assert faults.items == []
    assert KnownKeys(keys).parse(3, "p", faults) == {}
    assert len(faults.items) == 1
    assert "anyOf" in KnownKeys(keys, "one").schema()
    assert "anyOf" not in KnownKeys(keys).schema()


def test_the_schema_has_every_mapping_and_list():
    schema = json_schema()
    models = schema["properties"]["models"]["additionalProperties"]["properties"]
    assert models["versions"]["items"] == {"type": "integer", "minimum": 1}
    assert models["samples"]["anyOf"][1]["additionalProperties"]["type"] == "string"
    assert schema["properties"]["target"]["properties"]["triton"]["type"] == ["string", "number"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "models:\n  a:\n    rate: R\n"),
        ("weights: none", "weights: none\nmodels:\n  a:\n    rate: R\n"),
        ("models:\n", "models:\n  a:\n    rate: R\n"),
        ("models: {b: {latency: 5ms}}\n", "models: {a: {rate: R}, b: {latency: 5ms}}\n"),
        ("models:\n    b:\n        latency: 5ms\n",
         "models:\n    a:\n      rate: R\n    b:\n        latency: 5ms\n"),
        ("models:\n  a:\n", "models:\n  a: {rate: R}\n"),
        ("models: {a: null}\n", "models: {a: {rate: R}}\n"),
        ("models:\n  a:\n    latency: 5ms\n", "models:\n  a:\n    rate: R\n    latency: 5ms\n"),
        ("models: {a: {latency: 5ms}}\n", "models: {a: {rate: R, latency: 5ms}}\n"),
        ("models: {a: {rate: 3}}\n", "models: {a: {rate: R}}\n"),
        ("models:\n  a:\n    rate:\n", "models:\n  a:\n    rate: R\n"),
        ("models: 3\n", None),
        ("models: {a: 3}\n", None),
    ],
)  # fmt: skip
def test_a_rate_is_written_in_the_hand_of_the_document(before, after):
    rate = "{average: 1.5, peak: 3}"
    if after is None:
        with pytest.raises(InvalidInputError) as caught:
            with_rates(before, {"a": (1.5, 3.0)}, "f.yaml")
        assert caught.value.code == "TG979"
        assert caught.value.details == (f"models.a.rate: {rate}",)
    else:
        assert with_rates(before, {"a": (1.5, 3.0)}, "f.yaml") == after.replace("R", rate)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("ocr-v2_b", "ocr-v2_b"),
        ("yes", '"yes"'),
        ("1e3", "1e3"),
        ("12", '"12"'),
        ('a"b', '"a\\"b"'),
        ("a.b", '"a.b"'),
    ],
)
def test_a_name_is_quoted_only_where_it_must_be(name, key):
    assert with_rates("", {name: (1.0, 2.0)}, "").startswith(f"models:\n  {key}:\n")
