"""Language models and pipelines in `plan`: memory, cards and AIPerf's command, no throughput."""

import json

import jsonschema
import pytest

from support.engine_models import (
    DALI_PIPELINE,
    LLM_API,
    LLM_API_YAML,
    TRTLLM_TEMPLATES,
    TRTLLM_VALUES,
    VLLM,
    filled,
    write,
)
from support.result_schemas import DOCUMENTS
from tritongen.api import PlanOptions, plan
from tritongen.cli.main import main
from tritongen.errors import ExitCode, InvalidInputError

GPU = "target: {triton: '26.07', cpus: 8, gpu: L4}\n"
LLAMA = json.dumps({"model": "meta-llama/Llama-3.1-8B-Instruct", "max_model_len": 8192})


def planned(root, texts, intent=GPU, **options):
    write(root / "models", {**texts, "tritongen.yaml": intent})
    repository = root / "repository"
    return plan(root / "models", PlanOptions(repository, write=False, trial=False, **options))


def test_a_language_model_is_planned_by_memory(tmp_path):
    found = planned(tmp_path, {"llama/model.json": LLAMA})
    document = found.to_dict()
    assert (found.exit_code, document["options"], document["plan_file"]) == (ExitCode.OK, [], None)
    (model,) = document["language_models"]
    assert (model["model"], model["gpus"], model["weight_bytes"]) == ("llama", 1, 16 * 10**9)
    assert "its name" in model["size_from"]
    fits = {card["gpu"]: (card["gpus"], card["fits"]) for card in model["cards"]}
    assert (fits["L4"], fits["T4"], fits["H100"]) == ((1, True), (2, False), (1, True))
    cheapest = document["gpus"][0]
    assert (cheapest["gpu"], cheapest["unpredicted"], cheapest["rows"]) == ("L4", ["llama"], {})
    (told,) = [item for item in document["findings"] if item["code"] == "TG356"]
    assert "/v2/models/llama/generate_stream" in told["fix"]
    assert told["fix"].endswith(model["measure"])


def test_the_cache_is_counted_where_the_layers_are_known(tmp_path):
    folder = tmp_path / "weights"
    layers = {"num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8}
    layers |= {"hidden_size": 4096, "max_position_embeddings": 8192}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(layers))
    with (folder / "model.safetensors").open("wb") as file:
        file.truncate(15 << 30)
    texts = {"llama/model.json": json.dumps({"model": str(folder)})}
    (model,) = planned(tmp_path, texts).to_dict()["language_models"]
    (card,) = [one for one in model["cards"] if one["gpu"] == "L4"]
    left = int(0.9 * (24 * 10**9)) - (15 << 30) - (1 << 30)
    assert card["tokens"] == left // (128 << 10)
    assert card["requests"] == card["tokens"] // 8192
    refused = planned(tmp_path, texts, GPU.replace("L4", "T4"))
    assert refused.exit_code is ExitCode.FINDINGS
    (left_out,) = refused.to_dict()["left_out"]
    assert left_out["code"] == "TG160"


def test_the_rate_is_that_of_the_measurement(tmp_path):
    intent = GPU + "models: {llama: {rate: 3}}\n"
    (model,) = planned(tmp_path, {"llama/model.json": LLAMA}, intent).to_dict()["language_models"]
    assert model["measure"].endswith("--request-rate 3")


def test_machine_types_have_the_gpus_that_an_engine_is_split_over(tmp_path):
    texts = {"llama/model.json": json.dumps({"model": "a/m-70b", "tensor_parallel_size": 4})}
    intent = GPU.replace("gpu: L4", "gpus: 4, gpu: H100")
    found = planned(tmp_path, texts, intent).to_dict()
    assert found["gpus"]
    assert min(option["gpus"] for option in found["gpus"]) >= 4


