"""Triton's words and their codes."""

import pytest

from tritongen.errors import CODES
from tritongen.triton import load_reasons
from tritongen.triton.client import IndexEntry
from tritongen.triton.load_reasons import (
    clean,
    code_for,
    load_failures,
    poll_failures,
    start_failure,
    telling_lines,
)
from tritongen.triton.server import ModelStatus


def test_every_code_of_the_tables_is_registered():
    used = {code for _, code in (*load_reasons._MODEL_REASONS, *load_reasons._START_REASONS)}
    assert used <= set(CODES)


# What tritonserver 2.51 and its backends print.
@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("instance group m_0 of model m has kind KIND_GPU but no GPUs are available", "TG826"),
        ("instance group m_0 of model m specifies invalid or unsupported gpu id 0. GPUs", "TG826"),
        (
            "instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs",
            "TG826",
        ),
        ("unable to find backend library for backend 'nosuch', try specifying runtime", "TG825"),
        ("unexpected 'platform' and 'backend' pair, got:tensorrt_plan, onnxruntime", "TG821"),
        ("unexpected platform type 'onnxruntime' for m", "TG821"),
        ("ensemble e contains models that are not available or ambiguous: absent", "TG835"),
        ("ensemble 'e' depends on 'ok' whose required version 0 is not loaded.", "TG835"),
        ("in ensemble e, ensemble tensor IN: inconsistent data type", "TG835"),
        ("must specify 'input_map' in step 0 of ensemble 'e'", "TG835"),
        (
            "at least one version must be available under the version policy of model 'm'",
            "TG828",
        ),
        ("unable to find '/models/m/1/model.onnx' for model instance 'm'", "TG836"),
        ("failed to run warmup sample 'w': batch size 64 for 'm_0', max allowed is 8;", "TG827"),
        ("warmup setting expects 16 bytes, but the data provided from x has 4 bytes", "TG827"),
        ("failed to convert 'yes' to boolean", "TG824"),
        ("unknown Execution Accelerator 'x' is requested", "TG824"),
        ("unable to load model 'm', configuration expects 1 inputs, model provides 2", "TG823"),
        ("unexpected inference input 'z', allowed inputs are: x", "TG823"),
        ("Unsupported ONNX Type 'ONNX_TYPE_SEQUENCE' for I/O 'y', expected", "TG110"),
        ("CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 14.76 GiB total)", "TG832"),
        ("onnx runtime error 6: CUDA failure 2: out of memory ; GPU=0 ; hostname=x", "TG832"),
        ("unable to create TensorRT context: Cuda Runtime (out of memory)", "TG832"),
        ("torch.OutOfMemoryError: CUDA out of memory.", "TG832"),
        ("onnx runtime error 1: CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0", "TG832"),
        ("ValueError: No available memory for the cache blocks. Try increasing", "TG832"),
        (
            (
                "Free memory on device (5.20/22.05 GiB) on startup is less than desired GPU memory "
                "utilization (0.9, 19.85 GiB)"
            ),
            "TG832",
        ),
        (
            (
                "The model's max seq len (131072) is larger than the maximum number of tokens that "
                "can be stored in KV cache (41024)"
            ),
            "TG832",
        ),
        ("onnx runtime error 7: Load model from x failed:Protobuf parsing failed.", "TG822"),
        ("onnx runtime error 1: Failed to construct locale with name:en_US.UTF-8:", "TG218"),
        ("ModuleNotFoundError: No module named 'torch'", "TG805"),
        ("Failed to initialize stub, stub process exited unexpectedly: Stub process", "TG829"),
        ("model input 'IN' must specify 'dims' for m", "TG821"),
        ("dynamic batching preferred size must be <= max batch size for m", "TG821"),
        ("something that nobody has seen", "TG820"),
    ],
)
def test_model_reasons(reason, code):
    assert code_for(reason) == code


def test_clean_keeps_what_a_person_needs():
    wrapped = (
        "load failed for model 'm': version 1 is at UNAVAILABLE state: Internal: "
        "TritonModelException: failed to convert 'yes' to boolean\n\nAt:\n"
        "  /cache/ort_backend/model.py(44): auto_complete_config\n;"
    )
    assert clean(wrapped) == "failed to convert 'yes' to boolean"
    assert clean(wrapped.replace("\n", "\\n")) == "failed to convert 'yes' to boolean"
    assert clean("Invalid argument: x;") == "x"
    assert clean("first line\nsecond line") == "first line second line"
    assert clean("") == ""


