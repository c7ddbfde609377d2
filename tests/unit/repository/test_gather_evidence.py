"""Evidence of a lock is used while what it was observed with is the same, and no longer."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tritongen.model.evidence import ModelEvidence, Trial
from tritongen.model.facts import ModelFacts, ModelFormat
from tritongen.model.intent import NO_BATCH
from tritongen.repository import gather_evidence as gathering
from tritongen.repository.gather_evidence import Gathered, TrialPolicy
from tritongen.trial.child_request import TrialOptions

FACTS = ModelFacts("m", "m/model.onnx", ModelFormat.ONNX)
CODE = replace(FACTS, format=ModelFormat.PYTHON)
OK = Trial("onnxruntime 1", ok=True, declared=())
OPTIONS = TrialOptions(cores=1)


def known(trial: Trial | None, *files: tuple[str, str]) -> ModelEvidence:
    return ModelEvidence(files or (("1/model.onnx", "ab"),), trial)


@pytest.mark.parametrize(
    ("policy", "facts", "trial", "runs"),
    [
        (TrialPolicy(True, False, OPTIONS), FACTS, None, True),
        (TrialPolicy(True, False, OPTIONS), FACTS, OK, False),
        (TrialPolicy(True, True, OPTIONS), FACTS, OK, True),
        (TrialPolicy(False, True, OPTIONS), FACTS, None, False),
        (TrialPolicy(True, False, OPTIONS), CODE, None, True),
        (TrialPolicy(True, True, OPTIONS, code=False), CODE, None, False),
        (TrialPolicy(True, False, OPTIONS, code=False), FACTS, None, True),
        (TrialPolicy(True, False, OPTIONS), FACTS, replace(OK, ok=False, code="TG201"), False),
        (TrialPolicy(True, False, OPTIONS), FACTS, replace(OK, ok=False, code="TG202"), True),
        (TrialPolicy(True, False, OPTIONS), FACTS, replace(OK, ok=False, code="TG203"), True),
    ],
)
def test_who_is_run(policy, facts, trial, runs):
    assert policy.runs(facts, known(trial)) is runs


@pytest.mark.parametrize(
    ("declared", "now", "changed"),
    [
        ((), (), []),
        (("axes.seq: 1",), ("axes.seq: 1",), []),
        (("axes.seq: 1",), ("axes.seq: 2",), ["axes.seq: 1", "axes.seq: 2"]),
        (("samples: ab",), (), ["samples: ab"]),
        ((), (NO_BATCH,), []),
        ((NO_BATCH,), (), [NO_BATCH]),
        ((NO_BATCH,), (NO_BATCH,), []),
    ],
)
def test_what_tritongen_yaml_says_otherwise(declared, now, changed):
    assert gathering._changed(replace(OK, declared=declared), now) == changed


def test_a_trial_of_an_older_lock_holds_unless_it_failed_or_samples_came():
    old = replace(OK, declared=None)
    assert gathering._changed(old, ("axes.seq: 1",)) == []
    assert gathering._changed(old, ("samples: ab",)) == ["samples: ab"]
    assert gathering._changed(replace(old, ok=False), ("axes.seq: 1",)) == ["axes.seq: 1"]


@pytest.mark.parametrize(
    ("evidence", "before", "declared", "target", "kept", "lost"),
    [
        (known(None), None, (), "", False, ""),
        (known(None), known(None), (), "", False, ""),
        (known(None), known(OK), (), "", False, "the model's file has changed since it was tried"),
        (known(OK), known(OK), (), "", True, ""),
        (
            known(OK), known(OK), (), "target.cpus", False,
            "target.cpus has changed since it was tried",
        ),
        (known(OK), known(OK), ("samples: a",), "target.cpus", False,
         "the samples have changed since it was tried: samples"),
        (known(OK), known(OK), ("axes.a: 1", "axes.b: 1"), "", False,
         "tritongen.yaml has changed since it was tried: axes.a, axes.b"),
    ],
)  # fmt: skip
def test_what_has_become_of_a_trial(evidence, before, declared, target, kept, lost):
    found, why = gathering._still_good(evidence, before, declared, target)
    assert (found.trial is not None) is kept
    assert why == lost


def test_only_files_of_versions_decide():
    files = (("1/model.onnx", "ab"), ("labels.txt", "cd"), ("x1/w", "ef"), ("10/w", "gh"))
    assert gathering._of_versions(files) == [("1/model.onnx", "ab"), ("10/w", "gh")]


def test_what_was_tried_is_evidence_only_of_the_same_file():
    assert gathering._of_now(known(None), known(None), OK).trial == OK
    other = known(None, ("1/model.onnx", "cd"))
    assert gathering._of_now(other, known(None), OK).trial is None


def test_what_is_told_of_what_was_gathered():
    found = Gathered(None, {"a": "lost", "b": ""}, held=("b",), renewed={"c": "old"})
    assert [(one.code, one.model) for one in found.findings] == [("TG147", "b"), ("TG709", "c")]
    assert [(one.code, one.model, one.message) for one in found.lost] == [("TG707", "a", "lost")]


def test_a_cache_of_hashes_is_kept_by_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root, other = tmp_path / "models", tmp_path / "other"
    cache = {("m/model.onnx", 3, 4): "ab"}
    gathering._save_cache(root, cache, cache)
    assert not (tmp_path / "cache").exists(), "nothing new is nothing to write"
    gathering._save_cache(root, cache, {})
    gathering._save_cache(other, {}, cache)
    assert gathering._load_cache(root) == cache
    assert gathering._load_cache(other) == {}
    path = tmp_path / "cache/tritongen/hashes.json"
    rows = (3, [["a", "b", "c", "d"]])
    for text in ("{", "[]", *(json.dumps({os.fspath(root): row}) for row in rows)):
        path.write_text(text)
        assert gathering._load_cache(root) == {}
    path.write_text("{")
    gathering._save_cache(root, cache, {})
    assert gathering._load_cache(root) == cache
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setattr("tempfile.tempdir", "/dev/null")
    gathering._save_cache(Path("x"), cache, {})
