"""Engine arguments of vLLM and pipelines of DALI, found in a models folder."""

import json

import pytest

from support.engine_models import DALI_PIPELINE, VLLM, write
from tritongen.formats import inspect_folder
from tritongen.model.facts import ModelFormat
from tritongen.model.releases import find


def inspected(root):
    return {item.name: item for item in inspect_folder(root, find("26.07")).models}


@pytest.mark.parametrize("path", ["opt/1/model.json", "opt/model.json"])
def test_engine_arguments_are_a_model(tmp_path, path):
    write(tmp_path, {path: VLLM["opt/1/model.json"]})
    facts = inspected(tmp_path)["opt"]
    assert (facts.format, facts.servable) == (ModelFormat.VLLM, True)
    assert (facts.vllm.model, facts.vllm.memory_share, facts.vllm.gpus) == (
        "facebook/opt-125m", 0.5, 1
    )  # fmt: skip
    assert [ref.target for ref in facts.versions[0].files] == ["model.json"]


def test_adapters_belong_to_the_model(tmp_path):
    said = {"model": "a/b", "enable_lora": "true", "tensor_parallel_size": 2}
    texts = {"m/model.json": json.dumps(said), "m/multi_lora.json": "{}"}
    facts = inspected(write(tmp_path, texts))["m"]
    assert (facts.vllm.lora, facts.vllm.gpus) == (True, 2)
    assert [ref.target for ref in facts.versions[0].files] == ["model.json", "multi_lora.json"]


@pytest.mark.parametrize("text", ['{"modelTopology": {}, "format": "layers-model"}', "[1]", ""])
def test_other_files_of_that_name_are_no_engine_arguments(tmp_path, text):
    write(tmp_path, {"m/model.json": text, **VLLM})
    assert "m" not in inspected(tmp_path)


def test_a_pipeline_in_python_says_its_batch_and_its_inputs(tmp_path):
    write(tmp_path, {"decoder/dali.py": DALI_PIPELINE})
    facts = inspected(tmp_path)["decoder"]
    assert facts.format is ModelFormat.DALI_PYTHON
    assert (facts.dali.batch_size, facts.dali.inputs, facts.dali.incomplete) == (64, ("IMAGE",), ())
    assert [ref.target for ref in facts.versions[0].files] == ["dali.py"]


def test_a_serialised_pipeline_is_known_by_its_name_and_form(tmp_path):
    write(tmp_path, {"a/model.dali": "\x08\x04", "b/model.dali": "\x00not a message"})
    found = inspected(tmp_path)
    assert found["a"].format is ModelFormat.DALI
    assert [item.code for item in found["b"].findings] == ["TG104"]
