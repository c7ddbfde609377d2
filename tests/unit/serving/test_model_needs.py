"""What a repository's files need of a server's libraries; a program's own files need nothing."""

from support.cli import dense
from support.onnx_models import save
from tritongen.serving.runtime_requirements import _files, model_needs


def test_files_that_the_server_may_load(tmp_path):
    for path in ("m/1/model.onnx", "m/2/model.onnx/model.onnx", "m/3/model.plan", "m/1/words.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "m/4/model.onnx").mkdir(parents=True)
    (tmp_path / "m/old").mkdir()
    (tmp_path / "m/old/model.onnx").touch()
    found = {"m/1/model.onnx", "m/2/model.onnx/model.onnx", "m/3/model.plan"}
    assert set(_files(tmp_path, "m")) == found
    (tmp_path / "m/1/model.py").touch()
    assert set(_files(tmp_path, "m")) == found - {"m/1/model.onnx"}


def test_a_file_s_ir_version_and_opsets(tmp_path):
    save(dense(), tmp_path / "m/1/model.onnx")
    save(b"damaged", tmp_path / "n/1/model.onnx")
    (need,) = model_needs(tmp_path, ["m", "n"])
    assert (need.path, need.onnx_ir) == ("m/1/model.onnx", 8)
    assert ("ai.onnx", 17) in need.opsets
