"""A `model.py`, read by its syntax and never run."""

import gzip
import tarfile

import pytest

from support import format_models as make
from tritongen.formats import inspect_folder
from tritongen.formats.python_environment import packed_environments
from tritongen.formats.reading import ModelSource
from tritongen.model.findings import Severity
from tritongen.model.intent import DeclaredTensor, Intent, ModelIntent
from tritongen.model.releases import find
from tritongen.model.tensors import DType

RELEASE = find("26.07")


def facts_of(folder, intent=None):
    (facts,) = inspect_folder(folder, RELEASE, intent=intent).models
    return facts


def codes(facts, severity=Severity.ERROR):
    return [item.code for item in facts.findings if item.severity is severity]


def test_what_it_adds_in_literals(tmp_path):
    make.python_model(tmp_path / "m" / "1" / "model.py")
    facts = facts_of(tmp_path, Intent())
    assert [(spec.name, spec.dtype, spec.shape) for spec in facts.inputs] == [
        ("X", DType.FP32, (None, 4))
    ]
    assert [spec.name for spec in facts.outputs] == ["Y"]
    assert facts.python.max_batch_size == 8
    assert facts.findings == ()


def test_files_beside_it_belong_to_it(tmp_path):
    make.python_model(tmp_path / "m" / "1" / "model.py")
    (tmp_path / "m" / "1" / "helper.py").write_text("A = 1\n")
    (tmp_path / "m" / "1" / "data").mkdir()
    (tmp_path / "m" / "1" / "data" / "labels.txt").write_text("a\n")
    (tmp_path / "m" / "1" / "__pycache__").mkdir()
    (tmp_path / "m" / "1" / "__pycache__" / "helper.pyc").write_text("")
    facts = facts_of(tmp_path)
    targets = [ref.target for ref in facts.versions[0].files]
    assert targets == ["model.py", "data/labels.txt", "helper.py"]


SILENT = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        open("/tmp/never", "w")
        other = pb_utils.InferenceRequest(model_name="resnet", inputs=[])
        third = pb_utils.InferenceRequest(model_name=self.pick(), inputs=[])
        fourth = pb_utils.InferenceRequest(**self.arguments())
        return []
"""


def test_what_it_does_not_say_is_declared(tmp_path):
    make.python_model(tmp_path / "m" / "model.py", SILENT)
    facts = facts_of(tmp_path, Intent())
    assert codes(facts) == ["TG133"]
    assert facts.python.callees == ("resnet", "a model named at run time")
    assert codes(facts, Severity.INFO) == ["TG141"]
    declared = ModelIntent(
        inputs={"IN": DeclaredTensor("IN", DType.BYTES, (-1, 1))},
        outputs={"OUT": DeclaredTensor("OUT", DType.FP32, (-1, 2))},
    )
    facts = facts_of(tmp_path, Intent(models={"m": declared}))
    assert codes(facts) == []
    assert [(spec.name, spec.dtype) for spec in facts.inputs] == [("IN", DType.BYTES)]


def test_code_that_does_not_parse_and_a_class_without_execute(tmp_path):
    make.python_model(tmp_path / "a" / "m" / "model.py", make.PYTHON + "def broken(:\n")
    assert codes(facts_of(tmp_path / "a")) == ["TG102"]
    make.python_model(tmp_path / "b" / "m" / "model.py", "class TritonPythonModel:\n    pass\n")
    assert codes(facts_of(tmp_path / "b")) == ["TG142"]


def test_deep_nesting_is_told(tmp_path):
    deep = "class TritonPythonModel:\n    x = " + "(" * 5000 + ")" * 5000 + "\n"
    make.python_model(tmp_path / "m" / "model.py", deep)
    assert codes(facts_of(tmp_path)) == ["TG102"]


DECOUPLED = """
import triton_python_backend_utils as pb_utils

POLICY = {"decoupled": True}

class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        config.set_model_transaction_policy(POLICY)
        return config

    def execute(self, requests):
        return None
"""


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (DECOUPLED, (True, False, True)),
        (DECOUPLED.replace("True}", "False}"), (False, False, False)),
        (DECOUPLED.replace("(POLICY)", "(dict(decoupled=True))"), (None, False, False)),
        (
            SILENT.replace("return []", "sender = requests[0].get_response_sender()"),
            (None, True, True),
        ),
        (SILENT, (None, False, False)),
    ],
)
def test_what_it_says_of_its_responses(source, expected, tmp_path):
    make.python_model(tmp_path / "m" / "1" / "model.py", source)
    python = facts_of(tmp_path, Intent()).python
    assert (python.decoupled, python.sends, python.is_decoupled) == expected


def test_sizes_that_no_configuration_can_hold_are_not_said(tmp_path):
    size = "0x" + "f" * 5000
    text = f"""class TritonPythonModel:
    def auto_complete_config(config):
        config.set_max_batch_size({size})
        config.add_input({{"name": "X", "data_type": "TYPE_FP32", "dims": [{size}]}})
    def execute(self, requests):
        return []
"""
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "model.py").write_text(text)
    facts = facts_of(tmp_path)
    assert (facts.python.max_batch_size, facts.inputs[0].shape) == (None, None)


def packed(path, *names):
    """An archive with empty files of these names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return path


def environment_of(root):
    """The planned environment of the one model, the files beside its versions, its warnings."""
    facts = facts_of(root, Intent())
    beside = [ref.target for ref in facts.beside]
    return facts.python.environment, beside, codes(facts, Severity.WARNING)


def test_a_packed_environment_is_found_in_both_places(tmp_path):
    make.python_model(tmp_path / "m" / "1" / "model.py")
    # An archive of anything else is data, and so is one that cannot be read.
    packed(tmp_path / "m/1/data.tar.gz", "words.txt", "library/python3.12")
    whole = packed(tmp_path / "m/1/cut.tar.gz", "conda-meta/history")
    whole.write_bytes(whole.read_bytes()[:20])
    (tmp_path / "m/bomb.tar.gz").write_bytes(gzip.compress(bytes(32 << 20)))
    assert environment_of(tmp_path) == ("", [], [])
    inner = packed(tmp_path / "m/1/env.tar.gz", "ssl/cacert.pem", "conda-meta/history")
    assert environment_of(tmp_path) == ("1/env.tar.gz", [], [])
    outer = packed(tmp_path / "m/venv.tar.gz", "./bin/activate")
    assert environment_of(tmp_path) == ("", [], ["TG151"])
    inner.unlink()
    assert environment_of(tmp_path) == ("venv.tar.gz", ["venv.tar.gz"], [])
    outer.unlink()
    outer.symlink_to("/etc/hostname")
    assert environment_of(tmp_path) == ("", [], [])


def test_an_environment_beside_other_models_is_nobody_s(tmp_path):
    make.python_model(tmp_path / "m" / "model.py")
    packed(tmp_path / "venv.tar.gz", "./bin/activate")
    assert environment_of(tmp_path)[0] == ""
    packed(tmp_path / "m/env.tar.gz", "./bin/activate")
    assert environment_of(tmp_path)[0] == "1/env.tar.gz"


@pytest.mark.parametrize(
    ("place", "taken"),
    [("a/m/1", True), ("a/m/one", False), ("1", False)],
)
def test_an_environment_lies_beside_a_version_s_folder(tmp_path, place, taken):
    make.python_model(tmp_path / place / "model.py")
    packed((tmp_path / place).parent / "venv.tar.gz", "./bin/activate")
    found = packed_environments(ModelSource(tmp_path, f"{place}/model.py", "m"), ())
    assert [ref.target for ref in found] == ["venv.tar.gz"] * taken
