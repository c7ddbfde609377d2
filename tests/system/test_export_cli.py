"""`tritongen export` as a user meets it: drift, edits, plans, bad input."""

import json
import re
import shutil
from pathlib import Path

import pytest

from support.cli import Project, tree
from support.export_stack import two_models
from tritongen.fleet.export.targets import TARGETS


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built project, to be copied."""
    return two_models(tmp_path_factory.mktemp("export")).folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    """A built project of its own."""
    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    return Project(folder)


def export(project: Project, *words: str, expect: int = 0) -> dict:
    return project.json("export", *words, "--models", "models", expect=expect)


@pytest.mark.parametrize("target", TARGETS)
def test_written_once_then_up_to_date(project, target):
    first = export(project, target, "-o", "out")
    assert first["written"]
    before = tree(project.folder / "out")
    assert set(before) == {*first["files"], "tritongen-export.json"}
    again = export(project, target, "-o", "out")
    assert not again["written"]
    assert again["differences"] == []
    assert not export(project, target, "-o", "out", "--check")["drift"]
    assert tree(project.folder / "out") == before


def test_the_same_bytes_wherever_the_project_lies(project, template):
    export(project, "swarm", "-o", "out")
    other = Project(template)
    export(other, "swarm", "-o", "out")
    assert tree(project.folder / "out") == tree(other.folder / "out")
    shutil.rmtree(other.folder / "out")


def test_services_agree_with_the_repository(project):
    (service,) = export(project, "kubernetes", "-o", "out")["services"]
    lock = project.lock()
    assert service["cpus"] == lock["target"]["cores"] == 2
    assert service["memory_bytes"] == lock["target"]["memory_bytes"]
    assert service["threads"] == sum(
        model["threads"] * model["instances"] for model in lock["models"].values()
    )
    assert service["replicas"] == {"min": 2, "max": 4}


def test_a_changed_repository_is_drift(project):
    export(project, "compose", "-o", "out")
    project.run("build", "models", "--cpus", "1")
    document = export(project, "compose", "-o", "out", "--check", expect=1)
    assert document["drift"]
    assert [item["code"] for item in document["findings"] if item["severity"] == "error"] == [
        "TG701"
    ]
    shown = project.run("export", "compose", "-o", "out", "--diff").out
    assert "TRITON_CPUS:-2" in shown
    assert "TRITON_CPUS:-1" in shown
    assert export(project, "compose", "-o", "out")["written"]
    assert not export(project, "compose", "-o", "out", "--check")["drift"]


def test_hand_edits_are_kept(project):
    export(project, "compose", "-o", "out")
    path = project.folder / "out/compose.yaml"
    path.write_text(path.read_text() + "# mine\n")
    edited = path.read_text()
    before = tree(project.folder / "out")
    assert project.error("export", "compose", "-o", "out", expect=2)["code"] == "TG702"
    assert tree(project.folder / "out") == before
    export(project, "compose", "-o", "out", "--force")
    assert "# mine" not in path.read_text()
    assert path.with_name("compose.yaml.orig").read_text() == edited
    again = path.read_bytes() + b"# na\xefve\n"
    path.write_bytes(again)
    export(project, "compose", "-o", "out", "--force")
    assert path.with_name("compose.yaml.orig").read_text() == edited
    assert path.with_name("compose.yaml.orig.1").read_bytes() == again


def test_files_of_others_are_never_touched(project):
    project.write("out/compose.yaml", "services: {}\n")
    project.write("out/notes.txt", "mine\n")
    before = tree(project.folder / "out")
    for words in ((), ("--force",)):
        problem = project.error("export", "compose", "-o", "out", *words, expect=2)
        assert problem["code"] == "TG703"
        assert tree(project.folder / "out") == before
    (project.folder / "out/compose.yaml").unlink()
    export(project, "compose", "-o", "out")
    assert (project.folder / "out/notes.txt").read_text() == "mine\n"


def test_another_target_goes_elsewhere(project):
    export(project, "compose", "-o", "out")
    problem = project.error("export", "swarm", "-o", "out", expect=2)
    assert problem["code"] == "TG703"
    assert "compose" in problem["message"]


def test_files_that_are_no_longer_written_go(project):
    export(project, "compose", "-o", "out")
    listed = project.folder / "out/tritongen-export.json"
    document = json.loads(listed.read_text())
    project.write("out/old/rules.yml", "groups: []\n")
    from tritongen.repository.render_repository import digest

    document["written"]["old/rules.yml"] = digest(b"groups: []\n")
    listed.write_text(json.dumps(document))
    export(project, "compose", "-o", "out")
    assert not (project.folder / "out/old").exists()


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "{}", '{"schema_version": 1, "target": "compose", "written": {"../x": "0"}}',
     '{"schema_version": 2, "target": "compose", "written": {}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_list_of_files_stops_the_export(project, text):
    project.write("out/tritongen-export.json", text)
    assert project.error("export", "compose", "-o", "out", expect=2)["code"] == "TG704"


def test_a_plan_decides_replicas_and_schedule(project):
    project.write(
        "models/tritongen.yaml",
        """\
