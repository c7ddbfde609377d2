"""`build` as a user runs it: what it writes, what it leaves alone, and what it only shows."""

import os
import signal
import subprocess

import pytest

from support.cli import (
    INTENT,
    SERVED,
    Project,
    dense,
    fixed,
    sequence,
    tree,
    trial_of,
    whole_lock,
)
from tritongen.system.machine import read_cpus

pytestmark = pytest.mark.smoke


def kinds(document: dict) -> dict[str, str]:
    return {item["path"]: item["kind"] for item in document["differences"]}


def codes(document: dict) -> set[str]:
    return {item["code"] for item in document["findings"]}


def batch_line(project: Project) -> str:
    """The line of dense's batch size, which a measurement decided."""
    lines = project.config("dense").read_text().splitlines()
    return next(line for line in lines if line.startswith("max_batch_size"))


def test_nothing_changed_writes_nothing(built: Project) -> None:
    before = {path: path.stat().st_mtime_ns for path in built.repository.rglob("*")}
    document = built.json("build", "models")
    assert not document["written"]
    assert not document["differences"]
    assert {path: path.stat().st_mtime_ns for path in built.repository.rglob("*")} == before
    assert "nothing to change" in built.run("build", "models").out


def test_check_tells_drift(built: Project) -> None:
    built.write("models/tritongen.yaml", INTENT + "    max_batch_size: 2\n")
    before = tree(built.repository)
    document = built.json("build", "models", "--check", expect=1)
    assert document["drift"]
    assert kinds(document) == {"dense/config.pbtxt": "changed", "dense/tritongen.lock": "changed"}
    assert "TG701" in codes(document)
    assert tree(built.repository) == before
    assert built.json("build", "models")["written"]
    assert not built.json("build", "models", "--check")["drift"]


def test_check_runs_no_model_and_says_that_evidence_is_stale(built: Project) -> None:
    built.add("dense/model.onnx", dense(seed=7))
    document = built.json("build", "models", "--check", expect=1)
    assert "TG707" in codes(document)
    assert kinds(document)["dense/1/model.onnx"] == "weights changed"
    assert built.json("build", "models")["written"]
    assert built.json("check")["summary"]["errors"] == 0


def test_a_model_that_was_served_is_never_dropped_in_silence(built: Project) -> None:
    weights = built.folder / "models/dense/model.onnx"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:100])
    ran = built.run("build", "models", expect=1)
    assert "not served: dense [TG102]" in ran.out
    assert "was served until now: dense" in ran.out
    assert not (built.repository / "dense").exists()
    # Told for as long as it is so; only that it was served until now is told once.
    again = built.run("build", "models", expect=1)
    assert "was served until now" not in again.out
    weights.write_bytes(whole)
    built.run("build", "models")
    assert built.config("dense").exists()


def test_the_folder_of_a_known_project_need_not_be_named(built: Project) -> None:
    assert "nothing to change" in built.run("build").out
    assert built.json("inspect")["models"]
    assert built.json("build", "-r", "other", "--no-trial", "--dry-run")["models"]
    nowhere = Project(built.folder / "elsewhere")
    nowhere.folder.mkdir()
    problem = nowhere.error("build", expect=2)
    assert problem["code"] == "TG002"
    assert "Name it" in problem["fix"]


@pytest.mark.parametrize("mode", ["--diff", "--dry-run"])
def test_shown_and_not_written(built: Project, mode: str) -> None:
    built.write("models/tritongen.yaml", INTENT + "    max_batch_size: 2\n")
    before, line = tree(built.repository), batch_line(built)
    ran = built.run("build", "models", mode)
    assert tree(built.repository) == before
    if mode == "--diff":
        assert f"-{line}" in ran.out
        assert "+max_batch_size: 2" in ran.out
    else:
        assert "changed: dense/config.pbtxt" in ran.out


