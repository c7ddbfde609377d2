"""`observe` on a real Triton: what comes is what is counted, and the intent follows it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from support.cli import INTENT, Project
from tritongen.triton.http_client import HttpClient


@contextmanager
def traffic(project: Project, model: str, columns: int = 4) -> Iterator[None]:
    """Requests to one model, about a hundred a second, until the block ends."""
    address, stop = project.json("status")["endpoints"]["http"], threading.Event()

    def send() -> None:
        with HttpClient(address) as client:
            while not stop.is_set():
                client.infer(model, {"x": np.ones((1, columns), np.float32)})
                time.sleep(0.008)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def intent(served: Project) -> Iterator[Path]:
    """The project's tritongen.yaml, as it was again afterwards."""
    path = served.models / "tritongen.yaml"
    yield path
    path.write_text(INTENT)


@pytest.mark.smoke
def test_the_rate_that_comes_is_observed(served: Project) -> None:
    with traffic(served, "dense"):
        document = served.json("observe", "models", "--for", "4s")
    models = {one["name"]: one for one in document["models"]}
    dense = models["dense"]
    assert dense["requests"] >= 100
    assert dense["rate"]["mean"] == pytest.approx(dense["requests"] / dense["seconds"], rel=0.01)
    assert dense["rate"]["peak"] >= dense["rate"]["mean"]
    assert (dense["rate"]["intent_average"], dense["rate"]["intent_peak"]) == (50, 200)
    assert dense["average_batch"] == 1.0
    assert dense["compute_us"] > 0.0
    assert 0.0 < dense["busy"] < 1.0
    assert dense["failures"] == 0
    assert models["labels"]["requests"] == 0
    assert document["written"] is None


def test_write_states_the_observed_rates_and_keeps_the_rest(served: Project, intent: Path) -> None:
    intent.write_text("# ours\n" + INTENT.replace("200}", "6}  # a guess").replace("50,", "5,"))
    with traffic(served, "dense"):
        document = served.json("observe", "models", "--for", "4s", "--write", "--csv", "seen.csv")
    assert "TG982" in {item["code"] for item in document["findings"]}
    change = next(one for one in document["changes"] if one["model"] == "dense")
    text = intent.read_text()
    assert "# ours" in text
    assert "# a guess" in text
    assert f"average: {change['rate']['average']:g}" in text
    lines = (served.folder / "seen.csv").read_text().splitlines()
    assert lines[0] == "time,model,rate"
    assert any(",dense," in line for line in lines)
    # What was written is planned by.
    traffic_seen = served.json("plan", "models", "--dry-run")["traffic"]
    planned = next(one for one in traffic_seen if one["model"] == "dense")
    assert planned["mean_per_s"] == pytest.approx(change["rate"]["average"], rel=0.01)


def test_the_metrics_port_alone_is_enough(served: Project) -> None:
    metrics = served.json("status")["endpoints"]["metrics"]
    with traffic(served, "dense"):
        document = served.json(
            "observe", "-u", metrics, "--for", "3s", "--replicas", "3", "--csv", "all.csv"
        )
    dense = next(one for one in document["models"] if one["name"] == "dense")
    assert dense["requests"] > 150
    assert dense["servers"] == 3
    lines = (served.folder / "all.csv").read_text().splitlines()
    rates = [float(line.split(",")[2]) for line in lines if ",dense," in line]
    assert max(rates) == pytest.approx(dense["rate"]["peak"], rel=0.01)


def test_a_person_reads_a_table_and_the_advice(served: Project) -> None:
    served.run("plan", "models")
    with traffic(served, "dense"):
        out = served.run("observe", "models", "--for", "3s").out
    assert "compute ms" in out
    assert "TG981 fixed" in out


def test_nothing_to_observe(built: Project) -> None:
    assert built.error("observe", "models", "--for", "1s", expect=3)["code"] == "TG809"
    problem = built.error("observe", "-u", "127.0.0.1:1", "--for", "1s", expect=3)
    assert problem["code"] == "TG980"
    assert "allow-metrics" in problem["fix"]
    problem = built.error("observe", "--prometheus", "http://127.0.0.1:1", "--for", "1h", expect=3)
    assert problem["code"] == "TG980"
    assert built.run("observe", "--for", "soon", expect=2).err


def test_a_plan_that_is_damaged_is_named(built: Project) -> None:
    built.write("model_repository.plan.json", json.dumps({"schema_version": 1}))
    problem = built.error("observe", "models", "-u", "127.0.0.1:1", "--for", "1s", expect=2)
    assert problem["code"] == "TG354"