target: {cpus: 2, memory: 1GiB}
models:
  digits: {rate: {average: 900, peak: 4000}, latency: 30ms}
  breast_cancer: {rate: 50, latency: 30ms}
traffic: {pattern: weekday-weekend}
""",
    )
    project.run("build", "models")
    planned = project.json("plan", "models", "--machine", "Standard_F4s_v2", "--top", "1")
    (option,) = planned["options"]
    (service,) = option["services"]
    document = export(project, "keda", "-o", "out")
    (exported,) = document["services"]
    assert exported["replicas"] == {
        "min": option["replicas"]["min"], "max": option["replicas"]["max"],
    }  # fmt: skip
    assert exported["cpus"] == service["cpus"]
    assert exported["concurrency"] > 1
    assert not [item for item in document["findings"] if item["code"] == "TG750"]
    # More than an endpoint of Azure ML admits.
    problem = project.error("export", "azureml", "-o", "azure", "--models", "models", expect=2)
    assert problem["code"] == "TG761"


def test_a_plan_for_fewer_cores_than_were_built_for_is_refused(project):
    project.write(
        "models/tritongen.yaml",
        "target: {cpus: 2}\nmodels:\n  digits: {rate: 5}\n  breast_cancer: {rate: 5}\n",
    )
    project.run("build", "models")
    project.run("plan", "models", "--machine", "Standard_F2s_v2")
    problem = project.error("export", "compose", "-o", "out", "--models", "models", expect=2)
    assert problem["code"] == "TG750"
    assert "--cpus 1" in problem["fix"]
    project.run("build", "models", "--cpus", "1")
    assert export(project, "compose", "-o", "out")["written"]


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (("export", "elsewhere"), "TG751", 2),
        (("export", "compose", "nowhere"), "TG708", 2),
        (("export", "compose", "models"), "TG750", 2),
        (("export", "compose", "--models", "nowhere"), "TG002", 2),
        (("export", "compose", "--plan", "nowhere.json"), "TG354", 2),
        (("export", "compose", "--name", "Not A Name"), "TG752", 2),
        (("export", "azureml", "--name", "x"), "TG752", 2),
        (("export", "kubernetes", "--namespace", "Not A Name"), "TG752", 2),
        (("export", "compose", "--image", "-rf /"), "TG304", 2),
        (("export", "kubernetes", "--storage", "ftp://models"), "TG762", 2),
        (("export", "compose", "-o", "models/tritongen.yaml"), "TG002", 2),
        (("export",), "TG009", 2),
    ],
)
def test_bad_input_is_told_and_writes_nothing(project, words, code, exit_code):
    before = tree(project.folder)
    problem = project.error(*words, expect=exit_code)
    assert problem["code"] == code
    assert tree(project.folder) == before


def test_a_model_that_was_put_there_by_hand_is_told(project):
    project.write("model_repository/guest/config.pbtxt", 'backend: "python"\n')
    document = export(project, "compose", "-o", "out")
    assert ("TG750", "guest") in {(item["code"], item["model"]) for item in document["findings"]}
    assert "guest" in document["services"][0]["models"]


def test_a_damaged_plan_is_told(project):
    project.write("model_repository.plan.json", "{}")
    assert project.error("export", "compose", "-o", "out", expect=2)["code"] == "TG354"


def test_a_folder_that_cannot_be_written(project):
    folder = project.folder / "out"
    folder.mkdir()
    folder.chmod(0o500)
    try:
        problem = project.powerless().error("export", "compose", "-o", "out", expect=3)
        assert problem["code"] == "TG004"
    finally:
        folder.chmod(0o700)
    assert list(folder.iterdir()) == []


def test_a_full_disk_leaves_the_old_export(project):
    export(project, "compose", "-o", "out")
    before = tree(project.folder / "out")
    project.run("build", "models", "--cpus", "1")
    limited = project.limited(1000)
    assert limited.error("export", "compose", "-o", "out", expect=3)["code"] == "TG005"
    assert tree(project.folder / "out") == before


def test_several_containers_of_a_plan_load_their_own_models_only(project):
    text = """\
