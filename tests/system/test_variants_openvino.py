"""The same model as ONNX and as OpenVINO IR: proposed, served when asked for, and verified."""

from support.cli import FREE_PORTS, dense


def test_a_variant_for_another_backend_takes_the_model_s_place_when_asked(project):
    project.add("dense/model.onnx", dense())
    project.write("models/tritongen.yaml", "target: { cpus: 2 }\n")
    (model,) = project.json("optimize", "models", "--openvino", "--budget", "2")["models"]
    (variant,) = model["variants"]
    assert variant["name"] == "openvino-ir"
    assert variant["path"] == ".variants/dense/openvino-ir/model.xml"
    assert variant["verdict"] in {"accepted", "no_gain", "slower", "ungated"}
    assert variant["speedup"]["low"] <= variant["speedup"]["high"]
    assert (model["chosen"] == "openvino-ir") == (variant["verdict"] == "accepted")

    project.run("build", "models")
    assert 'backend: "onnxruntime"' in project.config("dense").read_text()  # never in silence
    project.run("build", "models", "--variant", "dense=openvino-ir")
    text = project.config("dense").read_text()
    assert 'backend: "openvino"' in text
    assert "max_batch_size: 0" in text
    project.run("check", "model_repository")
    project.run("build", "models", "--check")
    try:
        project.run("up", *FREE_PORTS)
        (found,) = project.json("verify")["models"]
    finally:
        project.run("down")
    assert found["ok"], found
