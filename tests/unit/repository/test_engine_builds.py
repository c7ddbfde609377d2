"""vLLM, TensorRT-LLM and DALI, from a models folder to a repository that `check` accepts."""

import json
from pathlib import Path

import pytest

from support.engine_models import (
    DALI_PIPELINE,
    LLM_API,
    TRTLLM_TEMPLATES,
    TRTLLM_VALUES,
    VLLM,
    write,
)
from tritongen.api import BuildRequest, build, explain, inspect
from tritongen.config.pbtxt import parse_config
from tritongen.errors import InvalidInputError
from tritongen.fleet.export.deployment_from_repository import ExportMode, ExportRequest
from tritongen.fleet.export.export_files import export
from tritongen.model.findings import Severity
from tritongen.model.kept_folders import HUB_CACHE
from tritongen.model.lock import CONTEXT_BYTES
from tritongen.repository.check import check_repository
from tritongen.repository.client_examples import Language, client_example
from tritongen.repository.lock_file import read_lock
from tritongen.repository.model_interface import model_interface
from tritongen.serving.server_spec import ServedRepository, UpOptions, server_spec
from tritongen.triton.server_state import StateStore


def built(folder: Path, texts: dict[str, str], intent: str) -> Path:
    """The repository of a models folder."""
    write(folder / "models", {**texts, "tritongen.yaml": intent})
    repository = folder / "repository"
    build(folder / "models", BuildRequest(repository, trial=False))
    return repository


def config(repository: Path, model: str):
    """A model's message."""
    parsed = parse_config((repository / model / "config.pbtxt").read_text(), model)
    assert parsed.ok
    return parsed.message


def clean(repository: Path, **options) -> bool:
    """Whether `check` has nothing but advice."""
    found = check_repository(repository, **options).findings
    assert [item for item in found if item.severity is not Severity.INFO] == []
    return True


TWO_GPUS = "target: {triton: '26.07', cpus: 8, gpus: 2}\n"


def test_engine_arguments_in_the_models_folder(tmp_path):
    arguments = '{"model": "facebook/opt-125m", "tensor_parallel_size": 2}'
    repository = built(tmp_path, {"opt/model.json": arguments}, TWO_GPUS)
    message = config(repository, "opt")
    (group,) = message.instance_group
    assert (message.backend, message.max_batch_size) == ("vllm", 0)
    assert (group.kind, group.count) == (3, 1)
    assert message.model_transaction_policy.decoupled
    assert message.parameters["REPORT_CUSTOM_METRICS"].string_value == "true"
    assert not message.input
    assert (repository / "opt/1/model.json").read_text() == arguments
    assert clean(repository)


def test_a_model_that_tritongen_yaml_alone_describes(tmp_path):
    intent = TWO_GPUS + (
        "models:\n  phi:\n    engine: {model: microsoft/phi-2, gpu_memory_utilization: 0.4, "
        "disable_log_stats: true}\n"
    )
    repository = built(tmp_path, {}, intent)
    written = json.loads((repository / "phi/1/model.json").read_text())
    assert written == {
        "model": "microsoft/phi-2", "gpu_memory_utilization": 0.4, "disable_log_stats": True
    }  # fmt: skip
    assert "REPORT_CUSTOM_METRICS" not in config(repository, "phi").parameters
    assert clean(repository)
    again = build(tmp_path / "models", BuildRequest(repository, mode="check", trial=False))
    assert not again.result.drift


def test_inspection_leaves_the_batch_to_the_backend(tmp_path):
    write(tmp_path / "models", {"opt/model.json": VLLM["opt/1/model.json"]})
    (model,) = inspect(tmp_path / "models", repository=tmp_path / "none").models
    assert not model.batchable
    assert "its backend tells" in model.batch_reason


def test_reasons_are_told(tmp_path):
    repository = built(tmp_path, {"opt/model.json": VLLM["opt/1/model.json"]}, TWO_GPUS)
    found = explain("opt", models=tmp_path / "models", repository=repository)
    told = {item.field: item.reason.sentence for item in found.values}
    assert "takes 0.5 of a GPU's memory" in told["instance_group[0].count"]
    assert "takes a single GPU" in told["instance_group[0].kind"]
    assert "each of 2 GPUs" in told["instance_group[0].gpus"]
    assert "takes no batches" in told["max_batch_size"]


