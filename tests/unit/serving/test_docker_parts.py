"""Parts of the Docker runtime that need no engine: images, links, the command line, settings."""

import os
import shlex
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from tritongen.errors import EnvironmentProblem, InvalidInputError
from tritongen.serving.docker.container_settings import (
    ContainerSettings,
    Mount,
    repository_mounts,
    shared_memory,
)
from tritongen.serving.docker.images import checked, choose_image, official_image, releases_with
from tritongen.serving.protocol import Ports, ServerSpec
from tritongen.serving.runtime_requirements import ModelNeeds
from tritongen.serving.server_spec import UpOptions
from tritongen.triton.server import ApiKeys
from tritongen.triton.server_state import project_label

MODELS = PurePosixPath("/models")


def spec(folder: Path, **fields) -> ServerSpec:
    return ServerSpec(
        repository=folder, models=("m",), log=folder / "log", project=folder,
        label=project_label(folder), **fields,
    )  # fmt: skip


def settings(spec: ServerSpec) -> ContainerSettings:
    mount = Mount(str(spec.repository), "/models")
    return ContainerSettings(
        replace(spec, ports=Ports(1, 2, 3)), "image:1", server="0" * 16, mounts=(mount,),
        engine_cpus=8, keys=ApiKeys.new(),
    )  # fmt: skip


def test_the_official_image_of_a_plan_with_its_reason():
    choice = choose_image("26.07", ("onnxruntime", "python"))
    assert choice.reference == "nvcr.io/nvidia/tritonserver:26.07-py3"
    assert choice.reason == "planned for Triton 26.07, whose image holds onnxruntime, python"
    assert choose_image("26.07", ("vllm",)).reference.endswith(":26.07-vllm-python-py3")


def test_the_image_of_a_repository_that_nobody_planned():
    assert choose_image("", ("onnxruntime",)).reason.startswith("no release is planned for")
    old = choose_image("", ("tensorflow",))
    assert old.reference == "nvcr.io/nvidia/tritonserver:25.02-py3"
    assert old.reason == "25.02 is the last release whose image holds tensorflow"


def onnx_needs(ir: int, opset: int, domain: str = "ai.onnx") -> ModelNeeds:
    return ModelNeeds("m/1/model.onnx", ir, ((domain, opset),))


@pytest.mark.parametrize(
    ("backends", "needs", "tag", "words"),
    [
        (("onnxruntime",), onnx_needs(9, 19), "26.08", "1.28.0 loads IR version 9, opset 19"),
        (("onnxruntime",), onnx_needs(13, 26), "26.08", "loads IR version 13, opset 26"),
        (("onnxruntime",), onnx_needs(14, 26), "26.11", "m/1/model.onnx has IR version 14"),
        (("onnxruntime",), onnx_needs(9, 30), "26.11", "has opset 30 of ai.onnx, which its ONNX"),
        (("onnxruntime",), onnx_needs(9, 6, "ai.onnx.ml"), "26.11", "opset 6 of ai.onnx.ml"),
        # A domain that no release counts is left to the runtime.
        (("onnxruntime",), onnx_needs(9, 99, "com.example"), "26.08", "loads IR version 9"),
        # Triton dropped TensorFlow after 25.02, whose ONNX Runtime ends at opset 21.
        (("onnxruntime", "tensorflow"), onnx_needs(10, 21), "25.02", "is the last release"),
        (("onnxruntime", "tensorflow"), onnx_needs(10, 22), "25.02", "1.20.1 does not load"),
    ],
)
def test_the_image_by_what_the_files_need(backends, needs, tag, words):
    choice = choose_image("", backends, (needs,))
    assert choice.reference == f"nvcr.io/nvidia/tritonserver:{tag}-py3"
    assert words in choice.reason


def test_a_plan_of_tensorrt_is_told_of():
    choice = choose_image(
        "", ("tensorrt",), (ModelNeeds("p/1/model.plan", producer="TensorRT 8.5"),)
    )
    assert "p/1/model.plan is a plan of TensorRT 8.5 and loads with that one only" in choice.reason