target: {cpus: 2, memory: 1GiB}
models:
  digits: {rate: 20, latency: 30ms, instances: 1, threads: 1}
  breast_cancer: {rate: 20, latency: 30ms, instances: 1, threads: 1}
services: {left: [digits], right: [breast_cancer]}
"""
    project.write("models/tritongen.yaml", text)
    project.run("build", "models")
    project.run("plan", "models", "--machine", "Standard_F4s_v2")
    document = export(project, "compose", "-o", "out")
    assert {item["name"]: item["models"] for item in document["services"]} == {
        "left": ["digits"], "right": ["breast_cancer"],
    }  # fmt: skip
    written = (project.folder / "out/compose.yaml").read_text()
    assert written.count("--load-model=") == 2
    assert written.count("model-repository,trace,logging:") == 4


def test_a_file_where_a_folder_should_be_is_named(built: Project) -> None:
    built.write("out", "a file\n")
    error = built.json("export", "compose", "-o", "out/compose", expect=2)["error"]
    assert (error["code"], error["where"]) == ("TG002", "out")
    error = built.json("build", "models", "-o", "out/repository", expect=2)["error"]
    assert (error["code"], error["where"]) == ("TG002", "out")
    assert (built.folder / "out").read_text() == "a file\n"


def test_each_build_lies_in_a_folder_of_its_own(project):
    def claim() -> tuple[str, str]:
        export(project, "kubernetes", "-o", "out", "--namespace", "shop")
        text = (project.folder / "out/deployment.yaml").read_text()
        # Of the init step and of the server.
        (folder,) = set(re.findall(r'mountPath: /models, readOnly: true, subPath: "(\w+)"', text))
        (digest,) = re.findall(r'tritongen/repository: "(\w+)"', text)
        return folder, digest

    folder, digest = claim()
    assert (len(folder), digest[:12]) == (12, folder)
    project.run("build", "models", "--cpus", "1")
    other, changed = claim()
    assert other != folder
    assert changed[:12] == other
    assert 'namespace: "shop"' in (project.folder / "out/kustomization.yaml").read_text()
    export(project, "kubernetes", "-o", "out", "--storage", "s3://bucket/shop/DIGEST")
    assert f"s3://bucket/shop/{other}" in (project.folder / "out/deployment.yaml").read_text()


def test_two_numbers_for_one_thing_are_refused_with_both(project):
    project.write(
        "models/tritongen.yaml",
        "target: {cpus: 1}\nmodels:\n  digits: {rate: 5}\n  breast_cancer: {rate: 5}\n",
    )
    project.run("build", "models")
    project.run("plan", "models", "--machine", "Standard_F4s_v2")
    problem = project.error("export", "compose", "-o", "out", "--models", "models", expect=2)
    assert problem["code"] == "TG750"
    assert "planned for 2 cores" in problem["message"]
    assert "built for 1" in problem["message"]
    # The cure is what the message says.
    cure = re.findall(r"`tritongen (build [^`]+)`", problem["fix"])[0].split()
    project.run(*cure[:1], "models", *cure[1:])
    (service,) = export(project, "kubernetes", "-o", "out")["services"]
    # Two physical cores of four hardware threads, of which two stay with the node.
    assert (service["cores"], service["cpus"], service["threads"]) == (2, 2, 2)
    project.run("build", "models", "--cpus", "4")
    # Other cores than tritongen.yaml's are no reason to try again, and to find another split.
    planned = project.json("plan", "models", "--machine", "Standard_F8s_v2")
    assert "TG709" not in {item["code"] for item in planned["findings"]}
    (service,) = export(project, "kubernetes", "-o", "out")["services"]
    assert (service["cores"], service["cpus"], service["threads"]) == (4, 6, 4)
    text = (project.folder / "out/deployment.yaml").read_text()
    assert "4 threads of 4 cores, 6 hardware threads" in text
    assert '"cpu": "6"' in text
