"""Real models of every format that runs here, from the file to answers of a real Triton."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import format_models as make
from support.busy import count_computing
from support.triton import start_server
from tritongen.model.progress import silent
from tritongen.model.samples import InputRecipe, make_inputs
from tritongen.repository.build import BuildMode, BuildOptions, build
from tritongen.repository.gather_evidence import TrialPolicy
from tritongen.repository.project import load_project, read_lock
from tritongen.serving.verify import verify
from tritongen.trial.child_request import TrialOptions
from tritongen.triton.address import Endpoint
from tritongen.triton.http_client import HttpClient

# One of every backend; the wide ones have two threads and work enough for both.
WIDE = ("onnx_wide", "torch_wide")
BUSY = (*WIDE, "onnx_two", "openvino_image", "forest_json", "in_python")
SECONDS = 1.0
LEAST = 20
WINDOWS = 30
CORES = 20

INTENT = f"""\
target: {{ triton: "26.07", cpus: {CORES} }}
models:
  onnx_wide: {{ instances: 1, threads: 2 }}
  onnx_two: {{ instances: 2, threads: 1 }}
  torch_wide:
    instances: 1
    threads: 2
    inputs: {{ x: {{ dtype: FP32, dims: [-1, 8, 1024] }} }}
  forest_json: {{ instances: 1, threads: 2 }}
  openvino_image: {{ instances: 2, threads: 1 }}
  torch_linear: {{ instances: 1, threads: 2 }}
  forest_classes:
    outputs: {{ output__0: {{ dims: [-1, 1] }} }}
  torch_numbered:
    inputs: {{ INPUT__0: {{ dtype: FP32, dims: [-1, 6] }} }}
    outputs: {{ SCORES__0: {{ dtype: FP32, dims: [-1, 3] }} }}
pipelines:
  scored:
    steps:
      - {{ model: prepare, inputs: {{ X: rows }}, outputs: {{ Y: table }} }}
      - {{ model: forest_json, inputs: {{ input__0: table }}, outputs: {{ output__0: score }} }}
    outputs: [score]
"""


def models(root):
    make.onnx_linear(root / "onnx_wide" / "model.onnx", 1024)
    make.onnx_linear(root / "onnx_two" / "model.onnx", 64)
    make.torch_wide(root / "torch_wide" / "model.pt", 1024)
    make.torch_linear(root / "torch_linear" / "model.pt")
    make.torch_linear(root / "torch_numbered" / "model.pt")
    make.torch_image(root / "torch_image" / "traced.pt")
    make.torch_text(root / "torch_text" / "1" / "model.pt")
    make.openvino_image(root / "openvino_image" / "model.xml")
    make.xgboost_forest(root / "forest_json" / "model.json")
    make.xgboost_forest(root / "forest_classes" / "model.ubj", "multi:softprob")
    make.lightgbm_forest(root / "forest_text" / "model.txt")
    make.treelite_forest(root / "forest_checkpoint" / "model.tl")
    make.python_model(root / "in_python" / "1" / "model.py")
    make.python_model(root / "prepare" / "model.py", make.PYTHON.replace("[4]", "[5]"))
    (root / "tritongen.yaml").write_text(INTENT)


@pytest.fixture(scope="module")
def served(tmp_path_factory, embedded_runtime):
    """(Repository, server, plan) of one server with all formats."""
    folder = tmp_path_factory.mktemp("formats")
    models(folder / "models")
    project = load_project(folder / "models", folder / "repository")
    options = TrialOptions(cores=2, time_budget_s=0.2)
    policy = TrialPolicy(run=True, remeasure=False, options=options)
    result = build(project, BuildOptions(BuildMode.WRITE, policy), silent)
    environment = tuple((name, value.value) for name, value in result.plan.server.environment)
    with start_server(
        folder / "repository",
        folder / "project",
        runtime=embedded_runtime,
        environment=environment,
    ) as server:
        yield folder / "repository", server, {item.name: item for item in result.plan.models}


def test_every_model_is_ready_and_right(served, tmp_path):
    repository, server, _ = served
    assert [item.name for item in server.statuses if not item.ready] == []
    endpoint = Endpoint.parse(server.server.endpoints.http)
    found = verify(tmp_path, repository, endpoints=[endpoint])
    assert {item.name: item.reason for item in found if not item.ok} == {}
    assert len(found) == 15
    (scored,) = [item for item in found if item.name == "scored"]
    assert [output.name for output in scored.outputs] == ["score"]


def test_the_plan_keeps_to_the_cores(served):
    _, _, plans = served
    assert sum(plan.total_threads for plan in plans.values()) <= CORES
    assert dict(plans["openvino_image"].parameters)["INFERENCE_NUM_THREADS"].value == "2"
    assert plans["openvino_image"].max_batch_size.value == 0
    assert plans["torch_image"].inputs[0].dims == (3, -1, -1)
    assert plans["torch_text"].inputs[0].dtype.value == "INT64"
    assert [item.name for item in plans["torch_numbered"].outputs] == ["SCORES__0"]
    assert plans["forest_classes"].outputs[0].dims == (1,)
    assert plans["in_python"].max_batch_size.value == 8


def ask(address, repository, name, seconds):
    """Requests for a while; returns how many were answered."""
    trial = read_lock(repository).models[name].evidence.trial
    recipes = [InputRecipe(item.name, item.dtype, item.shape, item.values) for item in trial.inputs]
    inputs = make_inputs(recipes, 0)
    end = time.monotonic() + seconds
    answered = 0
    with HttpClient(address) as client:
        while answered < LEAST or time.monotonic() < end:
            client.infer(name, inputs)
            answered += 1
    return answered


def test_no_more_threads_compute_than_were_planned(served):
    """All backends under load at once; the threads of their processes, as the kernel saw them."""
    repository, server, plans = served
    address = server.server.endpoints.http
    jobs = [(name, number) for name in BUSY for number in range(plans[name].instances.value)]

    def load():
        with ThreadPoolExecutor(len(jobs)) as pool:
            list(pool.map(lambda job: ask(address, repository, job[0], SECONDS), jobs))

    counted = count_computing(server, BUSY, load)
    for name, found in counted.items():
        assert found.processes == plans[name].instances.value, name
        assert found.cpu_s > 0, name
        assert 1 <= found.threads <= plans[name].total_threads, (name, found)
    assert sum(found.threads for found in counted.values()) <= CORES


@pytest.mark.parametrize("name", WIDE)
def test_the_count_misses_no_thread_of_a_pool(served, name):
    """Where the work is wide enough for two threads, two are seen, and never a third."""
    repository, server, plans = served
    address = server.server.endpoints.http
    seen = []
    # On a busy machine one thread may do all the work of a window.
    for _ in range(WINDOWS):
        found = count_computing(server, [name], lambda: ask(address, repository, name, SECONDS))[
            name
        ]
        seen.append(found.threads)
        if found.threads >= plans[name].total_threads:
            break
    assert max(seen) == plans[name].total_threads == 2, seen


def test_building_again_changes_nothing(served):
    repository, _, _ = served
    project = load_project(repository.parent / "models", repository)
    policy = TrialPolicy(run=True, remeasure=False, options=TrialOptions(cores=2))
    assert not build(project, BuildOptions(BuildMode.CHECK, policy), silent).drift