@pytest.mark.parametrize(
    ("texts", "intent", "code"),
    [
        ({"opt/model.json": '{"model": "a/b", "tensor_parallel_size": 4}'}, TWO_GPUS, "TG543"),
        ({"opt/model.json": '{"gpu_memory_utilization": 0.5}'}, TWO_GPUS, "TG152"),
        ({"opt/model.json": VLLM["opt/1/model.json"]}, "target: {cpus: 4}\n", "TG134"),
        (
            {"opt/model.json": VLLM["opt/1/model.json"]},
            TWO_GPUS + "models: {opt: {engine: {model: a/b}}}\n",
            "TG305",
        ),
        ({}, TWO_GPUS + "models: {opt: {engine: {model: 3}}}\n", "TG152"),
    ],
)
def test_what_cannot_be_served_is_refused(tmp_path, texts, intent, code):
    with pytest.raises(InvalidInputError) as raised:
        built(tmp_path, texts, intent)
    assert code in str((raised.value.code, raised.value.details))


VALUES = "".join(f"      {name}: {value!r}\n" for name, value in TRTLLM_VALUES.items())
SET = TWO_GPUS + f"models:\n  tensorrt_llm:\n    engine:\n{VALUES}"


def test_templates_are_filled_from_one_place(tmp_path):
    repository = built(tmp_path, TRTLLM_TEMPLATES, SET)
    engine = config(repository, "tensorrt_llm")
    assert (engine.backend, engine.max_batch_size) == ("tensorrtllm", 8)
    assert engine.parameters["gpt_model_path"].string_value == "/engines/llama"
    assert "gpu_device_ids" not in engine.parameters
    assert list(engine.dynamic_batching.preferred_batch_size) == [8]
    before = config(repository, "preprocessing")
    assert before.parameters["tokenizer_dir"].string_value == "/models/llama"
    assert config(repository, "ensemble").platform == "ensemble"
    assert (repository / "preprocessing/1/model.py").is_file()
    assert (repository / "tensorrt_llm/1").is_dir()
    assert clean(repository)
    again = build(tmp_path / "models", BuildRequest(repository, mode="check", trial=False))
    assert not again.result.drift


def test_filled_values_say_where_they_come_from(tmp_path):
    repository = built(tmp_path, TRTLLM_TEMPLATES, SET)
    text = (repository / "tensorrt_llm/config.pbtxt").read_text()
    assert "# engine_dir: stated in tritongen.yaml" in text
    assert "the template's ${gpu_device_ids} has no value" in " ".join(text.split())


def test_values_that_are_missing_or_wrong_are_named(tmp_path):
    lacking = SET.replace("      engine_dir: '/engines/llama'\n", "")
    lacking = lacking.replace("decoupled_mode: 'true'", "decoupled_mode: 'yes please'")
    repository = tmp_path / "repository"
    write(tmp_path / "models", {**TRTLLM_TEMPLATES, "tritongen.yaml": lacking})
    result = build(tmp_path / "models", BuildRequest(repository, trial=False))
    told = " ".join(item.in_words for item in result.findings if item.model == "tensorrt_llm")
    assert "wait for a value: engine_dir" in told
    assert "decoupled_mode stands outside of a text and cannot be 'yes please'" in told
    assert not (repository / "tensorrt_llm").exists()


def test_a_pipeline_in_python_has_the_batch_it_was_made_for(tmp_path):
    repository = built(tmp_path, {"decoder/dali.py": DALI_PIPELINE}, TWO_GPUS)
    message = config(repository, "decoder")
    assert (message.backend, message.max_batch_size) == ("dali", 64)
    assert message.HasField("dynamic_batching")
    assert message.instance_group[0].kind == 1
    assert (repository / "decoder/1/dali.py").is_file()
    assert clean(repository)


