"""What NVIDIA's driver says of the GPUs of this machine."""

import pytest

from tritongen.system.gpus import CardMemory, card_memory

MIB = 2**20
ANSWER = "Tesla T4, 15360, 14923\nNVIDIA A100-SXM4-80GB, 81920, 81043\n"


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        (ANSWER, (CardMemory("Tesla T4", 15360 * MIB, 14923 * MIB),
                  CardMemory("NVIDIA A100-SXM4-80GB", 81920 * MIB, 81043 * MIB))),
        ("", ()),
        ("NVIDIA A100-SXM4-40GB, [Insufficient Permissions], [Insufficient Permissions]\n", ()),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n", ()),
        ("A, or B, 100, 50\n", (CardMemory("A, or B", 100 * MIB, 50 * MIB),)),
    ],
)  # fmt: skip
def test_recorded_answers(text, gpus):
    assert card_memory(lambda _: (0, text)) == gpus
    assert card_memory(lambda _: (9, text)) == ()


@pytest.mark.parametrize(
    ("script", "count"), [(f"printf '{ANSWER}'", 2), ("exit 9", 0), ("printf '\\377'", 0)]
)
def test_the_tool_is_asked(script, count, tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert len(card_memory()) == count


def test_without_the_tool_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert card_memory() == ()
