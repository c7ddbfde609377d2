"""The table of releases, and what stands on it."""

import itertools

import pytest

from tritongen.errors import ExitCode, InvalidInputError
from tritongen.model.intent import DEFAULT_TRITON
from tritongen.model.releases import RELEASES, at_least, find, older


def test_tags_ascend_month_by_month():
    months = [int(entry.tag[:2]) * 12 + int(entry.tag[3:]) for entry in RELEASES]
    assert months == list(range(months[0], months[-1] + 1))
    assert (RELEASES[0].tag, RELEASES[-1].tag) == ("23.08", "26.11")


def test_servers_and_limits_never_go_back():
    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(part) for part in text.split("."))

    for before, after in itertools.pairwise(RELEASES):
        assert numbers(before.server) < numbers(after.server)
        assert numbers(before.onnxruntime) <= numbers(after.onnxruntime)
        assert numbers(before.openvino) <= numbers(after.openvino)
        assert numbers(before.torch) <= numbers(after.torch)
        assert before.onnx_ir <= after.onnx_ir
        assert before.onnx_opset <= after.onnx_opset
        assert before.onnx_ml_opset <= after.onnx_ml_opset
        assert before.assumed <= after.assumed


def test_one_runtime_has_one_set_of_limits():
    limits: dict[str, set[tuple[int, int, int]]] = {}
    for entry in RELEASES:
        limits.setdefault(entry.onnxruntime, set()).add(
            (entry.onnx_ir, entry.onnx_opset, entry.onnx_ml_opset)
        )
    assert all(len(found) == 1 for found in limits.values())


@pytest.mark.parametrize(
    ("tag", "server", "onnxruntime", "limits"),
    [
        ("24.04", "2.45.0", "1.17.3", (9, 20, 4)),
        ("24.10", "2.51.0", "1.19.2", (10, 21, 5)),
        ("25.07", "2.59.1", "1.22.0", (10, 22, 5)),
        ("25.08", "2.60.0", "1.23.0", (11, 23, 5)),
        ("26.02", "2.66.0", "1.24.1", (13, 25, 5)),
        ("26.07", "2.71.0", "1.27.0", (13, 26, 5)),
        ("26.08", "2.72.0", "1.28.0", (13, 26, 5)),
    ],
)
def test_known_rows(tag, server, onnxruntime, limits):
    entry = find(tag)
    assert (entry.server, entry.onnxruntime) == (server, onnxruntime)
    assert (entry.onnx_ir, entry.onnx_opset, entry.onnx_ml_opset) == limits
    assert not entry.assumed


def test_the_default_target_is_known():
    assert find(DEFAULT_TRITON).tag == DEFAULT_TRITON


@pytest.mark.parametrize(
    ("tag", "hint"),
    [
        ("23.07", "23.08"),
        ("27.01", "26.11"),
        ("26.13", "YY.MM"),
        ("2.51.0", "YY.MM"),
        ("", "YY.MM"),
        ("24.1", "YY.MM"),
        ("٢٤.٠٤", "YY.MM"),
    ],
)
def test_an_unknown_tag_names_what_is_known(tag, hint):
    with pytest.raises(InvalidInputError) as caught:
        find(tag)
    assert caught.value.code == "TG304"
    assert caught.value.exit_code is ExitCode.INVALID_INPUT
    assert hint in caught.value.fix


@pytest.mark.parametrize(
    ("version", "other", "is_older"),
    [
        ("onnxruntime 1.19.2", "1.32.0", True),
        ("onnxruntime 1.9.0", "1.19.2", True),
        ("onnxruntime 1.32.0", "1.32.0", False),
        ("2.13", "torch 2.13.1+cpu", False),
        ("2025.4.1", "openvino 2025.4.0", False),
        ("", "1.0", False),
    ],
)
def test_versions_are_compared_by_the_numbers_that_both_have(version, other, is_older):
    assert older(version, other) is is_older


def test_at_least_compares_months_and_not_texts():
    assert at_least("26.03", "26.03")
    assert at_least("26.11", "26.03")
    assert at_least("100.01", "99.12")
    assert not at_least("25.12", "26.01")
    assert at_least("23.08", "00.00")
    with pytest.raises(InvalidInputError):
        at_least("latest", "26.03")
