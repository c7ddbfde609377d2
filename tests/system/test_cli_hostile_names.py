"""A real model whose input's name commands terminals and CI runners, through the commands."""

import json
import pty
import subprocess

import pytest
from onnx import helper

from support.cli import TRITONGEN, Project, dense
from support.hostile_names import assert_harmless, without_styles
from support.impostor import impostor
from support.onnx_models import model, value
from tritongen.cli.main import COMMANDS

NAME = "x\x1b[31m\u202e\n::error::x\r##[error]y"


@pytest.fixture
def hostile(project: Project) -> Project:
    relu = helper.make_node("Relu", [NAME], ["y"])
    project.add("m/model.onnx", model([relu], [value(NAME)], [value("y")]))
    return project


def test_no_command_prints_or_writes_what_a_name_commands(hostile):
    inspected = hostile.run("inspect", "models", expect=None)
    shown = r"x\x1b[31m\u202e\n::error::x\r#\x23[error]y"
    assert shown in inspected.out
    runs = [inspected]
    runs += [hostile.run("build", "models", *more, expect=None) for more in ([], ["--diff"], [])]
    # A repository of somebody else's, with the same name in it.
    quoted = NAME.replace("\x1b", "\\033").replace("\n", "\\n").replace("\r", "\\r")
    hostile.write(
        "other/m/config.pbtxt",
        f'name: "m"\nbackend: "onnxruntime"\nmax_batch_size: 8\ninput {{ name: "{quoted}" '
        f'data_type: TYPE_FP32 dims: [ 3 ] }}\ninput {{ name: "{quoted}" data_type: TYPE_FP32 '
        f'dims: [ 3 ] }}\nparameters {{ key: "{quoted}" value {{ string_value: "1" }} }}\n'
        f"{''.join(NAME.split())}: 1\n",
    )
    hostile.write("other/m/1/model.onnx", (hostile.models / "m/model.onnx").read_bytes())
    for repository in ("model_repository", "other"):
        runs += [hostile.run("check", repository, expect=None)]
        runs += [hostile.run("explain", "m", "-r", repository, expect=None)]
    for ran in runs:
        assert_harmless(ran.out)
        assert_harmless(ran.err)
    for path in hostile.repository.rglob("config.pbtxt"):
        assert_harmless(path.read_text(encoding="utf-8"))


