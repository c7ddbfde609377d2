"""The table of GPUs: names as people and drivers write them, slices, what tritongen.yaml says."""

import pytest

from tritongen.intent.reader import parse_intent
from tritongen.model.facts import Precision
from tritongen.model.gpu_cards import CARDS, card_name
from tritongen.model.target_gpu import TargetGpu

GB = 10**9


@pytest.mark.parametrize(
    ("text", "memory_bytes", "name"),
    [
        ("t4", 0, "T4"),
        ("NVIDIA L4", 0, "L4"),
        ("Tesla T4", 0, "T4"),
        ("A100-80", 0, "A100-80"),
        ("NVIDIA A100-SXM4-40GB", 0, "A100-40"),
        ("NVIDIA A100 80GB PCIe", 0, "A100-80"),
        ("NVIDIA A100", 40 * 2**30, "A100-40"),
        ("NVIDIA A100", 0, None),
        ("NVIDIA A10G", 0, "A10G"),
        ("NVIDIA H100 80GB HBM3", 0, "H100"),
        ("NVIDIA H100 PCIe", 0, "H100-PCIe"),
        ("NVIDIA H100 NVL", 0, None),
        ("V100", 0, None),
        ("L40", 0, None),
    ],
)
def test_names_as_they_are_written(text, memory_bytes, name):
    assert card_name(text, memory_bytes) == name


def test_a_slice_is_its_share_of_processors_and_of_memory():
    card = CARDS["A100-40"]
    part = card.slice("2g.10gb")
    assert (part.name, part.memory_bytes) == ("A100-40 2g.10gb", 10 * GB)
    assert part.bandwidth == pytest.approx(card.bandwidth / 4)
    assert part.fp16 == pytest.approx(card.fp16 * 2 / 7)
    assert card.slice("7g.40gb").fp16 == card.fp16
    assert all(known.slice(name).memory_bytes <= known.memory_bytes
               for known in CARDS.values() for name in known.mig)  # fmt: skip


def test_matrices_run_at_the_rate_of_their_type():
    t4, a100 = CARDS["T4"], CARDS["A100-80"]
    assert t4.matrix_rate(Precision.SINGLE) == 8.1e12
    assert a100.matrix_rate(Precision.SINGLE) == 156e12
    assert t4.matrix_rate(Precision.HALF) == 65e12
    # Turing has no bfloat16.
    assert t4.matrix_rate(Precision.BRAIN) == 8.1e12
    assert a100.matrix_rate(Precision.BRAIN) == 312e12


@pytest.mark.parametrize(
    ("text", "gpus", "usable"),
    [
        ("target: {gpu: T4}", 1, 16 * GB),
        ("target: {gpus: 2, gpu: {name: l4}}", 2, 24 * GB),
        ("target: {gpu: {name: L4, memory: 20GB}}", 1, 20 * GB),
        ("target: {gpu: {memory: 48GB}}", 1, 48 * GB),
        ("target: {gpus: 1, gpu: {name: A100-40, mig: 1g.5gb}}", 1, 5 * GB),
    ],
)
def test_the_target_says_which(text, gpus, usable):
    document = parse_intent(text, "tritongen.yaml")
    assert document.faults == ()
    target = document.intent.target
    assert target.gpu is not None
    assert (target.gpus, target.gpu.usable_bytes) == (gpus, usable)


def test_of_a_card_without_a_name_only_its_memory_is_known():
    assert TargetGpu(memory_bytes=GB).card is None
    assert parse_intent("target: {gpu: null}", "").intent.target.gpus == 0


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("target: {gpu: V100}", "target.gpu", "of another card leave the name out and state"),
        ("target: {gpu: {name: T4, mig: 1g.5gb}}", "target.gpu.mig",
         "T4 cannot be cut into MIG slices: leave `mig` out"),
        ("target: {gpu: {name: H100, mig: 1g.5gb}}", "target.gpu.mig",
         "H100 has no slice 1g.5gb: write one of 1g.10gb, 1g.20gb"),
        ("target: {gpu: {mig: 1g.5gb}}", "target.gpu.mig", "needs the card's name"),
        ("target: {gpus: 0, gpu: T4}", "target.gpu", "contradicts gpus: 0"),
        ("target: {gpus: 2, gpu: {name: H100, mig: 1g.10gb}}", "target.gpu.mig",
         "state gpus: 1, and start a server for each slice"),
        ("target: {gpu: {name: T4, memory: much}}", "target.gpu.memory", "such as 512MB"),
        ("target: {gpu: {card: T4}}", "target.gpu.card", "unknown key"),
    ],
)  # fmt: skip
def test_what_no_target_can_be_is_told_with_its_place(text, path, words):
    (fault,) = parse_intent(text, "tritongen.yaml").faults
    assert fault.path == path
    assert words in fault.message
    assert fault.line == 1