LOG = """\
[libprotobuf ERROR google/protobuf/text_format.cc:337] Error parsing text-format \
inference.ModelConfig: 3:7: Expected integer, got: ]
E1124 20:00:00.000000 7 model_repository_manager.cc:1460] "Poll failed for model directory 'bad': \
failed to read text proto from /models/bad/config.pbtxt"
E1124 20:00:00.000000 7 model_repository_manager.cc:1460] "Poll failed for model directory \
'rule': 'max_batch_size' must be non-negative value for rule"
I1124 20:00:00.000000 7 model_lifecycle.cc:472] "loading: late:1"
E1124 20:00:00.000000 7 model_lifecycle.cc:642] "failed to load 'late' version 1: Internal: onnx \
runtime error 7: broken"
+-------+---------+
| Model | Version |
+-------+---------+

error: creating server: Internal - failed to load all models
"""


def test_poll_failures_come_from_the_log_with_line_and_column():
    found = poll_failures(LOG)
    assert found == {
        "bad": "config.pbtxt:3:7: Expected integer, got: ]",
        "rule": "'max_batch_size' must be non-negative value for rule",
    }


def test_load_failures_hold_both_stages():
    found = load_failures(LOG)
    assert set(found) == {"bad", "rule", "late"}
    assert found["late"] == "onnx runtime error 7: broken"


def test_telling_lines_leave_out_tables():
    assert telling_lines(LOG, 1) == (
        "error: creating server: Internal - failed to load all models",
    )
    assert not any(line.startswith(("|", "+")) for line in telling_lines(LOG, 100))


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        (LOG, "TG820", "failed to load all models"),
        (
            (
                'E1124 20:00:00.0 1 main.cc:245] "failed to start GRPC service: Unavailable - '
                "Socket '127.0.0.1:18001' already in use \""
            ),
            "TG807",
            "127.0.0.1:18001",
        ),
        (
            (
                "tritonserver: error while loading shared libraries: libstdc++.so.6: cannot open "
                "shared object file"
            ),
            "TG833",
            "libstdc++",
        ),
        (
            "error while loading shared libraries: libpython3.11.so.1.0: cannot open",
            "TG804",
            "libpython",
        ),
        ("failed to stat file /models", "TG831", "/models"),
        ("tritonserver: unrecognized option '--x=1'", "TG830", "--x=1"),
        ("terminate called after throwing an instance of 'std::bad_alloc'", "TG813", "bad_alloc"),
        ("something new", "TG810", "something new"),
        ("", "TG810", ""),
    ],
)
def test_start_failures(log, code, words):
    found, line = start_failure(log)
    assert found == code
    assert words in line


@pytest.mark.parametrize(
    ("entries", "unread", "reason", "code"),
    [
        ([], "", "the server's repository holds no such model", "TG828"),
        ([IndexEntry("m")], "", "the server could not read its configuration; its log says why",
         "TG821"),
        ([IndexEntry("m")], "something new", "something new", "TG821"),
        ([], "unable to find backend library", "unable to find backend library", "TG825"),
        ([IndexEntry("m", "1", "UNAVAILABLE")], "", "not loaded", "TG820"),
        ([IndexEntry("m", "1", "UNAVAILABLE", "Internal: must specify x")], "ignored",
         "must specify x", "TG821"),
        ([IndexEntry("m", "1", "UNAVAILABLE", "old"), IndexEntry("m", "2", "LOADING")], "",
         "still loading", "TG811"),
        ([IndexEntry("m", "1", "UNLOADING")], "", "still loading", "TG811"),
    ],
)  # fmt: skip
def test_why_a_model_is_not_ready(entries, unread, reason, code):
    assert load_reasons._failed(entries, unread) == (reason, code)


def test_a_parser_s_place_belongs_to_the_next_model_alone():
    log = (
        "Error parsing text-format inference.ModelConfig: 3:7: Expected integer\n"
        "\"Poll failed for model directory 'a': something else\"\n"
        "\"Poll failed for model directory 'b': failed to read text proto from b\"\n"
    )
    assert poll_failures(log) == {
        "a": "something else", "b": "failed to read text proto from b",
    }  # fmt: skip


def test_models_whose_processes_were_killed_for_memory_say_so():
    died = ModelStatus("a", ready=False, reason="stub", code="TG829")
    other = ModelStatus("b", ready=False, reason="x", code="TG821")
    found = load_reasons.short_of_memory((died, other))
    assert (found[0].code, found[0].reason) == (
        "TG813", "stub; the kernel killed one for lack of memory",
    )  # fmt: skip
    assert found[1] is other


@pytest.mark.parametrize(
    ("models", "statuses", "said"),
    [
        ((), (), "after 3 s the server does not answer"),
        (("a", "b"), (), "these models are not ready: a, b"),
        (("a", "b"), (ModelStatus("a", ready=True), ModelStatus("b", ready=False)), "not ready: b"),
        (tuple("abcde"), (), "not ready: a, b, c, d, e"),
        (tuple("abcdef"), (), "not ready: a, b, c, d, e, …"),
    ],
)
def test_who_waits_in_vain_is_told_for_what(models, statuses, said):
    problem = load_reasons._too_late(3.0, models, statuses, "log\n|table\n")
    assert problem.what.endswith(said)
    assert problem.details == ("log",)