# What each command of the tool is asked; those that need a server are asked for their errors here.
ASKED: dict[str, list[list[str]]] = {
    "init": [["models", "--stdout"], ["models"]],
    "inspect": [["models"], ["models", "--trial"]],
    "build": [["models"], ["models", "--diff"], ["models", "--check"], ["models", "--fix"]],
    "check": [["model_repository"], ["other"], ["models"]],
    "explain": [["m"], [NAME], ["m", NAME]],
    "up": [["other", "--runtime", "docker"]],
    "down": [[]],
    "restart": [[]],
    "status": [[], ["-u", NAME]],
    "logs": [[]],
    "client": [
        ["m"],
        ["m", "-u", NAME],
        ["m", "-u", "a:1", "--lang", "python"],
        ["m", "--lang", "openapi"],
        ["m", "--write", "examples"],
        [NAME],
    ],
    "verify": [["other", "-u", "127.0.0.1:9"], ["-u", NAME]],
    "probe": [["-u", NAME], ["-m", NAME], ["--shape", NAME], ["--compare", NAME, NAME]],
    "tune": [["models", "-m", NAME], ["models", "--goal", NAME], ["models", "--dry-run"]],
    "optimize": [["models", "-m", NAME], ["models", "-m", "m", "--data", NAME]],
    "doctor": [["--runtime", "docker", "--image", NAME]],
    "plan": [["models"], ["models", "--price-list", NAME]],
    "export": [["compose", "other", "-o", "deploy"], ["compose", "other", "--name", NAME], [NAME]],
    "observe": [["--prometheus", NAME], ["-u", NAME]],
    "report": [["-r", "other", "-o", "page.html"], ["-o", NAME]],
    "completion": [["bash"], [NAME]],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_in_every_form(command: str, hostile: Project):
    """Names of folders, tensors and fields, and arguments that a script took from somewhere."""
    hostile.add(f"{NAME.replace('/', '')}/model.onnx", dense())
    hostile.write(f"other/{NAME}/config.pbtxt", f'name: "{"".join(NAME.split())}"\n')
    hostile.write("other/m/config.pbtxt", f'name: "m"\n{"".join(NAME.split())}: 1\n')
    hostile.write("models/tritongen.yaml", 'models: {"x\\e[31m\\n::error::x": {rate: {peak: 5}}}\n')
    if command not in {"build", "init"}:
        hostile.run("build", "models", expect=None)
    for words in ASKED[command]:
        for form in ([], ["--format", "json"]):
            ran = hostile.run(command, *words, *form, expect=None, DOCKER_HOST="unix:///nowhere")
            assert_harmless(ran.out)
            assert_harmless(ran.err)
    for path in hostile.folder.rglob("*"):
        theirs = path.is_relative_to(hostile.models) or "other" in path.parts
        if path.suffix in {".pbtxt", ".yaml", ".yml", ".html", ".json", ".csv"} and not theirs:
            assert_harmless(path.read_text(encoding="utf-8"))


def test_no_command_prints_or_writes_what_a_server_says(project: Project):
    """Names of models, tensors and series, and reasons, in every form that a command has."""
    labels = {"__name__": "nv_inference_request_success", "model": NAME, "instance": NAME}
    tensor = {"name": NAME, "datatype": "FP32", "shape": [1]}
    counted = {"success": {"count": 3, "ns": 5}, "fail": {"count": 2, "ns": 5}}
    stats = {"name": NAME, "version": NAME, "inference_count": 3, "inference_stats": counted}
    answers = {
        "stats": {"model_stats": [stats]},
        "config": {"name": NAME, "backend": NAME, "input": [{"name": NAME, "dims": [NAME]}]},
        "metadata": {
            "name": NAME, "versions": [NAME], "inputs": [tensor], "outputs": [tensor],
            "status": "success", "data": {"resultType": "matrix", "result": [
                {"metric": labels, "values": [[1, "1"], [2, "5"], [3, "9"]]},
            ]},
        },
        "infer": {"error": NAME, "outputs": [{**tensor, "data": [NAME]}]},
    }  # fmt: skip
    short = ("--duration", "500ms", "--concurrency", "1", "--timeout", "20")
    with impostor((NAME,), answers) as address:
        commands = [
            [*words, "--format", form]
            for form in ("text", "json")
            for words in (
                ["status", "-u", address],
                ["observe", "-u", address, "--for", "1s", "--csv", "live.csv"],
                ["observe", "--prometheus", f"http://{address}", "--csv", "history.csv"],
                ["probe", "-u", address, *short],
            )
        ] + [["probe", "-u", address, *short, "--format", form] for form in ("csv", "html")]
        for words in commands:
            ran = project.run(*words, expect=None)
            assert_harmless(ran.out)
            assert_harmless(ran.err)
    refused = {"status": "error", "error": NAME}
    with impostor((), {"metadata": refused, "stats": {"error": NAME}}) as address:
        ran = project.run("observe", "--prometheus", f"http://{address}", expect=3)
        assert r"x\x1b[31m" in ran.err
        assert_harmless(ran.err)
    for file in ("live.csv", "history.csv"):
        assert_harmless((project.folder / file).read_text(encoding="utf-8").replace("::", ""))


def test_annotations_are_the_only_commands(hostile):
    hostile.write("other/m/config.pbtxt", f'name: "m"\n{"".join(NAME.split())}: 1\n')
    found = json.loads(hostile.run("check", "other", "--format", "json", expect=1).out)
    ran = hostile.run("check", "other", "--format", "github", expect=1)
    assert found["findings"]
    assert_harmless(ran.out, commands=len(found["findings"]))
    assert_harmless(ran.err)
    assert_harmless(hostile.run("check", "other", "--format", "sarif", expect=1).out)


def test_a_terminal_is_coloured_by_the_tool_alone(hostile):
    ours, theirs = pty.openpty()
    words = [TRITONGEN, "inspect", "models"]
    subprocess.run(words, cwd=hostile.folder, stdout=theirs, stderr=theirs, check=False)
    with open(theirs, "wb"):  # noqa: PTH123  (a descriptor)
        pass
    text = b""
    with open(ours, "rb", buffering=0) as terminal:  # noqa: PTH123  (a descriptor)
        while len(text) < 1 << 20:
            try:
                text += terminal.read(4096)
            except OSError:  # its other end is closed
                break
    shown = text.decode().replace("\r\n", "\n")
    assert "\x1b[1mm\x1b[0m" in shown
    assert_harmless(without_styles(shown))