@pytest.mark.parametrize(
    ("release", "backends", "words"),
    [
        ("26.07", ("tensorflow",), "does not ship the backend tensorflow"),
        ("26.07", ("vllm", "tensorrtllm"), "no image of 26.07 holds"),
        ("26.07", ("onnxruntime", "vllm"), "no image of 26.07 holds"),
    ],
)
def test_no_image_holds_them(release, backends, words):
    with pytest.raises(EnvironmentProblem) as caught:
        official_image(release, backends)
    assert caught.value.code == "TG852"
    assert words in caught.value.what


def test_releases_with_a_backend_that_was_dropped():
    assert releases_with(("tensorflow",))[-1] == "25.02"
    assert releases_with(())[-1] > "26.07"


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ("triton", "triton:latest"),
        ("host:5000/triton", "host:5000/triton:latest"),
        ("host/triton:1", "host/triton:1"),
        ("triton@sha256:" + "0" * 64, "triton@sha256:" + "0" * 64),
    ],
)
def test_names_of_images(given, whole):
    assert checked(given) == whole


@pytest.mark.parametrize("name", ["", "-v", "--privileged", "a b", "a;b", "a$(b)", "a\n"])
def test_what_is_no_name_of_an_image(name):
    with pytest.raises(InvalidInputError):
        checked(name)


@pytest.mark.parametrize("user", ["", "-1", "a b", "1000:1000:1", "1000:"])
def test_what_is_no_user(tmp_path, user):
    with pytest.raises(InvalidInputError):
        spec(tmp_path, user=user)


def test_links_out_of_the_repository(tmp_path):
    root, weights = tmp_path / "repository", tmp_path / "weights"
    (root / "m/1").mkdir(parents=True)
    weights.mkdir()
    (weights / "w.onnx").touch()
    (root / "m/1/model.onnx").symlink_to(weights / "w.onnx")
    (root / "m/1/relative.onnx").symlink_to("../../../weights/w.onnx")
    (root / "m/1/neighbour.onnx").symlink_to("model.onnx")
    mounts, bad = repository_mounts(root, MODELS)
    assert bad == ()
    assert mounts == (
        Mount(str(root), "/models"),
        Mount(str(weights / "w.onnx"), str(weights / "w.onnx")),
        Mount(str(weights / "w.onnx"), "/weights/w.onnx"),
    )


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/nowhere/w.onnx", "which does not exist"),
        ("/etc/passwd", "would lead to the container's own /etc/passwd"),
        ("/proc/self/mem", "would lead to the container's own"),
        ("../../..", "which holds the repository itself"),
    ],
)
def test_links_that_no_bind_can_mend(tmp_path, target, words):
    root = tmp_path / "a/repository"
    (root / "m").mkdir(parents=True)
    (root / "m/link").symlink_to(target)
    _, (bad,) = repository_mounts(root, MODELS)
    assert bad.path == "m/link"
    assert words in bad.reason


def test_the_printed_line_survives_any_path(tmp_path):
    folder = tmp_path / "a b,\"c\" $(d) `e` 'f' ünï"
    folder.mkdir()
    words = shlex.split(settings(spec(folder)).run_line())
    assert words[:3] == ["docker", "run", "--detach"]
    (label,) = (word for word in words if word.startswith("tritongen.project="))
    assert label == f"tritongen.project={folder}"
    (mount,) = (word for word in words if word.startswith("type=bind"))
    # docker reads the value as one line of CSV.
    source = str(folder).replace('"', '""')
    assert mount == f'type=bind,"source={source}",target=/models,readonly'


def test_limits_of_the_plan(tmp_path):
    planned = spec(tmp_path, cores=4, cpuset=(0, 2), memory_bytes=1 << 30, gpus=1)
    line = settings(planned).run_line()
    for words in ("--cpus 4", "--cpuset-cpus 0,2", "--memory 1073741824", "--gpus 1"):
        assert words in line
    assert "--read-only" not in line, "the official entry point writes with GPUs"
    assert "--ulimit memlock=-1:-1" in line
    asked = settings(planned).body()
    host = asked["HostConfig"]
    assert host["NanoCpus"] == 4 * 10**9
    assert host["Memory"] == host["MemorySwap"] == 1 << 30
    assert "Entrypoint" not in asked, "the image's own prepares CUDA"
    # The engine refuses a quota beyond its CPUs.
    assert settings(replace(planned, cores=64)).cpus == 8