def test_a_serialised_pipeline_needs_its_batch_said(tmp_path):
    texts = {"resizer/model.dali": "\x08\x04"}
    repository = built(tmp_path, texts, TWO_GPUS)
    assert config(repository, "resizer").max_batch_size == 0
    said = TWO_GPUS + "models: {resizer: {max_batch_size: 32}}\n"
    assert config(built(tmp_path, texts, said), "resizer").max_batch_size == 32


def test_the_server_of_a_language_model(tmp_path):
    repository = built(tmp_path, {"opt/model.json": VLLM["opt/1/model.json"]}, TWO_GPUS)
    spec = server_spec(StateStore(tmp_path), ServedRepository.read(repository), UpOptions())
    assert (spec.gpus, spec.backends, spec.auto_complete) == (2, ("vllm",), True)
    assert spec.kept == ((tmp_path / ".tritongen/hub", HUB_CACHE),)
    assert dict(spec.environment)["HF_HOME"] == HUB_CACHE
    lock = read_lock(repository)
    assert lock is not None
    assert lock.models["opt"].backend == "vllm"


def test_a_hand_written_language_model_is_given_gpus(tmp_path):
    write(tmp_path / "repository", VLLM)
    served = ServedRepository.read(tmp_path / "repository")
    assert server_spec(StateStore(tmp_path), served, UpOptions(runtime=None)).gpus >= 1


def test_pools_for_copies_are_flags_of_the_server(tmp_path):
    repository = built(tmp_path, {"opt/model.json": VLLM["opt/1/model.json"]}, TWO_GPUS)
    wishes = UpOptions(pinned_pool_bytes=1 << 30, cuda_pool_bytes=1 << 27)
    spec = server_spec(StateStore(tmp_path), ServedRepository.read(repository), wishes)
    assert spec.flags[-3:] == (
        ("pinned-memory-pool-byte-size", str(1 << 30)),
        ("cuda-memory-pool-byte-size", f"0:{1 << 27}"),
        ("cuda-memory-pool-byte-size", f"1:{1 << 27}"),
    )


def test_pools_without_a_gpu_are_refused(tmp_path):
    write(tmp_path, {"m/config.pbtxt": 'backend: "python"\n', "m/1/model.py": ""})
    wishes = UpOptions(pinned_pool_bytes=1 << 30)
    with pytest.raises(InvalidInputError, match="planned for none"):
        server_spec(StateStore(tmp_path), ServedRepository.read(tmp_path), wishes)


def test_generate_and_generate_stream_of_a_vllm_model(tmp_path):
    repository = built(tmp_path, {"opt/model.json": VLLM["opt/1/model.json"]}, TWO_GPUS)
    model = model_interface(repository, "opt")
    text = client_example(model, Language.CURL, "http", "localhost:8000")
    assert "http://localhost:8000/v2/models/opt/generate -d " in text
    assert "curl -sSN http://localhost:8000/v2/models/opt/generate_stream -d " in text
    assert '"parameters": {"stream": true, "temperature": 0, "max_tokens": 128}' in text
    python = client_example(model, Language.PYTHON, "http", "localhost:8000")
    compile(python, "client.py", "exec")
    assert "'stream': True" in python
    over_grpc = client_example(model, Language.PYTHON, "grpc", "localhost:8001")
    compile(over_grpc, "client.py", "exec")
    assert "text_input" in over_grpc
    document = json.loads(client_example(model, Language.OPENAPI, "http", "localhost:8000"))
    assert list(document["paths"]) == ["/v2/models/opt/generate"]
    with pytest.raises(InvalidInputError, match="over gRPC only"):
        client_example(model, Language.PYTHON_ASYNC, "http", "localhost:8000")


def test_the_ensemble_of_a_set_is_asked_in_its_own_words(tmp_path):
    repository = built(tmp_path, TRTLLM_TEMPLATES, SET)
    model = model_interface(repository, "ensemble")
    text = client_example(model, Language.CURL, "http", "localhost:8000")
    assert '"max_tokens": 128, "stream": true' in text
    assert "parameters" not in text


