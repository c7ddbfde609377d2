"""The tool's own image, built and used as docs/gitlab.md says."""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import yaml

from support.cli import FREE_PORTS, Project
from support.docker import TOOL_IMAGE_SECONDS as SECONDS
from support.docker import engine
from support.pages import ROOT, blocks

PAGE = "docs/gitlab.md"
# Requests wait for others: what they take hangs on the whole rate, and hardly on the machine.
WAITING = """\
target: {cpus: 1}
models:
  dense:
    overlay: {max_batch_size: 64, dynamic_batching: {max_queue_delay_microseconds: 60000}}
"""
RATE = 120
LENGTH_S = 20
# Two intervals of 0.99 are apart by chance once in 3,000 times, of 0.95 once in 180.
CONFIDENCE = "0.99"
# For containers to start and models to be described.
LEAD_S = 30


def docker_run(image: str, project: Project, *words: str, options: tuple[str, ...] = ()) -> str:
    mount = f"{project.folder}:/work"
    return engine("run", "--rm", "--volume", mount, *options, image, *words)


@pytest.mark.timeout(SECONDS)
def test_it_runs_as_a_user_without_rights_and_holds_what_the_build_does_not_need(
    tool_image: str,
) -> None:
    inside = engine(
        "run",
        "--rm",
        "--entrypoint",
        "sh",
        tool_image,
        "-c",
        "id -u; ls -A /build /etc/build-trust; :",
    )
    assert inside == "1000"
    assert engine("run", "--rm", tool_image, "--version").startswith("tritongen ")


def test_the_blocks_of_the_page(tool_image: str, built: Project) -> None:
    scripts = ["\n".join(block.commands) for block in blocks(PAGE, "console")]
    script = "\n".join(scripts).replace("REGISTRY/tritongen:TAG", "tritongen:page")
    script = script.replace("scripts/", f"{ROOT}/scripts/").replace("docker push", "docker inspect")
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script], cwd=built.folder,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("nothing to report\n")


def test_the_job_of_the_page(tool_image: str, built: Project) -> None:
    (block,) = blocks(PAGE, "yaml")
    job = yaml.safe_load(block.text)["models"]
    assert job["image"]["entrypoint"] == [""]
    variables = [f"--env={name}={value}" for name, value in job["variables"].items()]
    script = "\n".join(["set -e", *job["script"]])
    options = ("--user=0:0", "--entrypoint=sh", *variables)
    assert "up to date" in docker_run(tool_image, built, "-c", script, options=options)


def test_models_are_tried_in_it(tool_image: str, built: Project) -> None:
    words = ("build", "models", "--remeasure")
    told = docker_run(tool_image, built, *words, options=("--user=0:0",))
    assert "wrote model_repository" in told


def probing(image: str, address: str, *words: str) -> "subprocess.Popen[str]":
    """A probe in a container of its own, at work."""
    load = ("-u", address, "-m", "dense", "--duration", str(LENGTH_S), "--format", "json",
            "--confidence", CONFIDENCE)  # fmt: skip
    return subprocess.Popen(
        ["docker", "run", "--rm", "--network=host", image, "probe", *load, *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def document(process: "subprocess.Popen[str]") -> str:
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, (out, err)
    return out


def probed(image: str, address: str) -> dict[str, Any]:
    """What one probe of the whole load finds."""
    (level,) = json.loads(document(probing(image, address, "--rate", str(RATE))))["levels"]
    found: dict[str, Any] = level
    return found


@pytest.mark.timeout(SECONDS)
def test_two_probes_in_two_containers_agree_with_one_of_the_whole_load(
    tool_image: str, built: Project
) -> None:
    """One of the whole load before and one after them, for a machine drifts meanwhile."""
    built.write("models/tritongen.yaml", WAITING)
    built.run("build", "models")
    try:
        built.run("up", *FREE_PORTS)
        address = built.state()["endpoints"]["http"]
        before = probed(tool_image, address)
        begin = int(time.time()) + LEAD_S
        half = ("--rate", str(RATE / 2), "--start-at", str(begin))
        pair = [probing(tool_image, address, *half, "--seed", str(n)) for n in (1, 2)]
        files = [f"{number}.json" for number in range(len(pair))]
        for file, process in zip(files, pair, strict=True):
            built.write(file, document(process))
        wholes = [before, probed(tool_image, address)]
        (merged,) = built.json("probe", "--merge", *files)["levels"]
    finally:
        built.run("down")
    halves = [json.loads((built.folder / file).read_text())["levels"][0] for file in files]
    assert merged["load"]["value"] == RATE
    assert merged["requests"]["ok"] == sum(one["requests"]["ok"] for one in halves)
    assert [one["requests"]["failed"] for one in (merged, *wholes)] == [0, 0, 0]
    assert within(merged, wholes, lambda level: level["throughput_per_s"])
    for figure in ("p50", "p90", "mean"):
        assert within(merged, wholes, lambda level, of=figure: level["latency_us"][of]), figure
    # The server was read by both, and worked once.
    assert merged["server"]["executions"] == halves[0]["server"]["executions"]


def within(
    merged: dict[str, Any],
    wholes: Sequence[dict[str, Any]],
    figure: Callable[[dict[str, Any]], dict[str, float]],
) -> bool:
    """Whether the interval of one figure meets what the others' intervals span."""
    low = min(figure(one)["low"] for one in wholes)
    high = max(figure(one)["high"] for one in wholes)
    return figure(merged)["low"] <= high and low <= figure(merged)["high"]


@pytest.mark.timeout(SECONDS)
def test_probes_that_come_too_late_do_not_begin(tool_image: str, built: Project) -> None:
    built.run("up", *FREE_PORTS)
    try:
        address = built.state()["endpoints"]["http"]
        late = probing(tool_image, address, "--rate", "5", "--start-at", str(int(time.time()) - 60))
        out, _ = late.communicate(timeout=SECONDS)
    finally:
        built.run("down")
    assert late.returncode == 2
    assert json.loads(out)["error"]["code"] == "TG922"
