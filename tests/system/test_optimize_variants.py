"""Variants in the place of their originals: chosen, remembered, refused, given up again."""

from pathlib import Path
from typing import Any

import pytest

from support.cli import Project
from support.optimize import faulty, trained
from support.optimize.running import optimized, steps, variant
from tritongen.errors import InvalidInputError
from tritongen.model.variants import ORIGINAL
from tritongen.repository.project import load_project
from tritongen.repository.stored_variants import find_variant, with_selection, with_variants


@pytest.fixture
def fixed(project: Project) -> Project:
    """A project of one CNN whose batch axis is freed."""
    project.add("net/model.onnx", trained.cnn(batch=1))
    project.run("optimize", "models", "--fix")
    return project


def built(project: Project, *arguments: str) -> tuple[str | None, int]:
    """The variant that a build serves, and its greatest batch."""
    (model,) = project.json("build", "models", *arguments)["models"]
    return model["variant"], model["max_batch_size"]


def test_chosen_remembered_and_given_up(fixed: Project) -> None:
    original = (fixed.models / "net" / "model.onnx").read_bytes()
    assert built(fixed) == (None, 0)
    name, batch = built(fixed, "--variant", "net=fixed")
    assert name == "fixed"
    assert batch > 1
    placed = fixed.repository / "net" / "1" / "model.onnx"
    assert placed.read_bytes() != original
    assert built(fixed) == ("fixed", batch)
    assert not fixed.json("build", "models", "--check")["drift"]
    assert built(fixed, "--variant", "net=original") == (None, 0)
    assert placed.read_bytes() == original
    assert built(fixed) == (None, 0)


def test_a_selection_is_made_once_or_twice(fixed: Project) -> None:
    """Commands hand a project with variants on to each other."""
    built(fixed, "--variant", "net=fixed")
    loaded = load_project(fixed.models, fixed.repository)
    chosen = with_selection(loaded)
    assert list(chosen.variants) == ["net"]
    assert chosen.models != loaded.models
    again = with_selection(chosen)
    assert again == chosen
    back = with_selection(again, {"net": ORIGINAL})
    assert (back.models, back.variants) == (loaded.models, {})


def test_another_original_refuses_its_old_variant(fixed: Project) -> None:
    built(fixed, "--variant", "net=fixed")
    fixed.add("net/model.onnx", trained.cnn((8, 8), batch=1))
    for arguments in ((), ("--check",)):
        assert fixed.error("build", "models", *arguments, expect=2)["code"] == "TG241"
    # Fixing it again is one way on, the original is the other.
    assert built(fixed, "--fix")[0] == "fixed"
    assert built(fixed, "--variant", "net=original") == (None, 0)


def test_a_fix_that_is_not_needed(project: Project) -> None:
    project.add("net/model.onnx", trained.cnn())
    assert built(project, "--fix")[0] is None
    assert not (project.models / ".variants").exists()


def test_a_model_that_cannot_be_fixed(project: Project) -> None:
    """The others are built all the same, and the reason is told."""
    project.add("net/model.onnx", trained.cnn())
    project.add("fed/model.onnx", faulty.model(
        [faulty.node("SequenceAt", "x zero", "y")],
        [faulty.sequence_info("x")],
        [faulty.tensor("y", None)],
        [faulty.constant("zero", 0)],
    ))  # fmt: skip
    document = project.json("build", "models", "--fix", expect=1)
    assert [item["name"] for item in document["models"]] == ["net"]
    assert document["refused"] == [{"name": "fed", "codes": ["TG110"]}]


def test_inspect_names_the_fixes(project: Project) -> None:
    project.add("wine/model.onnx", faulty.zipmap())
    project.add("net/model.onnx", trained.cnn(batch=1))
    found = {
        item["name"]: item["cures"]
        for item in project.json("inspect", "models", expect=1)["models"]
    }
    assert [(cure["code"], cure["fix"]) for cure in found["wine"]] == [
        ("TG110", "zipmap"), ("TG110", "sequence"),
    ]  # fmt: skip
    assert [cure["fix"] for cure in found["net"]] == ["free_batch"]
    assert "fix TG122: free_batch" in project.run("inspect", "models", expect=1).out


def test_a_variant_takes_the_place_of_its_original(project: Project) -> None:
    original = project.add("wine/model.onnx", faulty.zipmap())
    path = project.models / variant(optimized(project, "--fix"), "fixed")["path"]
    loaded = load_project(project.models, project.repository)
    (facts,) = with_variants(loaded, {"wine": "fixed"}).models
    assert facts.name == "wine"
    assert facts.servable
    assert Path(facts.versions[0].files[0].source) == path.relative_to(project.models)

    def refused(name: str) -> str:
        fresh = load_project(project.models, project.repository)
        with pytest.raises(InvalidInputError) as caught:
            find_variant(fresh, fresh.models[0], name)
        return caught.value.code

    assert refused("nope") == "TG240"
    assert refused("../fixed") == "TG240"
    kept = path.read_bytes()
    path.write_bytes(kept + b"\0")
    assert refused("fixed") == "TG242"
    path.write_bytes(kept)
    original.write_bytes(faulty.zipmap(texts=True).SerializeToString())
    assert refused("fixed") == "TG241"
    (path.parent / "variant.json").write_text("{")
    assert refused("fixed") == "TG242"