def test_without_a_size_the_user_is_asked_for_it(tmp_path):
    texts = {"phi/model.json": '{"model": "microsoft/phi-2"}'}
    (model,) = planned(tmp_path, texts).to_dict()["language_models"]
    assert (model["weight_bytes"], model["cards"]) == (None, [])
    intent = GPU + "models: {phi: {gpu_memory: {weights: 6GB, token: 320KiB}}}\n"
    (model,) = planned(tmp_path, texts, intent).to_dict()["language_models"]
    assert (model["weight_bytes"], model["token_bytes"]) == (6 * 10**9, 320 << 10)
    assert model["size_from"] == "tritongen.yaml"


VALUES = "".join(f"      {name}: {value!r}\n" for name, value in TRTLLM_VALUES.items())
SET = GPU + f"models:\n  tensorrt_llm:\n    engine:\n{VALUES}"


@pytest.mark.parametrize("texts", [TRTLLM_TEMPLATES, filled(TRTLLM_TEMPLATES)])
def test_a_set_is_planned_and_its_ensemble_is_asked(tmp_path, texts):
    intent = SET if texts is TRTLLM_TEMPLATES else GPU
    found = planned(tmp_path, texts, intent)
    (model,) = found.to_dict()["language_models"]
    assert (found.exit_code, model["model"]) == (ExitCode.OK, "tensorrt_llm")
    assert "/v2/models/ensemble/generate_stream" in model["measure"]
    assert [item.code for item in found.findings] == ["TG356"]


def test_a_model_of_the_llm_api_is_planned(tmp_path):
    text = LLM_API_YAML.replace("tensor_parallel_size: 1", "tensor_parallel_size: 2")
    intent = GPU.replace("gpu: L4", "gpus: 2, gpu: L4")
    texts = LLM_API | {"tensorrt_llm/1/model.yaml": text}
    (model,) = planned(tmp_path, texts, intent).to_dict()["language_models"]
    assert (model["gpus"], model["weight_bytes"]) == (2, 2200 * 10**6)
    assert "sampling_param_max_tokens" in model["measure"]


def test_a_pipeline_is_told_apart(tmp_path):
    found = planned(tmp_path, {"decoder/dali.py": DALI_PIPELINE})
    assert (found.exit_code, found.to_dict()["language_models"]) == (ExitCode.OK, [])
    assert found.to_dict()["gpus"][0]["unpredicted"] == ["decoder"]
    assert [item.code for item in found.findings] == ["TG356"]


def test_another_case_needs_times(tmp_path):
    with pytest.raises(InvalidInputError, match="service times"):
        planned(tmp_path, {"llama/model.json": LLAMA}, what_if="rate × 3")


def test_a_target_without_gpus_is_told_which_would_do(tmp_path):
    found = planned(tmp_path, {"opt/model.json": VLLM["opt/1/model.json"]}, "target: {cpus: 4}\n")
    assert found.exit_code is ExitCode.FINDINGS
    assert found.to_dict()["gpus"]
    assert [item.code for item in found.fleet.left_out] == ["TG134"]


def test_the_plan_is_printed_with_cards_and_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    write(tmp_path / "models", {"llama/model.json": LLAMA, "tritongen.yaml": GPU})
    command = ["plan", str(tmp_path / "models"), "-r", str(tmp_path / "repository"), "--no-trial"]
    assert main(command) == ExitCode.OK
    told = capsys.readouterr().out
    assert "with GPUs: llama by memory alone" in told
    assert "0.9 of L4's 22.4 GiB = 20.1 GiB" in told
    assert "measure it: aiperf profile --model llama" in told
    assert "8B parameters of 2 bytes" in told
    assert "H100-PCIe" in told


def test_the_document_has_the_form_that_programs_rely_on(tmp_path):
    texts = {"llama/model.json": LLAMA, "phi/model.json": '{"model": "microsoft/phi-2"}'}
    document = planned(tmp_path, texts, GPU.replace("gpu: L4", "gpus: 2, gpu: L4")).to_dict()
    jsonschema.validate(document, DOCUMENTS["plan"])
