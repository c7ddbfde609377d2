"""Jobs of probes in the exports: commands that the tool takes, loads that are the plan's."""

import os
import re
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from support.exports import deployment, rendered, service
from tritongen.cli.main import build_parser
from tritongen.cli.probe import _check_question, _request
from tritongen.fleet.export.deployment import DeployedModel, Deployment
from tritongen.fleet.export.load_test import PROBES, probe_loads
from tritongen.probe.probe_request import ProbeRequest
from tritongen.queueing import ClosedLoop, OpenLoop

BUSY = (
    DeployedModel("detect", "onnxruntime", 1, 2, 50.0, 99.0, 40.0, "ab" * 32),
    DeployedModel("embed", "python", 1, 2, None, 99.0, 1e6, "cd" * 32),
)
LATER = "19000000000"
# What Swarm gives a job's first task as its slot.
NODE = "24ifsmvkjbyhk5vdz1p8jqyz2"


def understood(words: list[str]) -> ProbeRequest:
    """What the tool makes of a job's words."""
    args = build_parser("probe").parse_args(["probe", "--seed", "1", *words])
    _check_question(args)
    assert args.format == "json"
    return _request(args)


def swarm_words(what: Deployment, name: str = "vision") -> list[str]:
    (document,) = rendered("swarm", what)["probe.yaml"]
    words = document["services"][f"{name}-probe"]["command"]
    known = {"START_AT": LATER}

    def value(match: "re.Match[str]") -> str:
        return known.get(match[1], match[2])

    return [re.sub(r"\$\{(\w+):[-?]([^}]*)\}", value, word) for word in words]


def cluster_words(what: Deployment, number: int = 0) -> list[str]:
    words = cluster_box(what, number)["args"]
    return [word.replace("START_AT", LATER) for word in words]


def cluster_box(what: Deployment, number: int = 0) -> Any:
    job = rendered("kubernetes", what)["probe/job.yaml"][number]
    (box,) = job["spec"]["template"]["spec"]["containers"]
    return box


@pytest.mark.parametrize("words_of", [swarm_words, cluster_words])
def test_each_probe_has_its_part_of_all_peaks_at_once(words_of):
    request = understood(words_of(deployment(service(models=BUSY))))
    assert [(one.name, one.share) for one in request.models] == [("detect", 40.0), ("embed", 1e6)]
    assert request.loads == (OpenLoop(1_000_040.0 / PROBES),)
    assert request.conditions.begin_at == float(LATER)
    assert request.conditions.fixed


@pytest.mark.parametrize("words_of", [swarm_words, cluster_words])
def test_without_rates_it_is_what_one_replica_serves_at_a_time(words_of):
    silent = tuple(replace(one, peak_rate=None) for one in BUSY)
    request = understood(words_of(deployment(service(models=silent, concurrency=7))))
    assert [(one.name, one.share) for one in request.models] == [("detect", None), ("embed", None)]
    assert request.loads == (ClosedLoop(4),)


def test_a_rate_that_is_nearly_none_is_written_all_the_same():
    rare = (replace(BUSY[0], peak_rate=1e-9),)
    (load,) = probe_loads([service(models=rare)]).values()
    assert (load.models, load.value) == (("detect=0.001",), "0.001")


def test_a_language_model_is_left_to_aiperf():
    chat = DeployedModel("chat", "vllm", 1, 1, peak_rate=5.0, answers_tokens=True)
    mixed = service(models=(*BUSY, chat))
    several = deployment(service("talk", models=(chat,)), mixed)
    for words in swarm_words(several), cluster_words(several):
        assert [one.name for one in understood(words).models] == ["detect", "embed"]
    (stack,) = rendered("swarm", several)["probe.yaml"]
    assert set(stack["services"]) == {"vision-probe"}
    # The gateway's ports are those of all services.
    assert swarm_words(several)[:2] == ["-u", "http://tasks.gateway:8010"]
    assert len(rendered("kubernetes", several)["probe/job.yaml"]) == 1
    alone = deployment(service("talk", models=(chat,)))
    assert "probe.yaml" not in rendered("swarm", alone)
    assert "probe/job.yaml" not in rendered("kubernetes", alone)


def test_each_service_has_probes_of_its_own():
    several = deployment(service("vision"), service("words"))
    (stack,) = rendered("swarm", several)["probe.yaml"]
    # The gateway asks every task of a service's name, whatever it is of.
    assert set(stack["services"]) == {"vision-probe", "words-probe"}
    assert swarm_words(several, "words")[:2] == ["-u", "http://tasks.gateway:8010"]
    jobs = rendered("kubernetes", several)["probe/job.yaml"]
    assert [one["metadata"]["generateName"] for one in jobs] == ["vision-probe-", "words-probe-"]
    assert cluster_words(several, 1)[:2] == ["-u", "http://words:8000"]


def seed(script: str, slot: str) -> str:
    """Which one a container's shell takes."""
    told = script.replace("$$", "$").replace("exec tritongen probe --seed", "exec echo")
    done = subprocess.run(
        ["sh", "-c", told], env={"SLOT": slot, "PATH": os.defpath}, stdout=subprocess.PIPE,
        text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_probes_have_seeds_of_their_own():
    (stack,) = rendered("swarm")["probe.yaml"]
    entry = stack["services"]["vision-probe"]
    assert entry["environment"] == {"SLOT": "{{.Task.Slot}}"}
    assert [seed(entry["entrypoint"][2], slot) for slot in ("0", "1", "12", NODE)] == [
        "0", "1", "12", "0",
    ]  # fmt: skip
    assert entry["deploy"]["mode"] == "replicated-job"
    job = rendered("kubernetes")["probe/job.yaml"][0]["spec"]
    assert (job["completionMode"], job["completions"], job["parallelism"]) == ("Indexed", 2, 2)
    assert '--seed "$JOB_COMPLETION_INDEX"' in cluster_box(deployment())["command"][2]


def test_nobody_creates_the_job_unasked():
    (whole,) = rendered("kubernetes")["kustomization.yaml"]
    assert not [name for name in whole["resources"] if "probe" in name]
    (stack,) = rendered("swarm")["stack.yaml"]
    assert set(stack["services"]) == {"vision", "gateway"}