def codes(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(item["code"], item["model"]) for item in document["findings"]]


@pytest.mark.smoke
def test_a_fix_is_served_where_the_original_cannot_be(project: Project) -> None:
    project.add("wine/model.onnx", faulty.zipmap())
    assert project.error("build", "models", expect=2)["code"] == "TG101"
    told = project.run("optimize", "models", "--fix").out
    assert "serve: fixed, with `tritongen build models --variant wine=fixed`" in told
    ran = project.run("build", "models")
    assert "served as fixed, since the original cannot be: wine" in ran.out
    assert "TG110" not in ran.out
    assert project.lock()["models"]["wine"]["evidence"]["variant"]["name"] == "fixed"
    # From now on the lock says it, and everything else goes by that.
    again = project.json("build", "models")
    assert (again["written"], again["models"][0]["variant"]) == (False, "fixed")
    assert ("TG243", "wine") not in codes(again)
    assert not project.json("build", "models", "--check")["drift"]
    project.run("explain", "wine", "--models", "models")
    project.run("report", "models", "-o", "r.html")
    page = (project.folder / "r.html").read_text()
    assert "fixed: proven equal to the original: zipmap" in page
    assert "TG110" not in page
    # The user's word for the original still counts, and so does another original.
    refused = project.error("build", "models", "--variant", "wine=original", expect=2)
    assert "TG110" in refused["details"][0]
    project.add("wine/model.onnx", faulty.zipmap(texts=True))
    assert project.error("build", "models", expect=2)["code"] == "TG241"


def test_a_fix_of_another_original_is_told_and_the_others_are_built(project: Project) -> None:
    project.add("wine/model.onnx", faulty.zipmap())
    project.add("net/model.onnx", trained.cnn())
    project.run("optimize", "models", "--fix", "-m", "wine")
    project.add("wine/model.onnx", faulty.zipmap(texts=True))
    document = project.json("build", "models", expect=1)
    assert document["refused"] == [{"name": "wine", "codes": ["TG110"]}]
    assert [item["name"] for item in document["models"]] == ["net"]
    assert ("TG241", "wine") in codes(document)


def test_a_fix_that_moves_an_axis_waits_for_the_users_word(project: Project) -> None:
    message = faulty.second_axis()
    message.graph.node[0].output[1] = message.graph.output[1].name = "h\0"
    project.add("time/model.onnx", message)
    project.add("net/model.onnx", trained.cnn())
    done = steps(optimized(project, "--fix", "-m", "time"))
    assert done["names"]
    assert done["batch_first"]
    document = project.json("build", "models", expect=1)
    assert document["refused"] == [{"name": "time", "codes": ["TG116"]}]
    (told,) = (item for item in document["findings"] if item["code"] == "TG244")
    assert "batch_first" in told["message"]
    command = told["fix"].partition("`")[2].partition("`")[0]
    assert command == "tritongen build models --variant time=fixed"
    served = project.json(*command.split()[1:])["models"]
    assert {item["name"]: item["variant"] for item in served} == {"net": None, "time": "fixed"}


def test_build_with_fix_changes_no_layout_without_the_users_word(project: Project) -> None:
    """The original can be served, one row at a time; clients send it time first."""
    project.add("time/model.onnx", faulty.second_axis())
    document = project.json("build", "models", "--fix")
    assert document["models"][0]["variant"] is None
    assert ("TG244", "time") in codes(document)
    assert "another layout" not in project.config("time").read_text()
    project.write("models/tritongen.yaml", "models: {time: {accept: layout}}")
    ran = project.run("build", "models", "--fix")
    told = "clients send or read another layout: the batch axis 'batch' of 'x' is now the first one"
    assert f"time: {told} (batch_first)" in ran.out
    assert "TG244" not in ran.out
    comment = project.config("time").read_text().replace("\n# ", " ")
    assert f"{told} (batch_first)" in comment
    # The lock remembers, also where the word is taken back.
    project.write("models/tritongen.yaml", "{}")
    for command in (("--check",), ("--fix",)):
        again = project.json("build", "models", *command)
        assert again["models"][0]["variant"] == "fixed"
        assert [code for code, _ in codes(again)].count("TG245") == 1
        assert ("TG244", "time") not in codes(again)
    assert project.config("time").read_text().replace("\n# ", " ") == comment


def test_a_layout_that_is_accepted_needs_no_variant_option(project: Project) -> None:
    message = faulty.second_axis()
    message.graph.node[0].output[1] = message.graph.output[1].name = "h\0"
    project.add("time/model.onnx", message)
    project.write("models/tritongen.yaml", "models: {time: {accept: layout}}")
    project.run("optimize", "models", "--fix")
    document = project.json("build", "models")
    assert document["models"][0]["variant"] == "fixed"
    assert {("TG243", "time"), ("TG245", "time")} <= set(codes(document))


def test_a_fix_that_leaves_a_fault_is_not_served(project: Project) -> None:
    """The name cannot be served whatever is done to the graph."""
    project.add("red wine/model.onnx", faulty.zipmap())
    project.add("net/model.onnx", trained.cnn())
    project.run("optimize", "models", "--fix", "-m", "red wine")
    document = project.json("build", "models", expect=1)
    assert document["refused"] == [{"name": "red wine", "codes": ["TG106", "TG110"]}]