def test_an_engine_of_one_gpu_is_pinned_to_each_of_two(tmp_path):
    repository = built(tmp_path, {"opt/model.json": VLLM["opt/1/model.json"]}, TWO_GPUS)
    (group,) = config(repository, "opt").instance_group
    assert (group.kind, group.count, list(group.gpus)) == (1, 1, [0, 1])
    assert clean(repository)


def test_engines_share_the_cards_by_their_memory(tmp_path):
    texts = {
        "a/model.json": '{"model": "x/a-7b", "gpu_memory_utilization": 0.7}',
        "b/model.json": '{"model": "x/b-1b", "gpu_memory_utilization": 0.5}',
    }
    repository = built(tmp_path, texts, TWO_GPUS.replace("gpus: 2", "gpus: 2, gpu: L4"))
    assert [list(config(repository, name).instance_group[0].gpus) for name in "ab"] == [[0], [1]]
    lock = read_lock(repository)
    assert lock is not None
    assert lock.server.gpu_bytes == tuple(
        CONTEXT_BYTES + int(share * (24 * 10**9)) for share in (0.7, 0.5)
    )
    # A folder of weights may not be on the next machine.
    assert lock.models["a"].facts.vllm.size is None
    assert clean(repository)


def test_weights_that_do_not_fit_are_left_out_with_the_arithmetic(tmp_path):
    weights = tmp_path / "weights"
    weights.mkdir()
    with (weights / "model.safetensors").open("wb") as file:
        file.truncate(15 << 30)
    texts = {"llama/model.json": json.dumps({"model": str(weights)})}
    with pytest.raises(InvalidInputError) as raised:
        built(tmp_path, texts, "target: {triton: '26.07', cpus: 8, gpu: T4}\n")
    assert "0.9 of T4's 14.9 GiB = 13.4 GiB" in str((raised.value, raised.value.details))


def test_a_model_of_the_llm_api_is_kept_as_it_is(tmp_path):
    repository = built(tmp_path, LLM_API, TWO_GPUS)
    message = config(repository, "tensorrt_llm")
    assert (message.backend, message.max_batch_size) == ("python", 0)
    assert not message.HasField("model_transaction_policy")
    folder = repository / "tensorrt_llm/1"
    assert {path.name for path in folder.iterdir()} == {"model.py", "helpers.py", "model.yaml"}
    assert clean(repository)
    spec = server_spec(StateStore(tmp_path), ServedRepository.read(repository), UpOptions())
    assert (spec.backends, spec.gpus, spec.auto_complete) == (("tensorrtllm",), 2, True)
    assert dict(spec.environment)["HF_HOME"] == HUB_CACHE


def test_a_hand_written_model_of_the_llm_api_is_served_by_its_own_image(tmp_path):
    served = ServedRepository.read(write(tmp_path / "repository", LLM_API))
    spec = server_spec(StateStore(tmp_path), served, UpOptions(runtime=None))
    assert (spec.backends, spec.gpus >= 1) == (("tensorrtllm",), True)


def test_the_llm_api_is_asked_in_its_own_words(tmp_path):
    repository = write(tmp_path / "repository", LLM_API)
    model = model_interface(repository, "tensorrt_llm")
    text = client_example(model, Language.CURL, "http", "localhost:8000")
    assert '"sampling_param_max_tokens": 128, "streaming": true' in text
    document = json.loads(client_example(model, Language.OPENAPI, "http", "localhost:8000"))
    (path,) = document["paths"].values()
    body = path["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert body["streaming"] == {"type": "boolean"}


@pytest.mark.parametrize(
    ("texts", "intent"), [(VLLM, TWO_GPUS), (TRTLLM_TEMPLATES, SET), (LLM_API, TWO_GPUS)]
)
def test_exports_probe_no_part_of_a_language_model(tmp_path, texts, intent):
    repository = built(tmp_path, texts, intent)
    request = ExportRequest(
        "swarm", repository, tmp_path / "deploy", models=tmp_path / "models", mode=ExportMode.SHOW
    )
    written = {file.path for file in export(request).files}
    assert "stack.yaml" in written
    assert "probe.yaml" not in written
