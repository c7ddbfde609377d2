"""Regions of shared memory: aligned, one of outputs for each slot, and none left behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tritongen.errors import EnvironmentProblem
from tritongen.triton import shared_memory
from tritongen.triton.messages import Message, SharedRegion, WireTensor
from tritongen.triton.shared_memory import SharedTensors, remove_leftovers

SHM = Path("/dev/shm")  # noqa: S108 - where the system keeps such regions


class Server:
    """What registers regions: as `ServerControl` does, on a server that may refuse them."""

    def __init__(self, room: int = 9) -> None:
        self.known: dict[str, int] = {}
        self._room = room

    def register_shared_memory(self, name: str, key: str, size: int) -> None:
        if len(self.known) >= self._room:
            raise EnvironmentProblem("TG909", "no more regions")
        assert key == f"/{name}"
        self.known[name] = size

    def unregister_shared_memory(self, name: str) -> None:
        del self.known[name]


def message(*sizes: int) -> Message:
    inputs = tuple(
        WireTensor(f"x{n}", "FP32", (1,), b"%d" % n * size) for n, size in enumerate(sizes)
    )
    return Message("m", "", inputs, (("y", None), ("z", None)), {})


def own_regions() -> set[str]:
    return {path.name for path in SHM.glob(f"tritongen_probe_{os.getpid()}_*")}


def test_inputs_lie_once_and_outputs_once_a_slot():
    server, sent = Server(), message(64, 65, 0)
    before = own_regions()
    tensors = SharedTensors(server, [sent, message(1)], {"y": 100}, slots=3)
    try:
        assert sorted(server.known.values()) == [64 + 128 + 64 + 64, 128 * 3]
        placed = [tensors(sent, 0, slot) for slot in (0, 2)]
        first = [tensor.data for tensor in placed[0].inputs]
        assert [(one.offset, one.size) for one in first] == [(0, 64), (64, 65), (192, 0)]
        assert placed[0].inputs == placed[1].inputs
        assert tensors(message(1), 1, 0).inputs[0].data.offset == 256
        regions = [dict(one.outputs) for one in placed]
        assert [one["y"].offset for one in regions] == [0, 256]
        assert regions[0]["y"].size == 100
        assert regions[0]["z"] is None
        name = first[1].name
        assert (SHM / name).read_bytes()[64:129] == b"1" * 65
        assert placed[0].payload_bytes == sent.payload_bytes == 129
    finally:
        tensors.close()
    assert server.known == {}
    assert own_regions() == before


@pytest.mark.parametrize("room", [0, 1])
def test_a_server_that_refuses_leaves_nothing(room):
    server, before = Server(room), own_regions()
    with pytest.raises(EnvironmentProblem, match="no more regions"):
        SharedTensors(server, [message(4)], {"y": 4}, slots=1)
    assert own_regions() == before
    assert server.known == {}


def test_more_than_there_is_room_for_is_told():
    before = own_regions()
    with pytest.raises(EnvironmentProblem) as caught:
        shared_memory.Region(Server(), 1 << 50)
    assert (caught.value.code, caught.value.where) == ("TG909", os.fspath(SHM))
    assert own_regions() == before


def test_regions_of_the_dead_are_removed_and_no_others():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    names = {"dead": f"tritongen_probe_{child.pid}_1", "own": f"tritongen_probe_{os.getpid()}_x",
             "foreign": "tritongen_probe_x_1"}  # fmt: skip
    paths = {key: SHM / name for key, name in names.items()}
    try:
        for path in paths.values():
            path.touch()
        remove_leftovers()
        assert {key for key, path in paths.items() if path.exists()} == {"own", "foreign"}
    finally:
        for path in paths.values():
            path.unlink(missing_ok=True)


def test_a_region_knows_its_place():
    region = SharedRegion("r", 8, 16)
    assert Message("m", "", (WireTensor("x", "FP32", (4,), region),), (), {}).payload_bytes == 16


def test_outputs_of_a_slot_lie_behind_each_other():
    sent = message(1)
    tensors = SharedTensors(Server(), [sent], {"y": 100, "z": 10}, slots=2)
    try:
        placed = [dict(tensors(sent, 0, slot).outputs) for slot in (0, 1)]
        assert [(one["y"].offset, one["z"].offset) for one in placed] == [(0, 128), (192, 320)]
        assert placed[1]["z"].size == 10
    finally:
        tensors.close()
