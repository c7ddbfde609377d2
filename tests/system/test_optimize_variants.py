"""Variants in the place of their originals: chosen, remembered, refused, given up again."""

from pathlib import Path

import pytest

from support.cli import Project
from support.optimize import faulty, trained
from support.optimize.running import optimized, variant
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
    document = project.json("build", "models", "--fix")
    assert [item["name"] for item in document["models"]] == ["net"]
    assert document["refused"] == [{"name": "fed", "codes": ["TG110"]}]


def test_inspect_names_the_cures(project: Project) -> None:
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
    assert "cure TG122: free_batch" in project.run("inspect", "models", expect=1).out


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