def test_the_first_diff_shows_whole_files_and_makes_no_folder(project: Project) -> None:
    project.add("fixed.onnx", fixed())
    assert '+name: "fixed"' in project.run("build", "models", "--diff", "--no-trial").out
    assert not project.repository.exists()


def test_a_hand_edit_is_shown_and_kept(built: Project) -> None:
    line = batch_line(built)
    edited = built.config("dense").read_text().replace(line, "max_batch_size: 5")
    built.config("dense").write_text(edited)
    before = tree(built.repository)
    problem = built.error("build", "models", expect=2)
    assert problem["code"] == "TG702"
    assert "-max_batch_size: 5" in problem["details"]
    assert f"+{line}" in problem["details"]
    assert tree(built.repository) == before
    assert kinds(built.json("build", "models", "--check", expect=1)) == {
        "dense/config.pbtxt": "hand edit"
    }

    assert built.json("build", "models", "--force")["written"]
    kept = built.repository / "dense/config.pbtxt.orig"
    assert kept.read_text() == edited
    assert batch_line(built) == line

    # A second edit does not push the first one out.
    again = edited.replace("max_batch_size: 5", "max_batch_size: 6")
    built.config("dense").write_text(again)
    built.run("build", "models", "--force")
    assert kept.read_text() == edited
    assert (built.repository / "dense/config.pbtxt.orig.1").read_text() == again


def test_an_edit_that_is_no_utf8_is_kept_byte_by_byte(built: Project) -> None:
    edited = b"# caf\xe9\n" + built.config("dense").read_bytes()
    built.config("dense").write_bytes(edited)
    assert built.error("build", "models", expect=2)["code"] == "TG702"
    assert "\\udce9" in built.run("build", "models", "--diff").out
    built.run("build", "models", "--force")
    assert (built.repository / "dense/config.pbtxt.orig").read_bytes() == edited


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_foreign_files_stay(project: Project, force: tuple[str, ...]) -> None:
    project.add("fixed.onnx", fixed())
    project.write("model_repository/fixed/config.pbtxt", 'name: "fixed"\nbackend: "python"\n')
    before = tree(project.repository)
    problem = project.error("build", "models", "--no-trial", *force, expect=2)
    assert problem["code"] == "TG703"
    assert tree(project.repository) == before


def test_foreign_weights_stay(built: Project) -> None:
    (built.repository / "dense/1/model.onnx").write_bytes(b"somebody's own")
    problem = built.error("build", "models", "--force", expect=2)
    assert problem["code"] == "TG703"
    assert (built.repository / "dense/1/model.onnx").read_bytes() == b"somebody's own"


def test_what_the_tool_does_not_know_is_left_alone(built: Project) -> None:
    built.write("model_repository/README.md", "ours")
    built.write("model_repository/handmade/config.pbtxt", 'backend: "python"\n')
    built.write("model_repository/dense/labels.txt", "cat\ndog\n")
    assert not built.json("build", "models")["differences"]
    assert (built.repository / "README.md").read_text() == "ours"


def test_a_model_that_is_gone_leaves_the_repository(built: Project) -> None:
    (built.models / "fixed.onnx").unlink()
    document = built.json("build", "models")
    assert kinds(document)["fixed/config.pbtxt"] == "removed"
    assert not (built.repository / "fixed").exists()
    assert "fixed" not in built.lock()["models"]


def test_an_edited_configuration_outlives_its_model(built: Project) -> None:
    built.config("fixed").write_text("# mine\n" + built.config("fixed").read_text())
    (built.models / "fixed.onnx").unlink()
    assert built.error("build", "models", expect=2)["code"] == "TG702"
    assert built.config("fixed").exists()
    document = built.json("build", "models", "--force")
    assert document["kept"] == [{"path": "fixed/config.pbtxt", "as": "fixed.config.pbtxt.orig"}]
    # A folder that is left would be a model to Triton, and the server would not start.
    assert not (built.repository / "fixed").exists()
    assert (built.repository / "fixed.config.pbtxt.orig").read_text().startswith("# mine")
    built.run("check")
    assert not built.json("build", "models", "--check")["drift"]


