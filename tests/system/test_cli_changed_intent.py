"""Evidence is for what it was observed for: what changes after a trial or `tune` is told."""

import json

import numpy as np
import pytest

from support.cli import Project, dense

SERVED = {"cpus": 2.0, "cpu": "", "costs": [{"batch": 1, "threads": 1, "ms": 1.0}]}
TUNED = {
    "goal": "p99<20ms@10/s",
    "instances": 2,
    "threads": 1,
    "max_batch_size": 16,
    "queue_delay_us": None,
    "cores": 2,
    "wanted": "10 requests/s, p99 within 20 ms over http",
}

CHOSEN = f"tuned for {TUNED['goal']}"


def says(cpus: int = 2, triton: str = "26.07", rate: float = 10, latency: str = "20ms") -> str:
    wish = f"{{rate: {rate}, latency: {latency}}}"
    return f"target: {{cpus: {cpus}, triton: '{triton}'}}\nmodels: {{dense: {wish}}}\n"


@pytest.fixture
def tuned(project: Project) -> Project:
    """A built project, with what a `tune` for 10/s in 20 ms on two cores leaves in the lock."""
    project.add("dense/model.onnx", dense())
    project.write("models/tritongen.yaml", says())
    project.run("build", "models")
    lock = project.lock()
    lock["models"]["dense"]["evidence"] |= {"tuned": TUNED, "served": SERVED}
    (project.repository / "tritongen.lock").write_text(json.dumps(lock))
    project.run("build", "models")
    assert CHOSEN in project.config("dense").read_text()
    told = codes(project.json("build", "models", "--check"))
    assert not {"TG317", "TG707"} & told
    return project


def codes(document: dict) -> set[str]:
    return {item["code"] for item in document["findings"]}


def told(document: dict, code: str) -> str:
    return " | ".join(item["message"] for item in document["findings"] if item["code"] == code)


@pytest.mark.parametrize(
    ("change", "word", "kept"),
    [
        ({"rate": 20}, "20 requests/s", True),
        ({"rate": 90_000}, "too much for it by simulation", False),
        ({"latency": "100us"}, "p99 within 0.1 ms", False),
        ({"cpus": 1}, "more cores than the 1", False),
        ({"cpus": 3}, "tuned for 2 cores and has 3 now", True),
    ],
)
def test_a_changed_goal_rate_or_core_count_after_tune_is_told(tuned, change, word, kept):
    tuned.write("models/tritongen.yaml", says(**change))
    explained = tuned.json("explain", "dense")
    checked = tuned.json("build", "models", "--check", expect=None)
    built = tuned.json("build", "models")
    for document in (explained, checked, built):
        assert word in told(document, "TG317")
    assert (CHOSEN in tuned.config("dense").read_text()) == kept
    assert tuned.json("build", "models", "--check")["drift"] is False
    if change.get("rate") == 90_000:
        assert "TG315" in codes(built)


@pytest.mark.parametrize(
    ("change", "key"), [({"triton": "24.10"}, "target.triton"), ({"cpus": 3}, "target.cpus")]
)
def test_a_changed_release_or_core_count_means_a_new_trial_and_is_told(tuned, change, key):
    # What stands here of a trial is no longer there when the model was tried anew.
    lock = tuned.lock()
    lock["models"]["dense"]["evidence"]["trial"]["proof"]["reason"] = "of long ago"
    (tuned.repository / "tritongen.lock").write_text(json.dumps(lock))
    tuned.write("models/tritongen.yaml", says(**change))
    for document in (
        tuned.json("explain", "dense"),
        tuned.json("build", "models", "--check", expect=None),
    ):
        assert f"{key} has changed since it was tried" in told(document, "TG707")
    assert "of long ago" in json.dumps(tuned.lock())
    built = tuned.json("build", "models")
    assert f"{key} has changed since it was tried, so it was tried again" in told(built, "TG709")
    assert "of long ago" not in json.dumps(tuned.lock())
    assert not {"TG707", "TG709"} & codes(tuned.json("build", "models", "--check"))


def test_a_gpu_after_tune_is_told_and_evidence_stays_that_of_a_cpu(tuned):
    tuned.write("models/tritongen.yaml", says().replace("cpus: 2", "cpus: 2, gpus: 1"))
    for document in (
        tuned.json("explain", "dense"),
        tuned.json("build", "models", "--check", expect=None),
    ):
        assert "target.gpus has changed since it was tried" in told(document, "TG707")
        assert "a GPU" in told(document, "TG317")
    built = tuned.json("build", "models")
    assert "target.gpus has changed" in told(built, "TG709")
    assert "a GPU" in told(built, "TG317")
    text = tuned.config("dense").read_text()
    assert CHOSEN not in text
    assert "KIND_GPU" in text
    (model,) = tuned.json("inspect", "models", "--trial")["models"]
    assert model["evidence"]["device"] == "cpu"


def test_a_changed_sample_after_tune_is_told(tuned):
    wish = says().replace("{rate: 10", "{samples: x.npy, rate: 10")
    tuned.write("models/tritongen.yaml", wish)
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    for given in (values, values + 1):  # the first ones, and others
        np.save(tuned.models / "x.npy", given)
        for document in (
            tuned.json("explain", "dense"),
            tuned.json("build", "models", "--check", expect=None),
        ):
            assert "samples have changed since it was tried" in told(document, "TG707")
        built = tuned.json("build", "models")
        assert "samples have changed since it was tried" in told(built, "TG709")
        assert not {"TG707", "TG709"} & codes(tuned.json("build", "models", "--check"))
    assert CHOSEN in tuned.config("dense").read_text()


def test_a_release_with_the_same_runtime_is_no_reason_to_try_again(tuned):
    for triton in ("26.06", "26.05"):
        tuned.write("models/tritongen.yaml", says(triton=triton))
        built = tuned.json("build", "models")
    same = {"TG707", "TG709"} & codes(built)
    assert not same
