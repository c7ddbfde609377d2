"""What a build would change, whose file each of them is, and where edits are kept."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest

from tritongen.errors import InvalidInputError
from tritongen.model.evidence import ModelEvidence
from tritongen.model.facts import ModelFormat
from tritongen.model.intent import Intent, WeightsMode
from tritongen.model.lock import Lock, LockedModel, LockedTarget, ServerShare
from tritongen.model.lock_files import lock_files
from tritongen.repository.compare import (
    Difference,
    DifferenceKind,
    _in_other_form,
    compare,
    file_digest,
    kept_before,
    kept_names,
    kind_of_change,
    read_text,
    refuse_conflicts,
    text_differences,
)
from tritongen.repository.lock_file import LOCK_FILE, TOOL, is_of_lock


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def lock_of(written: dict[str, str], weights: dict[str, str]) -> Lock:
    """Texts by path, and the content of weights of the model m."""
    files = tuple((path, sha(text)) for path, text in weights.items())
    model = LockedModel("m", ModelFormat.ONNX, "onnxruntime", 1, 1, ModelEvidence(files))
    texts = {path: sha(text) for path, text in written.items()}
    models = {"m": model} if files else {}
    names = {path.partition("/")[0] for path in texts} | set(models)
    shares = dict.fromkeys(names, ServerShare(room_bytes=1))
    return Lock(TOOL, LockedTarget("26.07", 1), models=models, written=texts, shares=shares)


def project(folder, lock: Lock | None, weights: WeightsMode = WeightsMode.COPY):
    texts = dict(lock_files(lock)) if lock is not None else {}
    return SimpleNamespace(
        repository=folder, lock=lock, lock_texts=texts, intent=Intent(weights=weights)
    )


def differences(folder, old: Lock | None, new: Lock, weights=WeightsMode.COPY) -> dict[str, str]:
    for path, text in lock_files(new):
        (folder / path).write_text(text)
    found = compare(project(folder, old, weights), (), new)
    assert [one.path for one in found] == sorted(one.path for one in found)
    return {one.path: one.kind for one in found if not is_of_lock(one.path)}


@pytest.fixture(name="folder")
def repository(tmp_path):
    (tmp_path / "m/1").mkdir(parents=True)
    return tmp_path


WEIGHT = "m/1/model.onnx"
NEW = lock_of({}, {"1/model.onnx": "new"})


@pytest.mark.parametrize(
    ("content", "old", "weights", "kind"),
    [
        (None, None, WeightsMode.COPY, DifferenceKind.WEIGHTS_ABSENT),
        (None, None, WeightsMode.NONE, None),
        ("new", None, WeightsMode.COPY, None),
        ("new", None, WeightsMode.NONE, None),
        ("new", None, WeightsMode.SYMLINK, DifferenceKind.WEIGHTS_FORM),
        ("old", lock_of({}, {"1/model.onnx": "old"}), WeightsMode.COPY, DifferenceKind.WEIGHTS_OLD),
        ("other", lock_of({}, {"1/model.onnx": "old"}), WeightsMode.COPY, DifferenceKind.FOREIGN),
        ("other", None, WeightsMode.COPY, DifferenceKind.FOREIGN),
    ],
)
def test_weights_that_are_not_as_planned(folder, content, old, weights, kind):
    if content is not None:
        (folder / WEIGHT).write_text(content)
    assert differences(folder, old, NEW, weights) == ({WEIGHT: kind} if kind else {})


def test_a_pointer_of_git_lfs_stands_for_absent_weights(folder):
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha('new')}\nsize 3\n"
    (folder / WEIGHT).write_text(pointer)
    assert differences(folder, None, NEW) == {WEIGHT: DifferenceKind.WEIGHTS_ABSENT}
    assert differences(folder, None, NEW, WeightsMode.NONE) == {}


def test_a_link_to_other_bytes_is_the_tool_s_own(folder):
    (folder / "elsewhere").write_text("moved on")
    (folder / WEIGHT).symlink_to(folder / "elsewhere")
    assert differences(folder, None, NEW) == {WEIGHT: DifferenceKind.WEIGHTS_OLD}


@pytest.mark.parametrize(
    ("linked", "mode", "other"),
    [
        (True, WeightsMode.COPY, True), (True, WeightsMode.SYMLINK, False),
        (False, WeightsMode.SYMLINK, True), (False, WeightsMode.HARDLINK, False),
        (True, WeightsMode.NONE, False), (False, WeightsMode.NONE, False),
    ],
)  # fmt: skip
def test_the_form_of_weights(tmp_path, linked, mode, other):
    target = tmp_path / "w"
    if linked:
        target.symlink_to(tmp_path)
    else:
        target.touch()
    assert _in_other_form(target, mode) is other


def test_what_the_old_lock_had_goes_unless_somebody_changed_it(folder):
    old = lock_of(
        {"m/config.pbtxt": "text", "m/labels.txt": "a"}, {"1/model.onnx": "w", "2/x": "x"}
    )
    (folder / "m/config.pbtxt").write_text("text")
    (folder / "m/labels.txt").write_text("edited")
    (folder / WEIGHT).write_text("other")
    (folder / "m/2").mkdir()
    (folder / "m/2/x").symlink_to("gone")
    assert differences(folder, old, lock_of({}, {})) == {
        "m/config.pbtxt": DifferenceKind.REMOVED, "m/labels.txt": DifferenceKind.HAND_EDIT,
        WEIGHT: DifferenceKind.FOREIGN, "m/2/x": DifferenceKind.REMOVED,
    }  # fmt: skip
    assert differences(folder, None, lock_of({}, {})) == {}


def test_a_lock_that_is_not_there_or_another(folder):
    lock = lock_of({}, {})
    empty = project(folder, None)
    assert [(one.path, one.kind) for one in compare(empty, (), lock)] == [
        (LOCK_FILE, DifferenceKind.NEW)
    ]
    (folder / LOCK_FILE).write_text("{}")
    assert [one.kind for one in compare(empty, (), lock)] == [DifferenceKind.CHANGED]
    (folder / LOCK_FILE).write_text(dict(lock_files(lock))[LOCK_FILE].replace("\n", "\r\n"))
    assert compare(empty, (), lock) == ()
    # A file of the lock goes with the last that it says of its model.
    old = project(folder, lock_of({"m/config.pbtxt": "x"}, {}))
    assert [(one.path, one.kind) for one in compare(old, (), lock)] == [
        (f"m/{LOCK_FILE}", DifferenceKind.REMOVED)
    ]


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ({}, DifferenceKind.FOREIGN),
        ({"a": sha("old")}, DifferenceKind.CHANGED),
        ({"a": sha("older")}, DifferenceKind.HAND_EDIT),
    ],
)
def test_whose_a_text_is_that_is_not_as_planned(written, kind):
    assert kind_of_change("a", "old", written) is kind


def test_texts_that_differ(folder):
    (folder / "same").write_text("s")
    (folder / "other").write_text("o")
    planned = {"same": "s", "other": "x", "new": "n"}
    found = text_differences(project(folder, None), planned, planned.__getitem__)
    assert {one.path: one.kind for one in found} == {
        "other": DifferenceKind.FOREIGN, "new": DifferenceKind.NEW,
    }  # fmt: skip
    old = lock_of({"other": "o"}, {})
    (changed, _) = text_differences(project(folder, old), planned, planned.__getitem__)
    assert changed.kind is DifferenceKind.CHANGED
    assert list(changed.diff())[-2:] == ["-o", "+x"]


EDIT = Difference("m/config.pbtxt", DifferenceKind.HAND_EDIT, "a\n", lambda: "b\n")
FOREIGN = Difference("x", DifferenceKind.FOREIGN, "a\n", lambda: "b\n")
CHANGED = Difference("y", DifferenceKind.CHANGED, "a\n", lambda: "b\n")


@pytest.mark.parametrize(
    ("items", "force", "code", "where"),
    [
        ([CHANGED], False, None, ""),
        ([CHANGED, EDIT], True, None, ""),
        ([CHANGED, EDIT], False, "TG702", "m/config.pbtxt"),
        ([EDIT, FOREIGN], False, "TG703", "x"),
        ([EDIT, FOREIGN], True, "TG703", "x"),
    ],
)
def test_nothing_is_lost_that_the_tool_did_not_write(items, force, code, where):
    if code is None:
        refuse_conflicts(items, force)
        return
    with pytest.raises(InvalidInputError) as caught:
        refuse_conflicts(items, force)
    assert (caught.value.code, caught.value.where) == (code, where)
    assert "-a" in caught.value.details


def test_a_file_that_git_could_not_merge_is_told_as_one():
    marks = "<<<<<<< ours\na\n=======\nb\n>>>>>>> theirs\n"
    unmerged = Difference("m/config.pbtxt", DifferenceKind.HAND_EDIT, marks, lambda: "b\n")
    with pytest.raises(InvalidInputError) as caught:
        refuse_conflicts([unmerged], False)
    assert (caught.value.code, caught.value.where) == ("TG710", "m/config.pbtxt")
    with pytest.raises(InvalidInputError, match="conflict") as caught:
        refuse_conflicts([unmerged], False, Path("r r"))
    assert "git checkout HEAD -- 'r r/m' && tritongen build" in caught.value.fix


def test_names_under_which_edits_are_kept(folder):
    (folder / "m/config.pbtxt.orig").touch()
    (folder / "taken.orig.1").touch()
    edits = ["m/config.pbtxt", "gone/config.pbtxt", "taken.orig", "m/labels.txt"]
    (folder / "taken.orig").touch()
    assert kept_names(folder, edits, {"gone"}) == {
        "m/config.pbtxt": "m/config.pbtxt.orig.1", "gone/config.pbtxt": "gone.config.pbtxt.orig",
        "taken.orig": "taken.orig.2", "m/labels.txt": "m/labels.txt.orig",
    }  # fmt: skip
    assert kept_names(folder, ["a/b", "a.b"], {"a"}) == {"a/b": "a.b.orig", "a.b": "a.b.orig.1"}


def test_edits_that_were_kept_of_models_that_are_gone(folder):
    for name in ("config.pbtxt.orig", "config.pbtxt.orig.1", "config.pbtxt.bak", "other.orig"):
        (folder / "m" / name).touch()
    written = ["m/config.pbtxt", "n/config.pbtxt"]
    assert kept_before(folder, written, {"m"}) == ["m/config.pbtxt.orig", "m/config.pbtxt.orig.1"]
    assert kept_before(folder, written, {"n"}) == []


def test_what_cannot_be_read_is_named(folder):
    assert read_text(folder / "absent") is None
    for read in (read_text, file_digest):
        with pytest.raises(InvalidInputError) as caught:
            read(folder / "m")
        assert (caught.value.code, caught.value.where) == ("TG003", str(folder / "m"))
