"""A lock in one file a model: read back as it was, and what two builds made together is told."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tritongen.errors import InvalidInputError
from tritongen.model.evidence import ModelEvidence
from tritongen.model.facts import ModelFormat
from tritongen.model.lock import (
    Lock,
    LockedModel,
    LockedTarget,
    ServerShare,
    lock_text,
    server_of,
)
from tritongen.model.lock_files import lock_file_text, lock_files, parse_lock_files

REPOSITORY = Path("model_repository")
EVIDENCE = ModelEvidence((("1/model.onnx", "0" * 64),))


def model(name: str, threads: int = 1) -> LockedModel:
    return LockedModel(f"{name}.onnx", ModelFormat.ONNX, "onnxruntime", threads, 2, EVIDENCE)


def lock(**shares: ServerShare) -> Lock:
    target = LockedTarget("26.08", 4)
    models = {name: model(name) for name in shares if name != "pipeline"}
    return Lock(
        "tritongen 1.0",
        target,
        server_of(target.cores, models, shares),
        models,
        {f"{name}/config.pbtxt": "f" * 64 for name in shares},
        shares=shares,
    )


LOCK = replace(
    lock(a=ServerShare(room_bytes=5), b=ServerShare(room_bytes=7), pipeline=ServerShare()),
    refused={"lost": EVIDENCE},
)


def test_it_is_read_back_as_it_was() -> None:
    texts = dict(lock_files(LOCK))
    assert list(texts) == [
        "a/tritongen.lock", "b/tritongen.lock", "lost.tritongen.lock",
        "pipeline/tritongen.lock", "tritongen.lock",
    ]  # fmt: skip
    assert parse_lock_files(texts, REPOSITORY) == LOCK
    # Whoever formats JSON anew changes nothing.
    compact = {path: json.dumps(json.loads(text)) for path, text in texts.items()}
    assert parse_lock_files(compact, REPOSITORY) == LOCK


def test_what_is_known_of_a_model_without_a_configuration_lies_in_no_folder() -> None:
    tuned = Lock(
        "t", LockedTarget("26.08", 1), models={"a": model("a")}, shares={"a": ServerShare()}
    )
    tuned = replace(tuned, server=server_of(1, tuned.models, tuned.shares))
    texts = dict(lock_files(tuned))
    assert list(texts) == ["a.tritongen.lock", "tritongen.lock"]
    assert parse_lock_files(texts, REPOSITORY) == tuned


def test_changes_to_two_models_meet_in_no_file() -> None:
    base = dict(lock_files(LOCK))
    a = {**LOCK.models, "a": model("a", threads=3)}
    b = {**LOCK.shares, "b": ServerShare(limited=True, cached=True, room_bytes=200 << 20)}
    one = dict(lock_files(replace(LOCK, models=a, server=server_of(4, a, LOCK.shares))))
    two = dict(lock_files(replace(LOCK, shares=b, server=server_of(4, LOCK.models, b))))
    changed = [{path for path in base if side[path] != base[path]} for side in (one, two)]
    assert changed == [{"a/tritongen.lock"}, {"b/tritongen.lock"}]
    # Together they give the server that both need.
    merged = parse_lock_files({**base, **{path: one[path] for path in changed[0]},
                               **{path: two[path] for path in changed[1]}}, REPOSITORY)  # fmt: skip
    assert merged.server.environment["OMP_NUM_THREADS"] == "3"
    assert dict(merged.server.flags)["rate-limit-resource"] == "cpu:4"
    assert dict(merged.server.flags)["cache-config"] == "local,size=67108864"


def test_variables_hold_the_models_that_nothing_else_limits() -> None:
    models = {"a": model("a", threads=4), "b": model("b", threads=2), "c": model("c", threads=3)}
    shares = {"a": ServerShare(), "b": ServerShare(held=True), "c": ServerShare(held=True)}
    assert server_of(4, models, shares).environment["OMP_NUM_THREADS"] == "2"
    assert server_of(4, {}, {"x": ServerShare(held=True)}).environment["OMP_NUM_THREADS"] == "1"


def test_shared_memory_is_for_all_and_unknown_where_one_is() -> None:
    shares = {"a": ServerShare(room_bytes=60 << 20), "b": ServerShare(room_bytes=60 << 20)}
    assert server_of(1, {}, shares).shared_memory_bytes == 128 << 20
    assert server_of(1, {}, {**shares, "c": ServerShare()}).shared_memory_bytes is None


def test_a_lock_that_says_not_whose_a_setting_is_stays_in_one_file() -> None:
    old = replace(LOCK, shares={})
    assert list(lock_files(old)) == [("tritongen.lock", lock_text(old))]
    assert parse_lock_files(dict(lock_files(old)), REPOSITORY) == old
    # Files of single models beside it are of another time.
    texts = {**dict(lock_files(LOCK)), "tritongen.lock": lock_text(old)}
    assert parse_lock_files(texts, REPOSITORY) == old
    assert LOCK.as_older()[0] == old


def refused(texts: dict[str, str]) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        parse_lock_files(texts, REPOSITORY)
    return caught.value


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("a/tritongen.lock", "git checkout HEAD -- model_repository/a && tritongen build"),
        ("lost.tritongen.lock", "-- model_repository/lost.tritongen.lock && tritongen build"),
        ("tritongen.lock", "-- model_repository/tritongen.lock && tritongen build"),
    ],
)
def test_what_git_could_not_merge_is_told_with_the_command(path: str, fix: str) -> None:
    texts = dict(lock_files(LOCK))
    texts[path] = "".join(
        f"<<<<<<< HEAD\n{line}\n=======\n{line}\n>>>>>>> other\n"
        for line in texts[path].splitlines()
    )
    problem = refused(texts)
    assert (problem.code, problem.where) == ("TG710", str(REPOSITORY / path))
    assert fix in problem.fix


def test_an_old_lock_that_git_could_not_merge_is_taken_from_one_side_with_all_texts() -> None:
    old = lock_text(replace(LOCK, shares={}))
    problem = refused({"tritongen.lock": f"<<<<<<< HEAD\n{old}=======\n{old}>>>>>>> other\n"})
    assert problem.code == "TG710"
    assert "git checkout HEAD -- model_repository && tritongen build" in problem.fix


def test_two_sides_in_one_file_are_no_measurement() -> None:
    """Whichever lines are taken of the two, the digest holds for all of one of them alone."""
    texts = dict(lock_files(LOCK))
    other = dict(lock_files(replace(LOCK, models={**LOCK.models, "a": model("a", threads=3)})))
    ours, theirs = (side["a/tritongen.lock"].splitlines() for side in (texts, other))
    differing = [
        n for n, (left, right) in enumerate(zip(ours, theirs, strict=True)) if left != right
    ]
    assert len(differing) == 2, "the digest and what has changed"
    for number in differing:
        mixed = [*ours[:number], theirs[number], *ours[number + 1 :]]
        problem = refused({**texts, "a/tritongen.lock": "\n".join(mixed)})
        assert problem.code == "TG710"
        assert "git checkout HEAD -- model_repository/a" in problem.fix


def test_a_folder_that_was_copied_by_hand_is_nobody_s() -> None:
    texts = dict(lock_files(LOCK))
    copied = {**texts, "copy/tritongen.lock": texts["a/tritongen.lock"]}
    assert parse_lock_files(copied, REPOSITORY) == LOCK


@pytest.mark.parametrize("inside", ["../../victim", "/etc/passwd", "", "1/../../x"])
def test_a_stranger_s_lock_of_one_model_names_no_file_elsewhere(inside: str) -> None:
    hostile = replace(LOCK, written={**LOCK.written, f"a/{inside}": "0" * 64})
    problem = refused(dict(lock_files(hostile)))
    assert problem.code == "TG704"
    assert "leaves the repository" in problem.what


@pytest.mark.parametrize("name", ["..", ".", "b", "x\0y"])
def test_a_part_counts_for_the_folder_that_it_lies_in_alone(name: str) -> None:
    shares = {**LOCK.shares, name: ServerShare()}
    hostile = replace(
        LOCK, models={**LOCK.models, name: model("a")}, shares=shares,
        written={**LOCK.written, f"{name}/config.pbtxt": "e" * 64},
    )  # fmt: skip
    (text,) = (text for path, text in lock_files(hostile) if path == f"{name}/tritongen.lock")
    texts = {**dict(lock_files(LOCK)), "a/tritongen.lock": text}
    assert "a" not in parse_lock_files(texts, REPOSITORY).models
    assert name == "b" or name not in parse_lock_files(texts, REPOSITORY).models


def test_a_server_s_settings_are_those_that_no_build_would_write_otherwise() -> None:
    hostile = replace(LOCK, target=LockedTarget("26.08", -4), models={"a": model("a", threads=0)})
    assert refused(dict(lock_files(replace(hostile, shares={**LOCK.shares})))).code == "TG704"


def test_one_file_s_text_is_the_same_by_itself() -> None:
    for path, text in lock_files(LOCK):
        assert lock_file_text(LOCK, path) == text
    old = replace(LOCK, shares={})
    assert lock_file_text(old, "tritongen.lock") == lock_text(old)