def test_edits_that_were_kept_before_leave_with_their_model(built: Project) -> None:
    for number in range(3):
        built.config("fixed").write_text(f"# edit {number}\n")
        if number < 2:
            built.run("build", "models", "--force")
    (built.models / "fixed.onnx").unlink()
    ran = built.run("build", "models", "--force")
    assert "fixed/config.pbtxt is now fixed.config.pbtxt.orig" in ran.out
    assert not (built.repository / "fixed").exists()
    kept = sorted(built.repository.glob("fixed.*"))
    assert sorted(path.read_text() for path in kept) == [f"# edit {n}\n" for n in range(3)]


def test_a_model_that_is_gone_leaves_what_somebody_else_put_beside_it(built: Project) -> None:
    built.write("model_repository/fixed/notes.orig.txt", "ours")
    (built.models / "fixed.onnx").unlink()
    built.run("build", "models")
    assert [path.name for path in (built.repository / "fixed").iterdir()] == ["notes.orig.txt"]


def test_a_model_left_out_by_wish(built: Project) -> None:
    built.write("models/tritongen.yaml", INTENT + "  fixed: {skip: true}\n")
    assert "fixed" not in [item["name"] for item in built.json("build", "models")["models"]]
    assert not (built.repository / "fixed").exists()


def test_several_versions(built: Project) -> None:
    assert (built.repository / "twice/1/model.onnx").is_file()
    assert (built.repository / "twice/2/model.onnx").is_file()
    assert "version_policy" not in built.config("twice").read_text()
    built.write("models/tritongen.yaml", INTENT + "  twice: {versions: [1]}\n")
    built.run("build", "models")
    assert "versions: [ 1 ]" in built.config("twice").read_text()
    (built.models / "twice/2/model.onnx").unlink()
    (built.models / "twice/2").rmdir()
    built.run("build", "models")
    assert not (built.repository / "twice/2").exists()


def test_remeasure_runs_every_model_again(built: Project) -> None:
    lock = built.repository / "tritongen.lock"
    (built.models / "twice/1/model.onnx").write_bytes(dense(seed=9).SerializeToString())
    before = built.lock()["models"]
    built.run("build", "models")
    assert built.lock()["models"]["dense"] == before["dense"], "known evidence is used again"
    marked = whole_lock(built.repository).replace("onnxruntime 1", "onnxruntime 0")
    lock.write_text(marked.replace('"seed": 0', '"seed": 5'))
    built.run("build", "models")
    assert "onnxruntime 0" in whole_lock(built.repository)
    built.run("build", "models", "--remeasure")
    assert "onnxruntime 0" not in whole_lock(built.repository)


def test_a_repository_as_models_folder(built: Project) -> None:
    """A repository that somebody wrote by hand is a models folder, too."""
    by_hand = built.repository.rename(built.folder / "by_hand")
    (by_hand / "tritongen.lock").unlink()
    document = built.json("build", "by_hand", "-o", "out", "--no-trial")
    assert [item["name"] for item in document["models"]] == [*SERVED]
    assert "TG124" in codes(document)
    assert (built.folder / "out/twice/2/model.onnx").is_file()


def test_the_repository_inside_the_models_folder(built: Project) -> None:
    """The written repository is not taken for a model at the next build."""
    arguments = ("build", "models", "-o", "models/model_repository", "--no-trial")
    assert built.json(*arguments)["written"]
    assert not built.json(*arguments)["differences"]


def test_nothing_can_be_served(project: Project) -> None:
    project.add("sequence/model.onnx", sequence())
    problem = project.error("build", "models", "--no-trial", expect=2)
    assert problem["code"] == "TG101"
    assert any("TG110" in line for line in problem["details"])
    assert not project.repository.exists()


