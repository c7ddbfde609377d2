"""`tritongen.lock`: everything that it can hold is read back, and a stranger's is not trusted."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritongen.errors import InvalidInputError
from tritongen.model.cores import CpuReading
from tritongen.model.evidence import (
    BatchProof,
    BatchVerdict,
    Cost,
    ModelEvidence,
    ObservedTensor,
    Served,
    Trial,
    Tuned,
)
from tritongen.model.facts import ModelFormat
from tritongen.model.lock import (
    Lock,
    LockedModel,
    LockedServer,
    LockedTarget,
    lock_text,
    parse_lock,
)
from tritongen.model.tensors import DType

TRIAL = Trial(
    "onnxruntime 1.32.0",
    ok=True,
    inputs=(ObservedTensor("x", DType.FP32, (1, 4), "float[0,1]"),),
    proof=BatchProof(BatchVerdict.PROVEN, "rows are equal", (2, 3), 0.0, 1e-5),
    costs=(Cost(1, 1, 4.2, 0.02), Cost(8, 1, 31.0, 0.05)),
    peak_bytes=30 << 20,
)
SERVED = Served(2.0, "AMD EPYC 9R14", (Cost(1, 1, 5.0, 0.1),), 0.12, 0.4, 0.25)
TUNED = Tuned("p99<20ms", 2, 1, 8, 100, numbers={"throughput": 412.5})
EVIDENCE = ModelEvidence((("1/model.onnx", "0" * 64),), TRIAL, TUNED, SERVED)
LOCK = Lock(
    "tritongen 1.0",
    LockedTarget("26.07", 4, CpuReading(affinity=4, physical=4, quota=3.5, cpuset=None, model="x")),
    LockedServer({"OMP_NUM_THREADS": "1"}, (("rate-limit", "execution_count"),)),
    {"ocr": LockedModel("ocr/model.onnx", ModelFormat.ONNX, "onnxruntime", 1, 2, EVIDENCE)},
    {"ocr/config.pbtxt": "f" * 64},
)


def test_all_of_it_is_read_back_and_written_the_same_again() -> None:
    text = lock_text(LOCK)
    assert parse_lock(text, "lock") == LOCK
    assert lock_text(parse_lock(text, "lock")) == text
    assert parse_lock(text, "lock").evidence.models["ocr"].served == SERVED


def test_what_was_seen_at_rates_is_kept_and_older_locks_are_read() -> None:
    model = LOCK.models["ocr"]
    seen = replace(SERVED, wake_ms=0.08, stall_ms=4.0, stalls_per_s=1.5)
    older = replace(SERVED, pause_ms=0.7)
    for served in (seen, older):
        changed = replace(model, evidence=replace(EVIDENCE, served=served))
        text = lock_text(replace(LOCK, models={"ocr": changed}))
        assert parse_lock(text, "lock").models["ocr"].evidence.served == served
    assert "stall" not in lock_text(LOCK)


def test_keys_are_sorted_and_defaults_left_out() -> None:
    document = json.loads(lock_text(LOCK))
    assert list(document) == sorted(document)
    assert "deterministic" not in document["models"]["ocr"]["evidence"]["trial"]
    bare = replace(EVIDENCE, served=None, tuned=None)
    model = replace(LOCK.models["ocr"], evidence=bare)
    text = lock_text(replace(LOCK, models={"ocr": model}))
    assert "served" not in text
    assert parse_lock(text, "lock").models["ocr"].evidence == bare


@given(st.floats(1e-6, 1e6), st.integers(1, 256), st.integers(1, 64), st.floats(0.0, 5.0))
def test_every_time_survives(ms: float, batch: int, threads: int, spread: float) -> None:
    served = replace(SERVED, costs=(Cost(batch, threads, ms, spread),))
    model = replace(LOCK.models["ocr"], evidence=replace(EVIDENCE, served=served))
    lock = replace(LOCK, models={"ocr": model})
    assert parse_lock(lock_text(lock), "lock") == lock


def damaged(**changes: object) -> str:
    return json.dumps({**json.loads(lock_text(LOCK)), **changes})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not JSON"),
        ("[]", "schema version"),
        ("[" * 20_000, "not JSON"),
        (damaged(schema_version=99), "schema version"),
        (damaged(target={"triton": "26.07"}), "cores is missing"),
        (damaged(surprise=1), "unknown key surprise"),
        (damaged(written={"../../etc/passwd": "0"}), "leaves the repository"),
        (damaged(written={"/etc/passwd": "0"}), "leaves the repository"),
        (damaged(models={"..": {}}), "is missing"),
        (damaged(target={"triton": "26.07", "cores": "four"}), "expected int"),
        (damaged(target={"triton": "26.07", "cores": True}), "expected int"),
        *(
            (damaged(server={"environment": {name: value}}), f"no build writes: variable {name}=")
            for name, value in (
                ("LD_AUDIT", "./x.so"),
                ("LD_PRELOAD", "./x.so"),
                ("GCONV_PATH", "."),
                ("TRITON_CLOUD_CREDENTIAL_PATH", "x"),
                ("OMP_NUM_THREADS", "1\nLD_AUDIT=x"),
                ("OMP_NUM_THREADS", ""),
                ("omp_num_threads", "1"),
            )
        ),
        *(
            (damaged(server={"flags": [[flag, value]]}), f"no build writes: flag --{flag}=")
            for flag, value in (
                ("http-restricted-api", "statistics:a=b"),
                ("grpc-restricted-protocol", "statistics:a=b"),
                ("backend-config", "python,python-runtime=./x"),
                ("trace-config", "triton,file=/etc/x"),
                ("cache-config", "redis,host=elsewhere"),
                ("rate-limit", "off"),
            )
        ),
    ],
)
def test_what_is_no_lock_is_refused(text: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as caught:
        parse_lock(text, "model_repository/tritongen.lock")
    assert caught.value.code == "TG704"


def test_a_number_that_is_not_finite_is_null_and_no_number_of_a_lock() -> None:
    served = replace(SERVED, costs=(Cost(1, 1, math.inf, math.nan),))
    numbers = {"throughput": -math.inf}
    evidence = replace(EVIDENCE, served=served, tuned=replace(TUNED, numbers=numbers))
    text = lock_text(replace(LOCK, models={"ocr": replace(LOCK.models["ocr"], evidence=evidence)}))
    json.loads(text, parse_constant=pytest.fail)
    with pytest.raises(InvalidInputError) as caught:
        parse_lock(text, "tritongen.lock")
    assert caught.value.code == "TG704"
