"""Language models and pipelines on the target's GPUs: shares, bytes, what is left for others."""

from dataclasses import replace

import pytest

from tritongen.model.cores import budget_of_limit
from tritongen.model.engine_facts import (
    DaliFacts,
    LanguageModelSize,
    TemplateFacts,
    TrtllmFacts,
    VllmFacts,
)
from tritongen.model.evidence import BatchProof, BatchVerdict, Evidence, ModelEvidence, Trial
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.findings import Severity
from tritongen.model.graph_work import GraphWork, Work
from tritongen.model.intent import Intent, ModelIntent, Target
from tritongen.model.lock import CONTEXT_BYTES
from tritongen.model.serving_plan import InstanceKind
from tritongen.model.target_gpu import ModelGpuMemory, TargetGpu
from tritongen.model.tensors import DType, TensorSpec
from tritongen.planner import left_out, plan_serving

GB, GIB = 10**9, 2**30
L4, T4 = TargetGpu("L4"), TargetGpu("T4")
# Llama-3.1-8B: 15 GiB of weights, 128 KiB a token.
SIZE = LanguageModelSize(15 * GIB, 128 << 10, 8192, "the files in /models/llama")


def vllm(name="llama", size=SIZE, **changes):
    facts = VllmFacts(f"/models/{name}", size=size, **changes)
    return ModelFacts(name, f"{name}/1/model.json", ModelFormat.VLLM, vllm=facts)


def trtllm(name="tensorrt_llm", **changes):
    template = TemplateFacts('backend: "tensorrtllm"', "tensorrtllm", engine=TrtllmFacts(**changes))
    path = f"{name}/config.pbtxt"
    return ModelFacts(name, path, ModelFormat.TEMPLATE, template=template)


def dali(name="decoder"):
    facts = DaliFacts(batch_size=64)
    return ModelFacts(name, f"{name}/1/dali.py", ModelFormat.DALI_PYTHON, dali=facts)


ROW = Work(10**9, 40 * 10**6, 10**6, 10**6, 50, 10**7)


def network(name="net", weight_bytes=GB):
    return ModelFacts(
        name, f"{name}/model.onnx", ModelFormat.ONNX,
        inputs=(TensorSpec("x", DType.FP32, ("n", 4)),),
        outputs=(TensorSpec("y", DType.FP32, ("n", 2)),), weight_bytes=weight_bytes,
    )  # fmt: skip


TRIAL = Trial(
    "onnxruntime 1.32.0",
    ok=True,
    proof=BatchProof(BatchVerdict.PROVEN, "because"),
    work=GraphWork(ROW, replace(ROW, kernels=0)),
)


def planned(*models, gpus=1, gpu=L4, **own):
    intent = Intent(Target(cpus=8, gpus=gpus, gpu=gpu), models=own)
    networks = (model.name for model in models if model.format is ModelFormat.ONNX)
    evidence = Evidence({name: ModelEvidence((), TRIAL) for name in networks})
    return plan_serving(models, intent, evidence, budget_of_limit(8))


def faults(plan):
    return [(item.severity, item.code, item.message) for item in plan.findings]


def group(plan, name):
    """Kind, count and GPUs of a model's instances."""
    model = next(model for model in plan.models if model.name == name)
    return model.kind.value, model.instances.value, model.gpus and model.gpus.value


def test_an_engine_takes_its_share_of_the_card():
    plan = planned(vllm())
    assert group(plan, "llama") == (InstanceKind.MODEL, 1, None)
    assert plan.server.gpu_bytes == (CONTEXT_BYTES + int(0.9 * (24 * GB)),)
    assert "0.9 of L4's 22.4 GiB = 20.1 GiB" in plan.models[0].instances.reason.sentence
    assert faults(plan) == []


def test_weights_that_do_not_fit_are_refused_with_the_arithmetic():
    plan = planned(vllm(), gpu=T4)
    assert plan.models == ()
    assert faults(plan) == [
        (
            Severity.ERROR,
            "TG160",
            (
                "llama does not fit: 15 GiB weights by the files in /models/llama + 1 GiB KV cache "
                "of one request of 8,192 tokens = 16 GiB; its engine takes 0.9 of T4's 14.9 GiB = "
                "13.4 GiB"
            ),
        )
    ]


def test_a_request_of_the_full_length_must_fit_beside_the_weights():
    assert planned(vllm(max_length=32768)).models
    (fault,) = faults(planned(vllm(max_length=65536)))
    assert "8 GiB KV cache of one request of 65,536 tokens" in fault[2]


def test_several_gpus_share_weights_and_cache():
    plan = planned(vllm(tensor_parallel=2), gpus=2, gpu=T4)
    assert group(plan, "llama") == (InstanceKind.MODEL, 1, None)
    assert len(set(plan.server.gpu_bytes)) == 1
    (fault,) = faults(planned(vllm(tensor_parallel=4), gpus=2))
    assert fault[1:] == (
        "TG543",
        "its engine takes 4 GPUs (tensor parallel 4 × pipeline parallel 1), and the target has 2",
    )


def test_what_a_name_says_only_warns():
    size = LanguageModelSize(16 * GB, source="its name, 8B parameters of 2 bytes", certain=False)
    plan = planned(vllm(size=size), gpu=T4)
    assert [model.name for model in plan.models] == ["llama"]
    assert [item[:2] for item in faults(plan)] == [(Severity.WARNING, "TG160")]
    assert plan.models[0].findings == ()