def test_one_model_in_two_forms(project: Project) -> None:
    """What was trained lies beside what is served: a draft, a build and an inspection agree."""
    project.add("dense.onnx", dense())
    project.add("dense.joblib", b"\x80\x04.")
    drafted = project.json("init", "models")
    assert drafted["models"] == ["dense"]
    (model,) = project.json("inspect", "models")["models"]
    assert (model["path"], model["servable"]) == ("dense.onnx", True)
    document = project.json("build", "models")
    assert [item["name"] for item in document["models"]] == ["dense"]
    assert document["refused"] == []
    assert [item["severity"] for item in document["findings"] if item["code"] == "TG148"] == [
        "info"
    ]


def test_the_forms_of_a_refused_model_are_told_once(project: Project) -> None:
    project.add("dense.onnx", dense())
    project.add("net.onnx", dense())
    project.add("net/model.onnx", dense(seed=7))
    project.json("init", "models")
    ran = project.run("build", "models", expect=1)
    assert ran.out.count("error TG125") == 1
    assert "2 models have the name 'net': net, net.onnx" in ran.out
    assert "Rename all but the one" in ran.out


def test_two_builds_at_once(project: Project) -> None:
    for number in range(3):
        project.add(f"m{number}/model.onnx", dense(seed=number))
    first = project.start("build", "models")
    trial = trial_of(first)
    os.kill(trial, signal.SIGSTOP)
    assert project.error("build", "models", expect=3)["code"] == "TG008"
    # Those that write nothing need no lock.
    assert project.json("build", "models", "--dry-run", "--no-trial")["differences"]
    os.kill(trial, signal.SIGCONT)
    _, errors = first.communicate()
    assert first.returncode == 0, errors
    assert not project.json("build", "models", "--check")["drift"]


def test_one_model_file_is_enough(project: Project) -> None:
    project.add("dense.onnx", dense())
    project.add("broken.onnx", b"no model")
    project.write("models/tritongen.yaml", "models: {broken: {rate: 5}, dense: {instances: 1}}")
    (model,) = project.json("inspect", "models/dense.onnx")["models"]
    assert (model["name"], model["path"]) == ("dense", "dense.onnx")
    assert project.json("build", "models/dense.onnx")["models"][0]["name"] == "dense"
    # The project is known from here on.
    assert not project.json("build", "--check")["drift"]
    assert project.json("explain", "dense", "instance_group")["model"] == "dense"
    project.add("other.onnx", dense(seed=1))
    problem = project.error("build", "models/other.onnx", expect=2)
    assert problem["code"] == "TG305"
    assert "a build of one file would remove: dense" in problem["message"]


def test_shell_completion(project: Project) -> None:
    script = project.run("completion", "bash").out
    assert "--no-trial" in script
    words = 'COMP_WORDS=(tritongen bui); COMP_CWORD=1; _shtab_tritongen; echo "$COMPREPLY"'
    done = subprocess.run(
        ("bash", "-euc", f"{script}\n{words}"), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "build"
    zsh = project.run("completion", "zsh").out
    assert zsh.startswith("#compdef tritongen\n")
    assert "--no-trial" in zsh


def test_the_lock_says_whose_times_it_holds(built: Project) -> None:
    """The target's cores are stated, so nothing else of this machine is in the lock."""
    lock = built.lock()
    assert "machine" not in lock["target"]
    cpu = read_cpus().model
    assert {model["evidence"]["trial"].get("cpu", "") for model in lock["models"].values()} == {cpu}
    # Elsewhere it is still the processor of the measurement, and nothing drifts.
    place = built.repository / "tritongen.lock"
    known = whole_lock(built.repository)
    place.write_text(known.replace(f'"cpu": "{cpu}"', '"cpu": "AMD EPYC 9R14"'))
    assert not built.json("build", "models", "--check")["drift"]
    assert built.json("plan", "models")["assumptions"]["measured_on"] == "AMD EPYC 9R14"
