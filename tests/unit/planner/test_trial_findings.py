"""What is said of a model that did not run."""

import pytest

from tritongen.model.evidence import ObservedTensor, Trial
from tritongen.model.tensors import DType
from tritongen.planner.trial_findings import trial_findings


def refused(*dtypes: DType, code: str = "TG201") -> tuple[str, str]:
    """Message and fix where inputs a, b, … of these types were made up and refused."""
    fed = tuple(
        ObservedTensor(name, dtype, (1,), "zeros")
        for name, dtype in zip("abcdef", dtypes, strict=False)
    )
    trial = Trial("runtime 1", ok=False, code=code, error="no such photo", refused=fed)
    (told,) = trial_findings("m", trial)
    assert told.code == code
    assert told.message.startswith("the model did not run: no such photo")
    return told.message, told.fix


def test_a_failed_run_on_made_up_values_asks_for_samples():
    message, fix = refused(DType.FP32, DType.BYTES)
    assert message.endswith("; made up were a (zeros), b (zeros)")
    assert fix.endswith("models.m.samples: FILE.npz")
    message, _ = refused(*[DType.FP32] * 6)
    assert message.endswith("d (zeros) and 2 more inputs")


def test_of_a_text_alone_a_file_is_one_element():
    assert refused(DType.BYTES)[1].endswith("models.m.samples: { a: DIR/* }")


@pytest.mark.parametrize(("dtypes", "code"), [((), "TG201"), ((DType.FP32,), "TG204")])
def test_what_no_samples_would_mend_asks_for_none(dtypes, code):
    message, fix = refused(*dtypes, code=code)
    assert message == "the model did not run: no such photo"
    assert "samples" not in fix
