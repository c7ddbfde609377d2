"""Facts of ONNX files that the onnx package does not spell out, and files that are damaged."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from support import onnx_models
from support.onnx_models import FLOAT, INT64, STRING, value
from tritongen.formats.onnx_graph import MAX_FAULTS, OnnxWeights
from tritongen.formats.onnx_reader import read_onnx
from tritongen.formats.onnx_tensors import TensorHeader
from tritongen.formats.onnx_trees import votes_for_one_class
from tritongen.formats.reading import ModelSource
from tritongen.model.facts import ModelFacts, OnnxFacts
from tritongen.model.tensors import DType, TensorKind


def read(message, tmp_path: Path, name: str = "m/net.onnx") -> ModelFacts:
    onnx_models.save(message, tmp_path / name)
    return read_onnx(ModelSource(tmp_path.resolve(), name, "m"))


def facts(reading: ModelFacts) -> OnnxFacts:
    assert reading.onnx is not None
    return reading.onnx


def messages(reading: ModelFacts) -> list[tuple[str, str]]:
    return [(item.code, item.message) for item in reading.findings]


# Inputs and outputs.


def test_symbols_are_kept_and_negative_sizes_are_dynamic(tmp_path):
    message = onnx_models.relu(("batch", None, 3, 224))
    message.graph.input[0].type.tensor_type.shape.dim[2].dim_value = -1
    reading = read(message, tmp_path)
    assert reading.inputs[0].shape == ("batch", None, None, 224)
    assert reading.inputs[0].dtype is DType.FP32
    assert reading.inputs[0].declared_type == "FLOAT"


def test_no_shape_is_not_a_scalar(tmp_path):
    assert read(onnx_models.relu(None), tmp_path).outputs[0].shape is None
    assert read(onnx_models.relu(()), tmp_path).outputs[0].shape == ()


def test_overridable_initialisers_are_no_inputs(tmp_path):
    node = helper.make_node("Add", ["x", "w"], ["y"])
    weight = onnx_models.tensor("w", [3])
    message = onnx_models.model(
        [node], [value("x"), value("w", shape=(3,))], [value("y")], [weight]
    )
    reading = read(message, tmp_path)
    assert [spec.name for spec in reading.inputs] == ["x"]
    assert reading.parameters == 3


def info(name: str, kind: onnx.TypeProto) -> onnx.ValueInfoProto:
    return helper.make_value_info(name, kind)


TENSOR = helper.make_tensor_type_proto(FLOAT, None)
MAP = helper.make_map_type_proto(INT64, TENSOR)


@pytest.mark.parametrize(
    ("kind", "expected", "text"),
    [
        (helper.make_sequence_type_proto(TENSOR), TensorKind.SEQUENCE, "seq(tensor(float))"),
        (helper.make_sequence_type_proto(MAP), TensorKind.SEQUENCE, "seq(map(int64,float))"),
        (
            helper.make_map_type_proto(STRING, helper.make_sequence_type_proto(TENSOR)),
            TensorKind.MAP,
            "map(string,seq(tensor(float)))",
        ),
        (helper.make_optional_type_proto(TENSOR), TensorKind.OPTIONAL, "optional(tensor(float))"),
        (
            helper.make_optional_type_proto(helper.make_sequence_type_proto(TENSOR)),
            TensorKind.OPTIONAL,
            "optional(seq(tensor(float)))",
        ),
        (
            helper.make_sparse_tensor_type_proto(FLOAT, [3]),
            TensorKind.SPARSE,
            "sparse_tensor(float)",
        ),
        (helper.make_sequence_type_proto(onnx.TypeProto()), TensorKind.SEQUENCE, "seq(tensor(?))"),
    ],
)
def test_containers_are_spelled_out(tmp_path, kind, expected, text):
    message = onnx_models.relu()
    message.graph.output[0].CopyFrom(info("y", kind))
    spec = read(message, tmp_path).outputs[0]
    assert (spec.kind, spec.declared_type, spec.dtype) == (expected, text, None)
    assert spec.optional == (expected is TensorKind.OPTIONAL)


@pytest.mark.parametrize(
    ("number", "name"),
    [(TensorProto.COMPLEX64, "COMPLEX64"), (TensorProto.FLOAT8E4M3FN, "FLOAT8E4M3FN"),
     (TensorProto.INT4, "INT4"), (TensorProto.FLOAT4E2M1, "FLOAT4E2M1")],
)  # fmt: skip
def test_types_that_triton_has_no_name_for(tmp_path, number, name):
    spec = read(onnx_models.relu(elem_type=number), tmp_path).inputs[0]
    assert (spec.dtype, spec.declared_type, spec.kind) == (None, name, TensorKind.TENSOR)


def test_a_type_from_the_future_is_named_by_its_number(tmp_path):
    message = onnx_models.relu()
    message.graph.input[0].type.tensor_type.elem_type = 99
    assert read(message, tmp_path).inputs[0].declared_type == "TYPE_99"


def test_every_type_of_the_onnx_package_is_known(tmp_path):
    for name, number in TensorProto.DataType.items():
        if number:
            spec = read(onnx_models.relu(elem_type=number), tmp_path).inputs[0]
            assert spec.declared_type == name


def test_a_name_that_is_no_text(tmp_path):
    raw = onnx_models.relu().SerializeToString().replace(b"\x0a\x01x", b"\x0a\x01\xff")
    reading = read(raw, tmp_path)
    assert reading.inputs[0].name == "\\xff"
    assert ("TG116", "the name b'\\xff' is not UTF-8 text") in messages(reading)


# Versions, domains, operators.


def test_versions_and_producer(tmp_path):
    message = onnx_models.relu(opset=18, ir_version=9, domains=[("ai.onnx.ml", 3)])
    message.producer_name, message.producer_version = "pytorch", "2.9.0"
    found = facts(read(message, tmp_path))
    assert found.ir_version == 9
    assert found.opsets == (("ai.onnx", 18), ("ai.onnx.ml", 3))
    assert found.producer == "pytorch 2.9.0"


def test_custom_domains_are_those_in_use_that_nothing_defines(tmp_path):
    function = helper.make_function(
        "local", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
        [helper.make_opsetid("", 17)],
    )  # fmt: skip
    nodes = [
        helper.make_node("Twice", ["x"], ["t"], domain="local"),
        helper.make_node("Gelu", ["t"], ["u"], domain="com.microsoft"),
        helper.make_node("Fold", ["u"], ["y"], domain="acme"),
    ]
    domains = [("local", 1), ("com.microsoft", 1), ("acme", 1), ("unused.domain", 1)]
    message = onnx_models.model(
        nodes, [value("x")], [value("y")], domains=domains, functions=[function]
    )
    assert facts(read(message, tmp_path)).custom_domains == ("acme",)
    message.graph.node[0].op_type = "Thrice"
    assert facts(read(message, tmp_path)).custom_domains == ("acme", "local")


def test_quantised_operators_wherever_they_are(tmp_path):
    body = helper.make_graph(
        [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"])],
        "then", [], [value("q", TensorProto.UINT8)],
    )  # fmt: skip
    nodes = [
        helper.make_node("If", ["c"], ["r"], then_branch=body, else_branch=body),
        helper.make_node("QLinearConv", ["x"], ["a"]),
        helper.make_node("MatMulNBits", ["a"], ["b"], domain="com.microsoft"),
        helper.make_node("QuantizeLinear", ["b", "s1"], ["d"]),
        helper.make_node("DequantizeLinear", ["d", "s1"], ["y"]),
        helper.make_node("Conv", ["x"], ["e"]),
    ]
    message = onnx_models.model(
        nodes,
        [value("x"), value("c", TensorProto.BOOL, ())],
        [value("y")],
        [onnx_models.tensor("s1", [])],
        domains=[("com.microsoft", 1)],
    )
    found = facts(read(message, tmp_path))
    assert found.quantized_operators == (
        ("DynamicQuantizeLinear", 2),
        ("DequantizeLinear", 1),
        ("MatMulNBits", 1),
        ("QLinearConv", 1),
        ("QuantizeLinear", 1),
    )
    assert found.dynamic_quantization
    del message.graph.node[0]
    assert not facts(read(message, tmp_path)).dynamic_quantization


def tree(class_ids: list[int], transform: str = "NONE", **labels: list[int] | list[str]):
    return helper.make_node(
        "TreeEnsembleClassifier", ["x"], ["y"],
        domain="ai.onnx.ml", post_transform=transform,
        class_ids=class_ids, class_weights=[0.25] * len(class_ids), **labels,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("node", "votes"),
    [
        (tree([0, 0, 0], classlabels_int64s=[0, 1]), True),
        (tree([1], classlabels_strings=["no", "yes"]), True),
        (tree([0] * 5000, classlabels_int64s=[300, -1]), True),
        (tree([0, 1, 0], classlabels_int64s=[0, 1]), False),
        (tree([0, 0, 0], classlabels_int64s=[0, 1, 2]), False),
        (tree([0, 0, 0], classlabels_strings=["a"]), False),
        (tree([0, 0, 0], "LOGISTIC", classlabels_int64s=[0, 1]), False),
    ],
)
def test_votes_for_one_of_two_classes(tmp_path, node, votes):
    message = onnx_models.model([node], [value("x")], [value("y")], domains=[("ai.onnx.ml", 3)])
    assert facts(read(message, tmp_path)).one_class_votes is votes


@pytest.mark.parametrize(("labels", "votes"), [([0, 1], True), ([0, 1, 300], False)])
def test_votes_in_packed_lists(tmp_path, labels, votes):
    """Protobuf lets a writer pack a list of numbers into one field."""

    def packed(name: str, numbers: bytes) -> bytes:
        text = name.encode()
        return b"\x0a" + bytes([len(text)]) + text + b"\x42" + bytes([len(numbers)]) + numbers

    numbers = b"".join(bytes([n]) if n < 128 else bytes([n & 127 | 128, n >> 7]) for n in labels)
    ids = packed("class_ids", b"\x01\x01\x01")
    both = ids + packed("classlabels_int64s", numbers)
    assert votes_for_one_class(both, [(0, len(ids)), (len(ids), len(both))]) is votes


def test_the_graph_counts_sub_graphs_and_sees_what_they_capture(tmp_path):
    branch = helper.make_graph(
        [helper.make_node("Relu", ["a"], ["t"]), helper.make_node("Neg", ["t"], ["u"])],
        "then", [], [value("u")],
    )  # fmt: skip
    nodes = [
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node("Exp", ["x"], ["e"]),
        helper.make_node("If", ["c"], ["r"], then_branch=branch, else_branch=branch),
        helper.make_node("Add", ["r", "e"], ["y"]),
    ]
    message = onnx_models.model(nodes, [value("x"), value("c", TensorProto.BOOL, ())], [value("y")])
    reading = read(message, tmp_path)
    assert reading.graph is not None
    assert reading.graph.operators == 8
    # Abs, If with the two operators of a branch, Add.
    assert (reading.graph.critical_path, reading.graph.width) == (5, 2)
    assert reading.graph.counts[:2] == (("Neg", 2), ("Relu", 2))
    assert reading.findings == ()


# Weights.


def test_weights_are_counted_by_their_headers(tmp_path):
    weights = [
        onnx_models.tensor("a", [4, 5]),
        onnx_models.tensor("b", [3], elem_type=TensorProto.FLOAT16),
        helper.make_tensor("c", FLOAT, [2], [1.0, 2.0]),
        helper.make_tensor("d", INT64, [], [7]),
        helper.make_tensor("e", TensorProto.INT4, [3], [1, 2, 3]),
        helper.make_tensor("f", STRING, [2], [b"ab", b"cde"]),
        onnx_models.external("g", [6], "w.bin", offset=4, length=24),
    ]
    message = onnx_models.with_weights(*weights)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "w.bin").write_bytes(bytes(28))
    reading = read(message, tmp_path)
    assert reading.parameters == 20 + 3 + 2 + 1 + 3 + 2 + 6
    assert reading.weight_bytes == 80 + 6 + 8 + 8 + 2 + 5 + 24
    assert reading.precisions == (
        ("FP32", 28),
        ("FP16", 3),
        ("INT4", 3),
        ("BYTES", 2),
        ("INT64", 1),
    )
    assert [(item.source, item.target) for item in reading.versions[0].files] == [
        ("m/w.bin", "w.bin")
    ]
    assert reading.findings == ()


def test_trees_keep_their_weights_in_attributes(tmp_path):
    node = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml",
        nodes_values=[0.5] * 1000, target_weights=[1.0] * 501, nodes_treeids=list(range(1000)),
    )  # fmt: skip
    message = onnx_models.model([node], [value("x")], [value("y")], domains=[("ai.onnx.ml", 3)])
    assert read(message, tmp_path).parameters == 1501


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (onnx_models.tensor("w", [2], raw=b"\0" * 7), "holds 7 bytes and its shape asks for 8"),
        (TensorProto(name="w", data_type=FLOAT, dims=[2]), "has 2 elements and no content"),
        (TensorProto(name="w", data_type=99, dims=[2]), "unknown element type 99"),
        (TensorProto(name="w", dims=[2]), "unknown element type 0"),
        (onnx_models.external("w", [2], "", length=8), "the file's name is missing"),
        (onnx_models.external("w", [2], "w.bin", length=4), "holds 4 bytes"),
    ],
)
def test_tensors_that_no_runtime_would_load(tmp_path, weight, message):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "w.bin").write_bytes(bytes(8))
    found = messages(read(onnx_models.with_weights(weight), tmp_path))
    assert [code for code, _ in found] == ["TG102"]
    assert message in found[0][1]


def test_many_faults_are_told_in_a_few_lines(tmp_path):
    broken = [onnx_models.tensor(f"w{index}", [2], raw=b"") for index in range(100)]
    found = messages(read(onnx_models.with_weights(*broken), tmp_path))
    assert len(found) == 6
    assert found[-1][1] == "95 further faults of this kind"


def test_of_many_faults_the_first_are_kept():
    weights = OnnxWeights()
    for _ in range(100):
        weights.add(TensorHeader(b"w", 99, (1,)))
    assert (len(weights.faults), weights.faulty) == (MAX_FAULTS, 100)