def test_what_the_user_states_counts():
    stated = ModelIntent(gpu_memory=ModelGpuMemory(weight_bytes=30 * GIB))
    (fault,) = faults(planned(vllm(size=None), llama=stated))
    assert "30 GiB weights by tritongen.yaml" in fault[2]
    tokens = ModelIntent(gpu_memory=ModelGpuMemory(token_bytes=1 << 20))
    assert "8 GiB KV cache" in faults(planned(vllm(), llama=tokens))[0][2]


def test_without_a_size_shares_alone_are_planned():
    assert planned(vllm(size=None)).server.gpu_bytes
    bare = planned(vllm(size=None), gpu=None)
    assert (bare.server.gpu_bytes, faults(bare)) == ((), [])


def test_weights_that_leave_no_room_to_work_in_are_told():
    (told,) = faults(planned(vllm(size=replace(SIZE, weight_bytes=20 * GIB, max_length=0))))
    assert told[:2] == (Severity.WARNING, "TG160")
    assert "fits only without room to work in" in told[2]


def test_engines_of_one_gpu_are_on_each_where_their_shares_fit():
    plan = planned(vllm(memory_share=0.4, size=None), vllm("phi", None, memory_share=0.5), gpus=2)
    assert group(plan, "llama") == group(plan, "phi") == (InstanceKind.GPU, 1, (0, 1))
    alone = planned(vllm(), gpus=2)
    assert group(alone, "llama") == (InstanceKind.GPU, 1, (0, 1))


def test_engines_that_do_not_fit_together_have_gpus_of_their_own():
    plan = planned(vllm(), vllm("phi", None, memory_share=0.8), gpus=2)
    assert (group(plan, "llama")[2], group(plan, "phi")[2]) == ((0,), (1,))
    third = planned(vllm(), vllm("phi", None), vllm("qwen", None), gpus=2)
    assert [model.name for model in third.models] == ["llama", "phi"]
    (fault,) = faults(third)
    assert "qwen does not fit: its engines take 0.9 of GPU 0's memory" in fault[2]
    assert "and 0.1 of it is left" in fault[2]


@pytest.mark.parametrize(("shares", "served"), [((0.5, 0.5), 1), ((0.5, 0.45), 2), ((1.0,), 1)])
def test_shares_of_one_gpu_stay_below_all_of_it(shares, served):
    models = [vllm(f"m{number}", None, memory_share=share) for number, share in enumerate(shares)]
    assert len(planned(*models).models) == served


def test_each_instance_is_an_engine():
    own = ModelIntent(instances=2)
    assert "2 × 0.9 of GPU 0's memory" in faults(planned(vllm(size=None), llama=own))[0][2]
    fitting = planned(vllm(size=None, memory_share=0.3), llama=own)
    assert fitting.server.gpu_bytes == (CONTEXT_BYTES + 2 * int(0.3 * (24 * GB)),)


def test_others_have_what_engines_leave():
    plan = planned(vllm(), network())
    assert [model.name for model in plan.models] == ["llama", "net"]
    assert sum(plan.server.gpu_bytes) <= 24 * GB
    large = planned(vllm(), network(weight_bytes=3 * GB))
    assert [model.name for model in large.models] == ["llama"]
    two = planned(vllm(tensor_parallel=2), network(weight_bytes=3 * GB), gpus=3)
    assert group(two, "net") == (InstanceKind.GPU, 1, (2,))
    assert max(two.server.gpu_bytes) <= 24 * GB


def test_an_engine_of_tensorrt_llm_leaves_a_share_of_what_its_weights_leave():
    plan = planned(trtllm(size=replace(SIZE, certain=True), cache_share=0.5))
    weights = 15 * GIB
    taken = weights + int(0.5 * (24 * GB - weights))
    assert plan.server.gpu_bytes == (CONTEXT_BYTES + taken,)
    (fault,) = faults(planned(trtllm(size=SIZE), gpu=TargetGpu("T4", 12 * GB)))
    assert (fault[1], "15 GiB weights" in fault[2]) == ("TG160", True)


def test_an_engine_of_tensorrt_llm_lies_where_its_configuration_says():
    plan = planned(trtllm(devices=((1,),)), gpus=2)
    assert plan.server.gpu_bytes[0] == CONTEXT_BYTES
    assert plan.server.gpu_bytes[1] > 20 * GB
    (fault,) = faults(planned(trtllm(devices=((0, 2),)), gpus=2))
    assert fault[1:] == ("TG543", "its engine takes GPU 2, and the target has 2")


def test_a_pipeline_is_placed_as_other_models_are():
    plan = planned(dali())
    assert group(plan, "decoder") == (InstanceKind.GPU, 1, None)
    assert plan.server.gpu_bytes == (CONTEXT_BYTES + GIB,)
    both = planned(dali(), network(weight_bytes=19 * GB), gpus=2)
    assert group(both, "decoder")[2] in {(0,), (1,)}
    own = ModelIntent(gpu_memory=ModelGpuMemory(instance_bytes=30 * GIB))
    (fault,) = faults(planned(dali(), decoder=own))
    assert "1 × (30 GiB, as tritongen.yaml states) = 30 GiB" in fault[2]


def test_what_the_user_measured_of_a_network_counts():
    own = ModelIntent(gpu_memory=ModelGpuMemory(instance_bytes=4 * GIB), instances=2)
    assert planned(network(), net=own).server.gpu_bytes == (CONTEXT_BYTES + 8 * GIB,)


def test_what_is_left_out_is_told_before_a_plan_of_machines():
    intent = Intent(Target(cpus=8, gpus=1, gpu=T4))
    (told,) = left_out((vllm(),), intent, Evidence({}))
    assert (told.code, told.model) == ("TG160", "llama")