def test_an_address_of_ipv6(tmp_path):
    line = settings(spec(tmp_path, host="::1")).run_line()
    assert "--publish '[::1]:1:8000'" in line


@pytest.mark.parametrize(
    ("wanted", "memory", "given"),
    [
        (None, None, 256 << 20),
        (1 << 30, None, 1 << 30),
        (1 << 30, 1 << 30, 512 << 20),
        (1 << 20, None, 64 << 20),
    ],
)
def test_shared_memory(tmp_path, wanted, memory, given):
    planned = spec(tmp_path, shared_memory_bytes=wanted, memory_bytes=memory)
    assert shared_memory(planned) == given


def test_nothing_of_the_caller_is_handed_over(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "MY_TOKEN", "secret")
    chosen = settings(spec(tmp_path, environment=(("OMP_NUM_THREADS", "1"),)))
    assert dict(chosen.environment)["OMP_NUM_THREADS"] == "1"
    assert "MY_TOKEN" not in chosen.run_line()
    assert chosen.body()["Env"] == [f"{name}={value}" for name, value in chosen.environment]


def test_what_of_the_caller_is_handed_over_is_told_by_name_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    chosen = settings(spec(tmp_path, passed=("HF_TOKEN",)))
    assert "HF_TOKEN=secret" in chosen.body()["Env"]
    assert " --env HF_TOKEN " in chosen.run_line()
    assert "secret" not in chosen.run_line() + repr(chosen)
    monkeypatch.delenv("HF_TOKEN")
    assert not [one for one in chosen.body()["Env"] if one.startswith("HF_TOKEN")]


@pytest.mark.parametrize("name", ["LD_PRELOAD", "OMP_NUM_THREADS", "A=B", ""])
def test_what_is_set_already_is_nobodys_to_hand_over(tmp_path, name):
    with pytest.raises(InvalidInputError, match="variable"):
        spec(tmp_path, environment=(("OMP_NUM_THREADS", "1"),), passed=(name,))


def test_a_variable_that_is_not_set_is_told_before_anything_starts(monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(InvalidInputError, match="is not set here") as caught:
        UpOptions(passed=("HF_TOKEN",))
    assert "export HF_TOKEN=" in caught.value.fix


@pytest.mark.parametrize(
    ("release", "backends", "words"),
    [
        ("23.09", ("vllm",), "does not ship the backend vllm"),
        ("26.11", ("tensorrtllm", "python"), "does not ship the backend tensorrtllm"),
        ("26.07", ("dali", "vllm"), "no image of 26.07 holds dali, vllm together"),
    ],
)
def test_images_of_language_models_hold_little_else(release, backends, words):
    with pytest.raises(EnvironmentProblem, match=words):
        choose_image(release, backends)
    assert choose_image("26.10", ("ensemble", "python", "tensorrtllm")).reference.endswith(
        ":26.10-trtllm-python-py3"
    )


def test_a_language_model_is_given_gpus_and_room(tmp_path):
    line = shlex.split(settings(spec(tmp_path, backends=("vllm",), gpus=2)).run_line())
    assert line[line.index("--gpus") + 1] == "2"
    assert line[line.index("--shm-size") + 1] == str(1 << 30)
    assert "memlock=-1:-1" in line
    assert f"stack={64 << 20}:{64 << 20}" in line
    small = spec(tmp_path, backends=("vllm",), gpus=2, memory_bytes=1 << 30)
    assert shared_memory(small) == 1 << 29


def test_a_folder_for_engines_is_writable(tmp_path):
    mount = Mount(str(tmp_path), "/engines", writable=True)
    assert not mount.option().endswith("readonly")
    body = replace(settings(spec(tmp_path, gpus=1)), mounts=(mount,)).body()
    assert [item["ReadOnly"] for item in body["HostConfig"]["Mounts"]] == [False]
